/* SPDX-License-Identifier: Apache-2.0 */
/* See purge_api.h. */
#include "admin/purge_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/purge_order.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "secret.h"

#define ANSWER_MAX     ((size_t)4 << 20) /* 256 texts, escaped */
#define DISK_WAIT_MS   30000
#define TOKEN_SIZE_MIN 16
#define TOKEN_SIZE_MAX 512
#define FIELDS                            \
    "Cache-Control: no-store\r\n"         \
    "X-Content-Type-Options: nosniff\r\n" \
    "Content-Type: application/json\r\n"

struct purge_api {
    struct loop *loop;
    struct mailbox *mailbox;
    struct admin_purge_source source;
    bool is_loopback;
    struct list calls;
};

/* A call that waits for the disk. */
struct call {
    struct list node;
    struct purge_api *api;
    struct purge_wait wait;
    struct timer deadline;
    struct exchange *x; /* NULL: answered, or gone */
    int64_t at_ms;
    struct purge_orders orders;
    struct purge_done done[PURGE_ORDERS_MAX];
};

/* ---- the token ---- */

int admin_read_token(const char *path, struct buf *token, struct buf *error)
{
    char data[TOKEN_SIZE_MAX + 2];
    struct slice text;
    int r = secret_read(path, data, sizeof(data), &text);
    if (r < 0) {
        buf_printf(error, "cannot read admin_token_file %s: %s", path, strerror(-r));
        return r;
    }
    bool is_good = text.size >= TOKEN_SIZE_MIN && text.size <= TOKEN_SIZE_MAX;
    for (size_t i = 0; is_good && i < text.size; i++)
        is_good = text.data[i] > ' ' && text.data[i] < 0x7f;
    if (is_good)
        buf_append_slice(token, text);
    else
        buf_printf(error,
                   "the first line of admin_token_file %s is no token: expected %d to %d visible characters",
                   path, TOKEN_SIZE_MIN, TOKEN_SIZE_MAX);
    explicit_bzero(data, sizeof(data));
    return is_good ? 0 : -EINVAL;
}

/* Takes as long for each text of one length. */
static bool is_token(struct slice token, struct slice text)
{
    unsigned char difference = token.size != text.size;
    for (size_t i = 0; i < text.size; i++)
        difference |= (unsigned char)(text.data[i] ^ token.data[i % token.size]);
    return difference == 0;
}

/* ---- answers ---- */

static void reply_error(struct exchange *x, unsigned status, const char *fields, const char *word,
                        const char *detail)
{
    struct buf body;
    struct json j;
    buf_init(&body, 4096);
    json_init(&j, &body);
    json_open(&j, NULL, '{');
    json_text(&j, "error", slice_of(word));
    json_text(&j, "detail", slice_of(detail));
    json_close(&j, '}');
    buf_append_char(&body, '\n');
    exchange_reply(x, status, slice_of(fields), buf_slice(&body));
    buf_fini(&body);
}

static void write_time(struct json *j, const char *name, int64_t at_ms)
{
    time_t second = (time_t)(at_ms / 1000);
    char text[40], whole[48];
    struct tm tm;
    gmtime_r(&second, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(at_ms % 1000));
    json_text(j, name, slice_of(whole));
}

static void write_one(struct json *j, const struct purge_order *order, const struct purge_done *done)
{
    struct slice match = slice_make(order->text.data, done->text_size);
    json_open(j, NULL, '{');
    json_u64(j, "id", done->generation);
    json_text(j, "kind", slice_of(purge_kind_name(done->kind)));
    json_text(j, "site", order->site);
    if (done->kind == PURGE_URL || done->kind == PURGE_PREFIX)
        json_text(j, "match", slice_skip(match, order->site.size));
    else if (done->kind == PURGE_TAG)
        json_text(j, "match", match);
    if (done->kind != order->kind || (done->kind == PURGE_PREFIX && match.size < order->text.size))
        json_bool(j, "widened", true);
    json_close(j, '}');
}

