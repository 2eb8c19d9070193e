/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the arena is on the disk, and what is to be looked at before it is believed. For a thread that may
 * wait for the disk; regions are held while it does, and the mutex is not.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/arena_private.h"

/* ---- syncing ---- */

/* Takes a reference to the region if it was written to. *ret_mark: up to where its records are finished, or 0
 * when some are being written. */
static bool take_dirty(struct arena *a, struct arena_region *r, uint64_t *ret_mark)
{
    pthread_mutex_lock(&a->mutex);
    bool is_dirty = atomic_load_explicit(&r->region.sequence, memory_order_relaxed) != 0 && r->is_dirty;
    if (is_dirty) {
        region_ref(&r->region);
        r->is_dirty = r->writers > 0;
        *ret_mark = r->writers > 0 ? 0 : r->is_current ? a->streams[r->stream].fill_bytes : a->region_bytes;
    }
    pthread_mutex_unlock(&a->mutex);
    return is_dirty;
}

static void sync_region(struct arena *a, struct arena_region *r)
{
    uint64_t mark;
    if (!take_dirty(a, r, &mark))
        return;
    /* The kernel reports lost pages once, and then takes them for clean: they must not be served. */
    watch_begin(&a->sync_watch);
    FAULT_HANG("store.fdatasync_hangs");
    bool is_synced = !FAULT("store.fdatasync") && fdatasync(r->region.fd) == 0;
    watch_end(&a->sync_watch);
    if (!is_synced) {
        arena_lose(a, &r->region, "it cannot be written to the disk");
    } else {
        pthread_mutex_lock(&a->mutex);
        if (arena_region_is_live(r) && mark)
            r->next_mark = mark;
        pthread_mutex_unlock(&a->mutex);
    }
    region_unref(&r->region);
}

void arena_sync_data(struct arena *a)
{
    for (uint32_t i = 0; i < a->pool_count; i++)
        sync_region(a, &a->pool[i]);
    pthread_mutex_lock(&a->mutex);
    bool has_new_files = a->has_new_files;
    a->has_new_files = false;
    pthread_mutex_unlock(&a->mutex);
    if (has_new_files && fsync(a->folder->fd) < 0)
        counter_add_shared(&a->io_errors, 1);
}

void arena_sync_marks(struct arena *a)
{
    struct arena_region *r;
    pthread_mutex_lock(&a->mutex);
    LIST_FOR_EACH (r, &a->live, node) {
        if (r->next_mark)
            superblock_set_synced(a->superblock, r->slot, r->next_mark);
        r->next_mark = 0;
    }
    pthread_mutex_unlock(&a->mutex);
    if (!superblock_sync(a->superblock))
        counter_add_shared(&a->io_errors, 1);
}

/* ---- recovery ---- */

bool arena_pending_next(struct arena *a, struct arena_pending *ret_pending)
{
    struct arena_region *r, *newest = NULL;
    pthread_mutex_lock(&a->mutex);
    LIST_FOR_EACH (r, &a->live, node) {
        if (r->is_pending)
            newest = r;
    }
    if (newest) {
        newest->is_pending = false;
        region_ref(&newest->region);
        bool is_hidden = atomic_load_explicit(&newest->hidden_sequence, memory_order_relaxed) != 0;
        *ret_pending = (struct arena_pending){
            .region = &newest->region,
            .begin = {newest->slot, newest->file_sequence, REGION_HEAD_BYTES},
            .synced_bytes = is_hidden ? superblock_synced(a->superblock, newest->slot) : a->region_bytes};
    }
    pthread_mutex_unlock(&a->mutex);
    return newest != NULL;
}

void arena_pending_done(struct arena *a, const struct arena_pending *p)
{
    struct arena_region *r = arena_region_of(p->region);
    pthread_mutex_lock(&a->mutex);
    if (atomic_load_explicit(&r->hidden_sequence, memory_order_relaxed) != 0) {
        r->is_dirty = true; /* what was found damaged has been written over */
        atomic_store_explicit(&r->region.sequence, r->file_sequence, memory_order_release);
        atomic_store_explicit(&r->hidden_sequence, 0, memory_order_release);
    }
    arena_wake(a); /* it may be chosen to go */
    pthread_mutex_unlock(&a->mutex);
    region_unref(p->region);
}

void arena_pending_all(struct arena *a)
{
    struct arena_region *r;
    pthread_mutex_lock(&a->mutex);
    LIST_FOR_EACH (r, &a->live, node) {
        r->is_pending = true;
    }
    pthread_mutex_unlock(&a->mutex);
}

/* A file that was cut short grows again with the next record, over a hole: its size tells, as nothing ever
 * changes it. */
static bool is_cut_short(const struct arena *a, const struct store_region *region)
{
    struct stat st;
    return fstat(region->fd, &st) == 0 && (uint64_t)st.st_size != a->region_bytes;
}

void arena_lose_bad(struct arena *a)
{
    for (uint32_t i = 0; i < a->pool_count; i++) {
        struct store_region *region = &a->pool[i].region;
        uint32_t sequence = atomic_load_explicit(&region->sequence, memory_order_acquire);
        if (sequence == 0 || !region_try_ref(region, sequence))
            continue;
        if (is_cut_short(a, region)) {
            atomic_store_explicit(&region->is_bad, true, memory_order_release);
            arena_lose(a, region, "its file was truncated");
        } else if (region_is_bad(region)) {
            arena_lose(a, region, "it cannot be read");
        }
        region_unref(region);
    }
}

/* ---- scrubbing ---- */

struct store_region *arena_ref_finished(struct arena *a, uint32_t slot, struct arena_place *ret_begin)
{
    struct arena_region *r = &a->pool[slot];
    pthread_mutex_lock(&a->mutex);
    bool is_finished = atomic_load_explicit(&r->region.sequence, memory_order_relaxed) != 0 &&
                       !r->is_current && !r->is_pending && r->writers == 0;
    if (is_finished) {
        region_ref(&r->region);
        *ret_begin = (struct arena_place){r->slot, r->file_sequence, REGION_HEAD_BYTES};
    }
    pthread_mutex_unlock(&a->mutex);
    return is_finished ? &r->region : NULL;
}

void arena_touch(struct arena *a, struct store_region *region)
{
    pthread_mutex_lock(&a->mutex);
    arena_region_of(region)->is_dirty = true;
    pthread_mutex_unlock(&a->mutex);
}
