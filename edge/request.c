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
 * It waits only in AWAIT_HEAD (the origin's head) and SEND (the socket, or a flight's bytes); every callback
 * ends in request_run, the only loop.
 */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/date.h"
#include "http/freshness.h"
#include "http/range.h"
#include "http/uri.h"
#include "http/validate.h"
#include "key.h"
#include "key_vary.h"
#include "reply.h"

#define FREE_REQUESTS_MAX 256
#define SEND_BUDGET_BYTES (4u << 20) /* a turn of the loop for one request, so that others get theirs */
#define CDN_LOOP_SIZE_MAX 1024       /* passed on to the origin */
#define RETRIES_MAX       2          /* a flight released or changed under us: ask for ourselves this often */

enum request_state { REQUEST_LOOKUP, REQUEST_AWAIT_HEAD, REQUEST_SEND, REQUEST_ENDED };
enum step { STEP_NEXT, STEP_WAIT, STEP_DONE };

struct request {
    struct list node; /* in the pool */
    struct request_env *env;
    struct exchange *x; /* NULL once finished, aborted or gone */
    enum request_state state;
    bool is_running, run_again;
    struct later resume; /* the send budget was used up */

    struct site_match site;
    struct addr viewer;
    struct place place;
    struct uri uri;
    struct buf key_text;
    struct store_key key;
    struct slice target; /* in key_text: what the origin is asked for */
    struct catalog_entry catalog;
    struct hash128 base_hash; /* of the URL's own key: `key` may be a variant's */
    size_t base_size;
    bool is_in_catalog, is_head, has_range, is_private;
    bool is_passed;     /* a method that the site passes to the origin */
    bool is_no_store;   /* the viewer said so, and is obeyed */
    bool must_validate; /* the same: what is stored will not do */
    struct range_spec range;
    unsigned retries;

    struct flight_reader reader;
    struct store_object object; /* the whole, or the slice being sent */
    uint64_t object_start_bytes;
    struct store_object stale; /* to fall back on */
    struct buf stored_head;    /* a sliced object's head, when its object was let go */

    uint64_t position_bytes,
        end_bytes; /* of the representation; end FLIGHT_SIZE_UNKNOWN: until the flight ends */
    uint64_t total_bytes, representation;

    uint64_t started_us, first_byte_us, booked_bytes;
    unsigned status;
    enum content_class content_class;
    enum cause cause, byte_cause; /* of the request; of the bytes that move now */
    enum refusal refusal;
    const char *reason;
    struct reply_cache_status cache_status; /* as it was said; edge_name NULL: it was not */
    bool is_aborted, is_validated;          /* FLIGHT_META_VALIDATED of what is sent */
};

static void request_run(struct request *r);

/* ---- the pool ---- */

void request_env_init(struct request_env *env)
{
    list_init(&env->free_requests);
    env->free_count = 0;
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

static void on_resume(struct later *later)
{
    request_run(container_of(later, struct request, resume));
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
    list_init(&r->node);
    list_init(&r->reader.node);
    later_init(&r->resume, on_resume);
    r->reader.on_progress = on_progress;
    r->reader.worker = env->worker;
    return r;
}

/* ---- the end ---- */

static void book_bytes(struct request *r, uint64_t bytes, enum cause cause)
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
        book_bytes(r, sent - r->booked_bytes, r->cause); /* head and framing */
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
    store_release(&r->object);
    store_release(&r->stale);
    later_stop(&r->resume);
    r->x = NULL;
    r->state = REQUEST_ENDED;
}

static void recycle(struct request *r)
{
    struct request_env *env = r->env;
    if (env->free_count >= FREE_REQUESTS_MAX) {
        request_free(r);
        return;
    }
    env->free_count++;
    list_push_front(&env->free_requests, &r->node);
}

static enum step finish(struct request *r)
{
    struct exchange *x = r->x;
    conclude(r);
    exchange_finish(x);
    return STEP_DONE;
}

static enum step abort_response(struct request *r, const char *reason)
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
    conclude(r);
    if (!r->is_running) /* else request_run recycles it */
        recycle(r);
}

static void on_writable(struct exchange *x)
{
    request_run(x->user);
}

/* ---- small replies of the edge itself ---- */

static struct reply_cors cors_of(const struct request *r)
{
    const struct config_site *site = r->site.site->config;
    return (struct reply_cors){
        .origin = http_head_get(r->x->request, "origin"),
        .allowed = site->cors_origins,
        .allowed_count = site->cors_origin_count,
        .is_null_allowed = r->site.is_edge_name,
    };
}

