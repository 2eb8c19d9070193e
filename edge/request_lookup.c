/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what answers a request: the object, or the flight that brings it, and the response's head from
 * either. What the store says is looked at once; whatever turns out otherwise (private, a variant, another
 * version) leads back to the lookup or to a request of one's own, a bounded number of times.
 */
#include "cmcd.h"
#include "hint.h"
#include "http/date.h"
#include "http/freshness.h"
#include "http/validate.h"
#include "key_vary.h"
#include "request_private.h"

#define SHED_RETRY_AFTER_S 2
#define RETRIES_MAX        2 /* a flight released or changed under us: ask for ourselves this often */

/* ---- lookup ---- */

void request_ask(struct request *r, const struct store_key *key, const struct store_hint *hint,
                 const struct store_object *o)
{
    struct store_asked asked = {.key = key, .hint = hint};
    if (o)
        asked.size_bytes = o->body_size_bytes + o->head.size + o->key_text.size;
    store_ask(r->env->store, &asked, o != NULL);
}

/* Once for a request, however often it looks. */
static void ask(struct request *r, bool is_found)
{
    if (r->is_asked)
        return;
    r->is_asked = true;
    hint_of_key(r->env->catalog, r->is_in_catalog ? &r->catalog : NULL, r->content_class, r->key.text,
                &r->hint);
    if (is_found && r->object.meta.flags & FLIGHT_META_SLICED)
        r->hint = (struct store_hint){.title = r->key.hash.low, .kind = STORE_SMALL};
    if (r->hint.kind != STORE_SMALL || (is_found && r->object.meta.flags & FLIGHT_META_SLICED))
        r->hint.session =
            hint_session(r->x->request, r->uri.query, &r->x->peer, store_hash_secret(r->env->store));
    request_ask(r, &r->key, &r->hint, is_found ? &r->object : NULL);
}

static struct flight_want want_of(const struct request *r, bool has_stale)
{
    struct flight_want want = {
        .key = &r->key,
        .limit_bytes = FLIGHT_NO_LIMIT,
        .now_ms = loop_wall_ms(r->env->loop),
        .stale = has_stale ? &r->stale : NULL,
        .validate = r->must_validate,
        .generation = r->lookup_generation,
        .hint = &r->hint,
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

enum cause request_miss(const struct request *r, const struct store_key *key)
{
    return store_is_disk_failed(r->env->store, key->hash) ? CAUSE_DISK_FAILED : CAUSE_MISS;
}

/* By a proxy before us, which had it in early data (RFC 8470 section 5.1). Whatever the value, it means this.
 */
static bool is_marked_early(const struct request *r)
{
    return http_head_get(r->x->request, "early-data").data != NULL;
}

void request_lead(struct request *r, struct flight *flight, enum cause cause, struct slice if_range)
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
        .is_early = r->x->is_early || is_marked_early(r),
        .is_background = !r->reader.flight,
        .if_range = if_range,
        .representation = r->representation,
        .total_bytes = r->total_bytes,
        .content_class = r->content_class,
        .cause = cause,
        .ticket = r->ticket,
    };
    if (request.ticket.site_id == 0) /* nobody was there to ask, or it was too late for that */
        request.ticket =
            admit_force(r->env->admit, &r->site.site->config->misses, r->site.site->id, &r->viewer);
    r->ticket = (struct admit_ticket){0};
    origin_fill(r->env->origin, &request);
}

static bool must_shed(const struct request *r)
{
    return overload_level(r->env->overload) >= OVERLOAD_MISSES;
}

static bool may_use_stale(const struct request *r);
static enum step use_stale(struct request *r);

/* Too much to do for what needs an origin: what is kept must do, or nothing does. */
static enum step shed(struct request *r)
{
    if (may_use_stale(r))
        return use_stale(r);
    r->retry_after_s = SHED_RETRY_AFTER_S;
    return request_refuse(r, overload_refusal(r->env->overload));
}

static enum step turn_away(struct request *r, enum refusal refusal, uint64_t wait_us)
{
    if (may_use_stale(r))
        return use_stale(r);
    r->retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
    return request_refuse(r, refusal);
}

