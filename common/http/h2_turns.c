/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sends next (RFC 9218 section 10): the most urgent first; among equals those that are of use only as a
 * whole go one after the other, as they were asked for, and those that are incremental take turns.
 *
 * A stream stands in h->waiting from the moment it could not send all until its turn.
 */
#include "base/check.h"
#include "h2_private.h"

#define SHARE_SIZE ((size_t)64 << 10) /* a turn of an incremental stream, when others wait */

bool h2_turns_has_window(const struct h2_stream *s)
{
    nghttp2_session *session = s->h->session;

    return nghttp2_session_get_remote_window_size(session) > 0 &&
           nghttp2_session_get_stream_remote_window_size(session, s->id) > 0;
}

void h2_turns_wait(struct h2_stream *s)
{
    struct h2_connection *h = s->h;
    struct loop *l = h->c->server->loop;

    if (!list_is_linked(&s->place))
        list_push_back(&h->waiting, &s->place);
    h2_turns_look(s);
    if (!timer_is_running(&s->deadline))
        timer_start(l, &s->deadline, server_drain_delay_ms(h->c->server, &s->drain));
    h2_connection_later(h);
}

void h2_turns_moved(struct h2_stream *s)
{
    timer_stop(&s->deadline);
    drain_unblock(&s->drain, loop_now_ms(s->h->c->server->loop));
}

bool h2_turns_look(struct h2_stream *s)
{
    uint64_t now_ms = loop_now_ms(s->h->c->server->loop);

    if (s->h->blocked || h2_turns_has_window(s)) { /* it waits for the socket, or for its turn */
        drain_unblock(&s->drain, now_ms);
        return false;
    }
    drain_block(&s->drain, now_ms);
    drain_look(&s->drain, now_ms, s->sent_bytes);
    return true;
}

/* Is `a`, which stands behind `b`, to be served first? */
static bool goes_before(const struct h2_stream *a, const struct h2_stream *b)
{
    if (a->priority.urgency != b->priority.urgency)
        return a->priority.urgency < b->priority.urgency;
    return !a->priority.is_incremental && !b->priority.is_incremental && a->id < b->id;
}

static struct h2_stream *next(const struct h2_connection *h)
{
    struct h2_stream *s, *best = NULL;

    LIST_FOR_EACH (s, &h->waiting, place) {
        if ((!best || goes_before(s, best)) && h2_turns_has_window(s))
            best = s;
    }
    return best;
}

bool h2_turns_may_send(const struct h2_stream *s)
{
    if (s->h->blocked)
        return false;
    return s->h->chosen == s || !next(s->h);
}

static void take_turn(struct h2_connection *h, struct h2_stream *s, size_t budget)
{
    list_remove(&s->place);
    h->chosen = s;
    h->allowance = s->priority.is_incremental && next(h) ? size_min(budget, SHARE_SIZE) : budget;
    h2_stream_send_on(s);
    h->chosen = NULL;
}

void h2_turns_run(struct h2_connection *h)
{
    uint64_t end_bytes = h->data_bytes + H2_TURN_SIZE_MAX;
    struct h2_stream *s;

    for (unsigned turns = 0; turns < H2_STREAMS_MAX && h->data_bytes < end_bytes; turns++) {
        if (h->blocked || h->broken || !(s = next(h)))
            return;
        take_turn(h, s, (size_t)(end_bytes - h->data_bytes));
    }
    h2_connection_later(h);
}

void h2_turns_set_pace(struct h2_connection *h)
{
    uint64_t sum = 0;
    struct h2_stream *s;

    LIST_FOR_EACH (s, &h->streams, node) {
        if (s->state != H2_STREAM_EXCHANGE)
            continue;
        if (s->pace_bytes_per_s == 0) {
            sum = 0; /* one that has none is not to be held up */
            break;
        }
        sum = s->pace_bytes_per_s < STREAM_PACE_SOON - sum ? sum + s->pace_bytes_per_s : STREAM_PACE_SOON;
    }
    h->is_paced = sum > 0;
    stream_set_pace(h->c->stream, sum);
}
