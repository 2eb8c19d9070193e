/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where viewers are, as workers ask for it: the database of places and the operator's prefixes, exchanged
 * under them when the database's file has changed.
 */
#ifndef PLACES_H
#define PLACES_H

#include "config.h"
#include "route/route.h"

struct places;

/* Reads the database. The configuration knows no places: 0, and *ret_places is NULL. The configuration
 * outlives it. Workers are 0 to worker_count - 1. */
int places_new(const struct config *config, size_t worker_count, struct buf *error,
               struct places **ret_places);
void places_free(struct places *p); /* nobody looks anything up any more; NULL is fine */

/* Begins to look at the file, by a thread of its own. Before it nothing is ever read again. */
int places_start(struct places *p);

/* The file is read again, soon and on that thread. */
void places_reload(struct places *p);

/* What that thread does: reads the file if it has changed, or in any case (`all`). What cannot be used is
 * logged and counted, and what was in use stays in use; it is tried again when the file changes again. */
void places_refresh(struct places *p, bool all);

/* As geo_lookup, on the thread of that worker: waits for nothing. */
bool places_lookup(struct places *p, unsigned worker, const struct addr *a, struct place *ret_place);

struct places_stats {
    uint64_t reloads, reload_failures;
    int64_t built_s; /* when the database in use was made, since the epoch; 0: there is none */
};
void places_stats(struct places *p, struct places_stats *ret_stats);

#endif
