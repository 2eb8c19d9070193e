/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One upstream connection.
 *
 *   RESOLVING ─► CONNECTING ─► HEAD ─► BODY ─► IDLE ─► HEAD ...
 *                  └─next address─┘      (any failure, or an end that must not be reused) ─► CLOSED
 *
 * The happy path: the name is resolved, the addresses are tried in turn until one connects, the request is
 * written, the response's head and body are read into the pool's buffer and handed on from there. Only a head
 * that comes in pieces gets memory of its own. Each state has its deadline, all kept by one timer.
 *
 * Failure modes: whatever goes wrong before the first byte of a response on a reused connection sends the
 * request again, once, on a fresh one; everything else ends the fetch with the result that names it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "fetch_private.h"
#include "io/stream.h"

#define READ_TURN_SIZE_MAX ((size_t)1 << 20) /* then other connections get their turn */
#define INFORMATIONAL_MAX  8                 /* 1xx responses before the final one */

enum connection_state {
    CONNECTION_RESOLVING,
    CONNECTION_CONNECTING, /* with TLS's handshake */
    CONNECTION_HEAD,       /* the request goes out, the head comes in */
    CONNECTION_BODY,
    CONNECTION_IDLE,
    CONNECTION_CLOSED, /* until the end of the turn, as its functions may be on the stack */
};

/* A head that did not come in one piece. */
struct partial_head {
    struct http_head head;
    size_t filled;
    char data[]; /* options.head_size_max */
};

struct fetch_connection {
    struct fetch_origin *origin;
    struct fetch *fetch; /* NULL in IDLE and CLOSED */
    struct list node;    /* origin->idle */
    struct stream *stream;
    struct timer deadline;
    enum connection_state state;
    struct later free_later;

    struct resolve resolve;
    struct addr addresses[RESOLVE_ADDRESSES_MAX];
    size_t address_count, address_index; /* index: of the next to try */
    uint64_t connect_due_ms;

    bool reused, response_begun, keep_alive;
    unsigned informational_count;
    size_t sent_bytes; /* of the request */
    enum http_framing framing;
    struct partial_head *partial;
    struct http_parser parser;
};

static struct loop *loop_of(const struct fetch_connection *c)
{
    return c->origin->pool->loop;
}

static struct fetch_stats *stats_of(const struct fetch_connection *c)
{
    return &c->origin->pool->stats;
}

/* --- The end. --- */

static void forget_partial(struct fetch_connection *c)
{
    free(c->partial);
    c->partial = NULL;
}

static void on_free(struct later *later)
{
    struct fetch_connection *c = container_of(later, struct fetch_connection, free_later);

    forget_partial(c);
    free(c);
}

void fetch_connection_close(struct fetch_connection *c)
{
    if (c->fetch)
        c->fetch->connection = NULL;
    c->fetch = NULL;
    c->state = CONNECTION_CLOSED;
    timer_stop(&c->deadline);
    resolve_cancel(&c->resolve);
    stream_close(c->stream);
    c->stream = NULL;
    list_remove(&c->node);
    c->origin->connection_count--;
    later_start(loop_of(c), &c->origin->serve);
    later_start(loop_of(c), &c->free_later);
}

void fetch_done(struct fetch *f, enum fetch_result result)
{
    REQUIRE(!f->connection);
    counter_add(&f->origin->pool->stats.results[result], 1);
    f->events->on_done(f, result);
    list_remove(&f->node);
    free(f);
}

static void fail(struct fetch_connection *c, enum fetch_result result)
{
    struct fetch *f = c->fetch;

    fetch_connection_close(c);
    fetch_done(f, result);
}

/* The whole response is there. */
static void complete(struct fetch_connection *c, bool more_follows)
{
    struct fetch *f = c->fetch;
    bool request_sent = c->sent_bytes == f->head_size;

    if (!c->keep_alive || more_follows || !request_sent || c->framing == HTTP_FRAMING_CLOSE) {
        fetch_connection_close(c);
    } else {
        f->connection = NULL;
        c->fetch = NULL;
        c->state = CONNECTION_IDLE;
        list_push_front(&c->origin->idle, &c->node);
        stream_want_read(c->stream, true); /* to see it close */
        timer_start(loop_of(c), &c->deadline, c->origin->pool->options.keep_alive_idle_ms);
        later_start(loop_of(c), &c->origin->serve);
    }
    fetch_done(f, FETCH_OK);
}

