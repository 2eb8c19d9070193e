/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills flights from a site's origin: asks, judges the response (may it be shared, kept, for how long),
 * writes the body into the flight, reads playlists, and decides what becomes of a fill that nobody reads any
 * more. One per worker.
 */
#ifndef ORIGIN_ORIGIN_H
#define ORIGIN_ORIGIN_H

#include "cache/flight.h"
#include "cache/policy.h"
#include "catalog.h"
#include "http/fetch.h"
#include "site.h"

struct origin;

struct origin_options {
    struct loop *loop;
    const struct config *config;
    const struct site_table *sites;
    struct flight_table *flights;
    struct store *store;
    struct catalog *catalog;
    struct ledger *ledger;
    struct tls_client *tls; /* for https origins; NULL when there is none */
};

int origin_new(const struct origin_options *options, struct origin **ret_origin);
void origin_free(struct origin *o); /* fills still running fail with the reason "shutting_down" */
const struct fetch_stats *origin_fetch_stats(const struct origin *o);

/* Why a fill fails that was to continue a representation which the origin has no more. */
#define ORIGIN_CHANGED "origin_representation_changed"

struct origin_request {
    struct flight *flight; /* the caller is its leader; its filler's hold passes to the origin */
    const struct site *site;
    struct slice target;                 /* path and query for the origin; copied */
    struct hash128 key_hash;             /* of the URL's own key: the flight's may be a variant's */
    const struct http_head *viewer_head; /* of the request that led: what it says of CDN-Loop is passed on,
                                            and what the site forwards */
    bool is_head;                        /* ask with HEAD: only for a private flight */
    bool is_passed;          /* ask with the viewer's method and body: only for a private flight */
    struct slice body;       /* then */
    bool is_no_store;        /* the viewer has asked for that */
    bool is_background;      /* started without a reader, on purpose */
    struct slice if_range;   /* validator of the representation that slices must belong to; data NULL: none */
    uint64_t representation; /* of the same; 0: none */
    uint64_t total_bytes;    /* its size */
    enum content_class content_class;
    enum cause cause; /* under which the bytes are booked */
};

/* What a stored response head says of its own freshness. */
void origin_stored_policy(struct slice stored_head, int64_t now_ms, struct policy *ret_policy);

/* Starts to fill. When even that fails, the flight fails: the readers learn it in any case, later. */
void origin_fill(struct origin *o, const struct origin_request *request);

#endif
