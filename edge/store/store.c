/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing, finding and changing objects. Writing them is in store_writer.c. */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "store/record.h"
#include "store/store_private.h"

#define OBJECT_BYTES_AVG_DEFAULT ((uint64_t)256 * 1024)
#define SYNC_INTERVAL_MS_DEFAULT 3000

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

static int keeper_begin(struct store *s)
{
    const struct store_options *o = &s->options;
    struct keeper_options options = {.arena = s->arena,
                                     .index = s->index,
                                     .superblock = s->superblock,
                                     .path = o->path,
                                     .interval_ms = o->sync_interval_ms ? o->sync_interval_ms
                                                                        : SYNC_INTERVAL_MS_DEFAULT};
    return keeper_start(&options, &s->keeper);
}

static int arena_start(struct store *s, struct buf *error)
{
    const struct store_options *o = &s->options;
    uint64_t average = o->object_bytes_avg ? o->object_bytes_avg : OBJECT_BYTES_AVG_DEFAULT;
    uint64_t bucket_count = index_bucket_count(o->size_bytes / average);
    struct arena_options options = {.size_bytes = o->size_bytes,
                                    .region_bytes = o->region_bytes,
                                    .room_bytes = index_file_bytes(bucket_count)};
    int rv = arena_check(&options, o->path, error);
    if (rv == 0)
        rv = folder_open(o->path, error, &s->folder);
    if (rv < 0)
        return rv;
    bool has_index;
    rv = folder_judge(&s->folder, o->region_bytes, o->size_bytes + options.room_bytes, &has_index);
    if (rv == 0)
        rv = superblock_open(&s->folder, o->region_bytes, &s->superblock, &s->left);
    if (rv == 0 && !has_index) /* said before a new one is made: a kill must not make it forgotten */
        rv = superblock_forget_index(s->superblock);
    if (rv < 0)
        buf_printf(error, "arena %s: it cannot be opened: %s", o->path, strerror(-rv));
    if (rv == 0)
        rv = arena_open(&options, &s->folder, s->superblock, s->left, error, &s->arena);
    if (rv == 0)
        rv = index_open(&s->folder, s->arena, s->superblock->arena_id, bucket_count, error, &s->index);
    if (rv == 0 && (rv = keeper_begin(s)) < 0)
        buf_printf(error, "arena %s: its thread cannot be started: %s", o->path, strerror(-rv));
    return rv;
}

/* Without an index the opening failed, and all is as it was found. */
static void store_free(struct store *s)
{
    if (s->keeper)
        keeper_stop(s->keeper);
    bool synced = s->index ? index_close(s->index, &s->folder) : s->left == LEFT_CLEAN;
    if (s->arena)
        synced = arena_close(s->arena) && synced;
    if (s->superblock)
        superblock_close(s->superblock, synced);
    if (s->options.path)
        folder_close(&s->folder);
    free(s);
}

int store_open(const struct store_options *options, struct buf *error, struct store **ret_store)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->options = *options;
    s->folder = (struct folder){.fd = -1, .lock_fd = -1};
    s->transient.max_bytes = options->transient_bytes;
    int rv = options->path ? arena_start(s, error) : 0;
    if (rv < 0) {
        store_free(s);
        return rv;
    }
    if (s->superblock)
        memcpy(s->hash_secret, s->superblock->hash_secret, HASH_SECRET_SIZE);
    else
        hash_secret_new(s->hash_secret);
    *ret_store = s;
    return 0;
}

void store_close(struct store *s)
{
    CHECK(atomic_load(&s->transient.used_bytes) == 0);
    store_free(s);
}

bool store_sync(struct store *s)
{
    return !s->keeper || keeper_sync(s->keeper);
}

const uint8_t *store_hash_secret(const struct store *s)
{
    return s->hash_secret;
}

/* ---- objects ---- */

bool store_lookup(struct store *s, const struct store_key *key, struct store_object *ret_object)
{
    struct index_hit hit;
    struct store_object o;
    if (!s->index || !index_find(s->index, key->hash, &hit))
        return false;
    enum record_found found = record_read(hit.region, &hit.place, key, &o);
    if (found == RECORD_OK && !region_is_bad(hit.region)) {
        o.meta = hit.meta;
        *ret_object = o;
        return true;
    }
    if (found == RECORD_DAMAGED) {
        counter_add_shared(&s->io_errors, 1);
        index_remove(s->index, key->hash, &hit.place);
    }
    region_unref(hit.region);
    return false;
}

