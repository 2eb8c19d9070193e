/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: accepting, reading and refusing HTTP/1 requests, deadlines, draining. Responses go out in
 * server_response.c; the states stand in server_connection.h; what turns out to be HTTP/2 is handed on to
 * h2_connection.c.
 *
 * While a response runs, what the client sends goes into the inbox until that is full, and then stays in the
 * socket: it is read on only so that a client that went away is noticed.
 */
#include "http/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "h2_connection.h"
#include "h2_guard.h"
#include "server_connection.h"

#define BODY_ROOM_MIN      512 /* behind the head, for its body's pieces */
#define CHUNK_FRAMING_MAX  8   /* bytes of lines for each of a body, when it comes in the smallest chunks */
#define LINGER_SIZE_MAX    ((size_t)256 << 10)
#define SPARE_INBOXES_MAX  256
#define SPARE_OUTBOXES_MAX 256
#define RETRY_AFTER_S      2 /* said to who is turned away */
#define HANDSHAKE_FAIR_MS  1000

static const struct {
    const char *name;
    unsigned status;
} refusals[HTTP_REFUSAL_COUNT] = {
#define R(name, word, status) {word, status},
    HTTP_REFUSALS(R)
#undef R
};

const char *http_refusal_name(enum http_refusal refusal)
{
    return refusals[refusal].name;
}

unsigned server_refusal_status(enum http_refusal refusal)
{
    return refusals[refusal].status;
}

bool server_has_too_many_fields(const struct http_server *s, const struct http_head *head)
{
    return s->options.fields_max > 0 && head->field_count > s->options.fields_max;
}

/* --- Spare memory. --- */

struct inbox *server_inbox_take(struct http_server *s)
{
    struct inbox *in = s->spare_inboxes;

    if (in) {
        s->spare_inboxes = in->next;
        s->spare_inbox_count--;
    } else {
        in = malloc(sizeof(*in) + s->options.head_size_max);
        if (!in)
            return NULL;
    }
    in->start = in->filled = 0;
    http_parser_init(&in->parser, HTTP_PARSER_REQUEST, &in->head);
    return in;
}

void server_inbox_give(struct http_server *s, struct inbox *in)
{
    if (!in)
        return;
    if (s->spare_inbox_count == SPARE_INBOXES_MAX) {
        free(in);
        return;
    }
    in->next = s->spare_inboxes;
    s->spare_inboxes = in;
    s->spare_inbox_count++;
}

struct outbox *server_outbox_take(struct http_server *s, size_t capacity)
{
    struct outbox *o = s->spare_outboxes;

    capacity += OUTBOX_FRAMING_ROOM;
    if (capacity <= OUTBOX_SPARE_CAPACITY && o) {
        s->spare_outboxes = o->next;
        s->spare_outbox_count--;
    } else {
        capacity = size_max(capacity, OUTBOX_SPARE_CAPACITY);
        o = malloc(sizeof(*o) + capacity);
        if (!o)
            return NULL;
        o->capacity = capacity;
    }
    o->start = o->filled = 0;
    return o;
}

void server_outbox_give(struct http_server *s, struct outbox *o)
{
    if (!o)
        return;
    if (o->capacity != OUTBOX_SPARE_CAPACITY || s->spare_outbox_count == SPARE_OUTBOXES_MAX) {
        free(o);
        return;
    }
    o->next = s->spare_outboxes;
    s->spare_outboxes = o;
    s->spare_outbox_count++;
}

/* --- The end of a connection. --- */

static void on_drained(struct later *later)
{
    struct http_server *s = container_of(later, struct http_server, drained);

    s->on_drained(s->drain_user);
}

static void note_drained(struct http_server *s)
{
    if (s->draining && s->connection_count == 0)
        later_start(s->loop, &s->drained);
}

static void leave_waiting(struct connection *c)
{
    if (c->is_waiting)
        counter_add(&c->server->waiting_count, (uint64_t)-1);
    c->is_waiting = false;
    list_remove(&c->waiting);
}

