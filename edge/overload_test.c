/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of overload.h.
 */
#include "overload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define RECOVERY_MS 5000

struct stage {
    struct overload o;
    uint64_t pressure[OVERLOAD_RESOURCE_COUNT];
    uint64_t now_ms;
};

static struct stage start(void)
{
    struct stage s = {.now_ms = 1000000};

    overload_init(&s.o, RECOVERY_MS);
    return s;
}

/* Holds this pressure for a time, looking ten times a second; the level at its end. */
static enum overload_level hold(struct stage *s, enum overload_resource resource, uint64_t pressure,
                                uint64_t for_ms)
{
    s->pressure[resource] = pressure;
    for (uint64_t until_ms = s->now_ms + for_ms; s->now_ms <= until_ms; s->now_ms += 100)
        overload_step(&s->o, s->pressure, s->now_ms);
    return overload_level(&s->o);
}

static void test_each_level_has_its_pressure(void **state)
{
    static const struct {
        uint64_t pressure;
        enum overload_level level;
    } cases[] = {
        {0, OVERLOAD_NONE},           {799, OVERLOAD_NONE},         {800, OVERLOAD_BACKGROUND},
        {899, OVERLOAD_BACKGROUND},   {900, OVERLOAD_MISSES},       {999, OVERLOAD_MISSES},
        {1000, OVERLOAD_CONNECTIONS}, {5000, OVERLOAD_CONNECTIONS},
    };

    (void)state;
    for (int resource = 0; resource < OVERLOAD_UPLINK; resource++)
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct stage s = start();

            assert_int_equal(hold(&s, (enum overload_resource)resource, cases[i].pressure, 0),
                             cases[i].level);
            if (cases[i].level > OVERLOAD_NONE)
                assert_int_equal(s.o.cause, resource);
        }
}

static void test_a_full_uplink_sheds_what_nobody_waits_for(void **state)
{
    struct stage s = start();

    (void)state;
    assert_int_equal(hold(&s, OVERLOAD_UPLINK, 3000, 1000), OVERLOAD_BACKGROUND);
}

static void test_it_comes_down_step_by_step(void **state)
{
    struct stage s = start();

    (void)state;
    assert_int_equal(hold(&s, OVERLOAD_CPU, 2000, 0), OVERLOAD_CONNECTIONS);
    assert_int_equal(hold(&s, OVERLOAD_CPU, 0, RECOVERY_MS - 100), OVERLOAD_CONNECTIONS);
    assert_int_equal(hold(&s, OVERLOAD_CPU, 0, 200), OVERLOAD_MISSES);
    assert_int_equal(hold(&s, OVERLOAD_CPU, 0, RECOVERY_MS), OVERLOAD_BACKGROUND);
    assert_int_equal(hold(&s, OVERLOAD_CPU, 0, RECOVERY_MS), OVERLOAD_NONE);
}

static void test_it_does_not_flap(void **state)
{
    struct stage s = start();

    (void)state;
    assert_int_equal(hold(&s, OVERLOAD_MEMORY, 950, 0), OVERLOAD_MISSES);
    for (int i = 0; i < 20; i++) { /* shedding helps, and then there is more again: it stays */
        assert_int_equal(hold(&s, OVERLOAD_MEMORY, 700, RECOVERY_MS / 2), OVERLOAD_MISSES);
        assert_int_equal(hold(&s, OVERLOAD_MEMORY, 950, RECOVERY_MS / 2), OVERLOAD_MISSES);
    }
    /* A little below is not enough. */
    assert_int_equal(hold(&s, OVERLOAD_MEMORY, 890, 10ull * RECOVERY_MS), OVERLOAD_MISSES);
    assert_int_equal(hold(&s, OVERLOAD_MEMORY, 100, 10ull * RECOVERY_MS), OVERLOAD_NONE);
}

static void test_the_worst_decides(void **state)
{
    struct stage s = start();

    (void)state;
    hold(&s, OVERLOAD_CPU, 810, 0);
    assert_int_equal(hold(&s, OVERLOAD_DESCRIPTORS, 1000, 0), OVERLOAD_CONNECTIONS);
    assert_int_equal(overload_refusal(&s.o), REFUSAL_OVERLOADED_DESCRIPTORS);
    assert_int_equal(hold(&s, OVERLOAD_DESCRIPTORS, 0, 10ull * RECOVERY_MS), OVERLOAD_BACKGROUND);
}

static void test_one_late_turn_is_smoothed(void **state)
{
    uint64_t lag = 0;

    (void)state;
    lag = overload_smooth(lag, 400);
    assert_int_equal(lag, 100);
    for (int i = 0; i < 50; i++)
        lag = overload_smooth(lag, 0);
    assert_int_equal(lag, 0);
    for (int i = 0; i < 50; i++)
        lag = overload_smooth(lag, 400);
    assert_in_range(lag, 390, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_level_has_its_pressure),
        cmocka_unit_test(test_a_full_uplink_sheds_what_nobody_waits_for),
        cmocka_unit_test(test_it_comes_down_step_by_step),
        cmocka_unit_test(test_it_does_not_flap),
        cmocka_unit_test(test_the_worst_decides),
        cmocka_unit_test(test_one_late_turn_is_smoothed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
