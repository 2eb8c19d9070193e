/* SPDX-License-Identifier: Apache-2.0 */
/* Decayed counts as logarithms in 16 bits: a halving is a subtraction. */
#include "store/worth_rates.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WAYS          5
#define LOG2_STEPS    2048.0f /* per doubling */
#define EVICT_HORIZON 1

const float worth_rates_half_life_s[WORTH_RATES_HORIZONS] = {15 * 60, 2 * 3600, 48 * 3600};

struct entry {
    uint32_t used_at_s;
    uint16_t tag; /* 0: empty */
    uint16_t log2_count[WORTH_RATES_HORIZONS];
};

struct set {
    atomic_flag lock;
    struct entry entries[WAYS];
};
_Static_assert(sizeof(struct set) == 64, "one cache line");

struct worth_rates_table {
    struct set *sets;
    size_t count;
};

struct worth_rates_table *worth_rates_new(size_t memory_bytes)
{
    struct worth_rates_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->count = memory_bytes / sizeof(struct set);
    t->count += !t->count;
    t->sets = aligned_alloc(sizeof(struct set), t->count * sizeof(struct set));
    if (!t->sets) {
        free(t);
        return NULL;
    }
    memset(t->sets, 0, t->count * sizeof(struct set));
    return t;
}

void worth_rates_free(struct worth_rates_table *t)
{
    if (!t)
        return;
    free(t->sets);
    free(t);
}

size_t worth_rates_memory_bytes(const struct worth_rates_table *t)
{
    return sizeof(*t) + t->count * sizeof(struct set);
}

static struct set *lock_set(struct worth_rates_table *t, uint64_t name)
{
    struct set *s = &t->sets[(size_t)(((unsigned __int128)name * t->count) >> 64)];
    while (atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire))
        ;
    return s;
}

static void unlock_set(struct set *s)
{
    atomic_flag_clear_explicit(&s->lock, memory_order_release);
}

static uint16_t tag_of(uint64_t name)
{
    uint16_t tag = (uint16_t)name;
    return tag ? tag : 1;
}

static struct entry *find(struct set *s, uint16_t tag)
{
    for (size_t i = 0; i < WAYS; i++)
        if (s->entries[i].tag == tag)
            return &s->entries[i];
    return NULL;
}

static float age_of(const struct entry *e, uint32_t now_s)
{
    return now_s > e->used_at_s ? (float)(now_s - e->used_at_s) : 0;
}

static float decayed(const struct entry *e, unsigned horizon, float age_s)
{
    float log2_count = (float)e->log2_count[horizon] / LOG2_STEPS + WORTH_RATES_LOG2_NONE;
    return fmaxf(log2_count - age_s / worth_rates_half_life_s[horizon], WORTH_RATES_LOG2_NONE);
}

static struct entry *least(struct set *s, uint32_t now_s)
{
    struct entry *worst = NULL;
    float worst_count = 0;
    for (size_t i = 0; i < WAYS; i++) {
        struct entry *e = &s->entries[i];
        if (!e->tag)
            return e;
        /* not cut off at the lowest, so that of two long forgotten the older one goes */
        float count = (float)e->log2_count[EVICT_HORIZON] / LOG2_STEPS -
                      age_of(e, now_s) / worth_rates_half_life_s[EVICT_HORIZON];
        if (!worst || count < worst_count) {
            worst = e;
            worst_count = count;
        }
    }
    return worst;
}

static uint16_t packed(float log2_count)
{
    float steps = (log2_count - WORTH_RATES_LOG2_NONE) * LOG2_STEPS + 0.5f;
    return steps < 0 ? 0 : steps > UINT16_MAX ? UINT16_MAX : (uint16_t)steps;
}

void worth_rates_touch(struct worth_rates_table *t, uint64_t name, uint32_t now_s)
{
    struct set *s = lock_set(t, name);
    struct entry *e = find(s, tag_of(name));
    if (e) {
        float age_s = age_of(e, now_s);
        for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
            e->log2_count[h] = packed(log2f(1 + exp2f(decayed(e, h, age_s))));
    } else {
        e = least(s, now_s);
        e->tag = tag_of(name);
        for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
            e->log2_count[h] = packed(0);
    }
    e->used_at_s = now_s;
    unlock_set(s);
}

struct worth_rates worth_rates_read(struct worth_rates_table *t, uint64_t name, uint32_t now_s)
{
    struct worth_rates r = {
        .log2_count = {WORTH_RATES_LOG2_NONE, WORTH_RATES_LOG2_NONE, WORTH_RATES_LOG2_NONE}};
    struct set *s = lock_set(t, name);
    const struct entry *e = find(s, tag_of(name));
    if (e) {
        r.is_known = true;
        r.age_s = age_of(e, now_s);
        for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
            r.log2_count[h] = decayed(e, h, r.age_s);
    }
    unlock_set(s);
    return r;
}
