/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what a folder holds, fitting it to the configured size, and closing. No other thread is there yet,
 * or any more. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/arena_private.h"

#define REGION_BYTES_MIN ((uint64_t)64 * 1024)

/* Opens what the superblock says is in this slot. 0, -EBADMSG when it is not what it should be, with a
 * reason, or what the process ran out of, which says nothing about the file. */
static int region_file_open(struct arena *a, struct arena_region *r, const char **ret_reason)
{
    char name[FOLDER_REGION_NAME_MAX];
    folder_region_name(r->slot, r->entry->sequence, name);
    int fd = openat(a->folder->fd, name, O_RDWR | O_CLOEXEC);
    *ret_reason = "it cannot be opened";
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -EBADMSG;
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* before the first read: store/residency.h */
    struct stat st;
    struct region_head wanted, found;
    arena_region_head(a, r, r->entry->sequence, &wanted);
    int rv = -EBADMSG;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != a->region_bytes)
        *ret_reason = "it is of another size";
    else if (pread(fd, &found, sizeof(found), 0) != (ssize_t)sizeof(found) ||
             memcmp(&wanted, &found, sizeof(found)) != 0)
        *ret_reason = "its head is damaged";
    else
        rv = region_map(&r->region, fd, a->region_bytes, true);
    if (rv < 0)
        close(fd);
    else
        arena_region_begin(r, r->entry->sequence);
    return rv;
}

/* After a power loss it is not known whether a spare was still one: only what was live is taken over. */
static bool is_wanted(const struct arena_region *r, enum superblock_left left)
{
    uint32_t state = atomic_load_explicit(&r->entry->state, memory_order_acquire);
    return state == REGION_LIVE || (state == REGION_SPARE && left != LEFT_BY_POWER_LOSS);
}

static int regions_load(struct arena *a, enum superblock_left left, struct buf *error)
{
    for (uint32_t i = 0; i < a->pool_count; i++) {
        struct arena_region *r = &a->pool[i];
        const char *reason;
        if (!is_wanted(r, left)) {
            atomic_store_explicit(&r->entry->state, REGION_FREE, memory_order_release);
            continue;
        }
        int rv = region_file_open(a, r, &reason);
        if (rv == -EBADMSG) {
            log_warn("arena %s: region %" PRIu32 " is dropped: %s", a->folder->path, i, reason);
            counter_add_shared(&a->io_errors, 1);
            atomic_store_explicit(&r->entry->state, REGION_FREE, memory_order_release);
        } else if (rv < 0) {
            buf_printf(error, "arena %s: only %" PRIu32 " of its regions can be opened: %s", a->folder->path,
                       a->files, strerror(-rv));
            return rv;
        } else {
            r->is_used = true;
            a->files++;
        }
    }
    return 0;
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

static void region_link_live(struct arena *a, struct arena_region *r, enum superblock_left left)
{
    uint64_t fill = r->entry->fill_bytes;
    bool is_fill_known = left == LEFT_CLEAN && fill >= REGION_HEAD_BYTES && fill <= a->region_bytes &&
                         fill % EXTENT_ALIGN == 0;
    bool is_synced = superblock_synced(a->superblock, r->slot) == a->region_bytes;
    r->is_pending = left == LEFT_BY_POWER_LOSS && !is_synced;
    r->is_dirty = left == LEFT_BY_KILL && !is_synced;
    arena_link_live(a, r, r->is_pending);
    r->sealed_at_ms = (int64_t)clock_monotonic_ms(); /* nobody knows any more */
    r->entry->fill_bytes = a->region_bytes;
    if (is_fill_known && fill < a->region_bytes && r->entry->stream < a->stream_count)
        arena_region_begin_filling(a, r, r->entry->stream, fill);
}

/* Links what was loaded, in order of sequence; of each stream the last live one is filled on if it is known
 * how far it is. */
static int regions_link(struct arena *a, enum superblock_left left)
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
        region_link_live(a, r, left);
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
        arena_drop(a, choose_surplus(a));
        arena_tear_down_all(a);
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
    if (o->region_bytes < REGION_BYTES_MIN || (o->region_bytes & (o->region_bytes - 1)) != 0)
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
        r->site_units = &a->site_units[(size_t)i * (sites_count(a->sites) + 1)];
        r->region.fd = -1;
        list_init(&r->node);
    }
}

/* What is evacuated needs room before it makes some. */
static uint32_t spares_wanted(uint32_t files)
{
    return files >= 64 ? 3 : files >= 8 ? 2 : 1;
}

/* Each stream has a region that is not full: they must be few of all. */
static uint32_t stream_count(uint32_t files, uint32_t wanted)
{
    uint32_t bound = files >= 16 ? ARENA_STREAMS_MAX : files >= 8 ? 2 : 1;
    return wanted == 0 ? 1 : wanted < bound ? wanted : bound;
}

static struct arena *arena_new(const struct arena_options *options, struct folder *folder,
                               struct superblock *sb)
{
    struct arena *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->folder = folder;
    a->superblock = sb;
    /* A sequence number for each opening: more than one region's records are never sealed without another
     * region, so orders of this opening begin behind all of those before. */
    a->next_order = (uint64_t)sb->next_sequence++ << 32;
    a->next_sequence = sb->next_sequence;
    a->region_bytes = options->region_bytes;
    a->prefetch = options->prefetch;
    a->budget_files = (uint32_t)(options->size_bytes / options->region_bytes);
    a->spares_wanted = spares_wanted(a->budget_files);
    a->stream_count = stream_count(a->budget_files, options->streams);
    uint32_t slots = highest_slot(sb);
    a->pool_count = slots > a->budget_files ? slots : a->budget_files;
    a->sites = options->sites;
    a->pool = aligned_alloc(64, align_up(a->pool_count * sizeof(struct arena_region), 64));
    a->site_units = calloc((size_t)a->pool_count * (sites_count(a->sites) + 1), sizeof(*a->site_units));
    a->site_bytes = calloc(sites_count(a->sites) + 1, sizeof(*a->site_bytes));
    if (!a->pool || !a->site_units || !a->site_bytes) {
        free(a->pool);
        free(a->site_units);
        free((void *)a->site_bytes);
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
    free(a->site_units);
    free((void *)a->site_bytes);
    free(a);
}

int arena_open(const struct arena_options *options, struct folder *folder, struct superblock *sb,
               enum superblock_left left, struct buf *error, struct arena **ret_arena)
{
    struct arena *a = arena_new(options, folder, sb);
    if (!a)
        return -ENOMEM;
    int rv = regions_load(a, left, error);
    if (rv == 0)
        rv = regions_link(a, left);
    if (rv == 0) {
        folder_for_each(folder, unlink_unknown, a);
        regions_shrink(a);
        rv = check_room(a, options, error);
    }
    if (rv == 0 && (rv = arena_make_spare(a)) < 0)
        buf_printf(error, "arena %s: a region of %.2f MiB cannot be created: %s", folder->path,
                   (double)a->region_bytes / MIB, strerror(-rv));
    if (rv < 0)
        arena_free(a);
    else
        *ret_arena = a;
    return rv;
}

bool arena_close(struct arena *a)
{
    arena_stop(a);
    arena_tear_down_all(a);
    for (unsigned i = 0; i < a->stream_count; i++)
        if (a->streams[i].current)
            a->streams[i].current->entry->fill_bytes = a->streams[i].fill_bytes;
    uint64_t errors = counter_read(&a->io_errors);
    arena_sync_data(a);
    arena_sync_marks(a);
    bool synced = counter_read(&a->io_errors) == errors;
    arena_tear_down_all(a);
    arena_free(a);
    return synced;
}
