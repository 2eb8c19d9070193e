/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 over real sockets, as good clients speak it: bodies, windows, priorities, resets, deadlines, drain.
 */
#include <poll.h>

#include "h2_talk_test.h"

#define WINDOW 65535u

static struct stage *stage_open(void)
{
    return stage_start(stage_new());
}

static void stage_close(struct stage *stage)
{
    stage_stop(stage);
    stage_free(stage);
}

static void test_one_request(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    struct answer *a = client_get(c, "/abc");

    (void)state;
    assert_int_equal(a->status, 200);
    assert_string_equal(a->fields, "content-length: 4\nx: y\n");
    assert_string_equal(a->small, "/abc");
    assert_int_equal(a->error_code, NGHTTP2_NO_ERROR);
    client_close(c);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 1);
    stage_close(stage);
}

static void test_interim_responses(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    struct answer *a = client_get(c, "/hints");

    (void)state;
    assert_string_equal(a->fields, "link: </a>\ncontent-length: 6\nx: y\n");
    assert_int_equal(a->status, 200);
    assert_string_equal(a->small, "/hints");
    client_close(c);
    stage_close(stage);
}

static void test_responses_without_a_body(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    struct answer *a = answer_of(c, client_ask_with(c, "HEAD", "/map/1000", NULL, 0, true));

    (void)state;
    CLIENT_UNTIL(c, a->closed);
    assert_string_equal(a->fields, "content-length: 1000\n");
    assert_int_equal(a->body_size, 0);
    a = client_get(c, "/304");
    assert_int_equal(a->status, 304);
    assert_string_equal(a->fields, "content-length: 5\netag: \"a\"\n");
    a = client_get(c, "/204");
    assert_int_equal(a->status, 204);
    assert_string_equal(a->fields, "");
    a = answer_of(c, client_ask_with(c, "HEAD", "/head-unknown", NULL, 0, true));
    CLIENT_UNTIL(c, a->closed);
    assert_string_equal(a->fields, "");
    a = client_get(c, "/map/0");
    assert_string_equal(a->fields, "content-length: 0\n");
    assert_true(a->ended);
    client_close(c);
    stage_close(stage);
}

static void test_a_body_of_no_said_length(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    struct answer *a = client_get(c, "/pieces");

    (void)state;
    assert_string_equal(a->small, "abcdef");
    assert_string_equal(a->fields, "x-upper-case: Y\na: b\n");
    assert_true(a->ended);
    a = client_get(c, "/unknown/0");
    assert_true(a->ended && a->body_size == 0);
    client_close(c);
    stage_close(stage);
}

/* Mapped, from the file, of unknown length; by a fast reader and by one whose socket is always full. */
static void test_large_bodies_are_the_same_bytes(void **state)
{
    static const char *const paths[] = {"/map/4194304", "/file/4194304", "/unknown/4194304", "/big-reply"};
    struct stage *stage = stage_open();

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_COUNT(paths); i++) {
        struct client *c = client_open(stage, i % 2 ? WINDOW : 1 << 30, true, i % 2 ? 4096 : 0);
        struct answer *a = client_get(c, paths[i / 2]);

        assert_int_equal(a->body_size, i / 2 == 3 ? EXCHANGE_REPLY_SIZE_MAX : LARGE_SIZE);
        assert_true(a->ended);
        client_close(c);
    }
    stage_close(stage);
}

/* What sent_bytes says is what came over the wire, but for the client's own overheads. */
static void test_sent_bytes_count_frames(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 1 << 30, true, 0);

    (void)state;
    client_get(c, "/map/1000");
    client_ping(c);
    /* HEADERS: ":status: 200" is one byte, "content-length: 1000" a name of one or two and three or four of
     * value. */
    assert_in_range(stage->sent_bytes, 9 + 4 + 9 + 1000, 9 + 12 + 9 + 1000);
    client_close(c);
    stage_close(stage);
}

