/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a paced response goes when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "portions.h"

#define RATE     250000u
#define FULL     61440u /* of 62500: whole pages */
#define LAST     (RATE / 4 / 16)
#define START_US 10000000u
#define BODY     1500000u

static struct portions begun_at(uint64_t rate)
{
    struct portions p = {0};
    portions_begin(&p);
    portions_set_pace(&p, rate);
    return p;
}

static void without_a_pace_all_goes(void **state)
{
    struct portions p = begun_at(0);
    (void)state;
    assert_int_equal(portions_size(&p, START_US, 0, BODY), BODY);
    portions_took(&p, START_US, BODY);
    assert_int_equal(portions_wait_ms(&p, START_US), 0);
}

static void what_is_too_fast_for_timers_is_the_kernel_s(void **state)
{
    struct portions p = begun_at(100000000);
    (void)state;
    assert_int_equal(portions_size(&p, START_US, 0, BODY), BODY);
    p = begun_at(UINT64_MAX);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), BODY);
}

static void a_quarter_of_a_second_at_a_time(void **state)
{
    struct portions p = begun_at(RATE);
    (void)state;
    assert_int_equal(portions_size(&p, START_US, 0, BODY), FULL);
    portions_took(&p, START_US, FULL);
    assert_int_equal(portions_size(&p, START_US + 120000, 0, BODY),
                     0); /* half of it is given back to who begins */
    assert_in_range(portions_wait_ms(&p, START_US), 123, 150);
    assert_int_equal(portions_wait_ms(&p, START_US + 300000), 0);
    assert_int_equal(portions_size(&p, START_US + 300000, 0, BODY), FULL);
    p = begun_at(1000);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), 16384);
    p = begun_at(1000000);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), 61440);
}

/* Timers fire late by up to a tick, each by another time: that must not slow it down. */
static void late_timers_do_not_slow_it_down(void **state)
{
    struct portions p = begun_at(RATE);
    uint64_t now_us = START_US, sent = 0, end_us = START_US + 100000000;
    unsigned late_ms = 0;
    (void)state;
    while (now_us < end_us) {
        uint64_t size = portions_size(&p, now_us, 0, UINT64_MAX);
        assert_int_equal(size, FULL);
        portions_took(&p, now_us, size);
        sent += size;
        late_ms = (late_ms + 7) % 16;
        now_us += (portions_wait_ms(&p, now_us) + late_ms) * 1000;
    }
    assert_in_range(sent, 99 * RATE, 100 * RATE + 2 * FULL);
}

static void long_waits_are_not_made_up_for(void **state)
{
    struct portions p = begun_at(RATE);
    (void)state;
    portions_took(&p, START_US, FULL);
    assert_int_equal(portions_size(&p, START_US + 60000000, 0, BODY), FULL);
    portions_took(&p, START_US + 60000000, FULL);
    assert_int_equal(portions_size(&p, START_US + 60000000, 0, BODY), 0);
}

static void portions_end_with_a_page(void **state)
{
    struct portions p = begun_at(RATE);
    (void)state;
    assert_int_equal(portions_size(&p, START_US, 4096, BODY), FULL);
    assert_int_equal(portions_size(&p, START_US, 100, BODY), FULL - 100);
    assert_int_equal(portions_size(&p, START_US, 4095, BODY), FULL + 4096 - 4095);
}

static void the_last_portion_is_small(void **state)
{
    struct portions p = begun_at(RATE);
    uint64_t left = BODY, size = 0;
    (void)state;
    for (uint64_t at = 777; left > 0; at += size, left -= size) {
        size = portions_size(&p, START_US, at, left);
        assert_true(size > 0 && (size == left || (at + size) % 4096 == 0));
    }
    assert_in_range(size, LAST, LAST + 4096);
    assert_int_equal(portions_size(&p, START_US, 0, LAST), LAST);
    assert_int_equal(portions_size(&p, START_US, 5, 1), 1);
}

static void the_next_response_begins_at_once(void **state)
{
    struct portions p = begun_at(RATE);
    (void)state;
    portions_took(&p, START_US, FULL);
    portions_begin(&p);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), BODY); /* until it has a pace too */
    portions_set_pace(&p, RATE);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), FULL);
    portions_took(&p, START_US, FULL);
    assert_true(portions_wait_ms(&p, START_US) >= 368); /* what it got ahead of its time is not given twice */
}

static void a_socket_that_takes_less_is_not_waited_for_longer(void **state)
{
    struct portions p = begun_at(RATE);
    (void)state;
    portions_took(&p, START_US, 0);
    assert_int_equal(portions_size(&p, START_US, 0, BODY), FULL);
    portions_took(&p, START_US, RATE / 100);
    assert_in_range(portions_wait_ms(&p, START_US), 5, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_pace_all_goes),
        cmocka_unit_test(what_is_too_fast_for_timers_is_the_kernel_s),
        cmocka_unit_test(a_quarter_of_a_second_at_a_time),
        cmocka_unit_test(late_timers_do_not_slow_it_down),
        cmocka_unit_test(long_waits_are_not_made_up_for),
        cmocka_unit_test(portions_end_with_a_page),
        cmocka_unit_test(the_last_portion_is_small),
        cmocka_unit_test(the_next_response_begins_at_once),
        cmocka_unit_test(a_socket_that_takes_less_is_not_waited_for_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
