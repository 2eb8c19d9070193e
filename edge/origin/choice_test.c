/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/choice.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONTENTS 30000

static void test_weights_are_shares(void **state)
{
    struct choice_candidate candidates[] = {
        {100, 0, true, false}, {200, 0, true, false}, {300, 0, true, false}};
    unsigned counts[3] = {0};

    (void)state;
    for (uint64_t content = 0; content < CONTENTS; content++)
        counts[choice_next(candidates, 3, content)]++;
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(counts[i], CONTENTS * (i + 1) / 6 * 95 / 100, CONTENTS * (i + 1) / 6 * 105 / 100);
}

static void test_only_the_contents_of_one_that_goes_move(void **state)
{
    struct choice_candidate all[] = {{100, 0, true, false}, {100, 0, true, false}, {100, 0, true, false}};
    struct choice_candidate fewer[] = {{100, 0, true, false}, {100, 0, false, false}, {100, 0, true, false}};

    (void)state;
    for (uint64_t content = 0; content < CONTENTS; content++) {
        int before = choice_next(all, 3, content), after = choice_next(fewer, 3, content);

        assert_int_not_equal(after, 1);
        if (before != 1)
            assert_int_equal(after, before);
    }
}

static void test_priorities_are_an_order(void **state)
{
    struct choice_candidate candidates[] = {
        {100, 2, true, false}, {1, 1, true, false}, {100, 0, true, false}};

    (void)state;
    for (uint64_t content = 0; content < 1000; content++)
        assert_int_equal(choice_next(candidates, 3, content), 2);
    candidates[2].is_usable = false;
    assert_int_equal(choice_next(candidates, 3, 7), 1);
    candidates[1].is_tried = true;
    assert_int_equal(choice_next(candidates, 3, 7), 0);
}

/* What cannot be used is asked when nothing else is left, in the same order; nothing is asked twice. */
static void test_the_last_resort(void **state)
{
    struct choice_candidate candidates[] = {
        {100, 1, false, false}, {100, 0, false, false}, {100, 9, true, true}};

    (void)state;
    assert_int_equal(choice_next(candidates, 3, 7), 1);
    candidates[1].is_tried = true;
    assert_int_equal(choice_next(candidates, 3, 7), 0);
    candidates[0].is_tried = true;
    assert_int_equal(choice_next(candidates, 3, 7), -1);
    assert_int_equal(choice_next(candidates, 0, 7), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_are_shares),
        cmocka_unit_test(test_only_the_contents_of_one_that_goes_move),
        cmocka_unit_test(test_priorities_are_an_order),
        cmocka_unit_test(test_the_last_resort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
