/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets and header blocks, by frames made here byte by byte, split anywhere. */
#include "h2_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct watch {
    struct h2_guard guard;
    uint64_t now_ms;
    size_t split; /* bytes given at once; 0: all */
    enum http_refusal refusal;
};

static void watch_init(struct watch *w, size_t split)
{
    *w = (struct watch){.now_ms = 1000, .split = split, .refusal = HTTP_REFUSAL_COUNT};
    h2_guard_init(&w->guard, w->now_ms);
    assert_true(h2_guard_is_in_block(&w->guard));
    assert_true(h2_guard_look(&w->guard, H2_PREFACE, H2_PREFACE_SIZE, w->now_ms, &w->refusal));
    assert_false(h2_guard_is_in_block(&w->guard));
}

static bool give(struct watch *w, const char *data, size_t size)
{
    size_t step = w->split ? w->split : size;

    for (size_t at = 0; at < size; at += step)
        if (!h2_guard_look(&w->guard, data + at, size_min(step, size - at), w->now_ms, &w->refusal))
            return false;
    return true;
}

static bool frame_on(struct watch *w, uint32_t id, int type, int flags, size_t size)
{
    char *bytes = calloc(1, H2_FRAME_HEAD_SIZE + size);
    bool good;

    bytes[0] = (char)(size >> 16);
    bytes[1] = (char)(size >> 8);
    bytes[2] = (char)size;
    bytes[3] = (char)type;
    bytes[4] = (char)flags;
    bytes[7] = (char)(id >> 8);
    bytes[8] = (char)id;
    good = give(w, bytes, H2_FRAME_HEAD_SIZE + size);
    if (!good)
        w->guard.payload_left = 0; /* a connection would be over: the tests go on with the next frame */
    free(bytes);
    return good;
}

static bool frame(struct watch *w, int type, int flags, size_t size)
{
    return frame_on(w, 1, type, flags, size);
}

/* How many of these frames pass at one moment; at most `most` are tried. */
static unsigned count_passing(struct watch *w, int type, int flags, size_t size, unsigned most)
{
    unsigned count = 0;

    while (count < most && frame(w, type, flags, size))
        count++;
    return count;
}

