/* SPDX-License-Identifier: Apache-2.0 */
/* Byte ranges: what is obeyed, what is ignored, and what is not satisfiable. */
#include "http/range.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"

static struct range_spec specs[HTTP_RANGE_MAX];

/* How many ranges are to be obeyed; 0 for a field to ignore. */
static size_t parse(const char *text)
{
    size_t count = 0;

    return http_range_parse(slice_of(text), specs, HTTP_RANGE_MAX, &count) == RANGE_OK ? count : 0;
}

static void assert_resolves(const char *text, uint64_t total_size, uint64_t first, uint64_t last)
{
    uint64_t got_first, got_last;

    assert_int_equal(parse(text), 1);
    assert_true(http_range_resolve(&specs[0], total_size, &got_first, &got_last));
    assert_int_equal(got_first, first);
    assert_int_equal(got_last, last);
}

static void assert_unsatisfiable(const char *text, uint64_t total_size)
{
    uint64_t first = 7, last = 7;

    assert_int_equal(parse(text), 1);
    assert_false(http_range_resolve(&specs[0], total_size, &first, &last));
    assert_int_equal(first, 7);
    assert_int_equal(last, 7);
}

static void test_section_14_1_2_single_ranges(void **state)
{
    (void)state;
    assert_resolves("bytes=0-499", 10000, 0, 499);
    assert_resolves("bytes=500-999", 10000, 500, 999);
    assert_resolves("bytes=-500", 10000, 9500, 9999);
    assert_resolves("bytes=9500-", 10000, 9500, 9999);
    assert_resolves("bytes=0-0", 10000, 0, 0);
    assert_resolves("bytes=-1", 10000, 9999, 9999);
    assert_resolves("BYTES=0-1", 10000, 0, 1);
    assert_resolves("bytes= ,0-1, ,", 10000, 0, 1);
}

static void test_section_14_1_2_ends_beyond_the_end(void **state)
{
    (void)state;
    assert_resolves("bytes=0-", 1, 0, 0);
    assert_resolves("bytes=5-99999", 10, 5, 9);
    assert_resolves("bytes=5-18446744073709551615", 10, 5, 9);
    assert_resolves("bytes=5-99999999999999999999999999", 10, 5, 9);
    assert_resolves("bytes=-20", 10, 0, 9);
    assert_resolves("bytes=-99999999999999999999999999", 10, 0, 9);
}

static void test_section_14_1_2_unsatisfiable(void **state)
{
    (void)state;
    assert_unsatisfiable("bytes=10-", 10);
    assert_unsatisfiable("bytes=10-20", 10);
    assert_unsatisfiable("bytes=99999999999999999999999999-", 10);
    assert_unsatisfiable("bytes=-0", 10);
    assert_unsatisfiable("bytes=0-", 0);
    assert_unsatisfiable("bytes=-5", 0);
}

static void test_section_14_1_2_several(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=0-499 ,\t1000-1499, -200"), 3);
    assert_int_equal(specs[1].first, 1000);
    assert_int_equal(specs[1].last, 1499);
    assert_true(specs[2].suffix);
    assert_int_equal(parse("bytes=500-600,0-499"), 2);
    assert_int_equal(
        parse("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
              "30-30"),
        16);
}

static void test_section_14_2_attacks_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(
        parse("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
              "30-30,32-32"),
        0);
    assert_int_equal(parse("bytes=0-,0-"), 0);
    assert_int_equal(parse("bytes=0-,5-10"), 0);
    assert_int_equal(parse("bytes=0-100,100-200"), 0);
    assert_int_equal(parse("bytes=-1,-2"), 0);
    assert_int_equal(parse("bytes=0-,-1"), 0);
    assert_int_equal(parse("bytes=0-0,-1"), 2);
}

