/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections: bytes in, deadlines, the end.
 *
 *   bytes ─► guard ─► nghttp2 ─► callbacks note it ─► tend: serve, send, flush, tell, end or wait
 */
#include "h2_connection.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "h2_private.h"

#define READ_SIZE       ((size_t)16 << 10)
#define READ_AT_ONCE    ((size_t)512)      /* for a client in a turn of the loop, whatever others do */
#define READ_PER_TURN   ((size_t)16 << 10) /* of all connections before that: 400 heads of an attack */
#define READ_COST_MIN   ((size_t)256)      /* of what is closed or empty */
#define SERVED_PER_TURN 32                 /* requests, before every client has one more at most */

void h2_connection_broke(struct h2_connection *h, const char *reason)
{
    if (!h->broken)
        h->broken = reason;
    h2_connection_later(h);
}

void h2_connection_later(struct h2_connection *h)
{
    later_start(h->c->server->loop, &h->c->later);
}

void h2_connection_must_end(struct h2_connection *h, enum http_refusal refusal)
{
    if (h->refusal == HTTP_REFUSAL_COUNT)
        h->refusal = refusal;
    h2_connection_later(h);
}

void h2_connection_serve_later(struct h2_stream *s)
{
    timer_stop(&s->deadline);
    if (!list_is_linked(&s->place))
        list_push_back(&s->h->arrived, &s->place);
    h2_connection_later(s->h);
}

/* --- Making and freeing. --- */

static nghttp2_option *make_option(void)
{
    nghttp2_option *option;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    return option;
}

void h2_shared_free(struct h2_shared *shared)
{
    if (!shared)
        return;
    nghttp2_session_callbacks_del(shared->callbacks);
    nghttp2_option_del(shared->option);
    h2_gather_free(shared->gather);
    h2_pool_free(shared->pool);
    free(shared);
}

static struct h2_shared *shared_of(struct http_server *s)
{
    struct h2_shared *shared = s->h2;

    if (shared)
        return shared;
    shared = calloc(1, sizeof(*shared));
    if (!shared)
        return NULL;
    shared->pool = h2_pool_new();
    shared->callbacks = h2_request_callbacks();
    shared->option = make_option();
    shared->gather = h2_gather_new();
    share_init(&shared->reads, READ_PER_TURN);
    share_init(&shared->requests, SERVED_PER_TURN);
    if (!shared->pool || !shared->callbacks || !shared->option || !shared->gather) {
        h2_shared_free(shared);
        return NULL;
    }
    s->h2 = shared;
    return shared;
}

/* Each request in progress is worth some kilobytes here: many connections get fewer each. */
static uint32_t streams_max(const struct http_server *s)
{
    size_t share = H2_STREAMS_ALL / size_max(s->connection_count, 1);

    return (uint32_t)size_max(size_min(share, H2_STREAMS_MAX), H2_STREAMS_MIN);
}

static bool make_session(struct h2_connection *h, struct h2_shared *shared)
{
    nghttp2_mem memory = h2_memory_init(&h->memory, shared->pool);
    int status = nghttp2_session_server_new3(&h->session, shared->callbacks, h, shared->option, &memory);

    h2_memory_made(&h->memory);
    return status == 0;
}

static int begin_session(struct h2_connection *h, struct h2_shared *shared)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams_max(h->c->server)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->c->server->options.head_size_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };

    if (!make_session(h, shared))
        return -ENOMEM;
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings)) != 0)
        return -ENOMEM;
    return 0;
}

int h2_connection_new(struct connection *c, struct h2_connection **ret_h2)
{
    struct h2_shared *shared = shared_of(c->server);
    struct h2_connection *h = shared ? calloc(1, sizeof(*h)) : NULL;

    if (!h)
        return -ENOMEM;
    h->c = c;
    h->refusal = HTTP_REFUSAL_COUNT;
    h->waits_for = H2_WAIT_NOTHING;
    list_init(&h->streams);
    list_init(&h->over);
    list_init(&h->arrived);
    list_init(&h->waiting);
    h2_output_init(h);
    h2_guard_init(&h->guard, loop_now_ms(c->server->loop));
    if (begin_session(h, shared) < 0) {
        h2_connection_free(h);
        return -ENOMEM;
    }
    *ret_h2 = h;
    return 0;
}

