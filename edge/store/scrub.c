/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks regions that are not written to any more, a record at a time; the region is referenced for that long
 * only, so that reclaim does not have to wait for a pass. What nobody would find is passed over.
 */
#include "store/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "store/record.h"
#include "store/superblock.h"

#define EMPTY_STEP_BYTES 4096u               /* a look at a region costs about this */
#define GAP_MAX          ((uint64_t)1 << 20) /* between two records: looked over in one step */

struct scrub {
    struct scrub_options options; /* fixed */
    pthread_t thread;
    bool thread_runs;

    /* of the thread */
    struct scrub_pass pass;
    struct arena_place at; /* the next record; sequence 0: find the next region from slot on */
    uint32_t slots_left;   /* of this pass */
    char *buffer;          /* RECORD_READ_BYTES */

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Atomic bool is_stopping;

    counter_t passes, objects, bytes, damaged, io_errors;
};

/* ---- the schedule ---- */

int64_t scrub_due_ms(const struct scrub_pass *p, uint64_t step_bytes, int64_t last_ms)
{
    uint64_t after_bytes = p->done_bytes + step_bytes;
    double part = p->total_bytes > after_bytes ? (double)after_bytes / (double)p->total_bytes : 1;
    int64_t due_ms = p->begin_ms + (int64_t)(part * (double)p->interval_ms);
    int64_t soonest_ms = last_ms + (int64_t)(step_bytes * 1000 / SCRUB_BYTES_PER_S_MAX);
    return due_ms > soonest_ms ? due_ms : soonest_ms;
}

/* ---- one step ---- */

static void pass_begin(struct scrub *s)
{
    struct arena_stats stats;
    arena_stats(s->options.arena, &stats);
    s->pass = (struct scrub_pass){.begin_ms = (int64_t)clock_monotonic_ms(),
                                  .interval_ms = s->options.interval_ms,
                                  .total_bytes = stats.budget_bytes};
    s->slots_left = arena_slots(s->options.arena);
}

/* False when all slots have been seen. */
static bool next_slot(struct scrub *s)
{
    uint32_t slots = arena_slots(s->options.arena);
    s->at = (struct arena_place){.slot = (s->at.slot + 1) % slots};
    s->options.superblock->scrub_slot = s->at.slot;
    return --s->slots_left > 0;
}

static void condemn(struct scrub *s, struct store_region *region, const struct record_seen *seen, int error)
{
    counter_add(&s->damaged, 1);
    counter_add(&s->io_errors, error == -EIO);
    log_error("arena %s: an object is damaged on the disk (%s), and removed: %.*s", s->options.path,
              error == -EIO ? "it cannot be read" : "its sums do not match", SLICE_ARG(seen->key_text));
    index_remove(s->options.index, seen->hash, &s->at);
    if (record_condemn(region, &s->at, seen->span_bytes) == 0)
        arena_touch(s->options.arena, region);
    else
        counter_add(&s->io_errors, 1);
}

/* Of the record that stands here: bytes read. */
static uint64_t see_record(struct scrub *s, struct store_region *region, const struct record_seen *seen)
{
    struct arena_place found;
    bool is_found = index_place(s->options.index, seen->hash, &found) && found.slot == s->at.slot &&
                    found.sequence == s->at.sequence && found.offset_bytes == s->at.offset_bytes;
    if (!is_found)
        return 0;
    int rv = record_verify_file(region, &s->at, s->buffer);
    counter_add(&s->objects, 1);
    counter_add(&s->bytes, seen->span_bytes);
    if (rv < 0 && !region_is_bad(region)) /* a bad region is lost as a whole, elsewhere */
        condemn(s, region, seen, rv);
    return seen->span_bytes;
}

