/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of pace.h.
 */
#include "pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct config_pacing policy = {.multiple = 3, .start_ms = 2000, .cmcd = true};

static void test_a_multiple_of_the_bitrate(void **state)
{
    struct pace pace = pace_choose(&policy, CLASS_SEGMENT, 4000000, 0);

    (void)state;
    assert_int_equal(pace.rate_bytes_per_s, 1500000);
    assert_int_equal(pace.start_bytes, 1000000);
}

static void test_what_is_not_known_is_not_paced(void **state)
{
    struct config_pacing off = {.multiple = 0, .start_ms = 2000};

    (void)state;
    assert_int_equal(pace_choose(&policy, CLASS_SEGMENT, 0, 0).rate_bytes_per_s, 0);
    assert_int_equal(pace_choose(&off, CLASS_SEGMENT, 4000000, 0).rate_bytes_per_s, 0);
}

static void test_only_media_is_paced(void **state)
{
    (void)state;
    for (int c = 0; c < CLASS_COUNT; c++) {
        bool is_media = c == CLASS_SEGMENT || c == CLASS_PART;

        assert_int_equal(pace_choose(&policy, (enum content_class)c, 4000000, 5000).rate_bytes_per_s > 0,
                         is_media);
    }
}

static void test_the_player_s_own_wish_goes_first(void **state)
{
    struct config_pacing deaf = policy;
    struct pace pace = pace_choose(&policy, CLASS_SEGMENT, 4000000, 8000);

    (void)state;
    assert_int_equal(pace.rate_bytes_per_s, 1000000);
    assert_int_equal(pace_choose(&policy, CLASS_SEGMENT, 0, 8000).start_bytes, 2000000);
    deaf.cmcd = false;
    assert_int_equal(pace_choose(&deaf, CLASS_SEGMENT, 4000000, 8000).rate_bytes_per_s, 1500000);
    assert_int_equal(pace_choose(&policy, CLASS_SEGMENT, 4000000, 1).rate_bytes_per_s, 16384);
    assert_int_equal(pace_choose(&policy, CLASS_SEGMENT, 4000000, UINT64_MAX).rate_bytes_per_s, 0);
}

static void test_the_smaller_pace(void **state)
{
    (void)state;
    assert_int_equal(pace_min(0, 0), 0);
    assert_int_equal(pace_min(5, 0), 5);
    assert_int_equal(pace_min(0, 5), 5);
    assert_int_equal(pace_min(4, 5), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_multiple_of_the_bitrate),
        cmocka_unit_test(test_what_is_not_known_is_not_paced),
        cmocka_unit_test(test_only_media_is_paced),
        cmocka_unit_test(test_the_player_s_own_wish_goes_first),
        cmocka_unit_test(test_the_smaller_pace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
