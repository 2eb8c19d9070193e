/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting and summing. A ledger is one block per site, allocated whole at the start, so that counting never
 * allocates, looks up or locks; it starts on a cache line of its own, so that workers do not share one.
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CACHE_LINE_SIZE 64

struct cell {
    counter_t requests, sent_bytes, received_bytes, abandoned_bytes;
};

struct site {
    struct cell cells[CLASS_COUNT][CAUSE_COUNT];
    counter_t statuses[LEDGER_STATUS_MAX];
    counter_t aborted_requests, sent_bytes;
};

struct ledger {
    counter_t refusals[REFUSAL_COUNT];
    counter_t latency_buckets[CAUSE_COUNT][LEDGER_LATENCY_BUCKETS];
    counter_t latency_sum_us[CAUSE_COUNT];
    struct ledger_flights flights;
    size_t site_count; /* fixed; including LEDGER_NO_SITE */
    struct site sites[];
};

static const uint64_t latency_bounds_us[] = LEDGER_LATENCY_BOUNDS_US;

_Static_assert(ARRAY_COUNT(latency_bounds_us) + 1 == LEDGER_LATENCY_BUCKETS, "the last bucket has no bound");

struct ledger *ledger_new(size_t site_count)
{
    size_t size = sizeof(struct ledger) + (site_count + 1) * sizeof(struct site);
    struct ledger *l;

    size = (size + CACHE_LINE_SIZE - 1) & ~(size_t)(CACHE_LINE_SIZE - 1);
    l = aligned_alloc(CACHE_LINE_SIZE, size);
    if (!l)
        return NULL;
    memset(l, 0, size);
    l->site_count = site_count + 1;
    return l;
}

void ledger_free(struct ledger *l)
{
    free(l);
}

static struct site *site_of(struct ledger *l, unsigned site_id)
{
    return &l->sites[CHECK(site_id < l->site_count) ? site_id : LEDGER_NO_SITE];
}

static size_t latency_bucket(uint64_t latency_us)
{
    size_t i = 0;

    while (i < ARRAY_COUNT(latency_bounds_us) && latency_us > latency_bounds_us[i])
        i++;
    return i;
}

void ledger_request(struct ledger *l, const struct ledger_request *r)
{
    struct site *site = site_of(l, r->site_id);

    REQUIRE(r->content_class < CLASS_COUNT && r->cause < CAUSE_COUNT && r->refusal < REFUSAL_COUNT);
    counter_add(&site->cells[r->content_class][r->cause].requests, 1);
    /* An origin may send a status that is none (RFC 9110 section 15): it is counted as 0. */
    counter_add(&site->statuses[r->status < LEDGER_STATUS_MAX ? r->status : 0], 1);
    if (r->aborted)
        counter_add(&site->aborted_requests, 1);
    if (r->refusal != REFUSAL_NONE)
        counter_add(&l->refusals[r->refusal], 1);
    if (r->status != 0) {
        counter_add(&l->latency_buckets[r->cause][latency_bucket(r->first_byte_us)], 1);
        counter_add(&l->latency_sum_us[r->cause], r->first_byte_us);
    }
}

void ledger_sent(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause, uint64_t bytes)
{
    REQUIRE(c < CLASS_COUNT && cause < CAUSE_COUNT);
    counter_add(&site_of(l, site_id)->cells[c][cause].sent_bytes, bytes);
    counter_add(&site_of(l, site_id)->sent_bytes, bytes);
}

void ledger_abandoned(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause,
                      uint64_t bytes)
{
    REQUIRE(c < CLASS_COUNT && cause < CAUSE_COUNT);
    counter_add(&site_of(l, site_id)->cells[c][cause].abandoned_bytes, bytes);
}

uint64_t ledger_site_sent(const struct ledger *l, unsigned site_id)
{
    return counter_read(&l->sites[site_id].sent_bytes);
}

void ledger_received(struct ledger *l, unsigned site_id, enum content_class c, enum cause cause,
                     uint64_t bytes)
{
    REQUIRE(c < CLASS_COUNT && cause < CAUSE_COUNT);
    counter_add(&site_of(l, site_id)->cells[c][cause].received_bytes, bytes);
}

struct ledger_flights *ledger_flights(struct ledger *l)
{
    return &l->flights;
}

static void add_site(struct ledger_site_sum *sum, const struct site *site)
{
    for (int c = 0; c < CLASS_COUNT; c++) {
        for (int cause = 0; cause < CAUSE_COUNT; cause++) {
            const struct cell *cell = &site->cells[c][cause];

            sum->cells[c][cause].requests += counter_read(&cell->requests);
            sum->cells[c][cause].sent_bytes += counter_read(&cell->sent_bytes);
            sum->cells[c][cause].received_bytes += counter_read(&cell->received_bytes);
            sum->cells[c][cause].abandoned_bytes += counter_read(&cell->abandoned_bytes);
        }
    }
    for (int status = 0; status < LEDGER_STATUS_MAX; status++)
        sum->statuses[status] += counter_read(&site->statuses[status]);
    sum->aborted_requests += counter_read(&site->aborted_requests);
}

/* What ends is read before what starts, so that a gauge (their difference) is not below zero when both move
 * meanwhile. */
static void add_flights(struct ledger_sum *sum, const struct ledger_flights *f)
{
    sum->flights_ended += counter_read(&f->ended);
    sum->readers_left += counter_read(&f->readers_left);
    sum->flights_started += counter_read(&f->started);
    sum->readers_joined += counter_read(&f->readers_joined);
    sum->coalesced += counter_read(&f->coalesced);
    sum->flights_failed += counter_read(&f->failed);
    sum->flights_dropped += counter_read(&f->dropped);
    sum->flights_not_kept += counter_read(&f->not_kept);
    sum->flights_corrupt += counter_read(&f->corrupt);
    sum->hit_for_miss += counter_read(&f->hit_for_miss);
    sum->orphans_finished += counter_read(&f->orphans_finished);
    sum->orphans_finished_bytes += counter_read(&f->orphans_finished_bytes);
    sum->orphans_dropped_bytes += counter_read(&f->orphans_dropped_bytes);
}

static void add_latencies(struct ledger_sum *sum, const struct ledger *l)
{
    for (int cause = 0; cause < CAUSE_COUNT; cause++) {
        for (int i = 0; i < LEDGER_LATENCY_BUCKETS; i++)
            sum->latency_buckets[cause][i] += counter_read(&l->latency_buckets[cause][i]);
        sum->latency_sum_us[cause] += counter_read(&l->latency_sum_us[cause]);
    }
}

struct ledger_sum *ledger_sum_new(struct ledger *const *ledgers, size_t count)
{
    struct ledger_sum *sum = calloc(1, sizeof(*sum));

    if (!sum)
        return NULL;
    sum->site_count = 1;
    for (size_t i = 0; i < count; i++)
        sum->site_count = size_max(sum->site_count, ledgers[i]->site_count);
    sum->sites = calloc(sum->site_count, sizeof(*sum->sites));
    if (!sum->sites) {
        free(sum);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ledger *l = ledgers[i];

        for (size_t site = 0; site < l->site_count; site++)
            add_site(&sum->sites[site], &l->sites[site]);
        for (int refusal = 0; refusal < REFUSAL_COUNT; refusal++)
            sum->refusals[refusal] += counter_read(&l->refusals[refusal]);
        add_latencies(sum, l);
        add_flights(sum, &l->flights);
    }
    return sum;
}

void ledger_sum_free(struct ledger_sum *sum)
{
    if (!sum)
        return;
    free(sum->sites);
    free(sum);
}
