/* SPDX-License-Identifier: Apache-2.0 */
/* Syncing in the order that makes marks true, and recovery region by region, a sync between two of them. */
#include "store/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/log.h"
#include "store/prefetch.h"
#include "store/record.h"
#include "store/superblock.h"
#include "store/watch.h"

struct keeper {
    struct keeper_options options; /* fixed */
    pthread_t thread;
    struct watch watch;

    pthread_mutex_t mutex;
    /* guarded by mutex */
    pthread_cond_t wake, done;
    uint64_t syncs_wanted, syncs_done;
    bool has_failed; /* the last sync */
    bool is_recovered;

    bool is_index_lost, is_counted; /* of the thread */
    _Atomic bool is_stopping;
    counter_t syncs, verified, damaged, restored; /* written by the thread */
};

/* ---- syncing ---- */

/* An index whose file was lost is filled again, in memory. */
static void look_after_index(struct keeper *k)
{
    if (k->is_index_lost || !index_is_lost(k->options.index))
        return;
    k->is_index_lost = true;
    log_error("arena %s: its index was truncated or cannot be read; it is made again", k->options.path);
    superblock_forget_index(k->options.superblock);
    arena_forget_counts(k->options.arena);
    arena_pending_all(k->options.arena);
    pthread_mutex_lock(&k->mutex);
    k->is_recovered = false;
    pthread_mutex_unlock(&k->mutex);
}

/* Data first, then what refers to it, then the marks: at any moment what a mark says is true. */
static bool sync_all(struct keeper *k)
{
    struct arena_stats before, after;
    arena_stats(k->options.arena, &before);
    arena_lose_bad(k->options.arena);
    look_after_index(k);
    arena_sync_data(k->options.arena);
    watch_begin(&k->watch);
    bool is_index_synced = index_sync(k->options.index);
    watch_begin(&k->watch);
    arena_sync_marks(k->options.arena);
    watch_end(&k->watch);
    arena_stats(k->options.arena, &after);
    counter_add(&k->syncs, 1);
    return is_index_synced && before.io_errors == after.io_errors;
}

/* ---- recovery ---- */

/* Of a record of another place, in the region that is being walked (which may be hidden) or another. */
static uint64_t order_at(struct keeper *k, const struct arena_pending *p, const struct arena_place *place)
{
    if (place->slot == p->begin.slot && place->sequence == p->begin.sequence)
        return record_order(p->region, place);
    struct store_region *region = arena_ref(k->options.arena, place);
    uint64_t order = region ? record_order(region, place) : 0;
    if (region)
        region_unref(region);
    return order;
}

/* An object that was found by walking has lost what was learned of it since it was stored, a purge perhaps:
 * it is revalidated before it is used. */
static void restore(struct keeper *k, const struct arena_pending *p, const struct arena_place *place,
                    const struct record_seen *seen)
{
    struct store_meta meta = seen->meta;
    struct arena_place other;
    bool has_other = index_place(k->options.index, seen->hash, &other);
    if (has_other && order_at(k, p, &other) >= seen->order)
        return;
    if (meta.fresh_until_ms > meta.generated_at_ms)
        meta.fresh_until_ms = meta.generated_at_ms;
    meta.stale_while_revalidate_s = meta.stale_if_error_s = 0;
    if (index_restore(k->options.index, seen->hash, place, seen->span_bytes, &meta,
                      has_other ? &other : NULL))
        counter_add(&k->restored, 1);
}

/* False when it can be neither believed nor condemned. */
static bool recover_record(struct keeper *k, const struct arena_pending *p, const struct arena_place *place,
                           const struct record_seen *seen)
{
    if (place->offset_bytes >= p->synced_bytes) {
        counter_add(&k->verified, 1);
        if (!record_verify(p->region, place)) {
            counter_add(&k->damaged, 1);
            index_remove(k->options.index, seen->hash, place);
            return record_condemn(p->region, place, seen->span_bytes) == 0;
        }
    }
    if (k->options.superblock->recovery & RECOVERY_INDEX)
        restore(k, p, place, seen);
    return true;
}

/* False when it was interrupted. *ret_is_usable: all that can be found in the region is what was stored. */
static bool walk(struct keeper *k, const struct arena_pending *p, bool *ret_is_usable)
{
    const uint8_t *secret = k->options.superblock->hash_secret;
    struct arena_place place = p->begin;
    struct record_seen seen;
    bool is_usable = true;
    if (!(k->options.superblock->recovery & RECOVERY_INDEX))
        place.offset_bytes = p->synced_bytes;
    if (p->synced_bytes < p->region->size_bytes) /* else only headers are looked at */
        prefetch_wait(p->region, p->synced_bytes, p->region->size_bytes - p->synced_bytes);
    while (is_usable && place.offset_bytes < p->region->size_bytes) {
        if (atomic_load_explicit(&k->is_stopping, memory_order_relaxed))
            return false;
        if (record_examine(p->region, &place, secret, &seen)) {
            is_usable = recover_record(k, p, &place, &seen);
            place.offset_bytes += seen.span_bytes;
        } else {
            place.offset_bytes += 64;
        }
    }
    *ret_is_usable = is_usable && !region_is_bad(p->region);
    return true;
}

/* One region. False when there is nothing left to do, or not now. */
static bool recover_step(struct keeper *k)
{
    struct arena_pending p;
    bool is_usable;
    if (!arena_pending_next(k->options.arena, &p))
        return false;
    watch_begin(&k->watch);
    bool is_walked = walk(k, &p, &is_usable);
    watch_end(&k->watch);
    if (!is_walked) {
        region_unref(p.region); /* stays hidden; `recovery` stays set */
        return false;
    }
    if (!is_usable)
        arena_lose(k->options.arena, p.region, "it cannot be read after a power loss");
    arena_pending_done(k->options.arena, &p);
    return true;
}

