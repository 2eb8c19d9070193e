/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/budget.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static unsigned spend_all(struct budget *b, const struct config_origin_retries *rules, uint64_t now_ms)
{
    unsigned count = 0;

    while (budget_spend(b, rules, now_ms))
        count++;
    return count;
}

static void test_a_part_of_the_requests(void **state)
{
    static const struct config_origin_retries rules = {.percent = 20, .floor_per_s = 0};
    struct budget b = {0};

    (void)state;
    assert_false(budget_spend(&b, &rules, 0));
    for (int i = 0; i < 50; i++)
        budget_earn(&b, &rules);
    assert_int_equal(spend_all(&b, &rules, 0), 10);
    for (int i = 0; i < 4; i++)
        budget_earn(&b, &rules);
    assert_false(budget_spend(&b, &rules, 0));
    budget_earn(&b, &rules);
    assert_true(budget_spend(&b, &rules, 0));
}

/* A quiet hour before does not pay for a storm. */
static void test_savings_are_bounded(void **state)
{
    static const struct config_origin_retries rules = {.percent = 100, .floor_per_s = 0};
    struct budget b = {0};

    (void)state;
    for (int i = 0; i < 100000; i++)
        budget_earn(&b, &rules);
    assert_int_equal(spend_all(&b, &rules, 0), 100);
}

static void test_a_few_a_second_in_any_case(void **state)
{
    static const struct config_origin_retries rules = {.percent = 0, .floor_per_s = 3};
    struct budget b = {0};

    (void)state;
    assert_int_equal(spend_all(&b, &rules, 5000), 3);
    assert_int_equal(spend_all(&b, &rules, 5999), 0);
    assert_int_equal(spend_all(&b, &rules, 6000), 3);
}

static void test_none(void **state)
{
    static const struct config_origin_retries rules = {0};
    struct budget b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        budget_earn(&b, &rules);
    assert_false(budget_spend(&b, &rules, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_of_the_requests),
        cmocka_unit_test(test_savings_are_bounded),
        cmocka_unit_test(test_a_few_a_second_in_any_case),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
