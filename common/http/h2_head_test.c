/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists as tables: what becomes a head, what is malformed, what is too large. */
#include "h2_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

#define LIST_SIZE_MAX     4096
#define URI_SIZE_MAX_HERE 1000
#define FIELDS_MAX_HERE   16

struct line {
    const char *name, *value;
};

/* A fixed head and data, as the connection has them. */
static struct http_head head;
static char data[LIST_SIZE_MAX];

static enum h2_head_verdict read_lines(struct h2_head *h, const struct line *lines)
{
    h2_head_init(h, &head, data, sizeof(data));
    for (; lines->name; lines++)
        h2_head_add(h, slice_of(lines->name), slice_of(lines->value));
    return h2_head_end(h, URI_SIZE_MAX_HERE);
}

#define PSEUDO                                                              \
    {":method", "GET"}, {":scheme", "https"}, {":authority", "video.test"}, \
    {                                                                       \
        ":path", "/a?b"                                                     \
    }

static void assert_text(struct slice s, const char *expected)
{
    char text[256];

    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(s));
    assert_string_equal(text, expected);
}

static struct http_head *read_good(const struct line *lines)
{
    struct h2_head h;
    struct http_head *copy;
    size_t size = 0;

    assert_int_equal(read_lines(&h, lines), H2_HEAD_GOOD);
    copy = h2_head_copy(&h, &size);
    assert_non_null(copy);
    assert_true(size >= sizeof(*copy) && size <= sizeof(*copy) + LIST_SIZE_MAX);
    memset(data, '#', sizeof(data)); /* the copy stands by itself */
    return copy;
}

static void test_a_request(void **state)
{
    const struct line lines[] = {
        PSEUDO, {"range", "bytes=0-9"}, {"user-agent", "a\tb \xc3\xa4"}, {"x", ""}, {0}};
    struct http_head *h = read_good(lines);

    (void)state;
    assert_int_equal(h->method, HTTP_GET);
    assert_text(h->method_text, "GET");
    assert_text(h->target, "/a?b");
    assert_int_equal(h->version, 20);
    assert_true(h->keep_alive);
    assert_false(h->chunked);
    assert_int_equal(h->content_length, -1);
    assert_int_equal(h->field_count, 4);
    assert_text(http_head_get(h, "Host"), "video.test");
    assert_text(http_head_get(h, "Range"), "bytes=0-9");
    assert_text(http_head_get(h, "User-Agent"), "a\tb \xc3\xa4");
    assert_text(http_head_get(h, "x"), "");
    free(h);
}

static void test_methods(void **state)
{
    static const struct {
        const char *text;
        enum http_method method;
    } cases[] = {{"GET", HTTP_GET},        {"HEAD", HTTP_HEAD},      {"OPTIONS", HTTP_OPTIONS},
                 {"POST", HTTP_POST},      {"PUT", HTTP_PUT},        {"DELETE", HTTP_DELETE},
                 {"PATCH", HTTP_PATCH},    {"PURGE", HTTP_OTHER},    {"PROPFIND", HTTP_OTHER},
                 {"M-SEARCH", HTTP_OTHER}, {"UNHEARDOF", HTTP_OTHER}};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct line lines[] = {
            {":method", cases[i].text}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {0}};
        struct http_head *h = read_good(lines);

        assert_int_equal(h->method, cases[i].method);
        assert_text(h->method_text, cases[i].text);
        free(h);
    }
}

static void test_host_comes_either_way(void **state)
{
    static const struct line with_host[] = {{":method", "GET"}, {":scheme", "https"},    {":path", "/"},
                                            {"accept", "*/*"},  {"host", "h.test:8443"}, {0}};
    static const struct line with_both[] = {PSEUDO, {"host", "VIDEO.test"}, {0}};
    struct http_head *h = read_good(with_host);

    (void)state;
    assert_text(h->fields[0].name, "host");
    assert_text(h->fields[0].value, "h.test:8443");
    assert_int_equal(h->field_count, 2);
    free(h);
    h = read_good(with_both);
    assert_text(http_head_get(h, "host"), "video.test");
    assert_int_equal(http_head_count(h, "host"), 1);
    free(h);
}

static void test_cookies_are_joined(void **state)
{
    static const struct line lines[] = {
        PSEUDO, {"cookie", "a=1"}, {"x", "y"}, {"cookie", ""}, {"cookie", "b=2; c=3"}, {"z", ""}, {0}};
    struct http_head *h = read_good(lines);

    (void)state;
    assert_int_equal(http_head_count(h, "cookie"), 1);
    assert_text(http_head_get(h, "cookie"), "a=1; ; b=2; c=3");
    assert_text(http_head_get(h, "x"), "y");
    assert_int_equal(h->field_count, 4);
    free(h);
}

