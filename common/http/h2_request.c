/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of HTTP/2, as nghttp2 tells of them: header blocks, bodies, resets, priorities. Nothing here calls
 * a handler; what is to be served stands in h->arrived when nghttp2 returns.
 *
 * What still comes of a request that was refused is thrown away for a while, as a reset would make some
 * clients forget the answer.
 */
#include "base/check.h"
#include "h2_private.h"

#define BODY_WASTE_MAX  ((size_t)16 << 10) /* of a body that nobody wants */
#define FIELDS_SEEN_MAX 1000u              /* in a header block: more are no large head but an attack */
#define LIST_SIZES_MAX  8u                 /* the same, of the size that is accepted */

void h2_request_give_inbox(struct h2_connection *h)
{
    server_inbox_give(h->c->server, h->inbox);
    h->inbox = NULL;
}

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_connection *h = user;
    struct h2_stream *s;

    if (!is_request(frame))
        return 0;
    s = h2_stream_new(h, frame->hd.stream_id);
    if (s && !h->inbox)
        h->inbox = server_inbox_take(h->c->server);
    if (!s || !h->inbox) {
        h2_connection_broke(h, "out_of_memory");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    nghttp2_session_set_stream_user_data(session, s->id, s);
    h2_head_init(&h->block, &h->inbox->head, h->inbox->data, h->c->server->options.head_size_max);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    struct h2_connection *h = user;

    (void)session, (void)flags;
    if (!is_request(frame) || !h->inbox) /* a trailer: dropped */
        return 0;
    h2_head_add(&h->block, slice_make((const char *)name, name_size),
                slice_make((const char *)value, value_size));
    if (h->block.fields_seen <= FIELDS_SEEN_MAX &&
        h->block.list_size <= LIST_SIZES_MAX * h->c->server->options.head_size_max)
        return 0;
    h2_connection_must_end(h, HTTP_REFUSAL_H2_HEADER_FLOOD);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest is unpacked, but not looked at */
}

static void reset_malformed(struct h2_stream *s)
{
    server_connection_refused(s->h->c, HTTP_REFUSAL_BAD_REQUEST, 0, 0);
    h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

/* nghttp2 would leave out such a field and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                             void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct h2_connection *h = user;

    (void)name, (void)name_size, (void)value, (void)value_size, (void)flags;
    if (is_request(frame))
        h->block.is_malformed = true;
    else if (s && s->state == H2_STREAM_HEAD) /* a trailer's */
        reset_malformed(s);
    return 0;
}

static uint64_t body_size_max(const struct h2_connection *h)
{
    return h->c->server->options.body_size_max;
}

/* Tells the client to go on (RFC 9110 section 10.1.1). */
static void send_continue(struct h2_stream *s)
{
    const nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};

    nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
}

static void begin_body(struct h2_stream *s)
{
    struct h2_connection *h = s->h;
    int64_t length = s->request->content_length;

    if (length > 0 && (uint64_t)length > body_size_max(h)) {
        s->refusal = HTTP_REFUSAL_BODY_NOT_ACCEPTED;
        return;
    }
    timer_start(h->c->server->loop, &s->deadline, h->c->server->options.header_timeout_ms);
    if (http_head_lists(s->request, "expect", "100-continue"))
        send_continue(s);
}

static void take_request(struct h2_stream *s)
{
    struct h2_connection *h = s->h;
    struct slice priority;

    s->request = h2_head_copy(&h->block, &s->request_size);
    if (!s->request) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    h->heads_size += s->request_size;
    if (h->heads_size > H2_HEADS_SIZE_MAX) {
        h2_stream_reset(s, NGHTTP2_REFUSED_STREAM); /* the client may ask again */
        return;
    }
    priority = http_head_get(s->request, "priority");
    if (priority.data)
        s->priority = h2_priority_parse(priority);
    if (!s->remote_ended)
        begin_body(s);
}

static void on_head(struct h2_stream *s)
{
    struct h2_connection *h = s->h;
    enum h2_head_verdict verdict = h2_head_end(&h->block, h->c->server->options.uri_size_max);

    h->waits_for = H2_WAIT_NOTHING; /* the next block has a deadline of its own */
    s->method = h->inbox->head.method;
    if (verdict == H2_HEAD_GOOD && server_has_too_many_fields(h->c->server, &h->inbox->head))
        verdict = H2_HEAD_TOO_LARGE;
    switch (verdict) {
    case H2_HEAD_GOOD: take_request(s); break;
    case H2_HEAD_TOO_LARGE: s->refusal = HTTP_REFUSAL_HEAD_TOO_LARGE; break;
    case H2_HEAD_URI_TOO_LONG: s->refusal = HTTP_REFUSAL_URI_TOO_LONG; break;
    case H2_HEAD_MALFORMED: reset_malformed(s); break;
    }
    h2_request_give_inbox(h);
    if (s->state == H2_STREAM_HEAD && (s->remote_ended || s->refusal != HTTP_REFUSAL_COUNT))
        h2_connection_serve_later(s);
}

