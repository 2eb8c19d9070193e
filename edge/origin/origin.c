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
#include "http/digest.h"
#include "http/uri.h"
#include "key.h"
#include "key_vary.h"
#include "origin/ask.h"
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
    struct buf request_head, stored_head, key_text, resolved, vary_names; /* scratch */
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
    struct ask_fields *viewer_fields; /* that the origin was told; NULL: none */
    bool is_background;
    struct judge_request asked;
    uint64_t representation, total_bytes;
    enum content_class content_class;
    enum cause cause;
    struct policy policy;
    bool is_kept;
    struct digest *digest;         /* of what was received; NULL: there is nothing to compare it with */
    uint8_t expected[DIGEST_SIZE]; /* what it must be */
    char held;                     /* then: the last byte, which readers get when it is */
    bool is_holding;
    uint64_t booked_bytes;   /* of what was received, so far in the ledger */
    uint64_t orphaned_bytes; /* received since the last reader left */
};

/* Reading references in what belongs to a URL of a site. */
struct reading {
    struct origin *origin;
    const struct site *site;
    struct slice base; /* that URL's target */
};
static bool resolve_key(void *user, struct slice reference, struct hash128 *ret_hash);
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
    buf_init(&o->request_head, ORIGIN_BUFFER_MAX + options->config->limits.request_body_max_bytes);
    buf_init(&o->stored_head, ORIGIN_BUFFER_MAX);
    buf_init(&o->key_text, KEY_SIZE_MAX);
    buf_init(&o->resolved, KEY_SIZE_MAX);
    buf_init(&o->vary_names, 2 * KEY_VARY_NAMES_MAX);
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
    free(f->viewer_fields);
    digest_free(f->digest);
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
    buf_fini(&o->vary_names);
    free(o);
}

