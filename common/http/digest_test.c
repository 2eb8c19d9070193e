/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9530: which digests are read. */
#include "http/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include "base/check.h"

#define ABC "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

static void test_what_is_read(void **state)
{
    static const char *const good[] = {"sha-256=:" ABC ":",
                                       "md5=:AAAA:, sha-256=:" ABC ":;a=b , sha-512=:x:"};
    static const char *const bad[] = {"",
                                      "sha-256",
                                      "sha-256=" ABC,
                                      "sha-256=:" ABC,
                                      "sha-512=:" ABC ":",
                                      "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa==:",
                                      "SHA-256=:" ABC ":",
                                      "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0 :",
                                      "sha-256=::",
                                      "sha-256=:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=:"};
    struct digest *d = digest_new();
    uint8_t expected[DIGEST_SIZE], value[DIGEST_SIZE];

    (void)state;
    digest_add(d, "abc", 3);
    digest_value(d, expected);
    digest_free(d);
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_true(http_digest_sha256(slice_of(good[i]), value));
        assert_memory_equal(value, expected, sizeof(value));
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (http_digest_sha256(slice_of(bad[i]), value))
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_read)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
