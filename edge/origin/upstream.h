/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origins of all sites as they are asked: TLS settings, the fields that only they may see, their health,
 * what became of the requests to them. Made once; all workers share it, and only health and counters change.
 */
#ifndef ORIGIN_UPSTREAM_H
#define ORIGIN_UPSTREAM_H

#include "base/buf.h"
#include "base/counter.h"
#include "http/fetch.h"
#include "origin/health.h"

struct upstream {
    const struct config_upstream *config;
    struct fetch_target target;
    struct slice fields; /* whole lines: Host, secrets. Never to be logged or shown */
    struct health health;
    counter_t requests, errors, ejections; /* shared */
};

struct upstream_site {
    const struct config_site *config;
    struct upstream *upstreams;
    size_t count;
};

struct upstreams;

/* Reads the files of secrets and certificates; on failure a sentence stands in `error`, and none of them. */
int upstreams_new(const struct config *config, size_t worker_count, struct buf *error,
                  struct upstreams **ret_upstreams);
void upstreams_free(struct upstreams *u); /* NULL is fine; after the workers */
struct upstream_site *upstreams_site(struct upstreams *u, unsigned site_id); /* 1 .. count */
size_t upstreams_site_count(const struct upstreams *u);

#endif
