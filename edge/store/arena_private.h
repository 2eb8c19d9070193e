/* SPDX-License-Identifier: Apache-2.0 */
/* What the three files of the arena share: its state, and who may touch what of it. */
#ifndef STORE_ARENA_PRIVATE_H
#define STORE_ARENA_PRIVATE_H

#include <pthread.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/list.h"
#include "store/arena.h"
#include "store/arena_evacuate.h"
#include "store/folder.h"
#include "store/sites.h"
#include "store/superblock.h"
#include "store/watch.h"

#define EXTENT_ALIGN 64u
#define MIB          (1024 * 1024.0)

/* One slot: its memory lasts as long as the arena, whatever file is in it. */
struct arena_region {
    struct store_region region;
    struct arena *arena;
    struct superblock_region *entry;
    uint32_t slot;

    /* guarded by arena.mutex */
    bool is_used;
    bool is_dirty;   /* written since the last sync */
    bool is_pending; /* to be recovered */
    bool is_current; /* of its stream: appended to */
    bool is_chosen;  /* it is being evacuated */
    unsigned stream;
    uint32_t *site_units;   /* of objects that are found here: bytes by site id, in EXTENT_ALIGN */
    uint64_t live_bytes;    /* their sum */
    int64_t sealed_at_ms;   /* when it was no longer appended to; monotonic */
    uint64_t put_off_at;    /* arena.evacuations + 1 then: not again before another one has gone */
    uint32_t file_sequence; /* also while it cannot be found */
    uint32_t writers;       /* unfinished extents: it is not reclaimed under them */
    uint64_t next_mark;     /* on the disk, and to be said so; 0: nothing new */
    struct list node;       /* in live, spares or dead; in none while held */

    /* Instead of region.sequence while it is live, but must not be found before it has been verified. */
    _Atomic uint32_t hidden_sequence;

    char padding[64]; /* counts of two regions in one cache line would slow both */
};

/* Where extents of one kind are appended. */
struct arena_stream {
    struct arena_region *current; /* live; NULL: a spare is to take its place */
    uint64_t fill_bytes;          /* of current: where the next extent begins */
};

struct arena {
    /* fixed */
    struct folder *folder;
    struct superblock *superblock;
    uint64_t region_bytes;
    struct arena_evacuation evacuation; /* evacuate NULL: none */
    struct prefetch *prefetch;
    uint32_t spares_wanted, stream_count;
    uint32_t pool_count;
    struct arena_region *pool; /* by slot */
    uint32_t *site_units;      /* of all regions: one allocation */
    const struct sites *sites;
    _Atomic uint64_t *site_bytes; /* written under mutex */
    _Atomic uint64_t next_order;
    pthread_t thread;
    bool thread_runs;
    struct watch upkeep_watch, sync_watch; /* over the arena's thread, and over who syncs */

    pthread_mutex_t upkeep_mutex;
    pthread_mutex_t mutex;

    /* guarded by mutex */
    pthread_cond_t wake;
    bool is_woken;
    _Atomic bool is_stopping; /* written under mutex */
    _Atomic bool is_full;     /* the same */
    bool has_new_files;       /* whose names may not be on the disk */
    struct arena_stream streams[ARENA_STREAMS_MAX];
    struct list live;             /* oldest first */
    struct list spares;           /* in order of their sequences */
    struct list dead;             /* unlinked and unused: to be unmapped and closed */
    uint32_t budget_files, files; /* allowed; there are, in whatever state */
    uint32_t live_count, spare_count, held_count;
    uint32_t next_sequence; /* the superblock has it too, unless its map is lost. Under upkeep_mutex */
    int create_error;       /* of the last attempt: fills do not try again themselves */
    bool is_counted;        /* live_bytes of the regions is all there is */
    uint64_t evacuations;   /* regions that went after it */
    uint32_t random;        /* for candidates */

    counter_t reclaimed, hurried, tail_bytes, io_errors;
};

static inline struct arena_region *arena_region_of(struct store_region *r)
{
    return container_of(r, struct arena_region, region);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

/* Under mutex: something for the thread to do. */
static inline void arena_wake(struct arena *a)
{
    a->is_woken = true;
    pthread_cond_signal(&a->wake);
}

/* Under mutex: `r` is live. */
static inline bool arena_region_is_live(const struct arena_region *r)
{
    return atomic_load_explicit(&r->region.sequence, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&r->hidden_sequence, memory_order_relaxed) != 0;
}

/* Under mutex: `r` is the newest live region. Hidden: not found yet. */
void arena_link_live(struct arena *a, struct arena_region *r, bool is_hidden);

/* Under mutex: a live region is appended to from here; nothing more is appended to it. */
void arena_region_begin_filling(struct arena *a, struct arena_region *r, unsigned stream,
                                uint64_t fill_bytes);
void arena_region_end_filling(struct arena *a, struct arena_region *r);

/* Under mutex: nothing of it is found any more. */
void arena_uncount_region(struct arena *a, struct arena_region *r);

/* ---- arena_upkeep.c ---- */

void arena_region_head(const struct arena *a, const struct arena_region *r, uint32_t sequence,
                       struct region_head *ret_head);

/* The file is there and mapped; it cannot be found yet. */
void arena_region_begin(struct arena_region *r, uint32_t sequence);

/* Works until there is a spare: for a fill that found none, because the thread is behind. 0, -ENOBUFS (all
 * regions are in use), or why none can be created. */
int arena_make_spare(struct arena *a);

/* Reclaims a live region. Under upkeep_mutex, or when no other thread is there. */
void arena_drop(struct arena *a, struct arena_region *r);
void arena_tear_down_all(struct arena *a);

/* ---- arena_evacuate.c ---- */

/* Whether a region may go: nobody writes in it, and nobody reads it once too many are held. Under mutex. */
bool arena_may_go(const struct arena *a, const struct arena_region *r);

/* Has one region evacuated, and reclaims it, if spares are wanted. False: there is nothing to do. */
bool arena_evacuate_step(struct arena *a);

#endif
