/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 responses: the exchange's operations on a connection. A head is held back in the outbox until the
 * first body bytes, so that a small response is one writev. Bytes of large bodies are never copied.
 *
 * One rule for a full socket: once a write took less than all, `blocked` stands, nothing more is written, and
 * how much the client takes is looked at now and then until the stream says that it takes bytes again.
 *
 * A paced response goes out in portions (portions.h), each at its time. Those that are due at the same time
 * stand in line, and a turn of the loop sends a few: a crowd of paced viewers holds up nobody's first byte.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "server_connection.h"

#define SEND_SMALL_SIZE_MAX ((uint64_t)64 << 10) /* up to this from memory, together with the head */
#define SEND_TURN_SIZE_MAX  ((uint64_t)4 << 20)  /* a send takes no more: other connections wait */
#define SEND_TURN_TLS_MAX   ((uint64_t)1 << 20)  /* as long takes what has to be encrypted */
#define FIELDS_SIZE_MAX     ((size_t)256 << 10)
#define PORTIONS_PER_TURN   32 /* less than a millisecond */

static const char last_chunk[] = "0\r\n\r\n";

static struct connection *connection_of(const struct exchange *x)
{
    return container_of(x, struct connection, x);
}

/* --- The outbox. --- */

static size_t held_size(const struct connection *c)
{
    return c->outbox ? c->outbox->filled - c->outbox->start : 0;
}

static void release_held(struct connection *c, size_t size)
{
    c->outbox->start += size;
    if (c->outbox->start == c->outbox->filled) {
        server_outbox_give(c->server, c->outbox);
        c->outbox = NULL;
    }
}

/* --- Clients that take little. --- */

struct drain_limits server_drain_limits(const struct http_server *s)
{
    return (struct drain_limits){.stall_ms = s->options.send_stall_timeout_ms,
                                 .rate_min_bytes_per_s = s->options.send_rate_min_bytes_per_s,
                                 .window_ms = s->options.send_rate_window_ms};
}

uint64_t server_drain_delay_ms(const struct http_server *s, struct drain *d)
{
    struct drain_limits limits = server_drain_limits(s);

    return drain_delay_ms(d, &limits, loop_now_ms(s->loop));
}

const char *server_drain_word(struct http_server *s, enum drain_verdict verdict, enum http_refusal stalled)
{
    if (verdict == DRAIN_GOES_ON)
        return NULL;
    counter_add(&s->stats.refusals[verdict == DRAIN_STALLED ? stalled : HTTP_REFUSAL_SEND_TOO_SLOW], 1);
    return http_refusal_name(verdict == DRAIN_STALLED ? HTTP_REFUSAL_SEND_TIMEOUT
                                                      : HTTP_REFUSAL_SEND_TOO_SLOW);
}

static void look(struct connection *c)
{
    counter_add(&c->server->stats.system_calls, 1);
    drain_look(&c->drain, loop_now_ms(c->server->loop), stream_acked_bytes(c->stream));
}

const char *server_connection_look(struct connection *c)
{
    struct drain_limits limits = server_drain_limits(c->server);

    look(c);
    return server_drain_word(c->server, drain_judge(&c->drain, &limits, loop_now_ms(c->server->loop)),
                             HTTP_REFUSAL_SEND_TIMEOUT);
}

uint64_t server_connection_stalled_ms(struct connection *c)
{
    if (!c->drain.is_blocked)
        return 0;
    look(c);
    return drain_stalled_ms(&c->drain, loop_now_ms(c->server->loop));
}

static void broke(struct connection *c, const char *reason)
{
    if (c->broken)
        return;
    c->broken = reason;
    later_start(c->server->loop, &c->later);
}

bool server_response_append(struct connection *c, const void *data, size_t size)
{
    if (!c->outbox)
        c->outbox = server_outbox_take(c->server, size);
    if (!c->outbox || !CHECK(c->outbox->capacity - c->outbox->filled >= size)) {
        broke(c, "out_of_memory");
        return false;
    }
    memcpy(c->outbox->data + c->outbox->filled, data, size);
    c->outbox->filled += size;
    c->sent_bytes += size;
    return true;
}

/* --- Writing. --- */

/* After each write: `wanted` bytes were to go, `result` is what the stream said. Returns the bytes that went.
 */
static size_t written(struct connection *c, ssize_t result, size_t wanted)
{
    size_t taken = result > 0 ? (size_t)result : 0;

    counter_add(&c->server->stats.system_calls, 1);
    if (result < 0 && result != -EAGAIN) {
        broke(c, result == -EPIPE || result == -ECONNRESET ? "client_closed"
                 : result == -EIO                          ? "body_unreadable"
                                                           : "client_error");
        return 0;
    }
    if (taken < wanted) {
        c->blocked = true;
        server_connection_blocks(c, true);
        drain_block(&c->drain, loop_now_ms(c->server->loop));
        timer_start(c->server->loop, &c->deadline, server_drain_delay_ms(c->server, &c->drain));
    }
    return taken;
}

