/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: libuv's, plus a wheel for timers, work put off to the end of the turn, and a wall clock read at
 * most once a turn.
 *
 * A turn is what happens between two waits. libuv calls the prepare handle just before it waits, whatever ran
 * before: there the put-off work runs, then a part of those who wait for their turn (turns.h), and the wall
 * clock is forgotten. While there is such work an idle handle is active, which keeps libuv from waiting; so
 * what the work itself puts off runs in a turn of its own.
 */
#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "loop_private.h"
#include "wheel.h"

struct loop {
    uv_loop_t uv;
    uv_async_t stop;
    uv_timer_t tick; /* runs only while a timer waits */
    uv_prepare_t prepare;
    uv_idle_t idle; /* active while `laters` has any */
    struct list laters;
    struct list signals;
    struct list leftovers;
    struct wheel wheel;
    uint64_t armed_ms; /* when `tick` fires, or WHEEL_NEVER */
    int64_t wall_ms;   /* 0: not read in this turn */
    uint64_t turn;
    struct turns turns;
    size_t accepted_count;
    char *scratch;
};

struct signal_watch {
    struct list node;
    uv_signal_t handle;
    void (*fn)(int signal_number, void *user);
    void *user;
};

static void on_stop(uv_async_t *handle)
{
    uv_stop(handle->loop);
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

/* What is started meanwhile waits for the next turn. */
static void run_laters(struct loop *l)
{
    struct list batch;

    list_init(&batch);
    list_splice_back(&batch, &l->laters);
    while (!list_is_empty(&batch)) {
        struct later *later = LIST_FIRST(&batch, struct later, node);

        list_remove(&later->node);
        later->fn(later);
    }
}

/* A part of those who wait for their turn. */
static void serve_waiting(struct loop *l)
{
    uint64_t now_us = clock_monotonic_us(), end_us = now_us + TURNS_SERVED_US, before_us;
    struct turns_place *place;

    while (now_us < end_us && (place = turns_next(&l->turns, now_us))) {
        before_us = now_us;
        place->fn(place);
        now_us = clock_monotonic_us();
        turns_charge(&l->turns, now_us - before_us);
    }
}

/* While there is something to do, the loop does not wait for events. */
static void choose_idle(struct loop *l)
{
    if (list_is_empty(&l->laters) && l->turns.waiting == 0)
        uv_idle_stop(&l->idle);
    else
        uv_idle_start(&l->idle, on_idle);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *l = container_of(handle, struct loop, prepare);

    run_laters(l);
    if (l->turns.waiting > 0)
        serve_waiting(l);
    choose_idle(l);
    turns_begin(&l->turns);
    l->wall_ms = 0;
    l->turn++;
}

int loop_new(struct loop **ret_loop)
{
    struct loop *l = calloc(1, sizeof(*l));
    int status;

    if (!l)
        return -ENOMEM;
    l->scratch = malloc(LOOP_SCRATCH_SIZE); /* costs no memory before it is touched */
    status = l->scratch ? uv_loop_init(&l->uv) : -ENOMEM;
    if (status < 0)
        goto no_loop;
    status = uv_async_init(&l->uv, &l->stop, on_stop);
    if (status < 0)
        goto no_async;
    uv_timer_init(&l->uv, &l->tick);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_idle_init(&l->uv, &l->idle);
    list_init(&l->laters);
    list_init(&l->signals);
    list_init(&l->leftovers);
    wheel_init(&l->wheel, uv_now(&l->uv));
    turns_init(&l->turns);
    l->armed_ms = WHEEL_NEVER;
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    *ret_loop = l;
    return 0;

no_async:
    uv_loop_close(&l->uv);
no_loop:
    free(l->scratch);
    free(l);
    return status;
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(container_of((uv_signal_t *)handle, struct signal_watch, handle));
}

static void require_closing(uv_handle_t *handle, void *user)
{
    struct loop *l = user;

    if (handle == (uv_handle_t *)&l->prepare || handle == (uv_handle_t *)&l->idle)
        return;
    if (!CHECK(uv_is_closing(handle)))
        uv_close(handle, NULL); /* its memory leaks, but the thread ends */
}

void loop_free(struct loop *l)
{
    struct signal_watch *watch, *following;

    while (!list_is_empty(&l->laters)) /* they may close what is still open */
        run_laters(l);
    turns_fini(&l->turns);
    choose_idle(l);
    while (!list_is_empty(&l->leftovers)) {
        struct loop_leftover *leftover = LIST_FIRST(&l->leftovers, struct loop_leftover, node);

        list_remove(&leftover->node);
        leftover->end_now(leftover);
    }
    LIST_FOR_EACH_SAFE (watch, following, &l->signals, node)
        uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
    uv_close((uv_handle_t *)&l->stop, NULL);
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_walk(&l->uv, require_closing, l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&l->prepare, NULL); /* these two last: a close callback may still put work off */
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    REQUIRE(uv_loop_close(&l->uv) == 0);
    free(l->scratch);
    free(l);
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_async_send(&l->stop);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

int64_t loop_wall_ms(const struct loop *l)
{
    struct loop *cache = (struct loop *)l; /* reading the clock changes nothing that a caller can see */

    if (cache->wall_ms == 0)
        cache->wall_ms = clock_wall_ms();
    return cache->wall_ms;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

uint64_t loop_turn(const struct loop *l)
{
    return l->turn + 1;
}

struct turns *loop_turns(struct loop *l)
{
    return &l->turns;
}

size_t *loop_accepted_count(struct loop *l)
{
    return &l->accepted_count;
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

void loop_add_leftover(struct loop *l, struct loop_leftover *leftover, loop_leftover_fn *end_now)
{
    leftover->end_now = end_now;
    list_push_back(&l->leftovers, &leftover->node);
}

static void arm(struct loop *l, uint64_t at_ms);

static void on_tick(uv_timer_t *handle)
{
    struct loop *l = container_of(handle, struct loop, tick);
    struct list due;

    l->armed_ms = WHEEL_NEVER;
    list_init(&due);
    wheel_advance(&l->wheel, uv_now(&l->uv), &due);
    while (!list_is_empty(&due)) {
        struct timer *t = LIST_FIRST(&due, struct timer, node);

        list_remove(&t->node);
        t->fn(t);
    }
    arm(l, wheel_next_ms(&l->wheel));
}

static void arm(struct loop *l, uint64_t at_ms)
{
    uint64_t now_ms = uv_now(&l->uv);

    if (at_ms >= l->armed_ms)
        return; /* at the earlier time, on_tick looks again */
    l->armed_ms = at_ms;
    uv_timer_start(&l->tick, on_tick, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void timer_init(struct timer *t, timer_fn *fn)
{
    list_init(&t->node);
    t->due_ms = 0;
    t->fn = fn;
}

void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms)
{
    uint64_t now_ms = uv_now(&l->uv);

    list_remove(&t->node);
    t->due_ms = delay_ms < UINT64_MAX - now_ms ? now_ms + delay_ms : UINT64_MAX;
    arm(l, wheel_add(&l->wheel, t));
}

void timer_stop(struct timer *t)
{
    list_remove(&t->node);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct signal_watch *watch = container_of(handle, struct signal_watch, handle);

    watch->fn(signal_number, watch->user);
}

int loop_on_signal(struct loop *l, int signal_number, void (*fn)(int signal_number, void *user), void *user)
{
    struct signal_watch *watch = calloc(1, sizeof(*watch));
    int status;

    if (!watch)
        return -ENOMEM;
    watch->fn = fn;
    watch->user = user;
    status = uv_signal_init(&l->uv, &watch->handle);
    if (status < 0) {
        free(watch);
        return status;
    }
    status = uv_signal_start(&watch->handle, on_signal, signal_number);
    if (status < 0) {
        uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
        return status;
    }
    uv_unref((uv_handle_t *)&watch->handle);
    list_push_back(&l->signals, &watch->node);
    return 0;
}

void later_init(struct later *later, later_fn *fn)
{
    list_init(&later->node);
    later->fn = fn;
}

void later_start(struct loop *l, struct later *later)
{
    if (list_is_linked(&later->node))
        return;
    if (list_is_empty(&l->laters))
        uv_idle_start(&l->idle, on_idle);
    list_push_back(&l->laters, &later->node);
}

void later_stop(struct later *later)
{
    list_remove(&later->node);
}
