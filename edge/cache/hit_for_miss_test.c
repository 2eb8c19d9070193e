/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/hit_for_miss.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct hash128 key_of(uint64_t n)
{
    static const uint8_t secret[HASH_SECRET_SIZE] = {1};

    return hash_key(secret, slice_make((const char *)&n, sizeof(n)));
}

static void test_for_a_while(void **state)
{
    struct hit_for_miss *h = hit_for_miss_new();

    (void)state;
    assert_false(hit_for_miss_has(h, key_of(1), 5000));
    hit_for_miss_add(h, key_of(1), 5000);
    assert_true(hit_for_miss_has(h, key_of(1), 5000));
    assert_false(hit_for_miss_has(h, key_of(2), 5000));
    assert_true(hit_for_miss_has(h, key_of(1), 4900 + HIT_FOR_MISS_MS));
    assert_false(hit_for_miss_has(h, key_of(1), 5000 + HIT_FOR_MISS_MS));
    hit_for_miss_add(h, key_of(1), 100000); /* again: anew */
    assert_true(hit_for_miss_has(h, key_of(1), 99900 + HIT_FOR_MISS_MS));
    hit_for_miss_remove(h, key_of(2));
    assert_true(hit_for_miss_has(h, key_of(1), 100000));
    hit_for_miss_remove(h, key_of(1));
    assert_false(hit_for_miss_has(h, key_of(1), 100000));
    hit_for_miss_free(h);
}

/* A flood of other keys does not make it larger, and the latest are remembered. */
static void test_bounded(void **state)
{
    struct hit_for_miss *h = hit_for_miss_new();
    unsigned remembered = 0;

    (void)state;
    for (uint64_t i = 0; i < 200000; i++)
        hit_for_miss_add(h, key_of(i), 1000 + i);
    for (uint64_t i = 199000; i < 200000; i++)
        remembered += hit_for_miss_has(h, key_of(i), 201000);
    assert_true(remembered > 950);
    hit_for_miss_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_a_while),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
