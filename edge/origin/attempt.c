/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which origin is asked, and what happens when it fails: before the head another one is tried, each once;
 * after a break in the body the rest is asked for, of the origin that began first, then of the others. Each
 * retry has to be earned (budget.h), and a fill gets a few in a row only.
 */
#include "base/log.h"
#include "origin/choice.h"
#include "origin/origin_private.h"

_Static_assert(CONFIG_ORIGINS_MAX <= 32, "`tried` has a bit for each");

/* Before the first, second, ... time that a rest is asked for: an origin that restarts is back after the last
 * one, and viewers have seconds in their buffers. */
static const uint64_t resume_delays_ms[] = {0, 250, 1000};

static uint64_t now_of(const struct fill *f)
{
    return loop_now_ms(f->origin->options.loop);
}

bool attempt_is_origins_fault(enum fetch_result result)
{
    return result != FETCH_OK && result != FETCH_OVERLOADED && result != FETCH_NO_MEMORY;
}

void attempt_report(struct fill *f, bool is_good)
{
    struct upstream *upstream = &f->upstreams->upstreams[f->upstream];
    const struct config_site *site = f->site->config;
    if (!is_good)
        counter_add_shared(&upstream->errors, 1);
    if (!health_report(&upstream->health, &site->origin_ejection, is_good, now_of(f)))
        return;
    counter_add_shared(&upstream->ejections, 1);
    if (f->upstreams->count > 1)
        log_warn("site %s: the origin %.*s failed %u times in a row and is left alone for a while",
                 site->name, SLICE_ARG(upstream->config->url.authority),
                 site->origin_ejection.consecutive_errors);
}

/* ---- choosing ---- */

static int choose_untried(const struct fill *f, uint32_t tried)
{
    struct choice_candidate candidates[CONFIG_ORIGINS_MAX];
    uint64_t now_ms = now_of(f);
    for (size_t i = 0; i < f->upstreams->count; i++) {
        const struct upstream *upstream = &f->upstreams->upstreams[i];
        candidates[i] = (struct choice_candidate){
            .weight = upstream->config->weight,
            .priority = upstream->config->priority,
            .is_usable = health_is_usable(&upstream->health, now_ms),
            .is_tried = tried >> i & 1,
        };
    }
    return choice_next(candidates, f->upstreams->count, f->key_hash.low);
}

static unsigned choose(struct fill *f)
{
    const struct upstream *began = &f->upstreams->upstreams[f->head_upstream];
    if (f->has_head && f->resumes == 1 && health_is_usable(&began->health, now_of(f)))
        return f->head_upstream;
    int index = choose_untried(f, f->tried);
    if (index < 0) { /* for a rest each may be asked more than once */
        f->tried = 0;
        index = choose_untried(f, 0);
    }
    REQUIRE(index >= 0);
    return (unsigned)index;
}

/* ---- asking ---- */

static struct ask_part part_of(const struct fill *f)
{
    struct ask_part part = {.if_range = {NULL, 0}, .stale = flight_stale(f->flight)};
    if (f->has_head)
        return (struct ask_part){true, fill_position(f), f->rest.limit_bytes, f->rest.validator, NULL};
    flight_range(f->flight, &part.is_ranged, &part.first_bytes, &part.limit_bytes);
    if (f->if_range)
        part.if_range = slice_of(f->if_range);
    return part;
}

bool attempt_start(struct fill *f)
{
    struct origin *o = f->origin;
    const struct config_origin_timeouts *t = &f->site->config->origin_timeouts;
    struct fetch_timeouts timeouts = {t->connect_ms, t->first_byte_ms, t->idle_ms, t->queue_ms};
    struct ask_part part = part_of(f);
    f->upstream = choose(f);
    f->tried |= 1u << f->upstream;
    struct upstream *upstream = &f->upstreams->upstreams[f->upstream];
    if (!ask_write(f->ask, upstream, &part, &o->request_head) ||
        fetch_start(o->pool, &upstream->target, &timeouts, buf_slice(&o->request_head), f->asked.is_head,
                    &fill_events, f, &f->fetch) < 0)
        return false;
    f->booked_bytes = 0;
    counter_add_shared(&upstream->requests, 1);
    if (f->has_head && flight_is_full(f->flight))
        fetch_pause(f->fetch, true);
    return true;
}

/* ---- asking again ---- */

static bool is_wanted(struct fill *f)
{
    return f->is_background || !flight_is_orphaned(f->flight);
}

static bool spend(struct fill *f)
{
    struct origin *o = f->origin;
    bool may = budget_spend(&o->budgets[f->site->id - 1], &f->site->config->origin_retries, now_of(f));
    if (!may)
        counter_add(&o->stats.retries_refused, 1);
    return may;
}

bool attempt_another(struct fill *f)
{
    if (f->has_head || !f->ask->is_repeatable || !is_wanted(f) || choose_untried(f, f->tried) < 0 ||
        !spend(f))
        return false;
    if (f->fetch) /* its answer will not do */
        fetch_cancel(f->fetch);
    f->fetch = NULL;
    counter_add(&f->origin->stats.retries, 1);
    if (!attempt_start(f))
        fill_fail(f);
    return true;
}

static void on_retry(struct timer *t)
{
    struct fill *f = container_of(t, struct fill, retry);
    if (!attempt_start(f))
        fill_fail(f);
}

bool attempt_rest(struct fill *f)
{
    uint64_t position = fill_position(f);
    if (!f->rest.validator.data || !is_wanted(f))
        return false;
    if (f->resumes == 0 ||
        position - f->resumed_at_bytes >= flight_table_slice_bytes(f->origin->options.flights))
        f->resumes = f->tried = 0;
    if (f->resumes == ARRAY_COUNT(resume_delays_ms) || !spend(f))
        return false;
    f->resumed_at_bytes = position;
    counter_add(&f->origin->stats.resumes, 1);
    uint64_t delay_ms = resume_delays_ms[f->resumes++];
    if (delay_ms == 0)
        return attempt_start(f);
    timer_init(&f->retry, on_retry);
    timer_start(f->origin->options.loop, &f->retry, delay_ms);
    return true;
}
