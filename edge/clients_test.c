/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of clients.h.
 */
#include "clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND 1000000000ull
#define NONE   UINT64_MAX

/* All in one set: the worst that could happen to a table. */
static struct hash128 crowded(uint64_t i)
{
    return (struct hash128){.high = 0, .low = i + 1};
}

static struct hash128 spread(uint64_t i)
{
    return (struct hash128){.high = i * 0x9e3779b97f4a7c15ull >> 20, .low = i + 1};
}

static void test_connections_are_counted(void **state)
{
    struct clients *c = clients_new(100);
    uint32_t one, other;

    (void)state;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_true(clients_enter(c, spread(1), 3, &one));
        assert_int_equal(clients_count(c, one), i);
    }
    assert_true(clients_enter(c, spread(2), 3, &other));
    assert_int_not_equal(one, other);
    assert_false(clients_enter(c, spread(1), 3, &other));
    assert_int_equal(other, one);
    assert_int_equal(clients_count(c, one), 3);
    clients_leave(c, one);
    assert_true(clients_enter(c, spread(1), 3, &one));
    clients_free(c);
}

static void test_requests_have_a_rate(void **state)
{
    struct clients *c = clients_new(100);
    unsigned taken = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        taken += clients_take(c, spread(1), 10, 20, SECOND) == 0;
    assert_int_equal(taken, 20);
    assert_int_equal(clients_take(c, spread(2), 10, 20, SECOND), 0);
    assert_int_equal(clients_take(c, spread(1), 10, 20, SECOND), SECOND / 10);
    assert_int_equal(clients_take(c, spread(1), 10, 20, SECOND + SECOND / 10), 0);
    clients_free(c);
}

static void test_a_crowd_does_not_push_out_who_matters(void **state)
{
    struct clients *c = clients_new(100);
    uint32_t guest;

    (void)state;
    assert_true(clients_enter(c, crowded(1), NONE, &guest));
    while (clients_take(c, crowded(2), 10, 20, SECOND) == 0)
        ;
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(clients_take(c, crowded(100 + i), 10, 20, SECOND), 0);
    assert_int_equal(clients_count(c, guest), 1);
    assert_int_not_equal(clients_take(c, crowded(2), 10, 20, SECOND), 0);
    assert_int_equal(clients_unknown(c), 0);
    clients_free(c);
}

static void test_a_set_full_of_connections_lets_in_unknown(void **state)
{
    struct clients *c = clients_new(100);
    uint32_t guests[9];

    (void)state;
    for (uint64_t i = 0; i < 9; i++)
        assert_true(clients_enter(c, crowded(i), 1, &guests[i]));
    assert_int_equal(guests[8], 0);
    assert_int_equal(clients_unknown(c), 1);
    assert_int_equal(clients_count(c, guests[8]), 0);
    clients_leave(c, guests[8]);
    clients_leave(c, guests[0]);
    assert_true(clients_enter(c, crowded(8), 1, &guests[8])); /* there is a place now */
    assert_int_not_equal(guests[8], 0);
    clients_free(c);
}

static void test_hardly_anybody_is_unknown_at_full_load(void **state)
{
    const uint64_t count = 20000;
    struct clients *c = clients_new(count);
    uint32_t guest;

    (void)state;
    for (uint64_t i = 0; i < count; i++)
        assert_true(clients_enter(c, spread(i), 1, &guest));
    assert_in_range(clients_unknown(c), 0, count / 20);
    clients_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_counted),
        cmocka_unit_test(test_requests_have_a_rate),
        cmocka_unit_test(test_a_crowd_does_not_push_out_who_matters),
        cmocka_unit_test(test_a_set_full_of_connections_lets_in_unknown),
        cmocka_unit_test(test_hardly_anybody_is_unknown_at_full_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