static void test_malformed_is_ignored(void **state)
{
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes=",
                                      "bytes=,",
                                      "bytes=-",
                                      "bytes=--1",
                                      "bytes=a-b",
                                      "bytes=1",
                                      "bytes=5-4",
                                      "bytes=1-2-3",
                                      "bytes=1 - 2",
                                      "bytes=+1-2",
                                      "bytes=0x1-",
                                      "bytes:0-1",
                                      "items=0-1",
                                      "bytes =0-1",
                                      "byte=0-1",
                                      "bytess=0-1",
                                      "bytes=0-1;2-3",
                                      "=0-1",
                                      "bytes=0-1,x",
                                      "bytes=0-1.5",
                                      "bytes=0-1,4-3",
                                      "bytes=\"0\"-\"1\""};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (parse(bad[i]) > 0)
            fail_msg("obeyed: %s", bad[i]);
}

static void test_absent_and_narrow_callers(void **state)
{
    struct range_spec spec;
    size_t count = 7;

    (void)state;
    assert_int_equal(http_range_parse((struct slice){0}, &spec, 1, &count), RANGE_NONE);
    assert_int_equal(http_range_parse(slice_of("bytes=0-1,3-4"), &spec, 1, &count), RANGE_NONE);
    assert_int_equal(http_range_parse(slice_of("bytes=0-1"), &spec, 0, &count), RANGE_NONE);
    assert_int_equal(count, 7);
}

static void assert_content_range_round_trip(const char *text)
{
    char again[HTTP_CONTENT_RANGE_SIZE];
    struct content_range r;

    assert_true(http_content_range_parse(slice_of(text), &r));
    http_content_range_format(&r, again);
    assert_string_equal(again, text);
}

static void test_section_14_4_content_range(void **state)
{
    struct content_range r;

    (void)state;
    assert_content_range_round_trip("bytes 42-1233/1234");
    assert_content_range_round_trip("bytes 42-1233/*");
    assert_content_range_round_trip("bytes */1234");
    assert_content_range_round_trip("bytes */0");
    assert_content_range_round_trip("bytes 18446744073709551612-18446744073709551613/18446744073709551614");
    assert_true(http_content_range_parse(slice_of(" Bytes 0-1/2\t"), &r));
    assert_int_equal(r.total, 2);
    assert_true(http_content_range_parse(slice_of("bytes 0-1/*"), &r));
    assert_true(r.total == HTTP_RANGE_UNKNOWN && !r.unsatisfied);
}

static void test_section_14_4_bad_content_range(void **state)
{
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes ",
                                      "bytes */*",
                                      "bytes 0-1",
                                      "bytes 0-1/",
                                      "bytes /5",
                                      "bytes 0-/5",
                                      "bytes -1/5",
                                      "bytes 1-0/5",
                                      "bytes 0-5/5",
                                      "bytes 0-1/x",
                                      "bytes 0-1/5/6",
                                      "bytes 0-1/18446744073709551615",
                                      "bytes 0-1/18446744073709551616",
                                      "bytes 0-18446744073709551615/*",
                                      "bytes=0-1/5",
                                      "items 0-1/5",
                                      "0-1/5"};
    struct content_range r = {.total = 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (http_content_range_parse(slice_of(bad[i]), &r))
            fail_msg("%s", bad[i]);
    assert_false(http_content_range_parse((struct slice){0}, &r));
    assert_int_equal(r.total, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_14_1_2_single_ranges),
        cmocka_unit_test(test_section_14_1_2_ends_beyond_the_end),
        cmocka_unit_test(test_section_14_1_2_unsatisfiable),
        cmocka_unit_test(test_section_14_1_2_several),
        cmocka_unit_test(test_section_14_2_attacks_are_ignored),
        cmocka_unit_test(test_malformed_is_ignored),
        cmocka_unit_test(test_absent_and_narrow_callers),
        cmocka_unit_test(test_section_14_4_content_range),
        cmocka_unit_test(test_section_14_4_bad_content_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
