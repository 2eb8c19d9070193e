/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of eight. An entry whose client has no connection and a full bucket is as good as free: it says
 * nothing that a new one would not say.
 */
#include "clients.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "base/check.h"

#define WAYS              8
#define SHARDS            64
#define SETS_MIN          ((size_t)512)
#define SETS_MAX          ((size_t)512 << 10)
#define ENTRIES_PER_GUEST 2 /* half empty: a set that is full of open connections is rare then */

struct entry {
    uint64_t tag;
    struct bucket bucket;
    _Atomic uint32_t count; /* written under the shard's mutex */
};

struct shard {
    pthread_mutex_t mutex;
} __attribute__((aligned(64)));

struct clients {
    size_t set_count; /* a power of two */
    counter_t unknown;
    struct shard shards[SHARDS];
    struct entry entries[];
};

struct clients *clients_new(size_t connections_max)
{
    size_t wanted = connections_max / WAYS * ENTRIES_PER_GUEST, set_count = SETS_MIN;
    struct clients *c;

    while (set_count < wanted && set_count < SETS_MAX)
        set_count *= 2;
    c = calloc(1, sizeof(*c) + set_count * WAYS * sizeof(c->entries[0]));
    if (!c)
        return NULL;
    c->set_count = set_count;
    for (size_t i = 0; i < SHARDS; i++)
        REQUIRE(pthread_mutex_init(&c->shards[i].mutex, NULL) == 0);
    return c;
}

void clients_free(struct clients *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&c->shards[i].mutex);
    free(c);
}

static uint32_t count_of(const struct entry *e)
{
    return atomic_load_explicit(&e->count, memory_order_relaxed);
}

static void set_count_of(struct entry *e, uint32_t count)
{
    atomic_store_explicit(&e->count, count, memory_order_relaxed);
}

static struct entry *set_of(struct clients *c, struct hash128 key)
{
    return &c->entries[(key.high & (c->set_count - 1)) * WAYS];
}

static pthread_mutex_t *mutex_of(struct clients *c, const struct entry *e)
{
    return &c->shards[(size_t)(e - c->entries) / WAYS % SHARDS].mutex;
}

/* The client's own entry, or one made free for it; NULL: all are in use. */
static struct entry *find(struct clients *c, struct hash128 key)
{
    struct entry *set = set_of(c, key), *least = NULL;

    for (struct entry *e = set; e < set + WAYS; e++) {
        if (e->tag == key.low)
            return e;
        if (count_of(e) == 0 && (!least || e->bucket.full_at_ns < least->bucket.full_at_ns))
            least = e;
    }
    if (least) {
        least->tag = key.low;
        least->bucket = (struct bucket){0};
    } else {
        counter_add_shared(&c->unknown, 1);
    }
    return least;
}

bool clients_enter(struct clients *c, struct hash128 key, uint64_t count_max, uint32_t *ret_client)
{
    pthread_mutex_t *mutex = mutex_of(c, set_of(c, key));
    bool enters = true;
    struct entry *e;

    pthread_mutex_lock(mutex);
    e = find(c, key);
    *ret_client = e ? (uint32_t)(e - c->entries) + 1 : 0;
    if (e && (enters = count_of(e) < count_max))
        set_count_of(e, count_of(e) + 1);
    pthread_mutex_unlock(mutex);
    return enters;
}

void clients_leave(struct clients *c, uint32_t client)
{
    struct entry *e = client ? &c->entries[client - 1] : NULL;

    if (!e)
        return;
    pthread_mutex_lock(mutex_of(c, e));
    if (CHECK(count_of(e) > 0))
        set_count_of(e, count_of(e) - 1);
    pthread_mutex_unlock(mutex_of(c, e));
}

uint32_t clients_count(const struct clients *c, uint32_t client)
{
    return client ? count_of(&c->entries[client - 1]) : 0;
}

uint64_t clients_take(struct clients *c, struct hash128 key, uint64_t rate_per_s, uint64_t burst,
                      uint64_t now_ns)
{
    pthread_mutex_t *mutex = mutex_of(c, set_of(c, key));
    uint64_t wait_ns = 0;
    struct entry *e;

    pthread_mutex_lock(mutex);
    e = find(c, key);
    if (e)
        wait_ns = bucket_take(&e->bucket, rate_per_s, burst, now_ns);
    pthread_mutex_unlock(mutex);
    return wait_ns;
}

uint64_t clients_unknown(const struct clients *c)
{
    return counter_read(&c->unknown);
}