static void write_answer(const struct call *c, bool is_durable, const char *error, struct buf *out)
{
    struct json j;
    struct purge_stats stats;
    bool is_folded = false;
    purge_stats(c->api->source.purges, &stats);
    json_init(&j, out);
    json_open(&j, NULL, '{');
    if (error) {
        json_text(&j, "error", slice_of(error));
        json_text(&j, "detail",
                  SLICE_LITERAL("it is in force, but not known to be on the disk, and would not "
                                "outlive a restart; this is tried again"));
    }
    json_text(&j, "mode", slice_of(c->orders.is_soft ? "soft" : "hard"));
    write_time(&j, "since", c->at_ms);
    json_bool(&j, "durable", is_durable);
    json_open(&j, "purges", '[');
    for (size_t i = 0; i < c->orders.count; i++) {
        write_one(&j, &c->orders.orders[i], &c->done[i]);
        is_folded = is_folded || c->done[i].is_folded;
    }
    json_close(&j, ']');
    json_u64(&j, "rules", stats.rules);
    json_u64(&j, "rules_max", stats.rules_max);
    json_bool(&j, "folded", is_folded);
    json_close(&j, '}');
    buf_append_char(out, '\n');
}

static void answer(struct call *c, bool is_durable, const char *error)
{
    struct buf body;
    struct exchange *x = c->x;
    timer_stop(&c->deadline);
    c->x = NULL;
    if (!x)
        return;
    buf_init(&body, ANSWER_MAX);
    write_answer(c, is_durable, error, &body);
    if (body.failed || body.size > EXCHANGE_REPLY_SIZE_MAX) /* long texts: what matters was done */
        reply_error(x, error ? 500 : 200, FIELDS, error ? error : "answer_too_long",
                    "the purges are in force; their list is too long for an answer");
    else
        exchange_reply(x, error ? 500 : 200, slice_of(FIELDS), buf_slice(&body));
    buf_fini(&body);
}

/* ---- calls ---- */

static void call_free(struct call *c)
{
    list_remove(&c->node);
    timer_stop(&c->deadline);
    purge_orders_fini(&c->orders);
    free(c);
}

static void on_synced(struct message *m)
{
    struct call *c = container_of(m, struct call, wait.message);
    answer(c, c->wait.is_durable, c->wait.is_durable ? NULL : "purge_not_durable");
    call_free(c);
}

static void on_deadline(struct timer *t)
{
    answer(container_of(t, struct call, deadline), false, "purge_not_durable");
}

static void on_writable(struct exchange *x)
{
    (void)x;
}

static void on_gone(struct exchange *x, const char *reason)
{
    struct call *c = x->user;
    (void)reason;
    c->x = NULL;
}

static void log_call(const struct call *c)
{
    for (size_t i = 0; i < c->orders.count; i++) {
        const struct purge_order *order = &c->orders.orders[i];
        const struct purge_done *done = &c->done[i];
        log_info("purge %u: %s, by %s, of site %.*s: %.*s", done->generation,
                 order->is_soft ? "soft" : "hard", purge_kind_name(done->kind), SLICE_ARG(order->site),
                 (int)size_min(done->text_size, order->text.size), order->text.data);
    }
}

static void run(struct purge_api *api, struct exchange *x, int64_t now_ms)
{
    static const struct exchange_events events = {on_writable, on_gone, NULL};
    struct call *c = calloc(1, sizeof(*c));
    if (!c) {
        reply_error(x, 503, FIELDS, "out_of_memory", "there is no memory");
        return;
    }
    list_init(&c->node);
    timer_init(&c->deadline, on_deadline);
    c->api = api;
    c->at_ms = now_ms;
    if (!purge_orders_read(api->source.sites, x->body, &c->orders)) {
        reply_error(x, c->orders.status, FIELDS, c->orders.error, c->orders.detail);
        call_free(c);
        return;
    }
    if (purge_add(api->source.purges, c->orders.orders, c->orders.count, now_ms, c->done) < 0) {
        reply_error(x, 507, FIELDS, "purges_exhausted",
                    "no numbers are left for purges: empty the arena and its log of purges");
        call_free(c);
        return;
    }
    log_call(c);
    list_push_back(&api->calls, &c->node);
    c->x = x;
    x->user = c;
    x->events = &events;
    c->wait.mailbox = api->mailbox;
    c->wait.message.fn = on_synced;
    timer_start(api->loop, &c->deadline, DISK_WAIT_MS);
    purge_sync(api->source.purges, &c->wait);
}