static void note_first_byte(struct request *r)
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
    r->cache_status = (struct reply_cache_status){r->env->config->edge, r->cause, 0, detail};
    struct reply reply = {.fields = SLICE_EMPTY, .age_s = -1, .date_s = -1, .cache_status = r->cache_status};
    http_date_format(loop_wall_ms(r->env->loop) / 1000, date);
    buf_printf(fields, "Date: %s\r\n", date);
    buf_append_slice(fields, extra_fields);
    if (r->site.site)
        reply.cors = cors_of(r);
    if (detail && status != 304)
        buf_append_text(fields, "Content-Type: text/plain\r\nCache-Control: no-store\r\n");
    reply_write(&reply, fields);
    if (detail)
        snprintf(body, sizeof(body), "%s\n", detail);
    struct slice text = slice_of(r->is_head || status == 304 || status == 204 ? "" : body);
    r->status = status;
    note_first_byte(r);
    struct exchange *x = r->x;
    exchange_respond(x, status, buf_slice(fields), strlen(body));
    if (text.size > 0) {
        struct span span = {.fd = -1, .data = text.data, .size = text.size};
        if (exchange_send(x, &span) !=
            (ssize_t)text.size) /* a socket that takes not even this has no reader */
            return abort_response(r, "send_failed");
    }
    return finish(r);
}

static enum step refuse(struct request *r, enum refusal refusal)
{
    r->cause = CAUSE_REFUSED;
    r->refusal = refusal;
    r->reason = refusal_name(refusal);
    struct slice extra =
        refusal == REFUSAL_METHOD_NOT_ALLOWED ? SLICE_LITERAL("Allow: GET, HEAD, OPTIONS\r\n") : SLICE_EMPTY;
    return reply_small(r, refusal_status(refusal), extra, refusal_name(refusal));
}

static enum step fail(struct request *r, const char *reason, unsigned status)
{
    r->cause = CAUSE_ERROR;
    r->reason = reason;
    return reply_small(r, status, SLICE_EMPTY, reason);
}

/* ---- route ---- */

static bool find_site(struct request *r)
{
    char local[ADDR_TEXT_MAX];
    struct uri_authority authority;
    struct slice host = http_head_get(r->x->request, "host");
    if (r->uri.authority.data) /* absolute-form: its authority replaces Host (RFC 9112 section 3.2.2) */
        host = r->uri.authority;
    if (!host.data) { /* HTTP/1.0 without Host: the address that was asked is the name */
        addr_format_ip(&r->x->local, local);
        return site_find(r->env->sites, slice_of(local), &r->site);
    }
    return uri_parse_authority(host, &authority) && site_find(r->env->sites, authority.host, &r->site);
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
    enum step step =
        ok && !line.failed ? reply_small(r, 302, buf_slice(&line), r->reason) : refuse(r, REFUSAL_BAD_TARGET);
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
    struct reply_cors cors = cors_of(r);
    buf_clear(fields);
    reply_write_options(&cors, r->x->request, fields);
    r->cause = CAUSE_LOCAL;
    r->status = 204;
    note_first_byte(r);
    exchange_respond(r->x, 204, buf_slice(fields), 0);
    return finish(r);
}

