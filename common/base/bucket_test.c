/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/bucket.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

#define SECOND 1000000000ull
#define START  (77 * SECOND)

static unsigned take_many(struct bucket *b, unsigned count, uint64_t now_ns)
{
    unsigned taken = 0;

    while (count-- > 0)
        taken += bucket_take(b, 10, 50, now_ns) == 0;
    return taken;
}

static void test_a_burst_then_the_rate(void **state)
{
    struct bucket b = {0};

    (void)state;
    assert_true(bucket_is_full(&b, START));
    assert_int_equal(take_many(&b, 1000, START), 50);
    assert_false(bucket_is_full(&b, START));
    for (uint64_t now = START + SECOND; now < START + 20 * SECOND; now += SECOND)
        assert_int_equal(take_many(&b, 1000, now), 10);
}

static void test_it_fills_up_again_and_no_further(void **state)
{
    struct bucket b = {0};

    (void)state;
    take_many(&b, 50, START);
    assert_false(bucket_is_full(&b, START + 5 * SECOND - 1));
    assert_true(bucket_is_full(&b, START + 5 * SECOND));
    assert_int_equal(take_many(&b, 1000, START + 1000 * SECOND), 50);
}

static void test_the_wait_is_what_it_takes(void **state)
{
    struct bucket b = {0};
    uint64_t wait_ns;

    (void)state;
    take_many(&b, 50, START);
    wait_ns = bucket_take(&b, 10, 50, START);
    assert_int_equal(wait_ns, SECOND / 10);
    assert_int_equal(bucket_take(&b, 10, 50, START + wait_ns - 1), 1);
    assert_int_equal(bucket_take(&b, 10, 50, START + wait_ns), 0);
}

static void test_extremes(void **state)
{
    struct bucket slow = {0}, fast = {0};

    (void)state;
    assert_int_equal(bucket_take(&slow, 1, 1, START), 0);
    assert_int_equal(bucket_take(&slow, 1, 1, START), SECOND);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bucket_take(&fast, BUCKET_RATE_MAX, UINT64_MAX, START), 0);
}

static void test_a_shared_one_is_the_same(void **state)
{
    _Atomic uint64_t shared = 0;
    struct bucket b = {0};

    (void)state;
    for (uint64_t i = 0; i < 500; i++) {
        uint64_t now_ns = START + i * i * 1000003;

        assert_int_equal(bucket_take_shared(&shared, 100, 7, now_ns), bucket_take(&b, 100, 7, now_ns));
        assert_int_equal(shared, b.full_at_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_then_the_rate),
        cmocka_unit_test(test_it_fills_up_again_and_no_further),
        cmocka_unit_test(test_the_wait_is_what_it_takes),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_a_shared_one_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