const struct fetch_stats *origin_fetch_stats(const struct origin *o)
{
    return fetch_pool_stats(o->pool);
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

/* The URL's own key, in the origin's scratch: the flight's may be a variant's. */
static struct store_key base_key(struct fill *f)
{
    struct buf *text = &f->origin->key_text;
    buf_clear(text);
    buf_append_text(text, f->site->config->name);
    buf_append(text, f->target, f->target_size);
    return (struct store_key){f->key_hash, buf_slice(text)};
}

/* The stored head is of a version that the origin has no more: the next request starts afresh. */
static void forget(struct fill *f)
{
    struct store_key key = flight_key(f->flight);
    store_remove(f->origin->options.store, &key);
}

/* ---- variants ---- */

/* The marker under the URL's own key, as it stands or, when the response varies by other fields than before
 * or for the first time, a new one: whose epoch hides the variants of the old. */
static bool place_marker(struct fill *f, const struct store_key *key, struct slice names, uint64_t *ret_epoch)
{
    struct store *store = f->origin->options.store;
    struct store_object o;
    struct store_writer *writer;
    struct store_meta meta = {.site_id = (uint16_t)f->site->id, .flags = FLIGHT_META_VARIES};
    struct slice old_names;
    uint8_t random[HASH_SECRET_SIZE];
    if (store_lookup(store, key, &o)) {
        bool is_same = o.meta.flags & FLIGHT_META_VARIES &&
                       key_marker_read(slice_make(o.body, o.body_size_bytes), ret_epoch, &old_names) &&
                       slice_equal(old_names, names);
        store_release(&o);
        if (is_same)
            return true;
    }
    hash_secret_new(random);
    memcpy(ret_epoch, random, sizeof(*ret_epoch));
    struct store_reservation want = {.head_size_max = key->text.size,
                                     .body_size_bytes = sizeof(*ret_epoch) + names.size,
                                     .hash = key->hash};
    if (!key_marker_write(*ret_epoch, names, &f->origin->resolved) ||
        store_reserve(store, &want, &writer) < 0)
        return false;
    if (!store_writer_is_kept(writer) ||
        store_write(writer, f->origin->resolved.data, f->origin->resolved.size) < 0) {
        store_abandon(writer);
        return false;
    }
    return store_seal(writer, key, SLICE_EMPTY, &meta) == 0;
}

/* Sees to it that the flight has the key that its response belongs under. False: it may not be shared after
 * all. */
static bool place_variant(struct fill *f, enum key_vary vary)
{
    static const struct http_field none[1];
    struct origin *o = f->origin;
    struct store_key key = base_key(f), current = flight_key(f->flight);
    uint64_t epoch;
    if (vary == KEY_VARY_FIELDS) {
        if (!place_marker(f, &key, buf_slice(&o->vary_names), &epoch) ||
            !key_variant_write(epoch, buf_slice(&o->vary_names),
                               f->viewer_fields ? f->viewer_fields->fields : none,
                               f->viewer_fields ? f->viewer_fields->count : 0, f->site->config, &o->key_text))
            return false;
        key.text = buf_slice(&o->key_text);
        key.hash = hash_key(store_hash_secret(o->options.store), key.text);
    }
    return slice_equal(key.text, current.text) || flight_move(f->flight, &key);
}

/* ---- methods that change something ---- */

static void invalidate_named(struct fill *f, struct slice reference)
{
    struct reading reading = {f->origin, f->site, slice_make(f->target, f->target_size)};
    struct store_key key;
    if (!reference.data || !resolve_key(&reading, reference, &key.hash))
        return;
    key.text = buf_slice(&f->origin->key_text);
    flight_doom(f->origin->options.flights, key.text);
    store_remove(f->origin->options.store, &key);
}

/* RFC 9111 section 4.4: what was asked to change, and what the response names of the same site. */
static void invalidate(struct fill *f, const struct http_head *head)
{
    struct store_key key = base_key(f);
    if (head->status < 200 || head->status >= 400)
        return;
    flight_doom(f->origin->options.flights, key.text);
    store_remove(f->origin->options.store, &key);
    invalidate_named(f, http_head_get(head, "location"));
    invalidate_named(f, http_head_get(head, "content-location"));
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
    if (!reply_update_head(stale->head, head, f->site->config, now_ms, updated, &is_changed)) {
        fill_cancel(f, fetch_result_name(FETCH_HEAD_TOO_LARGE), 502);
        return;
    }
    judge_not_modified(buf_slice(updated), http_head_get(head, "age"), &f->asked, now_ms, &f->policy);
    if (f->content_class == CLASS_PLAYLIST)
        is_playlist = read_playlist(f->origin, f->site, slice_make(f->target, f->target_size), f->key_hash,
                                    slice_make(stale->body, stale->body_size_bytes), &playlist);
    struct policy_content content = content_of(f, is_playlist ? &playlist : NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    if (f->policy.verdict != STORE_OK) /* from now on; asked again, the origin will send it anew */
        meta.fresh_until_ms = meta.generated_at_ms;
    f->cause = CAUSE_REVALIDATED;
    book(f);
    flight_revalidate(f->flight, &meta, is_changed ? buf_slice(updated) : (struct slice){NULL, 0});
    f->flight = NULL; /* the exchange comes to its own end, so that its connection is used again */
}

/* Whether these are slices of the version that was begun: those of two are never mixed. If not the fill is
 * over, and the version forgotten unless the origin only had no answer (it is busy, or does not know us). */
static bool continues(struct fill *f, unsigned status, const struct judgement *j)
{
    bool is_answer = status < 400 || status == 404 || status == 410 || status == 416;
    bool is_same_size = f->total_bytes == FLIGHT_SIZE_UNKNOWN || j->total_bytes == FLIGHT_SIZE_UNKNOWN ||
                        f->total_bytes == j->total_bytes;
    if (j->stored_status == 200 && f->representation == j->representation && is_same_size)
        return true;
    if (is_answer)
        forget(f);
    fill_cancel(f, is_answer ? ORIGIN_CHANGED : "origin_error_response", 502);
    return false;
}

/* What the body must be (RFC 9530), where all of it comes: of a part of it nothing can be said. */
static void expect_digest(struct fill *f, const struct http_head *head)
{
    if (head->status != 200 || f->asked.is_head)
        return;
    for (size_t i = 0; i < head->field_count && !f->digest; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("repr-digest")) &&
            http_digest_sha256(head->fields[i].value, f->expected))
            f->digest = digest_new();
}

static void on_informational(struct fetch *fetch, const struct http_head *head)
{
    struct fill *f = fetch_user(fetch);
    struct buf *fields = &f->origin->stored_head;
    buf_clear(fields);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!http_head_is_hop_by_hop(head, field->name))
            buf_printf(fields, "%.*s: %.*s\r\n", SLICE_ARG(field->name), SLICE_ARG(field->value));
    }
    if (!fields->failed)
        flight_inform(f->flight, head->status, buf_slice(fields));
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
    if (f->asked.is_passed)
        invalidate(f, head);
    enum key_vary vary = key_vary_of(head, f->site->config, &o->vary_names);
    judge_response(head, f->flight, &f->asked, vary, now_ms, &j);
    if (j.failure) {
        fill_cancel(f, j.failure, 502);
        return;
    }
    if (f->representation && !continues(f, head->status, &j))
        return;
    if (j.is_kept && !place_variant(f, vary)) {
        j.is_private = true;
        j.is_kept = false;
    }
    f->policy = j.policy;
    f->is_kept = j.is_kept;
    buf_clear(&o->stored_head);
    if (!reply_store_head(head, j.stored_status, f->site->config, now_ms, &o->stored_head)) {
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
        .is_named = j.is_named,
        .generated_at_ms = meta.generated_at_ms,
        .is_private = j.is_private,
        .is_kept = j.is_kept,
        .content_class = f->content_class,
    };
    if (flight_set_head(f->flight, &flight_head, j.is_kept, j.first_bytes, j.limit_bytes, &meta) < 0) {
        fill_cancel(f, fetch_result_name(FETCH_NO_MEMORY), 503);
        return;
    }
    expect_digest(f, head);
    book(f);
    if (j.is_private && flight_is_orphaned(f->flight))
        fill_drop(f);
}

