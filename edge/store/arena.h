/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena: region files of one folder within a fixed budget. Room is given out by appending to the current
 * region of a stream; when that is full a spare takes its place, and the oldest regions are reclaimed
 * (unlinked, never rewritten) to make new spares. A thread of the arena's own does the slow parts ahead of
 * need.
 *
 *   free ─create─► spare ─► live (current, then full) ─reclaim─► held ─last reader─► dead ─tear down─► free
 *
 * Every file counts against the budget until its space is given back: spares, held and dead ones too. Regions
 * that are held are bounded; beyond the bound only regions that nobody reads are reclaimed, and when there is
 * none, arena_reserve fails.
 *
 * Before a region goes, its owner may copy what is worth it to where the arena appends (struct
 * arena_evacuation). That is done ahead of need, by the arena's thread; a fill that finds no spare waits for
 * none of it, and the region goes as it is.
 *
 * Records and their meaning are known elsewhere: here are only extents.
 */
#ifndef STORE_ARENA_H
#define STORE_ARENA_H

#include "base/buf.h"
#include "store/region.h"
#include "store/superblock.h"

struct arena;
struct sites;

#define ARENA_REGIONS_MIN 4u

/* Streams: what is likely to go together is appended to regions of its own. A small arena has fewer, and
 * takes what is meant for others into the first. */
#define ARENA_STREAMS_MAX 4u

struct arena_options {
    uint64_t size_bytes, region_bytes;
    uint64_t
        room_bytes;   /* to be left on the file system for other files of the arena, checked at the start */
    unsigned streams; /* wanted */
    struct prefetch *prefetch; /* brings what is not in memory; outlives it. NULL: all always is */
    const struct sites *sites; /* by which bytes are counted: those of no configured one as 0; outlives it */
};

/* Where something stands. */
struct arena_place {
    uint32_t slot, sequence;
    uint64_t offset_bytes;
};

/* Room in a region: a prefix of at least what was asked for, then a body. Holds a reference. */
struct arena_extent {
    struct store_region *region;
    struct arena_place place; /* of the prefix */
    uint64_t body_offset_bytes;
    uint64_t end_offset_bytes; /* where the next extent may begin */
};

/* 0, or -EINVAL with a sentence: sizes that make no arena. */
int arena_check(const struct arena_options *options, const char *path, struct buf *error);

/* Opens the regions that the superblock knows of and makes the first spare. LEFT_CLEAN: current regions
 * are filled on; else nobody knows how far they were, and they count as full. LEFT_BY_POWER_LOSS: regions
 * that are not marked as synced whole are pending, and nothing of them is found before arena_pending_done.
 * Folder and superblock must outlive the arena. 0, -ENOSPC, -EINVAL, ...; a sentence in `error`. */
int arena_open(const struct arena_options *options, struct folder *folder, struct superblock *sb,
               enum superblock_left left, struct buf *error, struct arena **ret_arena);

/* Makes room ahead of need from here on, by a thread of its own, which reads what is fixed (such as who
 * evacuates) without a lock. 0 or a negative errno. */
int arena_start(struct arena *a);

/* Its thread ends when it can: the disk has failed. Nobody waits. */
void arena_let_go(struct arena *a);

/* For how long the disk has made one of its threads wait. */
int64_t arena_waited_ms(const struct arena *a, int64_t now_ms);

/* All references must have been given back. True if all of it is on the disk. */
bool arena_close(struct arena *a);

/* 0; -ENOBUFS (all regions are held), or what the last attempt to create a region said. The prefix begins on
 * a multiple of 64, the body on a multiple of body_alignment. All of it must fit into half a region. */
int arena_reserve(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                  uint64_t body_alignment, struct arena_extent *ret_extent);

/* Ends the writing of an extent, of which the bytes before `end` (a multiple of 64) are used; what is behind
 * is given back if nothing follows it. x->end_offset_bytes tells where it ends then. Keeps the reference. */
