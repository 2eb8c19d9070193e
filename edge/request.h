/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One viewer's request, from its head to its access-log record. It knows exchanges, not connections; objects
 * and flights, not regions; sites, not files.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "access_log.h"
#include "catalog.h"
#include "egress.h"
#include "http/exchange.h"
#include "origin/origin.h"
#include "overload.h"
#include "places.h"
#include "quota.h"
#include "route/route.h"
#include "site.h"
#include "store/store_reader.h"

/* What requests of one worker share. Owned by the worker; fixed while requests run. */
struct request_env {
    struct loop *loop;
    unsigned worker;
    const struct config *config;
    const struct site_table *sites;
    const struct site_route *site_routes; /* by site id - 1 */
    struct places *places;                /* NULL: no place is known */
    const struct route_edge *edges;       /* the edge map, in the order of the configuration */
    size_t edge_count, self_index;
    struct store *store;
    struct store_reader_place disk; /* of its requests' readers */
    struct flight_table *flights;
    struct purge *purges; /* NULL: none */
    struct catalog *catalog;
    struct origin *origin;
    struct ledger *ledger;
    struct access_log *access_log; /* NULL: none */
    struct quota *quota;
    const struct egress *egress; /* NULL: the uplink is not stated */
    struct admit *admit;
    struct hit_for_miss *hit_for_miss;
    const struct overload *overload;
    struct list free_requests; /* request.c's pool */
    size_t free_count;
    struct list requests; /* that run */
    uint64_t patience_ms; /* with readers who stand on space that is needed; 0: it is not */
    struct buf scratch;   /* for the head being written */
};

/* A site's country rules in the form that route.h asks for. */
struct site_route {
    struct country_set allow, deny;
};

void request_env_init(struct request_env *env); /* the pool; all else is set by the worker */
void request_env_fini(struct request_env *env);

/* To be called some times a second: while the store's space is short because of readers who hold it, cuts off
 * those who have taken nothing for longest, and then for less and less long. */
void request_env_relieve(struct request_env *env);

/* Takes over the exchange. */
void request_start(struct request_env *env, struct exchange *x);

#endif