static void leave_handshakes(struct connection *c)
{
    if (!list_is_linked(&c->handshaking))
        return;
    list_remove(&c->handshaking);
    c->server->handshake_count--;
}

void server_connection_close(struct connection *c, bool reset)
{
    struct http_server *s = c->server;

    if (c->state == CONNECTION_CLOSED)
        return;
    c->state = CONNECTION_CLOSED;
    timer_stop(&c->deadline);
    timer_stop(&c->handshake_deadline);
    later_start(s->loop, &c->later); /* frees it */
    list_remove(&c->node);
    leave_waiting(c);
    list_remove(&c->due);
    leave_handshakes(c);
    if (s->options.gate)
        s->options.gate->leave(s->options.gate->user, c->guest);
    if (reset)
        stream_reset(c->stream);
    else
        stream_close(c->stream);
    server_inbox_give(s, c->inbox);
    buf_fini(&c->body);
    server_outbox_give(s, c->outbox);
    counter_add(&s->stats.connections_closed, 1);
    s->connection_count--;
    note_drained(s);
}

void server_connection_gone(struct connection *c, const char *reason)
{
    if (CHECK(c->x.events != NULL))
        c->x.events->on_gone(&c->x, reason);
    server_connection_close(c, true);
}

/* Nothing more is to be said: what the client still sends is read for a while, as closing with bytes unread
 * would reset the connection and could cost the client our last response. */
void server_connection_linger(struct connection *c)
{
    if (c->peer_ended || stream_shutdown(c->stream) < 0) {
        server_connection_close(c, false);
        return;
    }
    c->state = CONNECTION_LINGER;
    server_inbox_give(c->server, c->inbox);
    c->inbox = NULL;
    if (c->reading_off)
        stream_want_read(c->stream, true);
    timer_start(c->server->loop, &c->deadline, SERVER_LINGER_MS);
}

static void drain_lingering(struct connection *c)
{
    char waste[16 << 10];
    ssize_t size = stream_read(c->stream, waste, sizeof(waste));

    counter_add(&c->server->stats.system_calls, 1);
    if (size > 0)
        c->lingered_bytes += (size_t)size;
    if ((size <= 0 && size != -EAGAIN) || c->lingered_bytes > LINGER_SIZE_MAX)
        server_connection_close(c, false);
}

/* --- Refusing. --- */

void server_connection_refused(struct connection *c, enum http_refusal refusal, unsigned status,
                               uint64_t sent_bytes)
{
    struct http_server *s = c->server;

    counter_add(&s->stats.refusals[refusal], 1);
    if (s->options.on_refused)
        s->options.on_refused(refusal, &c->x.peer, status, sent_bytes, s->options.user);
}

void server_connection_waits(struct connection *c, bool waits)
{
    if (waits && c->is_waiting)
        return;
    leave_waiting(c);
    if (!waits)
        return;
    c->is_waiting = true;
    counter_add(&c->server->waiting_count, 1);
    list_push_back(&c->server->waiting, &c->waiting);
}

void server_connection_blocks(struct connection *c, bool blocks)
{
    if (blocks && list_is_linked(&c->waiting) && !c->is_waiting)
        return;
    leave_waiting(c);
    if (!blocks)
        return;
    c->blocked_ms = loop_now_ms(c->server->loop);
    list_push_back(&c->server->blocked, &c->waiting);
}

/* Without a response. */
static void drop(struct connection *c, enum http_refusal refusal)
{
    server_connection_refused(c, refusal, 0, 0);
    server_connection_close(c, false);
}

/* Whatever it is doing. */
void server_connection_cut(struct connection *c, enum http_refusal refusal)
{
    const char *word = refusals[refusal].name;

    if (c->state == CONNECTION_EXCHANGE) {
        server_connection_refused(c, refusal, 0, 0);
        server_connection_gone(c, word);
        return;
    }
    if (c->state == CONNECTION_HTTP2)
        h2_connection_gone(c->h2, word);
    drop(c, refusal);
}

