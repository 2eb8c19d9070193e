/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions from creation to tear-down, ahead of need. Two locks: `upkeep_mutex` is held over system calls by
 * whoever makes room (the arena's thread, or a fill that found no spare); `mutex` guards the lists and is
 * held for moments. upkeep_mutex is taken first; nothing is taken under mutex.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "store/arena_private.h"
#include "store/residency.h"

#define CREATE_RETRY_S 1 /* after a region could not be created */

static const char region_magic[8] = "SHOREREG";

static void on_unused(struct store_region *region)
{
    struct arena_region *r = arena_region_of(region);
    struct arena *a = r->arena;
    pthread_mutex_lock(&a->mutex);
    a->held_count--;
    list_push_back(&a->dead, &r->node);
    arena_wake(a);
    pthread_mutex_unlock(&a->mutex);
}

/* ---- region files ---- */

void arena_region_head(const struct arena *a, const struct arena_region *r, uint32_t sequence,
                       struct region_head *ret_head)
{
    struct region_head head = {.version = ARENA_FORMAT_VERSION,
                               .byte_order = ARENA_BYTE_ORDER,
                               .arena_id = a->superblock->arena_id,
                               .region_bytes = a->region_bytes,
                               .slot = r->slot,
                               .sequence = sequence};
    memcpy(head.magic, region_magic, sizeof(head.magic));
    head.sum = hash_sum(&head, offsetof(struct region_head, sum));
    *ret_head = head;
}

void arena_region_begin(struct arena_region *r, uint32_t sequence)
{
    residency_attach(&r->region, r->arena->prefetch);
    r->file_sequence = sequence;
    r->region.on_unused = on_unused;
    r->writers = 0;
    r->is_dirty = r->is_current = r->is_chosen = false;
    r->put_off_at = 0;
    atomic_store_explicit(&r->region.is_bad, false, memory_order_relaxed);
    atomic_store_explicit(&r->region.sequence, 0, memory_order_relaxed);
    atomic_store_explicit(&r->region.refs, 1, memory_order_release);
}

static int region_file_create(struct arena *a, struct arena_region *r, uint32_t sequence)
{
    char name[FOLDER_REGION_NAME_MAX];
    folder_region_name(r->slot, sequence, name);
    int fd = folder_create_file(a->folder, name, a->region_bytes);
    if (fd < 0)
        return fd;
    struct region_head head;
    arena_region_head(a, r, sequence, &head);
    int rv = pwrite(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) ? 0 : -EIO;
    if (rv == 0)
        rv = region_map(&r->region, fd, a->region_bytes, true);
    if (rv < 0) {
        close(fd);
        unlinkat(a->folder->fd, name, 0);
        return rv;
    }
    arena_region_begin(r, sequence);
    r->entry->sequence = sequence;
    r->entry->fill_bytes = REGION_HEAD_BYTES;
    r->entry->synced_bytes = 0;
    atomic_store_explicit(&r->entry->objects, 0, memory_order_relaxed);
    atomic_store_explicit(&r->entry->state, REGION_SPARE, memory_order_release);
    return 0;
}

static void region_file_unlink(struct arena *a, const struct arena_region *r)
{
    char name[FOLDER_REGION_NAME_MAX];
    folder_region_name(r->slot, r->file_sequence, name);
    unlinkat(a->folder->fd, name, 0);
}

/* ---- steps: each holds upkeep_mutex, and mutex only to look and to link ---- */

static uint32_t held_max(const struct arena *a)
{
    uint32_t needed =
        a->spares_wanted + a->stream_count + 1; /* the current ones, and one that can still be reclaimed */
    uint32_t bound = a->budget_files / 4 + 4;
    uint32_t room = a->budget_files > needed ? a->budget_files - needed : 0;
    return bound < room ? bound : room;
}

bool arena_is_pressed(struct arena *a)
{
    pthread_mutex_lock(&a->mutex);
    uint32_t max = held_max(a);
    bool is_pressed = a->held_count > 0 && a->held_count >= max - max / 4;
    pthread_mutex_unlock(&a->mutex);
    return is_pressed;
}

bool arena_is_held(const struct arena *a, const struct store_region *region)
{
    const struct arena_region *r = container_of(region, struct arena_region, region);
    return arena_owns(a, region) && !arena_region_is_live(r);
}

static void tear_down(struct arena *a, struct arena_region *r)
{
    region_unmap(&r->region);
    pthread_mutex_lock(&a->mutex);
    r->is_used = false;
    a->files--;
    pthread_mutex_unlock(&a->mutex);
}

static struct arena_region *take_free_slot(struct arena *a) /* under mutex */
{
    for (uint32_t i = 0; i < a->pool_count; i++)
        if (!a->pool[i].is_used) {
            a->pool[i].is_used = true;
            a->files++;
            return &a->pool[i];
        }
    UNREACHABLE();
}

/* Out of disk space with enough regions to go on: the arena becomes as large as it is. */
static void on_create_failed(struct arena *a, struct arena_region *r, int error) /* under mutex */
{
    r->is_used = false;
    a->files--;
    counter_add_shared(&a->io_errors, 1);
    if ((error == -ENOSPC || error == -EDQUOT) && a->files >= ARENA_REGIONS_MIN) {
        a->budget_files = a->files;
        log_warn("arena %s: the disk is full, it goes on with %.0f MiB", a->folder->path,
                 (double)a->files * (double)a->region_bytes / MIB);
        return;
    }
    if (!a->create_error)
        log_error("arena %s: a region cannot be created: %s", a->folder->path, strerror(-error));
    a->create_error = error;
}

static int create_spare(struct arena *a, struct arena_region *r)
{
    int rv = -EOVERFLOW;
    if (a->next_sequence != UINT32_MAX) {
        a->superblock->next_sequence = a->next_sequence + 1;
        rv = region_file_create(a, r, a->next_sequence++);
    }
    pthread_mutex_lock(&a->mutex);
    if (rv == 0) {
        list_push_back(&a->spares, &r->node);
        a->spare_count++;
        a->create_error = 0;
        a->has_new_files = true;
    } else {
        on_create_failed(a, r, rv);
        rv = a->create_error;
    }
    pthread_mutex_unlock(&a->mutex);
    return rv < 0 ? rv : 1;
}

bool arena_may_go(const struct arena *a, const struct arena_region *r)
{
    uint32_t own = r->is_chosen ? 2 : 1; /* the arena's references */
    bool is_read = atomic_load_explicit(&r->region.refs, memory_order_relaxed) > own;
    return r->writers == 0 && (!is_read || a->held_count < held_max(a));
}

/* The oldest region that may go. When there must be one: rather than others the one that is being evacuated,
 * as most of what is worth it has left it; and where only current ones are left, as in a small arena that is
 * read a lot, one of them: its stream goes on in another. */
static struct arena_region *choose_oldest(struct arena *a, bool is_urgent) /* under mutex */
{
    struct arena_region *r, *oldest = NULL, *current = NULL;
    LIST_FOR_EACH (r, &a->live, node) {
        if (!arena_may_go(a, r))
            continue;
        if (r->is_chosen)
            return r;
        if (r->is_current)
            current = current ? current : r;
        else
            oldest = oldest ? oldest : r;
        if (oldest && !a->evacuation.evacuate)
            break;
    }
    return oldest || !is_urgent || a->stream_count == 1 ? oldest : current;
}

/* No longer found; those who hold it keep it. */
static void withdraw(struct arena *a, struct arena_region *r) /* under mutex */
{
    if (r->is_current)
        arena_region_end_filling(a, r);
    arena_uncount_region(a, r);
    list_remove(&r->node);
    a->live_count--;
    r->is_pending = false;
    r->next_mark = 0;
    counter_add_shared(&a->reclaimed, 1); /* first: who misses an object of it sees the count */
    atomic_store_explicit(&r->region.sequence, 0, memory_order_release);
    atomic_store_explicit(&r->hidden_sequence, 0, memory_order_release);
    atomic_store_explicit(&r->entry->state, REGION_FREE, memory_order_release);
}

/* Unlinks what was withdrawn and gives back the arena's own reference; the last reader goes through
 * on_unused. */
static void reclaim(struct arena *a, struct arena_region *r)
{
    region_file_unlink(a, r);
    if (a->evacuation.evacuate && !r->is_chosen)
        a->evacuation.lost(a->evacuation.user, r->slot);
    pthread_mutex_lock(&a->mutex);
    if (atomic_fetch_sub_explicit(&r->region.refs, 1, memory_order_acq_rel) == 1)
        list_push_back(&a->dead, &r->node);
    else
        a->held_count++;
    pthread_mutex_unlock(&a->mutex);
}

void arena_drop(struct arena *a, struct arena_region *r)
{
    pthread_mutex_lock(&a->mutex);
    withdraw(a, r);
    pthread_mutex_unlock(&a->mutex);
    reclaim(a, r);
}

void arena_lose(struct arena *a, struct store_region *region, const char *reason)
{
    struct arena_region *r = arena_region_of(region);
    pthread_mutex_lock(&a->upkeep_mutex);
    pthread_mutex_lock(&a->mutex);
    bool is_live = arena_region_is_live(r);
    if (is_live) {
        withdraw(a, r);
        counter_add_shared(&a->io_errors, 1);
        arena_wake(a);
    }
    pthread_mutex_unlock(&a->mutex);
    if (is_live) {
        log_error("arena %s: region %" PRIu32 " is dropped: %s", a->folder->path, r->slot, reason);
        reclaim(a, r);
    }
    pthread_mutex_unlock(&a->upkeep_mutex);
}

static struct arena_region *take_dead(struct arena *a) /* under mutex */
{
    if (list_is_empty(&a->dead))
        return NULL;
    struct arena_region *r = LIST_FIRST(&a->dead, struct arena_region, node);
    list_remove(&r->node);
    return r;
}

void arena_tear_down_all(struct arena *a)
{
    struct arena_region *r;
    while ((r = take_dead(a)) != NULL)
        tear_down(a, r);
}

/* What is evacuated first is seen to elsewhere (arena_evacuate.c), unless it is urgent. */
static bool is_reclaim_due(const struct arena *a, uint32_t spares_wanted) /* under mutex */
{
    return spares_wanted == 0 ? a->spare_count == 0
                              : a->spare_count < spares_wanted && !a->evacuation.evacuate;
}

/* One thing that makes a spare more likely. spares_wanted 0: one, whatever it takes. 1: done, 0: nothing to
 * do, or a negative errno. */
static int upkeep_step(struct arena *a, uint32_t spares_wanted)
{
    struct arena_region *fresh = NULL, *oldest = NULL;
    pthread_mutex_lock(&a->mutex);
    struct arena_region *dead = take_dead(a);
    if (!dead && a->files < a->budget_files)
        fresh = take_free_slot(a);
    else if (!dead && is_reclaim_due(a, spares_wanted) &&
             (oldest = choose_oldest(a, spares_wanted == 0)) != NULL) {
        a->is_full = true;
        counter_add_shared(&a->hurried, a->evacuation.evacuate != NULL);
        withdraw(a, oldest);
    }
    pthread_mutex_unlock(&a->mutex);
    if (dead)
        tear_down(a, dead);
    else if (fresh)
        return create_spare(a, fresh);
    else if (oldest)
        reclaim(a, oldest);
    return dead || oldest ? 1 : 0;
}

int arena_make_spare(struct arena *a)
{
    int rv = 1;
    pthread_mutex_lock(&a->upkeep_mutex);
    while (rv > 0) {
        pthread_mutex_lock(&a->mutex);
        bool is_there = a->spare_count > 0;
        int error = a->create_error;
        pthread_mutex_unlock(&a->mutex);
        if (is_there || error)
            rv = is_there ? 0 : error;
        else if ((rv = upkeep_step(a, 0)) == 0)
            rv = -ENOBUFS;
    }
    pthread_mutex_unlock(&a->upkeep_mutex);
    return rv;
}

static void upkeep_wait(struct arena *a, bool has_failed) /* under mutex */
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CREATE_RETRY_S;
    int rv = 0;
    while (!a->is_woken && !a->is_stopping && rv != ETIMEDOUT)
        rv = has_failed ? pthread_cond_timedwait(&a->wake, &a->mutex, &until)
                        : pthread_cond_wait(&a->wake, &a->mutex);
}

