/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: from the hash of a key to where its record stands and what may change of it. A mapped file of
 * buckets of eight entries; an entry whose region is gone is free, so reclaiming a region touches none. One
 * mutex per shard of buckets, held for moments; the region that is found is referenced before it is let go.
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "store/arena.h"
#include "store/store.h"

struct index;
struct folder;

/* Buckets for this many objects, with room to spare, and the bytes that the index then takes on the disk. */
uint64_t index_bucket_count(uint64_t objects);
uint64_t index_file_bytes(uint64_t bucket_count);

/* Judges the index in the folder. 0: *ret_reason is NULL when it can be used. Negative errno: it cannot be
 * told. */
int index_probe(struct folder *f, uint64_t arena_id, const char **ret_reason);

/* Maps the index, making it when there is none; entries of an index of another size are carried over. The
 * arena must outlive it. 0 or a negative errno, with a sentence in `error`. */
int index_open(struct folder *f, struct arena *arena, uint64_t arena_id, uint64_t bucket_count,
               struct buf *error, struct index **ret_index);
/* True once its file was truncated or cannot be read: it goes on, empty at first, in memory alone, and its
 * file is given up at the end. */
bool index_is_lost(const struct index *ix);

bool index_sync(struct index *ix);                    /* true if all of it is on the disk */
bool index_close(struct index *ix, struct folder *f); /* the same */

struct index_hit {
    struct store_region *region; /* referenced */
    struct arena_place place;
    struct store_meta meta;
};

/* False when there is no entry, or its region is gone. The key itself is to be compared by the caller. */
bool index_find(struct index *ix, struct hash128 hash, struct index_hit *ret_hit);

/* Takes the place of what stood under the hash, of a free entry, or else of the entry in the oldest region.
 */
void index_insert(struct index *ix, struct hash128 hash, const struct arena_place *place, uint64_t span_bytes,
                  const struct store_meta *meta);

/* Where the entry of this hash points, if that is still there (or hidden). */
bool index_place(struct index *ix, struct hash128 hash, struct arena_place *ret_place);

/* Inserts if nothing stands under the hash, or what is at `older` (NULL: nothing may). False: neither. */
bool index_restore(struct index *ix, struct hash128 hash, const struct arena_place *place,
                   uint64_t span_bytes, const struct store_meta *meta, const struct arena_place *older);

/* The record that stood at `from` stands at `to` too, and takes span_bytes there: its entry points there from
 * now on, if it still pointed to what can be found at `from`. */
bool index_move(struct index *ix, struct hash128 hash, const struct arena_place *from,
                const struct arena_place *to, uint64_t span_bytes);

/* Bytes of entries that were there at the opening are counted bit by bit, for a thread that may wait. False
 * when there is nothing left to do. */
bool index_count_step(struct index *ix);

/* Both only if the entry still points to this place. */
bool index_update(struct index *ix, struct hash128 hash, const struct arena_place *place,
                  const struct store_meta *meta);
bool index_remove(struct index *ix, struct hash128 hash, const struct arena_place *place);

/* See store_purge_generations. */
bool index_purge_generations(struct index *ix, uint32_t *ret_least, uint32_t *ret_greatest);

/* For who asks what of it is in memory: all of the map, and the two buckets in which a hash may stand. */
#define INDEX_BUCKET_BYTES 512u
struct iovec index_map(const struct index *ix);
void index_buckets(const struct index *ix, struct hash128 hash, const void *ret_buckets[2]);

uint64_t index_capacity(const struct index *ix);
uint64_t index_displaced(const struct index *ix); /* live entries lost to full buckets since the start */

#endif