static void place_viewer(struct request *r)
{
    const struct config *config = r->env->config;
    r->viewer = route_viewer_address(&r->x->peer, r->x->request, config->trusted_proxies,
                                     config->trusted_proxy_count);
    if (r->env->geo)
        geo_lookup(r->env->geo, &r->viewer, &r->place);
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

static enum step route(struct request *r)
{
    const struct http_head *head = r->x->request;
    struct route_decision decision;
    r->content_class = CLASS_OTHER;
    r->is_head = head->method == HTTP_HEAD;
    r->viewer = r->x->peer;
    if (!uri_parse_target(head->target, &r->uri))
        return refuse(r, REFUSAL_BAD_TARGET);
    if (!find_site(r))
        return refuse(r, REFUSAL_UNKNOWN_HOST);
    const struct site *site = r->site.site;
    place_viewer(r);
    if (is_looping(r))
        return refuse(r, REFUSAL_LOOP);
    if (head->method == HTTP_OPTIONS)
        return answer_options(r);
    r->is_passed = head->method != HTTP_GET && head->method != HTTP_HEAD;
    if (r->is_passed && !is_method_passed(r))
        return refuse(r, REFUSAL_METHOD_NOT_ALLOWED);
    if (!r->is_passed && r->x->body.size > 0) /* it means nothing here, and may mean something behind us */
        return refuse(r, REFUSAL_BODY_NOT_ALLOWED);
    const struct site_route *rules = &r->env->site_routes[site->id - 1];
    enum refusal refusal = route_country_allowed(&rules->allow, &rules->deny, &r->place);
    if (refusal != REFUSAL_NONE)
        return refuse(r, refusal);
    if (!key_write(slice_of(site->config->name), r->uri.path, r->uri.query, &site->key_rules, &r->key_text,
                   &r->target) ||
        r->target.data[0] != '/')
        return refuse(r, REFUSAL_BAD_TARGET);
    r->key.text = buf_slice(&r->key_text);
    r->key.hash = r->base_hash = hash_key(store_hash_secret(r->env->store), r->key.text);
    r->base_size = r->key.text.size;
    r->is_in_catalog = catalog_find(r->env->catalog, r->key.hash, &r->catalog);
    r->content_class =
        catalog_class(r->is_in_catalog ? &r->catalog : NULL, r->uri.path, (struct slice){NULL, 0});
    if (is_better_elsewhere(r, &decision))
        return redirect(r, decision.edge_index, decision.reason);
    size_t range_count;
    r->has_range = head->method == HTTP_GET && /* for others it means nothing (RFC 9110 section 14.2) */
                   http_range_parse(http_head_get(head, "range"), &r->range, 1, &range_count) == RANGE_OK;
    r->state = REQUEST_LOOKUP;
    return STEP_NEXT;
}

/* ---- lookup ---- */

static struct flight_want want_of(const struct request *r, bool has_stale)
{
    struct flight_want want = {
        .key = &r->key,
        .limit_bytes = FLIGHT_NO_LIMIT,
        .now_ms = loop_wall_ms(r->env->loop),
        .stale = has_stale ? &r->stale : NULL,
        .validate = r->must_validate,
    };
    if (r->has_range && !has_stale && !(r->is_private && r->range.suffix)) {
        /* A suffix needs the total size: the first slice tells it. */
        want.ranged = true;
        want.first_bytes = r->range.suffix ? 0 : r->range.first;
        want.limit_bytes = r->range.suffix                    ? 1
                           : r->range.last == HTTP_RANGE_OPEN ? FLIGHT_NO_LIMIT
                                                              : r->range.last + 1;
    }
    return want;
}

static void lead(struct request *r, struct flight *flight, enum cause cause, struct slice if_range)
{
    struct origin_request request = {
        .flight = flight,
        .site = r->site.site,
        .target = r->target,
        .key_hash = r->base_hash,
        .viewer_head = r->x->request,
        .body = r->x->body,
        .is_passed = r->is_passed,
        .is_no_store = r->is_no_store,
        .is_head = r->is_private && r->is_head,
        .is_background = !r->reader.flight,
        .if_range = if_range,
        .representation = r->representation,
        .total_bytes = r->total_bytes,
        .content_class = r->content_class,
        .cause = cause,
    };
    origin_fill(r->env->origin, &request);
}

static enum step ask_privately(struct request *r)
{
    r->is_private = true;
    struct flight_want want = want_of(r, false);
    struct flight *flight = flight_new_private(r->env->flights, &want, &r->reader, r->env->worker);
    if (!flight)
        return refuse(r, REFUSAL_NO_MEMORY);
    r->cause = r->byte_cause = r->is_head ? CAUSE_MISS : CAUSE_UNCACHEABLE;
    lead(r, flight, r->cause, (struct slice){NULL, 0});
    r->state = REQUEST_AWAIT_HEAD;
    return STEP_NEXT;
}

static enum step use_object(struct request *r, enum cause cause);

/* Stale but within stale-while-revalidate: served now, and validated behind its back. */
static void revalidate_in_background(struct request *r)
{
    struct flight *flight;
    struct store_object unused;
    struct flight_want want = want_of(r, true);
    if (flight_join(r->env->flights, &want, &r->key, NULL, r->env->worker, &flight, &unused) ==
        FLIGHT_LEADING)
        lead(r, flight, CAUSE_EXPIRED, (struct slice){NULL, 0});
}

static enum step join_flight(struct request *r, bool has_stale)
{
    struct flight *flight;
    struct flight_want want = want_of(r, has_stale);
    switch (flight_join(r->env->flights, &want, &r->key, &r->reader, r->env->worker, &flight, &r->object)) {
    case FLIGHT_STORED: return use_object(r, CAUSE_HIT);
    case FLIGHT_NO_MEMORY: return refuse(r, REFUSAL_NO_MEMORY);
    case FLIGHT_FOLLOWING: r->cause = r->byte_cause = CAUSE_COALESCED; break;
    case FLIGHT_LEADING:
        r->cause = r->byte_cause = has_stale ? CAUSE_EXPIRED : CAUSE_MISS;
        lead(r, flight, r->cause, (struct slice){NULL, 0});
        break;
    }
    r->state = REQUEST_AWAIT_HEAD;
    return STEP_NEXT;
}

static bool are_directives_obeyed(const struct request *r)
{
    enum config_request_directives obeyed = r->site.site->config->request_directives;
    return obeyed == REQUEST_DIRECTIVES_ALL ||
           (obeyed == REQUEST_DIRECTIVES_OTHER && r->content_class == CLASS_OTHER);
}

/* Cache-Control of the request, or Pragma in its place (RFC 9111 section 5.4). False: it says nothing that is
 * obeyed. */
static bool read_directives(const struct request *r, struct cache_control *ret)
{
    const struct http_head *head = r->x->request;
    struct cache_control pragma = {0};
    *ret = (struct cache_control){0};
    if (!are_directives_obeyed(r))
        return false;
    for (size_t i = 0; i < head->field_count; i++) {
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cache-control")))
            http_cache_control_add(ret, head->fields[i].value);
        else if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("pragma")))
            http_cache_control_add(&pragma, head->fields[i].value);
    }
    if (!ret->present && http_cache_control_has(&pragma, CC_NO_CACHE))
        *ret = pragma;
    return ret->present != 0;
}

