/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/rendezvous.h. */
#include "store/rendezvous.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define OBJECTS 40000u

static struct hash128 hash_of(uint64_t number)
{
    return (struct hash128){hash_sum(&number, sizeof(number)), number};
}

static void test_shares_follow_weights(void **state)
{
    (void)state;
    static const struct rendezvous_seat seats[] = {{11, 1000}, {22, 3000}, {33, 0}, {44, 4000}};
    unsigned counts[4] = {0};
    for (unsigned i = 0; i < OBJECTS; i++)
        counts[rendezvous_choose(hash_of(i), seats, 4)]++;
    assert_in_range(counts[0], OBJECTS / 8 * 95 / 100, OBJECTS / 8 * 105 / 100);
    assert_in_range(counts[1], OBJECTS / 8 * 3 * 95 / 100, OBJECTS / 8 * 3 * 105 / 100);
    assert_in_range(counts[3], OBJECTS / 2 * 95 / 100, OBJECTS / 2 * 105 / 100);
    assert_int_equal(counts[2], 0);
}

/* Whatever place a seat has, only what was its own moves when it leaves, and it all comes back to it. */
static void test_only_what_must_moves(void **state)
{
    (void)state;
    static const struct rendezvous_seat all[] = {{11, 1000}, {22, 3000}, {44, 4000}};
    static const struct rendezvous_seat less[] = {{44, 4000}, {11, 1000}};
    for (unsigned i = 0; i < OBJECTS; i++) {
        size_t before = rendezvous_choose(hash_of(i), all, 3), after = rendezvous_choose(hash_of(i), less, 2);
        if (all[before].name != 22)
            assert_int_equal(less[after].name, all[before].name);
    }
}

static void test_nobody_to_choose(void **state)
{
    (void)state;
    static const struct rendezvous_seat seats[] = {{11, 0}, {22, 0}};
    assert_int_equal(rendezvous_choose(hash_of(1), seats, 2), 2);
    assert_int_equal(rendezvous_choose(hash_of(1), seats, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_follow_weights),
        cmocka_unit_test(test_only_what_must_moves),
        cmocka_unit_test(test_nobody_to_choose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
