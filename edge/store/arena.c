/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions from creation to tear-down. Two locks: `upkeep_mutex` is held over system calls by whoever makes
 * room (the arena's thread, or a fill that found no spare); `mutex` guards the lists and is held for moments.
 * upkeep_mutex is taken first; nothing is taken under mutex.
 */
#include "store/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/list.h"
#include "base/log.h"
#include "store/folder.h"
#include "store/superblock.h"

#define EXTENT_ALIGN   64u
#define CREATE_RETRY_S 1 /* after a region could not be created */
#define MIB            (1024 * 1024.0)

static const char region_magic[8] = "SHOREREG";

/* One slot: its memory lasts as long as the arena, whatever file is in it. */
struct arena_region {
    struct store_region region;
    struct arena *arena;
    struct superblock_region *entry;
    uint32_t slot;

    /* guarded by arena.mutex */
    bool is_used;
    bool is_dirty;          /* written since the last sync */
    uint32_t file_sequence; /* also while it cannot be found */
    uint32_t writers;       /* unfinished extents: it is not reclaimed under them */
    struct list node;       /* in live, spares or dead; in none while held */

    char padding[40]; /* counts of two regions in one cache line would slow both */
};

_Static_assert(sizeof(struct arena_region) % 64 == 0, "whole cache lines");

struct arena {
    /* fixed */
    struct folder *folder;
    struct superblock *superblock;
    uint64_t region_bytes;
    uint32_t spares_wanted;
    uint32_t pool_count;
    struct arena_region *pool; /* by slot */
    pthread_t thread;
    bool thread_runs;

    pthread_mutex_t upkeep_mutex;
    pthread_mutex_t mutex;

    /* guarded by mutex */
    pthread_cond_t wake;
    bool is_woken, is_stopping;
    struct arena_region *current; /* the last of live, or NULL when nothing can be appended */
    uint64_t fill_bytes;          /* of current: where the next extent begins */
    struct list live;             /* oldest first */
    struct list spares;           /* in order of their sequences */
    struct list dead;             /* unlinked and unused: to be unmapped and closed */
    uint32_t budget_files, files; /* allowed; there are, in whatever state */
    uint32_t live_count, spare_count, held_count;
    int create_error; /* of the last attempt: fills do not try again themselves */

    counter_t reclaimed, tail_bytes, io_errors;
};

static struct arena_region *arena_region_of(struct store_region *r)
{
    return container_of(r, struct arena_region, region);
}

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

static uint32_t held_max(const struct arena *a)
{
    uint32_t needed = a->spares_wanted + 2; /* the current one, and one that can still be reclaimed */
    uint32_t bound = a->budget_files / 4 + 4;
    uint32_t room = a->budget_files > needed ? a->budget_files - needed : 0;
    return bound < room ? bound : room;
}

static void arena_wake(struct arena *a) /* under mutex */
{
    a->is_woken = true;
    pthread_cond_signal(&a->wake);
}

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

static void region_head_make(const struct arena *a, uint32_t slot, uint32_t sequence,
                             struct region_head *ret_head)
{
    struct region_head head = {.version = ARENA_FORMAT_VERSION,
                               .byte_order = ARENA_BYTE_ORDER,
                               .arena_id = a->superblock->arena_id,
                               .region_bytes = a->region_bytes,
                               .slot = slot,
                               .sequence = sequence};
    memcpy(head.magic, region_magic, sizeof(head.magic));
    head.sum = hash_sum(&head, offsetof(struct region_head, sum));
    *ret_head = head;
}

/* The file is there and mapped; it cannot be found yet. */
static void arena_region_begin(struct arena_region *r, uint32_t sequence)
{
    r->file_sequence = sequence;
    r->region.on_unused = on_unused;
    r->writers = 0;
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
    region_head_make(a, r->slot, sequence, &head);
    int rv = pwrite(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) ? 0 : -EIO;
    if (rv == 0)
        rv = region_map(&r->region, fd, a->region_bytes);
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

/* Opens what the superblock says is in this slot; NULL, or why it cannot be. */
static const char *region_file_open(struct arena *a, struct arena_region *r)
{
    char name[FOLDER_REGION_NAME_MAX];
    folder_region_name(r->slot, r->entry->sequence, name);
    int fd = openat(a->folder->fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return "it cannot be opened";
    struct stat st;
    struct region_head wanted, found;
    region_head_make(a, r->slot, r->entry->sequence, &wanted);
    const char *reason = NULL;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != a->region_bytes)
        reason = "it is of another size";
    else if (pread(fd, &found, sizeof(found), 0) != (ssize_t)sizeof(found) ||
             memcmp(&wanted, &found, sizeof(found)) != 0)
        reason = "its head is damaged";
    else if (region_map(&r->region, fd, a->region_bytes) < 0)
        reason = "it cannot be mapped";
    if (reason)
        close(fd);
    else
        arena_region_begin(r, r->entry->sequence);
    return reason;
}

static void region_file_unlink(struct arena *a, const struct arena_region *r)
{
    char name[FOLDER_REGION_NAME_MAX];
    folder_region_name(r->slot, r->file_sequence, name);
    unlinkat(a->folder->fd, name, 0);
}

/* ---- upkeep: each step holds upkeep_mutex, and mutex only to look and to link ---- */

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
    int rv = a->superblock->next_sequence == UINT32_MAX
                 ? -EOVERFLOW
                 : region_file_create(a, r, a->superblock->next_sequence++);
    pthread_mutex_lock(&a->mutex);
    if (rv == 0) {
        list_push_back(&a->spares, &r->node);
        a->spare_count++;
        a->create_error = 0;
    } else {
        on_create_failed(a, r, rv);
        rv = a->create_error;
    }
    pthread_mutex_unlock(&a->mutex);
    return rv < 0 ? rv : 1;
}

/* The oldest region that may go: nobody writes in it, and nobody reads it once too many are held. */
static struct arena_region *choose_oldest(struct arena *a) /* under mutex */
{
    struct arena_region *r;
    bool may_hold = a->held_count < held_max(a);
    LIST_FOR_EACH(r, &a->live, node)
    if (r != a->current && r->writers == 0 &&
        (may_hold || atomic_load_explicit(&r->region.refs, memory_order_relaxed) == 1))
        return r;
    return NULL;
}

static void unlink_live(struct arena *a, struct arena_region *r) /* under mutex */
{
    list_remove(&r->node);
    a->live_count--;
    a->held_count++;
    atomic_store_explicit(&r->region.sequence, 0, memory_order_release);
    atomic_store_explicit(&r->entry->state, REGION_FREE, memory_order_release);
}

static void reclaim(struct arena *a, struct arena_region *r)
{
    region_file_unlink(a, r);
    counter_add_shared(&a->reclaimed, 1);
    region_unref(&r->region);
}

/* One thing that makes a spare more likely. 1: done, 0: nothing to do, or a negative errno. */
static int upkeep_step(struct arena *a, uint32_t spares_wanted)
{
    struct arena_region *dead = NULL, *fresh = NULL, *oldest = NULL;
    pthread_mutex_lock(&a->mutex);
    if (!list_is_empty(&a->dead)) {
        dead = LIST_FIRST(&a->dead, struct arena_region, node);
        list_remove(&dead->node);
    } else if (a->files < a->budget_files) {
        fresh = take_free_slot(a);
    } else if (a->spare_count < spares_wanted && (oldest = choose_oldest(a)) != NULL) {
        unlink_live(a, oldest);
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

/* A fill found no spare: the thread is behind. Works until there is one; 0 or a negative errno. */
static int make_spare_now(struct arena *a)
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
        else if ((rv = upkeep_step(a, 1)) == 0)
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
        int rv = upkeep_step(a, a->spares_wanted);
        pthread_mutex_unlock(&a->upkeep_mutex);
        pthread_mutex_lock(&a->mutex);
        if (rv <= 0)
            upkeep_wait(a, rv < 0);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* ---- extents ---- */

static bool extent_append(struct arena *a, uint64_t prefix_bytes, uint64_t body_bytes,
                          uint64_t body_alignment, struct arena_extent *ret_extent) /* under mutex */
{
    struct arena_region *r = a->current;
    if (!r)
        return false;
    uint64_t body = align_up(a->fill_bytes + prefix_bytes, body_alignment);
    uint64_t end = align_up(body + body_bytes, EXTENT_ALIGN);
    if (end > a->region_bytes)
        return false;
    *ret_extent = (struct arena_extent){.region = &r->region,
                                        .place = {r->slot, r->file_sequence, a->fill_bytes},
                                        .body_offset_bytes = body,
                                        .end_offset_bytes = end};
    a->fill_bytes = end;
    r->writers++;
    r->is_dirty = true;
    region_ref(&r->region);
    return true;
}

static void current_set(struct arena *a, struct arena_region *r, uint64_t fill_bytes) /* under mutex */
{
    list_push_back(&a->live, &r->node);
    a->live_count++;
    a->current = r;
    a->fill_bytes = fill_bytes;
    atomic_store_explicit(&r->entry->state, REGION_LIVE, memory_order_release);
    atomic_store_explicit(&r->region.sequence, r->file_sequence, memory_order_release);
}

/* The current region is full; a spare takes its place. False when there is none. */
static bool current_replace(struct arena *a) /* under mutex */
{
    if (list_is_empty(&a->spares))
        return false;
    if (a->current) {
        counter_add_shared(&a->tail_bytes, a->region_bytes - a->fill_bytes);
        a->current->entry->fill_bytes = a->region_bytes;
    }
    struct arena_region *r = LIST_FIRST(&a->spares, struct arena_region, node);
    list_remove(&r->node);
    a->spare_count--;
    current_set(a, r, REGION_HEAD_BYTES);
    arena_wake(a);
    return true;
}

int arena_reserve(struct arena *a, uint64_t prefix_bytes, uint64_t body_bytes, uint64_t body_alignment,
                  struct arena_extent *ret_extent)
{
    REQUIRE(prefix_bytes + body_bytes + body_alignment <= a->region_bytes / 2);
    for (;;) {
        pthread_mutex_lock(&a->mutex);
        bool fits =
            extent_append(a, prefix_bytes, body_bytes, body_alignment, ret_extent) ||
            (current_replace(a) && extent_append(a, prefix_bytes, body_bytes, body_alignment, ret_extent));
        pthread_mutex_unlock(&a->mutex);
        if (fits)
            return 0;
        /* Others may take the spare that was made: each time round, one of them got on. */
        int rv = make_spare_now(a);
        if (rv < 0)
            return rv;
    }
}

void arena_trim(struct arena *a, struct arena_extent *x, uint64_t end_offset_bytes)
{
    REQUIRE(end_offset_bytes % EXTENT_ALIGN == 0 && end_offset_bytes <= x->end_offset_bytes);
    pthread_mutex_lock(&a->mutex);
    if (a->current == arena_region_of(x->region) && a->fill_bytes == x->end_offset_bytes)
        a->fill_bytes = x->end_offset_bytes = end_offset_bytes;
    pthread_mutex_unlock(&a->mutex);
}

void arena_finish(struct arena *a, struct arena_extent *x)
{
    pthread_mutex_lock(&a->mutex);
    arena_region_of(x->region)->writers--;
    pthread_mutex_unlock(&a->mutex);
}

/* ---- places ---- */

static struct arena_region *region_at(struct arena *a, const struct arena_place *place)
{
    return place->sequence != 0 && place->slot < a->pool_count ? &a->pool[place->slot] : NULL;
}

struct store_region *arena_ref(struct arena *a, const struct arena_place *place)
{
    struct arena_region *r = region_at(a, place);
    return r && region_try_ref(&r->region, place->sequence) ? &r->region : NULL;
}

bool arena_has(struct arena *a, const struct arena_place *place)
{
    struct arena_region *r = region_at(a, place);
    return r && atomic_load_explicit(&r->region.sequence, memory_order_acquire) == place->sequence;
}

struct arena_place arena_place_of(struct arena *a, struct store_region *region, uint64_t offset_bytes)
{
    struct arena_region *r = arena_region_of(region);
    REQUIRE(r->arena == a);
    return (struct arena_place){r->slot, r->file_sequence, offset_bytes};
}

void arena_count_object(struct arena *a, const struct arena_place *place, int change)
{
    struct store_region *region = arena_ref(a, place);
    if (!region)
        return;
    atomic_fetch_add_explicit(&arena_region_of(region)->entry->objects, (uint32_t)change,
                              memory_order_relaxed);
    region_unref(region);
}

void arena_stats(struct arena *a, struct arena_stats *ret_stats)
{
    struct arena_region *r;
    struct arena_stats stats = {.reclaimed = counter_read(&a->reclaimed),
                                .tail_bytes = counter_read(&a->tail_bytes),
                                .io_errors = counter_read(&a->io_errors)};
    pthread_mutex_lock(&a->mutex);
    stats.regions_live = a->live_count;
    stats.regions_held = a->held_count;
    LIST_FOR_EACH(r, &a->live, node)
    stats.objects += atomic_load_explicit(&r->entry->objects, memory_order_relaxed);
    pthread_mutex_unlock(&a->mutex);
    *ret_stats = stats;
}

/* ---- opening and closing (no other thread is there) ---- */

static void regions_load(struct arena *a)
{
    for (uint32_t i = 0; i < a->pool_count; i++) {
        struct arena_region *r = &a->pool[i];
        if (atomic_load_explicit(&r->entry->state, memory_order_acquire) == REGION_FREE)
            continue;
        const char *reason = region_file_open(a, r);
        if (reason) {
            log_warn("arena %s: region %" PRIu32 " is dropped: %s", a->folder->path, i, reason);
            counter_add_shared(&a->io_errors, 1);
            atomic_store_explicit(&r->entry->state, REGION_FREE, memory_order_release);
            continue;
        }
        r->is_used = true;
        a->files++;
    }
}

static void unlink_unknown(void *context, const char *name)
{
    struct arena *a = context;
    uint32_t slot, sequence;
    if (!folder_parse_region_name(name, &slot, &sequence))
        return;
    if (slot >= a->pool_count || !a->pool[slot].is_used || a->pool[slot].file_sequence != sequence)
        unlinkat(a->folder->fd, name, 0);
}

static int compare_sequence(const void *left, const void *right)
{
    const struct arena_region *l = *(struct arena_region *const *)left,
                              *r = *(struct arena_region *const *)right;
    return l->file_sequence < r->file_sequence ? -1 : l->file_sequence > r->file_sequence;
}

/* Links what was loaded, in order of sequence; the last live one is filled on if it is known how far it is.
 */
static int regions_link(struct arena *a, bool was_clean)
{
    struct arena_region **sorted = calloc(a->pool_count, sizeof(struct arena_region *));
    uint32_t count = 0;
    if (!sorted)
        return -ENOMEM;
    for (uint32_t i = 0; i < a->pool_count; i++)
        if (a->pool[i].is_used)
            sorted[count++] = &a->pool[i];
    qsort(sorted, count, sizeof(struct arena_region *), compare_sequence);
    for (uint32_t i = 0; i < count; i++) {
        struct arena_region *r = sorted[i];
        if (atomic_load_explicit(&r->entry->state, memory_order_relaxed) == REGION_SPARE) {
            list_push_back(&a->spares, &r->node);
            a->spare_count++;
            continue;
        }
        current_set(a, r, was_clean ? align_up(r->entry->fill_bytes, EXTENT_ALIGN) : a->region_bytes);
    }
    free(sorted);
    return 0;
}

static struct arena_region *choose_surplus(struct arena *a)
{
    if (!list_is_empty(&a->spares)) {
        struct arena_region *r = LIST_FIRST(&a->spares, struct arena_region, node);
        list_remove(&r->node);
        a->spare_count--;
        list_push_back(&a->live, &r->node); /* reclaimed as a live one would be */
        a->live_count++;
        return r;
    }
    return LIST_FIRST(&a->live, struct arena_region, node);
}

/* The budget became smaller: spares go first, then the oldest. */
static void regions_shrink(struct arena *a)
{
    while (a->files > a->budget_files) {
        struct arena_region *r = choose_surplus(a);
        if (r == a->current)
            a->current = NULL;
        unlink_live(a, r);
        reclaim(a, r);
        while (!list_is_empty(&a->dead))
            upkeep_step(a, 0);
    }
}

static int check_room(struct arena *a, const struct arena_options *options, struct buf *error)
{
    struct statvfs fs;
    if (fstatvfs(a->folder->fd, &fs) < 0)
        return 0; /* creating the files will tell */
    uint64_t needed = (a->budget_files - a->files) * a->region_bytes + options->room_bytes;
    uint64_t found = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (needed <= found)
        return 0;
    buf_printf(error, "arena %s of %.0f MiB needs %.0f MiB more, and the file system has %.0f MiB free",
               a->folder->path, (double)options->size_bytes / MIB, (double)needed / MIB, (double)found / MIB);
    return -ENOSPC;
}

int arena_check(const struct arena_options *o, const char *path, struct buf *error)
{
    uint64_t count = o->region_bytes ? o->size_bytes / o->region_bytes : 0;
    if (o->region_bytes < 16 * REGION_HEAD_BYTES || (o->region_bytes & (o->region_bytes - 1)) != 0)
        buf_printf(error, "arena %s: the region size must be a power of two of at least 64 KiB", path);
    else if (count < ARENA_REGIONS_MIN)
        buf_printf(error,
                   "arena %s of %.2f MiB holds %" PRIu64 " regions of %.2f MiB; at least %u are needed", path,
                   (double)o->size_bytes / MIB, count, (double)o->region_bytes / MIB, ARENA_REGIONS_MIN);
    else if (count > SUPERBLOCK_REGIONS_MAX)
        buf_printf(error,
                   "arena %s would have %" PRIu64 " regions, at most %u are possible: make regions larger",
                   path, count, SUPERBLOCK_REGIONS_MAX);
    else
        return 0;
    return -EINVAL;
}

static uint32_t highest_slot(const struct superblock *sb)
{
    uint32_t count = SUPERBLOCK_REGIONS_MAX;
    while (count > 0 &&
           atomic_load_explicit(&sb->regions[count - 1].state, memory_order_relaxed) == REGION_FREE)
        count--;
    return count;
}

static void pool_init(struct arena *a)
{
    for (uint32_t i = 0; i < a->pool_count; i++) {
        struct arena_region *r = &a->pool[i];
        r->arena = a;
        r->slot = i;
        r->entry = &a->superblock->regions[i];
        r->region.fd = -1;
        list_init(&r->node);
    }
}

static struct arena *arena_new(const struct arena_options *options, struct folder *folder,
                               struct superblock *sb)
{
    struct arena *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->folder = folder;
    a->superblock = sb;
    a->region_bytes = options->region_bytes;
    a->budget_files = (uint32_t)(options->size_bytes / options->region_bytes);
    a->spares_wanted = a->budget_files >= 16 ? 2 : 1;
    uint32_t slots = highest_slot(sb);
    a->pool_count = slots > a->budget_files ? slots : a->budget_files;
    a->pool = aligned_alloc(64, a->pool_count * sizeof(struct arena_region));
    if (!a->pool) {
        free(a);
        return NULL;
    }
    memset(a->pool, 0, a->pool_count * sizeof(struct arena_region));
    pool_init(a);
    list_init(&a->live);
    list_init(&a->spares);
    list_init(&a->dead);
    pthread_mutex_init(&a->upkeep_mutex, NULL);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&a->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return a;
}

static void arena_free(struct arena *a)
{
    for (uint32_t i = 0; i < a->pool_count; i++) {
        struct arena_region *r = &a->pool[i];
        if (!r->is_used || !CHECK(atomic_load(&r->region.refs) <= 1))
            continue;
        atomic_store(&r->region.refs, 0);
        region_unmap(&r->region);
    }
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->mutex);
    pthread_mutex_destroy(&a->upkeep_mutex);
    free(a->pool);
    free(a);
}

/* Signals are for others: the thread blocks them all. */
static int thread_start(struct arena *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rv = -pthread_create(&a->thread, NULL, arena_thread, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    a->thread_runs = rv == 0;
    return rv;
}

static void thread_stop(struct arena *a)
{
    if (!a->thread_runs)
        return;
    pthread_mutex_lock(&a->mutex);
    a->is_stopping = true;
    arena_wake(a);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    a->thread_runs = false;
}

int arena_open(const struct arena_options *options, struct folder *folder, struct superblock *sb,
               bool was_clean, struct buf *error, struct arena **ret_arena)
{
    struct arena *a = arena_new(options, folder, sb);
    if (!a)
        return -ENOMEM;
    regions_load(a);
    folder_for_each(folder, unlink_unknown, a);
    int rv = regions_link(a, was_clean);
    if (rv == 0) {
        regions_shrink(a);
        rv = check_room(a, options, error);
    }
    if (rv == 0 && (rv = make_spare_now(a)) < 0)
        buf_printf(error, "arena %s: a region of %.2f MiB cannot be created: %s", folder->path,
                   (double)a->region_bytes / MIB, strerror(-rv));
    if (rv == 0 && (rv = thread_start(a)) < 0)
        buf_printf(error, "arena %s: its thread cannot be started: %s", folder->path, strerror(-rv));
    if (rv < 0)
        arena_free(a);
    else
        *ret_arena = a;
    return rv;
}

static bool region_sync(struct arena_region *r)
{
    if (!r->is_dirty)
        return true;
    if (fdatasync(r->region.fd) < 0)
        return false;
    r->is_dirty = false;
    r->entry->synced_bytes = r->entry->fill_bytes;
    return true;
}

bool arena_close(struct arena *a)
{
    bool synced = true;
    struct arena_region *r;
    thread_stop(a);
    while (!list_is_empty(&a->dead))
        upkeep_step(a, 0);
    if (a->current)
        a->current->entry->fill_bytes = a->fill_bytes;
    LIST_FOR_EACH(r, &a->live, node)
    synced = region_sync(r) && synced;
    arena_free(a);
    return synced;
}
