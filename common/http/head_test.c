/* SPDX-License-Identifier: Apache-2.0 */
/* Looking fields up, lists of tokens, hop-by-hop fields. */
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FIELD(n, v)                        \
    {                                      \
        SLICE_LITERAL(n), SLICE_LITERAL(v) \
    }

static const struct http_head head = {
    .field_count = 5,
    .fields = {FIELD("Host", "a.example"), FIELD("Via", "1.1 a"), FIELD("connection", "close, X-Private"),
               FIELD("VIA", "1.1 b"), FIELD("Connection", " ,\tKeep-Alive ")},
};

static void test_get_finds_the_first_whatever_its_case(void **state)
{
    (void)state;
    assert_true(slice_equal(http_head_get(&head, "hOST"), slice_of("a.example")));
    assert_true(slice_equal(http_head_get(&head, "Via"), slice_of("1.1 a")));
    assert_null(http_head_get(&head, "Hos").data);
    assert_int_equal(http_head_count(&head, "via"), 2);
    assert_int_equal(http_head_count(&head, "Accept"), 0);
}

static void test_lists_look_at_every_field_and_whole_tokens(void **state)
{
    (void)state;
    assert_true(http_head_lists(&head, "Connection", "CLOSE"));
    assert_true(http_head_lists(&head, "Connection", "keep-alive"));
    assert_false(http_head_lists(&head, "Connection", "clos"));
    assert_false(http_head_lists(&head, "Accept", "close"));
}

static void test_hop_by_hop_are_the_known_and_the_named(void **state)
{
    (void)state;
    assert_true(http_head_is_hop_by_hop(&head, slice_of("transfer-encoding")));
    assert_true(http_head_is_hop_by_hop(&head, slice_of("Upgrade")));
    assert_true(http_head_is_hop_by_hop(&head, slice_of("x-private")));
    assert_false(http_head_is_hop_by_hop(&head, slice_of("Content-Type")));
    assert_false(http_head_is_hop_by_hop(&head, slice_of("X-Privat")));
}

static void test_status_reasons(void **state)
{
    (void)state;
    assert_string_equal(http_status_reason(206), "Partial Content");
    assert_string_equal(http_status_reason(599), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_finds_the_first_whatever_its_case),
        cmocka_unit_test(test_lists_look_at_every_field_and_whole_tokens),
        cmocka_unit_test(test_hop_by_hop_are_the_known_and_the_named),
        cmocka_unit_test(test_status_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
