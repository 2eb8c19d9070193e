/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/clock.h: the units, and that the clocks are the right ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void test_units(void **state)
{
    struct timespec before, after;
    uint64_t us, ms;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &before);
    us = clock_monotonic_us();
    ms = clock_monotonic_ms();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range(us, (uint64_t)before.tv_sec * 1000000 + (uint64_t)before.tv_nsec / 1000,
                    (uint64_t)after.tv_sec * 1000000 + (uint64_t)after.tv_nsec / 1000);
    assert_in_range(ms, us / 1000, (uint64_t)after.tv_sec * 1000 + (uint64_t)after.tv_nsec / 1000000);
}

static void test_wall(void **state)
{
    time_t before = time(NULL);
    int64_t wall_ms = clock_wall_ms();

    (void)state;
    assert_true(wall_ms / 1000 >= before - 1); /* time() may lag by a tick */
    assert_true(wall_ms / 1000 <= time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_wall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
