/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a region is worth it is written again before the region goes. Its objects are looked at in the
 * order in which they stand; those that are still found and are to be kept are verified, copied to where the
 * arena appends, and from then on found there. Whoever reads the old copy goes on with it.
 */
#ifndef STORE_EVACUATE_H
#define STORE_EVACUATE_H

#include "store/arena_evacuate.h"
#include "store/index.h"
#include "store/share.h"
#include "store/sites.h"
#include "store/worth.h"

struct evacuator;

struct evacuator_options {
    struct arena *arena;
    struct index *index;
    struct worth *worth;
    const struct shares *shares;
    const uint8_t *hash_secret;
    const struct sites *sites;
};

/* All in `options` must outlive it. It works until the arena is stopped. 0 or -ENOMEM. */
int evacuator_new(const struct evacuator_options *options, struct evacuator **ret_evacuator);
void evacuator_free(struct evacuator *e); /* NULL is fine */

struct evacuator_stats {
    uint64_t kept_objects, kept_bytes; /* written again */
    uint64_t dropped_bytes;            /* found until their region went */
    uint64_t damaged;                  /* not what was stored: they became misses */
    uint64_t io_errors;
};
void evacuator_stats(const struct evacuator *e, struct evacuator_stats *ret_stats);

#endif