static void refuse(struct connection *c, enum http_refusal refusal)
{
    static const char fields[] = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
    const char *word = refusals[refusal].name;
    bool is_head = c->inbox->head.method == HTTP_HEAD;

    timer_stop(&c->deadline);
    server_connection_waits(c, false);
    server_response_begin(c);
    if (!server_response_head(c, refusals[refusal].status, SLICE_LITERAL(fields), strlen(word)) ||
        (!is_head && !server_response_append(c, word, strlen(word)))) {
        server_connection_close(c, true);
        return;
    }
    server_connection_refused(c, refusal, refusals[refusal].status, c->sent_bytes);
    server_response_end(c);
}

/* --- Requests. --- */

static size_t unread_size(const struct connection *c)
{
    return c->inbox ? c->inbox->filled - c->inbox->start : 0;
}

static void read_again(struct connection *c)
{
    if (c->reading_off && !c->peer_ended) {
        c->reading_off = false;
        stream_want_read(c->stream, true);
    }
}

/* Only TLS has something to give back. */
static bool may_rest(const struct connection *c)
{
    return stream_is_tls(c->stream) && c->server->options.idle_timeout_ms > SERVER_REST_MS;
}

uint64_t server_connection_idle_ms(const struct connection *c)
{
    uint64_t whole_ms = c->server->options.idle_timeout_ms;

    if (!may_rest(c))
        return whole_ms;
    return c->is_resting ? whole_ms - SERVER_REST_MS : SERVER_REST_MS;
}

bool server_connection_rest(struct connection *c)
{
    if (c->is_resting || !may_rest(c))
        return false;
    c->is_resting = true;
    stream_rest(c->stream);
    return true;
}

static void become_idle(struct connection *c)
{
    if (c->peer_ended || (c->server->draining && c->state == CONNECTION_IDLE)) {
        server_connection_close(c, false);
        return;
    }
    server_inbox_give(c->server, c->inbox);
    c->inbox = NULL;
    read_again(c);
    c->is_resting = false;
    if (c->state == CONNECTION_IDLE)
        timer_start(c->server->loop, &c->deadline, server_connection_idle_ms(c));
    server_connection_waits(c, true);
}

void server_connection_next(struct connection *c)
{
    if (c->is_paced)
        stream_set_pace(c->stream, 0);
    c->is_paced = false;
    c->earlier_bytes += c->sent_bytes;
    if (c->body.data)
        buf_fini(&c->body);
    if (!c->keep_alive) {
        server_connection_linger(c);
        return;
    }
    c->state = CONNECTION_IDLE;
    if (unread_size(c) == 0) {
        become_idle(c);
        return;
    }
    http_parser_init(&c->inbox->parser, HTTP_PARSER_REQUEST, &c->inbox->head);
    if (!c->serving)
        later_start(c->server->loop, &c->later);
}

/* Reads once. False: there is nothing new to look at. */
static bool receive(struct connection *c)
{
    size_t size_max = c->server->options.head_size_max;
    struct inbox *in = c->inbox;
    ssize_t size;

    if (!in)
        in = c->inbox = server_inbox_take(c->server);
    if (!in) {
        server_connection_close(c, true);
        return false;
    }
    if (in->filled == size_max) { /* only while a response runs */
        c->reading_off = true;
        stream_want_read(c->stream, false);
        return false;
    }
    size = stream_read(c->stream, in->data + in->filled, size_max - in->filled);
    counter_add(&c->server->stats.system_calls, 1);
    if (size > 0) {
        in->filled += (size_t)size;
        return true;
    }
    if (size == 0) {
        c->peer_ended = c->reading_off = true;
        stream_want_read(c->stream, false);
        return true;
    }
    if (size != -EAGAIN && c->state == CONNECTION_EXCHANGE)
        server_connection_gone(c, size == -ECONNRESET || size == -EPIPE ? "client_closed" : "client_error");
    else if (size != -EAGAIN)
        server_connection_close(c, true);
    else if (in->filled == 0)
        become_idle(c);
    return false;
}

