/* SPDX-License-Identifier: Apache-2.0 */
/* See explain.h. The steps are those of a request: site, key, marker and variant, object. */
#include "admin/explain.h"

#include <time.h>

#include "base/json.h"
#include "cache/flight.h"
#include "cache/policy.h"
#include "http/uri.h"
#include "key.h"
#include "key_vary.h"
#include "origin/origin.h"
#include "reply.h"

struct explaining {
    const struct explain_source *source;
    struct site_match match;
    struct buf key_text;
    struct store_key key;
    struct hash128 base_hash;
    struct catalog_entry entry;
    bool is_known; /* to the catalog */
    struct store_object object;
    enum purge_effect purged; /* HARD: there is no object any more */
    struct purge_match purge; /* then, and with SOFT */
    struct buf matched;       /* what of the object it matched */
    int64_t now_ms;
};

static void rekey(struct explaining *e)
{
    e->key.text = buf_slice(&e->key_text);
    e->key.hash = hash_key(store_hash_secret(e->source->store), e->key.text);
}

static void write_names(struct json *j, struct slice names)
{
    struct slice name;
    names = slice_skip(names, 1); /* the first comma */
    json_open(j, "varies_by", '[');
    while (slice_split(&names, ',', &name))
        json_text(j, NULL, name);
    json_close(j, ']');
}

/* Looks without removing what is purged. */
static bool look_up(struct explaining *e)
{
    if (!store_lookup(e->source->store, &e->key, &e->object))
        return false;
    struct store_meta *meta = &e->object.meta;
    struct purge_subject subject = {e->object.key_text, e->object.head, meta->purge_generation};
    e->purged = purge_judge(e->source->purges, &subject, &e->purge);
    buf_clear(&e->matched);
    if (e->purged != PURGE_NONE)
        buf_append_slice(&e->matched, e->purge.text); /* it may go with the object */
    if (e->purged == PURGE_HARD)
        store_release(&e->object);
    else if (e->purged == PURGE_SOFT && meta->fresh_until_ms > e->purge.at_ms)
        meta->fresh_until_ms = e->purge.at_ms < e->now_ms ? e->purge.at_ms : e->now_ms;
    return e->purged != PURGE_HARD;
}

/* Finds the object, through the marker if there is one. */
static bool find(struct explaining *e, const struct http_head *request, struct json *j)
{
    uint64_t epoch;
    struct slice names;
    const struct config_site *site = e->match.site->config;
    if (!look_up(e))
        return false;
    if (!(e->object.meta.flags & FLIGHT_META_VARIES))
        return true;
    bool ok = key_marker_read(slice_make(e->object.body, e->object.body_size_bytes), &epoch, &names);
    if (ok) {
        write_names(j, names);
        ok = key_variant_write(epoch, names, request->fields, request->field_count, site, &e->key_text);
    }
    store_release(&e->object);
    rekey(e);
    return ok && look_up(e);
}

static void write_rule(const struct explaining *e, struct json *j)
{
    struct hls_playlist playlist;
    struct hls_error error;
    struct policy policy;
    struct policy_content content = {.content_class = (enum content_class)e->object.meta.content_class};
    struct slice body = slice_make(e->object.body, e->object.body_size_bytes);
    if (content.content_class == CLASS_PLAYLIST && e->object.body &&
        hls_playlist_parse(body, NULL, NULL, &playlist, &error))
        content.playlist = &playlist;
    origin_stored_policy(e->object.head, e->now_ms, &policy);
    json_text(j, "rule", slice_of(policy_rule(&policy, &content)));
}

static void write_object(const struct explaining *e, struct json *j)
{
    const struct store_meta *meta = &e->object.meta;
    struct reply_stored stored;
    int64_t fresh_ms = meta->fresh_until_ms - e->now_ms;
    json_open(j, "object", '{');
    if (reply_parse_stored(e->object.head, &stored))
        json_u64(j, "status", stored.status);
    json_u64(j, "size_bytes", meta->total_size_bytes);
    json_bool(j, "in_slices", meta->flags & FLIGHT_META_SLICED);
    json_double(j, "age_s", (double)(e->now_ms - meta->generated_at_ms) / 1000);
    json_double(j, "fresh_for_s", (double)fresh_ms / 1000);
    write_rule(e, j);
    json_u64(j, "stale_while_revalidate_s", meta->stale_while_revalidate_s);
    json_u64(j, "stale_if_error_s", meta->stale_if_error_s);
    json_close(j, '}');
}

