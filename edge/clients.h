/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of clients while they matter: their open connections and how much they have asked for
 * lately. One table of a fixed size for all workers, in shards with a mutex each. Clients are told apart by a
 * keyed hash, so that nobody can choose who shares a set with whom.
 *
 * Who has open connections is never forgotten. Of the others the one that asked least goes first, so a crowd
 * of addresses that come once cannot push out who keeps coming. When a set holds nothing but open connections
 * a newcomer is let in unknown: not counted, and so not limited by what is his alone.
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "base/addr.h"
#include "base/counter.h"
#include "base/hash.h"

struct clients;

/* At least so many, for `connections_max` connections at once. NULL when memory is out. */
struct clients *clients_new(size_t connections_max);
void clients_free(struct clients *c); /* NULL is fine */

/* One more connection of this client, unless it has `count_max` already. *ret_client stands for it until
 * clients_leave, 0 for one that is let in unknown; it is set on a refusal too, for clients_count. */
bool clients_enter(struct clients *c, struct hash128 key, uint64_t count_max, uint32_t *ret_client);
void clients_leave(struct clients *c, uint32_t client); /* 0 is fine */
uint32_t clients_count(const struct clients *c, uint32_t client);

/* One more request of this client: 0, or in how many nanoseconds it may ask again. */
uint64_t clients_take(struct clients *c, struct hash128 key, uint64_t rate_per_s, uint64_t burst,
                      uint64_t now_ns);

/* Those that found no place. */
uint64_t clients_unknown(const struct clients *c);

#endif
