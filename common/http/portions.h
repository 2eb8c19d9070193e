/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When how much of a paced response goes to the kernel, which keeps the pace. Given all that it takes, it
 * would hold each packet back with a timer of its own, and wake us up for the next; given one packet at the
 * moment when it may leave, it sends it at once, and nothing waits in the socket: half the work. The last
 * portion is a small one, because the kernel holds back what follows it, the next response's head, for as
 * long as its bytes take at the pace. Pure: time is a parameter.
 */
#ifndef HTTP_PORTIONS_H
#define HTTP_PORTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a connection. All zero at first. */
struct portions {
    uint64_t rate_bytes_per_s; /* 0: it takes what it can get */
    uint64_t free_us;          /* when the kernel lets the next packet leave */
    bool is_begun;             /* the response's first one has gone */
};

/* A response begins: its first portion goes at once. */
void portions_begin(struct portions *p);

/* From now on. What is too fast to be told apart by a timer goes as if it had no pace: the kernel has it. */
void portions_set_pace(struct portions *p, uint64_t rate_bytes_per_s);

/* How many of the `left` bytes of the response, which stand at this offset of a file, go now; 0: none yet. */
uint64_t portions_size(const struct portions *p, uint64_t now_us, uint64_t offset_bytes, uint64_t left);
void portions_took(struct portions *p, uint64_t now_us, uint64_t size);

/* Until the next; 0: it may go. */
uint64_t portions_wait_ms(const struct portions *p, uint64_t now_us);

#endif
