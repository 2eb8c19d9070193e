/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing one disk, finding and changing objects on it. */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/record.h"
#include "store/residency.h"

#define OBJECT_BYTES_AVG_MAX     ((uint64_t)256 * 1024)
#define INDEX_ENTRIES_MIN        65536
#define SYNC_INTERVAL_MS_DEFAULT 3000
#define HANG_MS                  1000 /* at the end: for longer than that the disk is not waited for again */

/* ---- opening and closing ---- */

/* Clears the folder of what cannot be used, and says why. What only cannot be read just now is left alone.
 * *ret_has_index is false when there is an arena without an index that can be used. */
static int folder_judge(struct folder *f, uint64_t region_bytes, uint64_t room_bytes, bool *ret_has_index)
{
    uint64_t arena_id = 0;
    const char *reason = NULL;
    *ret_has_index = true;
    int rv = superblock_probe(f, region_bytes, &reason, &arena_id);
    if (rv < 0)
        return rv;
    if (reason) {
        if (superblock_is_foreign(f) && folder_set_aside(f, room_bytes))
            log_warn(
                "arena %s: %s; it starts empty, and what was there is in its folder set-aside, to be deleted "
                "when nobody needs it",
                f->path, reason);
        else if (reason[0] != '\0')
            log_warn("arena %s: %s; it starts empty, and what was there is removed", f->path, reason);
        folder_clear(f);
        return 0;
    }
    rv = index_probe(f, arena_id, &reason);
    if (rv < 0 || !reason)
        return rv;
    log_warn("arena %s: %s; it is made again from the regions, while serving", f->path, reason);
    *ret_has_index = false;
    return unlinkat(f->fd, "index", 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int keeper_begin(struct disk *d)
{
    const struct disk_options *o = &d->options;
    struct keeper_options options = {.arena = d->arena,
                                     .index = d->index,
                                     .superblock = d->superblock,
                                     .path = o->path,
                                     .interval_ms = o->sync_interval_ms ? o->sync_interval_ms
                                                                        : SYNC_INTERVAL_MS_DEFAULT};
    return keeper_start(&options, &d->keeper);
}

static int scrub_begin(struct disk *d)
{
    struct scrub_options options = {.arena = d->arena,
                                    .index = d->index,
                                    .superblock = d->superblock,
                                    .path = d->options.path,
                                    .interval_ms = d->options.scrub_interval_ms};
    return d->options.scrub_interval_ms ? scrub_start(&options, &d->scrub) : 0;
}

static int evacuation_begin(struct disk *d, uint64_t objects)
{
    const struct disk_options *o = &d->options;
    struct worth_options worth = {.policy = (enum worth_policy)o->eviction,
                                  .capacity_bytes = o->size_bytes,
                                  .objects_max = objects,
                                  .regions_max = arena_slots(d->arena)};
    memcpy(&worth.seed, d->superblock->hash_secret, sizeof(worth.seed));
    d->worth = worth_new(&worth);
    d->shares = shares_new(d->arena, o->sites, o->site_count, o->size_bytes, o->total_bytes);
    struct evacuator_options options = {.arena = d->arena,
                                        .index = d->index,
                                        .worth = d->worth,
                                        .shares = d->shares,
                                        .hash_secret = d->superblock->hash_secret,
                                        .sites = d->sites};
    return d->worth && d->shares ? evacuator_new(&options, &d->evacuator) : -ENOMEM;
}

/* The disk's own threads; none where nothing ever has to be waited for. */
static int prefetch_begin(struct disk *d)
{
    return residency_is_of_use(d->folder.fd) ? prefetch_open(&d->prefetch) : 0;
}

/* What the index is made for. A small arena may well hold nothing but playlists, and an entry is small too.
 */
static uint64_t object_bytes_avg(const struct disk_options *o)
{
    uint64_t average = o->size_bytes / INDEX_ENTRIES_MIN;
    if (o->object_bytes_avg)
        return o->object_bytes_avg;
    return average > OBJECT_BYTES_AVG_MAX ? OBJECT_BYTES_AVG_MAX : average > 0 ? average : 1;
}

static int disk_start(struct disk *d, struct buf *error)
{
    const struct disk_options *o = &d->options;
    uint64_t average = object_bytes_avg(o);
    uint64_t bucket_count = index_bucket_count(o->size_bytes / average);
    struct arena_options options = {.size_bytes = o->size_bytes,
                                    .region_bytes = o->region_bytes,
                                    .room_bytes = index_file_bytes(bucket_count),
                                    .streams = WORTH_STREAMS};
    int rv = arena_check(&options, o->path, error);
    if (rv == 0)
        rv = folder_open(o->path, error, &d->folder);
    if (rv < 0)
        return rv;
    bool has_index;
    rv = folder_judge(&d->folder, o->region_bytes, o->size_bytes + options.room_bytes, &has_index);
    if (rv == 0)
        rv = superblock_open(&d->folder, o->region_bytes, o->hash_secret, &d->superblock, &d->left);
    if (rv == 0 && has_index && d->superblock->epoch != 0 && d->superblock->epoch < o->epoch) {
        log_warn("arena %s: other disks were used without it; what it holds is validated before it is used",
                 o->path);
        has_index = false;
        rv = unlinkat(d->folder.fd, "index", 0) < 0 && errno != ENOENT ? -errno : 0;
    }
    if (rv == 0 && !has_index) /* said before a new one is made: a kill must not make it forgotten */
        rv = superblock_forget_index(d->superblock);
    if (rv == 0)
        rv = sites_open(d->superblock, o->sites, o->site_count, &d->sites);
    if (rv < 0)
        buf_printf(error, "arena %s: it cannot be opened: %s", o->path, strerror(-rv));
    if (rv == 0 && (rv = prefetch_begin(d)) < 0)
        buf_printf(error, "arena %s: its threads cannot be started: %s", o->path, strerror(-rv));
    options.prefetch = d->prefetch;
    options.sites = d->sites;
    if (rv == 0)
        rv = arena_open(&options, &d->folder, d->superblock, d->left, error, &d->arena);
    if (rv == 0)
        rv = index_open(&d->folder, d->arena, d->superblock->arena_id, bucket_count, error, &d->index);
    if (rv == 0 && (rv = evacuation_begin(d, o->size_bytes / average)) < 0)
        buf_printf(error, "arena %s: there is not enough memory for its policy", o->path);
    if (rv == 0 &&
        ((rv = arena_start(d->arena)) < 0 || (rv = keeper_begin(d)) < 0 || (rv = scrub_begin(d)) < 0))
        buf_printf(error, "arena %s: its thread cannot be started: %s", o->path, strerror(-rv));
    if (rv == 0 && d->prefetch)
        prefetch_keep(d->prefetch, index_map(d->index));
    return rv;
}

/* Without an index the opening failed, and all is as it was found. */
static void release(struct disk *d)
{
    if (d->arena)
        arena_stop(d->arena);
    scrub_stop(d->scrub);
    if (d->keeper)
        keeper_stop(d->keeper);
    prefetch_close(d->prefetch);
    bool synced = d->index ? index_close(d->index, &d->folder) : d->left == LEFT_CLEAN;
    if (d->arena)
        synced = arena_close(d->arena) && synced;
    if (d->superblock)
        superblock_close(d->superblock, synced);
    if (d->folder.path)
        folder_close(&d->folder);
    evacuator_free(d->evacuator);
    shares_free(d->shares);
    sites_free(d->sites);
    if (d->worth)
        worth_free(d->worth);
    free(d);
}

/* Of a disk that hangs nothing is released: its threads use it. */
void disk_close(struct disk *d)
{
    if (d->is_let_go && disk_waited_ms(d, (int64_t)clock_monotonic_ms()) >= HANG_MS)
        log_error("arena %s: its disk still hangs; it is left as it is", d->options.path);
    else
        release(d);
}

int disk_open(const struct disk_options *options, struct buf *error, struct disk **ret_disk)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->options = *options;
    d->folder = (struct folder){.fd = -1, .lock_fd = -1};
    int rv = disk_start(d, error);
    if (rv < 0) {
        release(d);
        return rv;
    }
    memcpy(d->hash_secret, d->superblock->hash_secret, HASH_SECRET_SIZE);
    d->options.sites = NULL;
    d->is_other_secret = memcmp(d->hash_secret, options->hash_secret, HASH_SECRET_SIZE) != 0;
    *ret_disk = d;
    return 0;
}

bool disk_peek(const char *path, struct disk_peek *ret_peek)
{
    const char *reason;
    struct folder f = {.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    struct superblock *sb = f.fd >= 0 ? superblock_read(&f, &reason) : NULL;
    if (sb) {
        memcpy(ret_peek->hash_secret, sb->hash_secret, HASH_SECRET_SIZE);
        ret_peek->epoch = sb->epoch;
    }
    if (f.fd >= 0)
        close(f.fd);
    free(sb);
    return sb != NULL;
}

void disk_set_epoch(struct disk *d, uint64_t epoch)
{
    d->superblock->epoch = epoch;
}

uint64_t disk_errors(struct disk *d)
{
    struct evacuator_stats evacuated;
    struct prefetch_stats prefetch = {.errors = 0};
    evacuator_stats(d->evacuator, &evacuated);
    if (d->prefetch)
        prefetch_stats(d->prefetch, &prefetch);
    return counter_read(&d->io_errors) + arena_io_errors(d->arena) + evacuated.io_errors + prefetch.errors;
}

int64_t disk_waited_ms(const struct disk *d, int64_t now_ms)
{
    int64_t arena_ms = arena_waited_ms(d->arena, now_ms), keeper_ms = keeper_waited_ms(d->keeper, now_ms);
    return arena_ms > keeper_ms ? arena_ms : keeper_ms;
}

void disk_let_go(struct disk *d)
{
    d->is_let_go = true;
    keeper_let_go(d->keeper);
    if (d->scrub)
        scrub_let_go(d->scrub);
    arena_let_go(d->arena);
}

struct store_key disk_key(const struct disk *d, const struct store_key *key)
{
    struct hash128 hash = d->is_other_secret ? hash_key(d->hash_secret, key->text) : key->hash;
    return (struct store_key){hash, key->text};
}

bool disk_has(const struct disk *d, const struct store_object *o)
{
    return o->key_text.data && arena_owns(d->arena, o->region);
}

bool disk_sync(struct disk *d)
{
    return keeper_sync(d->keeper);
}

/* ---- objects ---- */

bool disk_read_hit(struct disk *d, const struct store_key *key, const struct index_hit *hit,
                   struct store_object *ret_object)
{
    struct store_object o;
    enum record_found found = record_read(hit->region, &hit->place, key, &o);
    if (found == RECORD_OK && !region_is_bad(hit->region)) {
        o.meta = hit->meta;
        o.meta.site_id = (uint16_t)sites_id(d->sites, hit->meta.site_id);
        *ret_object = o;
        return true;
    }
    if (found == RECORD_DAMAGED) {
        counter_add_shared(&d->damaged_objects, 1);
        index_remove(d->index, key->hash, &hit->place);
    }
    region_unref(hit->region);
    return false;
}

bool disk_lookup(struct disk *d, const struct store_key *key, struct store_object *ret_object)
{
    struct index_hit hit;
    return index_find(d->index, key->hash, &hit) && disk_read_hit(d, key, &hit, ret_object);
}

bool disk_has_key(struct disk *d, const struct store_key *key)
{
    struct index_hit hit;
    if (!index_find(d->index, key->hash, &hit))
        return false;
    region_unref(hit.region);
    return true;
}

struct store_meta disk_meta(const struct disk *d, const struct store_meta *meta)
{
    struct store_meta own = *meta;
    own.site_id = sites_number(d->sites, meta->site_id);
    return own;
}

/* Where the record of an object stands that was looked up; false: it was not. */
static bool place_of(const struct disk *d, const struct store_object *o, struct arena_place *ret_place)
{
    if (!disk_has(d, o))
        return false;
    uint64_t offset_bytes = (uint64_t)(o->key_text.data - o->region->map) - RECORD_HEADER_BYTES;
    *ret_place = arena_place_of(d->arena, o->region, offset_bytes);
    return true;
}

/* What was written again since it was looked up is the same object still. False: it stands there no more. */
static bool find_again(struct disk *d, const struct store_key *key, const struct store_object *o,
                       struct arena_place *ret_place)
{
    struct index_hit hit;
    struct arena_place place;
    if (!place_of(d, o, &place) || !index_find(d->index, key->hash, &hit))
        return false;
    bool is_same = record_order(hit.region, &hit.place) == record_order(o->region, &place);
    region_unref(hit.region);
    if (is_same)
        *ret_place = hit.place;
    return is_same;
}

bool disk_refresh(struct disk *d, const struct store_key *key, const struct store_object *o,
                  const struct store_meta *meta)
{
    struct arena_place place;
    struct store_meta own = disk_meta(d, meta);
    bool is_there = place_of(d, o, &place), is_done = false;
    while (is_there && !is_done) {
        is_done = index_update(d->index, key->hash, &place, &own);
        is_there = is_done || find_again(d, key, o, &place);
    }
    return is_done;
}

bool disk_drop(struct disk *d, const struct store_key *key, const struct store_object *o)
{
    struct arena_place place;
    bool is_there = place_of(d, o, &place), is_done = false;
    while (is_there && !is_done) {
        is_done = index_remove(d->index, key->hash, &place);
        is_there = is_done || find_again(d, key, o, &place);
    }
    return is_done;
}

bool disk_purge_generations(struct disk *d, uint32_t *ret_least, uint32_t *ret_greatest)
{
    struct arena_stats stats;
    arena_stats(d->arena, &stats);
    if (stats.regions_pending > 0)
        return false;
    index_purge_generations(d->index, ret_least, ret_greatest);
    return true;
}

bool disk_remove(struct disk *d, const struct store_key *key)
{
    struct index_hit hit;
    struct store_object o;
    bool is_same = true, is_removed = false;
    /* Once more when it was written again, or replaced, between the two steps. */
    while (is_same && !is_removed && index_find(d->index, key->hash, &hit)) {
        is_same = record_read(hit.region, &hit.place, key, &o) == RECORD_OK;
        is_removed = is_same && index_remove(d->index, key->hash, &hit.place);
        region_unref(hit.region);
    }
    return is_removed;
}

/* ---- worth ---- */

static struct worth_object object_of(const struct disk *d, const struct store_asked *asked)
{
    return (struct worth_object){
        .id = disk_key(d, asked->key).hash.low, .size_bytes = asked->size_bytes, .hint = *asked->hint};
}

void disk_ask(struct disk *d, const struct store_asked *asked, bool is_found)
{
    struct worth_object o = object_of(d, asked);
    worth_ask(d->worth, &o, (int64_t)clock_monotonic_ms(), is_found);
}

bool disk_admits(struct disk *d, const struct store_asked *asked, uint16_t site_id)
{
    if (!arena_is_full(d->arena))
        return true;
    struct worth_object o = object_of(d, asked);
    enum share_say say = shares_ask(d->shares, site_id, asked->size_bytes, 0);
    if (say == SHARE_KEEP ||
        (say == SHARE_SILENT && worth_admits(d->worth, &o, (int64_t)clock_monotonic_ms())))
        return true;
    counter_add_shared(&d->refused_objects, 1);
    counter_add_shared(&d->refused_bytes, asked->size_bytes);
    return false;
}

/* What is there now. */
static void add_state(struct disk *d, const struct arena_stats *arena, struct store_stats *stats)
{
    stats->budget_bytes += arena->budget_bytes;
    stats->regions += arena->regions_live;
    stats->regions_spare += arena->regions_spare;
    stats->regions_held += arena->regions_held;
    stats->regions_pending += arena->regions_pending;
    stats->objects += arena->objects;
    stats->index_capacity += index_capacity(d->index);
}

void disk_add_stats(struct disk *d, bool is_used, struct store_stats *stats)
{
    struct arena_stats arena;
    struct evacuator_stats evacuated;
    struct keeper_stats keeper;
    arena_stats(d->arena, &arena);
    evacuator_stats(d->evacuator, &evacuated);
    keeper_stats(d->keeper, &keeper);
    if (is_used)
        add_state(d, &arena, stats);
    stats->region_bytes = d->options.region_bytes;
    stats->reclaimed_regions += arena.reclaimed;
    stats->hurried_regions += arena.hurried;
    stats->written_bytes += counter_read(&d->written_bytes);
    stats->wasted_bytes += counter_read(&d->wasted_bytes) + arena.tail_bytes;
    stats->kept_bytes += evacuated.kept_bytes;
    stats->dropped_bytes += evacuated.dropped_bytes;
    stats->refused_objects += counter_read(&d->refused_objects);
    stats->refused_bytes += counter_read(&d->refused_bytes);
    if (d->prefetch) {
        struct prefetch_stats prefetch;
        prefetch_stats(d->prefetch, &prefetch);
        stats->cold_reads += prefetch.jobs;
        stats->cold_read_bytes += prefetch.bytes;
        stats->cold_reads_waiting += prefetch.waiting;
    }
    stats->index_displaced += index_displaced(d->index);
    stats->syncs += keeper.syncs;
    stats->verified_objects += keeper.verified;
    stats->restored_objects += keeper.restored;
    struct scrub_stats scrub = {.passes = 0};
    if (d->scrub)
        scrub_stats(d->scrub, &scrub);
    stats->scrubbed_objects += scrub.objects;
    stats->scrubbed_bytes += scrub.bytes;
    stats->scrub_passes += scrub.passes;
    uint64_t damaged = counter_read(&d->damaged_objects) + evacuated.damaged + scrub.damaged;
    stats->damaged_objects += damaged + keeper.damaged;
    stats->io_errors += disk_errors(d) + damaged;
}
