/* SPDX-License-Identifier: Apache-2.0 */
/* For how long a thread has been waiting for its disk: said by the thread, asked by whoever watches over it.
 */
#ifndef STORE_WATCH_H
#define STORE_WATCH_H

#include <stdatomic.h>

#include "base/clock.h"

struct watch {
    _Atomic int64_t since_ms; /* clock_monotonic_ms; 0: not waiting */
};

static inline void watch_begin(struct watch *w)
{
    atomic_store_explicit(&w->since_ms, (int64_t)clock_monotonic_ms(), memory_order_relaxed);
}

static inline void watch_end(struct watch *w)
{
    atomic_store_explicit(&w->since_ms, 0, memory_order_relaxed);
}

static inline int64_t watch_waited_ms(const struct watch *w, int64_t now_ms)
{
    int64_t since_ms = atomic_load_explicit(&w->since_ms, memory_order_relaxed);
    return since_ms == 0 ? 0 : now_ms - since_ms;
}

#endif
