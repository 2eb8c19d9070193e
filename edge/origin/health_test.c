/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/health.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct config_origin_ejection rules = {
    .consecutive_errors = 3, .first_ms = 1000, .longest_ms = 5000};

static void test_errors_in_a_row_eject(void **state)
{
    struct health h = {0};

    (void)state;
    assert_true(health_is_usable(&h, 0));
    assert_false(health_report(&h, &rules, false, 100));
    assert_false(health_report(&h, &rules, false, 100));
    assert_false(health_report(&h, &rules, true, 100)); /* not in a row */
    assert_false(health_report(&h, &rules, false, 100));
    assert_false(health_report(&h, &rules, false, 100));
    assert_true(health_is_usable(&h, 100));
    assert_true(health_report(&h, &rules, false, 100));
    assert_false(health_is_usable(&h, 1099));
    assert_true(health_is_usable(&h, 1100));
}

/* Each ejection lasts twice as long as the one before, up to the longest; one error is enough then. */
static void test_ejections_grow(void **state)
{
    static const uint64_t durations_ms[] = {1000, 2000, 4000, 5000, 5000};
    struct health h = {0};
    uint64_t now_ms = 0;

    (void)state;
    health_report(&h, &rules, false, now_ms);
    health_report(&h, &rules, false, now_ms);
    for (size_t i = 0; i < sizeof(durations_ms) / sizeof(durations_ms[0]); i++) {
        assert_true(health_report(&h, &rules, false, now_ms));
        assert_false(health_report(&h, &rules, false, now_ms + 1)); /* asked as a last resort: no worse */
        assert_false(health_is_usable(&h, now_ms + durations_ms[i] - 1));
        now_ms += durations_ms[i];
        assert_true(health_is_usable(&h, now_ms));
    }
}

/* Whoever behaves for a while starts from the shortest again; a good answer ends an ejection. */
static void test_what_is_forgiven(void **state)
{
    struct health h = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        health_report(&h, &rules, false, 0);
    assert_false(health_is_usable(&h, 500));
    health_report(&h, &rules, true, 500);
    assert_true(health_is_usable(&h, 500));

    for (int i = 0; i < 3; i++)
        health_report(&h, &rules, false, 1000); /* the second: until 3000 */
    assert_false(health_is_usable(&h, 2999));
    health_report(&h, &rules, true, 3000);
    health_report(&h, &rules, true, 20000);
    for (int i = 0; i < 3; i++)
        health_report(&h, &rules, false, 30000);
    assert_false(health_is_usable(&h, 30999));
    assert_true(health_is_usable(&h, 31000));
}

static void test_checks(void **state)
{
    static const struct config_origin_check check = {.healthy = 2, .unhealthy = 3};
    struct health h = {0};

    (void)state;
    assert_false(health_report_check(&h, &check, false));
    assert_false(health_report_check(&h, &check, false));
    assert_false(health_report_check(&h, &check, true));
    assert_false(health_report_check(&h, &check, false));
    assert_false(health_report_check(&h, &check, false));
    assert_true(health_report_check(&h, &check, false));
    assert_false(health_is_usable(&h, 0));
    assert_false(health_report_check(&h, &check, true));
    assert_false(health_report_check(&h, &check, false));
    assert_false(health_report_check(&h, &check, true));
    assert_true(health_report_check(&h, &check, true));
    assert_true(health_is_usable(&h, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_in_a_row_eject),
        cmocka_unit_test(test_ejections_grow),
        cmocka_unit_test(test_what_is_forgiven),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
