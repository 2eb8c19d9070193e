/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/json.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/check.h"
#include "base/json.h"

static void assert_content(const struct buf *b, const char *expected)
{
    assert_int_equal(b->size, strlen(expected));
    assert_memory_equal(b->data, expected, b->size);
}

static void test_document(void **state)
{
    struct json j;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    json_init(&j, &b);
    json_open(&j, NULL, '{');
    json_u64(&j, "u", UINT64_MAX);
    json_i64(&j, "i", INT64_MIN);
    json_open(&j, "empty", '[');
    json_close(&j, ']');
    json_open(&j, "list", '[');
    json_text(&j, NULL, SLICE_LITERAL("a"));
    json_open(&j, NULL, '{');
    json_close(&j, '}');
    json_bool(&j, NULL, true);
    json_bool(&j, NULL, false);
    json_close(&j, ']');
    json_null(&j, "n\"");
    json_double(&j, "half", 0.5);
    json_double(&j, "place", 13.4);
    json_double(&j, "nan", NAN);
    json_double(&j, "endless", -INFINITY);
    json_close(&j, '}');
    assert_content(&b, "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"empty\":[],"
                       "\"list\":[\"a\",{},true,false],\"n\\\"\":null,\"half\":0.5,\"place\":13.4,"
                       "\"nan\":null,\"endless\":null}");
    buf_fini(&b);
}

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static void test_text(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {SLICE_LITERAL(""), "\"\""},
        {SLICE_LITERAL("a/b 'c'"), "\"a/b 'c'\""},
        {SLICE_LITERAL("\"\\\n\r\t\b\x1f"), "\"\\\"\\\\\\n\\r\\t\\u0008\\u001f\""},
        {SLICE_LITERAL("a\0b"), "\"a\\u0000b\""},
        {SLICE_LITERAL("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac\""},
        {SLICE_LITERAL("\x80x\xff"), "\"" BAD "x" BAD "\""},
        {SLICE_LITERAL("\xc3"), "\"" BAD "\""},                         /* cut off */
        {SLICE_LITERAL("\xe2\x82"), "\"" BAD BAD "\""},                 /* cut off */
        {SLICE_LITERAL("\xc3\"x"), "\"" BAD "\\\"x\""},                 /* the quote is not swallowed */
        {SLICE_LITERAL("\xc0\xaf"), "\"" BAD BAD "\""},                 /* overlong */
        {SLICE_LITERAL("\xe0\x80\xaf"), "\"" BAD BAD BAD "\""},         /* overlong */
        {SLICE_LITERAL("\xed\xa0\x80"), "\"" BAD BAD BAD "\""},         /* a surrogate */
        {SLICE_LITERAL("\xf4\x90\x80\x80"), "\"" BAD BAD BAD BAD "\""}, /* beyond U+10FFFF */
        {SLICE_LITERAL("\xf0\x8f\x80\x80"), "\"" BAD BAD BAD BAD "\""}, /* overlong */
    };
    struct json j;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        buf_clear(&b);
        json_init(&j, &b);
        json_text(&j, NULL, cases[i].in);
        assert_content(&b, cases[i].out);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