void arena_trim(struct arena *a, struct arena_extent *x, uint64_t end_offset_bytes);
void arena_finish(struct arena *a, struct arena_extent *x);

/* A reference to the region in this slot, if it can be found and nothing more is appended to it; *ret_begin
 * is where its records begin. */
struct store_region *arena_ref_finished(struct arena *a, uint32_t slot, struct arena_place *ret_begin);
void arena_touch(struct arena *a, struct store_region *r); /* it was written to: to be synced */

/* Places of regions are below this. */
uint32_t arena_slots(const struct arena *a);

/* Something had to go to make room for something else, since the opening. */
bool arena_is_full(struct arena *a);

/* The arena's thread ends, and evacuation with it. Room can still be had. Idempotent. */
void arena_stop(struct arena *a);

/* A reference to the region that stands at this place, or NULL if it is gone, or not verified yet. */
struct store_region *arena_ref(struct arena *a, const struct arena_place *place);
bool arena_has(struct arena *a, const struct arena_place *place);     /* true also for what is pending */
bool arena_owns(const struct arena *a, const struct store_region *r); /* false: another's, or transient */
struct arena_place arena_place_of(struct arena *a, struct store_region *r, uint64_t offset_bytes);

/* Numbers that grow, over restarts too: of two records of one key the one sealed later is told by it. Never
 * 0. */
uint64_t arena_next_order(struct arena *a);

/* Counts index entries, so that what is lost with a region is known without looking. `change`: 1 or -1;
 * bytes: 0 when they are not counted yet. number: of the site. */
void arena_count_object(struct arena *a, const struct arena_place *place, uint16_t number, uint64_t bytes,
                        int change);

/* Of an object that was counted without its bytes. */
void arena_count_bytes(struct arena *a, const struct arena_place *place, uint16_t number, uint64_t bytes);
void arena_counted(struct arena *a);                       /* the bytes of all objects are counted by now */
void arena_forget_counts(struct arena *a);                 /* the index is lost, and what it was counted by */
uint64_t arena_site_bytes(struct arena *a, unsigned site); /* its id; as far as they are counted */

/* ---- syncing: data, then by the caller what refers to it, then the marks that say so ---- */

/* Writes to the disk what was appended. A region that cannot be is lost. */
void arena_sync_data(struct arena *a);
void arena_sync_marks(struct arena *a);

/* Withdraws a region whose bytes cannot be relied on; harmless when it is gone already. */
void arena_lose(struct arena *a, struct store_region *region, const char *reason);

/* Loses all that were found bad while they were read. */
void arena_lose_bad(struct arena *a);

/* ---- recovery: region by region, newest first ---- */

struct arena_pending {
    struct store_region *region; /* held */
    struct arena_place begin;    /* where its records begin */
    uint64_t synced_bytes;       /* no record before this offset can have been lost */
};
bool arena_pending_next(struct arena *a, struct arena_pending *ret_pending);
void arena_pending_done(struct arena *a, const struct arena_pending *p); /* found from now on */
void arena_pending_all(struct arena *a);                                 /* every region once more */

/* So many regions are held by readers that soon none may be reclaimed that is read; and whether this region
 * is one of those: its space comes back with its last reader. */
bool arena_is_pressed(struct arena *a);
bool arena_is_held(const struct arena *a, const struct store_region *region);

struct arena_stats {
    uint64_t budget_bytes; /* as configured, or less since the disk was full */
    uint64_t regions_live, regions_held, regions_pending, reclaimed, objects;
    uint64_t regions_spare, hurried; /* hurried: reclaimed before all that was worth it was copied */
    uint64_t tail_bytes;             /* left unused at the ends of regions */
    uint64_t io_errors;
};
void arena_stats(struct arena *a, struct arena_stats *ret_stats);
uint64_t arena_io_errors(const struct arena *a);

#endif
