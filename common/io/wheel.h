/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which timers are due, without a clock: time is a parameter. Private to common/io; the loop
 * drives it.
 *
 * Ten levels of 64 slots, one level for each six bits of the time in ticks of TIMER_GRANULARITY_MS. A timer
 * waits in the level of the highest digit in which its time differs from the wheel's: so a slot's timers all
 * lie ahead, a lower level is always due before a higher one, and nothing ever wraps around.
 */
#ifndef IO_WHEEL_H
#define IO_WHEEL_H

#include "io/loop.h"

#define WHEEL_LEVELS 10 /* 10 * 6 bits of ticks and 4 bits of milliseconds in a tick: all times */
#define WHEEL_SLOTS  64
#define WHEEL_NEVER  UINT64_MAX

struct wheel {
    uint64_t tick;                   /* all that was due by then has been handed out */
    uint64_t occupied[WHEEL_LEVELS]; /* a bit per slot; may be stale where timers were stopped */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);

/* Puts in a timer that is in no list and has its due_ms; returns when wheel_advance must be called for it.
 * That is before due_ms when the timer must be moved to a lower level first. */
uint64_t wheel_add(struct wheel *w, struct timer *t);

/* When wheel_advance must be called next, or WHEEL_NEVER. */
uint64_t wheel_next_ms(struct wheel *w);

/* Moves the timers due by now_ms to the end of `due`, earlier ticks first. */
void wheel_advance(struct wheel *w, uint64_t now_ms, struct list *due);

#endif