static bool may_retry(const struct fetch_connection *c)
{
    struct slice head = slice_make(c->fetch->head, c->fetch->head_size);

    return c->reused && !c->response_begun && !c->fetch->retried &&
           (slice_starts_with(head, SLICE_LITERAL("GET ")) ||
            slice_starts_with(head, SLICE_LITERAL("HEAD ")) ||
            slice_starts_with(head, SLICE_LITERAL("OPTIONS ")) ||
            slice_starts_with(head, SLICE_LITERAL("PUT ")) ||
            slice_starts_with(head, SLICE_LITERAL("DELETE ")));
}

/* The peer ended or broke the connection. */
static void lost(struct fetch_connection *c, bool ended)
{
    struct fetch *f = c->fetch;

    if (c->state == CONNECTION_BODY) {
        if (ended && http_parser_ends_well(&c->parser))
            complete(c, false);
        else
            fail(c, FETCH_TRUNCATED);
    } else if (may_retry(c)) {
        f->retried = true;
        fetch_connection_close(c);
        fetch_connection_open(f);
    } else {
        fail(c, FETCH_CLOSED_BEFORE_HEAD);
    }
}

/* --- The request. --- */

static void send_request(struct fetch_connection *c)
{
    struct fetch *f = c->fetch;
    struct iovec part = {f->head + c->sent_bytes, f->head_size - c->sent_bytes};
    ssize_t size;

    if (part.iov_len == 0)
        return;
    size = stream_writev(c->stream, &part, 1, false);
    if (size > 0) {
        c->sent_bytes += (size_t)size;
        counter_add(&stats_of(c)->sent_bytes, (uint64_t)size);
    } else if (size != -EAGAIN) {
        lost(c, false);
    }
}

static void begin_request(struct fetch_connection *c)
{
    c->state = CONNECTION_HEAD;
    c->response_begun = false;
    c->informational_count = 0;
    c->sent_bytes = 0;
    timer_start(loop_of(c), &c->deadline, c->fetch->timeouts.first_byte_ms);
    send_request(c);
}

void fetch_connection_reuse(struct fetch_connection *c, struct fetch *f)
{
    list_remove(&c->node);
    c->fetch = f;
    f->connection = c;
    c->reused = true;
    counter_add(&stats_of(c)->connections_reused, 1);
    begin_request(c);
}

struct fetch_connection *fetch_connection_first_idle(struct fetch_origin *o)
{
    return list_is_empty(&o->idle) ? NULL : LIST_FIRST(&o->idle, struct fetch_connection, node);
}

void fetch_connection_close_idle(struct fetch_origin *o)
{
    struct fetch_connection *c, *following;

    LIST_FOR_EACH_SAFE (c, following, &o->idle, node)
        fetch_connection_close(c);
}

/* --- The response. --- */

static bool on_body(void *user, const char *data, size_t size)
{
    struct fetch_connection *c = user;

    c->fetch->events->on_body(c->fetch, data, size);
    return c->state == CONNECTION_BODY; /* else it was cancelled */
}

void fetch_connection_apply_pause(struct fetch_connection *c)
{
    if (c->state != CONNECTION_BODY)
        return;
    stream_want_read(c->stream, !c->fetch->paused);
    if (c->fetch->paused)
        timer_stop(&c->deadline);
    else
        timer_start(loop_of(c), &c->deadline, c->fetch->timeouts.idle_ms);
}

static void consume_body(struct fetch_connection *c, const char *data, size_t size)
{
    size_t used = 0;

    switch (http_parser_body(&c->parser, data, size, on_body, c, &used)) {
    case HTTP_PARSE_DONE: complete(c, used < size); break;
    case HTTP_PARSE_STOPPED: break;
    case HTTP_PARSE_MORE:
        if (!c->fetch->paused)
            timer_start(loop_of(c), &c->deadline, c->fetch->timeouts.idle_ms);
        break;
    default: fail(c, FETCH_BAD_RESPONSE); break;
    }
}

/* The rest of the head will come: what is there moves to memory of its own. */
static void keep_partial(struct fetch_connection *c, const char *data, size_t size)
{
    size_t size_max = c->origin->pool->options.head_size_max;

    if (size >= size_max) {
        fail(c, FETCH_HEAD_TOO_LARGE);
        return;
    }
    if (c->partial && data == c->partial->data)
        return; /* stands where it did: the parser goes on */
    if (!c->partial)
        c->partial = malloc(sizeof(*c->partial) + size_max);
    if (!c->partial) {
        fail(c, FETCH_NO_MEMORY);
        return;
    }
    memmove(c->partial->data, data, size);
    c->partial->filled = size;
    http_parser_init(&c->parser, HTTP_PARSER_RESPONSE, &c->partial->head);
}