bool request_may_lead(struct request *r, const struct flight_want *want, enum step *ret_step)
{
    const struct site *site = r->site.site;
    uint64_t now_us = loop_now_ms(r->env->loop) * 1000, wait_us;
    if (r->ticket.site_id != 0 || (want && flight_would_follow(r->env->flights, want)))
        return true;
    switch (admit_ask(r->env->admit, &site->config->misses, site->id, &r->viewer, now_us, &r->turn,
                      &r->ticket, &wait_us)) {
    case ADMIT_GO: return true;
    case ADMIT_NOT_CLIENT: *ret_step = turn_away(r, REFUSAL_CLIENT_MISSES, wait_us); return false;
    case ADMIT_NOT_SITE: *ret_step = turn_away(r, REFUSAL_SITE_MISSES, wait_us); return false;
    case ADMIT_WAIT: break;
    }
    store_release(&r->stale);
    store_release(&r->object);
    r->state = REQUEST_LOOKUP; /* by then it may be kept, or on its way */
    timer_start(r->env->loop, &r->turn_due, wait_us / 1000 + 1);
    *ret_step = STEP_WAIT;
    return false;
}

/* Back to the URL's own key: what it stands for may have changed. */
static void forget_variant(struct request *r)
{
    r->key_text.size = r->base_size;
    r->key_text.failed = false;
    r->key = (struct store_key){r->base_hash, buf_slice(&r->key_text)};
}

/* For the handshake; then it is looked for anew. */
static enum step await_secure(struct request *r)
{
    flight_leave(&r->reader);
    store_release(&r->stale);
    store_release(&r->object);
    forget_variant(r);
    r->state = REQUEST_LOOKUP;
    return STEP_WAIT;
}

static enum step ask_privately(struct request *r)
{
    enum step step;
    if (exchange_await_secure(r->x))
        return await_secure(r);
    if (must_shed(r))
        return shed(r);
    if (!request_may_lead(r, NULL, &step))
        return step;
    r->is_private = true;
    struct flight_want want = want_of(r, false);
    struct flight *flight = flight_new_private(r->env->flights, &want, &r->reader, r->env->worker);
    if (!flight)
        return request_refuse(r, REFUSAL_NO_MEMORY);
    r->cause = r->byte_cause = r->is_head ? CAUSE_MISS : CAUSE_UNCACHEABLE;
    request_lead(r, flight, r->cause, (struct slice){NULL, 0});
    r->state = REQUEST_AWAIT_HEAD;
    return STEP_NEXT;
}

static enum step use_object(struct request *r, enum cause cause);

/* Stale but within stale-while-revalidate: served now, and validated behind its back. */
static void revalidate_in_background(struct request *r)
{
    struct flight *flight;
    struct store_object unused;
    if (overload_level(r->env->overload) >= OVERLOAD_BACKGROUND)
        return;
    struct flight_want want = want_of(r, true);
    if (flight_join(r->env->flights, &want, &r->key, NULL, r->env->worker, &flight, &unused) ==
        FLIGHT_LEADING)
        request_lead(r, flight, r->is_purged ? CAUSE_PURGED : CAUSE_EXPIRED, (struct slice){NULL, 0});
}

/* Nobody shares what it asks for, as was seen a moment ago. */
static enum step pass(struct request *r)
{
    if (exchange_await_secure(r->x))
        return await_secure(r);
    counter_add(&ledger_flights(r->env->ledger)->hit_for_miss, 1);
    r->forward = FORWARD_BYPASS;
    return ask_privately(r);
}