static void test_many_streams_at_once(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    int32_t ids[100];

    (void)state;
    for (int i = 0; i < 100; i++) {
        char path[32];

        snprintf(path, sizeof(path), i % 3 ? "/map/%d" : "/x%d", i % 3 ? i * 1000 : i);
        ids[i] = client_ask(c, path);
    }
    for (int i = 0; i < 100; i++) {
        struct answer *a = answer_of(c, ids[i]);

        CLIENT_UNTIL(c, a->closed);
        assert_int_equal(a->status, 200);
        if (i % 3)
            assert_int_equal(a->body_size, i * 1000);
        assert_true(a->ended);
    }
    client_close(c);
    stage_close(stage);
}

/* A window of one byte: a body goes byte by byte, and a small one is taken from its handler at once. */
static void test_tiny_windows(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 1, false, 0);
    int32_t id = client_ask(c, "/must-take-all"), other = client_ask(c, "/map/3");
    struct answer *a = answer_of(c, id);

    (void)state;
    for (size_t i = 1; i <= 5; i++) {
        CLIENT_UNTIL(c, a->body_size == i);
        client_ping(c);
        assert_int_equal(a->body_size, i);
        client_widen(c, id, 1);
    }
    CLIENT_UNTIL(c, a->closed);
    assert_string_equal(a->small, "small");
    client_widen(c, other, 2);
    CLIENT_UNTIL(c, answer_of(c, other)->closed);
    assert_int_equal(stage->gone_count, 0);
    client_close(c);
    stage_close(stage);
}

static void set_initial_window(struct client *c, uint32_t window)
{
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};

    assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1), 0);
    client_send(c);
}

/* A window that a SETTINGS frame makes negative opens only when it is above zero again. */
static void test_negative_windows(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 100, false, 0);
    int32_t id = client_ask(c, "/map/1000");
    struct answer *a = answer_of(c, id);

    (void)state;
    CLIENT_UNTIL(c, a->body_size == 100);
    set_initial_window(c, 20); /* -80 */
    client_widen(c, id, 80);
    client_ping(c);
    assert_int_equal(a->body_size, 100);
    client_widen(c, id, 1);
    CLIENT_UNTIL(c, a->body_size == 101);
    set_initial_window(c, 2000);
    CLIENT_UNTIL(c, a->closed);
    assert_int_equal(a->body_size, 1000);
    client_close(c);
    stage_close(stage);
}

static void test_a_reset_is_told(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, false, 0);
    int32_t id = client_ask(c, "/map/1000000");

    (void)state;
    CLIENT_UNTIL(c, answer_of(c, id)->body_size == WINDOW);
    client_reset(c, id);
    stage_await(stage);
    assert_string_equal(stage->gone, "client_closed");
    assert_int_equal(client_get(c, "/304")->status, 304); /* the connection goes on */
    client_close(c);
    stage_close(stage);
}

static void test_a_client_that_leaves_is_told(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, false, 0);

    (void)state;
    client_ask(c, "/wait");
    stage_await(stage);
    client_ask(c, "/map/1000000");
    client_ping(c);
    client_close(c);
    stage_await(stage);
    stage_await(stage);
    assert_int_equal(stage->gone_count, 2);
    assert_string_equal(stage->gone, "client_closed");
    stage_close(stage);
}

static void test_aborts(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    struct answer *a = client_get(c, "/abort");

    (void)state;
    assert_int_equal(a->status, 0);
    assert_int_equal(a->error_code, NGHTTP2_INTERNAL_ERROR);
    a = client_get(c, "/abort-late");
    assert_int_equal(a->error_code, NGHTTP2_INTERNAL_ERROR);
    assert_false(a->ended);
    assert_int_equal(client_get(c, "/a")->status, 200);
    client_close(c);
    stage_close(stage);
}

