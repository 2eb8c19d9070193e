/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of cmcd.h.
 */
#include "cmcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

static uint64_t of_query(const char *query)
{
    static struct http_head head;

    return cmcd_number(&head, slice_of(query), "rtp");
}

static uint64_t of_field(const char *name, const char *value)
{
    static struct http_head head;

    head.field_count = 1;
    head.fields[0].name = slice_of(name);
    head.fields[0].value = slice_of(value);
    return cmcd_number(&head, (struct slice){NULL, 0}, "rtp");
}

static void test_queries(void **state)
{
    (void)state;
    assert_int_equal(of_query("CMCD=rtp%3D12000"), 12000);
    assert_int_equal(of_query("a=b&CMCD=bl%3D200%2Cbs%2Crtp%3D900%2Csid%3D%22x%22&c"), 900);
    assert_int_equal(of_query("CMCD=rtp=500"), 500);
    assert_int_equal(of_query("CMCD=nor%3D%22a%2Crtp%3D9%22%2Crtp%3D7"), 7); /* not within quotes */
    assert_int_equal(of_query("CMCD=xrtp%3D9"), 0);
    assert_int_equal(of_query("CMCD=rtp"), 0);
    assert_int_equal(of_query("CMCD=rtp%3D-9"), 0);
    assert_int_equal(of_query("CMCD=rtp%3D99999999999999999999999999"), 0);
    assert_int_equal(of_query("CMCD=rtp%3D1%"), 0);
    assert_int_equal(of_query("CMCD=%"), 0);
    assert_int_equal(of_query("CMCD="), 0);
    assert_int_equal(of_query("cmcd=rtp%3D9"), 0);
    assert_int_equal(of_query(""), 0);
}

static void test_fields(void **state)
{
    (void)state;
    assert_int_equal(of_field("CMCD-Status", "bs,rtp=15000"), 15000);
    assert_int_equal(of_field("cmcd-request", "dl=1, rtp=100"), 100);
    assert_int_equal(of_field("CMCD-Status", "rtp=\"1\""), 0);
    assert_int_equal(of_field("CMCD-Status", "\"rtp=1"), 0);
    assert_int_equal(of_field("X-Other", "rtp=1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_queries), cmocka_unit_test(test_fields)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
