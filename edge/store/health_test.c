/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/health.h. */
#include "store/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_few_errors_are_forgiven(void **state)
{
    (void)state;
    struct health h = {0};
    uint64_t errors = 0;
    for (int64_t now_ms = 0; now_ms < 100ll * HEALTH_WINDOW_MS; now_ms += HEALTH_WINDOW_MS / 10, errors++)
        assert_int_equal(health_judge(&h, errors, 0, now_ms), HEALTH_GOOD);
}

static void test_many_errors_within_a_window_are_not(void **state)
{
    (void)state;
    struct health h = {0};
    assert_int_equal(health_judge(&h, 100, 0, HEALTH_WINDOW_MS), HEALTH_ERRORS); /* since the start */
    h = (struct health){0, 100};
    assert_int_equal(health_judge(&h, 100 + HEALTH_ERRORS_MAX - 1, 0, 1000), HEALTH_GOOD);
    assert_int_equal(health_judge(&h, 100 + HEALTH_ERRORS_MAX, 0, 2000), HEALTH_ERRORS);
}

static void test_a_hang_is_waited_for(void **state)
{
    (void)state;
    struct health h = {0};
    assert_int_equal(health_judge(&h, 0, HEALTH_HANG_MS - 1, 5), HEALTH_GOOD);
    assert_int_equal(health_judge(&h, 0, HEALTH_HANG_MS, 6), HEALTH_HANGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_errors_are_forgiven),
        cmocka_unit_test(test_many_errors_within_a_window_are_not),
        cmocka_unit_test(test_a_hang_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