static void flush(struct connection *c, bool more)
{
    size_t size = held_size(c);
    struct iovec part;

    if (size == 0 || c->blocked || c->broken)
        return;
    part = (struct iovec){c->outbox->data + c->outbox->start, size};
    size = written(c, stream_writev(c->stream, &part, 1, more), size);
    if (size > 0)
        release_held(c, size);
}

/* What is held back, the bytes and the end of their chunk in one call. Returns how many of the bytes were
 * taken. */
static size_t send_small(struct connection *c, const char *data, size_t size, bool ends_chunk)
{
    size_t held = held_size(c), wanted = held + size + (ends_chunk ? 2 : 0), taken;
    struct iovec parts[3];
    int count = 0;

    if (held > 0)
        parts[count++] = (struct iovec){c->outbox->data + c->outbox->start, held};
    parts[count++] = (struct iovec){(char *)data, size};
    if (ends_chunk)
        parts[count++] = (struct iovec){(char *)"\r\n", 2};
    taken = written(c, stream_writev(c->stream, parts, count, false), wanted);
    if (held > 0 && taken > 0)
        release_held(c, size_min(held, taken));
    if (taken <= held)
        return 0;
    taken -= held;
    if (taken < size || !ends_chunk)
        return taken;
    if (taken == size + 2)
        c->sent_bytes += 2;
    else
        server_response_append(c, &"\r\n"[taken - size], size + 2 - taken);
    return size;
}

static size_t send_large(struct connection *c, const struct span *span, size_t size, bool ends_chunk)
{
    struct span part = *span;
    size_t taken;

    flush(c, true);
    if (c->blocked || c->broken)
        return 0;
    part.size = size;
    taken = written(c, stream_send_span(c->stream, &part, false), size);
    if (taken == size && ends_chunk)
        server_response_append(c, "\r\n", 2);
    return taken;
}

/* --- The operations. --- */

void server_response_begin(struct connection *c)
{
    c->responded = c->no_body = c->keep_alive = false;
    c->awaits_writable = false;
    c->broken = NULL;
    c->framing = HTTP_FRAMING_NONE;
    c->body_left = c->chunk_left = c->sent_bytes = 0;
    portions_begin(&c->portions);
}

static void choose_framing(struct connection *c, unsigned status, uint64_t body_size)
{
    const struct http_head *request = c->x.request;

    c->no_body = request->method == HTTP_HEAD || status == 204 || status == 304 || status < 200;
    if (c->no_body)
        c->framing = HTTP_FRAMING_NONE;
    else if (body_size != EXCHANGE_LENGTH_UNKNOWN)
        c->framing = HTTP_FRAMING_LENGTH;
    else
        c->framing = request->version >= 11 ? HTTP_FRAMING_CHUNKED : HTTP_FRAMING_CLOSE;
    c->body_left = c->framing == HTTP_FRAMING_LENGTH ? body_size : 0;
    c->keep_alive =
        request->keep_alive && !c->server->draining && !c->x.is_last && c->framing != HTTP_FRAMING_CLOSE;
}

/* Not snprintf: this is done for every hit. */
static char *put_text(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}

static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

#define PUT_LITERAL(at, literal) put_text(at, literal, sizeof(literal) - 1)

static char *put_framing(const struct connection *c, char *at, unsigned status, uint64_t body_size)
{
    if (c->framing == HTTP_FRAMING_CHUNKED)
        at = PUT_LITERAL(at, "Transfer-Encoding: chunked\r\n");
    if (body_size != EXCHANGE_LENGTH_UNKNOWN && status >= 200 && status != 204) { /* RFC 9110 section 8.6 */
        at = PUT_LITERAL(at, "Content-Length: ");
        at = put_number(at, body_size);
        at = PUT_LITERAL(at, "\r\n");
    }
    if (!c->keep_alive)
        at = PUT_LITERAL(at, "Connection: close\r\n");
    else if (c->x.request->version < 11)
        at = PUT_LITERAL(at, "Connection: keep-alive\r\n");
    return PUT_LITERAL(at, "\r\n");
}

