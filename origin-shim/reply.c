/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of responses, and the pump that moves a file's bytes to the exchange as fast as it takes them.
 */
#include "reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "http/date.h"
#include "http/range.h"
#include "http/validate.h"

#define FIELDS_MAX 2048
#define ETAG_SIZE  19 /* 16 hex digits in quotes, terminated */

/* For players in a page of another site: what they may read of a response. */
#define CORS_FIELDS                      \
    "Access-Control-Allow-Origin: *\r\n" \
    "Access-Control-Expose-Headers: Content-Length, Content-Range, Date, ETag, Age, Cache-Status\r\n"

/* A file on its way to a viewer. */
struct sending {
    struct exchange *x;
    struct span rest;
};

static void sending_free(struct sending *s)
{
    close(s->rest.fd);
    free(s);
}

static void pump(struct sending *s)
{
    ssize_t taken = s->rest.size > 0 ? exchange_send(s->x, &s->rest) : 0;

    if (taken < 0)
        return; /* on_gone follows */
    s->rest.offset_bytes += (uint64_t)taken;
    s->rest.size -= (size_t)taken;
    if (s->rest.size > 0)
        return; /* on_writable follows */
    exchange_finish(s->x);
    sending_free(s);
}

static void on_writable(struct exchange *x)
{
    pump(x->user);
}

static void on_gone(struct exchange *x, const char *reason)
{
    (void)reason;
    sending_free(x->user);
}

/* Nothing of ours outlives these exchanges: they end where they are answered. */
static void ignore_writable(struct exchange *x)
{
    (void)x;
}

static void ignore_gone(struct exchange *x, const char *reason)
{
    (void)x;
    (void)reason;
}

static const struct exchange_events pump_events = {on_writable, on_gone, NULL};
static const struct exchange_events no_events = {ignore_writable, ignore_gone, NULL};

static void begin_fields(struct exchange *x, struct buf *fields)
{
    char date[HTTP_DATE_SIZE];

    buf_init(fields, FIELDS_MAX);
    http_date_format(loop_wall_ms(x->loop) / 1000, date);
    buf_printf(fields, "Date: %s\r\nServer: origin-shim\r\n" CORS_FIELDS, date);
}

static void error_fields(struct buf *fields, enum reply_error error, const struct representation *r)
{
    buf_append_text(fields, "Content-Type: text/plain; charset=utf-8\r\n");
    if (error == REPLY_METHOD)
        buf_append_text(fields, "Allow: GET, HEAD, OPTIONS\r\n");
    if (error == REPLY_RANGE)
        buf_printf(fields, "Content-Range: bytes */%" PRIu64 "\r\n", r->size_bytes);
}

static void send_error(struct exchange *x, enum reply_error error, const struct representation *r)
{
    static const struct {
        struct slice body;
        unsigned status;
    } errors[] = {
#define E(name, word, status) {SLICE_LITERAL(word "\n"), status},
        REPLY_ERRORS(E)
#undef E
    };
    struct buf fields;

    begin_fields(x, &fields);
    error_fields(&fields, error, r);
    exchange_reply(x, errors[error].status, buf_slice(&fields), errors[error].body);
    buf_fini(&fields);
}

void reply_error(struct exchange *x, enum reply_error error)
{
    send_error(x, error, NULL);
}

void reply_options(struct exchange *x)
{
    struct buf fields;

    begin_fields(x, &fields);
    buf_append_text(&fields, "Allow: GET, HEAD, OPTIONS\r\n"
                             "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
                             "Access-Control-Allow-Headers: *\r\n"
                             "Access-Control-Max-Age: 86400\r\n");
    x->events = &no_events;
    exchange_respond(x, 204, buf_slice(&fields), EXCHANGE_LENGTH_UNKNOWN);
    exchange_finish(x);
    buf_fini(&fields);
}

/* --- representations ----------------------------------------------------------------------------------- */

struct selection {   /* what of a representation is sent */
    unsigned status; /* 200, 206, 304, 412, 416 */
    uint64_t first, size;
};

static enum condition_outcome evaluate(const struct exchange *x, const struct representation *r,
                                       const char *etag, bool *ret_range_applies)
{
    const struct http_head *head = x->request;
    int64_t now_s = loop_wall_ms(x->loop) / 1000;
    struct condition_request request = {
        .method = head->method,
        .has_range = http_head_count(head, "Range") == 1,
        .if_match = http_head_get(head, "If-Match"),
        .if_unmodified_since = http_head_get(head, "If-Unmodified-Since"),
        .if_none_match = http_head_get(head, "If-None-Match"),
        .if_modified_since = http_head_get(head, "If-Modified-Since"),
        .if_range = http_head_get(head, "If-Range"),
    };
    struct condition_stored stored = {slice_of(etag), r->modified_s, now_s};

    return http_condition_evaluate(&request, &stored, now_s, ret_range_applies);
}

