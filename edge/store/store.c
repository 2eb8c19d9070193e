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
#include "store/store_private.h"

/* ---- opening and closing ---- */

static void store_free(struct store *s)
{
    store_close_disks(s);
    pthread_mutex_destroy(&s->warden_mutex);
    free(s);
}

int store_open(const struct store_options *options, struct buf *error, struct store **ret_store)
{
    if (!CHECK(options->disk_count <= STORE_DISKS_MAX))
        return -EINVAL;
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->warden_mutex, NULL);
    s->transient.max_bytes = options->transient_bytes;
    int rv = store_open_disks(s, options, error);
    if (rv < 0)
        store_free(s);
    else
        *ret_store = s;
    return rv;
}

void store_close(struct store *s)
{
    CHECK(atomic_load(&s->transient.used_bytes) == 0);
    store_free(s);
}

bool store_sync(struct store *s)
{
    bool is_synced = true;
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *d = store_disk_at(s, i);
        is_synced = d && disk_sync(d) && is_synced;
    }
    return is_synced;
}

const uint8_t *store_hash_secret(const struct store *s)
{
    return s->hash_secret;
}

/* ---- which disk ---- */

/* Where an object under this hash is put, or NULL: nowhere. */
static struct disk *disk_for(const struct store *s, struct hash128 hash)
{
    size_t i = store_owner(s, hash);
    return i < s->disk_count ? store_disk_at(s, i) : NULL;
}

static bool remove_from(struct disk *d, const struct store_key *key)
{
    struct store_key own = disk_key(d, key);
    return disk_remove(d, &own);
}

void store_forget_elsewhere(struct store *s, const struct disk *d, const struct store_key *key)
{
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *other = store_disk_at(s, i);
        if (other && other != d)
            remove_from(other, key);
    }
}

/* The disk on which it was found, or NULL. */
static struct disk *disk_of(const struct store *s, const struct store_object *o)
{
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *d = store_disk_at(s, i);
        if (d && disk_has(d, o))
            return d;
    }
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
    size_t first = store_owner(s, key->hash);
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *d = store_disk_at(s, (first + i) % s->disk_count);
        if (d && look_on(d, key, ret_object))
            return true;
    }
    return false;
}

bool store_has(struct store *s, const struct store_key *key)
{
    bool has = false;
    for (size_t i = 0; i < s->disk_count && !has; i++) {
        struct disk *d = store_disk_at(s, i);
        struct store_key own = d ? disk_key(d, key) : *key;
        has = d && disk_has_key(d, &own);
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
        struct disk *d = store_disk_at(s, i);
        is_removed = (d && remove_from(d, key)) || is_removed;
    }
    return is_removed;
}

bool store_purge_generations(struct store *s, uint32_t *ret_least, uint32_t *ret_greatest)
{
    uint32_t least = UINT32_MAX, greatest = 0;
    for (size_t i = 0; i < s->disk_count; i++) {
        uint32_t one_least, one_greatest;
        struct disk *d = store_disk_at(s, i); /* what is on one that failed may come back */
        if (!d || !disk_purge_generations(d, &one_least, &one_greatest))
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
    struct disk *d = disk_for(s, asked->key->hash);
    if (d)
        disk_ask(d, asked, is_found);
}

bool store_admits(struct store *s, const struct store_asked *asked, uint16_t site_id)
{
    struct disk *d = disk_for(s, asked->key->hash);
    return !d || disk_admits(d, asked, site_id);
}

uint64_t store_site_bytes(struct store *s, unsigned site_id)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *d = store_disk_at(s, i);
        bytes += d ? arena_site_bytes(d->arena, site_id) : 0;
    }
    return bytes;
}

static void add_stats(const struct store *s, size_t i, struct store_stats *stats)
{
    if (s->disks[i])
        disk_add_stats(s->disks[i], store_disk_at(s, i) != NULL, stats);
    stats->disks++;
    stats->disks_failed += store_disk_at(s, i) == NULL;
}

void store_stats(struct store *s, struct store_stats *ret_stats)
{
    struct store_stats stats = {.transient_bytes = atomic_load(&s->transient.used_bytes),
                                .transient_budget_bytes = s->transient.max_bytes};
    for (size_t i = 0; i < s->disk_count; i++)
        add_stats(s, i, &stats);
    *ret_stats = stats;
}

bool store_disk_stats(struct store *s, size_t number, struct store_disk_stats *ret_stats)
{
    if (number >= s->disk_count)
        return false;
    *ret_stats = (struct store_disk_stats){.path = s->seats[number].path,
                                           .state = atomic_load(&s->seats[number].state)};
    add_stats(s, number, &ret_stats->stats);
    return true;
}
