/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/hash.h, against the published vectors of both hashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

/* The first vectors of the SipHash authors' vectors.h (SipHash-2-4 with 128 bits, key 00 to 0f), as two
 * halves. */
static void test_key_vectors(void **state)
{
    uint8_t secret[HASH_SECRET_SIZE];
    const char data[2] = {0, 1};
    struct hash128 h;

    (void)state;
    for (unsigned i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)i;
    h = hash_key(secret, SLICE_EMPTY);
    assert_true(h.low == 0xe6a825ba047f81a3 && h.high == 0x930255c71472f66d);
    h = hash_key(secret, slice_make(data, 1));
    assert_true(h.low == 0x44af996bd8c187da && h.high == 0x45fc229b11597634);
    h = hash_key(secret, slice_make(data, 2));
    assert_true(h.low == 0xc75da4a48d227781 && h.high == 0xe4ff0af6de8ba3fc);
}

static void test_secrets_differ(void **state)
{
    uint8_t a[HASH_SECRET_SIZE] = {0}, b[HASH_SECRET_SIZE] = {0};

    (void)state;
    hash_secret_new(a);
    hash_secret_new(b);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_false(hash128_equal(hash_key(a, SLICE_LITERAL("x")), hash_key(b, SLICE_LITERAL("x"))));
    assert_true(hash128_equal(hash_key(a, SLICE_LITERAL("x")), hash_key(a, SLICE_LITERAL("x"))));
}

static void test_stream_is_the_sum(void **state)
{
    struct hash_stream *s = hash_stream_new();
    char data[5000];

    (void)state;
    assert_non_null(s);
    assert_true(hash_sum("", 0) == 0x2d06800538d394c2); /* XXH3's value of nothing */
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    assert_true(hash_stream_value(s) == hash_sum(NULL, 0));
    hash_stream_add(s, data, 1);
    hash_stream_add(s, NULL, 0);
    hash_stream_add(s, data + 1, 998);
    assert_true(hash_stream_value(s) == hash_sum(data, 999)); /* asking does not end it */
    hash_stream_add(s, data + 999, sizeof(data) - 999);
    assert_true(hash_stream_value(s) == hash_sum(data, sizeof(data)));
    data[4321] ^= 1;
    assert_false(hash_stream_value(s) == hash_sum(data, sizeof(data)));
    hash_stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_vectors),
        cmocka_unit_test(test_secrets_differ),
        cmocka_unit_test(test_stream_is_the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