/* With what the viewer's Cache-Control asks for (RFC 9111 section 5.2.1). */
static enum step look_as_directed(struct request *r, bool is_found, const struct cache_control *directives)
{
    int64_t now_ms = loop_wall_ms(r->env->loop);
    if (is_found) {
        const struct store_meta *meta = &r->object.meta;
        int64_t left_ms = meta->fresh_until_ms - now_ms;
        if (freshness_satisfies(directives, now_ms - meta->generated_at_ms, left_ms,
                                meta->stale_if_error_s > 0))
            return use_object(r, left_ms > 0 ? CAUSE_HIT : CAUSE_STALE);
        r->stale = r->object; /* the reference moves */
        r->object = (struct store_object){0};
    }
    if (http_cache_control_has(directives, CC_ONLY_IF_CACHED))
        return refuse(r, REFUSAL_ONLY_IF_CACHED);
    r->is_no_store = http_cache_control_has(directives, CC_NO_STORE);
    r->must_validate = true;
    return r->is_head || r->is_no_store ? ask_privately(r) : join_flight(r, is_found);
}

/* The object under the key is a marker: `key` becomes that of the variant for this viewer. */
static bool choose_variant(struct request *r)
{
    uint64_t epoch;
    struct slice names, body = slice_make(r->object.body, r->object.body_size_bytes);
    const struct http_head *head = r->x->request;
    const struct config_site *site = r->site.site->config;
    size_t name_size = strlen(site->name);
    bool ok = key_marker_read(body, &epoch, &names) &&
              key_variant_write(epoch, names, head->fields, head->field_count, site, &r->key_text);
    store_release(&r->object);
    r->target = slice_make(r->key_text.data + name_size, r->base_size - name_size); /* it may have moved */
    r->key.text = buf_slice(&r->key_text);
    r->key.hash = hash_key(store_hash_secret(r->env->store), r->key.text);
    return ok;
}

/* Back to the URL's own key: what it stands for may have changed. */
static void forget_variant(struct request *r)
{
    r->key_text.size = r->base_size;
    r->key_text.failed = false;
    r->key = (struct store_key){r->base_hash, buf_slice(&r->key_text)};
}