/* Part of a head is there: makes room for the rest. */
static void await_rest(struct connection *c)
{
    size_t size_max = c->server->options.head_size_max;
    struct inbox *in = c->inbox;

    if (c->peer_ended) {
        server_connection_close(c, false);
        return;
    }
    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->filled - in->start);
        in->filled -= in->start;
        in->start = 0;
        http_parser_init(&in->parser, HTTP_PARSER_REQUEST, &in->head);
    } else if (in->filled == size_max) {
        bool long_target = in->head.target.size > c->server->options.uri_size_max;

        refuse(c, long_target ? HTTP_REFUSAL_URI_TOO_LONG : HTTP_REFUSAL_HEAD_TOO_LARGE);
        return;
    }
    read_again(c);
    if (c->state == CONNECTION_IDLE) {
        c->state = CONNECTION_HEAD;
        timer_start(c->server->loop, &c->deadline, c->server->options.header_timeout_ms);
    }
    server_connection_waits(c, true);
}

static void serve(struct connection *c)
{
    struct http_server *s = c->server;

    timer_stop(&c->deadline);
    server_connection_waits(c, false);
    c->state = CONNECTION_EXCHANGE;
    c->x.request = &c->inbox->head;
    c->x.body = buf_slice(&c->body);
    c->x.user = NULL;
    c->x.events = NULL;
    c->x.is_last = c->x.awaits_secure = false;
    c->x.is_early = stream_is_early(c->stream);
    c->x.sent_before_bytes = c->earlier_bytes;
    server_response_begin(c);
    counter_add(&s->stats.requests, 1);
    s->options.on_request(&c->x, s->options.user);
}

/* --- A request's body. --- */

static bool on_body(void *user, const char *data, size_t size)
{
    struct connection *c = user;

    return buf_append(&c->body, data, size);
}

/* Takes what of the body stands in the inbox behind the head. The head must not move, so the room behind it
 * is used again and again. False: more is awaited, or the connection is no more. */
static bool collect_body(struct connection *c)
{
    struct inbox *in = c->inbox;
    size_t used = 0;
    enum http_parse parsed =
        http_parser_body(&in->parser, in->data + in->start, in->filled - in->start, on_body, c, &used);
    size_t framing_max = c->server->options.head_size_max + c->body.size * CHUNK_FRAMING_MAX;

    c->body_framed_bytes += used;
    if (parsed == HTTP_PARSE_STOPPED || c->body_framed_bytes > c->body.size + framing_max)
        refuse(c, HTTP_REFUSAL_BODY_NOT_ACCEPTED);
    else if (parsed == HTTP_PARSE_BAD)
        refuse(c, HTTP_REFUSAL_BAD_REQUEST);
    else if (parsed == HTTP_PARSE_DONE)
        in->start += used;
    else if (c->peer_ended)
        server_connection_close(c, false);
    else
        in->filled = in->start;
    return parsed == HTTP_PARSE_DONE;
}

/* Tells the client to go on (RFC 9110 section 10.1.1). A socket that takes not even this is as good as
 * broken: its deadline ends it. */
static void send_continue(struct connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec part = {(char *)text, sizeof(text) - 1};

    counter_add(&c->server->stats.system_calls, 1);
    if (stream_writev(c->stream, &part, 1, false) < (ssize_t)part.iov_len)
        server_connection_close(c, true);
}

