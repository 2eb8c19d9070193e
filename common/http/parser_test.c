/* SPDX-License-Identifier: Apache-2.0 */
/* The parser against good and hostile messages. Each is fed whole, then split in two at every byte, then byte
 * by byte: the answer must be the same each time. */
#include "parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"

/* What came of a message: its outcome, head and body as one text, so that two readings can be compared. */
struct reading {
    enum http_parse head, body;
    size_t message_size;
    struct buf text;
};

static bool collect_body(void *user, const char *data, size_t size)
{
    return buf_append(user, data, size);
}

static void describe(const struct http_head *head, struct buf *ret_text)
{
    buf_printf(ret_text, "%.*s(%d) %.*s %u v%u alive=%d chunked=%d length=%lld\n",
               SLICE_ARG(head->method_text), head->method, SLICE_ARG(head->target), head->status,
               head->version, head->keep_alive, head->chunked, (long long)head->content_length);
    for (size_t i = 0; i < head->field_count; i++)
        buf_printf(ret_text, "%.*s=%.*s|\n", SLICE_ARG(head->fields[i].name),
                   SLICE_ARG(head->fields[i].value));
}

/* Feeds `text` in pieces that end at `first` and at every `step` bytes after it. */
static void read_in_pieces(enum http_parser_kind kind, struct slice text, size_t first, size_t step,
                           struct reading *ret_reading)
{
    char *copy = malloc(text.size ? text.size : 1); /* so that ASan sees a step beyond its end */
    struct http_head *head = malloc(sizeof(*head));
    struct http_parser p;
    size_t fed = size_min(first, text.size), head_size = 0;
    struct reading r = {.head = HTTP_PARSE_MORE, .body = HTTP_PARSE_MORE};

    memcpy(copy, text.data, text.size);
    buf_init(&r.text, 1 << 20);
    http_parser_init(&p, kind, head);
    while ((r.head = http_parser_head(&p, copy, fed, &head_size)) == HTTP_PARSE_MORE && fed < text.size)
        fed = size_min(fed + step, text.size);
    if (r.head == HTTP_PARSE_DONE) {
        size_t at = head_size, used;

        describe(head, &r.text);
        http_parser_begin_body(&p, false);
        memset(head, 0xee, sizeof(*head)); /* of no more use to the parser */
        memset(copy, 0xee, head_size);
        for (;;) {
            used = 0;
            r.body = http_parser_body(&p, copy + at, fed - at, collect_body, &r.text, &used);
            at += used;
            if (r.body != HTTP_PARSE_MORE || fed == text.size)
                break;
            fed = size_min(fed + step, text.size);
        }
        if (r.body == HTTP_PARSE_MORE && http_parser_ends_well(&p))
            r.body = HTTP_PARSE_DONE;
        r.message_size = at;
    }
    free(head);
    free(copy);
    *ret_reading = r;
}

static void assert_same_reading(const struct reading *a, const struct reading *b)
{
    assert_int_equal(a->head, b->head);
    if (a->head != HTTP_PARSE_DONE)
        return;
    assert_int_equal(a->body, b->body);
    if (a->body == HTTP_PARSE_BAD)
        return; /* how much of the body was handed out before depends on the pieces */
    assert_int_equal(a->message_size, b->message_size);
    assert_true(slice_equal(buf_slice(&a->text), buf_slice(&b->text)));
}

static struct reading read_message(enum http_parser_kind kind, struct slice text)
{
    struct reading whole, split;

    read_in_pieces(kind, text, text.size, 1, &whole);
    for (size_t at = 0; at <= text.size && text.size < 2000; at++) {
        read_in_pieces(kind, text, at, text.size, &split);
        assert_same_reading(&whole, &split);
        buf_fini(&split.text);
    }
    read_in_pieces(kind, text, 1, 1, &split);
    assert_same_reading(&whole, &split);
    buf_fini(&split.text);
    return whole;
}

