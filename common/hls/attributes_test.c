/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute lists and values, by section of RFC 8216bis. */
#include "hls/attributes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"

static void assert_slice(struct slice s, const char *wanted)
{
    if (!slice_equal(s, slice_of(wanted)))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), wanted);
}

/* Wanted: name, value, name, value, ... */
static void assert_list(const char *text, const char *const wanted[], size_t count)
{
    struct slice rest = slice_of(text);
    struct hls_attribute a;

    for (size_t i = 0; i < count; i += 2) {
        assert_int_equal(hls_attributes_next(&rest, &a), HLS_ATTRIBUTE_ONE);
        assert_slice(a.name, wanted[i]);
        assert_slice(a.value, wanted[i + 1]);
    }
    assert_int_equal(hls_attributes_next(&rest, &a), HLS_ATTRIBUTE_END);
}

#define ASSERT_LIST(text, ...)                              \
    do {                                                    \
        static const char *const wanted_[] = {__VA_ARGS__}; \
        assert_list(text, wanted_, ARRAY_COUNT(wanted_));   \
    } while (0)

static void test_section_4_2_lists(void **state)
{
    (void)state;
    ASSERT_LIST("BANDWIDTH=1280000,CODECS=\"avc1.4d401f,mp4a.40.2\",RESOLUTION=1280x720", "BANDWIDTH",
                "1280000", "CODECS", "avc1.4d401f,mp4a.40.2", "RESOLUTION", "1280x720");
    ASSERT_LIST("URI=\"a=b\",X=\"\"", "URI", "a=b", "X", "");
    assert_list("", NULL, 0);
}

static void test_forgiven(void **state)
{
    (void)state;
    ASSERT_LIST(" A = 1 , B = \"2\" ,", "A", "1", "B", "2");
    ASSERT_LIST("A=1,,B=2", "A", "1", "B", "2");
    ASSERT_LIST("A=,b=2", "A", "", "b", "2");
}

