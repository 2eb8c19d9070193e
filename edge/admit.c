/* SPDX-License-Identifier: Apache-2.0 */
/* See admit.h. */
#include "admit.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

#define CELLS   8192  /* of each row: a power of two */
#define POLL_US 20000 /* between two looks for whether a fill has ended */

struct cell {
    _Atomic uint64_t full_at_us; /* when the client's allowance will be whole again; 0: it is */
    atomic_uint fills;
};

struct admit {
    uint8_t secret[HASH_SECRET_SIZE];
    struct cell rows[ADMIT_ROWS][CELLS];
    size_t site_count;
    atomic_uint site_fills[]; /* by site id - 1 */
};

struct admit *admit_new(size_t site_count)
{
    struct admit *a = calloc(1, sizeof(*a) + site_count * sizeof(a->site_fills[0]));
    if (!a)
        return NULL;
    hash_secret_new(a->secret);
    a->site_count = site_count;
    return a;
}

void admit_free(struct admit *a)
{
    free(a);
}

/* ---- who ---- */

static bool is_exempt(const struct config_misses *rules, const struct addr *client)
{
    for (size_t i = 0; i < rules->exempt_count; i++)
        if (addr_prefix_contains(&rules->exempt[i], client))
            return true;
    return false;
}

static struct admit_ticket ticket_of(const struct admit *a, const struct config_misses *rules,
                                     unsigned site_id, const struct addr *client)
{
    struct {
        unsigned site_id;
        uint8_t ip[16];
    } who = {.site_id = site_id};
    memcpy(who.ip, client->ip, addr_is_ipv4(client) ? 16 : 7);
    struct hash128 hash = hash_key(a->secret, slice_make((const char *)&who, sizeof(who)));
    return (struct admit_ticket){
        .site_id = site_id,
        .has_client = !is_exempt(rules, client),
        .cells = {hash.low % CELLS, hash.high % CELLS},
    };
}

/* ---- a client's rate ---- */

/* Takes one of the allowance: a bucket of `burst` that fills at the client's rate, and goes below empty by as
 * much as may wait. False: not even that is left. */
static bool reserve(_Atomic uint64_t *full_at_us, const struct config_misses *rules, uint64_t now_us,
                    uint64_t *ret_due_us)
{
    uint64_t each_us = 1000000 / rules->client_rate_per_s, burst_us = each_us * rules->client_burst;
    uint64_t before = atomic_load_explicit(full_at_us, memory_order_relaxed), after;
    do {
        after = (before > now_us ? before : now_us) + each_us;
        if (after > now_us + burst_us + rules->wait_ms * 1000)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(full_at_us, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    *ret_due_us = after > now_us + burst_us ? after - burst_us : now_us;
    return true;
}

static bool reserve_client(struct admit *a, const struct config_misses *rules,
                           const struct admit_ticket *ticket, uint64_t now_us, uint64_t *ret_due_us)
{
    uint64_t due_us;
    bool is_reserved = false;
    for (size_t row = 0; row < ADMIT_ROWS; row++) {
        if (!reserve(&a->rows[row][ticket->cells[row]].full_at_us, rules, now_us, &due_us))
            continue;
        *ret_due_us = is_reserved && *ret_due_us < due_us ? *ret_due_us : due_us;
        is_reserved = true;
    }
    return is_reserved;
}

/* ---- fills that run ---- */

static void count(struct admit *a, const struct admit_ticket *ticket, unsigned change)
{
    for (size_t row = 0; ticket->has_client && row < ADMIT_ROWS; row++)
        atomic_fetch_add_explicit(&a->rows[row][ticket->cells[row]].fills, change, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->site_fills[ticket->site_id - 1], change, memory_order_relaxed);
}

/* Of this client, as far as can be told: the fewer of its cells. */
static unsigned fills_of(struct admit *a, const struct admit_ticket *ticket)
{
    unsigned fewest = ticket->has_client ? UINT32_MAX : 0;
    for (size_t row = 0; ticket->has_client && row < ADMIT_ROWS; row++) {
        unsigned fills = atomic_load_explicit(&a->rows[row][ticket->cells[row]].fills, memory_order_relaxed);
        fewest = fills < fewest ? fills : fewest;
    }
    return fewest;
}

/* Counted first and looked at then, so that no two take the last place. */
static enum admit_answer take(struct admit *a, const struct config_misses *rules,
                              const struct admit_ticket *ticket)
{
    enum admit_answer answer = ADMIT_GO;
    count(a, ticket, 1);
    if (fills_of(a, ticket) > rules->client_fills)
        answer = ADMIT_NOT_CLIENT;
    else if (atomic_load_explicit(&a->site_fills[ticket->site_id - 1], memory_order_relaxed) >
             rules->site_fills)
        answer = ADMIT_NOT_SITE;
    if (answer != ADMIT_GO)
        count(a, ticket, -1u);
    return answer;
}

enum admit_answer admit_ask(struct admit *a, const struct config_misses *rules, unsigned site_id,
                            const struct addr *client, uint64_t now_us, struct admit_turn *turn,
                            struct admit_ticket *ret_ticket, uint64_t *ret_wait_us)
{
    REQUIRE(site_id > 0 && site_id <= a->site_count);
    if (!turn->is_in_line) {
        turn->ticket = ticket_of(a, rules, site_id, client);
        turn->deadline_us = now_us + rules->wait_ms * 1000;
        turn->due_us = now_us;
        *ret_wait_us = rules->wait_ms * 1000;
        if (turn->ticket.has_client && !reserve_client(a, rules, &turn->ticket, now_us, &turn->due_us))
            return ADMIT_NOT_CLIENT;
        turn->is_in_line = true;
    }
    if (now_us < turn->due_us) {
        *ret_wait_us = turn->due_us - now_us;
        return ADMIT_WAIT;
    }
    enum admit_answer answer = take(a, rules, &turn->ticket);
    if (answer == ADMIT_GO) {
        *ret_ticket = turn->ticket;
        turn->is_in_line = false;
    } else if (now_us < turn->deadline_us) {
        *ret_wait_us = POLL_US;
        answer = ADMIT_WAIT;
    } else {
        *ret_wait_us = rules->wait_ms * 1000;
    }
    return answer;
}

struct admit_ticket admit_force(struct admit *a, const struct config_misses *rules, unsigned site_id,
                                const struct addr *client)
{
    struct admit_ticket ticket = ticket_of(a, rules, site_id, client);
    count(a, &ticket, 1);
    return ticket;
}

void admit_release(struct admit *a, struct admit_ticket *ticket)
{
    if (ticket->site_id == 0)
        return;
    count(a, ticket, -1u);
    ticket->site_id = 0;
}
