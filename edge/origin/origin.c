/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fill, from the request for the origin to the end of its flight:
 *   origin_fill -> on_head (judge) -> on_body ... -> on_done (read the playlist, seal)
 * and at any point: a failure of the fetch, or the last reader leaving (on_orphaned).
 */
#include "origin/origin.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "cache/policy.h"
#include "http/uri.h"
#include "key.h"
#include "origin/judge.h"
#include "reply.h"

#define ORIGIN_CONNECTIONS_MAX 256
#define ORIGIN_WAITING_MAX     4096
#define ORIGIN_IDLE_MS         30000
#define ORIGIN_HEAD_MAX        ((size_t)16 * 1024)
#define ORIGIN_BUFFER_MAX      ((size_t)64 * 1024)
#define ORPHAN_UNSIZED_MAX     (8u << 20) /* an orphan of unknown length may receive so much more */

struct origin {
    struct origin_options options;
    struct resolver *resolver;
    struct fetch_pool *pool;
    struct list fills;
    struct buf request_head, stored_head, key_text, resolved; /* scratch */
};

struct fill {
    struct list node;
    struct origin *origin;
    struct flight *flight; /* NULL after a 304: only the end of the exchange is waited for */
    struct fetch *fetch;
    const struct site *site;
    char *target;
    size_t target_size;
    struct hash128 key_hash;
    bool is_head, is_background;
    uint64_t representation;
    enum content_class content_class;
    enum cause cause;
    int64_t request_time_ms;
    struct policy policy;
    bool is_kept;
    uint64_t booked_bytes;   /* of what was received, so far in the ledger */
    uint64_t orphaned_bytes; /* received since the last reader left */
};

static bool read_playlist(struct origin *o, const struct site *site, struct slice target,
                          struct hash128 key_hash, struct slice body, struct hls_playlist *ret_playlist);

/* ---- set-up ---- */

int origin_new(const struct origin_options *options, struct origin **ret_origin)
{
    static const struct fetch_pool_options pool_options = {
        .connections_max = ORIGIN_CONNECTIONS_MAX,
        .waiting_max = ORIGIN_WAITING_MAX,
        .keep_alive_idle_ms = ORIGIN_IDLE_MS,
        .head_size_max = ORIGIN_HEAD_MAX,
    };
    struct origin *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    o->options = *options;
    list_init(&o->fills);
    buf_init(&o->request_head, ORIGIN_BUFFER_MAX);
    buf_init(&o->stored_head, ORIGIN_BUFFER_MAX);
    buf_init(&o->key_text, KEY_SIZE_MAX);
    buf_init(&o->resolved, KEY_SIZE_MAX);
    int r = resolver_new(options->loop, &o->resolver);
    if (r == 0)
        r = fetch_pool_new(options->loop, o->resolver, &pool_options, &o->pool);
    if (r < 0) {
        origin_free(o);
        return r;
    }
    *ret_origin = o;
    return 0;
}

static void fill_free(struct fill *f)
{
    list_remove(&f->node);
    free(f->target);
    free(f);
}

void origin_free(struct origin *o)
{
    struct fill *f, *next;
    LIST_FOR_EACH_SAFE (f, next, &o->fills, node) {
        fetch_cancel(f->fetch);
        if (f->flight)
            flight_fail(f->flight, "shutting_down", 503);
        fill_free(f);
    }
    if (o->pool)
        fetch_pool_free(o->pool);
    if (o->resolver)
        resolver_free(o->resolver);
    buf_fini(&o->request_head);
    buf_fini(&o->stored_head);
    buf_fini(&o->key_text);
    buf_fini(&o->resolved);
    free(o);
}

const struct fetch_stats *origin_fetch_stats(const struct origin *o)
{
    return fetch_pool_stats(o->pool);
}

/* ---- asking ---- */

static void append_line(struct buf *out, const char *name, struct slice value)
{
    buf_append_text(out, name);
    buf_append(out, ": ", 2);
    buf_append_slice(out, value);
    buf_append(out, "\r\n", 2);
}

static void append_range(const struct flight *flight, const struct origin_request *request, struct buf *out)
{
    bool is_ranged;
    uint64_t first, limit;
    flight_range(flight, &is_ranged, &first, &limit);
    if (!is_ranged)
        return;
    buf_append_text(out, "Range: bytes=");
    buf_append_u64(out, first);
    buf_append_char(out, '-');
    if (limit != FLIGHT_NO_LIMIT)
        buf_append_u64(out, limit - 1);
    buf_append(out, "\r\n", 2);
    if (request->if_range.data)
        append_line(out, "If-Range", request->if_range);
}