static void expect(enum http_parser_kind kind, const char *text, enum http_parse head, enum http_parse body,
                   const char *reading, const char *rest)
{
    struct reading r = read_message(kind, slice_of(text));
    bool as_expected = r.head == head && (head != HTTP_PARSE_DONE || r.body == body);

    if (!as_expected)
        print_message("%s\nhead %d body %d\n", text, r.head, r.body);
    assert_true(as_expected);
    if (reading) {
        struct slice got = buf_slice(&r.text);

        if (!slice_equal(got, slice_of(reading)))
            print_message("got:\n%.*s\nexpected:\n%s\n", SLICE_ARG(got), reading);
        assert_true(slice_equal(got, slice_of(reading)));
        assert_string_equal(text + r.message_size, rest);
    }
    buf_fini(&r.text);
}

static void good_request(const char *text, const char *reading, const char *rest)
{
    expect(HTTP_PARSER_REQUEST, text, HTTP_PARSE_DONE, HTTP_PARSE_DONE, reading, rest);
}

static void bad_request(const char *text, enum http_parse head)
{
    expect(HTTP_PARSER_REQUEST, text, head, head, NULL, NULL);
}

static void good_response(const char *text, const char *reading, const char *rest)
{
    expect(HTTP_PARSER_RESPONSE, text, HTTP_PARSE_DONE, HTTP_PARSE_DONE, reading, rest);
}

static void response(const char *text, enum http_parse head, enum http_parse body)
{
    expect(HTTP_PARSER_RESPONSE, text, head, body, NULL, NULL);
}

static void test_requests(void **state)
{
    (void)state;
    good_request(
        "GET /a?b HTTP/1.1\r\nHost: x\r\nA:b \t\r\nEmpty:\r\nSpaces:  \t \r\nM:  a b  c\r\n\r\nGET /",
        "GET(1) /a?b 0 v11 alive=1 chunked=0 length=-1\nHost=x|\nA=b|\nEmpty=|\nSpaces=|\nM=a b  c|\n",
        "GET /");
    good_request("\r\n\r\nHEAD / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
                 "HEAD(2) / 0 v11 alive=1 chunked=0 length=-1\nhost=[::1]:8080|\n", "");
    good_request("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: foo , Close\r\n\r\n",
                 "OPTIONS(3) * 0 v11 alive=0 chunked=0 length=-1\nHost=x|\nConnection=foo , Close|\n", "");
    good_request("GET http://a:80/b HTTP/1.1\r\nHost: a:80\r\n\r\n",
                 "GET(1) http://a:80/b 0 v11 alive=1 chunked=0 length=-1\nHost=a:80|\n", "");
    good_request("X-Y_9 / HTTP/1.1\r\nHost: x\r\n\r\n",
                 "X-Y_9(0) / 0 v11 alive=1 chunked=0 length=-1\nHost=x|\n", "");
    good_request("PURGE / HTTP/1.1\r\nHost: x\r\nV: \x80\xff\r\n\r\n",
                 "PURGE(0) / 0 v11 alive=1 chunked=0 length=-1\nHost=x|\nV=\x80\xff|\n", "");
}

static void test_request_keep_alive(void **state)
{
    (void)state;
    good_request("GET / HTTP/1.0\r\n\r\n", "GET(1) / 0 v10 alive=0 chunked=0 length=-1\n", "");
    good_request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                 "GET(1) / 0 v10 alive=1 chunked=0 length=-1\nConnection=Keep-Alive|\n", "");
    good_request("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
                 "GET(1) / 0 v10 alive=0 chunked=0 length=-1\nConnection=keep-alive, close|\n", "");
}

/* An Upgrade is ignored: what follows is the next request. */
static void test_request_upgrade_is_a_plain_request(void **state)
{
    (void)state;
    good_request(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET",
        "GET(1) / 0 v11 alive=1 chunked=0 length=-1\nHost=x|\nConnection=Upgrade|\nUpgrade=websocket|\n",
        "GET");
}

static void test_request_bodies(void **state)
{
    (void)state;
    good_request("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET",
                 "POST(4) / 0 v11 alive=1 chunked=0 length=3\nHost=x|\nContent-Length=3|\nabc", "GET");
    good_request("PUT / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET",
                 "PUT(5) / 0 v11 alive=1 chunked=1 length=-1\nHost=x|\ntransfer-encoding=Chunked|\na", "GET");
    good_request("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET",
                 "GET(1) / 0 v11 alive=1 chunked=0 length=0\nHost=x|\nContent-Length=0|\n", "GET");
}

