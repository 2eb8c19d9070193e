/* SPDX-License-Identifier: Apache-2.0 */
/* A client has a turn's share of one client, however many it sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"
#include "turns.h"

#define CROWD         3000
#define CLIENTS       50
#define NOBODY        SIZE_MAX
#define PLACE_COST_US 100u

static struct turns turns;
static struct turns_place places[CROWD], viewer;

static void never(struct turns_place *place)
{
    fail_msg("nothing calls %p here", (void *)place);
}

static int set_up(void **state)
{
    (void)state;
    turns_init(&turns);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    turns_fini(&turns);
    return 0;
}

/* Place i is one of client i % clients. */
static void crowd_comes(size_t clients)
{
    for (size_t i = 0; i < CROWD; i++) {
        turns_place_init(&places[i], i % clients, never);
        assert_true(turns_wait(&turns, &places[i]));
    }
    turns_place_init(&viewer, clients, never);
}

/* Serves so many, each for so long, who come again at once; in how many the viewer was reached, or NOBODY. */
static size_t serve(size_t count, uint64_t took_us)
{
    for (size_t i = 0; i < count; i++) {
        struct turns_place *place = turns_next(&turns, 0);

        assert_non_null(place);
        turns_charge(&turns, took_us);
        if (place == &viewer)
            return i;
        assert_true(turns_wait(&turns, place));
    }
    return NOBODY;
}

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_make(text, strlen(text)), &a), 0);
    return a;
}

static void who_comes_goes_on_while_there_is_time(void **state)
{
    (void)state;
    turns_begin(&turns);
    assert_true(turns_may_go(&turns, 1000));
    assert_false(turns_is_over(&turns, 1000 + TURNS_SLICE_US - 1));
    assert_true(turns_is_over(&turns, 1000 + TURNS_SLICE_US));
    assert_true(turns_may_go(&turns, 1000 + TURNS_AT_ONCE_US - 1));
    assert_false(turns_may_go(&turns, 1000 + TURNS_AT_ONCE_US));
    turns_begin(&turns);
    assert_true(turns_may_go(&turns, 1000 + TURNS_AT_ONCE_US));
}

static void nobody_overtakes_who_waits(void **state)
{
    (void)state;
    turns_place_init(&viewer, 1, never);
    assert_true(turns_wait(&turns, &viewer));
    assert_true(turns_wait(&turns, &viewer)); /* once */
    assert_true(turns_waits(&viewer));
    turns_begin(&turns);
    assert_false(turns_may_go(&turns, 1));
    assert_ptr_equal(turns_next(&turns, 1), &viewer);
    turns_charge(&turns, 1);
    assert_null(turns_next(&turns, 1));
    assert_true(turns_may_go(&turns, 1));
}

static void a_crowd_of_one_client_waits_for_itself(void **state)
{
    (void)state;
    crowd_comes(1);
    assert_int_equal(serve(1000, PLACE_COST_US), NOBODY);
    turns_wait(&turns, &viewer);
    assert_in_range(serve(100, PLACE_COST_US), 0, 1);
}

/* Who has had less than a quantum is served before those who have had theirs. */
static void who_asks_for_little_comes_first(void **state)
{
    (void)state;
    crowd_comes(CLIENTS);
    assert_int_equal(serve(1000, PLACE_COST_US), NOBODY);
    for (uint64_t spent_us = 0; spent_us < TURNS_QUANTUM_US; spent_us += PLACE_COST_US) {
        turns_wait(&turns, &viewer);
        assert_in_range(serve((size_t)2 * CLIENTS, PLACE_COST_US), 0, CLIENTS);
    }
}

static void each_client_has_as_much_as_another(void **state)
{
    const size_t rounds = 20, services = TURNS_QUANTUM_US / PLACE_COST_US;
    size_t served = 0;

    (void)state;
    crowd_comes(CLIENTS);
    for (size_t i = 0; i < rounds; i++) {
        for (size_t j = 0; j < services * (CLIENTS + 1); j++) {
            turns_wait(&turns, &viewer);
            served += serve(1, PLACE_COST_US) == 0;
        }
    }
    assert_in_range(served, rounds * services - services, rounds * services + services);
}

/* What a client took beyond its quantum it does without in the next rounds. */
static void debts_are_made_good(void **state)
{
    const size_t others = 10;

    (void)state;
    turns_place_init(&viewer, others, never);
    turns_wait(&turns, &viewer);
    assert_ptr_equal(turns_next(&turns, 0), &viewer);
    turns_wait(&turns, &viewer);
    turns_charge(&turns, (uint64_t)4 * TURNS_QUANTUM_US);
    for (size_t i = 0; i < others; i++) {
        turns_place_init(&places[i], i, never);
        turns_wait(&turns, &places[i]);
    }
    assert_in_range(serve(100, TURNS_QUANTUM_US), 3 * others, 4 * others);
}

static void who_leaves_is_not_served(void **state)
{
    (void)state;
    crowd_comes(CLIENTS);
    turns_wait(&turns, &viewer);
    turns_leave(&turns, &viewer);
    turns_leave(&turns, &viewer); /* harmless */
    for (size_t i = 0; i < CROWD; i += 2)
        turns_leave(&turns, &places[i]);
    for (size_t i = 0; i < CROWD / 2; i++) {
        struct turns_place *place = turns_next(&turns, 0);

        assert_non_null(place);
        assert_int_equal((place - places) % 2, 1);
        turns_charge(&turns, PLACE_COST_US);
    }
    assert_null(turns_next(&turns, 0));
}

static void clients_are_addresses(void **state)
{
    struct addr a = address("192.0.2.1"), a2 = address("192.0.2.1:80"), b = address("192.0.2.2"),
                c = address("2001:db8::1"), c2 = address("2001:db8::2"), d = address("2001:db8:0:1::1");

    (void)state;
    assert_int_equal(turns_key(&turns, &a), turns_key(&turns, &a2));
    assert_int_not_equal(turns_key(&turns, &a), turns_key(&turns, &b));
    assert_int_equal(turns_key(&turns, &c), turns_key(&turns, &c2));
    assert_int_not_equal(turns_key(&turns, &c), turns_key(&turns, &d));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(who_comes_goes_on_while_there_is_time),
        T(nobody_overtakes_who_waits),
        T(a_crowd_of_one_client_waits_for_itself),
        T(who_asks_for_little_comes_first),
        T(each_client_has_as_much_as_another),
        T(debts_are_made_good),
        T(who_leaves_is_not_served),
        T(clients_are_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