static void test_each_flood_has_its_name(void **state)
{
    static const struct {
        int type, flags;
        size_t size;
        unsigned burst, per_s;
        enum http_refusal refusal;
    } floods[] = {
        {RST_STREAM, 0, 4, 100, 10, HTTP_REFUSAL_H2_RAPID_RESET},
        {SETTINGS, 0, 0, 32, 1, HTTP_REFUSAL_H2_SETTINGS_FLOOD},
        {SETTINGS, ACK, 0, 32, 1, HTTP_REFUSAL_H2_SETTINGS_FLOOD},
        {PING, 0, 8, 64, 5, HTTP_REFUSAL_H2_PING_FLOOD},
        {PRIORITY, 0, 5, 128, 20, HTTP_REFUSAL_H2_PRIORITY_FLOOD},
        {0x10, 0, 9, 128, 20, HTTP_REFUSAL_H2_PRIORITY_FLOOD},
        {DATA, 0, 0, 32, 2, HTTP_REFUSAL_H2_EMPTY_FRAME_FLOOD},
        {CONTINUATION, END_HEADERS, 0, 8, 0, HTTP_REFUSAL_H2_CONTINUATION_FLOOD},
        {WINDOW_UPDATE, 0, 4, 1000, 100, HTTP_REFUSAL_H2_WINDOW_UPDATE_FLOOD},
        {DATA, 0, 1, 1024, 64, HTTP_REFUSAL_H2_DATA_FLOOD},
        {DATA, 0, 16384, 64, 4, HTTP_REFUSAL_H2_DATA_FLOOD},
        {PUSH_PROMISE, 0, 4, 64, 5, HTTP_REFUSAL_H2_CONTROL_FLOOD},
        {GOAWAY, 0, 8, 64, 5, HTTP_REFUSAL_H2_CONTROL_FLOOD},
        {0xfa, 0, 3, 64, 5, HTTP_REFUSAL_H2_CONTROL_FLOOD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(floods); i++) {
        struct watch w;

        watch_init(&w, i % 4);
        assert_int_equal(count_passing(&w, floods[i].type, floods[i].flags, floods[i].size, 5000),
                         floods[i].burst);
        assert_int_equal(w.refusal, floods[i].refusal);
        w.now_ms += 1000;
        assert_int_equal(count_passing(&w, floods[i].type, floods[i].flags, floods[i].size, 5000),
                         floods[i].per_s);
    }
}

static void test_a_budget_fills_up_to_its_burst_only(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    assert_int_equal(count_passing(&w, PING, 0, 8, 1000), 64);
    w.now_ms += 3600000; /* an hour */
    assert_int_equal(count_passing(&w, PING, 0, 8, 1000), 64);
    w.now_ms += 100; /* half a ping */
    assert_int_equal(count_passing(&w, PING, 0, 8, 1000), 0);
    w.now_ms += 100;
    assert_int_equal(count_passing(&w, PING, 0, 8, 1000), 1);
}

static void test_budgets_are_apart(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    assert_int_equal(count_passing(&w, PING, 0, 8, 1000), 64);
    assert_true(frame(&w, RST_STREAM, 0, 4));
    assert_true(frame(&w, SETTINGS, 0, 6));
}

/* What a viewer needs: requests, priorities that come with them, updates for what it got, ends of streams. */
static void test_good_behaviour_is_never_refused(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 7);
    for (uint32_t id = 1; id < 10000; id += 2) {
        assert_true(frame_on(&w, id, HEADERS, END_HEADERS, 40));
        assert_true(frame_on(&w, id, PRIORITY, 0, 5));
        h2_guard_earn(&w.guard, H2_BUDGET_WINDOW_UPDATES, 2048);
        assert_true(frame(&w, WINDOW_UPDATE, 0, 4));
        assert_true(frame(&w, WINDOW_UPDATE, 0, 4));
        assert_true(frame_on(&w, id, DATA, END_STREAM, 0));
    }
}