static void begin_body(struct fetch_connection *c, const char *data, size_t size)
{
    const struct http_head *head = c->parser.head;
    struct fetch *f = c->fetch;

    c->state = CONNECTION_BODY;
    c->keep_alive = head->keep_alive;
    c->framing = http_parser_begin_body(&c->parser, f->is_head);
    fetch_connection_apply_pause(c);
    f->events->on_head(f, head);
    if (c->state == CONNECTION_BODY)
        consume_body(c, data, size);
}

static void consume_head(struct fetch_connection *c, const char *data, size_t size)
{
    size_t size_max = c->origin->pool->options.head_size_max;

    /* The pool's head serves all connections in turn, so it is made ready here and not when the request goes
     * out. */
    if (!c->partial)
        http_parser_init(&c->parser, HTTP_PARSER_RESPONSE, &c->origin->pool->head);
    for (;;) {
        size_t head_size = 0;
        enum http_parse parsed = http_parser_head(&c->parser, data, size_min(size, size_max), &head_size);
        unsigned status = c->parser.head->status;

        if (parsed == HTTP_PARSE_MORE) {
            keep_partial(c, data, size);
            return;
        }
        if (parsed != HTTP_PARSE_DONE) {
            fail(c, parsed == HTTP_PARSE_TOO_MANY_FIELDS ? FETCH_HEAD_TOO_LARGE : FETCH_BAD_RESPONSE);
            return;
        }
        data += head_size;
        size -= head_size;
        if (status >= 200) {
            begin_body(c, data, size);
            return;
        }
        if (status == 101 ||
            ++c->informational_count > INFORMATIONAL_MAX) { /* 101: nothing was to be upgraded */
            fail(c, FETCH_BAD_RESPONSE);
            return;
        }
        if (status > 101 && c->fetch->events->on_informational)
            c->fetch->events->on_informational(c->fetch, c->parser.head);
        http_parser_init(&c->parser, HTTP_PARSER_RESPONSE, c->parser.head);
    }
}

static void consume(struct fetch_connection *c, const char *data, size_t size)
{
    if (c->state == CONNECTION_HEAD)
        consume_head(c, data, size);
    else
        consume_body(c, data, size);
}

/* Reads until the room is full or there is no more. *ret_last: what the last read said. */
static size_t fill(struct fetch_connection *c, char *data, size_t size_max, ssize_t *ret_last)
{
    size_t filled = 0;

    do {
        *ret_last = stream_read(c->stream, data + filled, size_max - filled);
        if (*ret_last > 0)
            filled += (size_t)*ret_last;
    } while (*ret_last > 0 && filled < size_max);
    if (filled > 0)
        c->response_begun = true;
    c->fetch->received_bytes += filled;
    counter_add(&stats_of(c)->received_bytes, filled);
    return filled;
}

static size_t receive_once(struct fetch_connection *c, ssize_t *ret_last)
{
    struct partial_head *partial = c->state == CONNECTION_HEAD ? c->partial : NULL;
    struct fetch_pool *p = c->origin->pool;
    size_t size;

    if (partial) {
        size = fill(c, partial->data + partial->filled, p->options.head_size_max - partial->filled, ret_last);
        partial->filled += size;
        if (size > 0)
            consume(c, partial->data, partial->filled);
        if (c->state != CONNECTION_HEAD)
            forget_partial(c);
    } else {
        size_t limit = c->fetch->next_read_max;

        c->fetch->next_read_max = 0;
        size = fill(c, p->buffer, limit ? size_min(limit, FETCH_BUFFER_SIZE) : FETCH_BUFFER_SIZE, ret_last);
        if (size > 0)
            consume(c, p->buffer, size);
    }
    return size;
}

static void receive(struct fetch_connection *c)
{
    size_t left = READ_TURN_SIZE_MAX;

    while (c->fetch && !(c->state == CONNECTION_BODY && c->fetch->paused)) {
        ssize_t last = 0;
        size_t size = receive_once(c, &last);

        if (last <= 0 && last != -EAGAIN) {
            if (c->state == CONNECTION_IDLE)
                fetch_connection_close(c);
            else if (c->fetch)
                lost(c, last == 0);
            return;
        }
        if (last == -EAGAIN || size >= left)
            return; /* told again in the next turn */
        left -= size;
    }
}

/* --- Connecting. --- */

static void on_open(void *user, int status);
static void on_readable(void *user);
static void on_writable(void *user);

static const struct stream_events stream_events = {
    .on_open = on_open, .on_readable = on_readable, .on_writable = on_writable};