static void answer_waiting(struct stage *stage)
{
    struct visit *v = stage->waiting->user;

    free(v);
    exchange_reply(stage->waiting, 200, SLICE_LITERAL("X: y\r\n"), SLICE_LITERAL("late"));
}

static void test_an_answer_comes_when_it_comes(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    int32_t id = client_ask(c, "/wait");

    (void)state;
    stage_await(stage);
    assert_int_equal(client_get(c, "/a")->status, 200);
    stage_order(stage, answer_waiting);
    CLIENT_UNTIL(c, answer_of(c, id)->closed);
    assert_string_equal(answer_of(c, id)->small, "late");
    client_close(c);
    stage_close(stage);
}

/* --- Priorities: RFC 9218. --- */

static int32_t ask_with_priority(struct client *c, const char *path, const char *priority)
{
    nghttp2_nv field = NV("priority", priority);

    return client_ask_with(c, "GET", path, &field, 1, true);
}

static void forget_order(struct client *c)
{
    client_ping(c);
    c->data_order_count = 0;
}

/* The connection's window is shut; what waits is then served by urgency, and whole ones in their order. */
static void test_the_urgent_goes_first(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 1 << 20, false, 0);
    int32_t shut = client_ask(c, "/map/65535"), late, second, third, first;

    (void)state;
    CLIENT_UNTIL(c, answer_of(c, shut)->closed);
    late = ask_with_priority(c, "/map/30000", "u=6");
    second = ask_with_priority(c, "/map/30000", "u=2");
    third = ask_with_priority(c, "/map/30000", "u=2");
    first = ask_with_priority(c, "/map/30000", "u=0");
    forget_order(c);
    client_widen(c, 0, 120000);
    CLIENT_UNTIL(c, answer_of(c, late)->closed);
    assert_int_equal(c->data_order_count, 4);
    assert_int_equal(c->data_order[0], first);
    assert_int_equal(c->data_order[1], second);
    assert_int_equal(c->data_order[2], third);
    assert_int_equal(c->data_order[3], late);
    client_close(c);
    stage_close(stage);
}

static void test_incremental_ones_share(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 1 << 20, false, 0);
    int32_t shut = client_ask(c, "/map/65535"), a, b;

    (void)state;
    CLIENT_UNTIL(c, answer_of(c, shut)->closed);
    a = ask_with_priority(c, "/map/500000", "i");
    b = ask_with_priority(c, "/map/500000", "u=3, i");
    forget_order(c);
    client_widen(c, 0, 1000000);
    CLIENT_UNTIL(c, answer_of(c, a)->closed && answer_of(c, b)->closed);
    assert_true(c->data_order_count >= 10); /* 64 KiB each time */
    client_close(c);
    stage_close(stage);
}

static void test_a_priority_may_change(void **state)
{
    static const char update[] = "\0\0\0\x05u=0";
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, 1 << 20, false, 0);
    int32_t shut = client_ask(c, "/map/65535"), before, raised;

    (void)state;
    CLIENT_UNTIL(c, answer_of(c, shut)->closed);
    before = client_ask(c, "/map/1000");
    raised = client_ask(c, "/map/1000");
    assert_int_equal(raised, 5);
    client_raw_frame(c, NGHTTP2_PRIORITY_UPDATE, 0, 0, update, sizeof(update) - 1);
    forget_order(c);
    client_widen(c, 0, 2000);
    CLIENT_UNTIL(c, answer_of(c, before)->closed);
    assert_int_equal(c->data_order[0], raised);
    client_close(c);
    stage_close(stage);
}

/* --- Bodies of requests. --- */

static int32_t post(struct client *c, const char *length)
{
    nghttp2_nv field = NV("content-length", length ? length : "");

    return client_ask_with(c, "POST", "/post", &field, length != NULL, false);
}

