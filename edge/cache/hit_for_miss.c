/* SPDX-License-Identifier: Apache-2.0 */
/* See hit_for_miss.h. An entry is one number: a part of the key's hash, and until when (0: none). */
#include "cache/hit_for_miss.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SETS    4096
#define WAYS    4
#define UNIT_MS 100 /* of the time in an entry: 32 bits of it are thirteen years */

struct hit_for_miss {
    _Atomic uint64_t entries[SETS][WAYS];
};

struct hit_for_miss *hit_for_miss_new(void)
{
    return calloc(1, sizeof(struct hit_for_miss));
}

void hit_for_miss_free(struct hit_for_miss *h)
{
    free(h);
}

static uint32_t until_of(uint64_t entry)
{
    return (uint32_t)entry;
}

static bool is_of(uint64_t entry, struct hash128 key)
{
    return entry != 0 && entry >> 32 == key.high >> 32;
}

void hit_for_miss_add(struct hit_for_miss *h, struct hash128 key, uint64_t now_ms)
{
    _Atomic uint64_t *set = h->entries[key.low % SETS];
    size_t chosen = 0;
    uint64_t soonest = UINT64_MAX;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t entry = atomic_load_explicit(&set[i], memory_order_relaxed);
        uint64_t until = is_of(entry, key) ? 0 : until_of(entry) + (uint64_t)1;
        if (until < soonest) { /* its own, else the one that ends first */
            soonest = until;
            chosen = i;
        }
    }
    uint32_t until = (uint32_t)((now_ms + HIT_FOR_MISS_MS) / UNIT_MS);
    atomic_store_explicit(&set[chosen], key.high >> 32 << 32 | until, memory_order_relaxed);
}

void hit_for_miss_remove(struct hit_for_miss *h, struct hash128 key)
{
    _Atomic uint64_t *set = h->entries[key.low % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t entry = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (is_of(entry, key))
            atomic_compare_exchange_strong(&set[i], &entry, 0);
    }
}

bool hit_for_miss_has(const struct hit_for_miss *h, struct hash128 key, uint64_t now_ms)
{
    const _Atomic uint64_t *set = h->entries[key.low % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t entry = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (is_of(entry, key))
            return now_ms / UNIT_MS < until_of(entry);
    }
    return false;
}