static void free_streams(struct list *streams)
{
    struct h2_stream *s, *following;

    LIST_FOR_EACH_SAFE (s, following, streams, node)
        h2_stream_free(s);
}

void h2_connection_free(struct h2_connection *h)
{
    if (!h)
        return;
    nghttp2_session_del(h->session);
    h2_memory_fini(&h->memory);
    free_streams(&h->streams);
    free_streams(&h->over);
    buf_fini(&h->held);
    free(h);
}

/* --- The end. --- */

void h2_connection_gone(struct h2_connection *h, const char *reason)
{
    struct h2_stream *s, *following;

    h->broken = h->broken ? h->broken : reason; /* from here on no handler's send gets anywhere */
    LIST_FOR_EACH_SAFE (s, following, &h->streams, node) {
        if (s->state == H2_STREAM_EXCHANGE && CHECK(s->x.events != NULL))
            s->x.events->on_gone(&s->x, reason);
        h2_stream_over(s);
    }
    h2_request_give_inbox(h);
}

static void end_broken(struct h2_connection *h, const char *reason)
{
    h2_connection_gone(h, reason);
    server_connection_close(h->c, true);
}

/* GOAWAY has been made. Who does not even read that is reset. */
static void end_well(struct h2_connection *h, const char *reason)
{
    h2_output_flush(h);
    if (h->broken || h->blocked || !h2_output_is_empty(h)) {
        end_broken(h, reason);
        return;
    }
    h2_connection_gone(h, reason);
    if (h->c->server->draining)
        server_connection_close(h->c, false);
    else
        server_connection_linger(h->c);
}

static uint32_t error_code_of(const struct h2_connection *h)
{
    switch (h->refusal) {
    case HTTP_REFUSAL_IDLE_TIMEOUT: return NGHTTP2_NO_ERROR;
    case HTTP_REFUSAL_H2_PROTOCOL_ERROR:
        return h->guard.is_stream_closed ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR;
    default: return NGHTTP2_ENHANCE_YOUR_CALM;
    }
}

static void end_refused(struct h2_connection *h)
{
    bool is_stall = h->refusal == HTTP_REFUSAL_H2_WINDOW_STALL;

    server_connection_refused(h->c, h->refusal, 0, 0);
    nghttp2_session_terminate_session(h->session, error_code_of(h));
    end_well(h, is_stall ? "send_timeout" : "client_error");
}

void h2_connection_drain(struct h2_connection *h)
{
    h->draining = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_connection_later(h);
}

/* --- After every event. --- */

static void serve(struct h2_stream *s)
{
    struct http_server *server = s->h->c->server;

    s->state = H2_STREAM_EXCHANGE;
    s->x.request = s->request;
    s->x.body = buf_slice(&s->body);
    s->x.sent_before_bytes = s->h->data_bytes;
    s->x.is_early = stream_is_early(s->h->c->stream);
    if (s->h->is_paced)
        h2_turns_set_pace(s->h);
    counter_add(&server->stats.requests, 1);
    server->options.on_request(&s->x, server->options.user);
}

static void refuse(struct h2_stream *s)
{
    unsigned status = server_refusal_status(s->refusal);
    uint64_t sent_bytes = h2_stream_refuse(s, status, http_refusal_name(s->refusal));

    server_connection_refused(s->h->c, s->refusal, status, sent_bytes);
}

static enum share_verdict share_of(struct h2_connection *h, struct share *share)
{
    return share_ask(share, loop_turn(h->c->server->loop), &h->c->x.peer);
}

static bool may_serve(struct h2_connection *h)
{
    struct share *requests = &h->c->server->h2->requests;
    bool may = share_of(h, requests) != SHARE_NOTHING;

    if (may)
        share_spend(requests, 1);
    return may;
}