static void test_a_stream_that_has_ended(void **state)
{
    static const struct {
        int type, flags;
    } ends[] = {{HEADERS, END_HEADERS | END_STREAM}, {DATA, END_STREAM}, {RST_STREAM, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        struct watch w;

        watch_init(&w, i);
        assert_true(frame_on(&w, 5, HEADERS, END_HEADERS, 10));
        assert_true(frame_on(&w, 7, HEADERS, END_HEADERS, 10));
        assert_true(frame_on(&w, 5, DATA, 0, 10));
        assert_true(frame_on(&w, 5, ends[i].type, ends[i].flags, 4));
        assert_true(frame_on(&w, 5, WINDOW_UPDATE, 0, 4)); /* these may still come */
        assert_true(frame_on(&w, 5, RST_STREAM, 0, 4));
        assert_true(frame_on(&w, 7, DATA, 0, 10));
        assert_false(frame_on(&w, 5, i == 1 ? HEADERS : DATA, END_STREAM, 10));
        assert_int_equal(w.refusal, HTTP_REFUSAL_H2_PROTOCOL_ERROR);
        assert_true(w.guard.is_stream_closed);
        assert_false(frame_on(&w, 3, HEADERS, END_HEADERS, 10)); /* skipped, so it counts as ended */
    }
}

/* More open streams than are remembered: nothing is refused that might be right. */
static void test_many_open_streams(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    for (uint32_t id = 1; id < 200; id += 2)
        assert_true(frame_on(&w, id, HEADERS, END_HEADERS, 10));
    for (uint32_t id = 1; id < 200; id += 2)
        assert_true(frame_on(&w, id, DATA, END_STREAM, 10));
}

static void test_priorities_make_sense(void **state)
{
    static const char good[] = "\0\0\x05\x02\0\0\0\0\x03\x80\0\0\x01\x0f",
                      bad[] = "\0\0\x05\x02\0\0\0\0\x03\x80\0\0\x03\x0f";
    struct watch w;

    (void)state;
    for (size_t split = 0; split < 14; split++) {
        watch_init(&w, split);
        assert_true(give(&w, good, 14));
        assert_false(give(&w, bad, 14));
        assert_int_equal(w.refusal, HTTP_REFUSAL_H2_PROTOCOL_ERROR);
        watch_init(&w, split);
        assert_false(frame_on(&w, 0, PRIORITY, 0, 5));
    }
}

static void test_spending_and_earning(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    assert_true(h2_guard_spend(&w.guard, H2_BUDGET_MADE_RESETS, 50));
    assert_false(h2_guard_spend(&w.guard, H2_BUDGET_MADE_RESETS, 1));
    h2_guard_earn(&w.guard, H2_BUDGET_MADE_RESETS, 2);
    assert_true(h2_guard_spend(&w.guard, H2_BUDGET_MADE_RESETS, 2));
    h2_guard_earn(&w.guard, H2_BUDGET_MADE_RESETS, UINT64_MAX / 1000);
    assert_true(h2_guard_spend(&w.guard, H2_BUDGET_MADE_RESETS, 50));
    assert_false(h2_guard_spend(&w.guard, H2_BUDGET_MADE_RESETS, 1));
    assert_int_equal(h2_guard_refusal(H2_BUDGET_MADE_RESETS), HTTP_REFUSAL_H2_MADE_RESET);
}

static void test_header_blocks(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 1);
    assert_true(frame(&w, HEADERS, 0, 10));
    assert_true(h2_guard_is_in_block(&w.guard));
    for (int i = 0; i < 7; i++)
        assert_true(frame(&w, CONTINUATION, 0, 10));
    assert_true(h2_guard_is_in_block(&w.guard));
    assert_true(frame(&w, CONTINUATION, END_HEADERS, 10));
    assert_false(h2_guard_is_in_block(&w.guard));
    assert_true(frame(&w, HEADERS, 0, 10)); /* each block has its own eight */
    for (int i = 0; i < 8; i++)
        assert_true(frame(&w, CONTINUATION, 0, 10));
    assert_false(frame(&w, CONTINUATION, END_HEADERS, 10));
    assert_int_equal(w.refusal, HTTP_REFUSAL_H2_CONTINUATION_FLOOD);
}

static void test_a_header_block_has_a_size(void **state)
{
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    assert_true(frame(&w, HEADERS, 0, 16384));
    for (int i = 0; i < 3; i++)
        assert_true(frame(&w, CONTINUATION, 0, 16384));
    assert_false(frame(&w, CONTINUATION, END_HEADERS, 1));
    assert_int_equal(w.refusal, HTTP_REFUSAL_H2_HEADER_FLOOD);
}

/* A HEADERS frame of which not all has come is part of a block too. */
static void test_half_a_frame_is_a_block_begun(void **state)
{
    static const char head[] = "\0\0\x05\x01\x05\0\0\0\x01"
                               "abcde";
    struct watch w;

    (void)state;
    watch_init(&w, 0);
    assert_true(give(&w, head, 11));
    assert_true(h2_guard_is_in_block(&w.guard));
    assert_true(give(&w, head + 11, 3));
    assert_false(h2_guard_is_in_block(&w.guard));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_flood_has_its_name),
        cmocka_unit_test(test_a_budget_fills_up_to_its_burst_only),
        cmocka_unit_test(test_budgets_are_apart),
        cmocka_unit_test(test_good_behaviour_is_never_refused),
        cmocka_unit_test(test_a_stream_that_has_ended),
        cmocka_unit_test(test_many_open_streams),
        cmocka_unit_test(test_priorities_make_sense),
        cmocka_unit_test(test_spending_and_earning),
        cmocka_unit_test(test_header_blocks),
        cmocka_unit_test(test_a_header_block_has_a_size),
        cmocka_unit_test(test_half_a_frame_is_a_block_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
