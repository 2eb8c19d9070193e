/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of config_pool.h: pieces of all sizes are apart, aligned, zeroed, and gone at the end (the sanitizer
 * sees).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>

#include "config_pool.h"

static void test_pieces(void **state)
{
    static const size_t sizes[] = {1, 15, 16, 17, 100, 5000, 16000, 100000, 1, 16384, 9000, 3};
    unsigned char *pieces[2000];
    struct config_pool pool;

    (void)state;
    config_pool_init(&pool);
    for (size_t i = 0; i < 2000; i++) {
        size_t size = sizes[i % 12];
        unsigned sum = 0;
        pieces[i] = config_pool_take(&pool, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            sum |= pieces[i][k];
        assert_int_equal(sum, 0);
        memset(pieces[i], (int)(i % 255) + 1, size);
    }
    for (size_t i = 0; i < 2000; i++) /* nobody wrote into another's */
        for (size_t k = 0; k < sizes[i % 12]; k++)
            if (pieces[i][k] != i % 255 + 1)
                fail_msg("byte %zu of piece %zu changed", k, i);
    assert_false(pool.failed);
    config_pool_fini(&pool);
}

static void test_copy(void **state)
{
    struct config_pool pool;
    struct slice copy;

    (void)state;
    config_pool_init(&pool);
    copy = config_pool_copy(&pool, slice_make("abcd", 3));
    assert_int_equal(copy.size, 3);
    assert_string_equal(copy.data, "abc");
    copy = config_pool_copy(&pool, slice_make(NULL, 0));
    assert_int_equal(copy.size, 0);
    assert_string_equal(copy.data, "");
    config_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