static void test_other_things_that_are_good(void **state)
{
    static const struct line cases[][FIELDS_MAX_HERE] = {
        {{":method", "OPTIONS"}, {":scheme", "https"}, {":path", "*"}, {":authority", "a"}, {0}},
        {PSEUDO, {"te", "trailers"}, {0}},
        {PSEUDO, {"content-length", "0"}, {0}},
        {PSEUDO, {"content-length", "12"}, {0}},
        {PSEUDO, {"!#$%&'*+-.^_`|~09az", "x"}, {0}},
        {{":path", "/"}, {":authority", "[::1]:80"}, {":scheme", "HTTPS"}, {":method", "GET"}, {0}},
    };
    struct h2_head h;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(read_lines(&h, cases[i]), H2_HEAD_GOOD);
}

static void test_malformed(void **state)
{
    static const struct line cases[][FIELDS_MAX_HERE] = {
        {{0}},
        /* One of each, none unknown, before all others: RFC 9113 section 8.3. */
        {{":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {0}},
        {PSEUDO, {":method", "GET"}, {0}},
        {PSEUDO, {":path", "/a?b"}, {0}},
        {PSEUDO, {":scheme", "https"}, {0}},
        {PSEUDO, {":authority", "video.test"}, {0}},
        {PSEUDO, {":status", "200"}, {0}},
        {PSEUDO, {":protocol", "websocket"}, {0}},
        {PSEUDO, {":", ""}, {0}},
        {{"accept", "*/*"}, PSEUDO, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"x", "y"}, {":authority", "a"}, {0}},
        /* Methods. */
        {{":method", ""}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "G T"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "GET / HTTP/1.1\r\nx:"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "get"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "UNHEARD(OF)"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "PRI"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "CONNECT"}, {":authority", "a:443"}, {0}},
        {{":method", "CONNECT"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"},
         {":scheme", "https"},
         {":path", "/"},
         {":authority", "a"},
         {0}},
        /* Schemes. */
        {{":method", "GET"}, {":scheme", ""}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "ftp"}, {":path", "/"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https://evil/"}, {":path", "/"}, {":authority", "a"}, {0}},
        /* Paths. */
        {{":method", "GET"}, {":scheme", "https"}, {":path", ""}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "a"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "*"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "http://evil/"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/ HTTP/1.1"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/\r\nx: y"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/\xc3\xa4"}, {":authority", "a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/a#b"}, {":authority", "a"}, {0}},
        /* Hosts. */
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", ""}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "u@a"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a/b"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a b"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a\r\nx: y"}, {0}},
        {PSEUDO, {"host", "other.test"}, {0}},
        {PSEUDO, {"host", ""}, {0}},
        {PSEUDO, {"host", "video.test"}, {"host", "video.test"}, {0}},
        {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "a"}, {"host", "b"}, {0}},
        /* Names and values: RFC 9113 section 8.2.1. */
        {PSEUDO, {"", "x"}, {0}},
        {PSEUDO, {"", ""}, {0}},
        {PSEUDO, {"Accept", "x"}, {0}},
        {PSEUDO, {"x y", "x"}, {0}},
        {PSEUDO, {"x:y", "x"}, {0}},
        {PSEUDO, {"x\r\ny", "x"}, {0}},
        {PSEUDO, {"x\x80", "x"}, {0}},
        {PSEUDO, {"x", "a\r\nb: c"}, {0}},
        {PSEUDO, {"x", "a\rb"}, {0}},
        {PSEUDO, {"x", "a\nb"}, {0}},
        {PSEUDO, {"x", "a\x7f"}, {0}},
        {PSEUDO, {"x", "\x01"}, {0}},
        {PSEUDO, {"x", " a"}, {0}},
        {PSEUDO, {"x", "a\t"}, {0}},
        /* Of one connection: RFC 9113 section 8.2.2. */
        {PSEUDO, {"connection", "close"}, {0}},
        {PSEUDO, {"keep-alive", "1"}, {0}},
        {PSEUDO, {"proxy-connection", "x"}, {0}},
        {PSEUDO, {"transfer-encoding", "chunked"}, {0}},
        {PSEUDO, {"upgrade", "h2c"}, {0}},
        {PSEUDO, {"te", "gzip"}, {0}},
        {PSEUDO, {"te", "trailers, gzip"}, {0}},
        /* Lengths. */
        {PSEUDO, {"content-length", "1"}, {"content-length", "1"}, {0}},
        {PSEUDO, {"content-length", "1, 1"}, {0}},
        {PSEUDO, {"content-length", "+1"}, {0}},
        {PSEUDO, {"content-length", "0x1"}, {0}},
        {PSEUDO, {"content-length", ""}, {0}},
        {PSEUDO, {"content-length", "9223372036854775808"}, {0}},
    };
    struct h2_head h;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (read_lines(&h, cases[i]) != H2_HEAD_MALFORMED)
            fail_msg("case %zu was taken", i);
}

