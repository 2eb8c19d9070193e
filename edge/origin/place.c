/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a response belongs: the keys of variants, of what a playlist lists, of what a method has changed.
 */
#include "cache/purge_tags.h"
#include "hint.h"
#include "http/uri.h"
#include "key.h"
#include "origin/origin_private.h"

#define GROUPS_MAX 64 /* of a Cache-Group-Invalidation; RFC 9875 asks for 32 */

/* Reading references in what belongs to a URL of a site. */
struct reading {
    struct origin *origin;
    const struct site *site;
    struct slice base; /* that URL's target */
};

struct store_key place_base_key(struct fill *f)
{
    struct buf *text = &f->origin->key_text;
    buf_clear(text);
    buf_append_text(text, f->site->config->name);
    buf_append_slice(text, f->target);
    return (struct store_key){f->key_hash, buf_slice(text)};
}

/* ---- references ---- */

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

bool place_read_playlist(struct fill *f, struct slice body, struct hls_playlist *ret_playlist)
{
    struct reading reading = {f->origin, f->site, f->target};
    struct store_hint hint;
    if (body.size == 0)
        return false;
    hint_of_text(place_base_key(f).text, &hint);
    struct catalog_source source = {f->key_hash, body, hint.title, hint.rendition};
    return catalog_learn(f->origin->options.catalog, &source, resolve_key, &reading, ret_playlist);
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
    enum purge_effect unused;
    struct purge_subject subject = {key->text, SLICE_EMPTY, flight_purge_generation(f->flight)};
    if (purge_lookup(f->origin->options.purges, store, key, meta.generated_at_ms, &o, &unused)) {
        bool is_same = o.meta.flags & FLIGHT_META_VARIES &&
                       key_marker_read(slice_make(o.body, o.body_size_bytes), ret_epoch, &old_names) &&
                       slice_equal(old_names, names);
        store_release(&o);
        if (is_same)
            return true;
    }
    purge_settle(f->origin->options.purges, &subject, &meta);
    hash_secret_new(random);
    memcpy(ret_epoch, random, sizeof(*ret_epoch));
    struct store_reservation want = {.head_size_max = key->text.size,
                                     .hint = {.kind = STORE_SMALL},
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
bool place_variant(struct fill *f, enum key_vary vary)
{
    static const struct http_field none[1];
    struct origin *o = f->origin;
    struct store_key key = place_base_key(f), current = flight_key(f->flight);
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
    struct reading reading = {f->origin, f->site, f->target};
    struct store_key key;
    if (!reference.data || !resolve_key(&reading, reference, &key.hash))
        return;
    key.text = buf_slice(&f->origin->key_text);
    flight_doom(f->origin->options.flights, key.text);
    store_remove(f->origin->options.store, &key);
}

/* The strings of a list, at most GROUPS_MAX, as tags to be purged; more than these stand for the whole site.
 * False: it is no such list, and says nothing (RFC 9651 section 4.2). */
static bool purge_groups(struct fill *f, struct slice list, bool is_trial)
{
    char scratch[PURGE_TAG_MAX];
    struct purge_done done;
    struct purge_order order = {.kind = PURGE_TAG, .site = slice_of(f->site->config->name)};
    enum purge_group found = PURGE_GROUP;
    for (size_t count = 0; order.kind == PURGE_TAG; count++) {
        found = purge_tags_group(&list, scratch, &order.text);
        if (found != PURGE_GROUP)
            break;
        if (count == GROUPS_MAX)
            order.kind = PURGE_SITE;
        if (!is_trial)
            purge_add(f->origin->options.purges, &order, 1, loop_wall_ms(f->origin->options.loop), &done);
    }
    return found != PURGE_GROUP_BAD;
}

/* RFC 9875 section 3: groups that the response to an unsafe method names. */
static void invalidate_groups(struct fill *f, const struct http_head *head)
{
    if (f->is_safe || !f->origin->options.purges)
        return;
    for (size_t i = 0; i < head->field_count; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cache-group-invalidation")) &&
            purge_groups(f, head->fields[i].value, true))
            purge_groups(f, head->fields[i].value, false);
}

/* RFC 9111 section 4.4: what was asked to change, and what the response names of the same site. */
void place_invalidate(struct fill *f, const struct http_head *head)
{
    struct store_key key = place_base_key(f);
    if (head->status < 200 || head->status >= 400)
        return;
    flight_doom(f->origin->options.flights, key.text);
    store_remove(f->origin->options.store, &key);
    invalidate_named(f, http_head_get(head, "location"));
    invalidate_named(f, http_head_get(head, "content-location"));
    invalidate_groups(f, head);
}
