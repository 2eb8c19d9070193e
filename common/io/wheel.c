/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer wheel. Stopping a timer only unlinks it (it does not know its wheel), so a slot's bit may outlive
 * its timers; whoever meets such a bit clears it.
 */
#include "wheel.h"

#define DIGIT_BITS 6

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    w->tick = now_ms / TIMER_GRANULARITY_MS;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

/* The first tick that is not before the timer's time: never early. */
static uint64_t due_tick(const struct timer *t)
{
    return t->due_ms / TIMER_GRANULARITY_MS + (t->due_ms % TIMER_GRANULARITY_MS != 0);
}

/* When a slot begins, seen from the wheel's tick. */
static uint64_t slot_tick(const struct wheel *w, unsigned level, unsigned slot)
{
    unsigned shift = level * DIGIT_BITS;

    return (w->tick >> shift >> DIGIT_BITS << DIGIT_BITS | slot) << shift;
}

/* `tick` lies ahead of the wheel's. */
static uint64_t place(struct wheel *w, struct timer *t, uint64_t tick)
{
    unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ w->tick)) / DIGIT_BITS;
    unsigned slot = tick >> level * DIGIT_BITS & (WHEEL_SLOTS - 1);

    REQUIRE(level < WHEEL_LEVELS);
    list_push_back(&w->slots[level][slot], &t->node);
    w->occupied[level] |= UINT64_C(1) << slot;
    return slot_tick(w, level, slot) * TIMER_GRANULARITY_MS;
}

uint64_t wheel_add(struct wheel *w, struct timer *t)
{
    uint64_t tick;

    if (t->due_ms > UINT64_MAX - TIMER_GRANULARITY_MS)
        t->due_ms = UINT64_MAX - TIMER_GRANULARITY_MS; /* as good as never, and its tick has no 61st bit */
    tick = due_tick(t);
    return place(w, t, tick > w->tick ? tick : w->tick + 1);
}

static bool find_next(struct wheel *w, unsigned *ret_level, unsigned *ret_slot)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        while (w->occupied[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(w->occupied[level]);

            if (!list_is_empty(&w->slots[level][slot])) {
                *ret_level = level;
                *ret_slot = slot;
                return true;
            }
            w->occupied[level] &= w->occupied[level] - 1;
        }
    }
    return false;
}

uint64_t wheel_next_ms(struct wheel *w)
{
    unsigned level, slot;

    if (!find_next(w, &level, &slot))
        return WHEEL_NEVER;
    return slot_tick(w, level, slot) * TIMER_GRANULARITY_MS;
}

/* Hands out what is due at the wheel's tick and moves the rest to lower levels. */
static void spread(struct wheel *w, struct list *timers, struct list *due)
{
    struct timer *t, *following;

    LIST_FOR_EACH_SAFE (t, following, timers, node) {
        uint64_t tick = due_tick(t);

        list_remove(&t->node);
        if (tick <= w->tick)
            list_push_back(due, &t->node);
        else
            place(w, t, tick);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, struct list *due)
{
    uint64_t now_tick = now_ms / TIMER_GRANULARITY_MS, tick;
    unsigned level, slot;

    while (find_next(w, &level, &slot)) {
        tick = slot_tick(w, level, slot);
        if (tick > now_tick)
            break;
        w->tick = tick;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        spread(w, &w->slots[level][slot], due);
    }
    if (now_tick > w->tick)
        w->tick = now_tick;
}
