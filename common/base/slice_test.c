/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/slice.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/check.h"
#include "base/slice.h"

#define S(lit) SLICE_LITERAL(lit)

static void assert_slice(struct slice s, const char *expected)
{
    assert_true(slice_equal(s, slice_of(expected)));
}

static void test_compare(void **state)
{
    (void)state;
    assert_true(slice_equal(S("abc"), S("abc")));
    assert_false(slice_equal(S("abc"), S("abC")));
    assert_false(slice_equal(S("abc"), S("ab")));
    assert_true(slice_equal(slice_make(NULL, 0), S("")));
    assert_true(slice_equal_nocase(S("Content-TYPE"), S("content-type")));
    assert_false(slice_equal_nocase(S("a@"), S("a`"))); /* folding is for letters only */
    assert_false(slice_equal_nocase(S("[z"), S("{z")));
    assert_false(slice_equal_nocase(S("\xc3\x84"), S("\xc3\xa4")));
    assert_true(slice_starts_with(S("seg1.ts"), S("seg")));
    assert_true(slice_starts_with(S("seg"), S("")));
    assert_false(slice_starts_with(S("se"), S("seg")));
    assert_true(slice_ends_with(S("seg1.ts"), S(".ts")));
    assert_true(slice_ends_with(S("ts"), S("")));
    assert_false(slice_ends_with(S("ts"), S(".ts")));
}

static void test_cut(void **state)
{
    (void)state;
    assert_slice(slice_skip(S("abc"), 1), "bc");
    assert_slice(slice_skip(S("abc"), 3), "");
    assert_slice(slice_skip(S("abc"), 99), "");
    assert_slice(slice_trim(S(" \t a b \t")), "a b");
    assert_slice(slice_trim(S(" \t ")), "");
    assert_slice(slice_trim(S("\na\r")), "\na\r"); /* OWS is no line end */
    assert_int_equal(slice_find(S("a:b:c"), ':'), 1);
    assert_int_equal(slice_find(S("abc"), ':'), 3);
    assert_int_equal(slice_find(slice_make(NULL, 0), ':'), 0);
}

static void test_split(void **state)
{
    static const struct {
        const char *text, *parts; /* each part with a '|' behind it */
    } cases[] = {
        {"a,b,c", "a|b|c|"}, {"abc", "abc|"}, {"", "|"}, {"a,", "a||"}, {",a", "|a|"}, {",,", "|||"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice rest = slice_of(cases[i].text), part;
        char parts[32] = "";
        size_t size = 0;
        while (slice_split(&rest, ',', &part) && size < sizeof(parts))
            size += (size_t)snprintf(parts + size, sizeof(parts) - size, "%.*s|", SLICE_ARG(part));
        assert_string_equal(parts, cases[i].parts);
        assert_null(rest.data);
    }
}

static void test_number(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "/", ":", "99999999999999999999"};
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(slice_to_u64(slice_of(bad[i]), &value));
    assert_int_equal(value, 7); /* untouched on failure */
    assert_true(slice_to_u64(S("0"), &value));
    assert_int_equal(value, 0);
    assert_true(slice_to_u64(S("007"), &value));
    assert_int_equal(value, 7);
    assert_true(slice_to_u64(S("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
}

static void test_utf8(void **state)
{
    static const struct {
        struct slice text;
        size_t size;
    } cases[] = {
        {S("a"), 1},
        {S("\x7f"), 1},
        {S("\0"), 1},
        {S("\xc3\xa4x"), 2},
        {S("\xe2\x82\xac"), 3},
        {S("\xf0\x9f\x8e\xac"), 4},
        {S("\xf4\x8f\xbf\xbf"), 4},
        {S(""), 0},
        {S("\x80"), 0},
        {S("\xc3"), 0},
        {S("\xe2\x82x"), 0},
        {S("\xc0\xaf"), 0},
        {S("\xe0\x80\xaf"), 0},
        {S("\xed\xa0\x80"), 0},
        {S("\xf0\x8f\x80\x80"), 0},
        {S("\xf4\x90\x80\x80"), 0},
        {S("\xff"), 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(slice_utf8_sequence(cases[i].text), cases[i].size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_cut),  cmocka_unit_test(test_split),
        cmocka_unit_test(test_number),  cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