static void test_incomplete_requests_want_more(void **state)
{
    (void)state;
    bad_request("", HTTP_PARSE_MORE);
    bad_request("\r\n", HTTP_PARSE_MORE);
    bad_request("\r", HTTP_PARSE_MORE);
    bad_request("GET / HTTP/1.1\r\nHost: x\r\n", HTTP_PARSE_MORE);
    bad_request("GET / HTTP/1.1\r\nHost: x\r\n\r", HTTP_PARSE_MORE);
}

static void test_request_lines_refused(void **state)
{
    static const char *const lines[] = {
        "GET  / HTTP/1.1",     "GET /  HTTP/1.1",       "GET / HTTP/1.1 ",    " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",     "GET /\tHTTP/1.1",       "GET x HTTP/1.1",     "GET * HTTP/1.1",
        "OPTIONS *x HTTP/1.1", "CONNECT x:80 HTTP/1.1", "CONNECT / HTTP/1.1", "get / HTTP/1.1",
        "F(O / HTTP/1.1",      "GET / http/1.1",        "OPTIONS / RTSP/1.0", "SOURCE / ICE/1.0",
        "GET /\x80 HTTP/1.1",  "GET /\x7f HTTP/1.1",    "GET /\x01 HTTP/1.1", "GET /#a HTTP/1.1",
        "GET / HTTP/1.1\r",    "\nGET / HTTP/1.1",      "\r\rGET / HTTP/1.1", "\r\n\r\n\r\nGET / HTTP/1.1",
        "GET / HTTP/1.1x",     "GET HTTP/1.1",          "GET / HTTPS/1.1",    "GET a:b HTTP/1.1",
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        snprintf(text, sizeof(text), "%s\r\nHost: x\r\n\r\n", lines[i]);
        bad_request(text, HTTP_PARSE_BAD);
    }
    bad_request("GET / HTTP/1.1\nHost: x\r\n\r\n", HTTP_PARSE_BAD);
    snprintf(text, sizeof(text), "%033d / HTTP/1.1\r\nHost: x\r\n\r\n", 0); /* a method without an end */
    bad_request(text, HTTP_PARSE_BAD);
}