static void *arena_thread(void *argument)
{
    struct arena *a = argument;
    pthread_mutex_lock(&a->mutex);
    while (!a->is_stopping) {
        a->is_woken = false;
        pthread_mutex_unlock(&a->mutex);
        pthread_mutex_lock(&a->upkeep_mutex);
        watch_begin(&a->upkeep_watch);
        int rv = upkeep_step(a, a->spares_wanted);
        watch_end(&a->upkeep_watch);
        pthread_mutex_unlock(&a->upkeep_mutex);
        if (rv == 0 && arena_evacuate_step(a))
            rv = 1;
        pthread_mutex_lock(&a->mutex);
        if (rv <= 0)
            upkeep_wait(a, rv < 0);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* Signals are for others: the thread blocks them all. */
int arena_start(struct arena *a)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a map: base/guard.h; blocked it would be the end */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rv = -pthread_create(&a->thread, NULL, arena_thread, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    a->thread_runs = rv == 0;
    return rv;
}

void arena_let_go(struct arena *a)
{
    pthread_mutex_lock(&a->mutex);
    a->is_stopping = true;
    arena_wake(a);
    pthread_mutex_unlock(&a->mutex);
}

int64_t arena_waited_ms(const struct arena *a, int64_t now_ms)
{
    int64_t upkeep_ms = watch_waited_ms(&a->upkeep_watch, now_ms);
    int64_t sync_ms = watch_waited_ms(&a->sync_watch, now_ms);
    return upkeep_ms > sync_ms ? upkeep_ms : sync_ms;
}

void arena_stop(struct arena *a)
{
    if (!a->thread_runs)
        return;
    arena_let_go(a);
    pthread_join(a->thread, NULL);
    a->thread_runs = false;
}
