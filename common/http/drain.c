/* SPDX-License-Identifier: Apache-2.0 */
/* See drain.h. */
#include "drain.h"

#include "base/check.h"

#define LOOKS_PER_STALL 8

void drain_block(struct drain *d, uint64_t now_ms)
{
    if (d->is_blocked)
        return;
    d->is_blocked = true;
    d->progressed_ms = d->looked_ms = now_ms;
}

static void count_time(struct drain *d, uint64_t now_ms)
{
    if (d->has_window)
        d->window_ms += now_ms - d->looked_ms;
    d->looked_ms = now_ms;
}

void drain_unblock(struct drain *d, uint64_t now_ms)
{
    if (!d->is_blocked)
        return;
    count_time(d, now_ms);
    d->is_blocked = false;
}

static void begin_window(struct drain *d)
{
    d->has_window = true;
    d->window_ms = 0;
    d->window_begin_bytes = d->taken_bytes;
}

void drain_look(struct drain *d, uint64_t now_ms, uint64_t taken_bytes)
{
    if (!CHECK(d->is_blocked))
        return;
    count_time(d, now_ms);
    if (taken_bytes > d->taken_bytes)
        d->progressed_ms = now_ms;
    d->taken_bytes = taken_bytes;
    if (!d->has_window)
        begin_window(d);
}

enum drain_verdict drain_judge(struct drain *d, const struct drain_limits *limits, uint64_t now_ms)
{
    d->due_ms = 0;
    if (d->is_blocked && now_ms - d->progressed_ms >= limits->stall_ms)
        return DRAIN_STALLED;
    if (limits->rate_min_bytes_per_s == 0 || d->window_ms < limits->window_ms)
        return DRAIN_GOES_ON;
    uint64_t taken = d->taken_bytes - d->window_begin_bytes;
    if (taken < limits->rate_min_bytes_per_s * d->window_ms / 1000)
        return DRAIN_TOO_SLOW;
    begin_window(d);
    return DRAIN_GOES_ON;
}

uint64_t drain_delay_ms(struct drain *d, const struct drain_limits *limits, uint64_t now_ms)
{
    if (d->due_ms == 0)
        d->due_ms = now_ms + limits->stall_ms / LOOKS_PER_STALL;
    return d->due_ms > now_ms ? d->due_ms - now_ms : 1;
}

uint64_t drain_stalled_ms(const struct drain *d, uint64_t now_ms)
{
    return d->is_blocked ? now_ms - d->progressed_ms : 0;
}
