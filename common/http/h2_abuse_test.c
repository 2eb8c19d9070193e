/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 as attackers speak it. Each attack ends with its name and a GOAWAY, its handlers are told, and a
 * good client on another connection notices nothing. */
#include "h2_talk_test.h"

#define WINDOW      65535u
#define END_HEADERS NGHTTP2_FLAG_END_HEADERS
#define END_STREAM  NGHTTP2_FLAG_END_STREAM

/* GET http://a/ as a header block that touches no dynamic table: indexed fields, :authority as a literal. */
static const char block[] = "\x82\x86\x84\x01\x01"
                            "a";
#define BLOCK_SIZE (sizeof(block) - 1)

static void ask_raw(struct client *c, int32_t id)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, id, block, BLOCK_SIZE);
}

static void attack_rapid_reset(struct client *c)
{
    static const char cancel[] = {0, 0, 0, NGHTTP2_CANCEL};

    for (int32_t id = 1; id < 400; id += 2) {
        ask_raw(c, id);
        client_raw_frame(c, NGHTTP2_RST_STREAM, 0, id, cancel, 4);
    }
}

/* A window beyond 2^31-1 makes the server reset the stream (RFC 9113 section 6.9.1). */
static void attack_made_reset(struct client *c)
{
    for (int32_t id = 1; id < 200; id += 2) {
        client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS, id, block, BLOCK_SIZE);
        client_raw_frame(c, NGHTTP2_WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
    }
}

/* Fields without a name: RFC 9113 section 8.2.1 calls such a request malformed. */
static void attack_empty_headers(struct client *c)
{
    static const char empty[] = "\x82\x86\x84\x01\x01"
                                "a"
                                "\0\0\0"
                                "\0\0\0";

    for (int32_t id = 1; id < 200; id += 2)
        client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, id, empty, sizeof(empty) - 1);
}

static void attack_continuation(struct client *c)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_STREAM, 1, block, BLOCK_SIZE);
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_CONTINUATION, 0, 1, "\0\1x\1y", 5);
}

static void attack_empty_continuation(struct client *c)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_STREAM, 1, block, BLOCK_SIZE);
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
}

/* A block of many fields: each is one byte, an index into the static table. */
static void attack_many_headers(struct client *c)
{
    char fields[1024];

    memset(fields, 0x90, sizeof(fields)); /* accept-encoding: gzip, deflate */
    client_raw_frame(c, NGHTTP2_HEADERS, END_STREAM, 1, block, BLOCK_SIZE);
    client_raw_frame(c, NGHTTP2_CONTINUATION, 0, 1, fields, sizeof(fields));
    client_raw_frame(c, NGHTTP2_CONTINUATION, END_HEADERS, 1, fields, sizeof(fields));
}

/* A large field once, then named by a byte each: 400 fields, of 240 kB. */
static void attack_bomb(struct client *c)
{
    char fields[6 + 600 + 400] = "\x40\x01x\x7f\xd9\x03"; /* x: 600 bytes, into the dynamic table */

    memset(fields + 6, 'x', 600);
    memset(fields + 606, 0xbe, 400);
    client_raw_frame(c, NGHTTP2_HEADERS, END_STREAM, 1, block, BLOCK_SIZE);
    client_raw_frame(c, NGHTTP2_CONTINUATION, END_HEADERS, 1, fields, sizeof(fields));
}

static void attack_settings(struct client *c)
{
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_SETTINGS, 0, 0, "\0\1\0\0\x10\0", 6);
}

static void attack_ping(struct client *c)
{
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void attack_priority(struct client *c)
{
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}

static void attack_priority_update(struct client *c)
{
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=1", 7);
}

static void attack_empty_data(struct client *c)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS, 1, block, BLOCK_SIZE);
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, NGHTTP2_DATA, 0, 1, NULL, 0);
}

/* Padding around nothing is not empty by its length. */
static void attack_padded_data(struct client *c)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS, 1, block, BLOCK_SIZE);
    for (int i = 0; i < 3000; i++)
        client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\0", 1);
}

