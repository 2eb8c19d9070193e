/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client is known from when it first waits until its turn comes in a round in which it owes nothing and
 * waits for nothing, or until nobody waits. `entitled` has those only who wait; `round` all the others.
 */
#include "turns.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct turns_client {
    struct list node;   /* t->entitled or t->round */
    struct list bucket; /* of t->buckets */
    struct list places;
    uint64_t key;
    uint64_t spent_us; /* of its quanta */
};

void turns_init(struct turns *t)
{
    *t = (struct turns){0};
    list_init(&t->entitled);
    list_init(&t->round);
    for (size_t i = 0; i < TURNS_BUCKETS; i++)
        list_init(&t->buckets[i]);
    hash_secret_new(t->secret);
}

static void forget(struct turns *t, struct turns_client *c)
{
    while (!list_is_empty(&c->places)) {
        struct turns_place *place = LIST_FIRST(&c->places, struct turns_place, node);

        list_remove(&place->node);
        place->client = NULL;
        t->waiting--;
    }
    list_remove(&c->node);
    list_remove(&c->bucket);
    if (t->served == c)
        t->served = NULL;
    free(c);
}

static void forget_all(struct turns *t)
{
    struct turns_client *c, *following;

    LIST_FOR_EACH_SAFE (c, following, &t->entitled, node) {
        forget(t, c);
    }
    LIST_FOR_EACH_SAFE (c, following, &t->round, node) {
        forget(t, c);
    }
}

void turns_fini(struct turns *t)
{
    forget_all(t);
}

uint64_t turns_key(const struct turns *t, const struct addr *client)
{
    size_t size = addr_is_ipv4(client) ? sizeof(client->ip) : sizeof(client->ip) / 2;

    return hash_key(t->secret, slice_make((const char *)client->ip, size)).low;
}

void turns_place_init(struct turns_place *place, uint64_t key, void (*fn)(struct turns_place *place))
{
    list_init(&place->node);
    place->client = NULL;
    place->key = key;
    place->fn = fn;
}

void turns_begin(struct turns *t)
{
    t->ends_us = 0;
}

bool turns_may_go(struct turns *t, uint64_t now_us)
{
    if (t->ends_us == 0)
        t->ends_us = now_us + TURNS_AT_ONCE_US;
    t->slice_ends_us = now_us + TURNS_SLICE_US;
    return t->waiting == 0 && now_us < t->ends_us;
}

bool turns_is_over(const struct turns *t, uint64_t now_us)
{
    return now_us >= t->slice_ends_us;
}

static struct turns_client *find(struct turns *t, uint64_t key)
{
    struct list *bucket = &t->buckets[key % TURNS_BUCKETS];
    struct turns_client *c;

    LIST_FOR_EACH (c, bucket, bucket) {
        if (c->key == key)
            return c;
    }
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->key = key;
    list_init(&c->places);
    list_init(&c->node);
    list_push_back(&t->round, &c->node);
    list_push_back(bucket, &c->bucket);
    return c;
}

/* To the end of where it belongs. */
static void stand(struct turns *t, struct turns_client *c)
{
    bool is_entitled = c->spent_us < TURNS_QUANTUM_US && !list_is_empty(&c->places);

    list_remove(&c->node);
    list_push_back(is_entitled ? &t->entitled : &t->round, &c->node);
}

bool turns_wait(struct turns *t, struct turns_place *place)
{
    struct turns_client *c;

    if (place->client)
        return true;
    c = find(t, place->key);
    if (!c)
        return false;
    place->client = c;
    list_push_back(&c->places, &place->node);
    t->waiting++;
    if (LIST_FIRST(&c->places, struct turns_place, node) == place && c->spent_us < TURNS_QUANTUM_US)
        stand(t, c);
    return true;
}

bool turns_waits(const struct turns_place *place)
{
    return place->client != NULL;
}

void turns_leave(struct turns *t, struct turns_place *place)
{
    struct turns_client *c = place->client;

    if (!c)
        return;
    list_remove(&place->node);
    place->client = NULL;
    t->waiting--;
    if (list_is_empty(&c->places))
        stand(t, c);
}

/* The next quantum of whoever is first in the round. */
static void give_quantum(struct turns *t)
{
    struct turns_client *c = LIST_FIRST(&t->round, struct turns_client, node);

    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a client leaves the round before it is freed
    if (c->spent_us == 0 && list_is_empty(&c->places)) {
        forget(t, c);
        return;
    }
    c->spent_us -= c->spent_us < TURNS_QUANTUM_US ? c->spent_us : TURNS_QUANTUM_US;
    stand(t, c);
}

struct turns_place *turns_next(struct turns *t, uint64_t now_us)
{
    struct turns_place *place;

    t->served = NULL;
    if (t->waiting == 0) {
        forget_all(t);
        return NULL;
    }
    while (list_is_empty(&t->entitled)) /* each round makes good a quantum of at most TURNS_DEBT_MAX */
        give_quantum(t);
    t->served = LIST_FIRST(&t->entitled, struct turns_client, node);
    place = LIST_FIRST(&t->served->places, struct turns_place, node);
    turns_leave(t, place);
    t->slice_ends_us = now_us + TURNS_SLICE_US;
    return place;
}

void turns_charge(struct turns *t, uint64_t took_us)
{
    struct turns_client *c = t->served;
    uint64_t max_us = (uint64_t)TURNS_DEBT_MAX * TURNS_QUANTUM_US;

    if (!c)
        return;
    t->served = NULL;
    c->spent_us = c->spent_us + took_us < max_us ? c->spent_us + took_us : max_us;
    stand(t, c);
}
