/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with its own loop, listeners, viewers, origin connections and counters. What workers
 * share comes with the options and outlives them.
 */
#ifndef WORKER_H
#define WORKER_H

#include "http/server.h"
#include "request.h"

struct worker;

struct worker_shared {
    const struct config *config;
    const struct site_table *sites;
    const struct site_route *site_routes;
    const struct geo *geo;
    const struct route_edge *edges;
    size_t edge_count, self_index;
    struct store *store;
    struct flight_table *flights;
    struct catalog *catalog;
    struct access_log *access_log;
    struct tls_server *tls_server; /* NULL: no listener has TLS */
    struct tls_client *tls_client; /* NULL: no origin has TLS */
};

/* Two steps, as flights need the mailboxes of all workers. Both on the main thread, before worker_start. */
int worker_new(unsigned index, size_t site_count, struct worker **ret_worker);
int worker_prepare(struct worker *w, const struct worker_shared *shared);

struct mailbox *worker_mailbox(const struct worker *w);
struct ledger *worker_ledger(const struct worker *w);
const struct http_server_stats *worker_server_stats(const struct worker *w);
const struct fetch_stats *worker_fetch_stats(const struct worker *w);

/* Opens a listener at `address` (port 0: the system chooses, *ret_bound says what). Before worker_start. */
int worker_listen(struct worker *w, const struct addr *address, bool is_tls, struct addr *ret_bound);
int worker_start(struct worker *w);

/* Ending them takes all together: stop each (listeners close, running responses get `grace_ms`), join each,
 * then, with all loops still, end each (requests are aborted, fills fail), free each. */
void worker_stop(struct worker *w, uint64_t grace_ms);
void worker_join(struct worker *w);
void worker_end(struct worker *w);
void worker_free(struct worker *w); /* NULL is fine */

#endif
