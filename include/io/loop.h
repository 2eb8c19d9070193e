/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop, its timers, its signals. One thread runs a loop; all that is made on a loop is used on its
 * thread only, except loop_stop and mailbox_post (io/mailbox.h).
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/list.h"
#include <stdint.h>

struct loop;

/* From then on SIGPIPE is ignored in the whole process: sendfile cannot be told not to raise it. */
int loop_new(struct loop **ret_loop);
void loop_free(struct loop *l); /* everything made on it must have been closed; runs what was put off */
void loop_run(struct loop *l);  /* until loop_stop */
void loop_stop(struct loop *l); /* from any thread */

uint64_t loop_now_ms(const struct loop *l); /* monotonic, as of this turn of the loop */
uint64_t loop_turn(const struct loop *l);   /* counts them, from 1 */

/* Wall clock, as of this turn of the loop: a system call a turn, not a request. */
int64_t loop_wall_ms(const struct loop *l);

/* A deadline, embedded in its owner. Kept in a wheel: starting, moving and stopping cost a few stores, so
 * that every wait of every connection can have one. Fires up to TIMER_GRANULARITY_MS late, never early. */
#define TIMER_GRANULARITY_MS 16

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    struct list node;
    uint64_t due_ms;
    timer_fn *fn;
};

void timer_init(struct timer *t, timer_fn *fn);
void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms); /* moves it when it is running */
void timer_stop(struct timer *t);                                     /* harmless when it is not running */

static inline bool timer_is_running(const struct timer *t)
{
    return list_is_linked(&t->node);
}

/* Calls fn on the loop's thread at each such signal, until the loop is freed. */
int loop_on_signal(struct loop *l, int signal_number, void (*fn)(int signal_number, void *user), void *user);

/* Calls fn once at the end of this turn of the loop, before it waits again: for work that must not run inside
 * the caller's stack. Embedded in its owner like a timer. */
struct later;
typedef void later_fn(struct later *later);
struct later {
    struct list node;
    later_fn *fn;
};
void later_init(struct later *later, later_fn *fn);
void later_start(struct loop *l, struct later *later); /* harmless when it is waiting already */
void later_stop(struct later *later);

#endif