/* Several ranges in one response are for nobody who plays video: then all of it is sent. */
static struct selection select_range(const struct exchange *x, const struct representation *r)
{
    struct selection all = {200, 0, r->size_bytes};
    struct range_spec specs[HTTP_RANGE_MAX];
    uint64_t first, last;
    size_t count;

    if (x->request->method != HTTP_GET ||
        http_range_parse(http_head_get(x->request, "Range"), specs, ARRAY_COUNT(specs), &count) != RANGE_OK ||
        count != 1)
        return all;
    if (!http_range_resolve(&specs[0], r->size_bytes, &first, &last))
        return (struct selection){416, 0, 0};
    return (struct selection){206, first, last - first + 1};
}

static struct selection select_bytes(const struct exchange *x, const struct representation *r,
                                     const char *etag)
{
    bool range_applies = false;

    switch (evaluate(x, r, etag, &range_applies)) {
    case CONDITION_NOT_MODIFIED: return (struct selection){304, 0, 0};
    case CONDITION_FAILED: return (struct selection){412, 0, 0};
    case CONDITION_PROCEED: break;
    }
    return range_applies && http_head_count(x->request, "Range") == 1
               ? select_range(x, r)
               : (struct selection){200, 0, r->size_bytes};
}

static void representation_fields(struct buf *fields, const struct representation *r, const char *etag,
                                  struct selection selection)
{
    char date[HTTP_DATE_SIZE], range_text[HTTP_CONTENT_RANGE_SIZE];

    http_date_format(r->modified_s, date);
    buf_printf(fields, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", etag, date);
    if (r->cache_control[0] != '\0')
        buf_printf(fields, "Cache-Control: %s\r\n", r->cache_control);
    if (selection.status != 304)
        buf_printf(fields, "Content-Type: %s\r\n", r->media_type);
    if (selection.status == 206) {
        struct content_range range = {
            .first = selection.first,
            .last = selection.first + selection.size - 1,
            .total = r->size_bytes,
        };
        http_content_range_format(&range, range_text);
        buf_printf(fields, "Content-Range: %s\r\n", range_text);
    }
}

/* Takes the fd. */
static void send_file(struct exchange *x, unsigned status, struct slice fields, struct span span)
{
    struct sending *s = malloc(sizeof(*s));

    if (s == NULL) {
        close(span.fd);
        reply_error(x, REPLY_OVERLOADED);
        return;
    }
    *s = (struct sending){x, span};
    x->user = s;
    x->events = &pump_events;
    exchange_respond(x, status, fields, span.size);
    pump(s);
}

static void send_selected(struct exchange *x, const struct representation *r, struct selection selection,
                          struct buf *fields)
{
    bool without_body = x->request->method == HTTP_HEAD || selection.status == 304;

    if (r->fd >= 0 && !without_body) {
        send_file(x, selection.status, buf_slice(fields),
                  (struct span){r->fd, r->offset_bytes + selection.first, NULL, (size_t)selection.size});
    } else if (without_body) {
        x->events = &no_events;
        exchange_respond(x, selection.status, buf_slice(fields),
                         selection.status == 304 ? EXCHANGE_LENGTH_UNKNOWN : selection.size);
        exchange_finish(x);
        if (r->fd >= 0)
            close(r->fd);
    } else {
        x->events = &no_events;
        exchange_reply(x, selection.status, buf_slice(fields),
                       slice_make(r->body.data + selection.first, (size_t)selection.size));
    }
}

void reply_representation(struct exchange *x, const struct representation *r)
{
    char etag[ETAG_SIZE];
    struct selection selection;
    struct buf fields;

    snprintf(etag, sizeof(etag), "\"%016" PRIx64 "\"", r->etag);
    selection = select_bytes(x, r, etag);
    if (selection.status == 412 || selection.status == 416) {
        if (r->fd >= 0)
            close(r->fd);
        send_error(x, selection.status == 412 ? REPLY_PRECONDITION : REPLY_RANGE, r);
        return;
    }
    begin_fields(x, &fields);
    representation_fields(&fields, r, etag, selection);
    send_selected(x, r, selection, &fields);
    buf_fini(&fields);
}