bool server_response_head(struct connection *c, unsigned status, struct slice fields, uint64_t body_size)
{
    const char *reason = http_status_reason(status);
    char *at;

    /* 192: the status line without its reason, and the longest framing. */
    c->outbox = server_outbox_take(c->server, 192 + strlen(reason) + fields.size);
    if (!c->outbox)
        return false;
    at = PUT_LITERAL(c->outbox->data, "HTTP/1.1 ");
    at = put_number(at, status);
    *at++ = ' ';
    at = put_text(at, reason, strlen(reason));
    at = PUT_LITERAL(at, "\r\n");
    at = put_text(at, fields.data, fields.size);
    at = put_framing(c, at, status, body_size);
    c->outbox->filled = (size_t)(at - c->outbox->data);
    c->sent_bytes += c->outbox->filled;
    return true;
}

/* Not held back, so that it arrives before what it announces. A socket that takes not even this has no
 * reader. */
static void on_inform(struct exchange *x, unsigned status, struct slice fields)
{
    struct connection *c = connection_of(x);
    char line[64];
    int size = snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", status, http_status_reason(status));
    struct iovec parts[] = {{line, (size_t)size}, {(char *)fields.data, fields.size}, {(char *)"\r\n", 2}};
    size_t wanted = (size_t)size + fields.size + 2;

    REQUIRE(c->state == CONNECTION_EXCHANGE && !c->responded && status >= 102 && status < 200);
    if (c->x.request->version < 11 || c->broken || c->blocked || held_size(c) > 0)
        return;
    if (written(c, stream_writev(c->stream, parts, ARRAY_COUNT(parts), false), wanted) < wanted)
        broke(c, "client_closed");
    c->sent_bytes += wanted;
}

static void on_respond(struct exchange *x, unsigned status, struct slice fields, uint64_t body_size)
{
    struct connection *c = connection_of(x);

    REQUIRE(c->state == CONNECTION_EXCHANGE && !c->responded && status >= 200 && status <= 999);
    c->responded = true;
    choose_framing(c, status, body_size);
    if (!CHECK(fields.size <= FIELDS_SIZE_MAX) || !server_response_head(c, status, fields, body_size))
        broke(c, "out_of_memory");
    if (c->framing == HTTP_FRAMING_CHUNKED)
        c->sent_bytes += sizeof(last_chunk) - 1;
}

static void open_chunk(struct connection *c, uint64_t size)
{
    char line[24];
    int line_size = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)size);

    if (server_response_append(c, line, (size_t)line_size))
        c->chunk_left = size;
}

/* How much of the span this call may send. */
static size_t sendable(struct connection *c, const struct span *span)
{
    uint64_t turn_size_max = c->x.is_tls ? SEND_TURN_TLS_MAX : SEND_TURN_SIZE_MAX;
    uint64_t size = span->size < turn_size_max ? span->size : turn_size_max;

    if (c->framing == HTTP_FRAMING_LENGTH && !CHECK(span->size <= c->body_left)) {
        broke(c, "client_error");
        return 0;
    }
    if (c->framing == HTTP_FRAMING_CHUNKED) {
        if (c->chunk_left == 0)
            open_chunk(c, size);
        size = size < c->chunk_left ? size : c->chunk_left;
    }
    return (size_t)size;
}

/* --- Portions of what is paced. --- */

static uint64_t now_us(const struct connection *c)
{
    return loop_now_ms(c->server->loop) * 1000;
}

static size_t portion(const struct connection *c, const struct span *span, size_t size)
{
    uint64_t left = c->framing == HTTP_FRAMING_LENGTH ? c->body_left : size;

    return size_min(size, portions_size(&c->portions, now_us(c), span->offset_bytes, left));
}

static void await_portion(struct connection *c)
{
    uint64_t wait_ms = portions_wait_ms(&c->portions, now_us(c));

    if (wait_ms > 0)
        timer_start(c->server->loop, &c->deadline, wait_ms);
    else
        server_response_on_due(c);
}

void server_response_on_due(struct connection *c)
{
    if (!list_is_linked(&c->due))
        list_push_back(&c->server->due, &c->due);
    later_start(c->server->loop, &c->server->next_portions);
}

void server_response_go_on(struct connection *c)
{
    if (c->state == CONNECTION_EXCHANGE && c->awaits_writable && !c->blocked && !c->broken) {
        c->awaits_writable = false;
        c->x.events->on_writable(&c->x);
    }
}

void server_response_next_portions(struct later *later)
{
    struct http_server *s = container_of(later, struct http_server, next_portions);

    for (int i = 0; i < PORTIONS_PER_TURN && !list_is_empty(&s->due); i++) {
        struct connection *c = LIST_FIRST(&s->due, struct connection, due);

        list_remove(&c->due);
        server_response_go_on(c);
    }
    if (!list_is_empty(&s->due))
        later_start(s->loop, &s->next_portions);
}

