/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one viewer, and all of them, may use: connections and requests. One for all workers.
 *
 * A client is an IPv4 address or an IPv6 /64, a prefix an IPv4 /24 or an IPv6 /48. Connections are shared
 * fairly without anybody saying how many clients there will be: each may have twice as many as are still
 * free, and the last sixteenth is for clients that have fewer than eight. So one address alone, a carrier's
 * perhaps, may take five eighths of all, and however many come that want all, a newcomer finds room. Peers
 * that are trusted proxies stand for many viewers: only the whole counts for them.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "config.h"
#include "http/gate.h"
#include "ledger_words.h"

struct quota;

/* connections_max: what is left of the configured one after quota_fit. The configuration outlives it. Where
 * there are several workers a few connections are kept for those who cannot make room themselves. NULL when
 * memory is out. */
struct quota *quota_new(const struct config *config, uint64_t connections_max, size_t worker_count);
void quota_free(struct quota *q); /* NULL is fine */

/* For the workers' servers. */
const struct http_gate *quota_gate(struct quota *q);

/* A request: REFUSAL_NONE, or why not and in how many seconds it may be asked again. */
enum refusal quota_request(struct quota *q, const struct addr *viewer, unsigned site_id, uint64_t now_ns,
                           unsigned *ret_retry_after_s);

struct quota_stats {
    uint64_t connections, connections_max, clients_unknown;
};
void quota_stats(const struct quota *q, struct quota_stats *ret_stats); /* any thread */

/* How many connections fit into so many descriptors when `reserved` of them are for other things; at least
 * one, at most `wanted`. */
uint64_t quota_fit(uint64_t wanted, uint64_t descriptors, uint64_t reserved);

#endif
