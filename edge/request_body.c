/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a body: spans from an object, from a flight as it fills, or from one slice after the other, each
 * from the store or from a flight of its own.
 */
#include <errno.h>

#include "request_private.h"

#define PACED_SIZE_MIN    ((uint64_t)64 << 10) /* a full uplink is not made of less */
#define SEND_BUDGET_BYTES (4u << 20) /* a turn of the loop for one request, so that others get theirs */

static struct slice if_range_of(struct request *r)
{
    struct reply_stored stored;
    struct slice etag;
    struct store_object head;
    struct slice none = {NULL, 0};
    if (!store_lookup_warm(r->env->store, &r->key, loop_now_ms(r->env->loop), &head))
        return none;
    buf_clear(&r->stored_head);
    buf_append_slice(&r->stored_head, head.head);
    store_release(&head);
    if (!reply_parse_stored(buf_slice(&r->stored_head), &stored))
        return none;
    etag = reply_stored_get(stored.fields, "etag");
    if (etag.data && etag.size > 2 && etag.data[0] != 'W')
        return etag;
    return reply_stored_get(stored.fields, "last-modified");
}

/* The slice in which `position` stands, from a flight of its own (or the store, if it got there meanwhile).
 */
static enum flight_state fetch_slice(struct request *r, const struct store_key *slice_key)
{
    struct flight *flight;
    struct flight_want want = {
        .key = &r->key,
        .first_bytes = r->position_bytes,
        .limit_bytes = flight_missing_until(r->env->flights, r->key.text, r->representation,
                                            r->position_bytes, r->end_bytes),
        .ranged = true,
        .representation = r->representation,
        .hint = &r->hint,
        .now_ms = loop_wall_ms(r->env->loop),
        .generation = r->generation,
    };
    if (r->state == REQUEST_SEND && exchange_await_secure(r->x))
        return FLIGHT_WAIT;
    flight_leave(&r->reader);
    r->is_turned_away = r->state != REQUEST_SEND && !request_may_lead(r, &want, &r->turned_step);
    if (r->is_turned_away) /* before the head that can be said; later it is too late */
        return FLIGHT_FAILED;
    switch (flight_join(r->env->flights, &want, slice_key, &r->reader, r->env->worker, &flight, &r->object)) {
    case FLIGHT_STORED: admit_release(r->env->admit, &r->ticket); break;
    case FLIGHT_NO_MEMORY: return FLIGHT_FAILED;
    case FLIGHT_FOLLOWING:
        admit_release(r->env->admit, &r->ticket);
        r->byte_cause = CAUSE_COALESCED;
        break;
    case FLIGHT_LEADING:
        r->byte_cause = request_miss(r, slice_key);
        request_lead(r, flight, r->byte_cause, if_range_of(r));
        break;
    }
    return FLIGHT_BYTES;
}

/* Each slice once, though it may have to be looked for again. */
static void ask_for_slice(struct request *r, const struct store_key *key, bool is_found)
{
    uint64_t index = r->object_start_bytes / flight_table_slice_bytes(r->env->flights);
    struct store_hint hint = flight_slice_hint(r->key.hash, index, r->hint.session);
    if (r->asked_slice == index + 1)
        return;
    r->asked_slice = index + 1;
    request_ask(r, key, &hint, is_found ? &r->object : NULL);
}

static enum flight_state look_up_slice(struct request *r, const struct store_key *key)
{
    enum store_found found = store_reader_lookup(&r->disk, key, &r->object);
    if (found == STORE_FOUND || found == STORE_MISSED)
        ask_for_slice(r, key, found == STORE_FOUND);
    switch (found) {
    case STORE_FOUND:
        if (purge_apply_slice(r->env->purges, r->env->store, key, r->generation, &r->object))
            return FLIGHT_BYTES;
        return fetch_slice(r, key);
    case STORE_MISSED: return fetch_slice(r, key);
    case STORE_WAITS: return FLIGHT_WAIT;
    case STORE_FAILED: break;
    }
    r->reason = REQUEST_DISK_TIMEOUT;
    return FLIGHT_FAILED;
}

/* The flight, if any, has not this place. A reader that only fell behind stays joined while it reads from the
 * store: else the fill would look as if nobody wanted it. */
enum flight_state request_find_slice(struct request *r)
{
    uint64_t slice = flight_table_slice_bytes(r->env->flights), index = r->position_bytes / slice;
    enum flight_state state = FLIGHT_BYTES;
    struct store_key key;
    struct buf text;
    store_release(&r->object);
    store_release(&r->reader.held);
    if (r->total_bytes <= slice || !r->representation)
        return FLIGHT_FAILED; /* no object of slices: what the flight let go of is gone */
    buf_init(&text, STORE_KEY_TEXT_MAX + 64);
    r->object_start_bytes = index * slice;
    r->byte_cause = r->reader.flight ? r->cause : CAUSE_HIT; /* what our own fill has just stored is no hit */
    if (!flight_slice_key(r->env->flights, r->key.text, r->representation, index, &text, &key))
        state = FLIGHT_FAILED;
    else
        state = look_up_slice(r, &key);
    buf_fini(&text);
    return state;
}

