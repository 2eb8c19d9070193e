/* SPDX-License-Identifier: Apache-2.0 */
/* One client's crowd leaves something for the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"
#include "share.h"

#define TURNS 200u

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_make(text, strlen(text)), &a), 0);
    return a;
}

static void who_comes_first_has_much(void **state)
{
    struct addr a = address("192.0.2.1");
    struct share s;

    (void)state;
    share_init(&s, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(share_ask(&s, 1, &a), SHARE_MUCH);
        share_spend(&s, 1);
    }
    assert_int_equal(share_ask(&s, 1, &a), SHARE_LITTLE);
    share_spend(&s, 100);
    assert_int_equal(share_ask(&s, 1, &a), SHARE_NOTHING);
    assert_int_equal(share_ask(&s, 2, &a), SHARE_MUCH);
}

/* Of 200 turns in which a crowd has taken all. */
static unsigned turns_with_a_little(const struct addr *crowd, const struct addr *other)
{
    unsigned count = 0;
    struct share s;

    share_init(&s, 1);
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        share_ask(&s, turn, crowd);
        share_spend(&s, 1);
        assert_int_equal(share_ask(&s, turn, crowd), SHARE_LITTLE);
        assert_int_equal(share_ask(&s, turn, crowd), SHARE_NOTHING);
        count += share_ask(&s, turn, other) == SHARE_LITTLE;
    }
    return count;
}

static void others_have_a_little(void **state)
{
    struct addr a = address("192.0.2.1"), b = address("192.0.2.2"), c = address("2001:db8::1"),
                d = address("2001:db8::2"), e = address("2001:db8:0:1::1");

    (void)state;
    assert_true(turns_with_a_little(&a, &b) > TURNS - 10); /* taken for one another now and then */
    assert_true(turns_with_a_little(&a, &c) > TURNS - 10);
    assert_true(turns_with_a_little(&c, &e) > TURNS - 10);
    assert_int_equal(turns_with_a_little(&c, &d), 0); /* one /64 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_first_has_much),
        cmocka_unit_test(others_have_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