static void test_bodies_are_refused(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);

    (void)state;
    for (int i = 0; i < 2; i++) {
        int32_t id = post(c, i ? NULL : "4");
        struct answer *a = answer_of(c, id);

        if (i)
            client_raw_frame(c, NGHTTP2_DATA, 0, id, "data", 4);
        CLIENT_UNTIL(c, a->ended);
        assert_int_equal(a->status, 413);
        assert_string_equal(a->small, "request_body_not_accepted");
        stage_await(stage);
        assert_int_equal(stage->refused_status, 413);
        client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, i ? "" : "data", i ? 0 : 4);
    }
    assert_int_equal(client_get(c, "/a")->status, 200);
    client_close(c);
    stage_close(stage);
}

/* A client that goes on with its body is told to stop, without an error. */
static void test_a_body_that_goes_on_is_cut_off(void **state)
{
    static const char waste[1024];
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    int32_t id = post(c, "1000000");
    struct answer *a = answer_of(c, id);

    (void)state;
    CLIENT_UNTIL(c, a->ended);
    for (int i = 0; i < 20; i++)
        client_raw_frame(c, NGHTTP2_DATA, 0, id, waste, sizeof(waste));
    CLIENT_UNTIL(c, a->closed);
    assert_int_equal(a->status, 413);
    assert_int_equal(a->error_code, NGHTTP2_NO_ERROR);
    client_close(c);
    stage_close(stage);
}

static struct stage *stage_with_bodies(size_t body_size_max)
{
    struct stage *stage = stage_new();

    stage->options.body_size_max = body_size_max;
    return stage_start(stage);
}

static void test_bodies_are_collected(void **state)
{
    struct stage *stage = stage_with_bodies(20);
    struct client *c = client_open(stage, WINDOW, true, 0);
    int32_t id = post(c, "9");

    (void)state;
    client_raw_frame(c, NGHTTP2_DATA, 0, id, "abcd", 4);
    client_raw_frame(c, NGHTTP2_DATA, 0, id, "", 0);
    client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "efghi", 5);
    CLIENT_UNTIL(c, answer_of(c, id)->ended);
    assert_int_equal(answer_of(c, id)->status, 200);
    assert_string_equal(stage->body, "abcdefghi");
    id = post(c, NULL);
    client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "12345678901234567890", 20);
    CLIENT_UNTIL(c, answer_of(c, id)->ended);
    assert_string_equal(stage->body, "12345678901234567890");
    id = post(c, NULL);
    client_raw_frame(c, NGHTTP2_DATA, 0, id, "123456789012345678901", 21);
    CLIENT_UNTIL(c, answer_of(c, id)->ended);
    assert_int_equal(answer_of(c, id)->status, 413);
    client_close(c);
    stage_close(stage);
}

/* All that wait for their end share the memory that one may take. */
static void test_bodies_share_one_bound(void **state)
{
    struct stage *stage = stage_with_bodies(20);
    struct client *c = client_open(stage, WINDOW, true, 0);
    int32_t one = post(c, NULL), two = post(c, NULL);

    (void)state;
    client_raw_frame(c, NGHTTP2_DATA, 0, one, "123456789012", 12);
    client_raw_frame(c, NGHTTP2_DATA, 0, two, "123456789012", 12);
    CLIENT_UNTIL(c, answer_of(c, two)->closed);
    assert_int_equal(answer_of(c, two)->error_code, NGHTTP2_REFUSED_STREAM);
    client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, one, "345", 3);
    CLIENT_UNTIL(c, answer_of(c, one)->ended);
    assert_string_equal(stage->body, "123456789012345");
    client_close(c);
    stage_close(stage);
}

static void test_continue_is_said(void **state)
{
    struct stage *stage = stage_with_bodies(20);
    struct client *c = client_open(stage, WINDOW, true, 0);
    nghttp2_nv field = NV("expect", "100-continue");
    int32_t id = client_ask_with(c, "POST", "/post", &field, 1, false);

    (void)state;
    CLIENT_UNTIL(c, answer_of(c, id)->status == 100);
    client_raw_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "abc", 3);
    CLIENT_UNTIL(c, answer_of(c, id)->ended);
    assert_int_equal(answer_of(c, id)->status, 200);
    client_close(c);
    stage_close(stage);
}

