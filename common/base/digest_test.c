/* SPDX-License-Identifier: Apache-2.0 */
/* Against what FIPS 180-4 gives as examples, whole and in pieces. */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_digest(const char *text, size_t piece, const char *expected)
{
    struct digest *d = digest_new();
    uint8_t value[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];

    for (size_t at = 0; at < strlen(text); at += piece)
        digest_add(d, text + at, strlen(text + at) < piece ? strlen(text + at) : piece);
    digest_value(d, value);
    digest_free(d);
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", value[i]);
    assert_string_equal(hex, expected);
}

static void test_examples(void **state)
{
    static const char longer[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

    (void)state;
    assert_digest("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece < sizeof(longer); piece += 5)
        assert_digest(longer, piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
