/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with its own loop, listeners, viewers, origin connections and counters. What workers
 * share comes with the options and outlives them.
 */
#ifndef WORKER_H
#define WORKER_H

#include <semaphore.h>

#include "http/server.h"
#include "request.h"

struct worker;

struct worker_shared {
    const struct config *config;
    const struct site_table *sites;
    const struct site_route *site_routes;
    struct places *places; /* NULL: no place is known */
    const struct route_edge *edges;
    size_t edge_count, self_index;
    struct store *store;
    struct flight_table *flights;
    struct purge *purges;
    struct catalog *catalog;
    struct access_log *access_log;
    struct quota *quota;
    struct worker **workers; /* all of them; they outlive each other's threads */
    size_t worker_count;
    const struct egress *egress; /* NULL: the uplink is not stated */
    const struct machine *machine;
    struct tls_server *tls_server; /* NULL: no listener has TLS */
    struct upstreams *upstreams;
    struct admit *admit;
    struct hit_for_miss *hit_for_miss;
};

/* Two steps, as flights need the mailboxes of all workers. Both on the main thread, before worker_start. */
int worker_new(unsigned index, size_t site_count, struct worker **ret_worker);
int worker_prepare(struct worker *w, const struct worker_shared *shared);

struct mailbox *worker_mailbox(const struct worker *w);
struct ledger *worker_ledger(const struct worker *w);
const struct http_server_stats *worker_server_stats(const struct worker *w);
const struct overload *worker_overload(const struct worker *w);
const struct fetch_stats *worker_fetch_stats(const struct worker *w);
const struct origin_stats *worker_origin_stats(const struct worker *w);

/* Opens a listener at `address` (port 0: the system chooses, *ret_bound says what). Before worker_start. */
int worker_listen(struct worker *w, const struct addr *address, const struct config_listener *listener,
                  struct addr *ret_bound);
int worker_start(struct worker *w);
bool worker_is_started(const struct worker *w); /* and not joined */

/* Ending them takes all together. Drain each: listeners close, and `drained` is posted, once for each worker,
 * when its viewers are done; its loop goes on, as fills that it leads may have viewers at other workers. Then
 * halt and join each, then, with all loops still, end each (requests are aborted, fills fail), free each. */
void worker_drain(struct worker *w, sem_t *drained);
void worker_halt(struct worker *w);
void worker_join(struct worker *w);
void worker_end(struct worker *w);
void worker_free(struct worker *w); /* NULL is fine */

#endif
