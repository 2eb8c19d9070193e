/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes on in a turn of the loop, and in which order, when there is more to do than a turn has time for.
 * Pure: time is a parameter. Private to common/io; the loop drives it, streams stand in it.
 *
 * As long as a turn has time left and nobody waits, whoever comes goes on at once. Who comes later waits, and
 * clients (addresses; of IPv6 a /64) are served as fq_codel serves flows: in each round a client has a
 * quantum of time with precedence over those who have used theirs up; what it took beyond is made good in
 * the rounds that follow. So a client with three thousand busy connections has the turn of one client, and
 * who asks for little is served next, whatever others ask for.
 */
#ifndef IO_TURNS_H
#define IO_TURNS_H

#include "base/addr.h"
#include "base/hash.h"
#include "base/list.h"

#define TURNS_AT_ONCE_US 2000u /* of a turn, for who comes */
#define TURNS_SERVED_US  2000u /* and then for who waits */
#define TURNS_SLICE_US   500u  /* of these for one stream, who looks at it (turns_is_over) */
#define TURNS_QUANTUM_US 1000u
#define TURNS_DEBT_MAX   8u /* quanta */
#define TURNS_BUCKETS    1024u

struct turns_client;

/* One that may have to wait. */
struct turns_place {
    struct list node;            /* of its client's, while it waits */
    struct turns_client *client; /* while it waits */
    uint64_t key;                /* of its client */
    void (*fn)(struct turns_place *place);
};

struct turns {
    struct list entitled; /* clients with something to do and time left in this round */
    struct list round;    /* the others, in the order of their next quantum */
    struct list buckets[TURNS_BUCKETS];
    size_t waiting; /* places */
    uint64_t ends_us, slice_ends_us;
    struct turns_client *served; /* whose place was taken out last, unless it is forgotten */
    uint8_t secret[HASH_SECRET_SIZE];
};

void turns_init(struct turns *t);
void turns_fini(struct turns *t); /* who waits is forgotten */

uint64_t turns_key(const struct turns *t, const struct addr *client);
void turns_place_init(struct turns_place *place, uint64_t key, void (*fn)(struct turns_place *place));

/* A new turn, which takes its time from the first that asks. */
void turns_begin(struct turns *t);

/* Whether one may go on at once. Else turns_wait. */
bool turns_may_go(struct turns *t, uint64_t now_us);

/* Who goes on has had a slice of the turn: what more there is to do should wait. */
bool turns_is_over(const struct turns *t, uint64_t now_us);

/* Waits, if it does not already. False when memory is out. */
bool turns_wait(struct turns *t, struct turns_place *place);
bool turns_waits(const struct turns_place *place);
void turns_leave(struct turns *t, struct turns_place *place); /* fine for one that does not wait */

/* Takes out whose turn it is; NULL: nobody waits, and everybody's past is forgotten. turns_charge says what
 * it took, before the next is asked for. */
struct turns_place *turns_next(struct turns *t, uint64_t now_us);
void turns_charge(struct turns *t, uint64_t took_us);

#endif
