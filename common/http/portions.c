/* SPDX-License-Identifier: Apache-2.0 */
/* See portions.h. */
#include "portions.h"

#include "io/loop.h"

#define SECOND_US      1000000u
#define PORTIONS_PER_S 4
#define SIZE_MIN       ((uint64_t)16 << 10)
#define SIZE_MAX_BYTES ((uint64_t)64000) /* one packet, as large as the kernel makes them */
#define RATE_MAX       ((uint64_t)1 << 20)
#define LAST_DIVISOR   16
#define PAGE_BYTES     4096u

/* Behind the kernel's own time for a packet, so that it finds it passed. */
#define BEHIND_US ((uint64_t)TIMER_GRANULARITY_MS * 1000)

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

/* Ends with a page: sendfile moves sixteen of them at a time and sends what it has in between, so that a
 * seventeenth would become a packet of its own, which has to wait. */
uint64_t portions_size(const struct portions *p, uint64_t now_us, uint64_t offset_bytes, uint64_t left)
{
    uint64_t size = full_size(p->rate_bytes_per_s), last = size / LAST_DIVISOR;

    if (p->rate_bytes_per_s == 0)
        return left;
    if (p->is_begun && now_us < p->free_us + BEHIND_US)
        return 0;
    if (left <= size)
        size = left > last + PAGE_BYTES ? left - last : left;
    return size < left ? size - (offset_bytes + size) % PAGE_BYTES : left;
}

/* As the kernel does: who comes late gets the time back, up to half of what his packet takes. */
void portions_took(struct portions *p, uint64_t now_us, uint64_t size)
{
    uint64_t takes_us, late_us = now_us > p->free_us ? now_us - p->free_us : 0;

    if (p->rate_bytes_per_s == 0 || size == 0)
        return;
    takes_us = size * SECOND_US / p->rate_bytes_per_s;
    p->free_us += late_us + takes_us - (late_us < takes_us / 2 ? late_us : takes_us / 2);
    p->is_begun = true;
}

uint64_t portions_wait_ms(const struct portions *p, uint64_t now_us)
{
    uint64_t due_us = p->free_us + BEHIND_US;

    if (p->rate_bytes_per_s == 0 || due_us <= now_us)
        return 0;
    return (due_us - now_us + 999) / 1000;
}
