/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of egress.h: the shares, and the controller against viewers that take what they get.
 */
#include "egress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

#define MB       1000000ull
#define CAPACITY (100 * MB)
#define STEP_MS  250
#define SITES    4

static void test_shares(void **state)
{
    static const struct {
        uint64_t demands[3], weights[3], shares[3];
    } cases[] = {
        {{10, 20, 30}, {1, 1, 1}, {10, 20, 30}},                         /* room for all */
        {{500, 500, 500}, {1, 1, 1}, {33, 33, 33}},                      /* equal */
        {{UINT64_MAX, 10, 20}, {1, 1, 1}, {70, 10, 20}},                 /* what some leave is the others' */
        {{UINT64_MAX, 40, UINT64_MAX}, {1, 1, 1}, {33, 33, 33}},         /* nobody above a third */
        {{UINT64_MAX, UINT64_MAX, 10}, {2, 1, 1}, {60, 30, 10}},         /* by weight */
        {{UINT64_MAX, UINT64_MAX, UINT64_MAX}, {8, 1, 1}, {80, 10, 10}}, /* by weight */
        {{0, 0, UINT64_MAX}, {1, 1, 1}, {0, 0, 100}},                    /* alone */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t shares[3];
        bool work[3];

        egress_share(cases[i].demands, cases[i].weights, 3, 100, work, shares);
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(shares[k], cases[i].shares[k]);
    }
}

/* --- with viewers --- */

struct crowd {
    uint64_t viewers, each; /* bytes a second that one of them would take */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Runs for so many steps; what each site got in the last one. What the wire does not carry is lost for all in
 * proportion to what they want, as a wire does. */
static void run(struct egress *e, const struct crowd *crowds, unsigned steps, uint64_t *ret_rates)
{
    while (steps-- > 0) {
        uint64_t sent[SITES], total = 0;

        for (size_t i = 0; i < SITES; i++) {
            uint64_t pace = egress_pace(e, i);

            sent[i] = crowds[i].viewers * (pace > 0 ? least(pace, crowds[i].each) : crowds[i].each);
            total += sent[i];
        }
        for (size_t i = 0; i < SITES; i++) {
            ret_rates[i] =
                total > CAPACITY ? (uint64_t)((double)sent[i] * (double)CAPACITY / (double)total) : sent[i];
            sent[i] = ret_rates[i] * STEP_MS / 1000;
        }
        egress_step(e, sent, STEP_MS);
    }
}

static const uint64_t ones[SITES] = {1, 1, 1, 1};

static void test_with_room_nobody_is_paced(void **state)
{
    const struct crowd crowds[SITES] = {{50, MB}, {30, MB}};
    struct egress *e = egress_new(CAPACITY, ones, SITES);
    uint64_t rates[SITES];

    (void)state;
    run(e, crowds, 100, rates);
    for (size_t i = 0; i < SITES; i++)
        assert_int_equal(egress_pace(e, i), 0);
    assert_in_range(egress_pressure(e), 790, 810);
    egress_free(e);
}

static void test_a_flooded_site_leaves_its_neighbours_alone(void **state)
{
    const struct crowd crowds[SITES] = {{5000, 10 * MB}, {10, MB}, {20, MB}, {0, 0}};
    struct egress *e = egress_new(CAPACITY, ones, SITES);
    uint64_t rates[SITES];

    (void)state;
    run(e, crowds, 40, rates); /* ten seconds */
    assert_in_range(rates[1], 10 * MB * 99 / 100, 10 * MB);
    assert_in_range(rates[2], 20 * MB * 99 / 100, 20 * MB);
    assert_in_range(rates[0], 55 * MB, 70 * MB);
    assert_int_equal(egress_pace(e, 1), 0);
    assert_int_equal(egress_pace(e, 2), 0);
    for (int i = 0; i < 20; i++) { /* and so it stays */
        run(e, crowds, 10, rates);
        assert_in_range(rates[1] + rates[2], 30 * MB * 97 / 100, 30 * MB);
    }
    egress_free(e);
}

static void test_two_that_want_all_share_by_weight(void **state)
{
    const uint64_t weights[SITES] = {3, 1, 1, 1};
    const struct crowd crowds[SITES] = {{100, 50 * MB}, {3000, 50 * MB}, {0, 0}, {0, 0}};
    struct egress *e = egress_new(CAPACITY, weights, SITES);
    uint64_t rates[SITES];

    (void)state;
    run(e, crowds, 80, rates);
    assert_in_range(rates[0], 65 * MB, 78 * MB);
    assert_in_range(rates[1], 20 * MB, 30 * MB);
    egress_free(e);
}

static void test_slow_viewers_do_not_waste_the_share(void **state)
{
    /* Those that cannot take what they may leave room for those that can. */
    const struct crowd crowds[SITES] = {{40, MB}, {40, 20 * MB}, {0, 0}, {0, 0}};
    struct egress *e = egress_new(CAPACITY, ones, SITES);
    uint64_t rates[SITES];

    (void)state;
    run(e, crowds, 80, rates);
    assert_in_range(rates[0], 38 * MB, 40 * MB);
    assert_in_range(rates[0] + rates[1], 80 * MB, 100 * MB);
    egress_free(e);
}

static void test_they_are_let_go_when_there_is_room_again(void **state)
{
    struct crowd crowds[SITES] = {{1000, 10 * MB}, {10, MB}};
    struct egress *e = egress_new(CAPACITY, ones, SITES);
    uint64_t rates[SITES];

    (void)state;
    run(e, crowds, 40, rates);
    assert_true(egress_pace(e, 0) > 0);
    crowds[0].viewers = 1;
    run(e, crowds, 80, rates);
    assert_int_equal(egress_pace(e, 0), 0);
    assert_int_equal(rates[0], 10 * MB);
    egress_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_with_room_nobody_is_paced),
        cmocka_unit_test(test_a_flooded_site_leaves_its_neighbours_alone),
        cmocka_unit_test(test_two_that_want_all_share_by_weight),
        cmocka_unit_test(test_slow_viewers_do_not_waste_the_share),
        cmocka_unit_test(test_they_are_let_go_when_there_is_room_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