/* ---- body ---- */

/* Whether a fill without readers is worth its bytes: it is when little is missing, against what was paid for.
 */
static bool is_worth_finishing(const struct fill *f, bool is_private)
{
    uint64_t filled = flight_filled_bytes(f->flight), extent = flight_extent_bytes(f->flight);
    uint64_t cheap = 2 * flight_table_slice_bytes(f->origin->options.flights);
    if (is_private || !f->is_kept)
        return false;
    if (extent == FLIGHT_SIZE_UNKNOWN)
        return f->orphaned_bytes < ORPHAN_UNSIZED_MAX;
    return extent - filled <= cheap || filled >= extent / 2;
}

static void drop_if_worthless(struct fill *f)
{
    struct flight_reader probe = {.flight = f->flight, .moves = flight_moves(f->flight)};
    enum flight_state state;
    const struct flight_head *head = flight_head(&probe, &state);
    if (!flight_is_orphaned(f->flight))
        return;
    if (head && is_worth_finishing(f, head->is_private))
        return;
    if (!head && state == FLIGHT_WAIT &&
        !f->asked.is_head) /* what it will be is not known yet: decide at the head */
        return;
    fill_drop(f);
}

/* With a digest to come, the last byte so far stays here: nobody has all before all is known to be right. */
static int write_body(struct fill *f, const char *data, size_t size)
{
    int r = 0;
    if (!f->digest || size == 0)
        return flight_write(f->flight, data, size);
    digest_add(f->digest, data, size);
    if (f->is_holding)
        r = flight_write(f->flight, &f->held, 1);
    if (r == 0 && size > 1)
        r = flight_write(f->flight, data, size - 1);
    f->held = data[size - 1];
    f->is_holding = true;
    return r;
}

/* True: it is what it must be, and all given out. */
static bool release_held(struct fill *f)
{
    uint8_t value[DIGEST_SIZE];
    if (!f->digest)
        return true;
    digest_value(f->digest, value);
    if (memcmp(value, f->expected, sizeof(value)) == 0)
        return !f->is_holding || flight_write(f->flight, &f->held, 1) == 0;
    counter_add(&ledger_flights(f->origin->options.ledger)->corrupt, 1);
    log_warn("%.*s%.*s is not what its digest says", SLICE_ARG(slice_of(f->site->config->name)),
             (int)f->target_size, f->target);
    flight_forget(f->flight);
    return false;
}

