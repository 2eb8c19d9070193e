/* SPDX-License-Identifier: Apache-2.0 */
/* Frame headers are read as RFC 9113 section 4.1 lays them out; whether a frame is legal is nghttp2's
 * business.
 */
#include "h2_guard.h"

#include "base/check.h"

#define THOUSANDTHS   1000u
#define DATA_COST_MIN ((size_t)1 << 10) /* a byte, or padding around nothing, is as much work */

/* RFC 9113 section 6, and RFC 9218 section 7.1. */
enum frame_type {
    FRAME_DATA = 0x0,
    FRAME_HEADERS = 0x1,
    FRAME_PRIORITY = 0x2,
    FRAME_RST_STREAM = 0x3,
    FRAME_SETTINGS = 0x4,
    FRAME_PING = 0x6,
    FRAME_WINDOW_UPDATE = 0x8,
    FRAME_CONTINUATION = 0x9,
    FRAME_PRIORITY_UPDATE = 0x10,
};

#define FLAG_END_STREAM  0x1
#define FLAG_END_HEADERS 0x4

static const struct {
    uint32_t burst, per_s;
    enum http_refusal refusal;
} budgets[H2_BUDGET_COUNT] = {
#define B(name, burst, per_s, refusal) {burst, per_s, HTTP_REFUSAL_##refusal},
    H2_BUDGETS(B)
#undef B
};

void h2_guard_init(struct h2_guard *g, uint64_t now_ms)
{
    *g = (struct h2_guard){.refilled_ms = now_ms, .preface_left = H2_PREFACE_SIZE};
    for (int i = 0; i < H2_BUDGET_COUNT; i++)
        g->left_thousandths[i] = (uint64_t)budgets[i].burst * THOUSANDTHS;
}

static void add(struct h2_guard *g, enum h2_budget budget, uint64_t thousandths)
{
    uint64_t full = (uint64_t)budgets[budget].burst * THOUSANDTHS, *left = &g->left_thousandths[budget];

    *left = thousandths < full - *left ? *left + thousandths : full;
}

static void refill(struct h2_guard *g, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - g->refilled_ms;

    if (elapsed_ms == 0)
        return;
    g->refilled_ms = now_ms;
    for (int i = 0; i < H2_BUDGET_COUNT; i++)
        add(g, (enum h2_budget)i, elapsed_ms * budgets[i].per_s); /* a second has a thousand of each */
}

bool h2_guard_spend(struct h2_guard *g, enum h2_budget budget, uint64_t amount)
{
    uint64_t thousandths = amount * THOUSANDTHS;

    if (thousandths > g->left_thousandths[budget])
        return false;
    g->left_thousandths[budget] -= thousandths;
    return true;
}

void h2_guard_earn(struct h2_guard *g, enum h2_budget budget, uint64_t amount)
{
    add(g, budget, amount * THOUSANDTHS);
}

enum http_refusal h2_guard_refusal(enum h2_budget budget)
{
    return budgets[budget].refusal;
}

static bool pay(struct h2_guard *g, enum h2_budget budget, uint64_t amount, enum http_refusal *ret_refusal)
{
    if (h2_guard_spend(g, budget, amount))
        return true;
    *ret_refusal = budgets[budget].refusal;
    return false;
}

static bool extend_block(struct h2_guard *g, unsigned flags, size_t size, enum http_refusal *ret_refusal)
{
    g->in_block = !(flags & FLAG_END_HEADERS);
    g->block_size += size;
    if (g->continuations > H2_CONTINUATIONS_MAX)
        *ret_refusal = HTTP_REFUSAL_H2_CONTINUATION_FLOOD;
    else if (g->block_size > H2_HEADER_BLOCK_MAX)
        *ret_refusal = HTTP_REFUSAL_H2_HEADER_FLOOD;
    else
        return true;
    return false;
}

/* A stream's number, without the reserved bit. */
static uint32_t read_id(const unsigned char *at)
{
    return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) & 0x7fffffff;
}

/* --- Streams, as the peer's own frames tell of them. --- */

static uint32_t *find_open(struct h2_guard *g, uint32_t id)
{
    for (size_t i = 0; i < g->open_count; i++)
        if (g->open_ids[i] == id)
            return &g->open_ids[i];
    return NULL;
}

static void open_stream(struct h2_guard *g, uint32_t id)
{
    g->last_id = id;
    if (g->open_count < H2_OPEN_IDS_MAX)
        g->open_ids[g->open_count++] = id;
    else
        g->has_forgotten = true;
}

static void end_stream(struct h2_guard *g, uint32_t id)
{
    uint32_t *open = find_open(g, id);

    if (open)
        *open = g->open_ids[--g->open_count];
}