/* --- Sending. --- */

static size_t send_now(struct connection *c, const struct span *span)
{
    size_t size = sendable(c, span), taken;
    bool is_small = span->data && size <= SEND_SMALL_SIZE_MAX && c->portions.rate_bytes_per_s == 0;
    bool ends_chunk;

    if (c->broken)
        return 0;
    size = portion(c, span, size);
    ends_chunk = c->framing == HTTP_FRAMING_CHUNKED && size == c->chunk_left;
    if (size == 0)
        return 0;
    if (is_small)
        taken = send_small(c, span->data, size, ends_chunk);
    else
        taken = send_large(c, span, size, ends_chunk);
    c->sent_bytes += taken;
    portions_took(&c->portions, now_us(c), taken);
    if (c->framing == HTTP_FRAMING_LENGTH)
        c->body_left -= taken;
    if (c->framing == HTTP_FRAMING_CHUNKED)
        c->chunk_left -= taken;
    return taken;
}

static ssize_t on_send(struct exchange *x, const struct span *span)
{
    struct connection *c = connection_of(x);
    size_t taken = 0;

    REQUIRE(c->state == CONNECTION_EXCHANGE && c->responded);
    if (!CHECK(!c->no_body))
        broke(c, "client_error");
    if (span->size > 0 && !c->blocked && !c->broken)
        taken = send_now(c, span);
    if (c->broken)
        return -EPIPE;
    c->awaits_writable = taken < span->size;
    if (c->awaits_writable && !c->blocked && c->portions.rate_bytes_per_s > 0)
        await_portion(c);
    else if (c->awaits_writable && !c->blocked) /* this turn's share is used up */
        later_start(c->server->loop, &c->later);
    return (ssize_t)taken;
}

static void on_flush(struct exchange *x)
{
    struct connection *c = connection_of(x);

    REQUIRE(c->state == CONNECTION_EXCHANGE);
    flush(c, false);
}

void server_response_end(struct connection *c)
{
    c->x.user = NULL;
    c->x.events = NULL;
    flush(c, false);
    if (c->broken)
        server_connection_close(c, true);
    else if (held_size(c) > 0)
        c->state = CONNECTION_FLUSH;
    else
        server_connection_next(c);
}

static void on_finish(struct exchange *x)
{
    struct connection *c = connection_of(x);

    REQUIRE(c->state == CONNECTION_EXCHANGE);
    if (c->framing == HTTP_FRAMING_CHUNKED && !c->broken) {
        c->sent_bytes -= sizeof(last_chunk) - 1; /* counted at the start */
        server_response_append(c, last_chunk, sizeof(last_chunk) - 1);
    }
    if (c->broken || !CHECK(c->responded && c->body_left == 0 && c->chunk_left == 0))
        server_connection_close(c, true);
    else
        server_response_end(c);
}

static void on_abort(struct exchange *x)
{
    struct connection *c = connection_of(x);

    REQUIRE(c->state == CONNECTION_EXCHANGE);
    server_connection_close(c, true);
}

static void on_set_pace(struct exchange *x, uint64_t rate_bytes_per_s)
{
    struct connection *c = connection_of(x);

    stream_set_pace(c->stream, rate_bytes_per_s);
    portions_set_pace(&c->portions, rate_bytes_per_s);
    c->is_paced = rate_bytes_per_s > 0; /* it would stay for the next request */
}

static void on_set_congestion(struct exchange *x, const char *name)
{
    stream_set_congestion(connection_of(x)->stream, name);
}

static uint64_t on_sent_bytes(const struct exchange *x)
{
    return connection_of(x)->sent_bytes;
}

static uint64_t on_stalled_ms(struct exchange *x)
{
    return server_connection_stalled_ms(connection_of(x));
}

static void on_note_wait(struct exchange *x)
{
    counter_add(&connection_of(x)->server->stats.early_waits, 1);
}

const struct exchange_ops server_response_ops = {
    .inform = on_inform,
    .respond = on_respond,
    .send = on_send,
    .flush = on_flush,
    .finish = on_finish,
    .abort = on_abort,
    .set_pace = on_set_pace,
    .set_congestion = on_set_congestion,
    .sent_bytes = on_sent_bytes,
    .stalled_ms = on_stalled_ms,
    .note_wait = on_note_wait,
};

void server_response_on_writable(struct connection *c)
{
    c->blocked = false;
    server_connection_blocks(c, false);
    drain_unblock(&c->drain, loop_now_ms(c->server->loop));
    timer_stop(&c->deadline);
    flush(c, false);
    if (c->state == CONNECTION_FLUSH)
        server_response_end(c);
    else
        server_response_go_on(c);
}
