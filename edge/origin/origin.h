/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills flights from a site's origins: asks, judges the response (may it be shared, kept, for how long),
 * writes the body into the flight, asks another origin, or for the rest, when one fails, reads playlists, and
 * decides what becomes of a fill that nobody reads any more. One per worker.
 */
#ifndef ORIGIN_ORIGIN_H
#define ORIGIN_ORIGIN_H

#include "admit.h"
#include "cache/flight_filler.h"
#include "cache/hit_for_miss.h"
#include "cache/policy.h"
#include "catalog.h"
#include "http/fetch.h"
#include "origin/upstream.h"
#include "site.h"

struct origin;

struct origin_options {
    struct loop *loop;
    const struct config *config;
    const struct site_table *sites;
    struct flight_table *flights;
    struct store *store;
    struct purge *purges; /* NULL: none */
    struct catalog *catalog;
    struct ledger *ledger;
    struct upstreams *upstreams;
    struct admit *admit;
    struct hit_for_miss *hit_for_miss;
    bool is_checker; /* of all workers, the one that asks origins how they are */
};

/* Why the edge itself ends a request to an origin, beside what may become of it (http/fetch.h). */
#define ORIGIN_WORDS(W)                                        \
    W(CHANGED, "origin_representation_changed", 502)           \
    W(BAD_RANGE, "origin_bad_range", 502)                      \
    W(ERROR_RESPONSE, "origin_error_response", 502)            \
    W(BODY_TOO_LONG, "origin_body_too_long", 502)              \
    W(HEAD_TOO_LARGE, "origin_head_too_large_to_keep", 502)    \
    W(STORE_FULL, "store_full", 502)                           \
    W(STORE_FAILED, "store_failed", 502)                       \
    W(NO_MEMORY, "fill_out_of_memory", 503)                    \
    W(TOO_EARLY, "origin_too_early", 425)                      \
    W(DROPPED, "dropped", 502) /* nobody wanted it any more */ \
    W(SHUTTING_DOWN, "shutting_down", 503)

enum origin_word {
#define W(name, word, status) ORIGIN_WORD_##name,
    ORIGIN_WORDS(W)
#undef W
        ORIGIN_WORD_COUNT
};
const char *origin_word_name(enum origin_word word);
unsigned origin_word_status(enum origin_word word);

struct origin_stats {
    counter_t words[ORIGIN_WORD_COUNT];
    counter_t retries;         /* before a head: another origin was asked */
    counter_t resumes;         /* in a body: its rest was asked for */
    counter_t retries_refused; /* one of the two, but the budget was used up */
};

int origin_new(const struct origin_options *options, struct origin **ret_origin);
void origin_free(struct origin *o); /* fills still running fail with the reason "shutting_down" */
const struct fetch_stats *origin_fetch_stats(const struct origin *o);
const struct origin_stats *origin_stats(const struct origin *o);

/* Why a fill fails that was to continue a representation which the origin has no more. */
#define ORIGIN_CHANGED "origin_representation_changed"

/* The origin will not answer what may be a copy (425): who need not say so may ask again. */
#define ORIGIN_TOO_EARLY "origin_too_early"

struct origin_request {
    struct flight *flight; /* the caller is its leader; its filler's hold passes to the origin */
    const struct site *site;
    struct admit_ticket ticket;          /* passes to the origin, too */
    struct slice target;                 /* path and query for the origin; copied */
    struct hash128 key_hash;             /* of the URL's own key: the flight's may be a variant's */
    const struct http_head *viewer_head; /* of the request that led: what it says of CDN-Loop is passed on,
                                            and what the site forwards */
    bool is_head;                        /* ask with HEAD: only for a private flight */
    bool is_passed;          /* ask with the viewer's method and body: only for a private flight */
    bool is_early;           /* it may be a copy of an earlier one (RFC 8470), which the origin is told */
    struct slice body;       /* of what is passed */
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