/* --- Refusals. --- */

static void test_large_heads_are_refused(void **state)
{
    static char text[17000];
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    nghttp2_nv field = NV("x", text), many[120];
    struct answer *a;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    field.valuelen = sizeof(text) - 1;
    a = answer_of(c, client_ask_with(c, "GET", "/", &field, 1, true));
    CLIENT_UNTIL(c, a->closed);
    assert_int_equal(a->status, 431);
    assert_string_equal(a->small, "request_head_too_large");
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i] = NV("x", "y");
    a = answer_of(c, client_ask_with(c, "HEAD", "/", many, ARRAY_COUNT(many), true));
    CLIENT_UNTIL(c, a->closed);
    assert_int_equal(a->status, 431);
    assert_int_equal(a->body_size, 0);
    text[0] = '/';
    text[501] = '\0';
    a = client_get(c, text);
    assert_int_equal(a->status, 414);
    assert_int_equal(client_get(c, "/a")->status, 200);
    client_close(c);
    stage_close(stage);
}

static void test_malformed_requests_are_reset(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);
    const nghttp2_nv fields[] = {NV("host", "other.test"), NV("content-length", "1"), NV("x", "a\x01")};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        struct answer *a = answer_of(c, client_ask_with(c, "GET", "/", &fields[i], 1, true));

        CLIENT_UNTIL(c, a->closed);
        assert_int_equal(a->error_code, NGHTTP2_PROTOCOL_ERROR);
        stage_await(stage);
        assert_string_equal(stage->refused, "bad_request");
    }
    assert_int_equal(client_get(c, "/a")->status, 200);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 1);
    client_close(c);
    stage_close(stage);
}

/* --- Prior knowledge on a plain connection. --- */

static void test_a_preface_split_anywhere(void **state)
{
    static const char hello[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\x04\0\0\0\0\0";
    struct stage *stage = stage_open();

    (void)state;
    for (size_t split = 1; split < sizeof(hello) - 1; split += 4) {
        int fd = client_dial(&stage->address, 0);
        char frame[9];

        assert_int_equal(send(fd, hello, split, 0), split);
        assert_int_equal(send(fd, hello + split, sizeof(hello) - 1 - split, 0), sizeof(hello) - 1 - split);
        assert_int_equal(recv(fd, frame, sizeof(frame), MSG_WAITALL), sizeof(frame));
        assert_int_equal(frame[3], NGHTTP2_SETTINGS);
        close(fd);
    }
    stage_close(stage);
}

static void test_what_only_begins_like_a_preface(void **state)
{
    static const char *const texts[] = {"PRI / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
                                        "PRI * HTTP/2.0\r\nHost: x\r\n\r\n"};
    struct stage *stage = stage_open();

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        char answer[64] = "";
        int fd = client_dial(&stage->address, 0);

        assert_true(send(fd, texts[i], strlen(texts[i]), 0) > 0);
        assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 12);
        if (strncmp(answer, "HTTP/1.1 400", 12) != 0)
            assert_memory_equal(answer, "HTTP/1.1 505", 12);
        close(fd);
    }
    stage_close(stage);
}

/* --- Deadlines. --- */

static void test_an_idle_connection_ends(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;

    (void)state;
    stage->options.idle_timeout_ms = 60;
    c = client_open(stage_start(stage), WINDOW, true, 0);
    assert_int_equal(client_get(c, "/a")->status, 200);
    client_hear_end(c);
    assert_true(c->got_goaway && !c->was_reset);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(c->goaway_last, 1);
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_IDLE_TIMEOUT), 1);
    client_close(c);
    stage_close(stage);
}