/* True: all of it is there. */
static bool begin_body(struct connection *c)
{
    const struct http_head *head = &c->inbox->head;
    size_t size_max = c->server->options.body_size_max;

    if (head->content_length > 0 && (uint64_t)head->content_length > size_max) {
        refuse(c, HTTP_REFUSAL_BODY_NOT_ACCEPTED);
        return false;
    }
    if (size_max == 0 || c->server->options.head_size_max - c->inbox->start < BODY_ROOM_MIN) {
        refuse(c, size_max == 0 ? HTTP_REFUSAL_BODY_NOT_ACCEPTED : HTTP_REFUSAL_HEAD_TOO_LARGE);
        return false;
    }
    buf_init(&c->body, size_max);
    c->body_framed_bytes = 0;
    http_parser_begin_body(&c->inbox->parser, false);
    c->state = CONNECTION_BODY;
    timer_start(c->server->loop, &c->deadline, c->server->options.header_timeout_ms);
    if (unread_size(c) == 0 && head->version >= 11 && http_head_lists(head, "Expect", "100-continue"))
        send_continue(c);
    if (c->state != CONNECTION_BODY)
        return false;
    read_again(c);
    return collect_body(c);
}

static enum http_refusal refusal_of(enum http_parse parsed)
{
    switch (parsed) {
    case HTTP_PARSE_BAD_VERSION: return HTTP_REFUSAL_VERSION_NOT_SUPPORTED;
    case HTTP_PARSE_TOO_MANY_FIELDS: return HTTP_REFUSAL_HEAD_TOO_LARGE;
    default: return HTTP_REFUSAL_BAD_REQUEST;
    }
}

static void judge(struct connection *c, enum http_parse parsed)
{
    const struct http_head *head = &c->inbox->head;

    if (parsed != HTTP_PARSE_DONE)
        refuse(c, refusal_of(parsed));
    else if (head->target.size > c->server->options.uri_size_max)
        refuse(c, HTTP_REFUSAL_URI_TOO_LONG);
    else if (server_has_too_many_fields(c->server, head))
        refuse(c, HTTP_REFUSAL_HEAD_TOO_LARGE);
    else if ((!head->chunked && head->content_length <= 0) || begin_body(c))
        serve(c);
}

/* Serves what is whole in the inbox. A handler that answers at once is called again from here, not from its
 * own finish: any number of pipelined requests needs one stack frame. */
static void serve_requests(struct connection *c)
{
    int served = 0;

    c->serving = true;
    while (c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD) {
        struct inbox *in = c->inbox;
        enum http_parse parsed;
        size_t head_size = 0;

        if (unread_size(c) == 0) {
            if (c->peer_ended)
                server_connection_close(c, false);
            break;
        }
        if (served++ > 0 && stream_has_had_its_slice(c->stream)) {
            later_start(c->server->loop, &c->later);
            break;
        }
        parsed = http_parser_head(&in->parser, in->data + in->start, in->filled - in->start, &head_size);
        if (parsed == HTTP_PARSE_MORE) {
            await_rest(c);
            break;
        }
        in->start += head_size;
        judge(c, parsed);
    }
    c->serving = false;
}

/* --- What the stream, the timer and the loop call. --- */

static void become_http2(struct connection *c)
{
    struct inbox *in = c->inbox;

    if (h2_connection_new(c, &c->h2) < 0) {
        server_connection_close(c, true);
        return;
    }
    c->state = CONNECTION_HTTP2;
    c->inbox = NULL;
    h2_connection_receive(c->h2, in ? in->data : NULL, in ? in->filled : 0);
    server_inbox_give(c->server, in);
}

/* A plain connection tells by its first bytes (RFC 9113 section 3.3). True: it is HTTP/2, or may still be. */
static bool begins_http2(struct connection *c)
{
    size_t size = size_min(c->inbox->filled, H2_PREFACE_SIZE);

    c->may_be_h2 = memcmp(c->inbox->data, H2_PREFACE, size) == 0 && !c->peer_ended;
    if (c->may_be_h2 && size == H2_PREFACE_SIZE)
        become_http2(c);
    return c->may_be_h2;
}