static void append_conditions(const struct flight *flight, struct buf *out)
{
    struct reply_stored stored;
    const struct store_object *stale = flight_stale(flight);
    bool is_ranged;
    uint64_t first, limit;
    flight_range(flight, &is_ranged, &first, &limit);
    if (!stale || is_ranged || !reply_parse_stored(stale->head, &stored) || stored.status != 200)
        return;
    struct slice etag = reply_stored_get(stored.fields, "etag");
    struct slice modified = reply_stored_get(stored.fields, "last-modified");
    if (etag.data)
        append_line(out, "If-None-Match", etag);
    if (modified.data)
        append_line(out, "If-Modified-Since", modified);
}

/* Who was asked before, then this edge (RFC 8586 section 2). */
static void append_cdn_loop(struct origin *o, const struct http_head *viewer_head, struct buf *out)
{
    buf_append_text(out, "CDN-Loop: ");
    for (size_t i = 0; i < viewer_head->field_count; i++) {
        const struct http_field *f = &viewer_head->fields[i];
        if (!slice_equal_nocase(f->name, SLICE_LITERAL("cdn-loop")) || f->value.size == 0)
            continue;
        buf_append_slice(out, f->value);
        buf_append_text(out, ", ");
    }
    buf_printf(out, "shorebreak-%s\r\n", o->options.config->edge);
}

static bool write_request(struct origin *o, const struct origin_request *request, struct buf *out)
{
    const struct config_site *site = request->site->config;
    buf_clear(out);
    buf_append_text(out, request->is_head ? "HEAD " : "GET ");
    buf_append_slice(out, site->origin.path_prefix);
    buf_append_slice(out, request->target);
    buf_append_text(out, " HTTP/1.1\r\n");
    append_line(out, "Host", site->origin_host);
    /* Bodies are stored as they come and sent to all, so only the form that all understand is asked for. */
    buf_append_text(out, "Accept: */*\r\nAccept-Encoding: identity\r\n");
    buf_printf(out, "Via: 1.1 %s\r\n", o->options.config->edge);
    append_cdn_loop(o, request->viewer_head, out);
    append_range(request->flight, request, out);
    append_conditions(request->flight, out);
    buf_append(out, "\r\n", 2);
    return !out->failed;
}

/* ---- judging ---- */

static void book(struct fill *f)
{
    uint64_t received = fetch_received_bytes(f->fetch), fresh = received - f->booked_bytes;
    bool is_orphan = flight_is_orphaned(f->flight) && !f->is_background;
    f->booked_bytes = received;
    f->orphaned_bytes = is_orphan ? f->orphaned_bytes + fresh : 0;
    ledger_received(f->origin->options.ledger, f->site->id, f->content_class,
                    is_orphan ? CAUSE_ORPHAN : f->cause, fresh);
}

/* Ends the fill because of us, not of the origin. */
static void fill_cancel(struct fill *f, const char *reason, unsigned status)
{
    fetch_cancel(f->fetch);
    flight_fail(f->flight, reason, status);
    fill_free(f);
}

static void fill_drop(struct fill *f)
{
    if (!flight_drop(f->flight))
        return;
    fetch_cancel(f->fetch);
    fill_free(f);
}

static struct policy_content content_of(struct fill *f, const struct hls_playlist *playlist)
{
    struct catalog_entry entry = {0};
    catalog_find(f->origin->options.catalog, f->key_hash, &entry);
    return (struct policy_content){f->content_class, playlist, entry.target_duration_ms};
}

static void classify(struct fill *f, const struct http_head *head)
{
    struct catalog_entry entry;
    bool is_known = catalog_find(f->origin->options.catalog, f->key_hash, &entry);
    struct slice path = slice_make(f->target, slice_find(slice_make(f->target, f->target_size), '?'));
    f->content_class = catalog_class(is_known ? &entry : NULL, path, http_head_get(head, "content-type"));
}

/* The stored head is of a version that the origin has no more: the next request starts afresh. */
static void forget(struct fill *f)
{
    struct buf *text = &f->origin->key_text;
    buf_clear(text);
    buf_append_text(text, f->site->config->name);
    buf_append(text, f->target, f->target_size);
    struct store_key key = {f->key_hash, buf_slice(text)};
    store_remove(f->origin->options.store, &key);
}

