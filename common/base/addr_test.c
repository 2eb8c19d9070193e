/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/addr.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>

#include "base/addr.h"
#include "base/check.h"

static struct addr parsed(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of(text), &a), 0);
    return a;
}

static void test_parse_and_format(void **state)
{
    static const struct {
        const char *text, *with_port, *ip;
        unsigned port;
        bool is_ipv4;
    } cases[] = {
        {"1.2.3.4", "1.2.3.4:0", "1.2.3.4", 0, true},
        {"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4", 80, true},
        {"1.2.3.4:65535", "1.2.3.4:65535", "1.2.3.4", 65535, true},
        {"::", "[::]:0", "::", 0, false},
        {"::1", "[::1]:0", "::1", 0, false},
        {"[::1]", "[::1]:0", "::1", 0, false},
        {"[2001:DB8::1]:443", "[2001:db8::1]:443", "2001:db8::1", 443, false},
        {"::ffff:1.2.3.4", "1.2.3.4:0", "1.2.3.4", 0, true},
        {"1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]:0", "1:2:3:4:5:6:7:8", 0, false},
    };
    char text[ADDR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct addr a = parsed(cases[i].text);
        assert_int_equal(a.port, cases[i].port);
        assert_int_equal(addr_is_ipv4(&a), cases[i].is_ipv4);
        addr_format(&a, text);
        assert_string_equal(text, cases[i].with_port);
        addr_format_ip(&a, text);
        assert_string_equal(text, cases[i].ip);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",          "1.2.3",     "1.2.3.4.5",   "1.2.3.256",  "01.2.3.4", "1.2.3.4:", "1.2.3.4:65536",
        "1.2.3.4:x", " 1.2.3.4",  "1.2.3.4 ",    "host",       "host:80",  ":80",      "[::1",
        "[::1]80",   "[::1]:",    "[1.2.3.4]:1", "[]:80",      ":::",      "1::2::3",  "::1%eth0",
        "[::1]:80:", "1.2.3.4/8", "0x7f.0.0.1",  "2130706433", "[]",
    };
    struct addr a = {.port = 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(addr_parse(slice_of(bad[i]), &a), -EINVAL);
    assert_int_equal(addr_parse(SLICE_LITERAL("1.2.3.4\0junk"), &a), -EINVAL);
    assert_int_equal(addr_parse(slice_make(NULL, 0), &a), -EINVAL);
    assert_int_equal(a.port, 7); /* untouched */
}

static void test_prefix(void **state)
{
    static const struct {
        const char *prefix, *address;
        bool contains;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::a00:1", false},
        {"10.1.2.3/8", "10.9.9.9", true},
        {"10.0.0.0/9", "10.127.0.0", true},
        {"10.0.0.0/9", "10.128.0.0", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::/0", "2001:db8::1", true},
        {"::1/128", "::1", true},
        {"::1", "::2", false},
        {"10.0.0.0/31", "10.0.0.1", true},
    };
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::/129",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0/-1",
                                      "10/8",
                                      "10.0.0.0:80/8",
                                      "[::]/8",
                                      "10.0.0.0/8 "};
    struct addr_prefix p;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct addr a = parsed(cases[i].address);
        assert_int_equal(addr_prefix_parse(slice_of(cases[i].prefix), &p), 0);
        assert_int_equal(addr_prefix_contains(&p, &a), cases[i].contains);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(addr_prefix_parse(slice_of(bad[i]), &p), -EINVAL);
    assert_int_equal(addr_prefix_parse(SLICE_LITERAL("10.1.2.3/24"), &p), 0);
    assert_int_equal(p.bits, 120);
    assert_int_equal(p.ip[15], 0);
}

static void test_truncate(void **state)
{
    struct addr a = parsed("203.0.113.77:5000");
    char text[ADDR_TEXT_MAX];

    (void)state;
    addr_truncate(&a, &a);
    addr_format(&a, text);
    assert_string_equal(text, "203.0.113.0:0");
    a = parsed("[2001:db8:aaaa:bbbb::1]:5000");
    addr_truncate(&a, &a);
    addr_format(&a, text);
    assert_string_equal(text, "[2001:db8:aaaa::]:0");
}

static void test_sockaddr(void **state)
{
    static const char *const texts[] = {"1.2.3.4:80", "[2001:db8::1]:443"};
    struct sockaddr_storage sa;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct addr a = parsed(texts[i]), back;
        socklen_t size = addr_to_sockaddr(&a, &sa);
        assert_int_equal(sa.ss_family, i == 0 ? AF_INET : AF_INET6);
        assert_int_equal(size, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        addr_from_sockaddr((struct sockaddr *)&sa, &back);
        assert_true(addr_equal_ip(&a, &back));
        assert_int_equal(back.port, a.port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_prefix),           cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_sockaddr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