static void on_open(void *user, int status)
{
    struct connection *c = user;
    struct http_server *s = c->server;

    if (status < 0) {
        drop(c, HTTP_REFUSAL_HANDSHAKE_FAILED);
        return;
    }
    if (stream_is_early(c->stream)) /* it keeps its place among the handshakes */
        timer_start(s->loop, &c->handshake_deadline, s->options.handshake_timeout_ms);
    else
        leave_handshakes(c);
    c->state = CONNECTION_HEAD;
    stream_local(c->stream, &c->x.local);
    c->x.server_name = stream_server_name(c->stream);
    timer_start(s->loop, &c->deadline, s->options.header_timeout_ms);
    c->may_be_h2 = !c->x.is_tls;
    if (stream_is_http2(c->stream))
        become_http2(c);
}

static void on_readable(void *user)
{
    struct connection *c = user;

    if (c->state == CONNECTION_LINGER)
        drain_lingering(c);
    else if (c->state == CONNECTION_HTTP2)
        h2_connection_on_readable(c->h2);
    else if (receive(c) && !(c->may_be_h2 && begins_http2(c)) &&
             (c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD))
        serve_requests(c);
    else if (c->state == CONNECTION_BODY && unread_size(c) + c->peer_ended > 0 && collect_body(c))
        serve(c);
}

static void on_writable(void *user)
{
    struct connection *c = user;

    if (c->state == CONNECTION_HTTP2)
        h2_connection_on_writable(c->h2);
    else
        server_response_on_writable(c);
}

static void on_secure(void *user)
{
    struct connection *c = user;

    timer_stop(&c->handshake_deadline);
    leave_handshakes(c);
    if (c->state == CONNECTION_HTTP2)
        h2_connection_on_secure(c->h2);
    else if (c->state == CONNECTION_EXCHANGE)
        exchange_become_secure(&c->x);
}

static void on_again(void *user)
{
    struct connection *c = user;

    if (c->state == CONNECTION_HTTP2)
        h2_connection_on_later(c->h2);
    else if (c->state == CONNECTION_EXCHANGE)
        server_response_go_on(c);
    else if (c->state == CONNECTION_IDLE)
        serve_requests(c);
}

static void on_later(struct later *later)
{
    struct connection *c = container_of(later, struct connection, later);

    if (c->state == CONNECTION_CLOSED) {
        h2_connection_free(c->h2);
        free(c); /* nothing else of it, nor of the server, is touched */
    } else if (c->state == CONNECTION_EXCHANGE && c->broken) {
        server_connection_gone(c, c->broken);
    } else if (stream_may_go_on(c->stream)) {
        on_again(c);
    }
}

/* It is being waited for with a response. */
static void look_at_client(struct connection *c)
{
    const char *word = server_connection_look(c);

    if (!word)
        timer_start(c->server->loop, &c->deadline, server_drain_delay_ms(c->server, &c->drain));
    else if (c->state == CONNECTION_EXCHANGE)
        server_connection_gone(c, word);
    else
        server_connection_close(c, true);
}

static void idle_on(struct connection *c)
{
    if (server_connection_rest(c))
        timer_start(c->server->loop, &c->deadline, server_connection_idle_ms(c));
    else
        drop(c, HTTP_REFUSAL_IDLE_TIMEOUT);
}