/* The purge that applies to what is kept, or, where nothing is, the one that a request for it would have met
 * last: of its URL, a prefix, or its site. */
static void write_purge(struct explaining *e, bool is_found, struct json *j)
{
    struct purge_subject subject = {e->key.text, SLICE_EMPTY, 0};
    enum purge_effect effect = e->purged;
    char text[40];
    if (effect == PURGE_NONE && !is_found) {
        effect = purge_judge(e->source->purges, &subject, &e->purge);
        buf_clear(&e->matched);
        if (effect != PURGE_NONE)
            buf_append_slice(&e->matched, e->purge.text);
    }
    if (effect == PURGE_NONE)
        return;
    time_t at_s = (time_t)(e->purge.at_ms / 1000);
    struct tm tm;
    gmtime_r(&at_s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_open(j, "purge", '{');
    json_u64(j, "id", e->purge.generation);
    json_text(j, "kind", slice_of(purge_kind_name(e->purge.kind)));
    json_text(j, "mode", slice_of(effect == PURGE_HARD ? "hard" : "soft"));
    if (e->matched.size > 0)
        json_text(j, "match", buf_slice(&e->matched));
    if (e->purge.at_ms)
        json_text(j, "since", slice_of(text));
    json_bool(j, "applies", e->purged != PURGE_NONE);
    json_close(j, '}');
}

/* What the next request gets, and why that is no hit. */
static void write_next(const struct explaining *e, bool is_found, struct json *j)
{
    const struct store_meta *meta = &e->object.meta;
    int64_t fresh_ms = meta->fresh_until_ms - e->now_ms;
    const char *next, *why = NULL;
    if (e->purged == PURGE_HARD) {
        next = "miss";
        why = "what is kept was purged";
    } else if (!is_found) {
        next = "miss";
        why = "nothing is kept under this key: it was not asked for, may not be kept, or its space was "
              "reclaimed";
    } else if (fresh_ms > 0) {
        next = "hit";
    } else {
        bool is_served = -fresh_ms < (int64_t)meta->stale_while_revalidate_s * 1000;
        next = is_served ? "stale" : "revalidation";
        why = e->purged ? "what is kept was soft purged" : "what is kept is no longer fresh";
    }
    json_text(j, "next", slice_of(next));
    if (why)
        json_text(j, "why", slice_of(why));
}

static bool write_site(struct explaining *e, const struct uri *uri, const struct http_head *request,
                       struct json *j)
{
    struct slice target;
    const struct site *site = e->match.site;
    json_text(j, "site", slice_of(site->config->name));
    if (!key_write(slice_of(site->config->name), uri->path, uri->query, &site->key_rules, &e->key_text,
                   &target))
        return false;
    json_text(j, "origin_target", target);
    rekey(e);
    e->base_hash = e->key.hash;
    e->is_known = catalog_find(e->source->catalog, e->base_hash, &e->entry);
    bool is_found = find(e, request, j);
    json_text(j, "key", e->key.text);
    enum content_class by_name =
        catalog_class(e->is_known ? &e->entry : NULL, uri->path, (struct slice){NULL, 0});
    json_text(
        j, "class",
        slice_of(content_class_name(is_found ? (enum content_class)e->object.meta.content_class : by_name)));
    json_bool(j, "listed_in_a_playlist", e->is_known);
    if (is_found)
        write_object(e, j);
    write_purge(e, is_found, j);
    write_next(e, is_found, j);
    return true;
}

bool explain_write(const struct explain_source *source, struct slice url, const struct http_head *request,
                   int64_t now_ms, struct buf *out)
{
    struct explaining e = {.source = source, .now_ms = now_ms};
    struct uri uri;
    struct uri_authority authority;
    struct json j;
    bool ok = true;
    if (!uri_parse_target(url, &uri) || !uri.authority.data ||
        !uri_parse_authority(uri.authority, &authority))
        return false;
    buf_init(&e.key_text, KEY_SIZE_MAX);
    buf_init(&e.matched, KEY_SIZE_MAX);
    json_init(&j, out);
    json_open(&j, NULL, '{');
    json_text(&j, "url", url);
    if (site_find(source->sites, authority.host, &e.match))
        ok = write_site(&e, &uri, request, &j);
    else
        json_text(&j, "error", SLICE_LITERAL("no_such_site"));
    json_close(&j, '}');
    buf_append_char(out, '\n');
    store_release(&e.object);
    buf_fini(&e.key_text);
    buf_fini(&e.matched);
    return ok && !out->failed;
}
