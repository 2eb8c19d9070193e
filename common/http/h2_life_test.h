/* SPDX-License-Identifier: Apache-2.0 */
/* The stage's life, and the events that a test waits for. */
#ifndef HTTP_H2_LIFE_TEST_H
#define HTTP_H2_LIFE_TEST_H

#include "h2_stage_test.h"

static inline void stage_on_accept(void *user, int fd, const struct addr *peer)
{
    http_server_accept(((struct stage *)user)->server, fd, peer, NULL);
}

static inline void *stage_run(void *user)
{
    struct stage *stage = user;
    struct addr any;

    assert_int_equal(addr_parse(slice_of("127.0.0.1:0"), &any), 0);
    assert_int_equal(loop_new(&stage->loop), 0);
    assert_int_equal(mailbox_new(stage->loop, &stage->mailbox), 0);
    assert_int_equal(http_server_new(stage->loop, &stage->options, &stage->server), 0);
    assert_int_equal(listener_open(stage->loop, &any, stage_on_accept, stage, &stage->listener), 0);
    listener_address(stage->listener, &stage->address);
    sem_post(&stage->ready);
    loop_run(stage->loop);
    listener_close(stage->listener);
    http_server_free(stage->server);
    mailbox_free(stage->mailbox);
    loop_free(stage->loop);
    return NULL;
}

static inline void stage_make_large(struct stage *stage)
{
    stage->large_fd = memfd_create("large", 0);
    assert_int_equal(ftruncate(stage->large_fd, (off_t)LARGE_SIZE), 0);
    stage->large = mmap(NULL, LARGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, stage->large_fd, 0);
    assert_ptr_not_equal(stage->large, MAP_FAILED);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        stage->large[i] = (char)('a' + (i ^ i >> 11) % 26);
}

/* Deadlines so long that none passes, unless a test sets its own. */
static inline struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->options = (struct http_server_options){
        .head_size_max = 16384,
        .uri_size_max = 500,
        .connections_max = 10,
        .handshake_timeout_ms = 60000,
        .header_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .send_stall_timeout_ms = 60000,
        .on_request = stage_on_request,
        .on_refused = stage_on_refused,
        .user = stage,
    };
    sem_init(&stage->ready, 0, 0);
    sem_init(&stage->event, 0, 0);
    stage_make_large(stage);
    return stage;
}

static inline struct stage *stage_start(struct stage *stage)
{
    pthread_create(&stage->thread, NULL, stage_run, stage);
    sem_wait(&stage->ready);
    return stage;
}

static inline void stage_stop(struct stage *stage)
{
    loop_stop(stage->loop);
    pthread_join(stage->thread, NULL);
}

static inline void stage_free(struct stage *stage)
{
    munmap(stage->large, LARGE_SIZE);
    close(stage->large_fd);
    sem_destroy(&stage->ready);
    sem_destroy(&stage->event);
    free(stage);
}

static inline void stage_await(struct stage *stage)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    assert_int_equal(sem_timedwait(&stage->event, &until), 0);
}

struct order {
    struct message message;
    struct stage *stage;
    void (*fn)(struct stage *stage);
};

static inline void stage_on_order(struct message *m)
{
    struct order *order = container_of(m, struct order, message);

    order->fn(order->stage);
    free(order);
}

/* Runs fn on the server's thread. */
static inline void stage_order(struct stage *stage, void (*fn)(struct stage *stage))
{
    struct order *order = malloc(sizeof(*order));

    *order = (struct order){.message.fn = stage_on_order, .stage = stage, .fn = fn};
    mailbox_post(stage->mailbox, &order->message);
}

static inline uint64_t stage_refusals(struct stage *stage, enum http_refusal refusal)
{
    return counter_read(&http_server_stats(stage->server)->refusals[refusal]);
}

#endif