static void test_bad_lists(void **state)
{
    static const char *const bad[] = {"A",     "=1",      "A\"=1", "A=\"1", "A=\"1\"2", "A=\"1\"\"2\"",
                                      "A B=1", "\"A\"=1", "A,B=1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct slice rest = slice_of(bad[i]);
        struct hls_attribute a;
        if (hls_attributes_next(&rest, &a) != HLS_ATTRIBUTE_BAD)
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_quotes_are_told(void **state)
{
    struct slice rest = SLICE_LITERAL("A=\"YES\",B=YES");
    struct hls_attribute a;

    (void)state;
    assert_int_equal(hls_attributes_next(&rest, &a), HLS_ATTRIBUTE_ONE);
    assert_true(a.quoted);
    assert_int_equal(hls_attributes_next(&rest, &a), HLS_ATTRIBUTE_ONE);
    assert_false(a.quoted);
}

static int64_t duration(const char *text)
{
    int64_t us = -1;

    hls_parse_duration_us(slice_of(text), &us);
    return us;
}

static void test_section_4_2_decimals(void **state)
{
    (void)state;
    assert_int_equal(duration("9.009"), 9009000);
    assert_int_equal(duration("10"), 10000000);
    assert_int_equal(duration("0.000001"), 1);
    assert_int_equal(duration("3.00300399"), 3003003);
    assert_int_equal(duration("10."), 10000000);
    assert_int_equal(duration(".5"), 500000);
    assert_int_equal(duration("10000000"), 10000000000000);
    assert_int_equal(duration("10000001"), -1);
    assert_int_equal(duration("18446744073709551616"), -1);
    assert_int_equal(duration(""), -1);
    assert_int_equal(duration("."), -1);
    assert_int_equal(duration("-1"), -1);
    assert_int_equal(duration("1.2.3"), -1);
    assert_int_equal(duration("1.0000000x"), -1);
    assert_int_equal(duration("1e3"), -1);
    assert_int_equal(duration("+1"), -1);
}

static void test_section_4_2_resolution(void **state)
{
    uint32_t width = 0, height = 0;

    (void)state;
    assert_true(hls_parse_resolution(slice_of("1920x1080"), &width, &height));
    assert_int_equal(width, 1920);
    assert_int_equal(height, 1080);
    assert_false(hls_parse_resolution(slice_of("1920"), &width, &height));
    assert_false(hls_parse_resolution(slice_of("x1080"), &width, &height));
    assert_false(hls_parse_resolution(slice_of("1920x"), &width, &height));
    assert_false(hls_parse_resolution(slice_of("4294967296x1"), &width, &height));
    assert_false(hls_parse_resolution(slice_of("1920x1080x2"), &width, &height));
}

static void test_section_4_2_hexadecimal(void **state)
{
    uint8_t got[16];
    static const uint8_t small[16] = {[14] = 0x01, [15] = 0xaf};
    static const uint8_t full[16] = {0x99, 0xb7, 0x4f, 0x7e, 0x20, 0x40, 0x06, 0xf2,
                                     0x0a, 0xb4, 0x0e, 0x18, 0xe3, 0x1d, 0x52, 0xc7};

    (void)state;
    assert_true(hls_parse_hex128(slice_of("0x1aF"), got));
    assert_memory_equal(got, small, 16);
    assert_true(hls_parse_hex128(slice_of("0X99b74f7e204006f20ab40e18e31d52c7"), got));
    assert_memory_equal(got, full, 16);
    assert_false(hls_parse_hex128(slice_of("0x"), got));
    assert_false(hls_parse_hex128(slice_of("1234"), got));
    assert_false(hls_parse_hex128(slice_of("0x12g4"), got));
    assert_false(hls_parse_hex128(slice_of("0x199b74f7e204006f20ab40e18e31d52c7"), got));
    assert_memory_equal(got, full, 16);
}

static int64_t datetime(const char *text)
{
    int64_t ms = -1;

    hls_parse_datetime_ms(slice_of(text), &ms);
    return ms;
}

static void test_program_date_times(void **state)
{
    (void)state;
    assert_int_equal(datetime("1994-11-06T08:49:37Z"), 784111777000);
    assert_int_equal(datetime("1994-11-06T08:49:37.125Z"), 784111777125);
    assert_int_equal(datetime("1994-11-06T08:49:37.1259999Z"), 784111777125);
    assert_int_equal(datetime("1994-11-06T10:19:37+01:30"), 784111777000);
    assert_int_equal(datetime("1994-11-06T00:49:37.5-0800"), 784111777500);
    assert_int_equal(datetime("1994-11-06T10:49:37+02"), 784111777000);
    assert_int_equal(datetime("1994-11-06T08:49:37"), 784111777000);
    assert_int_equal(datetime("1994-11-06"), -1);
    assert_int_equal(datetime("1994-11-06T08:49"), -1);
    assert_int_equal(datetime("1994-02-30T08:49:37Z"), -1);
    assert_int_equal(datetime("1994-13-01T08:49:37Z"), -1);
    assert_int_equal(datetime("1994-11-06T24:49:37Z"), -1);
    assert_int_equal(datetime("1994-11-06T08:49:37ZZ"), -1);
    assert_int_equal(datetime("1994-11-06T08:49:37+1"), -1);
    assert_int_equal(datetime("1994-11-06T08:49:37+01:0"), -1);
    assert_int_equal(datetime("1994-11-06T08:49:37.-1Z"), -1);
    assert_int_equal(datetime("1994\r11-06T08:49:37Z"), -1);
    assert_int_equal(datetime(""), -1);
}

static void test_section_4_4_4_2_byteranges(void **state)
{
    struct hls_byterange r = {0};

    (void)state;
    assert_true(hls_parse_byterange(slice_of("75232@1000"), &r));
    assert_true(r.present && r.has_offset);
    assert_int_equal(r.length, 75232);
    assert_int_equal(r.offset, 1000);
    assert_true(hls_parse_byterange(slice_of("82112"), &r));
    assert_false(r.has_offset);
    assert_int_equal(r.offset, 0);
    assert_false(hls_parse_byterange(slice_of(""), &r));
    assert_false(hls_parse_byterange(slice_of("@5"), &r));
    assert_false(hls_parse_byterange(slice_of("5@"), &r));
    assert_false(hls_parse_byterange(slice_of("-5@1"), &r));
    assert_false(hls_parse_byterange(slice_of("18446744073709551615@1"), &r));
    assert_false(hls_parse_byterange(slice_of("18446744073709551615"), &r));
    assert_int_equal(r.length, 82112);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_4_2_lists),
        cmocka_unit_test(test_forgiven),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_quotes_are_told),
        cmocka_unit_test(test_section_4_2_decimals),
        cmocka_unit_test(test_section_4_2_resolution),
        cmocka_unit_test(test_section_4_2_hexadecimal),
        cmocka_unit_test(test_program_date_times),
        cmocka_unit_test(test_section_4_4_4_2_byteranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
