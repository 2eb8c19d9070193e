/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of redirect.c: the URL of a redirect, its marker, and the viewer's address behind trusted proxies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/route.h"

static void assert_url(const char *host, uint16_t port, bool is_tls, const char *path, const char *query,
                       const char *expected)
{
    struct slice query_slice = query ? slice_of(query) : slice_make(NULL, 0);
    struct buf url;

    buf_init(&url, 1000);
    assert_true(route_redirect_url(slice_of(host), port, is_tls, slice_of(path), query_slice, "paris", &url));
    buf_append_char(&url, '\0');
    assert_string_equal(url.data, expected);
    buf_fini(&url);
}

static void test_redirect_url(void **state)
{
    struct buf small;

    (void)state;
    assert_url("tokyo.v.example", 80, false, "/a/master.m3u8", NULL,
               "http://tokyo.v.example/a/master.m3u8?shorebreak-from=paris");
    assert_url("tokyo.v.example", 443, true, "/m.m3u8", "x=1&y",
               "https://tokyo.v.example/m.m3u8?x=1&y&shorebreak-from=paris");
    assert_url("tokyo.v.example", 443, false, "/", "", "http://tokyo.v.example:443/?&shorebreak-from=paris");
    assert_url("127.0.0.3", 8443, true, "/", NULL, "https://127.0.0.3:8443/?shorebreak-from=paris");
    assert_url("::1", 80, false, "/", NULL, "http://[::1]/?shorebreak-from=paris");

    buf_init(&small, 20);
    assert_false(route_redirect_url(slice_of("tokyo.v.example"), 80, false, slice_of("/"),
                                    slice_make(NULL, 0), "paris", &small));
    buf_fini(&small);
}

static void assert_stripped(const char *query, bool has_marker, const char *expected)
{
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(route_has_marker(slice_of(query)), has_marker);
    assert_int_equal(route_strip_marker(slice_of(query), &out), expected != NULL);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, expected ? expected : "");
    buf_fini(&out);
}

static void test_marker(void **state)
{
    (void)state;
    assert_stripped("shorebreak-from=paris", true, NULL);
    assert_stripped("x=1&y&shorebreak-from=paris", true, "x=1&y");
    assert_stripped("shorebreak-from=a&x=1&shorebreak-from=b", true, "x=1");
    assert_stripped("x=shorebreak-from", false, "x=shorebreak-from");
    assert_stripped("shorebreak-from-x=1", false, "shorebreak-from-x=1");
    assert_false(route_has_marker(slice_make(NULL, 0)));
}

/* Trusted are 10.0.0.0/8 and 2001:db8::/32. */
static void assert_viewer(const char *peer_text, const char *first, const char *second, const char *expected)
{
    struct addr_prefix trusted[2];
    struct http_head head = {.field_count = 0};
    struct addr peer, viewer;
    char text[ADDR_TEXT_MAX];

    addr_prefix_parse(SLICE_LITERAL("10.0.0.0/8"), &trusted[0]);
    addr_prefix_parse(SLICE_LITERAL("2001:db8::/32"), &trusted[1]);
    assert_int_equal(addr_parse(slice_of(peer_text), &peer), 0);
    if (first)
        head.fields[head.field_count++] =
            (struct http_field){SLICE_LITERAL("x-forwarded-for"), slice_of(first)};
    head.fields[head.field_count++] = (struct http_field){SLICE_LITERAL("Host"), SLICE_LITERAL("8.8.8.8")};
    if (second)
        head.fields[head.field_count++] =
            (struct http_field){SLICE_LITERAL("X-Forwarded-For"), slice_of(second)};
    viewer = route_viewer_address(&peer, &head, trusted, 2);
    addr_format_ip(&viewer, text);
    assert_string_equal(text, expected);
}

static void test_viewer_address(void **state)
{
    (void)state;
    assert_viewer("10.0.0.1", NULL, NULL, "10.0.0.1");
    assert_viewer("192.0.2.1", "198.51.100.1", NULL, "192.0.2.1"); /* the peer is not trusted */
    assert_viewer("10.0.0.1", "198.51.100.1", NULL, "198.51.100.1");
    assert_viewer("10.0.0.1", "1.1.1.1, 198.51.100.1 , 10.9.9.9", NULL,
                  "198.51.100.1");                                     /* not the forged one */
    assert_viewer("10.0.0.1", "10.0.0.3, 10.0.0.2", NULL, "10.0.0.3"); /* all trusted: the first of them */
    assert_viewer("2001:db8::1", "[2001:db9::7]:4711", NULL, "2001:db9::7");
    assert_viewer("10.0.0.1", "198.51.100.1:80,10.0.0.2", NULL, "198.51.100.1");
}

static void test_viewer_address_of_several_fields(void **state)
{
    (void)state;
    assert_viewer("10.0.0.1", "1.1.1.1", "198.51.100.1",
                  "198.51.100.1"); /* one's own field does not come first */
    assert_viewer("10.0.0.1", "198.51.100.1", "10.0.0.2", "198.51.100.1");
}

static void test_viewer_address_of_nonsense(void **state)
{
    (void)state;
    assert_viewer("10.0.0.1", "198.51.100.1, unknown", NULL, "10.0.0.1"); /* nothing left of it is believed */
    assert_viewer("10.0.0.1", "198.51.100.1, , 10.0.0.2,", NULL, "198.51.100.1");
    assert_viewer("10.0.0.1", "", NULL, "10.0.0.1");
    assert_viewer("10.0.0.1", ",", "", "10.0.0.1");
    assert_viewer("10.0.0.1", "1.1.1.1", "_hidden, 10.0.0.2", "10.0.0.2"); /* nor in an earlier field */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redirect_url),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_viewer_address),
        cmocka_unit_test(test_viewer_address_of_several_fields),
        cmocka_unit_test(test_viewer_address_of_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
