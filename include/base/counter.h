/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters with one writer each.
 * 1. A counter belongs to one thread; only that thread adds to it.
 * 2. Any thread may read it at any time and sees some recent value.
 * 3. A reader sums the counters of all threads itself.
 * 4. Counters only grow; gauges are differences of two counters.
 * The relaxed atomics cost nothing over plain memory and keep ThreadSanitizer quiet.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter_t;

static inline void counter_add(counter_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t counter_read(const counter_t *c)
{
    return atomic_load_explicit((counter_t *)c, memory_order_relaxed);
}

/* For the few counters that several threads write. */
static inline void counter_add_shared(counter_t *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

#endif
