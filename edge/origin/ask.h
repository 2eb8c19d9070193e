/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an origin is asked: the head of the request for it, from what the viewer asked and what the flight
 * needs. The part that is the same whichever origin it goes to is written once and outlives the viewer, so
 * that a fill can ask again. Internal to origin/.
 */
#ifndef ORIGIN_ASK_H
#define ORIGIN_ASK_H

#include "origin/origin.h"
#include "origin/upstream.h"

struct ask {
    struct slice method, target; /* of the site, without an origin's path */
    struct slice fields, body;   /* fields: whole lines */
    bool is_repeatable;          /* asking twice does no harm */
    char text[];
};

/* One piece of memory, the caller's to free. `scratch` is cleared. NULL: too large, or memory is out. */
struct ask *ask_new(const char *edge_name, const struct origin_request *request, struct buf *scratch);

/* Which part is asked for, and on which condition. */
struct ask_part {
    bool is_ranged;
    uint64_t first_bytes, limit_bytes; /* limit FLIGHT_NO_LIMIT: to the end */
    struct slice if_range;             /* data NULL: none */
    const struct store_object *stale;  /* what may be said to be unchanged; NULL: nothing */
};

/* The whole request, as `upstream` gets it; `out` is cleared first. False: too large. */
bool ask_write(const struct ask *ask, const struct upstream *upstream, const struct ask_part *part,
               struct buf *out);

/* The viewer's fields that the origin is told, by value: the viewer may be gone when the response says by
 * which of them it varies. One piece of memory, the caller's to free. NULL: there are none, or memory is out
 * (then *ret_ok is false). */
struct ask_fields {
    size_t count;
    struct http_field fields[];
};
struct ask_fields *ask_fields_copy(const struct origin_request *request, bool *ret_ok);

#endif
