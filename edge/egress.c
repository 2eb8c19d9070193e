/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site's pace follows the ratio of its share to what it sends, by no more than a factor of two a step: how
 * many viewers it has, and what each of them could take, need not be known. A paced site is taken to want
 * more; one whose pace has become so large that it binds nobody is let go.
 */
#include "egress.h"

#include <stdlib.h>

#include "base/check.h"

#define FULL_FROM     90   /* hundredths of the capacity: sites are paced */
#define FULL_UNTIL    75   /* below it they are let go */
#define TARGET        95   /* of it is given out: what is above is for the others' growth */
#define PACE_MIN      1024 /* bytes a second */
#define SATURATED     970 /* thousandths: what a site sends says nothing of its pace, the wire holds it back */
#define GROWTH        4   /* a site that is not paced may grow by a quarter a step */
#define DEMAND_MIN    (64u << 10)
#define FIRST_DIVISOR 4 /* of its share: a site's first pace */

struct site {
    counter_t rate, pace;
};

struct egress {
    uint64_t capacity;
    size_t count;
    bool is_full;
    counter_t pressure;
    bool *work;
    uint64_t *demands, *weights, *shares;
    struct site sites[];
};

void egress_share(const uint64_t *demands, const uint64_t *weights, size_t count, uint64_t capacity,
                  bool *work, uint64_t *ret_shares)
{
    bool has_changed = true;

    for (size_t i = 0; i < count; i++)
        work[i] = false;
    while (has_changed) { /* each round satisfies somebody, or is the last */
        uint64_t weight = 0;

        has_changed = false;
        for (size_t i = 0; i < count; i++)
            weight += work[i] ? 0 : weights[i];
        uint64_t left = capacity;
        for (size_t i = 0; i < count; i++) {
            ret_shares[i] =
                work[i] ? demands[i] : (uint64_t)((unsigned __int128)capacity * weights[i] / weight);
            if (!work[i] && demands[i] <= ret_shares[i]) {
                work[i] = has_changed = true;
                left -= demands[i];
            }
        }
        capacity = left;
    }
}

struct egress *egress_new(uint64_t capacity_bytes_per_s, const uint64_t *weights, size_t count)
{
    struct egress *e = calloc(1, sizeof(*e) + count * sizeof(e->sites[0]));

    REQUIRE(capacity_bytes_per_s > 0 && count > 0);
    if (!e)
        return NULL;
    e->capacity = capacity_bytes_per_s;
    e->count = count;
    e->work = calloc(count, sizeof(*e->work));
    e->demands = calloc(count, sizeof(*e->demands));
    e->weights = calloc(count, sizeof(*e->weights));
    e->shares = calloc(count, sizeof(*e->shares));
    if (!e->work || !e->demands || !e->weights || !e->shares) {
        egress_free(e);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        e->weights[i] = weights[i] > 0 ? weights[i] : 1;
    return e;
}

void egress_free(struct egress *e)
{
    if (!e)
        return;
    free(e->work);
    free(e->demands);
    free(e->weights);
    free(e->shares);
    free(e);
}

static void set(counter_t *c, uint64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static uint64_t measure(struct egress *e, const uint64_t *sent_bytes, uint64_t elapsed_ms)
{
    uint64_t total = 0;

    for (size_t i = 0; i < e->count; i++) {
        uint64_t rate = sent_bytes[i] * 1000 / elapsed_ms;

        rate = (counter_read(&e->sites[i].rate) + rate) / 2;
        set(&e->sites[i].rate, rate);
        total += rate;
    }
    return total;
}

static uint64_t changed_pace(const struct egress *e, uint64_t pace, uint64_t rate, uint64_t share)
{
    uint64_t most = pace * 2, least = pace / 2;

    if (rate > share && counter_read(&e->pressure) >= SATURATED)
        pace = least;
    else
        pace = rate > 0 ? (uint64_t)((unsigned __int128)pace * share / rate) : most;
    pace = pace > most ? most : pace < least ? least : pace;
    if (pace >= e->capacity)
        return 0;
    return pace > PACE_MIN ? pace : PACE_MIN;
}

static void share_out(struct egress *e)
{
    for (size_t i = 0; i < e->count; i++) {
        uint64_t rate = counter_read(&e->sites[i].rate);

        e->demands[i] = counter_read(&e->sites[i].pace) > 0 ? UINT64_MAX : rate + rate / GROWTH + DEMAND_MIN;
    }
    egress_share(e->demands, e->weights, e->count, e->capacity / 100 * TARGET, e->work, e->shares);
    for (size_t i = 0; i < e->count; i++) {
        uint64_t pace = counter_read(&e->sites[i].pace), share = e->shares[i];

        if (pace > 0)
            set(&e->sites[i].pace, changed_pace(e, pace, counter_read(&e->sites[i].rate), share));
        else if (e->demands[i] > share)
            set(&e->sites[i].pace, share / FIRST_DIVISOR > PACE_MIN ? share / FIRST_DIVISOR : PACE_MIN);
    }
}

static void let_go(struct egress *e)
{
    for (size_t i = 0; i < e->count; i++) {
        uint64_t pace = counter_read(&e->sites[i].pace);

        if (pace > 0)
            set(&e->sites[i].pace, pace * 2 < e->capacity ? pace * 2 : 0);
    }
}

void egress_step(struct egress *e, const uint64_t *sent_bytes, uint64_t elapsed_ms)
{
    uint64_t total;

    if (elapsed_ms == 0)
        return;
    total = measure(e, sent_bytes, elapsed_ms);
    set(&e->pressure, total * 1000 / e->capacity);
    e->is_full = total >= e->capacity / 100 * (e->is_full ? FULL_UNTIL : FULL_FROM);
    if (e->is_full)
        share_out(e);
    else
        let_go(e);
}

uint64_t egress_pace(const struct egress *e, size_t site)
{
    return e ? counter_read(&e->sites[site].pace) : 0;
}

uint64_t egress_rate(const struct egress *e, size_t site)
{
    return counter_read(&e->sites[site].rate);
}

uint64_t egress_capacity(const struct egress *e)
{
    return e->capacity;
}

uint64_t egress_pressure(const struct egress *e)
{
    return e ? counter_read(&e->pressure) : 0;
}
