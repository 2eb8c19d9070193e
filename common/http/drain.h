/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a client takes what waits for it. Only time counts in which nothing but the client was in the way,
 * and only what it has taken, not what the kernel has buffered: so who trickles is told from who is slow, and
 * neither an origin nor a disk is held against a viewer. Pure: time and bytes are parameters.
 */
#ifndef HTTP_DRAIN_H
#define HTTP_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

struct drain_limits {
    uint64_t stall_ms;             /* not a byte for so long */
    uint64_t rate_min_bytes_per_s; /* on the average of a window; 0: any */
    uint64_t window_ms;
};

/* All zero at first. */
struct drain {
    bool is_blocked, has_window;
    uint64_t taken_bytes;   /* when it was looked last */
    uint64_t progressed_ms; /* when that was seen to grow, or the wait began */
    uint64_t looked_ms;     /* until here the wait is in window_ms */
    uint64_t due_ms;        /* when to judge next; 0: not known yet */
    uint64_t window_ms, window_begin_bytes;
};

enum drain_verdict { DRAIN_GOES_ON, DRAIN_STALLED, DRAIN_TOO_SLOW };

/* The client is in the way from now on, or no more. Both harmless when it is so already. */
void drain_block(struct drain *d, uint64_t now_ms);
void drain_unblock(struct drain *d, uint64_t now_ms);

/* While it is blocked: the client has taken so much, ever. */
void drain_look(struct drain *d, uint64_t now_ms, uint64_t taken_bytes);

/* After a look. A window that was good begins anew. */
enum drain_verdict drain_judge(struct drain *d, const struct drain_limits *limits, uint64_t now_ms);

/* In how long to look and judge, if it is blocked still. What is not looked at is not seen, so a stall is
 * told an eighth late; and no trickle puts a look off. */
uint64_t drain_delay_ms(struct drain *d, const struct drain_limits *limits, uint64_t now_ms);

/* For how long nothing was taken, as of the last look; 0 when nothing waits. */
uint64_t drain_stalled_ms(const struct drain *d, uint64_t now_ms);

#endif
