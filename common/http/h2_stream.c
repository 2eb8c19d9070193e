/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses of HTTP/2: the exchange's functions on a stream.
 *
 * A span may be used during exchange_send only, so DATA frames are made and written inside of it: as many as
 * the windows, the socket and the stream's turn allow. What a small response says in one piece is always
 * taken, as its handler will not come again; it waits in `rest` when there is no room.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/guard.h"
#include "h2_private.h"

#define CORKED_SIZE_MAX ((size_t)16 << 10) /* bodies that are copied to leave together with others */
#define REST_SIZE_MAX   ((size_t)1 << 10)  /* whole bodies that are always taken: 128 KiB a connection */
#define FIELDS_SIZE_MAX ((size_t)48 << 10) /* nghttp2 makes no header block of more than 64 KiB */
#define FIELDS_MAX      256

static struct h2_stream *stream_of(const struct exchange *x)
{
    return container_of(x, struct h2_stream, x);
}

/* --- Beginning and end. --- */

static void on_deadline(struct timer *t);
static uint64_t on_stalled_ms(struct exchange *x);

struct h2_stream *h2_stream_new(struct h2_connection *h, int32_t id)
{
    struct h2_stream *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->x = h->c->x; /* addresses, names, the loop */
    s->x.ops = &h2_stream_ops;
    s->h = h;
    s->id = id;
    s->priority = H2_PRIORITY_DEFAULT;
    s->refusal = HTTP_REFUSAL_COUNT;
    buf_init(&s->body, h->c->server->options.body_size_max);
    list_init(&s->place);
    timer_init(&s->deadline, on_deadline);
    list_push_back(&h->streams, &s->node);
    h->stream_count++;
    return s;
}

void h2_stream_free(struct h2_stream *s)
{
    timer_stop(&s->deadline);
    list_remove(&s->place);
    list_remove(&s->node);
    free(s->request);
    buf_fini(&s->body);
    free(s->rest);
    free(s);
}

void h2_stream_over(struct h2_stream *s)
{
    struct h2_connection *h = s->h;

    if (s->state == H2_STREAM_OVER)
        return;
    s->state = H2_STREAM_OVER;
    timer_stop(&s->deadline);
    list_remove(&s->place);
    list_remove(&s->node);
    list_push_back(&h->over, &s->node);
    h->stream_count--;
    h->heads_size -= s->request_size;
    h->bodies_size -= s->body.size;
    if (!s->closed)
        nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
    if (s->pace_bytes_per_s > 0)
        h2_turns_set_pace(h);
    h2_connection_later(h);
}

void h2_stream_reset(struct h2_stream *s, uint32_t error_code)
{
    if (!s->closed)
        nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, error_code);
    h2_stream_over(s);
}

static void broke(struct h2_stream *s, const char *reason)
{
    if (s->broken)
        return;
    s->broken = reason;
    s->h->has_cut_streams = true;
    h2_connection_later(s->h);
}

/* --- The head. --- */

struct response_head {
    nghttp2_nv fields[FIELDS_MAX];
    size_t count, filled;
    char text[FIELDS_SIZE_MAX + 64]; /* names in lower case, numbers */
};