/* The next record of the region that anybody would find, or its end. Bytes read. */
static uint64_t see_region(struct scrub *s, struct store_region *region)
{
    const uint8_t *secret = s->options.superblock->hash_secret;
    uint64_t read_bytes = 0, looked_until = s->at.offset_bytes + GAP_MAX;
    struct record_seen seen;
    while (read_bytes == 0 && s->at.offset_bytes < region->size_bytes && s->at.offset_bytes < looked_until) {
        if (record_examine(region, &s->at, secret, &seen)) {
            read_bytes = see_record(s, region, &seen);
            s->at.offset_bytes += seen.span_bytes;
            s->pass.done_bytes += seen.span_bytes;
        } else {
            s->at.offset_bytes += 64;
            s->pass.done_bytes += 64;
        }
    }
    return read_bytes;
}

uint64_t scrub_step(struct scrub *s, bool *ret_is_over)
{
    struct store_region *region = s->at.sequence != 0
                                      ? arena_ref(s->options.arena, &s->at)
                                      : arena_ref_finished(s->options.arena, s->at.slot, &s->at);
    uint64_t read_bytes = region ? see_region(s, region) : 0;
    bool is_at_end = !region || s->at.offset_bytes >= region->size_bytes || region_is_bad(region);
    if (region)
        region_unref(region);
    *ret_is_over = is_at_end && !next_slot(s);
    if (*ret_is_over) {
        counter_add(&s->passes, 1);
        pass_begin(s);
    }
    return read_bytes;
}

/* ---- the thread ---- */

/* Nothing else is held up by it: the system calls have no names in the C library. */
static void lower_priority(void)
{
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 };
    syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE << CLASS_SHIFT);
}

/* False when it was told to end. */
static bool wait_until(struct scrub *s, int64_t due_ms)
{
    struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    int rv = 0;
    pthread_mutex_lock(&s->mutex);
    while (!s->is_stopping && rv != ETIMEDOUT)
        rv = pthread_cond_timedwait(&s->wake, &s->mutex, &until);
    pthread_mutex_unlock(&s->mutex);
    return !s->is_stopping;
}

static void *scrub_thread(void *argument)
{
    struct scrub *s = argument;
    uint64_t step_bytes = EMPTY_STEP_BYTES;
    int64_t last_ms = (int64_t)clock_monotonic_ms();
    lower_priority();
    while (wait_until(s, scrub_due_ms(&s->pass, step_bytes, last_ms))) {
        bool is_over;
        last_ms = (int64_t)clock_monotonic_ms();
        step_bytes = scrub_step(s, &is_over);
        step_bytes = step_bytes ? step_bytes : EMPTY_STEP_BYTES;
    }
    return NULL;
}

static void scrub_free(struct scrub *s)
{
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s->buffer);
    free(s);
}

int scrub_new(const struct scrub_options *options, struct scrub **ret_scrub)
{
    pthread_condattr_t attributes;
    struct scrub *s = calloc(1, sizeof(*s));
    if (!s || !(s->buffer = malloc(RECORD_READ_BYTES))) {
        free(s);
        return -ENOMEM;
    }
    s->options = *options;
    s->at.slot = options->superblock->scrub_slot % arena_slots(options->arena);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pass_begin(s);
    *ret_scrub = s;
    return 0;
}

int scrub_start(const struct scrub_options *options, struct scrub **ret_scrub)
{
    sigset_t all, before;
    struct scrub *s;
    int rv = scrub_new(options, &s);
    if (rv < 0)
        return rv;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a map: base/guard.h; blocked it would be the end */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = -pthread_create(&s->thread, NULL, scrub_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->thread_runs = rv == 0;
    if (rv < 0)
        scrub_free(s);
    else
        *ret_scrub = s;
    return rv;
}

void scrub_let_go(struct scrub *s)
{
    pthread_mutex_lock(&s->mutex);
    s->is_stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

void scrub_stop(struct scrub *s)
{
    if (!s)
        return;
    scrub_let_go(s);
    if (s->thread_runs)
        pthread_join(s->thread, NULL);
    scrub_free(s);
}

void scrub_stats(const struct scrub *s, struct scrub_stats *ret_stats)
{
    *ret_stats = (struct scrub_stats){.passes = counter_read(&s->passes),
                                      .objects = counter_read(&s->objects),
                                      .bytes = counter_read(&s->bytes),
                                      .damaged = counter_read(&s->damaged),
                                      .io_errors = counter_read(&s->io_errors)};
}
