/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange's functions as its users call them. All but exchange_reply only pass on to the version of
 * HTTP. */
#include "http/exchange.h"

#include <stdlib.h>

#include "base/check.h"

void exchange_inform(struct exchange *x, unsigned status, struct slice fields)
{
    if (x->ops->inform)
        x->ops->inform(x, status, fields);
}

void exchange_respond(struct exchange *x, unsigned status, struct slice fields, uint64_t body_size)
{
    x->ops->respond(x, status, fields, body_size);
}

ssize_t exchange_send(struct exchange *x, const struct span *span)
{
    return x->ops->send(x, span);
}

void exchange_flush(struct exchange *x)
{
    x->ops->flush(x);
}

void exchange_finish(struct exchange *x)
{
    x->ops->finish(x);
}

void exchange_abort(struct exchange *x)
{
    x->ops->abort(x);
}

bool exchange_await_secure(struct exchange *x)
{
    if (x->is_early && !x->awaits_secure) {
        x->awaits_secure = true;
        x->ops->note_wait(x);
    }
    return x->is_early;
}

void exchange_become_secure(struct exchange *x)
{
    bool is_awaited = x->awaits_secure;

    x->is_early = x->awaits_secure = false;
    if (is_awaited && CHECK(x->events && x->events->on_secure))
        x->events->on_secure(x);
}

void exchange_set_pace(struct exchange *x, uint64_t rate_bytes_per_s)
{
    x->ops->set_pace(x, rate_bytes_per_s);
}

void exchange_set_congestion(struct exchange *x, const char *name)
{
    x->ops->set_congestion(x, name);
}

uint64_t exchange_stalled_ms(struct exchange *x)
{
    return x->ops->stalled_ms(x);
}

uint64_t exchange_sent_bytes(const struct exchange *x)
{
    return x->ops->sent_bytes(x);
}

/* What a reply could not send at once: rare, as a reply is smaller than a socket's buffer. Owned by the
 * exchange, whose handler thinks that it is over. */
struct reply_rest {
    size_t size, sent;
    char data[];
};

static void on_rest_writable(struct exchange *x)
{
    struct reply_rest *rest = x->user;
    struct span span = {.fd = -1, .data = rest->data + rest->sent, .size = rest->size - rest->sent};
    ssize_t taken = exchange_send(x, &span);

    if (taken < 0)
        return; /* on_gone follows */
    rest->sent += (size_t)taken;
    if (rest->sent == rest->size) {
        free(rest);
        exchange_finish(x);
    }
}

static void on_rest_gone(struct exchange *x, const char *reason)
{
    (void)reason;
    free(x->user);
}

static void on_reply_gone(struct exchange *x, const char *reason)
{
    (void)x;
    (void)reason;
}

static const struct exchange_events rest_events = {on_rest_writable, on_rest_gone, NULL};
static const struct exchange_events reply_events = {NULL, on_reply_gone, NULL};

static void send_rest_later(struct exchange *x, const char *data, size_t size)
{
    struct reply_rest *rest = malloc(sizeof(*rest) + size);

    if (!rest) {
        exchange_abort(x);
        return;
    }
    rest->size = size;
    rest->sent = 0;
    memcpy(rest->data, data, size);
    x->user = rest;
    x->events = &rest_events;
}

void exchange_reply(struct exchange *x, unsigned status, struct slice fields, struct slice body)
{
    bool no_body = x->request->method == HTTP_HEAD || status == 204 || status == 304 || body.size == 0;
    struct span span = {.fd = -1, .data = body.data, .size = body.size};
    ssize_t taken = 0;

    REQUIRE(body.size <= EXCHANGE_REPLY_SIZE_MAX);
    x->events = &reply_events;
    exchange_respond(x, status, fields, body.size);
    if (!no_body)
        taken = exchange_send(x, &span);
    if (taken < 0)
        return; /* on_gone follows, to nobody */
    if (no_body || (size_t)taken == body.size)
        exchange_finish(x);
    else
        send_rest_later(x, body.data + taken, body.size - (size_t)taken);
}
