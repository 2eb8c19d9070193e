/* SPDX-License-Identifier: Apache-2.0 */
/* The timer wheel against a plain list of times. */
#include "wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void add(struct wheel *w, struct timer *t, uint64_t due_ms)
{
    timer_init(t, NULL);
    t->due_ms = due_ms;
    wheel_add(w, t);
}

static unsigned advance(struct wheel *w, uint64_t now_ms)
{
    struct list due;
    unsigned count = 0;

    list_init(&due);
    wheel_advance(w, now_ms, &due);
    while (!list_is_empty(&due)) {
        struct timer *t = LIST_FIRST(&due, struct timer, node);

        assert_true(t->due_ms <= now_ms);
        list_remove(&t->node);
        count++;
    }
    return count;
}

static void test_never_early_and_one_tick_late_at_most(void **state)
{
    static const uint64_t delays_ms[] = {0, 1, 15, 16, 17, 1000, 1023, 1024, 1025, 65535, 65536, 3600000};
    struct wheel w;
    struct timer t;

    (void)state;
    for (uint64_t start_ms = 1000; start_ms < 1000 + 1100; start_ms += 7) {
        for (size_t i = 0; i < ARRAY_COUNT(delays_ms); i++) {
            uint64_t due_ms = start_ms + delays_ms[i];

            wheel_init(&w, start_ms);
            add(&w, &t, due_ms);
            assert_int_equal(advance(&w, due_ms - 1), 0);
            assert_int_equal(advance(&w, due_ms + TIMER_GRANULARITY_MS), 1);
            assert_int_equal(wheel_next_ms(&w), WHEEL_NEVER);
        }
    }
}

/* Advances only when the wheel asks for it, as the loop does. */
static void test_next_finds_every_timer(void **state)
{
    enum { COUNT = 2000 };
    struct timer *timers = calloc(COUNT, sizeof(*timers));
    struct wheel w;
    unsigned fired = 0, wakes = 0;
    uint64_t now_ms = 123456, random = 1;

    (void)state;
    assert_non_null(timers);
    wheel_init(&w, now_ms);
    for (unsigned i = 0; i < COUNT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        add(&w, &timers[i], now_ms + (random >> 40 >> random % 24));
    }
    for (unsigned i = 0; i < COUNT; i += 2)
        timer_stop(&timers[i]);
    while (wheel_next_ms(&w) != WHEEL_NEVER) {
        assert_true(wheel_next_ms(&w) > now_ms);
        now_ms = wheel_next_ms(&w);
        fired += advance(&w, now_ms);
        for (unsigned i = 1; i < COUNT; i += 2)
            assert_true(!timer_is_running(&timers[i]) || timers[i].due_ms + TIMER_GRANULARITY_MS > now_ms);
        assert_true(++wakes < 3 * COUNT);
    }
    assert_int_equal(fired, COUNT / 2);
    free(timers);
}

static void test_earlier_ticks_come_first(void **state)
{
    struct wheel w;
    struct timer a, b, c;
    struct list due;

    (void)state;
    wheel_init(&w, 0);
    add(&w, &c, 90000);
    add(&w, &b, 2000);
    add(&w, &a, 40);
    list_init(&due);
    wheel_advance(&w, 100000, &due);
    assert_ptr_equal(due.next, &a.node);
    assert_ptr_equal(a.node.next, &b.node);
    assert_ptr_equal(b.node.next, &c.node);
    assert_ptr_equal(c.node.next, &due);
}

static void test_stopped_timer_leaves_nothing(void **state)
{
    struct wheel w;
    struct timer t, other;

    (void)state;
    wheel_init(&w, 5000);
    add(&w, &t, 9000);
    timer_stop(&t);
    assert_int_equal(wheel_next_ms(&w), WHEEL_NEVER);
    assert_int_equal(advance(&w, 1000000), 0);
    add(&w, &other, 1000000 + 9000);
    assert_int_equal(advance(&w, 1000000 + 8999), 0);
    assert_int_equal(advance(&w, 1000000 + 9016), 1);
}

static void test_endless_delay(void **state)
{
    struct wheel w;
    struct timer t;

    (void)state;
    wheel_init(&w, 77);
    add(&w, &t, UINT64_MAX);
    assert_true(wheel_next_ms(&w) < WHEEL_NEVER);
    assert_int_equal(advance(&w, UINT64_C(1) << 62), 0);
    assert_true(timer_is_running(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_early_and_one_tick_late_at_most),
        cmocka_unit_test(test_next_finds_every_timer),
        cmocka_unit_test(test_earlier_ticks_come_first),
        cmocka_unit_test(test_stopped_timer_leaves_nothing),
        cmocka_unit_test(test_endless_delay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