static void on_not_modified(struct fill *f, const struct http_head *head)
{
    const struct store_object *stale = flight_stale(f->flight);
    struct store_meta meta = stale->meta;
    struct hls_playlist playlist;
    struct buf *updated = &f->origin->stored_head;
    bool is_playlist = false, is_changed;
    int64_t now_ms = loop_wall_ms(f->origin->options.loop);
    if (!judge_is_same(head, stale->head)) {
        forget(f);
        fill_cancel(f, ORIGIN_CHANGED, 502);
        return;
    }
    buf_clear(updated);
    if (!reply_update_head(stale->head, head, now_ms, updated, &is_changed)) {
        fill_cancel(f, fetch_result_name(FETCH_HEAD_TOO_LARGE), 502);
        return;
    }
    judge_not_modified(buf_slice(updated), http_head_get(head, "age"), f->request_time_ms, now_ms, &f->policy);
    if (f->content_class == CLASS_PLAYLIST)
        is_playlist = read_playlist(f->origin, f->site, slice_make(f->target, f->target_size), f->key_hash,
                                    slice_make(stale->body, stale->body_size_bytes), &playlist);
    struct policy_content content = content_of(f, is_playlist ? &playlist : NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    if (f->policy.verdict != STORE_OK) /* from now on; asked again, the origin will send it anew */
        meta.fresh_until_ms = meta.generated_at_ms;
    book(f);
    flight_revalidate(f->flight, &meta, is_changed ? buf_slice(updated) : (struct slice){NULL, 0});
    f->flight = NULL; /* the exchange comes to its own end, so that its connection is used again */
}

static void on_head(struct fetch *fetch, const struct http_head *head)
{
    struct fill *f = fetch_user(fetch);
    struct origin *o = f->origin;
    int64_t now_ms = loop_wall_ms(o->options.loop);
    struct judgement j;
    if (head->status == 304 && flight_stale(f->flight)) {
        on_not_modified(f, head);
        return;
    }
    classify(f, head);
    judge_response(head, f->flight, f->is_head, f->request_time_ms, now_ms, &j);
    if (j.failure) {
        fill_cancel(f, j.failure, 502);
        return;
    }
    if (f->representation &&
        f->representation != j.representation) { /* slices of two versions are never mixed */
        forget(f);
        fill_cancel(f, ORIGIN_CHANGED, 502);
        return;
    }
    f->policy = j.policy;
    f->is_kept = j.is_kept;
    buf_clear(&o->stored_head);
    if (!reply_store_head(head, j.stored_status, now_ms, &o->stored_head)) {
        fill_cancel(f, fetch_result_name(FETCH_HEAD_TOO_LARGE), 502);
        return;
    }
    struct store_meta meta = {.site_id = (uint16_t)f->site->id};
    struct policy_content content = content_of(f, NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    struct flight_head flight_head = {
        .status = j.stored_status,
        .stored = buf_slice(&o->stored_head),
        .total_size_bytes = j.total_bytes,
        .representation = j.representation,
        .generated_at_ms = meta.generated_at_ms,
        .is_private = j.is_private,
        .content_class = f->content_class,
    };
    if (flight_set_head(f->flight, &flight_head, j.is_kept, j.first_bytes, j.limit_bytes, &meta) < 0) {
        fill_cancel(f, fetch_result_name(FETCH_NO_MEMORY), 503);
        return;
    }
    book(f);
    if (j.is_private && flight_is_orphaned(f->flight))
        fill_drop(f);
}

/* ---- body ---- */

/* Whether a fill without readers is worth its bytes: it is when little is missing, against what was paid for.
 */
static bool is_worth_finishing(const struct fill *f, uint64_t total, bool is_private)
{
    uint64_t filled = flight_filled_bytes(f->flight);
    uint64_t cheap = 2 * flight_table_slice_bytes(f->origin->options.flights);
    if (is_private || !f->is_kept)
        return false;
    if (total == FLIGHT_SIZE_UNKNOWN)
        return f->orphaned_bytes < ORPHAN_UNSIZED_MAX;
    return total - size_min(total, filled) <= cheap || filled >= total / 2;
}

static void drop_if_worthless(struct fill *f)
{
    struct flight_reader probe = {.flight = f->flight};
    enum flight_state state;
    const struct flight_head *head = flight_head(&probe, &state);
    if (!flight_is_orphaned(f->flight))
        return;
    if (head && is_worth_finishing(f, flight_total_size(&probe), head->is_private))
        return;
    if (!head && state == FLIGHT_WAIT &&
        !f->is_head) /* what it will be is not known yet: decide at the head */
        return;
    fill_drop(f);
}

static void on_body(struct fetch *fetch, const char *data, size_t size)
{
    struct fill *f = fetch_user(fetch);
    book(f);
    int r = flight_write(f->flight, data, size);
    if (r < 0) {
        log_warn("fill of %.*s%.*s failed: %s", SLICE_ARG(slice_of(f->site->config->name)),
                 (int)f->target_size, f->target, strerror(-r));
        fill_cancel(f,
                    r == -ENOBUFS    ? "store_full"
                    : r == -EMSGSIZE ? fetch_result_name(FETCH_BAD_RESPONSE)
                                     : "store_failed",
                    502);
        return;
    }
    if (flight_is_full(f->flight))
        fetch_pause(fetch, true);
    else if (flight_is_orphaned(f->flight))
        drop_if_worthless(f);
}

static void on_room(struct flight *flight, void *user)
{
    struct fill *f = user;
    (void)flight;
    fetch_pause(f->fetch, false);
}

static void on_orphaned(struct flight *flight, void *user)
{
    (void)flight;
    drop_if_worthless(user);
}

/* ---- ends ---- */

struct reading {
    struct origin *origin;
    const struct site *site;
    struct slice base; /* the playlist's own target */
};

static bool resolve_key(void *user, struct slice reference, struct hash128 *ret_hash)
{
    struct reading *reading = user;
    struct origin *o = reading->origin;
    struct uri uri;
    struct uri_authority authority;
    struct slice target;
    buf_clear(&o->resolved);
    if (!uri_resolve(reading->base, reference, &o->resolved) ||
        !uri_parse_target(buf_slice(&o->resolved), &uri))
        return false;
    if (uri.authority.data && (!uri_parse_authority(uri.authority, &authority) ||
                               !site_has_host(o->options.sites, reading->site, authority.host)))
        return false; /* another site's, or not ours at all */
    if (!key_write(slice_of(reading->site->config->name), uri.path, uri.query,
                   &reading->site->key_rules, &o->key_text, &target))
        return false;
    *ret_hash = hash_key(store_hash_secret(o->options.store), buf_slice(&o->key_text));
    return true;
}

static bool read_playlist(struct origin *o, const struct site *site, struct slice target,
                          struct hash128 key_hash, struct slice body, struct hls_playlist *ret_playlist)
{
    struct reading reading = {o, site, target};
    return body.size > 0 &&
           catalog_learn(o->options.catalog, key_hash, body, resolve_key, &reading, ret_playlist);
}

static void finish(struct fill *f)
{
    struct store_meta meta = {.site_id = (uint16_t)f->site->id};
    struct hls_playlist playlist;
    bool is_playlist = f->content_class == CLASS_PLAYLIST && f->policy.status == 200 &&
                       read_playlist(f->origin, f->site, slice_make(f->target, f->target_size), f->key_hash,
                                     flight_body(f->flight), &playlist);
    struct policy_content content = content_of(f, is_playlist ? &playlist : NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    flight_finish(f->flight, &meta);
}

static void on_done(struct fetch *fetch, enum fetch_result result)
{
    struct fill *f = fetch_user(fetch);
    if (f->flight) /* a 304 has been booked and nothing follows it */
        book(f);
    if (f->flight && result == FETCH_OK)
        finish(f);
    else if (f->flight)
        flight_fail(f->flight, fetch_result_name(result), fetch_result_status(result));
    fill_free(f);
}

void origin_fill(struct origin *o, const struct origin_request *request)
{
    static const struct fetch_events events = {on_head, on_body, on_done};
    const struct config_site *site = request->site->config;
    struct fill *f = calloc(1, sizeof(*f));
    char *target = malloc(size_max(request->target.size, 1));
    int r = f && target && write_request(o, request, &o->request_head) ? 0 : -ENOMEM;
    if (r == 0) {
        memcpy(target, request->target.data, request->target.size);
        *f = (struct fill){
            .origin = o,
            .flight = request->flight,
            .site = request->site,
            .target = target,
            .target_size = request->target.size,
            .key_hash = request->key_hash,
            .is_head = request->is_head,
            .is_background = request->is_background,
            .representation = request->representation,
            .content_class = request->content_class,
            .cause = request->cause,
            .request_time_ms = loop_wall_ms(o->options.loop),
        };
        list_push_back(&o->fills, &f->node);
        struct fetch_target to = {site->origin.host, site->origin.port,
                                  site->origin.tls ? o->options.tls : NULL};
        struct fetch_timeouts timeouts = {site->origin_timeouts.connect_ms,
                                          site->origin_timeouts.first_byte_ms, site->origin_timeouts.idle_ms};
        flight_set_filler(request->flight, &(struct flight_filler){on_orphaned, on_room, f});
        r = fetch_start(o->pool, &to, &timeouts, buf_slice(&o->request_head), request->is_head, &events, f,
                        &f->fetch);
        if (r == 0)
            return;
        list_remove(&f->node);
    }
    free(f);
    free(target);
    flight_set_filler(request->flight, &(struct flight_filler){0});
    flight_fail(request->flight, fetch_result_name(FETCH_NO_MEMORY), fetch_result_status(FETCH_NO_MEMORY));
}
