/* SPDX-License-Identifier: Apache-2.0 */
/* See portions.h. */
#include "portions.h"

#include "io/loop.h"

#define SECOND_US      1000000u
#define PORTIONS_PER_S 4
#define SIZE_MIN       ((uint64_t)16 << 10)
#define SIZE_MAX_BYTES ((uint64_t)64000) /* one packet, as large as the kernel makes them */
#define RATE_MAX       ((uint64_t)1 << 20)
#define LAST_DIVISOR   8
#define CATCH_UP_US    (SECOND_US / PORTIONS_PER_S) /* what is later begins anew: no burst makes up for it */

/* Behind the kernel's own time for a packet, so that it finds it passed. */
#define BEHIND_US (TIMER_GRANULARITY_MS * 1000u)

void portions_begin(struct portions *p)
{
    p->is_begun = false;
    p->rate_bytes_per_s = 0;
}

void portions_set_pace(struct portions *p, uint64_t rate_bytes_per_s)
{
    p->rate_bytes_per_s = rate_bytes_per_s > RATE_MAX ? 0 : rate_bytes_per_s;
}

static uint64_t full_size(uint64_t rate_bytes_per_s)
{
    uint64_t size = rate_bytes_per_s / PORTIONS_PER_S;

    return size < SIZE_MIN ? SIZE_MIN : size > SIZE_MAX_BYTES ? SIZE_MAX_BYTES : size;
}

uint64_t portions_size(const struct portions *p, uint64_t now_us, uint64_t left)
{
    uint64_t size = full_size(p->rate_bytes_per_s), last = size / LAST_DIVISOR;

    if (p->rate_bytes_per_s == 0)
        return left;
    if (p->is_begun && now_us < p->due_us)
        return 0;
    if (left > size)
        return size;
    return left > last ? left - last : left;
}

void portions_took(struct portions *p, uint64_t now_us, uint64_t size)
{
    if (p->rate_bytes_per_s == 0 || size == 0)
        return;
    if (p->due_us + CATCH_UP_US < now_us)
        p->due_us = now_us + BEHIND_US;
    p->due_us += size * SECOND_US / p->rate_bytes_per_s;
    p->is_begun = true;
}

uint64_t portions_wait_ms(const struct portions *p, uint64_t now_us)
{
    if (p->rate_bytes_per_s == 0 || p->due_us <= now_us)
        return 0;
    return (p->due_us - now_us + 999) / 1000;
}