/* Only when what was found damaged is known to be gone may it be forgotten that there was something to do. */
static void recover_finish(struct keeper *k)
{
    if (sync_all(k)) {
        k->options.superblock->recovery = 0;
        superblock_sync(k->options.superblock);
    }
    log_info("arena %s: recovered: %" PRIu64 " records verified, %" PRIu64 " of them damaged, %" PRIu64
             " found again",
             k->options.path, counter_read(&k->verified), counter_read(&k->damaged),
             counter_read(&k->restored));
}

/* ---- counting ---- */

#define COUNT_ROWS 64 /* of the index, before it is looked whether there is something else to do */

static void count_step(struct keeper *k) /* under mutex, which is let go meanwhile */
{
    bool has_more = true;
    pthread_mutex_unlock(&k->mutex);
    for (unsigned i = 0; i < COUNT_ROWS && has_more; i++)
        has_more = index_count_step(k->options.index);
    if (!has_more)
        arena_counted(k->options.arena);
    k->is_counted = !has_more;
    pthread_mutex_lock(&k->mutex);
}

/* ---- the thread ---- */

static struct timespec after_ms(uint32_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool is_due(const struct timespec *due)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec != due->tv_sec ? now.tv_sec > due->tv_sec : now.tv_nsec >= due->tv_nsec;
}

static void sync_step(struct keeper *k) /* under mutex, which is let go meanwhile */
{
    uint64_t wanted = k->syncs_wanted;
    pthread_mutex_unlock(&k->mutex);
    bool is_synced = sync_all(k);
    pthread_mutex_lock(&k->mutex);
    k->syncs_done = wanted;
    k->has_failed = !is_synced;
    pthread_cond_broadcast(&k->done);
}

static void recovery_step(struct keeper *k) /* under mutex, which is let go meanwhile */
{
    pthread_mutex_unlock(&k->mutex);
    bool is_done = !recover_step(k) && !atomic_load(&k->is_stopping);
    if (is_done)
        recover_finish(k);
    pthread_mutex_lock(&k->mutex);
    k->is_recovered = is_done;
    if (is_done)
        pthread_cond_broadcast(&k->done);
}

static void *keeper_thread(void *argument)
{
    struct keeper *k = argument;
    struct timespec due = after_ms(k->options.interval_ms);
    pthread_mutex_lock(&k->mutex);
    while (!atomic_load(&k->is_stopping)) {
        if (k->syncs_wanted != k->syncs_done || is_due(&due)) {
            sync_step(k);
            due = after_ms(k->options.interval_ms);
        } else if (!k->is_recovered) {
            recovery_step(k);
        } else if (!k->is_counted) {
            count_step(k);
        } else {
            pthread_cond_timedwait(&k->wake, &k->mutex, &due);
        }
    }
    pthread_cond_broadcast(&k->done); /* let go, it is waited for in vain */
    pthread_mutex_unlock(&k->mutex);
    return NULL;
}

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void keeper_free(struct keeper *k)
{
    pthread_cond_destroy(&k->wake);
    pthread_cond_destroy(&k->done);
    pthread_mutex_destroy(&k->mutex);
    free(k);
}

int keeper_start(const struct keeper_options *options, struct keeper **ret_keeper)
{
    sigset_t all, before;
    struct keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->options = *options;
    k->is_recovered = options->superblock->recovery == 0;
    pthread_mutex_init(&k->mutex, NULL);
    condition_init(&k->wake);
    condition_init(&k->done);
    if (options->superblock->recovery & RECOVERY_INDEX)
        arena_pending_all(options->arena);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a map: base/guard.h; blocked it would be the end */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rv = -pthread_create(&k->thread, NULL, keeper_thread, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv < 0)
        keeper_free(k);
    else
        *ret_keeper = k;
    return rv;
}

void keeper_let_go(struct keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    atomic_store(&k->is_stopping, true);
    pthread_cond_signal(&k->wake);
    pthread_cond_broadcast(&k->done);
    pthread_mutex_unlock(&k->mutex);
}

int64_t keeper_waited_ms(const struct keeper *k, int64_t now_ms)
{
    return watch_waited_ms(&k->watch, now_ms);
}

void keeper_stop(struct keeper *k)
{
    keeper_let_go(k);
    pthread_join(k->thread, NULL);
    keeper_free(k);
}

bool keeper_sync(struct keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    uint64_t wanted = ++k->syncs_wanted;
    pthread_cond_signal(&k->wake);
    while (k->syncs_done < wanted && !atomic_load(&k->is_stopping))
        pthread_cond_wait(&k->done, &k->mutex);
    bool is_synced = k->syncs_done >= wanted && !k->has_failed;
    pthread_mutex_unlock(&k->mutex);
    return is_synced;
}

void keeper_recover(struct keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    while (!k->is_recovered && !atomic_load(&k->is_stopping))
        pthread_cond_wait(&k->done, &k->mutex);
    pthread_mutex_unlock(&k->mutex);
}

void keeper_stats(const struct keeper *k, struct keeper_stats *ret_stats)
{
    *ret_stats = (struct keeper_stats){.syncs = counter_read(&k->syncs),
                                       .verified = counter_read(&k->verified),
                                       .damaged = counter_read(&k->damaged),
                                       .restored = counter_read(&k->restored)};
}
