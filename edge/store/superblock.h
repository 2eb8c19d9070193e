/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The superblock says what an arena is (format, geometry, identity, secret), how it was left, which region
 * stands in which slot, and which number is which site's. It is a mapped file: a process that is killed
 * leaves it as it last was, and the boot id tells whether the page cache that kept it is still the same.
 */
#ifndef STORE_SUPERBLOCK_H
#define STORE_SUPERBLOCK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/hash.h"
#include "store/folder.h"

#define ARENA_FORMAT_VERSION   4u
#define ARENA_BYTE_ORDER       0x01020304u
#define SUPERBLOCK_REGIONS_MAX 32768u
#define SUPERBLOCK_SITES_MAX   65536u
#define BOOT_ID_SIZE           40

enum region_state { REGION_FREE, REGION_SPARE, REGION_LIVE };

struct superblock_region {
    _Atomic uint16_t state; /* enum region_state, stored after all else of the slot */
    uint16_t stream;        /* whose records are appended here */
    uint32_t sequence;
    _Atomic uint32_t objects; /* index entries that point here */
    uint32_t synced_check;    /* of the mark below: a torn one is none */
    uint64_t fill_bytes;      /* true after a clean stop; the region's size when nothing more goes in */
    uint64_t synced_bytes;    /* the mark: all records before it are finished, and on the disk */
};

/* What an opening found to be done, and a kill must not make forgotten. */
enum superblock_recovery {
    RECOVERY_VERIFY = 1, /* power was lost: what stands behind the marks is to be verified */
    RECOVERY_INDEX = 2,  /* the index was lost: all regions are to be walked */
};

struct superblock {
    /* fixed when the arena is made */
    char magic[8];
    uint32_t version, byte_order;
    uint64_t arena_id; /* repeated in every file of the arena */
    uint64_t region_bytes;
    uint8_t hash_secret[HASH_SECRET_SIZE];
    uint64_t fixed_sum; /* hash_sum of all above */

    /* changes */
    char boot_id[BOOT_ID_SIZE];
    uint32_t clean;         /* it was closed, and all of it synced */
    uint32_t next_sequence; /* of the next region; grows with each, never comes again */
    uint32_t recovery;      /* enum superblock_recovery, or-ed */
    uint64_t epoch;         /* of the disks that are used together; less than theirs: it was away meanwhile */
    uint32_t scrub_slot;    /* that is read next, to compare it with its sums */
    char unused[3972];
    struct superblock_region regions[SUPERBLOCK_REGIONS_MAX];
    uint64_t sites[SUPERBLOCK_SITES_MAX]; /* by number: the sum of the name; 0: given to none (sites.h) */
};

/* What stands before a region's records, in a page of its own. */
#define REGION_HEAD_BYTES 4096u
struct region_head {
    char magic[8];
    uint32_t version, byte_order;
    uint64_t arena_id;
    uint64_t region_bytes;
    uint32_t slot, sequence;
    uint64_t sum; /* hash_sum of all above */
};

/* Judges what is in the folder. 0: *ret_reason is NULL when it can be used (then *ret_arena_id is whose the
 * other files must be), else a phrase for the operator, "" when there is nothing. Negative errno: it cannot
 * be told. */
int superblock_probe(struct folder *f, uint64_t region_bytes, const char **ret_reason,
                     uint64_t *ret_arena_id);

/* Reads it without changing anything, as a heap copy. NULL: *ret_reason says why. */
struct superblock *superblock_read(struct folder *f, const char **ret_reason);

/* Whether it is a whole arena of ours that this program cannot read: of another version or byte order. */
bool superblock_is_foreign(struct folder *f);

/* Maps the superblock, making it (with this secret) when there is none, and marks it open in this boot (on
 * the disk too, so that a power loss from here on is seen). After one, sequence numbers go on behind all that
 * may have been given out. 0 or a negative errno. */
enum superblock_left { LEFT_CLEAN, LEFT_BY_KILL, LEFT_BY_POWER_LOSS };
int superblock_open(struct folder *f, uint64_t region_bytes, const uint8_t hash_secret[HASH_SECRET_SIZE],
                    struct superblock **ret_superblock, enum superblock_left *ret_left);

/* The mark of a slot, or where its records begin. Setting it says that this much is on the disk. */
uint64_t superblock_synced(const struct superblock *sb, uint32_t slot);
void superblock_set_synced(struct superblock *sb, uint32_t slot, uint64_t synced_bytes);

/* The index is lost, and what was counted with it: all regions are to be walked. 0 or -EIO. */
int superblock_forget_index(struct superblock *sb);

bool superblock_sync(struct superblock *sb); /* true if all of it is on the disk */

/* Marks it clean when `synced` says that all else is on the disk; unmaps. */
void superblock_close(struct superblock *sb, bool synced);

#endif