static bool add_field(struct response_head *head, struct slice name, struct slice value)
{
    char *at = head->text + head->filled;

    if (head->count == FIELDS_MAX || name.size > sizeof(head->text) - head->filled)
        return false;
    for (size_t i = 0; i < name.size; i++)
        at[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    head->filled += name.size;
    head->fields[head->count++] = (nghttp2_nv){
        .name = (uint8_t *)at, .namelen = name.size, .value = (uint8_t *)value.data, .valuelen = value.size};
    return true;
}

static struct slice put_number(struct response_head *head, uint64_t value)
{
    char digits[20], *at;
    size_t count = 0;

    do
        digits[sizeof(digits) - ++count] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    at = head->text + head->filled;
    memcpy(at, digits + sizeof(digits) - count, count);
    head->filled += count;
    return slice_make(at, count);
}

/* `fields` is lines "Name: value\r\n". */
static bool add_fields(struct response_head *head, struct slice fields)
{
    struct slice line;

    while (fields.size > 0 && slice_split(&fields, '\n', &line)) {
        size_t name_size = slice_find(line, ':');

        if (!CHECK(name_size < line.size && line.data[line.size - 1] == '\r'))
            return false;
        line.size--;
        if (!add_field(head, slice_make(line.data, name_size), slice_trim(slice_skip(line, name_size + 1))))
            return false;
    }
    return true;
}

static bool make_head(struct response_head *head, unsigned status, uint64_t body_size, struct slice fields)
{
    head->count = head->filled = 0;
    add_field(head, SLICE_LITERAL(":status"), put_number(head, status));
    if (body_size != EXCHANGE_LENGTH_UNKNOWN && status >= 200 && status != 204) /* RFC 9110 section 8.6 */
        add_field(head, SLICE_LITERAL("content-length"), put_number(head, body_size));
    return CHECK(fields.size <= FIELDS_SIZE_MAX) && add_fields(head, fields);
}

static bool submit(struct h2_stream *s, unsigned status, struct slice fields, uint64_t body_size)
{
    nghttp2_data_provider provider = h2_output_provider();
    bool has_body = !s->no_body && body_size != 0;
    struct response_head head;

    return make_head(&head, status, body_size, fields) &&
           nghttp2_submit_response(s->h->session, s->id, head.fields, head.count,
                                   has_body ? &provider : NULL) == 0;
}

static void respond(struct h2_stream *s, unsigned status, struct slice fields, uint64_t body_size)
{
    s->responded = true;
    s->no_body = s->method == HTTP_HEAD || status == 204 || status == 304;
    s->has_length = s->no_body || body_size != EXCHANGE_LENGTH_UNKNOWN;
    s->body_left = s->no_body || !s->has_length ? 0 : body_size;
    s->is_complete = s->has_length && s->body_left == 0;
    if (s->broken || s->closed)
        return;
    if (!submit(s, status, fields, body_size))
        broke(s, "out_of_memory");
    h2_output_hold(s->h); /* so that its size is known */
    if (!s->has_length)
        s->sent_bytes += H2_FRAME_HEAD_SIZE; /* of the last frame, which finish sends */
}

/* Not held back, so that it arrives before what it announces. */
static void on_inform(struct exchange *x, unsigned status, struct slice fields)
{
    struct h2_stream *s = stream_of(x);
    struct response_head head;

    REQUIRE(s->state == H2_STREAM_EXCHANGE && !s->responded && status >= 102 && status < 200);
    if (s->broken || s->closed || !make_head(&head, status, EXCHANGE_LENGTH_UNKNOWN, fields))
        return;
    nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, head.fields, head.count, NULL);
    h2_output_hold(s->h);
    if (!s->h->corked)
        h2_output_flush(s->h);
}

static void on_respond(struct exchange *x, unsigned status, struct slice fields, uint64_t body_size)
{
    struct h2_stream *s = stream_of(x);

    REQUIRE(s->state == H2_STREAM_EXCHANGE && !s->responded && status >= 200 && status <= 999);
    respond(s, status, fields, body_size);
}

/* --- The body. --- */

/* Makes frames of the span, writes or holds them; returns how much of it went. */
static size_t transmit(struct h2_stream *s, const struct span *span, size_t size)
{
    struct h2_connection *h = s->h;
    bool go_on = true;

    h->sender = s;
    h->span = *span;
    h->span.size = size;
    while (go_on && h->span.size > 0) {
        nghttp2_session_resume_data(h->session, s->id);
        go_on = !h->corked && h2_output_write(h);
    }
    if (h->corked)
        h2_output_hold(h);
    h->sender = NULL;
    size -= h->span.size;
    h2_guard_earn(&h->guard, H2_BUDGET_WINDOW_UPDATES, size);
    return size;
}

static size_t send_now(struct h2_stream *s, const struct span *span)
{
    struct h2_connection *h = s->h;
    size_t size;

    if (h->corked && span->size > CORKED_SIZE_MAX)
        return 0; /* the most urgent goes first, and that is not known yet */
    if (!h->corked && !h2_turns_may_send(s))
        return 0;
    size = size_min(span->size, h->chosen == s ? h->allowance : H2_TURN_SIZE_MAX);
    size = transmit(s, span, size);
    if (h->chosen == s)
        h->allowance -= size;
    return size;
}