static enum step request_lookup(struct request *r)
{
    int64_t now_ms = loop_wall_ms(r->env->loop);
    struct cache_control directives;
    if (r->is_passed)
        return ask_privately(r);
    bool has_directives = read_directives(r, &directives);
    bool is_found = store_lookup(r->env->store, &r->key, &r->object);
    if (is_found && r->object.meta.flags & FLIGHT_META_VARIES) {
        if (!choose_variant(r))
            return ask_privately(r);
        is_found = store_lookup(r->env->store, &r->key, &r->object);
    }
    if (has_directives)
        return look_as_directed(r, is_found, &directives);
    if (!is_found)
        return r->is_head ? ask_privately(r) : join_flight(r, false);
    if (r->object.meta.fresh_until_ms > now_ms)
        return use_object(r, CAUSE_HIT);
    r->stale = r->object; /* the reference moves */
    r->object = (struct store_object){0};
    if (now_ms < r->stale.meta.fresh_until_ms + (int64_t)r->stale.meta.stale_while_revalidate_s * 1000) {
        revalidate_in_background(r);
        store_object_copy(&r->stale, &r->object);
        return use_object(r, CAUSE_STALE);
    }
    return r->is_head ? ask_privately(r) : join_flight(r, true);
}

/* ---- the head of the response ---- */

static bool may_use_stale(const struct request *r)
{
    int64_t until_ms = r->stale.meta.fresh_until_ms + (int64_t)r->stale.meta.stale_if_error_s * 1000;
    return r->stale.region && !r->must_validate && loop_wall_ms(r->env->loop) < until_ms;
}

static enum step use_stale(struct request *r)
{
    flight_leave(&r->reader);
    store_object_copy(&r->stale, &r->object);
    return use_object(r, CAUSE_STALE);
}

static enum condition_outcome evaluate(const struct request *r, const struct reply_stored *stored,
                                       bool *ret_range_applies)
{
    const struct http_head *head = r->x->request;
    int64_t now_s = loop_wall_ms(r->env->loop) / 1000, modified_s, date_s;
    struct slice modified = reply_stored_get(stored->fields, "last-modified"),
                 date = reply_stored_get(stored->fields, "date");
    struct condition_request request = {
        .method = head->method,
        .has_range = r->has_range,
        .if_none_match = http_head_get(head, "if-none-match"),
        .if_modified_since = http_head_get(head, "if-modified-since"),
        .if_range = http_head_get(head, "if-range"),
    };
    *ret_range_applies = r->has_range;
    if (!request.if_none_match.data && !request.if_modified_since.data && !request.if_range.data)
        return CONDITION_PROCEED;
    struct condition_stored validators = {
        .etag = reply_stored_get(stored->fields, "etag"), .last_modified_s = HTTP_DATE_NONE, .date_s = now_s};
    if (modified.data && http_date_parse(modified, now_s, &modified_s))
        validators.last_modified_s = modified_s;
    if (date.data && http_date_parse(date, now_s, &date_s))
        validators.date_s = date_s;
    return http_condition_evaluate(&request, &validators, now_s, ret_range_applies);
}

/* What is sent, once status and size are known: all, a range, or nothing. */
static unsigned choose_extent(struct request *r, unsigned status, bool is_range_wanted,
                              char content_range[HTTP_CONTENT_RANGE_SIZE])
{
    uint64_t first, last;
    r->position_bytes = 0;
    r->end_bytes = r->total_bytes;
    content_range[0] = '\0';
    if (status != 200 || !is_range_wanted || r->total_bytes == FLIGHT_SIZE_UNKNOWN)
        return status;
    if (!http_range_resolve(&r->range, r->total_bytes, &first, &last)) {
        struct content_range none = {.unsatisfied = true, .total = r->total_bytes};
        http_content_range_format(&none, content_range);
        r->end_bytes = 0;
        return 416;
    }
    struct content_range range = {.first = first, .last = last, .total = r->total_bytes};
    http_content_range_format(&range, content_range);
    r->position_bytes = first;
    r->end_bytes = last + 1;
    return 206;
}

static enum flight_state find_slice(struct request *r);
static enum step ask_again(struct request *r);

/* The head is in the store, but is the slice that the body begins with? If not the response waits for the
 * head of that slice's flight: which may fail while that can still be told, or bring another version. */
static bool must_await_slice(struct request *r)
{
    bool has_body = !r->is_head && r->position_bytes < r->end_bytes;
    if (r->cause != CAUSE_HIT || !r->representation || !has_body)
        return false;
    if (find_slice(r) != FLIGHT_BYTES || r->object.region)
        return false;
    r->cause = r->byte_cause;
    r->state = REQUEST_AWAIT_HEAD;
    return true;
}