static void attack_window_update(struct client *c)
{
    for (int i = 0; i < 3000; i++)
        client_raw_frame(c, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

/* A response byte by byte: each update makes the server send a frame. */
static void attack_dribble(struct client *c)
{
    client_raw_frame(c, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
    client_ask(c, "/map/100000");
    for (int i = 0; i < 3000; i++)
        client_raw_frame(c, NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
}

static void attack_unknown_frames(struct client *c)
{
    for (int i = 0; i < 1000; i++)
        client_raw_frame(c, 0xfa, 0, 0, "x", 1);
}

static void attack_compression(struct client *c)
{
    client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 1, "\xff\xff\xff\xff\xff\xff", 6);
}

/* None of them ends, so each stays open; the server's limit has been acknowledged. */
static void attack_too_many_streams(struct client *c)
{
    for (int32_t id = 1; id < 300; id += 2)
        client_raw_frame(c, NGHTTP2_HEADERS, END_HEADERS, id, block, BLOCK_SIZE);
}

/* Reads to the end without the library, which would object to answers that it has not asked for. */
static void hear_raw_end(struct client *c)
{
    unsigned char frame[9 + 16384];

    while (recv(c->fd, frame, 9, MSG_WAITALL) == 9) {
        size_t size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];

        assert_true(size <= sizeof(frame) - 9);
        if (size > 0 && recv(c->fd, frame + 9, size, MSG_WAITALL) != (ssize_t)size)
            return;
        if (frame[3] != NGHTTP2_GOAWAY)
            continue;
        c->got_goaway = true;
        c->goaway_code = frame[16];
    }
}

struct attack {
    void (*run)(struct client *c);
    enum http_refusal refusal;
    uint32_t goaway_code;
};

static void check_attack(struct stage *stage, const struct attack *attack, struct client *good, size_t number)
{
    struct client *c = client_open(stage, WINDOW, false, 0);
    uint64_t before;

    client_ping(c);
    before = stage_refusals(stage, attack->refusal);
    attack->run(c);
    hear_raw_end(c);
    if (stage_refusals(stage, attack->refusal) != before + 1)
        fail_msg("attack %zu was not refused as %s but %s", number, http_refusal_name(attack->refusal),
                 stage->refused);
    assert_true(!c->got_goaway || c->goaway_code == attack->goaway_code);
    assert_string_equal(client_get(good, "/still-here")->small, "/still-here");
    client_close(c);
}

static void test_each_attack_has_its_name(void **state)
{
    static const struct attack attacks[] = {
        {attack_rapid_reset, HTTP_REFUSAL_H2_RAPID_RESET, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_made_reset, HTTP_REFUSAL_H2_MADE_RESET, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_empty_headers, HTTP_REFUSAL_H2_MADE_RESET, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_continuation, HTTP_REFUSAL_H2_CONTINUATION_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_empty_continuation, HTTP_REFUSAL_H2_CONTINUATION_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_many_headers, HTTP_REFUSAL_H2_HEADER_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_bomb, HTTP_REFUSAL_H2_HEADER_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_settings, HTTP_REFUSAL_H2_SETTINGS_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_ping, HTTP_REFUSAL_H2_PING_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_priority, HTTP_REFUSAL_H2_PRIORITY_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_priority_update, HTTP_REFUSAL_H2_PRIORITY_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_empty_data, HTTP_REFUSAL_H2_EMPTY_FRAME_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_padded_data, HTTP_REFUSAL_H2_DATA_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_window_update, HTTP_REFUSAL_H2_WINDOW_UPDATE_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_dribble, HTTP_REFUSAL_H2_WINDOW_UPDATE_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_unknown_frames, HTTP_REFUSAL_H2_CONTROL_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM},
        {attack_compression, HTTP_REFUSAL_H2_PROTOCOL_ERROR, NGHTTP2_COMPRESSION_ERROR},
        {attack_too_many_streams, HTTP_REFUSAL_H2_PROTOCOL_ERROR, NGHTTP2_PROTOCOL_ERROR},
    };
    struct stage *stage = stage_new();
    struct client *good;

    (void)state;
    stage->options.body_size_max = 1000;
    good = client_open(stage_start(stage), WINDOW, true, 0);
    for (size_t i = 0; i < ARRAY_COUNT(attacks); i++)
        check_attack(stage, &attacks[i], good, i);
    client_close(good);
    stage_stop(stage);
    stage_free(stage);
}

/* Handlers that are at work when their connection ends for an attack are told. */
static void test_handlers_are_told(void **state)
{
    struct stage *stage = stage_start(stage_new());
    struct client *c = client_open(stage, WINDOW, false, 0);

    (void)state;
    client_ask(c, "/map/1000000");
    client_ask(c, "/wait");
    stage_await(stage);
    attack_ping(c);
    hear_raw_end(c);
    stage_stop(stage);
    assert_int_equal(stage->gone_count, 2);
    assert_string_equal(stage->gone, "client_error");
    client_close(c);
    stage_free(stage);
}

/* Requests that were reset before they were whole never reach a handler. */
static void test_reset_requests_cost_no_handler(void **state)
{
    struct stage *stage = stage_start(stage_new());
    struct client *c = client_open(stage, WINDOW, false, 0);
    static const char reset[13] = {0, 0, 4, NGHTTP2_RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, NGHTTP2_CANCEL};
    char both[2 * (9 + 6)] = {0, 0, BLOCK_SIZE, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 1};

    (void)state;
    client_ping(c);
    memcpy(both + 9, block, BLOCK_SIZE);
    memcpy(both + 9 + BLOCK_SIZE, reset, sizeof(reset));
    client_raw(c, both, 9 + BLOCK_SIZE + sizeof(reset)); /* one segment: both come in together */
    nghttp2_session_set_next_stream_id(c->session, 3);
    assert_int_equal(client_get(c, "/a")->status, 200);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 1);
    client_close(c);
    stage_stop(stage);
    stage_free(stage);
}

/* A client that makes the server answer and never reads is gone at the deadline; what it made is bounded. */
static void test_answers_that_nobody_reads(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;

    (void)state;
    stage->options.send_stall_timeout_ms = 100;
    c = client_open(stage_start(stage), 1 << 30, false, 4096);
    nghttp2_submit_window_update(c->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    for (int i = 0; i < 100; i++)
        client_ask(c, "/map/4194304");
    for (int i = 0; i < 50; i++)
        client_raw_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
    stage_await(stage);
    assert_string_equal(stage->gone, "send_timeout");
    client_close(c);
    stage_stop(stage);
    assert_int_equal(stage->gone_count, 100);
    stage_free(stage);
}

/* --- Streams beyond the bound, by a client that has not read our SETTINGS. --- */

#define STREAMS_BOUND 128 /* of a server with few connections: H2_STREAMS_MAX */

/* GETs on `count` streams, all at once; none of their bodies may leave, so each that is taken stays open. */
static struct client *ask_early(struct stage *stage, int32_t count)
{
    struct client *c = client_open(stage, 0, false, 0);

    for (int32_t i = 0; i < count; i++)
        ask_raw(c, 2 * i + 1);
    client_raw_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
    return c;
}

/* Reads until the PING is answered and so many streams were refused, or to the end; how many were. */
static unsigned hear_refused(struct client *c, unsigned wanted)
{
    unsigned char head[9], payload[16384] = {0};
    unsigned refused = 0;

    while ((refused < wanted || c->pongs == 0) && recv(c->fd, head, 9, MSG_WAITALL) == 9) {
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

        assert_true(size <= sizeof(payload));
        if (size > 0 && recv(c->fd, payload, size, MSG_WAITALL) != (ssize_t)size)
            break;
        refused += head[3] == NGHTTP2_RST_STREAM && payload[3] == NGHTTP2_REFUSED_STREAM;
        c->pongs += head[3] == NGHTTP2_PING;
        if (head[3] == NGHTTP2_GOAWAY) {
            c->got_goaway = true;
            c->goaway_code = payload[7];
        }
    }
    return refused;
}

/* As many as a browser may begin, and more than there are resets for those who break rules: it goes on. */
static void test_streams_asked_for_early(void **state)
{
    struct stage *stage = stage_start(stage_new());
    struct client *c = ask_early(stage, STREAMS_BOUND + 100);

    (void)state;
    assert_int_equal(hear_refused(c, 100), 100);
    client_raw_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
    c->pongs = 0;
    assert_int_equal(hear_refused(c, 0), 0);
    assert_true(c->pongs == 1 && !c->got_goaway);
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_H2_TOO_MANY_STREAMS), 100);
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_H2_MADE_RESET), 0);
    client_close(c);
    stage_stop(stage);
    stage_free(stage);
}

static void test_too_many_streams_asked_for_early(void **state)
{
    struct stage *stage = stage_start(stage_new());
    struct client *c = ask_early(stage, STREAMS_BOUND + 600);

    (void)state;
    hear_refused(c, ~0u);
    assert_true(c->got_goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(stage->refused, "h2_too_many_streams");
    client_close(c);
    stage_stop(stage);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_attack_has_its_name),
        cmocka_unit_test(test_handlers_are_told),
        cmocka_unit_test(test_reset_requests_cost_no_handler),
        cmocka_unit_test(test_answers_that_nobody_reads),
        cmocka_unit_test(test_streams_asked_for_early),
        cmocka_unit_test(test_too_many_streams_asked_for_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
