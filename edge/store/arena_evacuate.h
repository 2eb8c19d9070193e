/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a region's objects before it goes: the arena chooses regions and the moment, whoever knows
 * what records are copies what is worth it. Ahead of need, by the arena's thread; never waited for.
 */
#ifndef STORE_ARENA_EVACUATE_H
#define STORE_ARENA_EVACUATE_H

#include "store/arena.h"

struct arena_candidate {
    uint32_t slot, sequence;
    uint64_t live_bytes; /* of what is found in it; not more than its size while they are being counted */
    uint64_t left_bytes; /* of these, as far as they are counted: of sites that have left the configuration */
    int64_t sealed_at_ms; /* monotonic: when nothing more was appended to it */
};

struct arena_victim {
    struct store_region *region; /* held */
    struct arena_place begin;    /* where its records begin */
    uint64_t live_bytes;
    uint32_t objects;
    bool may_stay; /* it may be put off */
};

enum arena_fate { ARENA_GOES, ARENA_STAYS };

struct arena_evacuation {
    void *user;
    /* Which one goes next: its place among `count` candidates, at least 1. */
    size_t (*pick)(void *user, const struct arena_candidate *candidates, size_t count);
    /* By the arena's thread, without a lock; to end soon once arena_is_evacuated says so. ARENA_STAYS: it
     * counts as just sealed, and another one goes first. */
    enum arena_fate (*evacuate)(void *user, const struct arena_victim *victim);
    /* A region went without it. Under a lock of the arena. */
    void (*lost)(void *user, uint32_t slot);
};
#define ARENA_CANDIDATES_MAX 64u

/* Once, before arena_start. */
void arena_evacuate_by(struct arena *a, const struct arena_evacuation *evacuation);

/* The victim has gone meanwhile, or the arena is stopping: what is not copied yet need not be. */
bool arena_is_evacuated(struct arena *a, const struct arena_victim *victim);

/* As arena_reserve, for what is copied: only what is ready is taken. False: nothing is. */
bool arena_reserve_ready(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                         uint64_t body_alignment, struct arena_extent *ret_extent);

#endif