static void on_deadline(struct timer *t)
{
    struct connection *c = container_of(t, struct connection, deadline);

    switch (c->state) {
    case CONNECTION_HANDSHAKE: drop(c, HTTP_REFUSAL_HANDSHAKE_TIMEOUT); break;
    case CONNECTION_HEAD:
        if (unread_size(c) > 0)
            refuse(c, HTTP_REFUSAL_HEADER_TIMEOUT);
        else
            drop(c, HTTP_REFUSAL_HEADER_TIMEOUT); /* a response to nothing confuses */
        break;
    case CONNECTION_BODY: refuse(c, HTTP_REFUSAL_HEADER_TIMEOUT); break;
    case CONNECTION_IDLE: idle_on(c); break;
    case CONNECTION_EXCHANGE:
    case CONNECTION_FLUSH:
        if (c->blocked)
            look_at_client(c);
        else
            server_response_on_due(c);
        break;
    case CONNECTION_HTTP2: h2_connection_on_deadline(c->h2); break;
    case CONNECTION_LINGER: server_connection_close(c, false); break;
    case CONNECTION_CLOSED: UNREACHABLE();
    }
}

static void on_handshake_deadline(struct timer *t)
{
    server_connection_cut(container_of(t, struct connection, handshake_deadline),
                          HTTP_REFUSAL_HANDSHAKE_TIMEOUT);
}

static const struct stream_events stream_events = {
    on_open, on_readable, on_writable, on_again, on_secure,
};

/* --- The server. --- */

int http_server_new(struct loop *l, const struct http_server_options *options,
                    struct http_server **ret_server)
{
    struct http_server *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->loop = l;
    s->options = *options;
    list_init(&s->connections);
    list_init(&s->waiting);
    list_init(&s->blocked);
    list_init(&s->handshaking);
    list_init(&s->due);
    later_init(&s->next_portions, server_response_next_portions);
    later_init(&s->drained, on_drained);
    *ret_server = s;
    return 0;
}

/* Takes the socket in any case. */
static struct connection *connection_new(struct http_server *s, int fd, const struct addr *peer,
                                         struct tls_server *tls)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c) {
        close(fd);
        return NULL;
    }
    if (stream_accept(s->loop, fd, peer, tls, &stream_events, c, &c->stream) < 0) {
        free(c);
        return NULL;
    }
    c->server = s;
    c->x.peer = *peer;
    c->x.is_tls = tls != NULL;
    c->x.server_name = "";
    c->x.loop = s->loop;
    c->x.ops = &server_response_ops;
    timer_init(&c->deadline, on_deadline);
    timer_init(&c->handshake_deadline, on_handshake_deadline);
    later_init(&c->later, on_later);
    list_init(&c->node);
    list_init(&c->waiting);
    list_init(&c->handshaking);
    list_init(&c->due);
    return c;
}