static bool span_of_object(const struct request *r, struct span *ret_span)
{
    uint64_t skip = r->position_bytes - r->object_start_bytes;
    if (!r->object.region || r->position_bytes < r->object_start_bytes || skip >= r->object.body_size_bytes)
        return false;
    *ret_span = (struct span){
        .fd = r->object.fd,
        .offset_bytes = r->object.body_offset_bytes + skip,
        .data = r->object.body ? r->object.body + skip : NULL,
        .size = r->object.body_size_bytes - skip,
    };
    return true;
}

static enum flight_state next_span(struct request *r, struct span *ret_span)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        if (span_of_object(r, ret_span))
            return FLIGHT_BYTES;
        if (r->reader.flight) {
            enum flight_state state = flight_look(&r->reader, r->position_bytes, r->representation, ret_span);
            if (state != FLIGHT_ELSEWHERE)
                return state;
        }
        enum flight_state state = request_find_slice(r);
        if (state != FLIGHT_BYTES)
            return state;
    }
    return FLIGHT_FAILED;
}

static enum step on_no_span(struct request *r, enum flight_state state)
{
    unsigned status;
    switch (state) {
    case FLIGHT_WAIT:
        if (r->is_private)
            flight_consumed(&r->reader, 0);
        exchange_flush(r->x);
        return STEP_WAIT;
    case FLIGHT_END:
        if (r->end_bytes == FLIGHT_SIZE_UNKNOWN || r->position_bytes == r->end_bytes)
            return request_finish(r);
        return request_abort(r, "body_incomplete");
    case FLIGHT_CHANGED: return request_abort(r, ORIGIN_CHANGED);
    default:
        if (r->reason)
            return request_abort(r, r->reason);
        return request_abort(r, r->reader.flight ? flight_failure(&r->reader, &status) : "object_evicted");
    }
}

/* Cuts the span to what can be read without waiting for the disk. 0: the disk will call; or why it cannot. */
static int64_t cut_to_ready(struct request *r, struct span *span)
{
    bool is_object = r->object.region && span->fd == r->object.fd;
    const struct store_object *from = is_object ? &r->object : &r->reader.held;
    if (span->fd < 0 || !from->region)
        return (int64_t)span->size;
    int64_t ready = store_reader_ready(&r->disk, from, span->offset_bytes, span->size);
    if (ready > 0)
        span->size = (size_t)ready;
    return ready;
}

static enum step on_not_ready(struct request *r, int64_t error)
{
    if (error == 0)
        return STEP_WAIT;
    return request_abort(r, error == -ETIMEDOUT ? REQUEST_DISK_TIMEOUT : "body_unreadable");
}

/* The pace of what comes next, which is told when it changes. How many bytes may go before it changes again.
 */
static uint64_t keep_pace(struct request *r)
{
    uint64_t rate = r->pace.rate_bytes_per_s, left = UINT64_MAX;
    uint64_t sent = r->x->sent_before_bytes + r->booked_bytes;
    if (rate > 0 && sent < r->pace.start_bytes) { /* a viewer who has just come */
        rate = STREAM_PACE_SOON;
        left = r->pace.start_bytes - sent;
    }
    if (r->end_bytes - r->position_bytes > PACED_SIZE_MIN || r->pace_bytes_per_s > 0)
        rate = pace_min(rate, egress_pace(r->env->egress, r->site.site->id - 1));
    if (rate != r->pace_bytes_per_s)
        exchange_set_pace(r->x, rate);
    r->pace_bytes_per_s = rate;
    return left;
}

enum step request_send(struct request *r)
{
    uint64_t budget = SEND_BUDGET_BYTES;
    if (r->parts && !request_parts_send(r))
        return STEP_WAIT;
    while (r->position_bytes < r->end_bytes) {
        struct span span;
        enum flight_state state = next_span(r, &span);
        if (state != FLIGHT_BYTES)
            return on_no_span(r, state);
        span.size = size_min(span.size, r->end_bytes - r->position_bytes);
        int64_t ready = cut_to_ready(r, &span);
        if (ready <= 0)
            return on_not_ready(r, ready);
        span.size = size_min(size_min(span.size, budget), keep_pace(r));
        ssize_t sent = exchange_send(r->x, &span);
        if (sent < 0)
            return STEP_WAIT; /* on_gone follows */
        r->position_bytes += (uint64_t)sent;
        budget -= (uint64_t)sent;
        request_book_bytes(r, (uint64_t)sent, r->byte_cause);
        if (r->is_private)
            flight_consumed(&r->reader, (size_t)sent);
        if ((size_t)sent < span.size)
            return STEP_WAIT; /* on_writable follows */
        if (budget == 0) {
            later_start(r->env->loop, &r->resume);
            return STEP_WAIT;
        }
    }
    if (r->parts && request_parts_next(r))
        return STEP_NEXT;
    return request_finish(r);
}
