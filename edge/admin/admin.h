/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator sees: a listener of its own with /stats (JSON), /metrics (Prometheus), /healthz, a
 * page over them, and /explain?url= (docs/caching.md). These only read counters; docs/stats.md says what each
 * one means. And what an operator does: POST /purge (docs/purge.md).
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "access_log.h"
#include "admin/explain.h"
#include "certificates.h"
#include "egress.h"
#include "http/fetch.h"
#include "http/server.h"
#include "ledger.h"
#include "origin/origin.h"
#include "overload.h"
#include "places.h"
#include "quota.h"
#include "store/store.h"

#define ADMIN_TOKEN_MAX ((size_t)1024)

struct admin_purge_source {
    struct purge *purges; /* NULL: there are none */
    const struct site_table *sites;
    struct slice token; /* who purges must know it; data NULL: who is on this machine may */
};

/* The first line of a file, appended. 0 or a negative errno, with a sentence in `error`. */
int admin_read_token(const char *path, struct buf *token, struct buf *error);

/* Where the numbers come from. Everything outlives the admin and is read from its thread at any time. */
struct admin_source {
    const char *edge, *version;
    int64_t started_wall_ms;
    const char *const *site_names; /* of site ids 1 .. site_count */
    size_t site_count;
    size_t worker_count; /* the length of each array below */
    struct ledger *const *ledgers;
    const struct http_server_stats *const *servers;
    const struct fetch_stats *const *fetches;
    const struct overload *const *overloads; /* NULL: not known */
    const struct origin_stats *const *origins;
    struct upstreams *upstreams;         /* NULL: none are shown */
    struct store *store;                 /* NULL: none */
    const struct egress *egress;         /* NULL: the uplink is not stated */
    const struct quota *quota;           /* NULL: none */
    const struct access_log *access_log; /* NULL: none */
    struct certificates *certificates;   /* NULL: none */
    struct places *places;               /* NULL: none */
    struct explain_source explain;       /* store NULL: nothing is explained */
    struct admin_purge_source purge;
};

struct admin;

/* Listens, on the loop's thread. The source is copied, what it points to is not. On failure a sentence stands
 * in `error`, and a negative errno is returned. */
int admin_open(struct loop *l, const struct addr *address, const struct admin_source *source,
               struct buf *error, struct admin **ret_admin);
void admin_close(struct admin *a);                                   /* at once; NULL is fine */
void admin_address(const struct admin *a, struct addr *ret_address); /* with the port the system chose */

#endif
