/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See places.h. A worker says which database it is about to use, then looks whether that is still the one;
 * whoever exchanges it waits for those that said the old one, which takes as long as one lookup, and only
 * then closes it. So workers never wait, take no lock, and free nothing.
 */
#include "places.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/file_mark.h"
#include "base/log.h"
#include "refresh.h"

#define ERROR_SIZE_MAX 4096

struct places_worker {
    _Atomic(struct geo *) used; /* NULL: it looks nothing up */
} __attribute__((aligned(64)));

struct places {
    const struct config_geoip *config;
    struct geo_override *overrides;
    _Atomic(struct geo *) geo;
    _Atomic int64_t built_s;
    uint64_t mark; /* of the file as it was read last; of the thread that refreshes */
    counter_t reloads, reload_failures;
    struct refresh refresh;
    size_t worker_count;
    struct places_worker *workers;
};

static int copy_overrides(struct places *p)
{
    const struct config_geoip *c = p->config;
    p->overrides = calloc(c->override_count + 1, sizeof(*p->overrides));
    for (size_t i = 0; p->overrides && i < c->override_count; i++) {
        const struct config_place *from = &c->overrides[i].place;
        struct place *place = &p->overrides[i].place;
        p->overrides[i].prefix = c->overrides[i].prefix;
        *place = (struct place){
            .has_coordinates = from->has_point, .latitude = from->latitude, .longitude = from->longitude};
        memcpy(place->country, from->country, sizeof(place->country));
    }
    return p->overrides ? 0 : -ENOMEM;
}

/* Not half of one file and half of the next: who writes over it in place is waited for. */
static int read_geo(struct places *p, struct buf *error, struct geo **ret_geo)
{
    const struct config_geoip *c = p->config;
    p->mark = c->database ? file_mark(c->database) : 0;
    int r = geo_open(c->database, c->country_field, p->overrides, c->override_count, error, ret_geo);
    if (r < 0 || !c->database || file_mark(c->database) == p->mark)
        return r;
    geo_close(*ret_geo);
    p->mark = 0;
    buf_printf(error, "GeoIP database %s: it changed while it was read", c->database);
    return -EAGAIN;
}

static void look(void *user, bool is_asked)
{
    places_refresh(user, is_asked);
}

int places_new(const struct config *config, size_t worker_count, struct buf *error,
               struct places **ret_places)
{
    struct geo *geo = NULL;
    if (!config->geoip.database && config->geoip.override_count == 0) {
        *ret_places = NULL;
        return 0;
    }
    struct places *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->config = &config->geoip;
    p->worker_count = worker_count;
    p->workers = aligned_alloc(sizeof(*p->workers), worker_count * sizeof(*p->workers));
    for (size_t i = 0; p->workers && i < worker_count; i++)
        atomic_init(&p->workers[i].used, NULL);
    refresh_init(&p->refresh, config->geoip.reload_interval_ms, look, p);
    int r = p->workers ? copy_overrides(p) : -ENOMEM;
    if (r == 0)
        r = read_geo(p, error, &geo);
    if (r < 0) {
        places_free(p);
        return r;
    }
    atomic_init(&p->geo, geo);
    atomic_init(&p->built_s, geo_built_s(geo));
    *ret_places = p;
    return 0;
}

int places_start(struct places *p)
{
    return p->config->database ? refresh_start(&p->refresh) : 0;
}

void places_free(struct places *p)
{
    if (!p)
        return;
    refresh_fini(&p->refresh);
    geo_close(atomic_load(&p->geo));
    free(p->overrides);
    free(p->workers);
    free(p);
}

/* ---- exchanging ---- */

static void put_in_use(struct places *p, struct geo *geo)
{
    struct geo *old = atomic_exchange(&p->geo, geo);
    atomic_store(&p->built_s, geo_built_s(geo));
    for (size_t i = 0; i < p->worker_count; i++)
        while (atomic_load(&p->workers[i].used) == old)
            sched_yield(); /* it is in the middle of a lookup */
    geo_close(old);
}

void places_refresh(struct places *p, bool all)
{
    struct geo *geo;
    struct buf error;
    if (!all && file_mark(p->config->database) == p->mark)
        return;
    buf_init(&error, ERROR_SIZE_MAX);
    if (read_geo(p, &error, &geo) == 0) {
        put_in_use(p, geo);
        log_info("read anew: %s", p->config->database);
        counter_add(&p->reloads, 1);
    } else {
        log_error("%.*s; what was read before stays in use", SLICE_ARG(buf_slice(&error)));
        counter_add(&p->reload_failures, 1);
    }
    buf_fini(&error);
}

void places_reload(struct places *p)
{
    refresh_ask(&p->refresh);
}

/* ---- for others ---- */

bool places_lookup(struct places *p, unsigned worker, const struct addr *a, struct place *ret_place)
{
    REQUIRE(worker < p->worker_count);
    struct places_worker *w = &p->workers[worker];
    struct geo *geo = atomic_load(&p->geo), *seen;
    for (;; geo = seen) { /* again only when it is exchanged this very moment */
        atomic_store(&w->used, geo);
        seen = atomic_load(&p->geo);
        if (seen == geo)
            break;
    }
    bool is_known = geo_lookup(geo, a, ret_place);
    atomic_store_explicit(&w->used, NULL, memory_order_release);
    return is_known;
}

void places_stats(struct places *p, struct places_stats *ret_stats)
{
    *ret_stats = (struct places_stats){.reloads = counter_read(&p->reloads),
                                       .reload_failures = counter_read(&p->reload_failures),
                                       .built_s = atomic_load(&p->built_s)};
}