static void test_other_versions_are_named(void **state)
{
    (void)state;
    bad_request("GET /\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("GET / HTTP/0.9\r\nHost: x\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("GET / HTTP/2.0\r\nHost: x\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("GET / HTTP/1.2\r\nHost: x\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("GET / HTTP/11\r\nHost: x\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("GET / HTTP/3.0\r\nHost: x\r\n\r\n", HTTP_PARSE_BAD_VERSION);
    bad_request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_PARSE_BAD_VERSION);
}

static void test_request_fields_refused(void **state)
{
    static const char *const fields[] = {
        "", /* no Host */
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost: y\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a,b/\r\n",
        "Host: a@b\r\n",
        "Host: :80\r\n",
        "Host: x\r\nA: b\nC: d\r\n", /* bare LF */
        "Host: x\r\nA: b\rC: d\r\n", /* bare CR */
        "Host: x\r\nA: b\r\n c\r\n", /* obs-fold */
        "Host: x\r\nA: b\r\n\tc\r\n",
        " Host: x\r\n",
        "Host: x\r\nA : b\r\n", /* space before the colon */
        "Host: x\r\nA\r\n",
        "Host: x\r\n: b\r\n",
        "Host: x\r\nA(: b\r\n",
        "Host: x\r\nA: b\x01\r\n",
        "Host: x\r\nA: b\x7f\r\n",
        "Host: x\r\nA: \x0b\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: x\r\nContent-Length: 1, 1\r\n",
        "Host: x\r\nContent-Length: +1\r\n",
        "Host: x\r\nContent-Length: -1\r\n",
        "Host: x\r\nContent-Length: 0x1\r\n",
        "Host: x\r\nContent-Length: 1 1\r\n",
        "Host: x\r\nContent-Length:\r\n",
        "Host: x\r\nContent-Length: 9223372036854775808\r\n", /* 2^63 */
        "Host: x\r\nContent-Length: 18446744073709551616\r\n",
        "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked, identity\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: identity\r\n",
        "Host: x\r\nTransfer-Encoding: xchunked\r\n",
        "Host: x\r\nTransfer-Encoding: \"chunked\"\r\n",
        "Host: x\r\nTransfer-Encoding:\r\n",
        "Host: x\r\nTransfer-Encoding: chunked;a=b\r\n",
    };
    char text[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n%s\r\n", fields[i]);
        bad_request(text, HTTP_PARSE_BAD);
    }
    bad_request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_PARSE_BAD);
    bad_request("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", HTTP_PARSE_BAD);
}

static void test_nul_bytes_are_refused(void **state)
{
    static const char value[] = "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n";
    static const char host[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
    static const char target[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct slice texts[] = {SLICE_LITERAL(value), SLICE_LITERAL(host), SLICE_LITERAL(target)};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct reading r = read_message(HTTP_PARSER_REQUEST, texts[i]);

        assert_int_equal(r.head, HTTP_PARSE_BAD);
        buf_fini(&r.text);
    }
}

static void test_fields_are_counted(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 16);
    buf_append_text(&text, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        buf_append_text(&text, "A: b\r\n");
    size_t most = text.size;
    buf_append(&text, "\r\n", 3);
    expect(HTTP_PARSER_REQUEST, text.data, HTTP_PARSE_DONE, HTTP_PARSE_DONE, NULL, NULL);
    text.size = most;
    buf_append(&text, "A: b\r\n\r\n", 9);
    bad_request(text.data, HTTP_PARSE_TOO_MANY_FIELDS);
    buf_fini(&text);
}

static void test_responses(void **state)
{
    (void)state;
    good_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP",
                  "(0)  200 v11 alive=1 chunked=0 length=3\nContent-Length=3|\nabc", "HTTP");
    good_response("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
                  "(0)  404 v11 alive=1 chunked=0 length=0\nContent-Length=0|\n", "");
    good_response("HTTP/1.0 200 \r\n\r\nabc", "(0)  200 v10 alive=0 chunked=0 length=-1\nabc", "");
    good_response("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
                  "(0)  200 v11 alive=0 chunked=0 length=-1\nConnection=close|\n", "");
    good_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nHTTP",
                  "(0)  304 v11 alive=1 chunked=0 length=7\nContent-Length=7|\n", "HTTP");
    good_response("HTTP/1.1 204 No Content\r\n\r\nHTTP", "(0)  204 v11 alive=1 chunked=0 length=-1\n",
                  "HTTP");
    good_response("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP",
                  "(0)  103 v11 alive=1 chunked=0 length=-1\nA=b|\n", "HTTP");
    good_response("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nHTTP",
                  "(0)  101 v11 alive=1 chunked=0 length=-1\nConnection=upgrade|\nUpgrade=h2c|\n", "HTTP");
}

#define CHUNKED         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_READING "(0)  200 v11 alive=1 chunked=1 length=-1\nTransfer-Encoding=chunked|\n"

static void test_chunked_responses(void **state)
{
    (void)state;
    good_response(CHUNKED "0\r\n\r\nHTTP", CHUNKED_READING, "HTTP");
    good_response(CHUNKED
                  "3\r\nabc\r\n00A;ext=\"q; z\";y\r\n0123456789\r\n000\r\nT: v\r\nHost: z\r\n\r\nHTTP",
                  CHUNKED_READING "abc0123456789", "HTTP");
    good_response(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "(0)  200 v11 alive=0 chunked=1 length=-1\nConnection=close|\nTransfer-Encoding=chunked|\na", "");
}

static void test_responses_cut_short(void **state)
{
    (void)state;
    response("HTTP/1.1 200 OK\r\nContent-Len", HTTP_PARSE_MORE, HTTP_PARSE_MORE);
    response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", HTTP_PARSE_DONE, HTTP_PARSE_MORE);
    response(CHUNKED "3\r\nabc\r\n", HTTP_PARSE_DONE, HTTP_PARSE_MORE);
    response(CHUNKED "3\r\nabc\r\n0\r\n", HTTP_PARSE_DONE, HTTP_PARSE_MORE);
    response(CHUNKED "3\r\nabc\r\n0\r\nT: v\r\n", HTTP_PARSE_DONE, HTTP_PARSE_MORE);
    response(CHUNKED, HTTP_PARSE_DONE, HTTP_PARSE_MORE);
}