/* The rest of a small body, all of it at once: the stream owns the copy. */
static bool keep_rest(struct h2_stream *s, const struct span *span, size_t taken)
{
    size_t size = span->size - taken;

    if (size == 0 || !s->has_length || size != s->body_left || size > REST_SIZE_MAX || !span->data)
        return false;
    s->rest = malloc(size);
    if (!s->rest)
        return false;
    memcpy(s->rest, span->data + taken, size);
    s->rest_size = size;
    if (guard_is_lost(span->data))
        broke(s, "body_unreadable");
    return true;
}

static ssize_t on_exchange_send(struct exchange *x, const struct span *span)
{
    struct h2_stream *s = stream_of(x);
    size_t taken;

    REQUIRE(s->state == H2_STREAM_EXCHANGE && s->responded);
    if (!CHECK(!s->no_body && !s->rest && (!s->has_length || span->size <= s->body_left)))
        broke(s, "client_error");
    if (s->broken || s->closed || s->h->broken)
        return -EPIPE;
    taken = send_now(s, span);
    if (s->broken || s->h->broken)
        return -EPIPE;
    if (taken < span->size && keep_rest(s, span, taken))
        taken = span->size;
    s->sent_bytes += taken;
    if (taken > 0)
        h2_turns_moved(s);
    if (taken < span->size || s->rest)
        h2_turns_wait(s);
    return (ssize_t)taken;
}

static void on_flush(struct exchange *x)
{
    struct h2_stream *s = stream_of(x);

    REQUIRE(s->state == H2_STREAM_EXCHANGE);
    if (!s->h->corked)
        h2_output_flush(s->h);
}

/* --- The end. --- */

/* END_STREAM will go out, or has: what is left to do needs no handler. */
static void flush_out(struct h2_stream *s)
{
    s->x.user = NULL;
    s->x.events = NULL;
    if (s->state == H2_STREAM_EXCHANGE)
        s->state = H2_STREAM_FLUSH;
    if (!s->h->corked)
        h2_output_flush(s->h);
    if (s->state != H2_STREAM_FLUSH)
        return;
    if (s->closed)
        h2_stream_over(s);
    else if (s->ended)
        h2_stream_on_ended(s);
}

void h2_stream_on_ended(struct h2_stream *s)
{
    struct h2_connection *h = s->h;

    s->ended = true;
    if (s->state != H2_STREAM_FLUSH || s->remote_ended)
        return;
    s->state = H2_STREAM_LINGER;
    timer_start(h->c->server->loop, &s->deadline, SERVER_LINGER_MS);
}

static void on_finish(struct exchange *x)
{
    struct h2_stream *s = stream_of(x);
    bool is_whole = s->responded && (s->body_left == 0 || s->rest);

    REQUIRE(s->state == H2_STREAM_EXCHANGE);
    if (s->broken || s->h->broken || !CHECK(is_whole)) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (!s->has_length) {
        s->is_complete = true;
        nghttp2_session_resume_data(s->h->session, s->id);
        if (s->h->corked)
            h2_output_hold(s->h);
    }
    flush_out(s);
    if (s->pace_bytes_per_s > 0)
        h2_turns_set_pace(s->h);
}