static void on_body(struct fetch *fetch, const char *data, size_t size)
{
    struct fill *f = fetch_user(fetch);
    book(f);
    int r = write_body(f, data, size);
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
    fetch_limit_next_read(fetch, flight_write_size_hint(f->flight));
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
    if (!key_write(slice_of(reading->site->config->name), uri.path, uri.query, &reading->site->key_rules,
                   &o->key_text, &target))
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
    bool is_good = f->policy.status == 200 || f->policy.status == 206; /* some players ask for bytes=0- */
    bool is_playlist = f->content_class == CLASS_PLAYLIST && is_good &&
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
    if (f->flight && result == FETCH_OK && release_held(f))
        finish(f);
    else if (f->flight && result == FETCH_OK)
        flight_fail(f->flight, "origin_digest_mismatch", 502);
    else if (f->flight)
        flight_fail(f->flight, fetch_result_name(result), fetch_result_status(result));
    fill_free(f);
}

static bool has_field_told(const struct ask_fields *told, const char *name)
{
    for (size_t i = 0; told && i < told->count; i++)
        if (slice_equal_nocase(told->fields[i].name, slice_of(name)))
            return true;
    return false;
}

/* NULL when memory is out. */
static struct fill *fill_new(struct origin *o, const struct origin_request *request)
{
    struct fill *f = calloc(1, sizeof(*f));
    char *target = malloc(size_max(request->target.size, 1));
    bool ok = false;
    struct ask_fields *told = ask_fields_copy(request, &ok);
    if (!f || !target || !ok) {
        free(f);
        free(target);
        free(told);
        return NULL;
    }
    memcpy(target, request->target.data, request->target.size);
    *f = (struct fill){
        .origin = o,
        .flight = request->flight,
        .site = request->site,
        .target = target,
        .target_size = request->target.size,
        .key_hash = request->key_hash,
        .viewer_fields = told,
        .asked = {.is_head = request->is_head,
                  .is_passed = request->is_passed,
                  .has_authorization = has_field_told(told, "authorization"),
                  .is_no_store = request->is_no_store,
                  .may_store_set_cookie = request->site->config->store_set_cookie,
                  .time_ms = loop_wall_ms(o->options.loop)},
        .is_background = request->is_background,
        .representation = request->representation,
        .total_bytes = request->total_bytes,
        .content_class = request->content_class,
        .cause = request->cause,
    };
    list_push_back(&o->fills, &f->node);
    return f;
}

void origin_fill(struct origin *o, const struct origin_request *request)
{
    static const struct fetch_events events = {on_informational, on_head, on_body, on_done};
    const struct config_site *site = request->site->config;
    struct fill *f =
        ask_write(o->options.config->edge, request, &o->request_head) ? fill_new(o, request) : NULL;
    if (f) {
        struct fetch_target to = {.host = site->origins[0].url.host,
                                  .port = site->origins[0].url.port,
                                  .tls = site->origins[0].url.tls ? o->options.tls : NULL};
        struct fetch_timeouts timeouts = {site->origin_timeouts.connect_ms,
                                          site->origin_timeouts.first_byte_ms, site->origin_timeouts.idle_ms,
                                          site->origin_timeouts.queue_ms};
        flight_set_filler(request->flight, &(struct flight_filler){on_orphaned, on_room, f});
        if (fetch_start(o->pool, &to, &timeouts, buf_slice(&o->request_head), request->is_head, &events, f,
                        &f->fetch) == 0)
            return;
        fill_free(f);
    }
    flight_set_filler(request->flight, &(struct flight_filler){0});
    flight_fail(request->flight, fetch_result_name(FETCH_NO_MEMORY), fetch_result_status(FETCH_NO_MEMORY));
}

void origin_stored_policy(struct slice stored_head, int64_t now_ms, struct policy *ret_policy)
{
    struct judge_request request = {.time_ms = now_ms};
    judge_not_modified(stored_head, (struct slice){NULL, 0}, &request, now_ms, ret_policy);
}