static enum fetch_result connect_result(int status)
{
    switch (status) {
    case -ECONNREFUSED: return FETCH_CONNECT_REFUSED;
    case -ETIMEDOUT: return FETCH_CONNECT_TIMEOUT;
    case -EPROTO: return FETCH_TLS_FAILED;
    case -ENOMEM: return FETCH_NO_MEMORY;
    default: return FETCH_CONNECT_FAILED;
    }
}

/* Each address gets an equal share of the time that is left. `failure`: why the one before did not do. */
static void try_next_address(struct fetch_connection *c, int failure)
{
    struct fetch_origin *o = c->origin;
    uint64_t now_ms = loop_now_ms(loop_of(c));

    stream_close(c->stream);
    c->stream = NULL;
    while (c->address_index < c->address_count && now_ms < c->connect_due_ms) {
        size_t left = c->address_count - c->address_index;

        failure = stream_connect(loop_of(c), &c->addresses[c->address_index++], o->tls, o->server_name,
                                 &stream_events, c, &c->stream);
        if (failure == 0) {
            timer_start(loop_of(c), &c->deadline, (c->connect_due_ms - now_ms) / left);
            return;
        }
    }
    fail(c, connect_result(failure));
}

/* So that only the first connection pays for addresses that do not answer. */
static void put_good_address_first(struct fetch_connection *c)
{
    const struct fetch_origin *o = c->origin;

    for (size_t i = 1; o->has_good && i < c->address_count; i++)
        if (addr_equal_ip(&c->addresses[i], &o->good)) {
            memmove(&c->addresses[1], &c->addresses[0], i * sizeof(c->addresses[0]));
            c->addresses[0] = o->good;
            return;
        }
}

static void on_resolved(struct resolve *resolve, int status, const struct addr *addresses, size_t count)
{
    struct fetch_connection *c = container_of(resolve, struct fetch_connection, resolve);

    if (status < 0 || count == 0) {
        fail(c, FETCH_RESOLVE_FAILED);
    } else {
        c->address_count = size_min(count, RESOLVE_ADDRESSES_MAX);
        memcpy(c->addresses, addresses, c->address_count * sizeof(*addresses));
        put_good_address_first(c);
        c->state = CONNECTION_CONNECTING;
        try_next_address(c, -ETIMEDOUT);
    }
}

static void on_open(void *user, int status)
{
    struct fetch_connection *c = user;

    if (status < 0) {
        try_next_address(c, status);
    } else {
        counter_add(&stats_of(c)->connections_opened, 1);
        c->origin->good = c->addresses[c->address_index - 1];
        c->origin->has_good = true;
        begin_request(c);
    }
}

static void on_readable(void *user)
{
    struct fetch_connection *c = user;

    if (c->state == CONNECTION_IDLE) /* it ended, or said what nobody asked */
        fetch_connection_close(c);
    else
        receive(c);
}

static void on_writable(void *user)
{
    struct fetch_connection *c = user;

    if (c->fetch)
        send_request(c);
}

static void on_deadline(struct timer *t)
{
    struct fetch_connection *c = container_of(t, struct fetch_connection, deadline);

    switch (c->state) {
    case CONNECTION_RESOLVING: fail(c, FETCH_RESOLVE_FAILED); break;
    case CONNECTION_CONNECTING: try_next_address(c, -ETIMEDOUT); break;
    case CONNECTION_HEAD: fail(c, FETCH_FIRST_BYTE_TIMEOUT); break;
    case CONNECTION_BODY: fail(c, FETCH_IDLE_TIMEOUT); break;
    case CONNECTION_IDLE: fetch_connection_close(c); break;
    case CONNECTION_CLOSED: UNREACHABLE();
    }
}

void fetch_connection_open(struct fetch *f)
{
    struct fetch_origin *o = f->origin;
    struct fetch_connection *c = calloc(1, sizeof(*c));

    if (!c) {
        fetch_done(f, FETCH_NO_MEMORY);
        return;
    }
    c->origin = o;
    c->fetch = f;
    f->connection = c;
    o->connection_count++;
    list_init(&c->node);
    list_init(&c->resolve.node);
    timer_init(&c->deadline, on_deadline);
    later_init(&c->free_later, on_free);
    c->connect_due_ms = loop_now_ms(o->pool->loop) + f->timeouts.connect_ms;
    timer_start(o->pool->loop, &c->deadline, f->timeouts.connect_ms);
    resolve_start(o->pool->resolver, &c->resolve, o->host, o->port, on_resolved);
}
