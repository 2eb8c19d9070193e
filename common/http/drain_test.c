/* SPDX-License-Identifier: Apache-2.0 */
/* Who stalls, who trickles, who is only slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drain.h"

static const struct drain_limits limits = {.stall_ms = 800, .rate_min_bytes_per_s = 1000, .window_ms = 10000};

static enum drain_verdict look(struct drain *d, uint64_t now_ms, uint64_t taken_bytes)
{
    drain_look(d, now_ms, taken_bytes);
    return drain_judge(d, &limits, now_ms);
}

static void who_takes_nothing_stalls(void **state)
{
    struct drain d = {0};
    (void)state;
    assert_int_equal(drain_delay_ms(&d, &limits, 900), 100);
    assert_int_equal(drain_delay_ms(&d, &limits, 970), 30);
    assert_int_equal(drain_delay_ms(&d, &limits, 1070), 1);
    assert_int_equal(drain_stalled_ms(&d, 5000), 0);
    drain_block(&d, 1000);
    assert_int_equal(look(&d, 1100, 5000), DRAIN_GOES_ON); /* what was taken before is not known yet */
    assert_int_equal(drain_delay_ms(&d, &limits, 1120), 100);
    drain_block(&d, 1200);
    assert_int_equal(look(&d, 1800, 5000), DRAIN_GOES_ON);
    assert_int_equal(drain_stalled_ms(&d, 1800), 700);
    assert_int_equal(look(&d, 1900, 5000), DRAIN_STALLED);
    assert_int_equal(look(&d, 1950, 5001), DRAIN_GOES_ON);
    assert_int_equal(drain_stalled_ms(&d, 1950), 0);
}

static void who_is_not_waited_for_does_not_stall(void **state)
{
    struct drain d = {0};
    (void)state;
    drain_block(&d, 1000);
    assert_int_equal(look(&d, 1100, 10), DRAIN_GOES_ON);
    drain_unblock(&d, 1200);
    assert_int_equal(drain_stalled_ms(&d, 100000), 0);
    assert_int_equal(drain_judge(&d, &limits, 100000), DRAIN_GOES_ON);
    drain_block(&d, 100000);
    assert_int_equal(look(&d, 100700, 10), DRAIN_GOES_ON);
    assert_int_equal(look(&d, 100800, 10), DRAIN_STALLED);
}

/* A byte now and then keeps off the stall, not the average. */
static void who_trickles_is_too_slow(void **state)
{
    struct drain d = {0};
    uint64_t now_ms = 0, taken = 0;
    (void)state;
    drain_block(&d, now_ms);
    assert_int_equal(look(&d, now_ms, ++taken), DRAIN_GOES_ON);
    while (now_ms < 9900)
        assert_int_equal(look(&d, now_ms += 100, ++taken), DRAIN_GOES_ON);
    assert_int_equal(look(&d, now_ms += 100, ++taken), DRAIN_TOO_SLOW);
}

static void only_time_that_is_waited_counts(void **state)
{
    struct drain d = {0};
    uint64_t now_ms = 0, taken = 0;
    (void)state;
    for (int i = 0; i < 19; i++) { /* half of the time the origin is in the way */
        drain_block(&d, now_ms);
        assert_int_equal(look(&d, now_ms, taken), DRAIN_GOES_ON);
        assert_int_equal(look(&d, now_ms += 500, ++taken), DRAIN_GOES_ON);
        drain_unblock(&d, now_ms);
        now_ms += 500;
    }
    drain_block(&d, now_ms);
    assert_int_equal(look(&d, now_ms + 499, ++taken), DRAIN_GOES_ON);
    assert_int_equal(look(&d, now_ms + 500, ++taken), DRAIN_TOO_SLOW);
}

static void who_is_slow_goes_on(void **state)
{
    struct drain d = {0};
    uint64_t now_ms = 0, taken = 0;
    (void)state;
    drain_block(&d, now_ms);
    for (int i = 0; i < 1001; i++) /* the first one begins a window */
        assert_int_equal(look(&d, now_ms += 500, taken += 500), DRAIN_GOES_ON);
    /* a good window does not pay for the next one */
    for (int i = 0; i < 19; i++)
        assert_int_equal(look(&d, now_ms += 500, taken += 1), DRAIN_GOES_ON);
    enum drain_verdict last = DRAIN_GOES_ON;
    for (int i = 0; i < 2 && last == DRAIN_GOES_ON; i++)
        last = look(&d, now_ms += 10000, ++taken);
    assert_int_equal(last, DRAIN_TOO_SLOW);
}

static void without_a_minimum_any_rate_will_do(void **state)
{
    const struct drain_limits any = {.stall_ms = 800, .window_ms = 10};
    struct drain d = {0};
    (void)state;
    drain_block(&d, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        drain_look(&d, i * 700, i);
        assert_int_equal(drain_judge(&d, &any, i * 700), DRAIN_GOES_ON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_nothing_stalls), cmocka_unit_test(who_is_not_waited_for_does_not_stall),
        cmocka_unit_test(who_trickles_is_too_slow), cmocka_unit_test(only_time_that_is_waited_counts),
        cmocka_unit_test(who_is_slow_goes_on),      cmocka_unit_test(without_a_minimum_any_rate_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