static void test_bad_responses(void **state)
{
    static const char *const heads[] = {
        "garbage\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "RTSP/1.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    };
    static const char *const bodies[] = {
        "x\r\n",
        "3\nabc",
        "3 \r\nabc",
        "-1\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n",
        "\r\n",
        " 3\r\nabc\r\n",
        "0x3\r\nabc\r\n",
        "10000000000000000\r\n",
        "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
        "3\r\nabc\r\n0\n\n",
        "3;\x01\r\nabc\r\n",
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++)
        response(heads[i], HTTP_PARSE_BAD, HTTP_PARSE_BAD);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        snprintf(text, sizeof(text), CHUNKED "%s", bodies[i]);
        response(text, HTTP_PARSE_DONE, HTTP_PARSE_BAD);
    }
    response("HTTP/2.0 200 OK\r\n\r\n", HTTP_PARSE_BAD_VERSION, HTTP_PARSE_BAD_VERSION);
}

/* Zeros, extensions and trailers are framing, and framing has a bound. */
static void test_framing_is_bounded(void **state)
{
    static const char *const forms[][3] = {
        {"1\r\na\r\n", "0", "1\r\nb\r\n0\r\n\r\n"},
        {"1;x=", "y", "\r\na\r\n0\r\n\r\n"},
        {"1\r\na\r\n0\r\n", "T: v\r\n", "\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        for (int too_much = 0; too_much < 2; too_much++) {
            size_t size = HTTP_FRAMING_SIZE_MAX + (too_much ? 10 : -30);
            struct buf text;

            buf_init(&text, 1 << 16);
            buf_append_text(&text, CHUNKED);
            buf_append_text(&text, forms[i][0]);
            for (size_t added = 0; added < size; added += strlen(forms[i][1]))
                buf_append_text(&text, forms[i][1]);
            buf_append(&text, forms[i][2], strlen(forms[i][2]) + 1);
            response(text.data, HTTP_PARSE_DONE, too_much ? HTTP_PARSE_BAD : HTTP_PARSE_DONE);
            buf_fini(&text);
        }
}

static void test_head_requests_have_no_response_body(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct http_head head;
    struct http_parser p;
    size_t head_size = 0;

    (void)state;
    http_parser_init(&p, HTTP_PARSER_RESPONSE, &head);
    assert_int_equal(http_parser_head(&p, text, strlen(text), &head_size), HTTP_PARSE_DONE);
    assert_int_equal(head_size, strlen(text));
    assert_int_equal(http_parser_begin_body(&p, true), HTTP_FRAMING_NONE);
    assert_true(http_parser_ends_well(&p));
}

static bool refuse_body(void *user, const char *data, size_t size)
{
    (void)data;
    (void)size;
    ++*(int *)user;
    return false;
}

static void test_a_receiver_can_stop(void **state)
{
    static const char *const texts[] = {CHUNKED "1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct http_head head;
        struct http_parser p;
        size_t head_size = 0, used = 0;
        int calls = 0;

        http_parser_init(&p, HTTP_PARSER_RESPONSE, &head);
        assert_int_equal(http_parser_head(&p, texts[i], strlen(texts[i]), &head_size), HTTP_PARSE_DONE);
        http_parser_begin_body(&p, false);
        assert_int_equal(http_parser_body(&p, texts[i] + head_size, strlen(texts[i]) - head_size, refuse_body,
                                          &calls, &used),
                         HTTP_PARSE_STOPPED);
        assert_int_equal(calls, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_request_keep_alive),
        cmocka_unit_test(test_request_upgrade_is_a_plain_request),
        cmocka_unit_test(test_request_bodies),
        cmocka_unit_test(test_incomplete_requests_want_more),
        cmocka_unit_test(test_request_lines_refused),
        cmocka_unit_test(test_other_versions_are_named),
        cmocka_unit_test(test_request_fields_refused),
        cmocka_unit_test(test_nul_bytes_are_refused),
        cmocka_unit_test(test_fields_are_counted),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_chunked_responses),
        cmocka_unit_test(test_responses_cut_short),
        cmocka_unit_test(test_bad_responses),
        cmocka_unit_test(test_framing_is_bounded),
        cmocka_unit_test(test_head_requests_have_no_response_body),
        cmocka_unit_test(test_a_receiver_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
