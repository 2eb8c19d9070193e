/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token takes a second divided by the rate to grow again. A take moves the moment of being full by that; it
 * may not move further away than a whole bucket takes to grow.
 */
#include "base/bucket.h"

#include "base/check.h"

#define SECOND_NS 1000000000ull

uint64_t bucket_take(struct bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_ns)
{
    uint64_t token_ns, full_at_ns, limit_ns;

    REQUIRE(rate_per_s > 0 && rate_per_s <= BUCKET_RATE_MAX && burst > 0);
    token_ns = SECOND_NS / rate_per_s;
    full_at_ns = (b->full_at_ns > now_ns ? b->full_at_ns : now_ns) + token_ns;
    limit_ns = now_ns + (burst <= UINT32_MAX ? burst : UINT32_MAX) * token_ns;
    if (full_at_ns > limit_ns)
        return full_at_ns - limit_ns;
    b->full_at_ns = full_at_ns;
    return 0;
}

uint64_t bucket_take_shared(_Atomic uint64_t *full_at_ns, uint64_t rate_per_s, uint64_t burst,
                            uint64_t now_ns)
{
    uint64_t seen = atomic_load_explicit(full_at_ns, memory_order_relaxed), wait_ns;
    struct bucket b;

    do {
        b.full_at_ns = seen;
        wait_ns = bucket_take(&b, rate_per_s, burst, now_ns);
    } while (wait_ns == 0 &&
             !atomic_compare_exchange_weak_explicit(full_at_ns, &seen, b.full_at_ns, memory_order_relaxed,
                                                    memory_order_relaxed));
    return wait_ns;
}
