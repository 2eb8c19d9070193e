/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The total is one atomic number, what belongs to clients and prefixes stands in their table, and each site
 * has a bucket of its own. A limit of 0 is none.
 */
#include "quota.h"

#include <stdlib.h>

#include "base/bucket.h"
#include "base/check.h"
#include "clients.h"
#include "http/server.h"

#define SHARE_OF_FREE 2  /* times what is free: a client's fair share */
#define RESERVE       16 /* one of so many is kept for clients with few connections */
#define FEW           8
#define CROWDED       64 /* one of so many, and at most so many, for workers who cannot make room themselves */

struct quota {
    const struct config *config;
    uint64_t connections_max, crowded; /* the latter: of the former */
    struct clients *clients;
    uint8_t secret[HASH_SECRET_SIZE];
    struct http_gate gate;
    _Atomic uint64_t connections;
    _Atomic uint64_t site_buckets[]; /* by site id */
};

/* --- who is who --- */

static struct hash128 key_of(const struct quota *q, char kind, const struct addr *a, size_t size)
{
    char text[1 + sizeof(a->ip)] = {kind};

    memcpy(text + 1, a->ip, size);
    return hash_key(q->secret, slice_make(text, sizeof(text)));
}

static struct hash128 client_of(const struct quota *q, const struct addr *a)
{
    return key_of(q, 'c', a, addr_is_ipv4(a) ? 16 : 8);
}

static struct hash128 prefix_of(const struct quota *q, const struct addr *a)
{
    return key_of(q, 'p', a, addr_is_ipv4(a) ? 15 : 6);
}

static bool is_proxy(const struct quota *q, const struct addr *a)
{
    for (size_t i = 0; i < q->config->trusted_proxy_count; i++)
        if (addr_prefix_contains(&q->config->trusted_proxies[i], a))
            return true;
    return false;
}

/* --- connections --- */

static uint64_t or_none(uint64_t limit)
{
    return limit > 0 ? limit : UINT64_MAX;
}

static bool enter(void *user, bool from_reserve, enum http_refusal *ret_refusal)
{
    struct quota *q = user;
    uint64_t max = q->connections_max - (from_reserve ? 0 : q->crowded);

    if (atomic_fetch_add_explicit(&q->connections, 1, memory_order_relaxed) < max)
        return true;
    atomic_fetch_sub_explicit(&q->connections, 1, memory_order_relaxed);
    *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS;
    return false;
}

/* How many connections a client may have. */
static uint64_t fair_share(const struct quota *q)
{
    uint64_t taken = atomic_load_explicit(&q->connections, memory_order_relaxed);
    uint64_t shared = q->connections_max - q->connections_max / RESERVE;
    uint64_t share = taken < shared ? SHARE_OF_FREE * (shared - taken) : 0;

    return share > FEW ? share : FEW;
}

static bool identify(void *user, const struct addr *peer, struct http_guest *ret_guest,
                     enum http_refusal *ret_refusal)
{
    struct quota *q = user;
    const struct config_limits *limits = &q->config->limits;
    uint64_t share = fair_share(q), max = or_none(limits->connections_per_client_max);
    struct http_guest guest = {0};

    *ret_guest = guest;
    if (is_proxy(q, peer))
        return true;
    if (!clients_enter(q->clients, client_of(q, peer), share < max ? share : max, &guest.client)) {
        *ret_guest = guest;
        *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_CLIENT;
        return false;
    }
    max = or_none(limits->connections_per_prefix_max);
    if (limits->connections_per_prefix_max > 0 &&
        !clients_enter(q->clients, prefix_of(q, peer), max, &guest.prefix)) {
        clients_leave(q->clients, guest.client);
        *ret_guest = guest;
        *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_PREFIX;
        return false;
    }
    *ret_guest = guest;
    return true;
}

static void leave(void *user, struct http_guest guest)
{
    struct quota *q = user;

    clients_leave(q->clients, guest.client);
    clients_leave(q->clients, guest.prefix);
    atomic_fetch_sub_explicit(&q->connections, 1, memory_order_relaxed);
}

static uint64_t burst_of(const struct quota *q, uint64_t rate_per_s);

static bool handshake(void *user, const struct addr *peer, uint64_t now_ns)
{
    struct quota *q = user;
    uint64_t rate = q->config->limits.handshakes_per_client;

    return rate == 0 || is_proxy(q, peer) ||
           clients_take(q->clients, key_of(q, 'h', peer, addr_is_ipv4(peer) ? 16 : 8), rate,
                        burst_of(q, rate), now_ns) == 0;
}

static uint32_t crowd(void *user, struct http_guest guest)
{
    return clients_count(((struct quota *)user)->clients, guest.client);
}

const struct http_gate *quota_gate(struct quota *q)
{
    return &q->gate;
}

/* --- requests --- */

static uint64_t burst_of(const struct quota *q, uint64_t rate_per_s)
{
    uint64_t burst = rate_per_s * q->config->limits.request_burst_ms / 1000;

    return burst > 0 ? burst : 1;
}

static unsigned whole_seconds(uint64_t ns)
{
    return (unsigned)((ns + 999999999) / 1000000000);
}

enum refusal quota_request(struct quota *q, const struct addr *viewer, unsigned site_id, uint64_t now_ns,
                           unsigned *ret_retry_after_s)
{
    uint64_t rate = q->config->limits.requests_per_client, wait_ns;

    if (rate > 0) {
        wait_ns = clients_take(q->clients, client_of(q, viewer), rate, burst_of(q, rate), now_ns);
        if (wait_ns > 0) {
            *ret_retry_after_s = whole_seconds(wait_ns);
            return REFUSAL_CLIENT_RATE;
        }
    }
    REQUIRE(site_id >= 1 && site_id <= q->config->site_count);
    rate = q->config->sites[site_id - 1].requests_max_per_s;
    if (rate > 0) {
        wait_ns = bucket_take_shared(&q->site_buckets[site_id], rate, burst_of(q, rate), now_ns);
        if (wait_ns > 0) {
            *ret_retry_after_s = whole_seconds(wait_ns);
            return REFUSAL_SITE_RATE;
        }
    }
    return REFUSAL_NONE;
}

/* --- the whole --- */

struct quota *quota_new(const struct config *config, uint64_t connections_max, size_t worker_count)
{
    uint64_t crowded = connections_max / CROWDED < CROWDED ? connections_max / CROWDED : CROWDED;
    struct quota *q = calloc(1, sizeof(*q) + (config->site_count + 1) * sizeof(q->site_buckets[0]));

    if (!q)
        return NULL;
    q->config = config;
    q->connections_max = connections_max;
    q->crowded = worker_count > 1 ? crowded : 0;
    q->gate = (struct http_gate){
        .user = q,
        .enter = enter,
        .identify = identify,
        .leave = leave,
        .handshake = handshake,
        .crowd = crowd,
    };
    q->clients = clients_new(connections_max);
    hash_secret_new(q->secret);
    if (!q->clients) {
        free(q);
        return NULL;
    }
    return q;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    CHECK(q->connections == 0);
    clients_free(q->clients);
    free(q);
}

void quota_stats(const struct quota *q, struct quota_stats *ret_stats)
{
    *ret_stats = (struct quota_stats){
        .connections = atomic_load_explicit(&q->connections, memory_order_relaxed),
        .connections_max = q->connections_max,
        .clients_unknown = clients_unknown(q->clients),
    };
}

uint64_t quota_fit(uint64_t wanted, uint64_t descriptors, uint64_t reserved)
{
    uint64_t room = descriptors > reserved ? descriptors - reserved : 1;

    return wanted < room ? wanted : room;
}
