/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/buf.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static void assert_content(const struct buf *b, const char *expected)
{
    assert_int_equal(b->size, strlen(expected));
    assert_memory_equal(buf_slice(b).data, expected, b->size);
}

static void test_append(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_slice(&b).size, 0);
    assert_non_null(buf_slice(&b).data);
    assert_true(buf_append(&b, NULL, 0));
    assert_true(buf_append_text(&b, "ab"));
    assert_true(buf_append_char(&b, 'c'));
    assert_true(buf_append_u64(&b, 0));
    assert_true(buf_append_u64(&b, UINT64_MAX));
    assert_true(buf_append_slice(&b, SLICE_LITERAL("-")));
    assert_true(buf_printf(&b, "%d/%s", -5, "x"));
    assert_content(&b, "abc018446744073709551615--5/x");
    buf_consume(&b, 3);
    assert_content(&b, "018446744073709551615--5/x");
    buf_consume(&b, b.size);
    assert_content(&b, "");
    buf_fini(&b);
}

static void test_maximum(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++)
        assert_true(buf_append_char(&b, 'x'));
    assert_true(buf_append(&b, "", 0));
    assert_false(buf_append_char(&b, 'x'));
    assert_true(b.failed);
    assert_int_equal(b.size, 100);
    buf_consume(&b, 50);
    assert_false(buf_append_char(&b, 'x')); /* it stays failed although there is room */
    assert_null(buf_reserve(&b, 1));
    buf_clear(&b);
    assert_true(buf_append_text(&b, "again"));
    assert_content(&b, "again");
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
}

static void test_printf_fills_exactly(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    assert_true(buf_printf(&b, "%s", "12345"));
    assert_content(&b, "12345");
    assert_true(buf_printf(&b, "%s", ""));
    assert_false(buf_printf(&b, "%d", 6));
    assert_content(&b, "12345");
    buf_fini(&b);
}

static void test_reserve(void **state)
{
    struct buf b;
    char *at;

    (void)state;
    buf_init(&b, 300);
    assert_non_null(buf_reserve(&b, 0));
    at = buf_reserve(&b, 200);
    assert_non_null(at);
    memset(at, 'r', 200); /* the sanitizer sees when this is not there */
    assert_int_equal(b.size, 0);
    b.size += 200;
    assert_null(buf_reserve(&b, 101));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_printf_fills_exactly),
        cmocka_unit_test(test_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