void store_object_copy(const struct store_object *from, struct store_object *ret_object)
{
    if (from->region)
        region_ref(from->region);
    *ret_object = *from;
}

bool store_object_is_bad(const struct store_object *o)
{
    return o->region && region_is_bad(o->region);
}

void store_release(struct store_object *o)
{
    struct store_region *region = o->region;
    *o = (struct store_object){.fd = -1};
    if (region)
        region_unref(region);
}

/* Where the record of an object stands that was looked up; false: it was not. */
static bool place_of(const struct store *s, const struct store_object *o, struct arena_place *ret_place)
{
    if (!s->index || !o->region || !o->key_text.data)
        return false;
    uint64_t offset_bytes = (uint64_t)(o->key_text.data - o->region->map) - RECORD_HEADER_BYTES;
    *ret_place = arena_place_of(s->arena, o->region, offset_bytes);
    return true;
}

/* What was written again since it was looked up is the same object still. False: it stands there no more. */
static bool find_again(struct store *s, const struct store_key *key, const struct store_object *o,
                       struct arena_place *ret_place)
{
    struct index_hit hit;
    struct arena_place place;
    if (!place_of(s, o, &place) || !index_find(s->index, key->hash, &hit))
        return false;
    bool is_same = record_order(hit.region, &hit.place) == record_order(o->region, &place);
    region_unref(hit.region);
    if (is_same)
        *ret_place = hit.place;
    return is_same;
}

bool store_refresh(struct store *s, const struct store_key *key, const struct store_object *o,
                   const struct store_meta *meta)
{
    struct arena_place place;
    bool is_there = place_of(s, o, &place), is_done = false;
    while (is_there && !is_done) {
        is_done = index_update(s->index, key->hash, &place, meta);
        is_there = is_done || find_again(s, key, o, &place);
    }
    return is_done;
}

bool store_drop(struct store *s, const struct store_key *key, const struct store_object *o)
{
    struct arena_place place;
    bool is_there = place_of(s, o, &place), is_done = false;
    while (is_there && !is_done) {
        is_done = index_remove(s->index, key->hash, &place);
        is_there = is_done || find_again(s, key, o, &place);
    }
    return is_done;
}

bool store_purge_generations(struct store *s, uint32_t *ret_least, uint32_t *ret_greatest)
{
    struct arena_stats stats;
    if (!s->index)
        return false;
    arena_stats(s->arena, &stats);
    return stats.regions_pending == 0 && index_purge_generations(s->index, ret_least, ret_greatest);
}

bool store_remove(struct store *s, const struct store_key *key)
{
    struct index_hit hit;
    struct store_object o;
    bool is_same = true, is_removed = false;
    /* Once more when it was written again, or replaced, between the two steps. */
    while (s->index && is_same && !is_removed && index_find(s->index, key->hash, &hit)) {
        is_same = record_read(hit.region, &hit.place, key, &o) == RECORD_OK;
        is_removed = is_same && index_remove(s->index, key->hash, &hit.place);
        region_unref(hit.region);
    }
    return is_removed;
}

void store_stats(struct store *s, struct store_stats *ret_stats)
{
    struct store_stats stats = {.written_bytes = counter_read(&s->written_bytes),
                                .wasted_bytes = counter_read(&s->wasted_bytes),
                                .transient_bytes = atomic_load(&s->transient.used_bytes),
                                .transient_budget_bytes = s->transient.max_bytes,
                                .io_errors = counter_read(&s->io_errors)};
    if (s->arena) {
        struct arena_stats arena;
        arena_stats(s->arena, &arena);
        stats.budget_bytes = arena.budget_bytes;
        stats.region_bytes = s->options.region_bytes;
        stats.regions = arena.regions_live;
        stats.regions_held = arena.regions_held;
        stats.regions_pending = arena.regions_pending;
        stats.reclaimed_regions = arena.reclaimed;
        stats.wasted_bytes += arena.tail_bytes;
        stats.objects = arena.objects;
        stats.io_errors += arena.io_errors;
        stats.index_capacity = index_capacity(s->index);
        stats.index_displaced = index_displaced(s->index);
    }
    *ret_stats = stats;
}
