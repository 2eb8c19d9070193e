/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP dates: the three forms, their oddities, and libc's calendar as a second opinion. */
#include "http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "base/check.h"

#define NOV_1994 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, the RFC's example */
#define NOW      1750000000

static int64_t day_s(int year, int month, int day)
{
    struct http_civil civil = {.year = year, .month = month, .day = day};
    int64_t epoch_s = HTTP_DATE_NONE;

    http_date_from_civil(&civil, &epoch_s);
    return epoch_s;
}

static int64_t parse(const char *text)
{
    int64_t epoch_s = HTTP_DATE_NONE;

    http_date_parse(slice_of(text), NOW, &epoch_s);
    return epoch_s;
}

static void test_format_is_imf_fixdate(void **state)
{
    char text[HTTP_DATE_SIZE];

    (void)state;
    http_date_format(NOV_1994, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date_format(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(-1, text);
    assert_string_equal(text, "Wed, 31 Dec 1969 23:59:59 GMT");
    http_date_format(951782400, text);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    http_date_format(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    http_date_format(INT64_MIN, text);
    assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void test_format_agrees_with_libc_and_reads_back(void **state)
{
    (void)state;
    for (int64_t epoch_s = -5000000000; epoch_s < 20000000000; epoch_s += INT64_C(86399) * 97) {
        char ours[HTTP_DATE_SIZE], theirs[HTTP_DATE_SIZE];
        time_t t = (time_t)epoch_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        http_date_format(epoch_s, ours);
        assert_string_equal(ours, theirs);
        assert_int_equal(parse(ours), epoch_s);
    }
}

static void test_section_5_6_7_three_forms(void **state)
{
    (void)state;
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), NOV_1994);
    assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), NOV_1994);
    assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), NOV_1994);
    assert_int_equal(parse("Sun Nov 16 08:49:37 1994"), NOV_1994 + 10 * 86400);
    assert_int_equal(parse("  Sun, 06 Nov 1994 08:49:37 GMT\t"), NOV_1994);
}

static void test_section_5_6_7_two_digit_years(void **state)
{
    int64_t in_2025 = NOW, epoch_s;
    int64_t in_1999 = day_s(1999, 6, 1);
    int64_t in_2099 = day_s(2099, 6, 1);

    (void)state;
    assert_true(http_date_parse(slice_of("Tuesday, 01-Jan-75 00:00:00 GMT"), in_2025, &epoch_s));
    assert_int_equal(epoch_s, day_s(2075, 1, 1));
    assert_true(http_date_parse(slice_of("Tuesday, 01-Jan-76 00:00:00 GMT"), in_2025, &epoch_s));
    assert_int_equal(epoch_s, day_s(1976, 1, 1));
    assert_true(http_date_parse(slice_of("Tuesday, 01-Jan-05 00:00:00 GMT"), in_1999, &epoch_s));
    assert_int_equal(epoch_s, day_s(2005, 1, 1));
    assert_true(http_date_parse(slice_of("Tuesday, 01-Jan-05 00:00:00 GMT"), in_2099, &epoch_s));
    assert_int_equal(epoch_s, day_s(2105, 1, 1));
}

static void test_caches_ignore_case_and_take_utc(void **state)
{
    (void)state;
    assert_int_equal(parse("sun, 06 nOV 1994 08:49:37 gmt"), NOV_1994);
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 UTC"), NOV_1994);
    assert_int_equal(parse("Mon, 06 Nov 1994 08:49:37 GMT"), NOV_1994);
}

static void test_leap_days_and_seconds(void **state)
{
    (void)state;
    assert_int_equal(parse("Tue, 29 Feb 2000 00:00:00 GMT"), 951782400);
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:60 GMT"), NOV_1994 + 22);
    assert_int_equal(parse("Tue, 29 Feb 2100 00:00:00 GMT"), HTTP_DATE_NONE);
    assert_int_equal(parse("Tue, 29 Feb 2023 00:00:00 GMT"), HTTP_DATE_NONE);
}

static void test_civil_there_and_back(void **state)
{
    struct http_civil c = http_date_civil(-1);
    int64_t epoch_s;

    (void)state;
    assert_int_equal(c.year, 1969);
    assert_int_equal(c.second, 59);
    assert_true(http_date_from_civil(&c, &epoch_s));
    assert_int_equal(epoch_s, -1);
    assert_int_equal(day_s(1970, 0, 1), HTTP_DATE_NONE);
    assert_int_equal(day_s(1970, 13, 1), HTTP_DATE_NONE);
    assert_int_equal(day_s(1970, 4, 31), HTTP_DATE_NONE);
    c.hour = -1;
    assert_false(http_date_from_civil(&c, &epoch_s));
}

static void test_what_is_no_date(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        ",",
        "Sun",
        "Sun,",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 ",
        "Sun, 06 Nov 1994 08:49:37 PST",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMTX",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Mon, 07 Nov 1994 08:49:37 GMT",
        "Sund, 06-Nov-94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (parse(bad[i]) != HTTP_DATE_NONE)
            fail_msg("taken for a date: %s", bad[i]);
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), NOV_1994);
}

static void test_absent_field_is_no_date(void **state)
{
    int64_t epoch_s = 7;

    (void)state;
    assert_false(http_date_parse((struct slice){0}, NOW, &epoch_s));
    assert_int_equal(epoch_s, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_is_imf_fixdate),
        cmocka_unit_test(test_format_agrees_with_libc_and_reads_back),
        cmocka_unit_test(test_section_5_6_7_three_forms),
        cmocka_unit_test(test_section_5_6_7_two_digit_years),
        cmocka_unit_test(test_caches_ignore_case_and_take_utc),
        cmocka_unit_test(test_leap_days_and_seconds),
        cmocka_unit_test(test_civil_there_and_back),
        cmocka_unit_test(test_what_is_no_date),
        cmocka_unit_test(test_absent_field_is_no_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