/* `generated_at_ms`: when the origin made it; `fresh_until_ms`: for hits. */
static enum step respond(struct request *r, const struct reply_stored *stored, int64_t generated_at_ms,
                         int64_t fresh_until_ms)
{
    char content_range[HTTP_CONTENT_RANGE_SIZE];
    bool is_range_wanted;
    int64_t now_ms = loop_wall_ms(r->env->loop);
    enum condition_outcome condition = CONDITION_PROCEED;
    if (stored->status == 200 && !r->is_passed)
        condition = evaluate(r, stored, &is_range_wanted);
    else
        is_range_wanted = false;
    r->status = choose_extent(r, stored->status, is_range_wanted, content_range);
    if (condition != CONDITION_PROCEED) {
        r->status = condition == CONDITION_NOT_MODIFIED ? 304 : 412;
        r->end_bytes = r->position_bytes = 0;
    }
    if (must_await_slice(r))
        return STEP_NEXT;
    if (r->reader.flight && !r->is_head && !flight_can_serve(&r->reader, r->position_bytes, r->end_bytes)) {
        r->has_range = r->status == 206;
        return ask_again(r); /* for the whole, when not even its size was known before */
    }
    r->cache_status = (struct reply_cache_status){
        .edge_name = r->env->config->edge, .cause = r->cause, .ttl_s = (fresh_until_ms - now_ms) / 1000};
    struct reply reply = {
        .fields = r->status != 416 || stored->status == 416 ? stored->fields : SLICE_EMPTY,
        .age_s = (now_ms - generated_at_ms) / 1000,
        .date_s = r->is_validated ? generated_at_ms / 1000 : -1,
        .cache_status = r->cache_status,
        .cors = cors_of(r),
        .has_ranges = stored->status == 200 && r->total_bytes != FLIGHT_SIZE_UNKNOWN,
        .is_not_modified = r->status == 304,
        .content_range = content_range[0] ? slice_of(content_range) : (struct slice){NULL, 0},
    };
    if (reply.age_s < 0) /* the wall clock was set back */
        reply.age_s = 0;
    if (reply.age_s == 0 && (r->cause == CAUSE_MISS || r->cause == CAUSE_UNCACHEABLE))
        reply.age_s = -1; /* straight from the origin: no age (RFC 9111 section 5.1) */
    struct buf *fields = &r->env->scratch;
    buf_clear(fields);
    bool ok = reply_write(&reply, fields);
    uint64_t size =
        r->total_bytes == FLIGHT_SIZE_UNKNOWN ? EXCHANGE_LENGTH_UNKNOWN : r->end_bytes - r->position_bytes;
    note_first_byte(r);
    if (ok)
        exchange_respond(r->x, r->status, buf_slice(fields),
                         r->status == 304 ? EXCHANGE_LENGTH_UNKNOWN : size);
    if (!ok)
        return refuse(r, REFUSAL_NO_MEMORY);
    if (r->is_head || r->status == 304 || r->status == 204)
        return finish(r);
    r->state = REQUEST_SEND;
    return STEP_NEXT;
}

static uint64_t representation_of(const struct store_object *head);

/* r->object is a whole object, or the head of a sliced one. */
static enum step use_object(struct request *r, enum cause cause)
{
    struct reply_stored stored;
    struct store_meta meta = r->object.meta;
    struct store_object head = {0};
    if (!CHECK(reply_parse_stored(r->object.head, &stored)))
        return fail(r, "stored_head_damaged", 502);
    r->cause = r->byte_cause = cause;
    r->total_bytes = meta.total_size_bytes;
    r->representation = 0;
    r->content_class = meta.content_class;
    r->is_validated = meta.flags & FLIGHT_META_VALIDATED;
    r->object_start_bytes = 0;
    if (meta.flags & FLIGHT_META_SLICED) {
        r->representation = representation_of(&r->object);
        head = r->object; /* the reference moves: r->object is what the body is read from */
        r->object = (struct store_object){0};
    }
    enum step step = respond(r, &stored, meta.generated_at_ms, meta.fresh_until_ms);
    store_release(&head);
    return step;
}

static enum step on_flight_failed(struct request *r)
{
    unsigned status;
    const char *reason = flight_failure(&r->reader, &status);
    if (may_use_stale(r))
        return use_stale(r);
    flight_leave(&r->reader);
    if (strcmp(reason, ORIGIN_CHANGED) == 0 && r->retries++ < RETRIES_MAX) {
        r->representation = 0;
        r->state = REQUEST_LOOKUP; /* the old version's head has been forgotten */
        return STEP_NEXT;
    }
    return fail(r, reason, status);
}

