/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of ledger.h: what is counted comes out of the sum, under its own site, class and cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger.h"

static struct ledger_request request_of(unsigned site_id, enum cause cause, uint64_t first_byte_us)
{
    return (struct ledger_request){.site_id = site_id,
                                   .content_class = CLASS_SEGMENT,
                                   .cause = cause,
                                   .status = 200,
                                   .first_byte_us = first_byte_us};
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(content_class_name(CLASS_PLAYLIST), "playlist");
    assert_string_equal(content_class_name(CLASS_OTHER), "other");
    assert_string_equal(cause_name(CAUSE_HIT), "hit");
    assert_string_equal(cause_name(CAUSE_ERROR), "error");
    assert_string_equal(refusal_name(REFUSAL_UNKNOWN_HOST), "unknown_host");
    assert_int_equal(refusal_status(REFUSAL_UNKNOWN_HOST), 421);
    assert_int_equal(refusal_status(REFUSAL_NONE), 0);
}

static void test_sums_over_ledgers(void **state)
{
    struct ledger *ledgers[2] = {ledger_new(2), ledger_new(1)}; /* the sites grew in between */
    struct ledger_request r = request_of(1, CAUSE_HIT, 100);
    struct ledger_sum *sum;

    (void)state;
    ledger_request(ledgers[0], &r);
    ledger_request(ledgers[1], &r);
    r = request_of(2, CAUSE_MISS, 0);
    r.aborted = true;
    r.status = 404;
    ledger_request(ledgers[0], &r);
    ledger_sent(ledgers[0], 1, CLASS_SEGMENT, CAUSE_HIT, 1000);
    ledger_sent(ledgers[1], 1, CLASS_SEGMENT, CAUSE_HIT, 1);
    ledger_sent(ledgers[1], LEDGER_NO_SITE, CLASS_OTHER, CAUSE_REFUSED, 7);
    ledger_received(ledgers[0], 2, CLASS_PLAYLIST, CAUSE_ORPHAN, 500);

    sum = ledger_sum_new(ledgers, 2);
    assert_int_equal(sum->site_count, 3);
    assert_int_equal(sum->sites[1].cells[CLASS_SEGMENT][CAUSE_HIT].requests, 2);
    assert_int_equal(sum->sites[1].cells[CLASS_SEGMENT][CAUSE_HIT].sent_bytes, 1001);
    assert_int_equal(sum->sites[1].cells[CLASS_SEGMENT][CAUSE_HIT].received_bytes, 0);
    assert_int_equal(sum->sites[1].statuses[200], 2);
    assert_int_equal(sum->sites[1].aborted_requests, 0);
    assert_int_equal(sum->sites[2].cells[CLASS_SEGMENT][CAUSE_MISS].requests, 1);
    assert_int_equal(sum->sites[2].cells[CLASS_PLAYLIST][CAUSE_ORPHAN].received_bytes, 500);
    assert_int_equal(sum->sites[2].statuses[404], 1);
    assert_int_equal(sum->sites[2].aborted_requests, 1);
    assert_int_equal(sum->sites[LEDGER_NO_SITE].cells[CLASS_OTHER][CAUSE_REFUSED].sent_bytes, 7);
    ledger_sum_free(sum);
    ledger_free(ledgers[0]);
    ledger_free(ledgers[1]);
}

static void test_latency_buckets(void **state)
{
    static const uint64_t bounds_us[] = LEDGER_LATENCY_BOUNDS_US;
    struct ledger *l = ledger_new(0);
    struct ledger_request r = request_of(LEDGER_NO_SITE, CAUSE_HIT, 0);
    struct ledger_sum *sum;
    uint64_t sum_us = 0;

    (void)state;
    ledger_request(l, &r);
    for (int i = 0; i < LEDGER_LATENCY_BUCKETS - 1; i++) { /* a bound belongs to its own bucket */
        r.first_byte_us = bounds_us[i];
        ledger_request(l, &r);
        sum_us += bounds_us[i];
    }
    r.first_byte_us = bounds_us[LEDGER_LATENCY_BUCKETS - 2] + 1;
    ledger_request(l, &r);
    sum_us += r.first_byte_us;
    r.status = 0; /* no first byte: not in the histogram */
    ledger_request(l, &r);

    sum = ledger_sum_new(&l, 1);
    assert_int_equal(sum->latency_buckets[CAUSE_HIT][0], 2);
    for (int i = 1; i < LEDGER_LATENCY_BUCKETS; i++)
        assert_int_equal(sum->latency_buckets[CAUSE_HIT][i], 1);
    assert_int_equal(sum->latency_sum_us[CAUSE_HIT], sum_us);
    assert_int_equal(sum->latency_sum_us[CAUSE_MISS], 0);
    ledger_sum_free(sum);
    ledger_free(l);
}

static void test_statuses_and_refusals(void **state)
{
    struct ledger *l = ledger_new(1);
    struct ledger_request r = request_of(1, CAUSE_REFUSED, 5);
    struct ledger_sum *sum;

    (void)state;
    r.refusal = REFUSAL_COUNTRY_DENIED;
    r.status = refusal_status(r.refusal);
    ledger_request(l, &r);
    r = request_of(1, CAUSE_MISS, 5);
    r.status = 999; /* an origin's own invention */
    ledger_request(l, &r);

    sum = ledger_sum_new(&l, 1);
    assert_int_equal(sum->refusals[REFUSAL_COUNTRY_DENIED], 1);
    assert_int_equal(sum->refusals[REFUSAL_NONE], 0);
    assert_int_equal(sum->sites[1].statuses[403], 1);
    assert_int_equal(sum->sites[1].statuses[0], 1);
    ledger_sum_free(sum);
    ledger_free(l);
}

static void test_flights(void **state)
{
    struct ledger *ledgers[2] = {ledger_new(0), ledger_new(0)};
    struct ledger_sum *sum;

    (void)state;
    counter_add(&ledger_flights(ledgers[0])->started, 3);
    counter_add(&ledger_flights(ledgers[0])->ended, 1);
    counter_add(&ledger_flights(ledgers[1])->readers_joined, 9); /* readers are on any worker */
    counter_add(&ledger_flights(ledgers[0])->readers_left, 4);
    counter_add(&ledger_flights(ledgers[1])->coalesced, 8);
    counter_add(&ledger_flights(ledgers[1])->failed, 2);
    counter_add(&ledger_flights(ledgers[1])->dropped, 5);
    counter_add(&ledger_flights(ledgers[1])->not_kept, 6);

    sum = ledger_sum_new(ledgers, 2);
    assert_int_equal(sum->flights_started, 3);
    assert_int_equal(sum->flights_ended, 1);
    assert_int_equal(sum->readers_joined, 9);
    assert_int_equal(sum->readers_left, 4);
    assert_int_equal(sum->coalesced, 8);
    assert_int_equal(sum->flights_failed, 2);
    assert_int_equal(sum->flights_dropped, 5);
    assert_int_equal(sum->flights_not_kept, 6);
    ledger_sum_free(sum);
    ledger_free(ledgers[0]);
    ledger_free(ledgers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),           cmocka_unit_test(test_sums_over_ledgers),
        cmocka_unit_test(test_latency_buckets), cmocka_unit_test(test_statuses_and_refusals),
        cmocka_unit_test(test_flights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
