/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what moved, by site, class and cause. One per worker, one writer each (base/counter.h); the admin side
 * reads all of them and sums. Also the one list of words: classes, causes and refusals are named here and nowhere else,
 * so that the response, the log and the counters say the same.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/counter.h"

#define CONTENT_CLASSES(C)                                                                                   \
    C(PLAYLIST, "playlist")                                                                                  \
    C(SEGMENT, "segment")                                                                                    \
    C(INIT, "init")                                                                                          \
    C(PART, "part")                                                                                          \
    C(KEY, "key")                                                                                            \
    C(OTHER, "other")

enum content_class {
#define C(name, word) CLASS_##name,
    CONTENT_CLASSES(C)
#undef C
        CLASS_COUNT
};

/* Why a request was answered as it was, and why bytes came from the origin. */
#define CAUSES(C)                                                                                            \
    C(HIT, "hit", "fresh in the store")                                                                      \
    C(COALESCED, "coalesced", "joined a fill that another request had started")                              \
    C(MISS, "miss", "not in the store")                                                                      \
    C(EXPIRED, "expired", "in the store but no longer fresh, and the origin sent a new one")                 \
    C(REVALIDATED, "revalidated", "no longer fresh, and the origin said it had not changed")                 \
    C(STALE, "stale", "served although no longer fresh, as the origin failed")                               \
    C(UNCACHEABLE, "uncacheable", "the origin's response may not be shared")                                 \
    C(ORPHAN, "orphan", "received for a fill that had no reader left")                                       \
    C(REDIRECT, "redirect", "sent to a better edge")                                                         \
    C(LOCAL, "local", "answered by the edge itself: preflight requests")                                     \
    C(REFUSED, "refused", "refused by a named reason")                                                       \
    C(ERROR, "error", "the origin failed, and there was nothing to serve instead")

enum cause {
#define C(name, word, text) CAUSE_##name,
    CAUSES(C)
#undef C
        CAUSE_COUNT
};

/* Why the edge itself refused a request that was well-formed HTTP (http/server.h names those that were not). */
#define REFUSALS(R)                                                                                          \
    R(NONE, "none", 0)                                                                                       \
    R(UNKNOWN_HOST, "unknown_host", 421)                                                                     \
    R(METHOD_NOT_ALLOWED, "method_not_allowed", 405)                                                         \
    R(BAD_TARGET, "bad_request_target", 400)                                                                 \
    R(COUNTRY_DENIED, "country_denied", 403)                                                                 \
    R(COUNTRY_NOT_ALLOWED, "country_not_allowed", 403)                                                       \
    R(LOOP, "cdn_loop_detected", 508)                                                                        \
    R(OVERLOADED, "overloaded", 503)                                                                         \
    R(NO_MEMORY, "out_of_memory", 503)

enum refusal {
#define R(name, word, status) REFUSAL_##name,
    REFUSALS(R)
#undef R
        REFUSAL_COUNT
};

const char *content_class_name(enum content_class c);
const char *cause_name(enum cause c);
const char *refusal_name(enum refusal r);
unsigned refusal_status(enum refusal r);

/* Site id of what belongs to no known site. Sites of the configuration have 1 .. count. */
#define LEDGER_NO_SITE 0

struct ledger;

struct ledger *ledger_new(size_t site_count); /* NULL when memory is out */
void ledger_free(struct ledger *l);

/* One answered request, once, at its end. first_byte_us: from the whole request head to the first byte of the response
 * given to the connection. aborted: it ended before its last byte was sent. */
struct ledger_request {
    unsigned site_id;
    enum content_class content_class;
    enum cause cause;
    unsigned status;
    uint64_t first_byte_us;
    bool aborted;
    enum refusal refusal; /* REFUSAL_NONE unless cause is CAUSE_REFUSED */
};
void ledger_request(struct ledger *l, const struct ledger_request *r);

/* Bytes to a viewer, as they move. */
void ledger_sent(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause, uint64_t bytes);

/* Bytes from an origin, as they move. */
void ledger_received(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause, uint64_t bytes);

/* Flights: gauges are differences. */
struct ledger_flights {
    counter_t started, ended;
    counter_t readers_joined, readers_left;
    counter_t coalesced;   /* requests that joined a flight instead of asking the origin */
    counter_t failed;      /* ended by an origin's failure */
    counter_t dropped;     /* ended because no reader was left */
    counter_t not_kept;    /* ended well, but nothing was stored */
};
struct ledger_flights *ledger_flights(struct ledger *l);

/* Upper bounds in microseconds of the time-to-first-byte histogram; the last bucket has none. */
#define LEDGER_LATENCY_BOUNDS_US                                                                             \
    {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000}
#define LEDGER_LATENCY_BUCKETS 17
#define LEDGER_STATUS_MAX      600

/* A sum over ledgers, for whoever reports. Plain numbers. */
struct ledger_cell {
    uint64_t requests, sent_bytes, received_bytes;
};
struct ledger_site_sum {
    struct ledger_cell cells[CLASS_COUNT][CAUSE_COUNT];
    uint64_t statuses[LEDGER_STATUS_MAX];
    uint64_t aborted_requests;
};
struct ledger_sum {
    size_t site_count; /* including LEDGER_NO_SITE */
    struct ledger_site_sum *sites;
    uint64_t refusals[REFUSAL_COUNT];
    uint64_t latency_buckets[CAUSE_COUNT][LEDGER_LATENCY_BUCKETS];
    uint64_t latency_sum_us[CAUSE_COUNT];
    uint64_t flights_started, flights_ended, readers_joined, readers_left, coalesced, flights_failed, flights_dropped,
        flights_not_kept;
};
struct ledger_sum *ledger_sum_new(struct ledger *const *ledgers, size_t count); /* any thread; NULL when memory is out */
void ledger_sum_free(struct ledger_sum *sum);

#endif