static void test_a_wait_for_the_handler_is_not_idle(void **state)
{
    struct stage *stage = stage_new();
    struct client *c, *idle;
    int32_t id;

    (void)state;
    stage->options.idle_timeout_ms = 60;
    c = client_open(stage_start(stage), WINDOW, true, 0);
    id = client_ask(c, "/wait");
    stage_await(stage);
    idle = client_open(stage, WINDOW, true, 0);
    client_hear_end(idle);
    stage_order(stage, answer_waiting);
    CLIENT_UNTIL(c, answer_of(c, id)->closed);
    assert_int_equal(answer_of(c, id)->status, 200);
    client_close(idle);
    client_close(c);
    stage_close(stage);
}

static void test_half_a_header_block_ends_the_connection(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;

    (void)state;
    stage->options.header_timeout_ms = 60;
    c = client_open(stage_start(stage), WINDOW, true, 0);
    client_ping(c);
    client_raw_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82", 1);
    client_hear_end(c);
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_HEADER_TIMEOUT), 1);
    client_close(c);
    stage_close(stage);
}

static void test_a_body_that_does_not_come_is_refused(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;
    struct answer *a;

    (void)state;
    stage->options.header_timeout_ms = 60;
    stage->options.body_size_max = 100;
    c = client_open(stage_start(stage), WINDOW, true, 0);
    a = answer_of(c, post(c, NULL));
    CLIENT_UNTIL(c, a->ended);
    assert_int_equal(a->status, 408);
    assert_string_equal(a->small, "header_timeout");
    assert_int_equal(client_get(c, "/a")->status, 200);
    client_close(c);
    stage_close(stage);
}

/* Nobody opens a window: the connection ends. */
static void test_windows_at_zero_end_the_connection(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;

    (void)state;
    stage->options.send_stall_timeout_ms = 60;
    c = client_open(stage_start(stage), 0, false, 0);
    client_ask(c, "/map/5000");
    client_ask(c, "/must-take-all");
    client_hear_end(c);
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_H2_WINDOW_STALL), 1);
    assert_string_equal(stage->gone, "send_timeout");
    client_close(c);
    stage_close(stage);
}

