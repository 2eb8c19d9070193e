/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin listener: a handful of resources on the main thread's loop, all but one read-only.
 */
#include "admin/admin.h"

#include <errno.h>
#include <stdlib.h>

#include "admin/page.h"
#include "admin/purge_api.h"
#include "admin/purge_order.h"
#include "admin/snapshot.h"

#define DOCUMENT_SIZE_MAX     ((size_t)64 << 20) /* some thousand sites */
#define HEAD_SIZE_MAX         ((size_t)16 << 10)
#define URI_SIZE_MAX          ((size_t)4 << 10)
#define EXPLANATION_SIZE_MAX  ((size_t)128 << 10)
#define CONNECTIONS_MAX       64
#define HEADER_TIMEOUT_MS     10000
#define IDLE_TIMEOUT_MS       60000
#define SEND_STALL_TIMEOUT_MS 30000

#define COMMON_FIELDS             \
    "Cache-Control: no-store\r\n" \
    "X-Content-Type-Options: nosniff\r\n"
#define FIELDS(type) COMMON_FIELDS "Content-Type: " type "\r\n"

struct admin {
    struct loop *loop;
    struct admin_source source;
    struct http_server *server;
    struct listener *listener;
    struct purge_api *purge;
};

/* A response that may be too large for one reply. Owned by its exchange. */
struct document {
    struct buf body;
    size_t sent;
};

static void document_free(struct document *d)
{
    buf_fini(&d->body);
    free(d);
}

static void document_send(struct exchange *x)
{
    struct document *d = x->user;
    struct span span = {.fd = -1, .data = d->body.data + d->sent, .size = d->body.size - d->sent};
    ssize_t taken = exchange_send(x, &span);

    if (taken < 0)
        return; /* on_gone follows */
    d->sent += (size_t)taken;
    if (d->sent < d->body.size)
        return; /* on_writable follows */
    document_free(d);
    exchange_finish(x);
}

static void on_document_gone(struct exchange *x, const char *reason)
{
    (void)reason;
    document_free(x->user);
}

static const struct exchange_events document_events = {document_send, on_document_gone, NULL};

static void reply_text(struct exchange *x, unsigned status, const char *fields, const char *text)
{
    exchange_reply(x, status, slice_of(fields), slice_of(text));
}

typedef bool write_fn(const struct snapshot *s, struct buf *out);

static struct document *document_new(const struct admin *a, write_fn *write)
{
    struct document *d = calloc(1, sizeof(*d));
    struct snapshot snapshot;

    if (!d)
        return NULL;
    buf_init(&d->body, DOCUMENT_SIZE_MAX);
    if (snapshot_take(&a->source, loop_wall_ms(a->loop), &snapshot)) {
        bool whole = write(&snapshot, &d->body);

        snapshot_release(&snapshot);
        if (whole)
            return d;
    }
    document_free(d);
    return NULL;
}