/* ---- who may ---- */

static bool is_allowed(const struct purge_api *api, struct exchange *x)
{
    struct slice authorization = http_head_get(x->request, "authorization"), scheme;
    const char *challenge = FIELDS "WWW-Authenticate: Bearer\r\n";
    if (!api->source.token.data) {
        if (!api->is_loopback)
            reply_error(x, 403, FIELDS, "purge_needs_token",
                        "the admin listener can be reached from elsewhere: configure admin_token_file");
        else if (http_head_get(x->request, "origin").data)
            reply_error(x, 403, FIELDS, "page_refused",
                        "a page in a browser may not purge: configure admin_token_file");
        else
            return true;
        return false;
    }
    if (!authorization.data) {
        reply_error(x, 401, challenge, "token_missing", "expected Authorization: Bearer TOKEN");
        return false;
    }
    slice_split(&authorization, ' ', &scheme);
    if (!slice_equal_nocase(scheme, SLICE_LITERAL("bearer")) ||
        !is_token(api->source.token, slice_trim(authorization))) {
        reply_error(x, 401, challenge, "token_wrong", "this is not the token");
        return false;
    }
    return true;
}

/* A form of some page cannot say it is JSON. */
static bool is_json(const struct exchange *x)
{
    struct slice type = http_head_get(x->request, "content-type");
    if (!type.data)
        return false;
    type.size = slice_find(type, ';');
    return slice_equal_nocase(slice_trim(type), SLICE_LITERAL("application/json"));
}

void purge_api_handle(struct purge_api *api, struct exchange *x, int64_t now_ms)
{
    if (x->request->method != HTTP_POST)
        reply_error(x, 405, FIELDS "Allow: POST\r\n", "method_not_allowed", "expected POST");
    else if (!api->source.purges)
        reply_error(x, 404, FIELDS, "not_found", "there is nothing to be purged here");
    else if (!is_allowed(api, x))
        return;
    else if (!is_json(x))
        reply_error(x, 415, FIELDS, "not_json", "expected Content-Type: application/json");
    else
        run(api, x, now_ms);
}

/* ---- life ---- */

static bool is_loopback(const struct addr *address)
{
    static const char *const prefixes[] = {"127.0.0.0/8", "::1/128"};
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        struct addr_prefix prefix;
        if (CHECK(addr_prefix_parse(slice_of(prefixes[i]), &prefix) == 0) &&
            addr_prefix_contains(&prefix, address))
            return true;
    }
    return false;
}

int purge_api_new(struct loop *l, const struct admin_purge_source *source, const struct addr *address,
                  struct purge_api **ret_api)
{
    struct purge_api *api = calloc(1, sizeof(*api));
    if (!api)
        return -ENOMEM;
    api->loop = l;
    api->source = *source;
    api->is_loopback = is_loopback(address);
    list_init(&api->calls);
    int r = mailbox_new(l, &api->mailbox);
    if (r < 0) {
        free(api);
        return r;
    }
    *ret_api = api;
    return 0;
}

void purge_api_free(struct purge_api *api)
{
    struct call *c, *next;
    if (!api)
        return;
    LIST_FOR_EACH_SAFE (c, next, &api->calls, node)
        if (purge_cancel(api->source.purges, &c->wait))
            call_free(c);
    mailbox_free(api->mailbox); /* runs those whose message was on its way */
    free(api);
}