/* One window is shut while others move: only that stream ends. */
static void test_one_window_at_zero_ends_its_stream(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;
    int32_t stalled, moving;

    (void)state;
    stage->options.send_stall_timeout_ms = 300;
    c = client_open(stage_start(stage), 0, false, 0);
    stalled = client_ask(c, "/map/5000");
    moving = client_ask(c, "/map/60000");
    while (!answer_of(c, stalled)->closed) { /* a byte for each 10 ms in which nothing comes */
        struct pollfd news = {.fd = c->fd, .events = POLLIN};

        if (poll(&news, 1, 10) > 0)
            assert_true(client_step(c));
        else
            client_widen(c, moving, 1);
    }
    assert_int_equal(answer_of(c, stalled)->error_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(stage->gone, "send_timeout");
    client_widen(c, moving, 60000);
    CLIENT_UNTIL(c, answer_of(c, moving)->closed);
    assert_int_equal(answer_of(c, moving)->body_size, 60000);
    client_close(c);
    stage_close(stage);
}

static void test_a_full_socket_ends_the_connection(void **state)
{
    struct stage *stage = stage_new();
    struct client *c;

    (void)state;
    stage->options.send_stall_timeout_ms = 100;
    c = client_open(stage_start(stage), 1 << 30, false, 4096);
    nghttp2_submit_window_update(c->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    for (int i = 0; i < 8; i++)
        client_ask(c, "/map/4194304");
    for (int i = 0; i < 8; i++)
        stage_await(stage);
    assert_string_equal(stage->gone, "send_timeout");
    assert_int_equal(stage_refusals(stage, HTTP_REFUSAL_SEND_TIMEOUT), 1);
    client_hear_end(c);
    assert_true(c->was_reset);
    client_close(c);
    stage_close(stage);
}

/* --- Draining and stopping. --- */

static void on_drained(void *user)
{
    sem_post(&((struct stage *)user)->event);
}

static void drain(struct stage *stage)
{
    http_server_drain(stage->server, on_drained, stage);
}

static void test_drain_lets_streams_end(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, false, 0), *idle = client_open(stage, WINDOW, true, 0);
    int32_t id = client_ask(c, "/map/100000");

    (void)state;
    client_get(idle, "/a");
    CLIENT_UNTIL(c, answer_of(c, id)->body_size == WINDOW);
    stage_order(stage, drain);
    client_hear_end(idle);
    assert_true(idle->got_goaway && !idle->was_reset);
    CLIENT_UNTIL(c, c->got_goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(c->goaway_last, id);
    client_widen(c, 0, 100000);
    client_widen(c, id, 100000);
    client_hear_end(c);
    assert_true(answer_of(c, id)->ended && answer_of(c, id)->body_size == 100000);
    stage_await(stage);
    client_close(idle);
    client_close(c);
    stage_close(stage);
}

static void test_free_tells_those_who_wait(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, false, 0);

    (void)state;
    client_ask(c, "/wait");
    stage_await(stage);
    client_ask(c, "/map/1000000");
    client_ping(c);
    stage_stop(stage);
    assert_int_equal(stage->gone_count, 2);
    assert_string_equal(stage->gone, "server_stopped");
    client_close(c);
    stage_free(stage);
}

static void test_a_client_says_goaway(void **state)
{
    struct stage *stage = stage_open();
    struct client *c = client_open(stage, WINDOW, true, 0);

    (void)state;
    client_get(c, "/a");
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    nghttp2_session_send(c->session);
    client_hear_end(c);
    assert_false(c->was_reset);
    client_close(c);
    stage_close(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request),
        cmocka_unit_test(test_interim_responses),
        cmocka_unit_test(test_responses_without_a_body),
        cmocka_unit_test(test_a_body_of_no_said_length),
        cmocka_unit_test(test_large_bodies_are_the_same_bytes),
        cmocka_unit_test(test_sent_bytes_count_frames),
        cmocka_unit_test(test_many_streams_at_once),
        cmocka_unit_test(test_tiny_windows),
        cmocka_unit_test(test_negative_windows),
        cmocka_unit_test(test_a_reset_is_told),
        cmocka_unit_test(test_a_client_that_leaves_is_told),
        cmocka_unit_test(test_aborts),
        cmocka_unit_test(test_an_answer_comes_when_it_comes),
        cmocka_unit_test(test_the_urgent_goes_first),
        cmocka_unit_test(test_incremental_ones_share),
        cmocka_unit_test(test_a_priority_may_change),
        cmocka_unit_test(test_bodies_are_refused),
        cmocka_unit_test(test_a_body_that_goes_on_is_cut_off),
        cmocka_unit_test(test_bodies_are_collected),
        cmocka_unit_test(test_bodies_share_one_bound),
        cmocka_unit_test(test_continue_is_said),
        cmocka_unit_test(test_large_heads_are_refused),
        cmocka_unit_test(test_malformed_requests_are_reset),
        cmocka_unit_test(test_a_preface_split_anywhere),
        cmocka_unit_test(test_what_only_begins_like_a_preface),
        cmocka_unit_test(test_an_idle_connection_ends),
        cmocka_unit_test(test_a_wait_for_the_handler_is_not_idle),
        cmocka_unit_test(test_half_a_header_block_ends_the_connection),
        cmocka_unit_test(test_a_body_that_does_not_come_is_refused),
        cmocka_unit_test(test_windows_at_zero_end_the_connection),
        cmocka_unit_test(test_one_window_at_zero_ends_its_stream),
        cmocka_unit_test(test_a_full_socket_ends_the_connection),
        cmocka_unit_test(test_drain_lets_streams_end),
        cmocka_unit_test(test_free_tells_those_who_wait),
        cmocka_unit_test(test_a_client_says_goaway),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