static void reply_document(const struct admin *a, struct exchange *x, const char *fields, write_fn *write)
{
    struct document *d = document_new(a, write);

    if (!d) {
        reply_text(x, 503, FIELDS("text/plain; charset=utf-8"), "out_of_memory\n");
        return;
    }
    x->user = d;
    x->events = &document_events;
    exchange_respond(x, 200, slice_of(fields), d->body.size);
    if (x->request->method == HTTP_HEAD) {
        document_free(d);
        exchange_finish(x);
    } else {
        document_send(x);
    }
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What stands behind "url=": as it is, or percent-encoded as a whole. */
static bool append_url(struct slice query, struct buf *out)
{
    struct slice name = SLICE_LITERAL("url="), rest = slice_skip(query, name.size);
    if (!slice_starts_with(query, name))
        return false;
    bool is_encoded = memmem(rest.data, rest.size, "://", 3) == NULL;
    for (size_t i = 0; i < rest.size; i++) {
        int high = -1, low = -1;
        if (is_encoded && rest.data[i] == '%' && i + 2 < rest.size) {
            high = hex_of(rest.data[i + 1]);
            low = hex_of(rest.data[i + 2]);
        }
        if (high >= 0 && low >= 0)
            i += 2;
        buf_append_char(out, high >= 0 && low >= 0 ? (char)(high << 4 | low) : rest.data[i]);
    }
    return true;
}

static void explain(const struct admin *a, struct exchange *x, struct slice query)
{
    struct buf url, text;
    buf_init(&url, URI_SIZE_MAX);
    buf_init(&text, EXPLANATION_SIZE_MAX);
    if (a->source.explain.store && append_url(query, &url) &&
        explain_write(&a->source.explain, buf_slice(&url), x->request, loop_wall_ms(a->loop), &text))
        exchange_reply(x, 200, slice_of(FIELDS("application/json")), buf_slice(&text));
    else
        reply_text(x, 400, FIELDS("text/plain; charset=utf-8"), "expected /explain?url=http://host/path\n");
    buf_fini(&url);
    buf_fini(&text);
}

static void on_request(struct exchange *x, void *user)
{
    const struct admin *a = user;
    struct slice path = slice_make(x->request->target.data, slice_find(x->request->target, '?'));

    if (slice_equal(path, SLICE_LITERAL("/purge")))
        purge_api_handle(a->purge, x, loop_wall_ms(a->loop));
    else if (x->request->method != HTTP_GET && x->request->method != HTTP_HEAD)
        reply_text(x, 405, FIELDS("text/plain; charset=utf-8") "Allow: GET, HEAD\r\n",
                   "method_not_allowed\n");
    else if (slice_equal(path, SLICE_LITERAL("/")))
        exchange_reply(
            x, 200,
            slice_of(FIELDS("text/html; charset=utf-8") "Content-Security-Policy: " PAGE_CONTENT_POLICY
                                                        "\r\n"),
            page_html());
    else if (slice_equal(path, SLICE_LITERAL("/stats")))
        reply_document(a, x, FIELDS("application/json"), stats_write);
    else if (slice_equal(path, SLICE_LITERAL("/metrics")))
        reply_document(a, x, FIELDS("text/plain; version=0.0.4; charset=utf-8"), metrics_write);
    else if (slice_equal(path, SLICE_LITERAL("/explain")))
        explain(a, x, slice_skip(x->request->target, path.size + 1));
    else if (slice_equal(path, SLICE_LITERAL("/healthz")))
        reply_text(x, 200, FIELDS("text/plain; charset=utf-8"), "ok\n");
    else
        reply_text(x, 404, FIELDS("text/plain; charset=utf-8"), "not_found\n");
}

static void on_accept(void *user, int fd, const struct addr *peer)
{
    struct admin *a = user;

    http_server_accept(a->server, fd, peer, NULL);
}

int admin_open(struct loop *l, const struct addr *address, const struct admin_source *source,
               struct buf *error, struct admin **ret_admin)
{
    struct admin *a = calloc(1, sizeof(*a));
    struct http_server_options options = {
        .head_size_max = HEAD_SIZE_MAX,
        .uri_size_max = URI_SIZE_MAX,
        .body_size_max = PURGE_BODY_MAX,
        .connections_max = CONNECTIONS_MAX,
        .handshake_timeout_ms = HEADER_TIMEOUT_MS,
        .header_timeout_ms = HEADER_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .send_stall_timeout_ms = SEND_STALL_TIMEOUT_MS,
        .on_request = on_request,
        .user = a,
    };
    char text[ADDR_TEXT_MAX];
    int result = -ENOMEM;

    if (a) {
        a->loop = l;
        a->source = *source;
        result = http_server_new(l, &options, &a->server);
        if (result == 0)
            result = purge_api_new(l, &source->purge, address, &a->purge);
        if (result == 0)
            result = listener_open(l, address, on_accept, a, &a->listener);
    }
    if (result < 0) {
        addr_format(address, text);
        buf_printf(error, "admin: cannot listen at %s: %s", text, strerror(-result));
        admin_close(a);
        return result;
    }
    *ret_admin = a;
    return 0;
}

void admin_close(struct admin *a)
{
    if (!a)
        return;
    listener_close(a->listener);
    if (a->server)
        http_server_free(a->server);
    purge_api_free(a->purge);
    free(a);
}

void admin_address(const struct admin *a, struct addr *ret_address)
{
    listener_address(a->listener, ret_address);
}
