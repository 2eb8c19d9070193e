/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what moved, by site, class and cause. One per worker, one writer each (base/counter.h); the
 * admin side reads all of them and sums.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/counter.h"
#include "ledger_words.h"

/* Site id of what belongs to no known site. Sites of the configuration have 1 .. count. */
#define LEDGER_NO_SITE 0

struct ledger;

struct ledger *ledger_new(size_t site_count); /* NULL when memory is out */
void ledger_free(struct ledger *l);

/* One answered request, once, at its end. first_byte_us: from the whole request head to the first byte of the
 * response given to the connection. aborted: it ended before its last byte was sent. status 0: it ended
 * before a response was begun, and has no first byte then. */
struct ledger_request {
    unsigned site_id;
    enum content_class content_class;
    enum cause cause;
    unsigned status;
    uint64_t first_byte_us;
    bool aborted;
    enum refusal refusal; /* REFUSAL_NONE, unless cause is CAUSE_REFUSED or it was cut off */
};
void ledger_request(struct ledger *l, const struct ledger_request *r);

/* Bytes to a viewer, as they move. */
void ledger_sent(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause, uint64_t bytes);

/* Of the bytes that were sent, those of a body that its viewer did not take to its end. */
void ledger_abandoned(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause,
                      uint64_t bytes);

/* All bytes sent for a site so far. Any thread. */
uint64_t ledger_site_sent(const struct ledger *l, unsigned site_id);

/* Bytes from an origin, as they move. */
void ledger_received(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause,
                     uint64_t bytes);

/* Flights: gauges are differences. */
struct ledger_flights {
    counter_t started, ended;
    counter_t readers_joined, readers_left;
    counter_t coalesced;    /* requests that joined a flight instead of asking the origin */
    counter_t failed;       /* ended by an origin's failure */
    counter_t dropped;      /* ended because no reader was left */
    counter_t not_kept;     /* ended well, but nothing was stored */
    counter_t corrupt;      /* failed, as the body was not what its digest says */
    counter_t hit_for_miss; /* requests that went to the origin at once: what they ask for is not shared */
    counter_t orphans_finished, orphans_finished_bytes; /* ended well without a reader; received for nobody */
    counter_t orphans_dropped_bytes; /* of those dropped: what of the body had been received */
};
struct ledger_flights *ledger_flights(struct ledger *l);

/* Upper bounds in microseconds of the time-to-first-byte histogram; the last bucket has none. */
#define LEDGER_LATENCY_BOUNDS_US                                                                        \
    {                                                                                                   \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, \
            5000000, 10000000                                                                           \
    }
#define LEDGER_LATENCY_BUCKETS 17
#define LEDGER_STATUS_MAX      600

/* A sum over ledgers, for whoever reports. Plain numbers. */
struct ledger_cell {
    uint64_t requests, sent_bytes, received_bytes, abandoned_bytes;
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
    uint64_t flights_started, flights_ended, readers_joined, readers_left, coalesced, flights_failed,
        flights_dropped, flights_not_kept, flights_corrupt, hit_for_miss, orphans_finished,
        orphans_finished_bytes, orphans_dropped_bytes;
};
struct ledger_sum *ledger_sum_new(struct ledger *const *ledgers,
                                  size_t count); /* any thread; NULL when memory is out */
void ledger_sum_free(struct ledger_sum *sum);

#endif
