/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk of the store: the arena in one folder, with its superblock, index and keeper, opened and closed
 * together. Which objects go to it is the store's to say; it knows of no other disk. Nothing is held by two
 * disks, so one that is slow holds up nobody but who asks it.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "base/counter.h"
#include "store/arena.h"
#include "store/evacuate.h"
#include "store/index.h"
#include "store/keeper.h"
#include "store/prefetch.h"
#include "store/scrub.h"
#include "store/sites.h"
#include "store/store.h"

struct disk_options {
    const char *path;
    uint64_t size_bytes, region_bytes;
    uint64_t object_bytes_avg;
    uint32_t sync_interval_ms;
    uint64_t scrub_interval_ms; /* 0: never */
    const uint8_t *hash_secret; /* of the keys that are looked up; a new arena keeps it */
    uint64_t epoch;             /* of the disks it is used with: see superblock.h */
    enum store_eviction eviction;
    uint32_t site_count;
    const struct store_site *sites; /* their parts are of all disks together; for disk_open only */
    uint64_t total_bytes;           /* of all disks */
};

/* For disk.c, store.c and store_writer.c. */
struct disk {
    /* fixed */
    struct disk_options options;
    uint8_t hash_secret[HASH_SECRET_SIZE]; /* under which its objects are kept */
    bool is_other_secret;                  /* than that of the keys it is asked for */
    struct folder folder;
    struct superblock *superblock;
    enum superblock_left left;
    struct arena *arena;
    struct index *index;
    struct keeper *keeper;
    struct scrub *scrub; /* NULL: never */
    struct worth *worth;
    struct sites *sites; /* ids outside, numbers in records and index */
    struct shares *shares;
    struct evacuator *evacuator;
    struct prefetch *prefetch; /* NULL: nothing has to be waited for */

    bool is_let_go; /* written by the thread that also closes it, or before that one runs */

    counter_t written_bytes, wasted_bytes, io_errors, damaged_objects; /* any thread adds */
    counter_t refused_objects, refused_bytes;
};

/* 0 or a negative errno, with a sentence in `error`. The path must outlive the disk. */
int disk_open(const struct disk_options *options, struct buf *error, struct disk **ret_disk);
void disk_close(struct disk *d);

/* What the superblock in this folder says, without opening the arena; false when there is none. */
struct disk_peek {
    uint8_t hash_secret[HASH_SECRET_SIZE];
    uint64_t epoch;
};
bool disk_peek(const char *path, struct disk_peek *ret_peek);

/* Kept with the arena, on the disk with the next sync. */
void disk_set_epoch(struct disk *d, uint64_t epoch);

/* Failures of the disk since it was opened, and for how long it has made a thread wait. */
uint64_t disk_errors(struct disk *d);
int64_t disk_waited_ms(const struct disk *d, int64_t now_ms);

/* It is not used any more: its threads end when they can. Nobody waits. To be closed all the same. */
void disk_let_go(struct disk *d);

/* As those of store.h, on this disk alone, by the key as disk_key says it. */
bool disk_sync(struct disk *d);
bool disk_lookup(struct disk *d, const struct store_key *key, struct store_object *ret_object);
bool disk_has_key(struct disk *d, const struct store_key *key);

/* What an index entry has led to: the object, which takes over the hit's reference, or false. */
bool disk_read_hit(struct disk *d, const struct store_key *key, const struct index_hit *hit,
                   struct store_object *ret_object);
bool disk_refresh(struct disk *d, const struct store_key *key, const struct store_object *o,
                  const struct store_meta *meta);
bool disk_drop(struct disk *d, const struct store_key *key, const struct store_object *o);
bool disk_remove(struct disk *d, const struct store_key *key);
void disk_ask(struct disk *d, const struct store_asked *asked, bool is_found);
bool disk_admits(struct disk *d, const struct store_asked *asked, uint16_t site_id);

/* The same, but true also when there is nothing: then the least is greater than the greatest. */
bool disk_purge_generations(struct disk *d, uint32_t *ret_least, uint32_t *ret_greatest);

/* Whether the object was found here. */
bool disk_has(const struct disk *d, const struct store_object *o);

/* The key as this disk keeps it: its hash under the disk's own secret. */
struct store_key disk_key(const struct disk *d, const struct store_key *key);

/* A meta as records and index of this disk say it: with the number of its site. */
struct store_meta disk_meta(const struct disk *d, const struct store_meta *meta);

/* Adds to the sums; of a disk that is not used any more only what was counted since the start. */
void disk_add_stats(struct disk *d, bool is_used, struct store_stats *stats);

#endif
