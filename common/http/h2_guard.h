/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the frames of one HTTP/2 connection as they come in, before nghttp2 sees them. What costs the peer
 * nearly nothing and us something has a budget: so many at once, so many a second for ever. And it refuses
 * what nghttp2, which keeps no closed streams and no priorities here, would let pass: DATA and HEADERS on
 * streams that the peer has ended (RFC 9113 section 5.1), PRIORITY frames that make no sense. It knows no
 * memory but its own, and no clock: time is a parameter.
 */
#ifndef HTTP_H2_GUARD_H
#define HTTP_H2_GUARD_H

#include "http/server.h"

/* Name, how many at once, how many more each second, and why the connection ends when there are none left.
 *
 * RESETS: viewers that seek or switch renditions cancel a few requests a second. MADE_RESETS: what the peer
 * makes us reset by breaking rules. WINDOW_UPDATES are counted in body bytes: an update costs 1 KiB, and each
 * body byte sent earns one, as updates are due for what was received; dribbling windows run dry. DATA: in
 * bytes; bodies are never wanted. OTHER: frames that a client has no reason to send. */
#define H2_BUDGETS(B)                                                \
    B(RESETS, 100, 10, H2_RAPID_RESET)                               \
    B(MADE_RESETS, 50, 5, H2_MADE_RESET)                             \
    B(REFUSED_STREAMS, 256, 10, H2_TOO_MANY_STREAMS)                 \
    B(SETTINGS, 32, 1, H2_SETTINGS_FLOOD)                            \
    B(PINGS, 64, 5, H2_PING_FLOOD)                                   \
    B(PRIORITIES, 128, 20, H2_PRIORITY_FLOOD)                        \
    B(EMPTY_FRAMES, 32, 2, H2_EMPTY_FRAME_FLOOD)                     \
    B(WINDOW_UPDATES, 1000 << 10, 100 << 10, H2_WINDOW_UPDATE_FLOOD) \
    B(DATA, 1 << 20, 64 << 10, H2_DATA_FLOOD)                        \
    B(OTHER, 64, 5, H2_CONTROL_FLOOD)

enum h2_budget {
#define B(name, burst, per_s, refusal) H2_BUDGET_##name,
    H2_BUDGETS(B)
#undef B
        H2_BUDGET_COUNT
};

#define H2_WINDOW_UPDATE_COST 1024u /* of H2_BUDGET_WINDOW_UPDATES */
#define H2_CONTINUATIONS_MAX  8u    /* of one header block: four heads of 16 KiB fit */
#define H2_HEADER_BLOCK_MAX   ((size_t)64 << 10)
#define H2_OPEN_IDS_MAX       32u
#define H2_FRAME_HEAD_SIZE    ((size_t)9)
#define H2_PREFACE            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_SIZE       (sizeof(H2_PREFACE) - 1)

struct h2_guard {
    uint64_t left_thousandths[H2_BUDGET_COUNT];
    uint64_t refilled_ms;

    size_t preface_left;
    unsigned char head[9]; /* of the frame that is coming in */
    size_t head_filled, payload_left;
    bool in_block; /* HEADERS or CONTINUATION without END_HEADERS was seen */
    unsigned continuations;
    size_t block_size;

    uint32_t last_id;                   /* the newest stream */
    uint32_t open_ids[H2_OPEN_IDS_MAX]; /* streams that the peer has begun and not ended */
    size_t open_count;
    bool has_forgotten;          /* there were more than that: nothing is known any more */
    unsigned char dependency[4]; /* of a PRIORITY frame */
    size_t dependency_filled;

    bool is_stream_closed; /* why it was refused: the GOAWAY says STREAM_CLOSED */
};

void h2_guard_init(struct h2_guard *g, uint64_t now_ms);

/* Looks at bytes that have arrived. False: *ret_refusal says why the connection must end. */
bool h2_guard_look(struct h2_guard *g, const char *data, size_t size, uint64_t now_ms,
                   enum http_refusal *ret_refusal);

/* False: the budget has less than that. */
bool h2_guard_spend(struct h2_guard *g, enum h2_budget budget, uint64_t amount);
void h2_guard_earn(struct h2_guard *g, enum h2_budget budget, uint64_t amount);
enum http_refusal h2_guard_refusal(enum h2_budget budget);

/* A header block has begun and not ended; until then the preface is taken for one. */
bool h2_guard_is_in_block(const struct h2_guard *g);

#endif
