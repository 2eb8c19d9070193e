/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: a thread with its own loop, listeners and connections. Workers share nothing but the service,
 * which does not change.
 */
#ifndef WORKER_H
#define WORKER_H

#include "base/addr.h"
#include "service.h"

#define WORKER_DRAIN_MS 5000 /* responses get so long to end when the worker is stopped */

struct worker;

/* Listens at once, on the calling thread; serves when started. On a port 0 the system's choice is put into
 * `addresses`, for the other workers to listen there too. */
int worker_new(const struct service *service, struct addr *addresses, size_t count, size_t connections_max,
               struct worker **ret_worker);
int worker_start(struct worker *w);

/* Any thread: accepts no more, lets responses end for WORKER_DRAIN_MS, then ends its thread. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w); /* waits for the thread's end; NULL is fine */

#endif