static enum step on_revalidated(struct request *r)
{
    flight_revalidated_object(&r->reader, &r->object);
    flight_leave(&r->reader);
    return use_object(r, CAUSE_REVALIDATED);
}

static enum step ask_again(struct request *r)
{
    flight_leave(&r->reader);
    if (r->retries++ >= RETRIES_MAX)
        return fail(r, "origin_response_private", 502);
    return ask_privately(r);
}

/* What the flight brings is a variant. The leader's own, unless it has been told otherwise. */
static enum step look_again(struct request *r)
{
    flight_leave(&r->reader);
    store_release(&r->stale);
    forget_variant(r);
    if (r->retries++ >= RETRIES_MAX)
        return ask_privately(r);
    r->state = REQUEST_LOOKUP;
    return STEP_NEXT;
}

static enum step request_await_head(struct request *r)
{
    struct reply_stored stored;
    enum flight_state state;
    const struct flight_head *head = flight_head(&r->reader, &state);
    if (state == FLIGHT_FAILED)
        return on_flight_failed(r);
    if (state == FLIGHT_REVALIDATED)
        return on_revalidated(r);
    if (state == FLIGHT_RELEASED)
        return ask_again(r);
    if (state == FLIGHT_MOVED)
        return look_again(r);
    if (!head)
        return STEP_WAIT;
    if (head->status >= 500 && may_use_stale(r))
        return use_stale(r);
    if (head->status == 416 && (!r->has_range || http_head_get(r->x->request, "if-range").data)) {
        r->has_range = false; /* the flight's range is another viewer's, or depends: ask for all */
        return ask_again(r);
    }
    if (!CHECK(reply_parse_stored(head->stored, &stored)))
        return fail(r, "stored_head_damaged", 502);
    r->is_private = head->is_private;
    if (r->is_private)
        r->cause = r->byte_cause = r->is_head ? CAUSE_MISS : CAUSE_UNCACHEABLE;
    r->content_class = head->content_class;
    r->is_validated = false;
    r->total_bytes = flight_total_size(&r->reader);
    r->representation = head->representation;
    return respond(r, &stored, head->generated_at_ms, head->generated_at_ms);
}

/* ---- the body ---- */

/* The identity of a stored representation: as judge.c made it from the same validators. */
static uint64_t representation_of(const struct store_object *head)
{
    uint64_t representation = 0;
    if (head->body_size_bytes == sizeof(representation)) /* kept as the body of the head's object */
        memcpy(&representation, head->body, sizeof(representation));
    return representation;
}

static struct slice if_range_of(struct request *r)
{
    struct reply_stored stored;
    struct slice etag;
    struct store_object head;
    struct slice none = {NULL, 0};
    if (!store_lookup(r->env->store, &r->key, &head))
        return none;
    buf_clear(&r->stored_head);
    buf_append_slice(&r->stored_head, head.head);
    store_release(&head);
    if (!reply_parse_stored(buf_slice(&r->stored_head), &stored))
        return none;
    etag = reply_stored_get(stored.fields, "etag");
    if (etag.data && etag.size > 2 && etag.data[0] != 'W')
        return etag;
    return reply_stored_get(stored.fields, "last-modified");
}

/* The slice in which `position` stands, from a flight of its own (or the store, if it got there meanwhile).
 */
static enum flight_state fetch_slice(struct request *r, const struct store_key *slice_key)
{
    struct flight *flight;
    struct flight_want want = {
        .key = &r->key,
        .first_bytes = r->position_bytes,
        .limit_bytes = flight_missing_until(r->env->flights, r->key.text, r->representation,
                                            r->position_bytes, r->end_bytes),
        .ranged = true,
        .representation = r->representation,
        .now_ms = loop_wall_ms(r->env->loop),
    };
    flight_leave(&r->reader);
    switch (flight_join(r->env->flights, &want, slice_key, &r->reader, r->env->worker, &flight, &r->object)) {
    case FLIGHT_STORED: break;
    case FLIGHT_NO_MEMORY: return FLIGHT_FAILED;
    case FLIGHT_FOLLOWING: r->byte_cause = CAUSE_COALESCED; break;
    case FLIGHT_LEADING:
        r->byte_cause = CAUSE_MISS;
        lead(r, flight, CAUSE_MISS, if_range_of(r));
        break;
    }
    return FLIGHT_BYTES;
}