static enum step join_flight(struct request *r, bool has_stale)
{
    enum step step;
    struct flight *flight;
    struct flight_want want = want_of(r, has_stale);
    if (hit_for_miss_has(r->env->hit_for_miss, r->base_hash, loop_now_ms(r->env->loop)))
        return pass(r);
    if (r->is_too_early && exchange_await_secure(r->x))
        return await_secure(r);
    if (!must_shed(r) && !request_may_lead(r, &want, &step))
        return step;
    switch (flight_join(r->env->flights, &want, &r->key, &r->reader, r->env->worker, &flight, &r->object)) {
    case FLIGHT_STORED: admit_release(r->env->admit, &r->ticket); return use_object(r, CAUSE_HIT);
    case FLIGHT_NO_MEMORY: return request_refuse(r, REFUSAL_NO_MEMORY);
    case FLIGHT_FOLLOWING:
        admit_release(r->env->admit, &r->ticket);
        r->cause = r->byte_cause = CAUSE_COALESCED;
        break;
    case FLIGHT_LEADING:
        if (must_shed(r)) {
            flight_leave(&r->reader);
            flight_fail(flight, refusal_name(overload_refusal(r->env->overload)), 503);
            return shed(r);
        }
        r->cause = r->byte_cause = r->is_purged ? CAUSE_PURGED
                                   : has_stale  ? CAUSE_EXPIRED
                                                : request_miss(r, &r->key);
        request_lead(r, flight, r->cause, (struct slice){NULL, 0});
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
        r->forward = left_ms > 0 ? FORWARD_REQUEST : FORWARD_STALE;
        r->stale = r->object; /* the reference moves */
        r->object = (struct store_object){0};
    }
    if (http_cache_control_has(directives, CC_ONLY_IF_CACHED))
        return request_refuse(r, REFUSAL_ONLY_IF_CACHED);
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

static enum store_found look_up(struct request *r)
{
    enum purge_effect effect;
    r->lookup_generation = purge_now(r->env->purges);
    enum store_found found = store_reader_lookup(&r->disk, &r->key, &r->object);
    if (found != STORE_FOUND)
        return found;
    bool is_left =
        purge_apply(r->env->purges, r->env->store, &r->key, loop_wall_ms(r->env->loop), &r->object, &effect);
    r->is_purged = r->is_purged || effect != PURGE_NONE;
    return is_left ? STORE_FOUND : STORE_MISSED;
}

enum step request_lookup(struct request *r)
{
    int64_t now_ms = loop_wall_ms(r->env->loop);
    struct cache_control directives;
    r->forward = FORWARD_METHOD;
    if (r->is_passed)
        return ask_privately(r);
    bool has_directives = read_directives(r, &directives);
    enum store_found found = look_up(r);
    if (found == STORE_FOUND && r->object.meta.flags & FLIGHT_META_VARIES) {
        r->forward = FORWARD_BYPASS;
        if (!choose_variant(r))
            return ask_privately(r);
        r->is_purged = false;
        found = look_up(r);
    }
    if (found == STORE_WAITS) /* then this comes once more, with the variant's key if it had got so far */
        return STEP_WAIT;
    if (found == STORE_FAILED)
        return request_fail(r, REQUEST_DISK_TIMEOUT, 504);
    bool is_found = found == STORE_FOUND;
    ask(r, is_found);
    r->forward = r->key.text.size > r->base_size ? FORWARD_VARY_MISS : FORWARD_URI_MISS;
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
    r->forward = FORWARD_STALE;
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
    r->is_private = false; /* what may have been asked for privately is not what is sent */
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
        .has_range = r->has_range || r->has_ranges,
        .if_none_match = http_head_get(head, "if-none-match"),
        .if_modified_since = http_head_get(head, "if-modified-since"),
        .if_range = http_head_get(head, "if-range"),
    };
    *ret_range_applies = r->has_range || r->has_ranges;
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
static unsigned choose_extent(struct request *r, const struct reply_stored *stored, bool is_range_wanted,
                              char content_range[HTTP_CONTENT_RANGE_SIZE], uint64_t *ret_size)
{
    uint64_t first, last;
    enum request_extent extent = EXTENT_ONE;
    r->position_bytes = 0;
    r->end_bytes = *ret_size = r->total_bytes;
    content_range[0] = '\0';
    if (stored->status != 200 || !is_range_wanted || r->total_bytes == FLIGHT_SIZE_UNKNOWN)
        return stored->status;
    if (r->has_ranges) /* a private response comes once, from front to back */
        extent = r->is_private ? EXTENT_WHOLE : request_parts_choose(r, stored->fields, ret_size);
    if (extent == EXTENT_WHOLE)
        return 200;
    if (extent == EXTENT_PARTS)
        return 206;
    if (extent == EXTENT_NONE || !http_range_resolve(&r->range, r->total_bytes, &first, &last)) {
        struct content_range none = {.unsatisfied = true, .total = r->total_bytes};
        http_content_range_format(&none, content_range);
        r->end_bytes = *ret_size = 0;
        return 416;
    }
    struct content_range range = {.first = first, .last = last, .total = r->total_bytes};
    http_content_range_format(&range, content_range);
    r->position_bytes = first;
    r->end_bytes = last + 1;
    *ret_size = last + 1 - first;
    return 206;
}

static enum step ask_again(struct request *r);

/* The head is in the store, but is the slice that the body begins with? If not the response waits for the
 * head of that slice's flight: which may fail while that can still be told, or bring another version. */
static bool must_await_slice(struct request *r, enum step *ret_step)
{
    bool has_body = !r->is_head && r->position_bytes < r->end_bytes;
    if (r->cause != CAUSE_HIT || !r->representation || !has_body)
        return false;
    r->is_turned_away = false;
    enum flight_state state = request_find_slice(r);
    *ret_step = r->is_turned_away ? r->turned_step : STEP_NEXT;
    if (r->is_turned_away)
        return true;
    if (state != FLIGHT_BYTES || r->object.region)
        return false;
    r->cause = r->byte_cause;
    r->forward = FORWARD_PARTIAL;
    r->state = REQUEST_AWAIT_HEAD;
    return true;
}

/* `generated_at_ms`: when the origin made it; `fresh_until_ms`: for hits. */
static enum step respond(struct request *r, const struct reply_stored *stored, int64_t generated_at_ms,
                         int64_t fresh_until_ms)
{
    char content_range[HTTP_CONTENT_RANGE_SIZE];
    bool is_range_wanted;
    uint64_t size;
    int64_t now_ms = loop_wall_ms(r->env->loop);
    enum condition_outcome condition = CONDITION_PROCEED;
    if (stored->status == 200 && !r->is_passed)
        condition = evaluate(r, stored, &is_range_wanted);
    else
        is_range_wanted = false;
    request_parts_free(r); /* of an earlier try */
    r->status = choose_extent(r, stored, is_range_wanted, content_range, &size);
    if (condition != CONDITION_PROCEED) {
        r->status = condition == CONDITION_NOT_MODIFIED ? 304 : 412;
        r->end_bytes = r->position_bytes = size = 0;
    }
    enum step step;
    if (must_await_slice(r, &step))
        return step;
    if (r->reader.flight && !r->is_head && !flight_can_serve(&r->reader, r->position_bytes, r->end_bytes)) {
        r->has_range = r->status == 206 && !r->parts;
        return ask_again(r); /* for the whole, when not even its size was known before */
    }
    r->cache_status = (struct reply_cache_status){.edge_name = r->env->config->edge,
                                                  .cause = r->cause,
                                                  .forward = r->forward,
                                                  .is_stored = r->is_stored,
                                                  .is_purged = r->is_purged,
                                                  .ttl_s = (fresh_until_ms - now_ms) / 1000};
    struct reply reply = {
        .fields = r->status != 416 || stored->status == 416 ? stored->fields : SLICE_EMPTY,
        .age_s = (now_ms - generated_at_ms) / 1000,
        .date_s = r->is_validated ? generated_at_ms / 1000 : -1,
        .cache_status = r->cache_status,
        .cors = request_cors(r),
        .has_ranges = stored->status == 200 && r->total_bytes != FLIGHT_SIZE_UNKNOWN,
        .is_not_modified = r->status == 304,
        .boundary = r->parts ? request_parts_boundary(r) : NULL,
        .content_range = content_range[0] ? slice_of(content_range) : (struct slice){NULL, 0},
    };
    if (reply.age_s < 0) /* the wall clock was set back */
        reply.age_s = 0;
    if (reply.age_s == 0 && (r->cause == CAUSE_MISS || r->cause == CAUSE_DISK_FAILED ||
                             r->cause == CAUSE_PURGED || r->cause == CAUSE_UNCACHEABLE))
        reply.age_s = -1; /* straight from the origin: no age (RFC 9111 section 5.1) */
    struct buf *fields = &r->env->scratch;
    buf_clear(fields);
    bool ok = reply_write(&reply, fields);
    if (r->total_bytes == FLIGHT_SIZE_UNKNOWN)
        size = EXCHANGE_LENGTH_UNKNOWN;
    request_note_first_byte(r);
    if (ok)
        exchange_respond(r->x, r->status, buf_slice(fields),
                         r->status == 304 ? EXCHANGE_LENGTH_UNKNOWN : size);
    if (!ok)
        return request_refuse(r, REFUSAL_NO_MEMORY);
    if (r->is_head || r->status == 304 || r->status == 204)
        return request_finish(r);
    const struct config_site *site = r->site.site->config;
    r->pace =
        pace_choose(&site->pacing, r->content_class, r->is_in_catalog ? r->catalog.bitrate_bits_per_s : 0,
                    site->pacing.cmcd ? cmcd_number(r->x->request, r->uri.query, "rtp") : 0);
    if (site->congestion_control)
        exchange_set_congestion(r->x, site->congestion_control);
    r->state = REQUEST_SEND;
    return STEP_NEXT;
}

/* The identity of a stored representation: as judge.c made it from the same validators. */
static uint64_t representation_of(const struct store_object *head)
{
    uint64_t representation = 0;
    if (head->body_size_bytes == sizeof(representation)) /* kept as the body of the head's object */
        memcpy(&representation, head->body, sizeof(representation));
    return representation;
}

/* r->object is a whole object, or the head of a sliced one. */
static enum step use_object(struct request *r, enum cause cause)
{
    struct reply_stored stored;
    struct store_meta meta = r->object.meta;
    struct store_object head = {0};
    if (!CHECK(reply_parse_stored(r->object.head, &stored)))
        return request_fail(r, "stored_head_damaged", 502);
    r->cause = r->byte_cause = cause;
    r->total_bytes = meta.total_size_bytes;
    r->representation = 0;
    r->generation = meta.purge_generation;
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

/* The flight brings what the store did not say: a variant (the leader's own, unless it has been told
 * otherwise), or another version than the one that was there. */
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

static enum step on_flight_failed(struct request *r)
{
    unsigned status;
    const char *reason = flight_failure(&r->reader, &status);
    if (strcmp(reason, ORIGIN_CHANGED) == 0) { /* the old version's head has been forgotten */
        r->representation = 0;
        return look_again(r);
    }
    if (strcmp(reason, ORIGIN_TOO_EARLY) == 0 && !is_marked_early(r)) {
        r->is_too_early = true;
        return look_again(r);
    }
    if (may_use_stale(r))
        return use_stale(r);
    flight_leave(&r->reader);
    return request_fail(r, reason, status);
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
        return request_fail(r, "origin_response_private", 502);
    return ask_privately(r);
}

enum step request_await_head(struct request *r)
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
    if (head->status == 416 && !r->is_passed &&
        (!r->has_range || http_head_get(r->x->request, "if-range").data)) {
        r->has_range = false; /* the flight's range is another viewer's, or depends: ask for all */
        return ask_again(r);
    }
    if (!CHECK(reply_parse_stored(head->stored, &stored)))
        return request_fail(r, "stored_head_damaged", 502);
    r->is_private = head->is_private;
    r->is_stored = head->is_kept;
    if (r->is_private)
        r->cause = r->byte_cause = r->is_head ? CAUSE_MISS : CAUSE_UNCACHEABLE;
    else if (r->cause == CAUSE_UNCACHEABLE) /* as was thought */
        r->cause = r->byte_cause = CAUSE_MISS;
    r->content_class = head->content_class;
    r->is_validated = false;
    r->total_bytes = flight_total_size(&r->reader);
    r->representation = head->representation;
    r->generation = flight_purge_generation(r->reader.flight);
    return respond(r, &stored, head->generated_at_ms, head->generated_at_ms);
}