/* DATA or HEADERS: may it come on this stream? A stream that was never begun is nghttp2's business. */
static bool use_stream(struct h2_guard *g, unsigned type, unsigned flags, uint32_t id)
{
    if (id > g->last_id && type == FRAME_HEADERS)
        open_stream(g, id);
    if (id <= g->last_id && id % 2 == 1 && !g->has_forgotten && !find_open(g, id)) {
        g->is_stream_closed = true;
        return false;
    }
    if (flags & FLAG_END_STREAM)
        end_stream(g, id);
    return true;
}

/* --- Frames. --- */

static bool is_legal(struct h2_guard *g, unsigned type, unsigned flags, uint32_t id)
{
    g->dependency_filled = 0;
    if (g->in_block) /* what interrupts a block is nghttp2's business */
        return true;
    if (type == FRAME_DATA || type == FRAME_HEADERS)
        return use_stream(g, type, flags, id);
    if (type == FRAME_RST_STREAM)
        end_stream(g, id);
    return type != FRAME_PRIORITY || id != 0;
}

static bool begin_frame(struct h2_guard *g, enum http_refusal *ret_refusal)
{
    size_t size = (size_t)g->head[0] << 16 | (size_t)g->head[1] << 8 | g->head[2];
    unsigned type = g->head[3], flags = g->head[4];

    g->payload_left = size;
    if (!is_legal(g, type, flags, read_id(g->head + 5))) {
        *ret_refusal = HTTP_REFUSAL_H2_PROTOCOL_ERROR;
        return false;
    }
    switch (type) {
    case FRAME_DATA:
        if (size == 0)
            return (flags & FLAG_END_STREAM) || pay(g, H2_BUDGET_EMPTY_FRAMES, 1, ret_refusal);
        return pay(g, H2_BUDGET_DATA, size_max(size, DATA_COST_MIN), ret_refusal);
    case FRAME_HEADERS:
        g->continuations = 0;
        g->block_size = 0;
        h2_guard_earn(g, H2_BUDGET_PRIORITIES, 1);
        return extend_block(g, flags, size, ret_refusal);
    case FRAME_CONTINUATION:
        g->continuations++;
        return (size > 0 || pay(g, H2_BUDGET_EMPTY_FRAMES, 1, ret_refusal)) &&
               extend_block(g, flags, size, ret_refusal);
    case FRAME_SETTINGS: return pay(g, H2_BUDGET_SETTINGS, 1, ret_refusal);
    case FRAME_PING: return pay(g, H2_BUDGET_PINGS, 1, ret_refusal);
    case FRAME_PRIORITY:
    case FRAME_PRIORITY_UPDATE: return pay(g, H2_BUDGET_PRIORITIES, 1, ret_refusal);
    case FRAME_RST_STREAM: return pay(g, H2_BUDGET_RESETS, 1, ret_refusal);
    case FRAME_WINDOW_UPDATE: return pay(g, H2_BUDGET_WINDOW_UPDATES, H2_WINDOW_UPDATE_COST, ret_refusal);
    default: return pay(g, H2_BUDGET_OTHER, 1, ret_refusal);
    }
}

/* Of a PRIORITY frame's payload: a stream cannot depend on itself (RFC 7540 section 5.3.1). */
static bool is_sane_priority(struct h2_guard *g, const char *data, size_t size)
{
    if (g->head[3] != FRAME_PRIORITY)
        return true;
    while (size > 0 && g->dependency_filled < sizeof(g->dependency)) {
        g->dependency[g->dependency_filled++] = (unsigned char)*data++;
        size--;
    }
    return g->dependency_filled < sizeof(g->dependency) || read_id(g->dependency) != read_id(g->head + 5);
}

static size_t skip(size_t *left, size_t size)
{
    size_t skipped = size_min(*left, size);

    *left -= skipped;
    return skipped;
}

bool h2_guard_look(struct h2_guard *g, const char *data, size_t size, uint64_t now_ms,
                   enum http_refusal *ret_refusal)
{
    size_t at;

    refill(g, now_ms);
    at = skip(&g->preface_left, size);
    while (at < size) {
        if (g->payload_left > 0) {
            size_t skipped = skip(&g->payload_left, size - at);

            if (!is_sane_priority(g, data + at, skipped)) {
                *ret_refusal = HTTP_REFUSAL_H2_PROTOCOL_ERROR;
                return false;
            }
            at += skipped;
            continue;
        }
        g->head[g->head_filled++] = (unsigned char)data[at++];
        if (g->head_filled < H2_FRAME_HEAD_SIZE)
            continue;
        g->head_filled = 0;
        if (!begin_frame(g, ret_refusal))
            return false;
    }
    return true;
}

bool h2_guard_is_in_block(const struct h2_guard *g)
{
    bool is_block_frame = g->head[3] == FRAME_HEADERS || g->head[3] == FRAME_CONTINUATION;

    return g->preface_left > 0 || g->in_block || (g->payload_left > 0 && is_block_frame);
}
