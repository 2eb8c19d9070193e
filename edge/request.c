/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's way:
 *
 *   request_start ─ route ─► lookup ─hit─► reply ─► send ─► end
 *        │            │        └─flight─► await head ─┘▲      ▲
 *        └─refuse─────┴─redirect───────────────────────┴──────┘
 *
 * A hit awaits a head too when the slice that its body begins with is not there.
 *
 * It waits only in LOOKUP (the disk, for what of an object is not in memory), AWAIT_HEAD (the origin's head)
 * and SEND (the socket, a flight's bytes, or the disk); every callback ends in request_run, the only loop.
 *
 * A request in TLS early data may be a copy that somebody has recorded. It waits for the end of the handshake
 * in ROUTE unless it is a plain GET or HEAD, in LOOKUP when its own request would go to an origin, in SEND
 * when a slice is missing: so a copy has hits and ordinary fills repeated, and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/date.h"
#include "key.h"
#include "request_private.h"

#define FREE_REQUESTS_MAX 256
#define PATIENCE_MIN_MS   2000 /* who takes something now and then keeps what he reads */
#define CDN_LOOP_SIZE_MAX 1024 /* passed on to the origin */

static void request_run(struct request *r);

/* ---- the pool ---- */

void request_env_init(struct request_env *env)
{
    list_init(&env->free_requests);
    list_init(&env->requests);
    env->free_count = 0;
    env->patience_ms = 0;
    buf_init(&env->scratch, 2 * REPLY_HEAD_MAX);
}

static void request_free(struct request *r)
{
    buf_fini(&r->key_text);
    buf_fini(&r->stored_head);
    free(r);
}

void request_env_fini(struct request_env *env)
{
    struct request *r, *next;
    LIST_FOR_EACH_SAFE (r, next, &env->free_requests, node) {
        list_remove(&r->node);
        request_free(r);
    }
    buf_fini(&env->scratch);
}

static void on_progress(struct flight_reader *reader)
{
    request_run(container_of(reader, struct request, reader));
}

/* Only who waits for the final head: a slice may be fetched in the middle of a body. */
static void on_informational(struct flight_reader *reader, unsigned status, struct slice fields)
{
    struct request *r = container_of(reader, struct request, reader);
    if (r->state == REQUEST_AWAIT_HEAD && r->x)
        exchange_inform(r->x, status, fields);
}

static void on_disk_ready(struct store_reader *disk)
{
    request_run(container_of(disk, struct request, disk));
}

static void on_turn(struct timer *t)
{
    request_run(container_of(t, struct request, turn_due));
}

static void on_resume(struct later *later)
{
    request_run(container_of(later, struct request, resume));
}

static void on_secure(struct exchange *x)
{
    request_run(x->user);
}

static struct request *request_new(struct request_env *env)
{
    struct request *r;
    struct buf key_text, stored_head;
    if (!list_is_empty(&env->free_requests)) {
        r = LIST_FIRST(&env->free_requests, struct request, node);
        list_remove(&r->node);
        env->free_count--;
        key_text = r->key_text;
        stored_head = r->stored_head;
    } else {
        r = malloc(sizeof(*r));
        if (!r)
            return NULL;
        buf_init(&key_text, KEY_SIZE_MAX);
        buf_init(&stored_head, REPLY_HEAD_MAX);
    }
    memset(r, 0, sizeof(*r));
    r->env = env;
    r->key_text = key_text;
    r->stored_head = stored_head;
    list_push_back(&env->requests, &r->node);
    list_init(&r->reader.node);
    later_init(&r->resume, on_resume);
    timer_init(&r->turn_due, on_turn);
    store_reader_init(&r->disk, &env->disk, on_disk_ready);
    r->reader.on_progress = on_progress;
    r->reader.on_informational = on_informational;
    r->reader.worker = env->worker;
    return r;
}

/* ---- the end ---- */

void request_book_bytes(struct request *r, uint64_t bytes, enum cause cause)
{
    r->booked_bytes += bytes;
    ledger_sent(r->env->ledger, r->site.site ? r->site.site->id : LEDGER_NO_SITE, r->content_class, cause,
                bytes);
}

static void write_access_record(struct request *r, const struct exchange *x, uint64_t duration_us)
{
    if (!r->env->access_log)
        return;
    const struct http_head *head = x->request;
    struct buf *cache_status = &r->env->scratch;
    buf_clear(cache_status);
    if (r->cache_status.edge_name)
        reply_write_cache_status(&r->cache_status, cache_status);
    buf_append_char(cache_status, '\0');
    struct access_record record = {
        .wall_ms = loop_wall_ms(r->env->loop),
        .site = r->site.site ? slice_of(r->site.site->config->name) : (struct slice){NULL, 0},
        .viewer = &r->viewer,
        .country = r->place.country,
        .method = head->method_text,
        .host = http_head_get(head, "host"),
        .target = head->target,
        .status = r->status,
        .sent_bytes = r->booked_bytes,
        .content_class = r->content_class,
        .cause = r->cause,
        .reason = r->reason,
        .cache_status = r->cache_status.edge_name && !cache_status->failed ? cache_status->data : NULL,
        .first_byte_us = r->first_byte_us,
        .duration_us = duration_us,
        .range = http_head_get(head, "range"),
        .user_agent = http_head_get(head, "user-agent"),
        .is_tls = x->is_tls,
    };
    access_log_write(r->env->access_log, r->env->worker, &record);
}

/* Books and logs the request and gives back what it holds. The exchange is still whole; it is ended by the
 * caller. */
static void conclude(struct request *r)
{
    struct exchange *x = r->x;
    uint64_t now_us = clock_monotonic_us();
    uint64_t sent = exchange_sent_bytes(x);
    if (sent > r->booked_bytes)
        request_book_bytes(r, sent - r->booked_bytes, r->cause); /* head and framing */
    struct ledger_request entry = {
        .site_id = r->site.site ? r->site.site->id : LEDGER_NO_SITE,
        .content_class = r->content_class,
        .cause = r->cause,
        .status = r->status,
        .first_byte_us = r->first_byte_us,
        .aborted = r->is_aborted,
        .refusal = r->refusal,
    };
    ledger_request(r->env->ledger, &entry);
    write_access_record(r, x, now_us - r->started_us);
    flight_leave(&r->reader);
    store_reader_end(&r->disk);
    store_release(&r->object);
    store_release(&r->stale);
    later_stop(&r->resume);
    timer_stop(&r->turn_due);
    admit_release(r->env->admit, &r->ticket);
    request_parts_free(r);
    r->x = NULL;
    r->state = REQUEST_ENDED;
}

static void recycle(struct request *r)
{
    struct request_env *env = r->env;
    list_remove(&r->node);
    if (env->free_count >= FREE_REQUESTS_MAX) {
        request_free(r);
        return;
    }
    env->free_count++;
    list_push_front(&env->free_requests, &r->node);
}

enum step request_finish(struct request *r)
{
    struct exchange *x = r->x;
    conclude(r);
    exchange_finish(x);
    return STEP_DONE;
}

enum step request_abort(struct request *r, const char *reason)
{
    struct exchange *x = r->x;
    r->is_aborted = true;
    r->reason = reason;
    conclude(r);
    exchange_abort(x);
    return STEP_DONE;
}

static void on_gone(struct exchange *x, const char *reason)
{
    struct request *r = x->user;
    r->is_aborted = true;
    r->reason = reason;
    if (r->booked_bytes > 0)
        ledger_abandoned(r->env->ledger, r->site.site ? r->site.site->id : LEDGER_NO_SITE, r->content_class,
                         r->cause, r->booked_bytes);
    conclude(r);
    if (!r->is_running) /* else request_run recycles it */
        recycle(r);
}

static void on_writable(struct exchange *x)
{
    request_run(x->user);
}

/* ---- small replies of the edge itself ---- */

struct reply_cors request_cors(const struct request *r)
{
    const struct config_site *site = r->site.site->config;
    return (struct reply_cors){
        .origin = http_head_get(r->x->request, "origin"),
        .allowed = site->cors_origins,
        .allowed_count = site->cors_origin_count,
        .is_null_allowed = r->site.is_edge_name,
    };
}

void request_note_first_byte(struct request *r)
{
    r->first_byte_us = clock_monotonic_us() - r->started_us;
}

/* A whole response made here: text/plain with one word, or nothing. */
static enum step reply_small(struct request *r, unsigned status, struct slice extra_fields,
                             const char *detail)
{
    struct buf *fields = &r->env->scratch;
    char body[128] = "", date[HTTP_DATE_SIZE];
    buf_clear(fields);
    r->cache_status = (struct reply_cache_status){
        .edge_name = r->env->config->edge, .cause = r->cause, .forward = r->forward, .detail = detail};
    struct reply reply = {.fields = SLICE_EMPTY, .age_s = -1, .date_s = -1, .cache_status = r->cache_status};
    http_date_format(loop_wall_ms(r->env->loop) / 1000, date);
    buf_printf(fields, "Date: %s\r\n", date);
    buf_append_slice(fields, extra_fields);
    if (r->site.site)
        reply.cors = request_cors(r);
    if (detail && status != 304)
        buf_append_text(fields, "Content-Type: text/plain\r\nCache-Control: no-store\r\n");
    reply_write(&reply, fields);
    if (detail)
        snprintf(body, sizeof(body), "%s\n", detail);
    struct slice text = slice_of(r->is_head || status == 304 || status == 204 ? "" : body);
    r->status = status;
    request_note_first_byte(r);
    struct exchange *x = r->x;
    exchange_respond(x, status, buf_slice(fields), strlen(body));
    if (text.size > 0) {
        struct span span = {.fd = -1, .data = text.data, .size = text.size};
        if (exchange_send(x, &span) !=
            (ssize_t)text.size) /* a socket that takes not even this has no reader */
            return request_abort(r, "send_failed");
    }
    return request_finish(r);
}

enum step request_refuse(struct request *r, enum refusal refusal)
{
    r->cause = CAUSE_REFUSED;
    r->refusal = refusal;
    r->reason = refusal_name(refusal);
    r->x->is_last = refusal_status(refusal) == 400; /* who speaks so may mean more by what follows */
    unsigned status = refusal_status(refusal);
    char text[64] = "";
    if (refusal == REFUSAL_METHOD_NOT_ALLOWED)
        snprintf(text, sizeof(text), "Allow: GET, HEAD, OPTIONS\r\n");
    else if (status == 429 || status == 503)
        snprintf(text, sizeof(text), "Retry-After: %u\r\n", r->retry_after_s > 0 ? r->retry_after_s : 1);
    return reply_small(r, status, slice_of(text), refusal_name(refusal));
}

enum step request_fail(struct request *r, const char *reason, unsigned status)
{
    r->cause = CAUSE_ERROR;
    r->reason = reason;
    return reply_small(r, status, SLICE_EMPTY, reason);
}

/* ---- route ---- */

/* A name is asked for twice: in the handshake, which chose the certificate, and here. Both must mean the same
 * site, as one certificate may cover several, and a client may then take one connection for all of them (RFC
 * 9110 section 7.4). */
static bool is_misdirected(const struct request *r, struct slice host)
{
    struct site_match match;
    if (!r->x->is_tls || r->x->server_name[0] == '\0')
        return false;
    struct slice name = slice_of(r->x->server_name);
    return !slice_equal_nocase(name, host) &&
           (!site_find(r->env->sites, name, &match) || match.site != r->site.site);
}

static enum refusal find_site(struct request *r)
{
    char local[ADDR_TEXT_MAX];
    struct uri_authority authority;
    struct slice host = http_head_get(r->x->request, "host");
    bool is_absolute = r->uri.authority.data != NULL;
    if (is_absolute) /* absolute-form: its authority replaces Host (RFC 9112 section 3.2.2) */
        host = r->uri.authority;
    if (!host.data) { /* HTTP/1.0 without Host: the address that was asked is the name */
        addr_format_ip(&r->x->local, local);
        authority.host = slice_of(local);
    } else if (!uri_parse_authority(host, &authority)) {
        return is_absolute ? REFUSAL_BAD_TARGET : REFUSAL_BAD_HOST;
    }
    if (!site_find(r->env->sites, authority.host, &r->site))
        return REFUSAL_UNKNOWN_HOST;
    return is_misdirected(r, authority.host) ? REFUSAL_MISDIRECTED : REFUSAL_NONE;
}

/* CDN-Loop (RFC 8586): whether the request has been through this very edge, as origin.c names it, or through
 * more than is passed on. */
static bool is_looping(const struct request *r)
{
    size_t size = 0;
    const struct http_head *head = r->x->request;
    struct slice prefix = SLICE_LITERAL("shorebreak-"), edge = slice_of(r->env->config->edge), part;
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice rest = head->fields[i].value;
        if (!slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cdn-loop")))
            continue;
        size += rest.size;
        while (slice_split(&rest, ',', &part)) {
            struct slice id = slice_trim(slice_make(part.data, slice_find(part, ';')));
            if (slice_starts_with(id, prefix) && slice_equal_nocase(slice_skip(id, prefix.size), edge))
                return true;
        }
    }
    return size > CDN_LOOP_SIZE_MAX;
}

static enum step redirect(struct request *r, size_t edge_index, enum route_reason reason)
{
    const struct config_edge *edge = &r->env->config->edges[edge_index];
    struct slice host = r->site.site->config->edge_hosts[edge_index];
    struct buf line;
    buf_init(&line, KEY_SIZE_MAX);
    buf_append_text(&line, "Location: ");
    bool ok = route_redirect_url(host, r->x->is_tls ? edge->https_port : edge->http_port, r->x->is_tls,
                                 r->uri.path, r->uri.query, r->env->config->edge, &line);
    buf_append_text(&line, "\r\n");
    r->cause = CAUSE_REDIRECT;
    r->reason = route_reason_name(reason);
    enum step step = ok && !line.failed ? reply_small(r, 302, buf_slice(&line), r->reason)
                                        : request_refuse(r, REFUSAL_BAD_TARGET);
    buf_fini(&line);
    return step;
}

static bool is_first_playlist(const struct request *r)
{
    if (r->is_in_catalog)
        return r->catalog.kind == CATALOG_MULTIVARIANT || r->catalog.kind == CATALOG_MEDIA;
    return r->content_class == CLASS_PLAYLIST;
}

/* Where this viewer is served best: here, in nearly all cases. */
static bool is_better_elsewhere(struct request *r, struct route_decision *ret_decision)
{
    struct route_choice choices[ROUTE_EDGES_MAX];
    struct route_question question = {
        .is_first_playlist = is_first_playlist(r),
        .is_marked = r->uri.query.data && route_has_marker(r->uri.query),
        .asked_by_edge_name = r->site.is_edge_name,
        .has_edge_names = r->site.site->config->edge_hosts != NULL && r->env->edge_count > 1,
        .self = r->env->self_index,
    };
    if (!question.is_first_playlist || !question.has_edge_names)
        return false;
    size_t count = route_choose(r->env->edges, r->env->edge_count, r->env->self_index, &r->place,
                                hash_sum(r->key.text.data, r->key.text.size), choices);
    *ret_decision = route_decide(&question, choices, count);
    return ret_decision->redirect;
}

static enum step answer_options(struct request *r)
{
    struct buf *fields = &r->env->scratch;
    struct reply_cors cors = request_cors(r);
    buf_clear(fields);
    reply_write_options(&cors, r->x->request, fields);
    r->cause = CAUSE_LOCAL;
    r->status = 204;
    request_note_first_byte(r);
    exchange_respond(r->x, 204, buf_slice(fields), 0);
    return request_finish(r);
}

static void place_viewer(struct request *r)
{
    const struct config *config = r->env->config;
    r->viewer = route_viewer_address(&r->x->peer, r->x->request, config->trusted_proxies,
                                     config->trusted_proxy_count);
    if (r->env->places)
        places_lookup(r->env->places, r->env->worker, &r->viewer, &r->place);
}

/* TRACE would show a viewer what the edge says to the origin. */
static bool is_method_passed(const struct request *r)
{
    const struct config_site *site = r->site.site->config;
    struct slice method = r->x->request->method_text;
    for (size_t i = 0; i < site->pass_method_count; i++)
        if (slice_equal(site->pass_methods[i], method) ||
            (slice_equal(site->pass_methods[i], SLICE_LITERAL("*")) &&
             !slice_equal(method, SLICE_LITERAL("TRACE"))))
            return true;
    return false;
}

static bool may_be_repeated(const struct exchange *x)
{
    return (x->request->method == HTTP_GET || x->request->method == HTTP_HEAD) && x->body.size == 0;
}

static enum step route(struct request *r)
{
    const struct http_head *head = r->x->request;
    struct route_decision decision;
    r->content_class = CLASS_OTHER;
    r->is_head = head->method == HTTP_HEAD;
    r->viewer = r->x->peer;
    if (!may_be_repeated(r->x) && exchange_await_secure(r->x))
        return STEP_WAIT;
    if (!uri_parse_target(head->target, &r->uri))
        return request_refuse(r, REFUSAL_BAD_TARGET);
    enum refusal refusal = find_site(r);
    if (refusal != REFUSAL_NONE)
        return request_refuse(r, refusal);
    const struct site *site = r->site.site;
    place_viewer(r);
    refusal = quota_request(r->env->quota, &r->viewer, site->id, r->started_us * 1000, &r->retry_after_s);
    if (refusal != REFUSAL_NONE)
        return request_refuse(r, refusal);
    if (is_looping(r))
        return request_refuse(r, REFUSAL_LOOP);
    if (head->method == HTTP_OPTIONS)
        return answer_options(r);
    r->is_passed = head->method != HTTP_GET && head->method != HTTP_HEAD;
    if (r->is_passed && !is_method_passed(r))
        return request_refuse(r, REFUSAL_METHOD_NOT_ALLOWED);
    if (!r->is_passed && r->x->body.size > 0) /* it means nothing here, and may mean something behind us */
        return request_refuse(r, REFUSAL_BODY_NOT_ALLOWED);
    const struct site_route *rules = &r->env->site_routes[site->id - 1];
    refusal = route_country_allowed(&rules->allow, &rules->deny, &r->place);
    if (refusal != REFUSAL_NONE)
        return request_refuse(r, refusal);
    if (!key_write(slice_of(site->config->name), r->uri.path, r->uri.query, &site->key_rules, &r->key_text,
                   &r->target) ||
        r->target.data[0] != '/')
        return request_refuse(r, REFUSAL_BAD_TARGET);
    r->key.text = buf_slice(&r->key_text);
    r->key.hash = r->base_hash = hash_key(store_hash_secret(r->env->store), r->key.text);
    r->base_size = r->key.text.size;
    r->is_in_catalog = catalog_find(r->env->catalog, r->key.hash, &r->catalog);
    r->content_class =
        catalog_class(r->is_in_catalog ? &r->catalog : NULL, r->uri.path, (struct slice){NULL, 0});
    if (is_better_elsewhere(r, &decision))
        return redirect(r, decision.edge_index, decision.reason);
    size_t range_count;
    struct slice range = http_head_get(head, "range");
    if (head->method == HTTP_GET && range.data) { /* for others it means nothing (RFC 9110 section 14.2) */
        r->has_range = http_range_parse(range, &r->range, 1, &range_count) == RANGE_OK;
        r->has_ranges = !r->has_range && slice_find(range, ',') < range.size;
    }
    r->state = REQUEST_LOOKUP;
    return STEP_NEXT;
}

/* ---- the loop ---- */

static void request_run(struct request *r)
{
    enum step step = STEP_NEXT;
    if (r->is_running) { /* progress made inside our own call: look again before waiting */
        r->run_again = true;
        return;
    }
    r->is_running = true;
    do {
        r->run_again = false;
        switch (r->state) {
        case REQUEST_ROUTE: step = route(r); break;
        case REQUEST_LOOKUP: step = request_lookup(r); break;
        case REQUEST_AWAIT_HEAD: step = request_await_head(r); break;
        case REQUEST_SEND: step = request_send(r); break;
        case REQUEST_ENDED: step = STEP_DONE; break;
        }
    } while (step == STEP_NEXT || (step == STEP_WAIT && r->run_again));
    r->is_running = false;
    if (step == STEP_DONE || r->state == REQUEST_ENDED)
        recycle(r);
}

/* ---- readers who stand in the way ---- */

static bool is_in_the_way(struct request *r)
{
    struct store *store = r->env->store;
    return r->state == REQUEST_SEND && !r->is_running &&
           (store_is_in_the_way(store, &r->object) || store_is_in_the_way(store, &r->reader.held));
}

void request_env_relieve(struct request_env *env)
{
    struct request *r, *next;
    if (!store_is_pressed(env->store)) {
        env->patience_ms = 0;
        return;
    }
    uint64_t before_ms = env->patience_ms ? env->patience_ms : env->config->limits.send_stall_timeout_ms;
    env->patience_ms = before_ms / 2 > PATIENCE_MIN_MS ? before_ms / 2 : PATIENCE_MIN_MS;
    LIST_FOR_EACH_SAFE (r, next, &env->requests, node) {
        if (!is_in_the_way(r) || exchange_stalled_ms(r->x) < env->patience_ms)
            continue;
        r->refusal = REFUSAL_SLOW_READER;
        request_abort(r, refusal_name(REFUSAL_SLOW_READER));
        recycle(r);
    }
}

void request_start(struct request_env *env, struct exchange *x)
{
    static const struct exchange_events events = {on_writable, on_gone, on_secure};
    struct request *r = request_new(env);
    if (!r) {
        exchange_abort(x);
        return;
    }
    r->x = x;
    r->started_us = clock_monotonic_us();
    x->user = r;
    x->events = &events;
    request_run(r);
}