/* As much as goes into an empty socket at once; who does not get it sees the end alone. */
static uint64_t say_refusal(int fd, enum http_refusal refusal)
{
    const char *word = refusals[refusal].name;
    unsigned status = refusals[refusal].status;
    char text[256];
    int size = snprintf(text, sizeof(text),
                        "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
                        "Retry-After: %d\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                        status, http_status_reason(status), RETRY_AFTER_S, strlen(word), word);
    ssize_t sent = send(fd, text, (size_t)size, MSG_NOSIGNAL);

    shutdown(fd, SHUT_WR);
    return sent > 0 ? (uint64_t)sent : 0;
}

void http_server_turn_away(struct http_server *s, int fd, const struct addr *peer, bool is_tls,
                           enum http_refusal refusal)
{
    unsigned status = is_tls || s->draining ? 0 : refusals[refusal].status;
    uint64_t sent_bytes = status > 0 ? say_refusal(fd, refusal) : 0;

    close(fd);
    if (s->draining)
        return;
    counter_add(&s->stats.refusals[refusal], 1);
    if (s->options.on_refused)
        s->options.on_refused(refusal, peer, status, sent_bytes, s->options.user);
}

/* Handshakes at a time are bounded, so that who comes next waits no longer than for these. When all places
 * are taken the oldest gives its own up if it has had time enough: it stalls. If it has not, there is more to
 * do than can be done, and the newcomer is the one to go. */
static bool has_handshake_place(struct http_server *s)
{
    struct connection *oldest;

    if (s->options.handshakes_max == 0 || s->handshake_count < s->options.handshakes_max)
        return true;
    oldest = LIST_FIRST(&s->handshaking, struct connection, handshaking);
    if (loop_now_ms(s->loop) < oldest->accepted_ms + HANDSHAKE_FAIR_MS)
        return false;
    server_connection_cut(oldest, HTTP_REFUSAL_TOO_MANY_HANDSHAKES);
    return true;
}

static bool may_handshake(struct http_server *s, const struct addr *peer, enum http_refusal *ret_refusal)
{
    const struct http_gate *gate = s->options.gate;

    *ret_refusal = HTTP_REFUSAL_TOO_MANY_HANDSHAKES_OF_CLIENT;
    if (gate && gate->handshake && !gate->handshake(gate->user, peer, loop_now_ms(s->loop) * 1000000))
        return false;
    *ret_refusal = HTTP_REFUSAL_TOO_MANY_HANDSHAKES;
    return has_handshake_place(s);
}

static void begin_handshake(struct connection *c)
{
    list_push_back(&c->server->handshaking, &c->handshaking);
    c->server->handshake_count++;
    c->accepted_ms = loop_now_ms(c->server->loop);
}

void http_server_accept(struct http_server *s, int fd, const struct addr *peer, struct tls_server *tls)
{
    enum http_refusal refusal = HTTP_REFUSAL_TOO_MANY_CONNECTIONS;
    struct http_guest guest = {0};
    struct connection *c;

    if (s->draining || s->connection_count >= s->options.connections_max ||
        (tls && !may_handshake(s, peer, &refusal)) || !server_gate_pass(s, peer, &guest, &refusal)) {
        http_server_turn_away(s, fd, peer, tls != NULL, refusal);
        return;
    }
    c = connection_new(s, fd, peer, tls);
    if (!c) {
        if (s->options.gate)
            s->options.gate->leave(s->options.gate->user, guest);
        return;
    }
    c->guest = guest;
    list_push_back(&s->connections, &c->node);
    server_connection_waits(c, true);
    if (tls)
        begin_handshake(c);
    s->connection_count++;
    counter_add(&s->stats.connections_opened, 1);
    timer_start(s->loop, &c->deadline, s->options.handshake_timeout_ms);
}

void http_server_drain(struct http_server *s, void (*on_drained_fn)(void *user), void *user)
{
    struct connection *c, *following;

    REQUIRE(!s->draining);
    s->draining = true;
    s->on_drained = on_drained_fn;
    s->drain_user = user;
    LIST_FOR_EACH_SAFE (c, following, &s->connections, node) {
        if (c->state == CONNECTION_HTTP2)
            h2_connection_drain(c->h2);
        else if (c->state == CONNECTION_HANDSHAKE || c->state == CONNECTION_LINGER ||
                 ((c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD) && unread_size(c) == 0))
            server_connection_close(c, false);
    }
    note_drained(s);
}

static void free_spares(struct http_server *s)
{
    while (s->spare_inboxes) {
        struct inbox *in = s->spare_inboxes;

        s->spare_inboxes = in->next;
        free(in);
    }
    while (s->spare_outboxes) {
        struct outbox *o = s->spare_outboxes;

        s->spare_outboxes = o->next;
        free(o);
    }
}

void http_server_free(struct http_server *s)
{
    struct connection *c, *following;

    s->draining = false; /* its end is not its being drained */
    LIST_FOR_EACH_SAFE (c, following, &s->connections, node) {
        if (c->state == CONNECTION_EXCHANGE)
            server_connection_gone(c, "server_stopped");
        if (c->state == CONNECTION_HTTP2)
            h2_connection_gone(c->h2, "server_stopped");
        server_connection_close(c, true);
    }
    later_stop(&s->drained);
    later_stop(&s->next_portions);
    free_spares(s);
    h2_shared_free(s->h2);
    free(s);
}

const struct http_server_stats *http_server_stats(const struct http_server *s)
{
    return &s->stats;
}