/* The flight, if any, has not this place. A reader that only fell behind stays joined while it reads from the
 * store: else the fill would look as if nobody wanted it. */
static enum flight_state find_slice(struct request *r)
{
    uint64_t slice = flight_table_slice_bytes(r->env->flights), index = r->position_bytes / slice;
    enum flight_state state = FLIGHT_BYTES;
    struct store_key key;
    struct buf text;
    store_release(&r->object);
    store_release(&r->reader.held);
    if (r->total_bytes <= slice || !r->representation)
        return FLIGHT_FAILED; /* no object of slices: what the flight let go of is gone */
    buf_init(&text, STORE_KEY_TEXT_MAX + 64);
    r->object_start_bytes = index * slice;
    r->byte_cause = r->reader.flight ? r->cause : CAUSE_HIT; /* what our own fill has just stored is no hit */
    if (!flight_slice_key(r->env->flights, r->key.text, r->representation, index, &text, &key))
        state = FLIGHT_FAILED;
    else if (!store_lookup(r->env->store, &key, &r->object))
        state = fetch_slice(r, &key);
    buf_fini(&text);
    return state;
}

static bool span_of_object(const struct request *r, struct span *ret_span)
{
    uint64_t skip = r->position_bytes - r->object_start_bytes;
    if (!r->object.region || r->position_bytes < r->object_start_bytes || skip >= r->object.body_size_bytes)
        return false;
    *ret_span = (struct span){
        .fd = r->object.fd,
        .offset_bytes = r->object.body_offset_bytes + skip,
        .data = r->object.body ? r->object.body + skip : NULL,
        .size = r->object.body_size_bytes - skip,
    };
    return true;
}

static enum flight_state next_span(struct request *r, struct span *ret_span)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        if (span_of_object(r, ret_span))
            return FLIGHT_BYTES;
        if (r->reader.flight) {
            enum flight_state state = flight_look(&r->reader, r->position_bytes, r->representation, ret_span);
            if (state != FLIGHT_ELSEWHERE)
                return state;
        }
        enum flight_state state = find_slice(r);
        if (state != FLIGHT_BYTES)
            return state;
    }
    return FLIGHT_FAILED;
}

static enum step on_no_span(struct request *r, enum flight_state state)
{
    unsigned status;
    switch (state) {
    case FLIGHT_WAIT:
        if (r->is_private)
            flight_consumed(&r->reader, 0);
        exchange_flush(r->x);
        return STEP_WAIT;
    case FLIGHT_END:
        if (r->end_bytes == FLIGHT_SIZE_UNKNOWN || r->position_bytes == r->end_bytes)
            return finish(r);
        return abort_response(r, "body_incomplete");
    case FLIGHT_CHANGED: return abort_response(r, ORIGIN_CHANGED);
    default:
        return abort_response(r, r->reader.flight ? flight_failure(&r->reader, &status) : "object_evicted");
    }
}

static enum step request_send(struct request *r)
{
    uint64_t budget = SEND_BUDGET_BYTES;
    while (r->position_bytes < r->end_bytes) {
        struct span span;
        enum flight_state state = next_span(r, &span);
        if (state != FLIGHT_BYTES)
            return on_no_span(r, state);
        span.size = size_min(size_min(span.size, r->end_bytes - r->position_bytes), budget);
        ssize_t sent = exchange_send(r->x, &span);
        if (sent < 0)
            return STEP_WAIT; /* on_gone follows */
        r->position_bytes += (uint64_t)sent;
        budget -= (uint64_t)sent;
        book_bytes(r, (uint64_t)sent, r->byte_cause);
        if (r->is_private)
            flight_consumed(&r->reader, (size_t)sent);
        if ((size_t)sent < span.size)
            return STEP_WAIT; /* on_writable follows */
        if (budget == 0) {
            later_start(r->env->loop, &r->resume);
            return STEP_WAIT;
        }
    }
    return finish(r);
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

void request_start(struct request_env *env, struct exchange *x)
{
    static const struct exchange_events events = {on_writable, on_gone};
    struct request *r = request_new(env);
    if (!r) {
        exchange_abort(x);
        return;
    }
    r->x = x;
    r->started_us = clock_monotonic_us();
    x->user = r;
    x->events = &events;
    r->is_running = true;
    enum step step = route(r);
    r->is_running = false;
    if (step == STEP_DONE)
        recycle(r);
    else
        request_run(r);
}
