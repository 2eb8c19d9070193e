/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is worth keeping: which objects are stored at all, where they are written, which region is reclaimed
 * and which of its objects are written again. Pure: no I/O, no clock, memory given at the start. How it
 * decides is docs/eviction.md.
 *
 * The store calls, for each request worth_ask; for a fill worth_admits, worth_stream, worth_stored; for room
 * worth_pick, then for each live object of that region worth_keeps (and worth_stream, worth_stored where it
 * goes), then worth_reclaimed. Thread safe; reclaims of one arena happen one after another.
 */
#ifndef STORE_WORTH_H
#define STORE_WORTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/hint.h"

struct worth;

enum worth_policy {
    WORTH_VALUE,  /* learned from the traffic */
    WORTH_LRU,    /* for comparison: everything is stored, what was not asked for lately goes */
    WORTH_S3FIFO, /* for comparison, and only in its spirit: all is stored, what was asked for once goes */
    WORTH_FIFO,   /* for comparison: everything is stored, the oldest region goes with all in it */
};

/* Heads that regions are filled at, one open region each: what is likely to die together stands together. */
#define WORTH_STREAMS 3
enum worth_stream {
    WORTH_STREAM_FRESH, /* filled from the origin */
    WORTH_STREAM_KEPT,  /* outlived its region */
    WORTH_STREAM_LIVE,  /* of a live window, gone when that has moved on */
};

/* Memory: at most this much per object of objects_max, this much per region, and this much besides. */
#define WORTH_BYTES_PER_OBJECT 25
#define WORTH_BYTES_PER_REGION 512
#define WORTH_BYTES_BESIDES    ((size_t)640 * 1024)

struct worth_options {
    enum worth_policy policy;
    uint64_t capacity_bytes;
    uint64_t objects_max; /* that the store has room to index */
    uint32_t regions_max;
    uint64_t seed;
};

struct worth_object {
    uint64_t id; /* of its key's keyed hash */
    uint64_t size_bytes;
    struct store_hint hint;
};

/* A region that may be reclaimed. */
struct worth_region {
    uint32_t region;     /* its place, below regions_max */
    uint64_t live_bytes; /* of objects in it that are still found */
    int64_t sealed_at_ms;
};

struct worth *worth_new(const struct worth_options *options); /* NULL when memory is out */
void worth_free(struct worth *w);

/* now_ms may be any clock that goes forward. Each request, hit or miss, once; the size may be 0 on a miss. */
void worth_ask(struct worth *w, const struct worth_object *o, int64_t now_ms, bool was_hit);

/* Store it, or only share it while it is being filled. Once for each fill whose size is known, after
 * worth_ask of the request that leads: what is missed is counted here. */
bool worth_admits(struct worth *w, const struct worth_object *o, int64_t now_ms);

enum worth_stream worth_stream(struct worth *w, const struct worth_object *o, bool is_kept, int64_t now_ms);

/* It stands in this region now: a few of each region's objects are remembered, to tell what it is worth. */
void worth_stored(struct worth *w, uint32_t region, const struct worth_object *o, int64_t now_ms);

/* Which of these (at least one; 64 are plenty) to reclaim: its place in `regions`. */
size_t worth_pick(struct worth *w, const struct worth_region *regions, size_t count, int64_t now_ms);

/* At the reclaim of its region: written again at a head, or let go. */
bool worth_keeps(struct worth *w, const struct worth_object *o, int64_t now_ms);

/* The region was reclaimed: what was found in it, and what of it was written again. 0, 0: it was not looked
 * at. */
void worth_reclaimed(struct worth *w, uint32_t region, uint64_t live_bytes, uint64_t kept_bytes,
                     int64_t now_ms);

struct worth_stats {
    uint64_t asked, admitted, refused, kept, dropped; /* objects, since the start */
    uint64_t lessons;                                 /* samples learned from */
    double threshold;  /* logarithm of the odds of use, per turnover, below which an object is let go */
    double turnover_s; /* capacity / bytes missed a second */
    uint64_t memory_bytes;
};
void worth_stats(struct worth *w, struct worth_stats *ret_stats);

#endif
