/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The total is one atomic number, what belongs to clients and prefixes stands in their table, and each site
 * has a bucket of its own. A limit of 0 is none.
 */
#include "limits.h"

#include <stdlib.h>

#include "base/bucket.h"
#include "base/check.h"
#include "clients.h"
#include "http/server.h"

#define SHARE_OF_FREE 2  /* times what is free: a client's fair share */
#define RESERVE       16 /* one of so many is kept for clients with few connections */
#define FEW           8

struct limits {
    const struct config *config;
    uint64_t connections_max;
    struct clients *clients;
    uint8_t secret[HASH_SECRET_SIZE];
    struct http_gate gate;
    _Atomic uint64_t connections;
    _Atomic uint64_t site_buckets[]; /* by site id */
};

/* --- who is who --- */

static struct hash128 key_of(const struct limits *l, char kind, const struct addr *a, size_t size)
{
    char text[1 + sizeof(a->ip)] = {kind};

    memcpy(text + 1, a->ip, size);
    return hash_key(l->secret, slice_make(text, sizeof(text)));
}

static struct hash128 client_of(const struct limits *l, const struct addr *a)
{
    return key_of(l, 'c', a, addr_is_ipv4(a) ? 16 : 8);
}

static struct hash128 prefix_of(const struct limits *l, const struct addr *a)
{
    return key_of(l, 'p', a, addr_is_ipv4(a) ? 15 : 6);
}

static bool is_proxy(const struct limits *l, const struct addr *a)
{
    for (size_t i = 0; i < l->config->trusted_proxy_count; i++)
        if (addr_prefix_contains(&l->config->trusted_proxies[i], a))
            return true;
    return false;
}

/* --- connections --- */

static uint64_t or_none(uint64_t limit)
{
    return limit > 0 ? limit : UINT64_MAX;
}

static bool enter(void *user, enum http_refusal *ret_refusal)
{
    struct limits *l = user;

    if (atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed) < l->connections_max)
        return true;
    atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS;
    return false;
}

/* How many connections a client may have. */
static uint64_t fair_share(const struct limits *l)
{
    uint64_t taken = atomic_load_explicit(&l->connections, memory_order_relaxed);
    uint64_t shared = l->connections_max - l->connections_max / RESERVE;
    uint64_t share = taken < shared ? SHARE_OF_FREE * (shared - taken) : 0;

    return share > FEW ? share : FEW;
}

static bool identify(void *user, const struct addr *peer, struct http_guest *ret_guest,
                     enum http_refusal *ret_refusal)
{
    struct limits *l = user;
    const struct config_limits *limits = &l->config->limits;
    uint64_t share = fair_share(l), max = or_none(limits->connections_per_client_max);
    struct http_guest guest = {0};

    *ret_guest = guest;
    if (is_proxy(l, peer))
        return true;
    if (!clients_enter(l->clients, client_of(l, peer), share < max ? share : max, &guest.client)) {
        *ret_guest = guest;
        *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_CLIENT;
        return false;
    }
    max = or_none(limits->connections_per_prefix_max);
    if (limits->connections_per_prefix_max > 0 &&
        !clients_enter(l->clients, prefix_of(l, peer), max, &guest.prefix)) {
        clients_leave(l->clients, guest.client);
        *ret_guest = guest;
        *ret_refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_PREFIX;
        return false;
    }
    *ret_guest = guest;
    return true;
}

static void leave(void *user, struct http_guest guest)
{
    struct limits *l = user;

    clients_leave(l->clients, guest.client);
    clients_leave(l->clients, guest.prefix);
    atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
}

static uint64_t burst_of(const struct limits *l, uint64_t rate_per_s);

static bool handshake(void *user, const struct addr *peer, uint64_t now_ns)
{
    struct limits *l = user;
    uint64_t rate = l->config->limits.handshakes_per_client;

    return rate == 0 || is_proxy(l, peer) ||
           clients_take(l->clients, key_of(l, 'h', peer, addr_is_ipv4(peer) ? 16 : 8), rate,
                        burst_of(l, rate), now_ns) == 0;
}

static uint32_t crowd(void *user, struct http_guest guest)
{
    return clients_count(((struct limits *)user)->clients, guest.client);
}

const struct http_gate *limits_gate(struct limits *l)
{
    return &l->gate;
}

/* --- requests --- */

static uint64_t burst_of(const struct limits *l, uint64_t rate_per_s)
{
    uint64_t burst = rate_per_s * l->config->limits.request_burst_ms / 1000;

    return burst > 0 ? burst : 1;
}

static unsigned whole_seconds(uint64_t ns)
{
    return (unsigned)((ns + 999999999) / 1000000000);
}

enum refusal limits_request(struct limits *l, const struct addr *viewer, unsigned site_id, uint64_t now_ns,
                            unsigned *ret_retry_after_s)
{
    uint64_t rate = l->config->limits.requests_per_client, wait_ns;

    if (rate > 0) {
        wait_ns = clients_take(l->clients, client_of(l, viewer), rate, burst_of(l, rate), now_ns);
        if (wait_ns > 0) {
            *ret_retry_after_s = whole_seconds(wait_ns);
            return REFUSAL_CLIENT_RATE;
        }
    }
    REQUIRE(site_id >= 1 && site_id <= l->config->site_count);
    rate = l->config->sites[site_id - 1].requests_max_per_s;
    if (rate > 0) {
        wait_ns = bucket_take_shared(&l->site_buckets[site_id], rate, burst_of(l, rate), now_ns);
        if (wait_ns > 0) {
            *ret_retry_after_s = whole_seconds(wait_ns);
            return REFUSAL_SITE_RATE;
        }
    }
    return REFUSAL_NONE;
}

/* --- the whole --- */

struct limits *limits_new(const struct config *config, uint64_t connections_max)
{
    struct limits *l = calloc(1, sizeof(*l) + (config->site_count + 1) * sizeof(l->site_buckets[0]));

    if (!l)
        return NULL;
    l->config = config;
    l->connections_max = connections_max;
    l->gate = (struct http_gate){
        .user = l,
        .enter = enter,
        .identify = identify,
        .leave = leave,
        .handshake = handshake,
        .crowd = crowd,
    };
    l->clients = clients_new(connections_max);
    hash_secret_new(l->secret);
    if (!l->clients) {
        free(l);
        return NULL;
    }
    return l;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    CHECK(l->connections == 0);
    clients_free(l->clients);
    free(l);
}

void limits_stats(const struct limits *l, struct limits_stats *ret_stats)
{
    *ret_stats = (struct limits_stats){
        .connections = atomic_load_explicit(&l->connections, memory_order_relaxed),
        .connections_max = l->connections_max,
        .clients_unknown = clients_unknown(l->clients),
    };
}

uint64_t limits_fit(uint64_t wanted, uint64_t descriptors, uint64_t reserved)
{
    uint64_t room = descriptors > reserved ? descriptors - reserved : 1;

    return wanted < room ? wanted : room;
}