static void on_abort(struct exchange *x)
{
    struct h2_stream *s = stream_of(x);

    REQUIRE(s->state == H2_STREAM_EXCHANGE);
    h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static void on_set_congestion(struct exchange *x, const char *name)
{
    stream_set_congestion(stream_of(x)->h->c->stream, name);
}

static void on_set_pace(struct exchange *x, uint64_t rate_bytes_per_s)
{
    struct h2_stream *s = stream_of(x);

    s->pace_bytes_per_s = rate_bytes_per_s;
    h2_turns_set_pace(s->h);
}

static uint64_t on_sent_bytes(const struct exchange *x)
{
    return stream_of(x)->sent_bytes;
}

static void on_note_wait(struct exchange *x)
{
    counter_add(&stream_of(x)->h->c->server->stats.early_waits, 1);
}

const struct exchange_ops h2_stream_ops = {
    .inform = on_inform,
    .respond = on_respond,
    .send = on_exchange_send,
    .flush = on_flush,
    .finish = on_finish,
    .abort = on_abort,
    .set_pace = on_set_pace,
    .set_congestion = on_set_congestion,
    .sent_bytes = on_sent_bytes,
    .stalled_ms = on_stalled_ms,
    .note_wait = on_note_wait,
};

uint64_t h2_stream_refuse(struct h2_stream *s, unsigned status, const char *word)
{
    static const char fields[] = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
    struct span span = {.fd = -1, .data = word, .size = strlen(word)};

    list_remove(&s->place);
    timer_stop(&s->deadline);
    s->state = H2_STREAM_FLUSH;
    respond(s, status, SLICE_LITERAL(fields), span.size);
    if (!s->no_body && s->state == H2_STREAM_FLUSH) {
        if (!s->broken && keep_rest(s, &span, 0))
            h2_turns_wait(s);
        else
            broke(s, "out_of_memory");
        s->sent_bytes += H2_FRAME_HEAD_SIZE + span.size;
    }
    flush_out(s);
    return s->sent_bytes;
}

/* --- Its turn, and its deadline. --- */

static void send_rest(struct h2_stream *s)
{
    struct span span = {.fd = -1, .data = s->rest + s->rest_sent, .size = s->rest_size - s->rest_sent};
    size_t taken = transmit(s, &span, span.size);

    if (taken > 0)
        h2_turns_moved(s);
    s->rest_sent += taken;
    if (s->rest_sent < s->rest_size && s->state != H2_STREAM_OVER)
        h2_turns_wait(s);
}

void h2_stream_send_on(struct h2_stream *s)
{
    if (s->rest)
        send_rest(s);
    else if (CHECK(s->state == H2_STREAM_EXCHANGE))
        s->x.events->on_writable(&s->x);
}

/* A window at zero is the client's doing, and so is one that is opened by a few bytes now and then. When
 * nothing at all moved meanwhile, the whole connection is held up by its client; else only this stream ends.
 */
static void on_look(struct h2_stream *s)
{
    struct h2_connection *h = s->h;
    struct http_server *server = h->c->server;
    struct drain_limits limits = server_drain_limits(server);
    enum drain_verdict verdict;
    const char *word;

    h2_turns_look(s);
    verdict = drain_judge(&s->drain, &limits, loop_now_ms(server->loop));
    if (verdict == DRAIN_STALLED && h->data_ms <= s->drain.progressed_ms) {
        h->refusal = HTTP_REFUSAL_H2_WINDOW_STALL;
        h2_connection_later(h);
        return;
    }
    word = server_drain_word(server, verdict, HTTP_REFUSAL_H2_WINDOW_STALL);
    if (!word) {
        timer_start(server->loop, &s->deadline, server_drain_delay_ms(server, &s->drain));
        return;
    }
    if (s->state == H2_STREAM_EXCHANGE)
        s->x.events->on_gone(&s->x, word);
    h2_stream_reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
}

static uint64_t on_stalled_ms(struct exchange *x)
{
    struct h2_stream *s = stream_of(x);

    if (s->h->blocked)
        return server_connection_stalled_ms(s->h->c);
    if (!list_is_linked(&s->place) || !h2_turns_look(s))
        return 0;
    return drain_stalled_ms(&s->drain, loop_now_ms(s->h->c->server->loop));
}

static void on_deadline(struct timer *t)
{
    struct h2_stream *s = container_of(t, struct h2_stream, deadline);

    switch (s->state) {
    case H2_STREAM_HEAD:
        s->refusal = HTTP_REFUSAL_HEADER_TIMEOUT;
        h2_connection_serve_later(s);
        break;
    case H2_STREAM_EXCHANGE:
    case H2_STREAM_FLUSH: on_look(s); break;
    case H2_STREAM_LINGER: h2_stream_reset(s, NGHTTP2_NO_ERROR); break;
    case H2_STREAM_OVER: UNREACHABLE();
    }
}
