/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of io/proxy_protocol.h.
 */
#include "io/proxy_protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"
#define V6 \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb"
#define BYTES(text)              \
    {                            \
        (text), sizeof(text) - 1 \
    }

static const struct {
    struct slice header;
    const char *source; /* NULL: the proxy's own */
} good[] = {
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1:56324"},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535"},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 0 0\r\n"), "192.0.2.1"},
    {BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"), "[2001:db8::1]:56324"},
    {BYTES("PROXY UNKNOWN\r\n"), NULL},
    {BYTES("PROXY UNKNOWN ffff:f::f ffff::f 65535 65535\r\n"), NULL},
    {BYTES(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1:56324"},
    {BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01x"), "192.0.2.1:56324"}, /* with an extension */
    {BYTES(SIGNATURE "\x21\x21\0\x24" V6), "[2001:db8::1]:56324"},
    {BYTES(SIGNATURE "\x20\x00\0\0"), NULL},      /* LOCAL */
    {BYTES(SIGNATURE "\x20\x11\0\x0c" V4), NULL}, /* LOCAL with addresses, which count for nothing */
    {BYTES(SIGNATURE "\x21\x00\0\0"), NULL},      /* of no known family */
};

static const struct slice bad[] = {
    BYTES("GET / HTTP/1.1\r\n"),
    BYTES("\x16\x03\x01\x02\x00\x01"),
    BYTES("PROXY\r\n"),
    BYTES("PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n"),
    BYTES("PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n"),
    BYTES("PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n"),
    BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 -2\r\n"),
    BYTES("PROXY TCP4 192.0.2.1:9 198.51.100.1 1 2\r\n"),
    BYTES("PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n"),
    BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
    BYTES("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"),
    BYTES("PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n"),
    BYTES("PROXY UNKNOWNX\r\n"),
    BYTES(SIGNATURE "\x11\x11\0\x0c" V4),   /* version 1 */
    BYTES(SIGNATURE "\x22\x11\0\x0c" V4),   /* an unknown command */
    BYTES(SIGNATURE "\x21\x41\0\x0c" V4),   /* an unknown family */
    BYTES(SIGNATURE "\x21\x13\0\x0c" V4),   /* an unknown protocol */
    BYTES(SIGNATURE "\x21\x11\0\x0b" V4),   /* too short for its addresses */
    BYTES(SIGNATURE "\x21\x21\0\x0c" V4),   /* the same */
    BYTES(SIGNATURE "\x21\x11\xff\xff" V4), /* longer than any is */
};

static void assert_source(const struct proxy_header *header, const char *source)
{
    char text[ADDR_TEXT_MAX];

    assert_int_equal(header->has_source, source != NULL);
    if (!source)
        return;
    if (header->source.port)
        addr_format(&header->source, text);
    else
        addr_format_ip(&header->source, text);
    assert_string_equal(text, source);
}

static void test_good_ones(void **state)
{
    char data[PROXY_HEADER_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct slice header = good[i].header, next = SLICE_LITERAL("GET ");
        struct proxy_header parsed;

        memcpy(data, header.data, header.size);
        memcpy(data + header.size, next.data, next.size);
        assert_int_equal(proxy_protocol_parse(slice_make(data, header.size + next.size), &parsed),
                         PROXY_PARSE_DONE);
        assert_int_equal(parsed.size, header.size);
        assert_source(&parsed, good[i].source);
        for (size_t size = 0; size < header.size; size++)
            assert_int_equal(proxy_protocol_parse(slice_make(data, size), &parsed), PROXY_PARSE_MORE);
    }
}

static void test_bad_ones(void **state)
{
    struct proxy_header parsed;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (proxy_protocol_parse(bad[i], &parsed) != PROXY_PARSE_BAD)
            fail_msg("number %zu is taken", i);
}

static void test_a_line_without_end(void **state)
{
    char line[200] = "PROXY UNKNOWN ";
    struct proxy_header parsed;

    (void)state;
    memset(line + 14, 'x', sizeof(line) - 14);
    assert_int_equal(proxy_protocol_parse(slice_make(line, 106), &parsed), PROXY_PARSE_MORE);
    assert_int_equal(proxy_protocol_parse(slice_make(line, 107), &parsed), PROXY_PARSE_BAD);
}

/* --- from a socket --- */

struct outcome {
    struct loop *loop;
    int status;
    struct proxy_header header;
};

static void on_done(struct proxy_reader *r, int status, const struct proxy_header *header)
{
    struct outcome *outcome = proxy_reader_user(r);

    outcome->status = status;
    if (header)
        outcome->header = *header;
    loop_stop(outcome->loop);
}

static struct outcome read_one(int fds[2], uint64_t timeout_ms)
{
    struct outcome outcome = {.status = 1};

    assert_int_equal(loop_new(&outcome.loop), 0);
    assert_non_null(proxy_reader_start(outcome.loop, fds[0], timeout_ms, on_done, &outcome));
    loop_run(outcome.loop);
    loop_free(outcome.loop);
    return outcome;
}

static void open_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void test_what_is_behind_stays_in_the_socket(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct slice header = good[i].header;
        struct outcome outcome;
        char rest[16];
        int fds[2];

        open_pair(fds);
        assert_int_equal(write(fds[1], header.data, header.size), header.size);
        assert_int_equal(write(fds[1], "GET /", 5), 5);
        outcome = read_one(fds, 60000);
        assert_int_equal(outcome.status, 0);
        assert_source(&outcome.header, good[i].source);
        assert_int_equal(read(fds[0], rest, sizeof(rest)), 5);
        assert_memory_equal(rest, "GET /", 5);
        close(fds[0]);
        close(fds[1]);
    }
}

static void test_no_header(void **state)
{
    int fds[2];

    (void)state;
    open_pair(fds);
    assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n", 16), 16);
    assert_int_equal(read_one(fds, 60000).status, -EPROTO);
    close(fds[1]);
    close(fds[0]);
    open_pair(fds);
    assert_int_equal(write(fds[1], "PROXY ", 6), 6);
    close(fds[1]);
    assert_int_equal(read_one(fds, 60000).status, -ECONNRESET);
    close(fds[0]);
}

static void test_a_header_that_does_not_end_in_time(void **state)
{
    int fds[2];

    (void)state;
    open_pair(fds);
    assert_int_equal(write(fds[1], "PROXY TCP4 192", 14), 14);
    assert_int_equal(read_one(fds, 50).status, -ETIMEDOUT);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),          cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_a_line_without_end), cmocka_unit_test(test_what_is_behind_stays_in_the_socket),
        cmocka_unit_test(test_no_header),          cmocka_unit_test(test_a_header_that_does_not_end_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