static void on_remote_end(struct h2_stream *s)
{
    s->remote_ended = true;
    if (s->state == H2_STREAM_HEAD && s->request)
        h2_connection_serve_later(s);
}

/* All bodies of a connection together take no more memory than one may. */
static void collect_body(struct h2_stream *s, const char *data, size_t size)
{
    struct h2_connection *h = s->h;

    if (size > body_size_max(h) - s->body.size) {
        s->refusal = HTTP_REFUSAL_BODY_NOT_ACCEPTED;
        h2_connection_serve_later(s);
    } else if (size > body_size_max(h) - h->bodies_size || !buf_append(&s->body, data, size)) {
        h2_stream_reset(s, NGHTTP2_REFUSED_STREAM); /* the client may ask again */
    } else {
        h->bodies_size += size;
        h2_guard_earn(&h->guard, H2_BUDGET_DATA, size);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)flags, (void)data, (void)user;
    if (!s)
        return 0;
    if (s->state == H2_STREAM_HEAD && s->refusal == HTTP_REFUSAL_COUNT) {
        collect_body(s, (const char *)data, size);
        return 0;
    }
    s->wasted_bytes += size;
    if (s->state == H2_STREAM_LINGER && s->wasted_bytes > BODY_WASTE_MAX)
        h2_stream_reset(s, NGHTTP2_NO_ERROR); /* RFC 9113 section 8.1 */
    return 0;
}

static void on_priority_update(struct h2_connection *h, const nghttp2_ext_priority_update *update)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(h->session, update->stream_id);

    if (s)
        s->priority =
            h2_priority_parse(slice_make((const char *)update->field_value, update->field_value_len));
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s && ends)
            s->remote_ended = true;
        if (s && is_request(frame))
            on_head(s);
        else if (s && ends)
            on_remote_end(s);
        break;
    case NGHTTP2_DATA:
        if (s && ends)
            on_remote_end(s);
        break;
    case NGHTTP2_RST_STREAM:
        if (s && s->state == H2_STREAM_EXCHANGE && !s->broken)
            s->broken = "client_closed"; /* on_stream_close follows */
        break;
    case NGHTTP2_PRIORITY_UPDATE: on_priority_update(user, frame->ext.payload); break;
    default: break;
    }
    return 0;
}

/* What nghttp2 itself found malformed; it resets the stream, or ends the connection. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_connection *h = user;

    (void)session;
    if (is_request(frame))
        server_connection_refused(h->c,
                                  error == NGHTTP2_ERR_REFUSED_STREAM ? HTTP_REFUSAL_H2_TOO_MANY_STREAMS
                                                                      : HTTP_REFUSAL_BAD_REQUEST,
                                  0, 0);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    struct h2_connection *h = user;

    (void)error_code;
    if (!s)
        return 0;
    s->closed = true;
    if (s->state != H2_STREAM_EXCHANGE) {
        h2_stream_over(s);
    } else if (!s->ended) {
        s->broken = s->broken ? s->broken : "client_error";
        h->has_cut_streams = true;
        h2_connection_later(h);
    }
    return 0;
}

/* Streams beyond the bound come from whoever has not read our SETTINGS yet: a browser may begin a hundred. */
static void on_reset_sent(struct h2_connection *h, uint32_t error_code)
{
    enum h2_budget budget =
        error_code == NGHTTP2_REFUSED_STREAM ? H2_BUDGET_REFUSED_STREAMS : H2_BUDGET_MADE_RESETS;

    if (error_code != NGHTTP2_NO_ERROR && error_code != NGHTTP2_INTERNAL_ERROR &&
        !h2_guard_spend(&h->guard, budget, 1))
        h2_connection_must_end(h, h2_guard_refusal(budget));
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct h2_connection *h = user;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s)
            s->sent_bytes += H2_FRAME_HEAD_SIZE + frame->hd.length;
        /* fall through */
    case NGHTTP2_DATA:
        if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            h2_stream_on_ended(s);
        break;
    case NGHTTP2_RST_STREAM: on_reset_sent(h, frame->rst_stream.error_code); break;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && h->refusal == HTTP_REFUSAL_COUNT)
            h2_connection_must_end(h, HTTP_REFUSAL_H2_PROTOCOL_ERROR);
        break;
    default: break;
    }
    return 0;
}

nghttp2_session_callbacks *h2_request_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    h2_output_set_callbacks(callbacks);
    return callbacks;
}