/* What came in together is answered together. */
static void serve_arrived(struct h2_connection *h)
{
    h->corked = true;
    while (!list_is_empty(&h->arrived) && !h->broken) {
        if (!may_serve(h)) {
            h2_connection_later(h);
            break;
        }
        struct h2_stream *s = LIST_FIRST(&h->arrived, struct h2_stream, place);

        list_remove(&s->place);
        h->waits_for = H2_WAIT_NOTHING; /* idle time begins anew */
        if (s->refusal == HTTP_REFUSAL_COUNT)
            serve(s);
        else
            refuse(s);
    }
    h->corked = false;
}

static void tell_cut(struct h2_connection *h)
{
    struct h2_stream *s, *following;

    h->has_cut_streams = false;
    LIST_FOR_EACH_SAFE (s, following, &h->streams, node) {
        if (!s->broken || h->broken)
            continue;
        if (s->state == H2_STREAM_EXCHANGE && CHECK(s->x.events != NULL))
            s->x.events->on_gone(&s->x, s->broken);
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
}

static void reap(struct h2_connection *h)
{
    free_streams(&h->over);
}

static enum h2_wait wait_of(const struct h2_connection *h)
{
    if (h->blocked)
        return H2_WAIT_SOCKET;
    if (h2_guard_is_in_block(&h->guard))
        return H2_WAIT_BLOCK;
    return h->stream_count == 0 ? H2_WAIT_IDLE : H2_WAIT_NOTHING;
}

static uint64_t delay_ms(const struct h2_connection *h, enum h2_wait waits_for)
{
    switch (waits_for) {
    case H2_WAIT_BLOCK: return h->c->server->options.header_timeout_ms;
    case H2_WAIT_SOCKET: return server_drain_delay_ms(h->c->server, &h->c->drain);
    case H2_WAIT_IDLE: return server_connection_idle_ms(h->c);
    case H2_WAIT_NOTHING: break;
    }
    UNREACHABLE();
}

/* No stream could go on: windows are shut, or the request's end is missing. */
static bool is_up_to_client(const struct h2_connection *h)
{
    const struct h2_stream *s;

    LIST_FOR_EACH (s, &h->streams, node) {
        bool is_owed = s->state == H2_STREAM_EXCHANGE || s->state == H2_STREAM_FLUSH;

        if (is_owed && (!list_is_linked(&s->place) || h2_turns_has_window(s)))
            return false;
    }
    return true;
}

uint64_t h2_connection_stalled_ms(const struct h2_connection *h)
{
    uint64_t since_ms = h->data_ms > h->c->blocked_ms ? h->data_ms : h->c->blocked_ms;

    return loop_now_ms(h->c->server->loop) - since_ms;
}

static void wait(struct h2_connection *h)
{
    enum h2_wait waits_for = wait_of(h);
    bool is_new = waits_for != h->waits_for;

    if (is_new)
        h->c->is_resting = false;
    if (waits_for == H2_WAIT_SOCKET) { /* what else happens meanwhile puts no look off */
        is_new = !h->c->drain.is_blocked;
        drain_block(&h->c->drain, loop_now_ms(h->c->server->loop));
    }
    if (waits_for == H2_WAIT_SOCKET || (waits_for == H2_WAIT_NOTHING && is_up_to_client(h)))
        server_connection_blocks(h->c, true);
    else
        server_connection_waits(h->c, waits_for != H2_WAIT_NOTHING);
    if (waits_for == H2_WAIT_NOTHING)
        timer_stop(&h->c->deadline);
    else if (is_new || !timer_is_running(&h->c->deadline))
        timer_start(h->c->server->loop, &h->c->deadline, delay_ms(h, waits_for));
    h->waits_for = waits_for;
}

static bool is_done(const struct h2_connection *h)
{
    if (!h2_output_is_empty(h))
        return false;
    return !nghttp2_session_want_read(h->session) || (h->draining && h->stream_count == 0);
}

static void tend(struct h2_connection *h)
{
    serve_arrived(h);
    h2_turns_run(h);
    h2_output_flush(h);
    while (h->has_cut_streams && !h->broken)
        tell_cut(h);
    if (h->broken)
        end_broken(h, h->broken);
    else if (h->refusal != HTTP_REFUSAL_COUNT)
        end_refused(h);
    else if (is_done(h))
        end_well(h, "client_error");
    else
        wait(h);
    reap(h);
}

/* --- What the stream, the timer and the loop call. --- */

static bool take_in(struct h2_connection *h, const char *data, size_t size)
{
    enum http_refusal refusal;

    if (!h2_guard_look(&h->guard, data, size, loop_now_ms(h->c->server->loop), &refusal)) {
        h2_connection_must_end(h, refusal);
        return false;
    }
    if (nghttp2_session_mem_recv(h->session, (const uint8_t *)data, size) < 0) {
        h2_connection_must_end(h, HTTP_REFUSAL_H2_PROTOCOL_ERROR);
        return false;
    }
    return true;
}

void h2_connection_receive(struct h2_connection *h, const char *data, size_t size)
{
    if (size > 0)
        take_in(h, data, size);
    tend(h);
}

void h2_connection_on_readable(struct h2_connection *h)
{
    struct share *reads = &h->c->server->h2->reads;
    enum share_verdict verdict = share_of(h, reads);
    char data[READ_SIZE];
    ssize_t size;

    if (verdict == SHARE_NOTHING)
        return; /* what is there is told again in the next turn */
    size = stream_read(h->c->stream, data, verdict == SHARE_MUCH ? READ_SIZE : READ_AT_ONCE);
    share_spend(reads, size > (ssize_t)READ_COST_MIN ? (size_t)size : READ_COST_MIN);
    counter_add(&h->c->server->stats.system_calls, 1);
    if (size > 0) {
        h2_connection_receive(h, data, (size_t)size);
    } else if (size == 0 && h->stream_count == 0) {
        h2_connection_gone(h, "client_closed");
        server_connection_close(h->c, false);
    } else if (size == 0 || size == -ECONNRESET || size == -EPIPE) {
        end_broken(h, "client_closed");
    } else if (size != -EAGAIN) {
        end_broken(h, "client_error");
    }
}

void h2_connection_on_writable(struct h2_connection *h)
{
    h->blocked = false;
    h->waits_for = H2_WAIT_NOTHING; /* it moves: the deadline begins anew */
    drain_unblock(&h->c->drain, loop_now_ms(h->c->server->loop));
    h2_output_write(h);
    tend(h);
}

void h2_connection_on_later(struct h2_connection *h)
{
    tend(h);
}

static struct h2_stream *find_early(struct h2_connection *h)
{
    struct h2_stream *s;

    LIST_FOR_EACH (s, &h->streams, node)
        if (s->state == H2_STREAM_EXCHANGE && s->x.is_early && !s->broken)
            return s;
    return NULL;
}

void h2_connection_on_secure(struct h2_connection *h)
{
    struct h2_stream *s;

    h->corked = true;
    while (!h->broken && (s = find_early(h)) != NULL) /* what one does may end others */
        exchange_become_secure(&s->x);
    h->corked = false;
    tend(h);
}

void h2_connection_on_deadline(struct h2_connection *h)
{
    const char *word;

    switch (h->waits_for) {
    case H2_WAIT_SOCKET:
        word = server_connection_look(h->c);
        if (!word)
            break;
        end_broken(h, word);
        return;
    case H2_WAIT_BLOCK: h2_connection_must_end(h, HTTP_REFUSAL_HEADER_TIMEOUT); break;
    case H2_WAIT_IDLE:
        if (server_connection_rest(h->c))
            h2_memory_rest(&h->memory);
        else
            h2_connection_must_end(h, HTTP_REFUSAL_IDLE_TIMEOUT);
        break;
    case H2_WAIT_NOTHING: break;
    }
    tend(h);
}
