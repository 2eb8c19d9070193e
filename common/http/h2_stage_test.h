/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a thread of its own for the tests of HTTP/2: what is asked for says what the handler does.
 *
 *   /map/SIZE, /file/SIZE, /unknown/SIZE   that many bytes of `large`: mapped; in the file only; length not
 * said /wait                                  nothing, until the test says what /must-take-all aborts when
 * its small body is not taken at once others: see stage_on_request
 */
#ifndef HTTP_H2_STAGE_TEST_H
#define HTTP_H2_STAGE_TEST_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/server.h"
#include "io/mailbox.h"

#define LARGE_SIZE ((size_t)4 << 20)

struct stage {
    struct http_server_options options;
    struct loop *loop;
    struct listener *listener;
    struct mailbox *mailbox;
    struct http_server *server;
    struct addr address;
    pthread_t thread;
    sem_t ready, event; /* event: after each on_gone, refusal, /wait, and when all is drained */
    int large_fd;
    char *large;
    struct exchange *waiting;
    char gone[64], refused[64], body[64];
    unsigned gone_count, refused_status;
    uint64_t sent_bytes; /* of the last response */
};

/* A handler that sends a span. */
struct visit {
    struct stage *stage;
    struct span left;
};

static inline void stage_on_gone(struct exchange *x, const char *reason)
{
    struct visit *v = x->user;
    struct stage *stage = v->stage;

    snprintf(stage->gone, sizeof(stage->gone), "%s", reason);
    stage->gone_count++;
    free(v);
    sem_post(&stage->event);
}

static inline void stage_send_left(struct exchange *x)
{
    struct visit *v = x->user;

    while (v->left.size > 0) {
        ssize_t taken = exchange_send(x, &v->left);

        if (taken < 0)
            return;
        v->left.offset_bytes += (uint64_t)taken;
        v->left.data = v->left.data ? v->left.data + taken : NULL;
        v->left.size -= (size_t)taken;
        if (v->left.size > 0)
            return;
    }
    v->stage->sent_bytes = exchange_sent_bytes(x);
    free(v);
    exchange_finish(x);
}

static inline struct visit *stage_visit(struct stage *stage, struct exchange *x)
{
    static const struct exchange_events events = {stage_send_left, stage_on_gone, NULL};
    struct visit *v = calloc(1, sizeof(*v));

    v->stage = stage;
    x->user = v;
    x->events = &events;
    return v;
}

static inline void stage_send_large(struct stage *stage, struct exchange *x, char kind, size_t size)
{
    struct visit *v = stage_visit(stage, x);

    v->left = (struct span){.fd = stage->large_fd, .data = kind == 'f' ? NULL : stage->large, .size = size};
    if (x->request->method == HTTP_HEAD)
        v->left.size = 0;
    exchange_respond(x, 200, SLICE_EMPTY, kind == 'u' ? EXCHANGE_LENGTH_UNKNOWN : size);
    stage_send_left(x);
}

static inline bool stage_send_text(struct exchange *x, const char *text)
{
    struct span span = {.fd = -1, .data = text, .size = strlen(text)};

    return exchange_send(x, &span) == (ssize_t)span.size;
}

static inline void stage_on_request(struct exchange *x, void *user)
{
    struct stage *stage = user;
    char target[128], kind;
    size_t size;

    snprintf(target, sizeof(target), "%.*s", SLICE_ARG(x->request->target));
    snprintf(stage->body, sizeof(stage->body), "%.*s", SLICE_ARG(x->body));
    assert_int_equal(x->request->version, 20);
#define IS(path) (strcmp(target, path) == 0)
    if (sscanf(target, "/%c%*[a-z]/%zu", &kind, &size) == 2) {
        stage_send_large(stage, x, kind, size);
    } else if (IS("/wait")) {
        stage_visit(stage, x);
        stage->waiting = x;
        sem_post(&stage->event);
    } else if (IS("/204")) {
        exchange_reply(x, 204, SLICE_EMPTY, SLICE_EMPTY);
    } else if (IS("/304")) {
        exchange_reply(x, 304, SLICE_LITERAL("ETag: \"a\"\r\n"), SLICE_LITERAL("12345"));
    } else if (IS("/big-reply")) {
        exchange_reply(x, 200, SLICE_EMPTY, slice_make(stage->large, EXCHANGE_REPLY_SIZE_MAX));
    } else if (IS("/head-unknown")) {
        exchange_respond(x, 200, SLICE_EMPTY, EXCHANGE_LENGTH_UNKNOWN);
        exchange_finish(x);
    } else if (IS("/pieces")) {
        stage_visit(stage, x);
        exchange_respond(x, 200, SLICE_LITERAL("X-Upper-Case: Y \r\nA:b\r\n"), EXCHANGE_LENGTH_UNKNOWN);
        exchange_flush(x);
        assert_true(stage_send_text(x, "abc") && stage_send_text(x, "def"));
        stage_send_left(x);
    } else if (IS("/must-take-all")) {
        stage_visit(stage, x);
        exchange_respond(x, 404, SLICE_LITERAL("X: y\r\n"), 5);
        if (stage_send_text(x, "small"))
            stage_send_left(x);
        else
            free(x->user), exchange_abort(x);
    } else if (IS("/hints")) {
        exchange_inform(x, 103, SLICE_LITERAL("Link: </a>\r\n"));
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), x->request->target);
    } else if (IS("/abort")) {
        exchange_abort(x);
    } else if (IS("/abort-late")) {
        exchange_respond(x, 200, SLICE_EMPTY, 100);
        stage_send_text(x, "abc");
        exchange_abort(x);
    } else {
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), x->request->target);
    }
#undef IS
}

static inline void stage_on_refused(enum http_refusal refusal, const struct addr *peer, unsigned status,
                                    uint64_t sent_bytes, void *user)
{
    struct stage *stage = user;

    assert_true(addr_is_ipv4(peer));
    assert_true((status == 0) == (sent_bytes == 0));
    snprintf(stage->refused, sizeof(stage->refused), "%s", http_refusal_name(refusal));
    stage->refused_status = status;
    sem_post(&stage->event);
}

#endif
