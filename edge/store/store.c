/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of several disks: which one an object goes to, and finding it wherever it is. Writing objects is
 * in store_writer.c, and all that there is on one disk in disk.c.
 *
 * An object belongs to one disk, by its hash and the disks' budgets, and is put there. It is looked for there
 * first, then on the others: when a disk has come or gone, what others own now is still found where it was
 * put. Storing it anew removes it elsewhere, so there are no two of it.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "store/rendezvous.h"
#include "store/store_private.h"

/* ---- opening and closing ---- */

/* The secret of an arena that is there, so that new ones get the same; else a new one. */
static void choose_secret(struct store *s, const struct store_options *o)
{
    for (size_t i = 0; i < o->disk_count; i++)
        if (disk_read_secret(o->disks[i].path, s->hash_secret))
            return;
    hash_secret_new(s->hash_secret);
}

static int open_disk(struct store *s, const struct store_options *o, size_t number, struct buf *error)
{
    struct disk_options options = {.path = o->disks[number].path,
                                   .size_bytes = o->disks[number].size_bytes,
                                   .region_bytes = o->region_bytes,
                                   .object_bytes_avg = o->object_bytes_avg,
                                   .sync_interval_ms = o->sync_interval_ms,
                                   .hash_secret = s->hash_secret,
                                   .eviction = o->eviction,
                                   .site_count = o->site_count,
                                   .shares = o->shares};
    for (size_t i = 0; i < o->disk_count; i++)
        options.total_bytes += o->disks[i].size_bytes;
    return disk_open(&options, error, &s->disks[number]);
}

static void store_free(struct store *s)
{
    for (size_t i = 0; i < s->disk_count; i++)
        disk_close(s->disks[i]);
    free(s);
}

int store_open(const struct store_options *options, struct buf *error, struct store **ret_store)
{
    if (!CHECK(options->disk_count <= STORE_DISKS_MAX))
        return -EINVAL;
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->transient.max_bytes = options->transient_bytes;
    choose_secret(s, options);
    for (size_t i = 0; i < options->disk_count; i++) {
        int rv = open_disk(s, options, i, error);
        if (rv < 0) {
            store_free(s);
            return rv;
        }
        s->disk_count++;
    }
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
    bool is_synced = true;
    for (size_t i = 0; i < s->disk_count; i++)
        is_synced = disk_sync(s->disks[i]) && is_synced;
    return is_synced;
}

const uint8_t *store_hash_secret(const struct store *s)
{
    return s->hash_secret;
}

/* ---- which disk ---- */

static size_t owner(const struct store *s, struct hash128 hash)
{
    struct rendezvous_seat seats[STORE_DISKS_MAX];
    if (s->disk_count <= 1)
        return 0;
    for (size_t i = 0; i < s->disk_count; i++)
        seats[i] =
            (struct rendezvous_seat){s->disks[i]->superblock->arena_id, s->disks[i]->options.size_bytes};
    return rendezvous_choose(hash, seats, s->disk_count);
}

struct disk *store_disk_for(const struct store *s, struct hash128 hash)
{
    size_t i = owner(s, hash);
    return i < s->disk_count ? s->disks[i] : NULL;
}

void store_forget_elsewhere(struct store *s, const struct disk *d, const struct store_key *key)
{
    for (size_t i = 0; i < s->disk_count; i++)
        if (s->disks[i] != d) {
            struct store_key own = disk_key(s->disks[i], key);
            disk_remove(s->disks[i], &own);
        }
}

/* The disk on which it was found, or NULL. */
static struct disk *disk_of(const struct store *s, const struct store_object *o)
{
    for (size_t i = 0; i < s->disk_count; i++)
        if (disk_has(s->disks[i], o))
            return s->disks[i];
    return NULL;
}

/* ---- objects ---- */

static bool look_on(struct disk *d, const struct store_key *key, struct store_object *ret_object)
{
    struct store_key own = disk_key(d, key);
    return disk_lookup(d, &own, ret_object);
}

bool store_lookup(struct store *s, const struct store_key *key, struct store_object *ret_object)
{
    size_t first = owner(s, key->hash);
    for (size_t i = 0; i < s->disk_count; i++)
        if (look_on(s->disks[(first + i) % s->disk_count], key, ret_object))
            return true;
    return false;
}

bool store_has(struct store *s, const struct store_key *key)
{
    bool has = false;
    for (size_t i = 0; i < s->disk_count && !has; i++) {
        struct store_key own = disk_key(s->disks[i], key);
        has = disk_has_key(s->disks[i], &own);
    }
    return has;
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

bool store_refresh(struct store *s, const struct store_key *key, const struct store_object *o,
                   const struct store_meta *meta)
{
    struct disk *d = disk_of(s, o);
    if (!d)
        return false;
    struct store_key own = disk_key(d, key);
    return disk_refresh(d, &own, o, meta);
}

bool store_drop(struct store *s, const struct store_key *key, const struct store_object *o)
{
    struct disk *d = disk_of(s, o);
    if (!d)
        return false;
    struct store_key own = disk_key(d, key);
    return disk_drop(d, &own, o);
}

bool store_remove(struct store *s, const struct store_key *key)
{
    bool is_removed = false;
    for (size_t i = 0; i < s->disk_count; i++) {
        struct store_key own = disk_key(s->disks[i], key);
        is_removed = disk_remove(s->disks[i], &own) || is_removed;
    }
    return is_removed;
}

bool store_purge_generations(struct store *s, uint32_t *ret_least, uint32_t *ret_greatest)
{
    uint32_t least = UINT32_MAX, greatest = 0;
    for (size_t i = 0; i < s->disk_count; i++) {
        uint32_t one_least, one_greatest;
        if (!disk_purge_generations(s->disks[i], &one_least, &one_greatest))
            return false;
        least = one_least < least ? one_least : least;
        greatest = one_greatest > greatest ? one_greatest : greatest;
    }
    *ret_least = least;
    *ret_greatest = greatest;
    return least <= greatest;
}

void store_ask(struct store *s, const struct store_asked *asked, bool is_found)
{
    struct disk *d = store_disk_for(s, asked->key->hash);
    if (d)
        disk_ask(d, asked, is_found);
}

bool store_admits(struct store *s, const struct store_asked *asked, uint16_t site_id)
{
    struct disk *d = store_disk_for(s, asked->key->hash);
    return !d || disk_admits(d, asked, site_id);
}

uint64_t store_site_bytes(struct store *s, unsigned site_id)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->disk_count; i++)
        bytes += arena_site_bytes(s->disks[i]->arena, site_id);
    return bytes;
}

void store_stats(struct store *s, struct store_stats *ret_stats)
{
    struct store_stats stats = {.transient_bytes = atomic_load(&s->transient.used_bytes),
                                .transient_budget_bytes = s->transient.max_bytes};
    for (size_t i = 0; i < s->disk_count; i++)
        disk_add_stats(s->disks[i], &stats);
    *ret_stats = stats;
}