/* Strings cannot hold it. */
static void test_no_zero_byte(void **state)
{
    static const struct line lines[] = {PSEUDO, {0}};
    struct h2_head h;

    (void)state;
    for (int i = 0; i < 2; i++) {
        read_lines(&h, lines);
        h2_head_add(&h, i ? slice_of("x") : slice_make("x\0", 2), i ? slice_make("a\0b", 3) : slice_of("y"));
        assert_int_equal(h2_head_end(&h, URI_SIZE_MAX_HERE), H2_HEAD_MALFORMED);
    }
}

static void add_many(struct h2_head *h, size_t count, size_t value_size)
{
    char value[LIST_SIZE_MAX];

    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < count; i++)
        h2_head_add(h, slice_of("n"), slice_make(value, value_size));
}

/* Bytes of names and values, and 32 a field: RFC 9113 section 6.5.2. The four pseudo fields have 53 and 128.
 */
static void test_the_list_has_a_size(void **state)
{
    static const struct line lines[] = {PSEUDO, {0}};
    size_t room = LIST_SIZE_MAX - (7 + 3 + 7 + 5 + 10 + 10 + 5 + 4) - 4 * 32;
    struct h2_head h;

    (void)state;
    read_lines(&h, lines);
    add_many(&h, 1, room - 33);
    assert_int_equal(h2_head_end(&h, URI_SIZE_MAX_HERE), H2_HEAD_GOOD);
    read_lines(&h, lines);
    add_many(&h, 1, room - 32);
    assert_int_equal(h2_head_end(&h, URI_SIZE_MAX_HERE), H2_HEAD_TOO_LARGE);
    assert_int_equal(head.method, HTTP_GET); /* whoever answers must know HEAD from GET */
    read_lines(&h, lines);
    add_many(&h, 100000, 1);
    assert_int_equal(h2_head_end(&h, URI_SIZE_MAX_HERE), H2_HEAD_TOO_LARGE);
    assert_int_equal(h.fields_seen, 100004);
}

static void test_fields_have_a_number(void **state)
{
    static const struct line lines[] = {PSEUDO, {0}};
    static char much[LIST_SIZE_MAX * 4];
    struct http_head *copy;
    struct h2_head h;
    size_t size;

    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        h2_head_init(&h, &head, much, sizeof(much));
        for (size_t i = 0; i < 4; i++)
            h2_head_add(&h, slice_of(lines[i].name), slice_of(lines[i].value));
        add_many(&h, HTTP_FIELDS_MAX - 1 + extra, 1);
        assert_int_equal(h2_head_end(&h, URI_SIZE_MAX_HERE), extra ? H2_HEAD_TOO_LARGE : H2_HEAD_GOOD);
        if (extra)
            continue;
        copy = h2_head_copy(&h, &size);
        assert_int_equal(copy->field_count, HTTP_FIELDS_MAX);
        free(copy);
    }
}

static void test_targets_have_a_size(void **state)
{
    char path[URI_SIZE_MAX_HERE + 2];
    struct line lines[] = {
        {":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", path}, {0}};
    struct h2_head h;

    (void)state;
    memset(path, '/', sizeof(path));
    path[URI_SIZE_MAX_HERE + 1] = '\0';
    assert_int_equal(read_lines(&h, lines), H2_HEAD_URI_TOO_LONG);
    path[URI_SIZE_MAX_HERE] = '\0';
    assert_int_equal(read_lines(&h, lines), H2_HEAD_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_host_comes_either_way),
        cmocka_unit_test(test_cookies_are_joined),
        cmocka_unit_test(test_other_things_that_are_good),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_zero_byte),
        cmocka_unit_test(test_the_list_has_a_size),
        cmocka_unit_test(test_fields_have_a_number),
        cmocka_unit_test(test_targets_have_a_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
