/* SPDX-License-Identifier: Apache-2.0 */
/* See purge_order.h. */
#include "admin/purge_order.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "http/uri.h"
#include "key.h"

#define TEXT_MAX  ((size_t)2 << 20) /* of all orders: more than a document's texts can become */
#define SHOWN_MAX 100               /* of a text, in what is said of it */

struct reading {
    struct purge_orders *out;
    const struct site_table *sites;
    const struct site *site; /* NULL: none is named */
    struct buf key;          /* scratch */
};

static bool __attribute__((format(printf, 4, 5)))
fail(struct reading *r, unsigned status, const char *word, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->out->detail, sizeof(r->out->detail), format, args);
    va_end(args);
    r->out->error = word;
    r->out->status = status;
    return false;
}

static bool add(struct reading *r, enum purge_kind kind, const struct site *site, struct slice text)
{
    struct purge_orders *o = r->out;
    size_t start = o->text.size;
    if (o->count == PURGE_ORDERS_MAX)
        return fail(r, 400, "too_many", "at most %zu purges in one call", PURGE_ORDERS_MAX);
    if (!buf_append_slice(&o->text, text))
        return fail(r, 400, "too_large", "the texts are too long together");
    o->orders[o->count++] = (struct purge_order){.kind = kind,
                                                 .is_soft = o->is_soft,
                                                 .site = slice_of(site->config->name),
                                                 .text = slice_make(o->text.data + start, text.size)};
    return true;
}

/* "https://host/path?query", or "/path?query" of the site that is named. NULL: it is neither. */
static const struct site *parse(struct reading *r, const char *word, struct slice text, struct uri *ret_uri)
{
    struct uri_authority authority;
    struct site_match match = {.site = r->site};
    int size = (int)size_min(text.size, SHOWN_MAX);
    bool is_good = uri_parse_target(text, ret_uri);
    if (is_good && ret_uri->authority.data)
        is_good = uri_parse_authority(ret_uri->authority, &authority);
    else if (is_good)
        is_good = ret_uri->path.size > 0 && ret_uri->path.data[0] == '/';
    if (!is_good)
        fail(r, 400, word, "\"%.*s\" is neither https://host/path nor /path", size, text.data);
    else if (ret_uri->authority.data && !site_find(r->sites, authority.host, &match))
        fail(r, 404, "unknown_host", "no site has the host of \"%.*s\"", size, text.data);
    else if (!match.site)
        fail(r, 400, "site_missing", "\"%.*s\" has no host, and no site is named", size, text.data);
    else if (r->site && match.site != r->site)
        fail(r, 400, "other_site", "the host of \"%.*s\" belongs to the site %s, not to %s", size, text.data,
             match.site->config->name, r->site->config->name);
    return r->out->error ? NULL : match.site;
}

static bool add_url(struct reading *r, struct slice text)
{
    struct uri uri;
    struct slice target;
    const struct site *site = parse(r, "bad_url", text, &uri);
    if (!site)
        return false;
    if (!key_write(slice_of(site->config->name), uri.path, uri.query, &site->key_rules, &r->key, &target))
        return fail(r, 400, "bad_url", "\"%.*s\" makes no key", (int)size_min(text.size, SHOWN_MAX),
                    text.data);
    return add(r, PURGE_URL, site, buf_slice(&r->key));
}

static bool add_prefix(struct reading *r, struct slice text)
{
    struct uri uri;
    const struct site *site = parse(r, "bad_prefix", text, &uri);
    if (!site)
        return false;
    if (uri.query.data)
        return fail(r, 400, "bad_prefix",
                    "a prefix has no query; what begins with its path is purged with any");
    buf_clear(&r->key);
    buf_append_text(&r->key, site->config->name);
    if (!uri_append_normalized_path(&r->key, uri.path) || r->key.failed)
        return fail(r, 400, "bad_prefix", "\"%.*s\" is no path", (int)size_min(text.size, SHOWN_MAX),
                    text.data);
    if (r->key.size > PURGE_TEXT_MAX)
        return fail(r, 400, "prefix_too_long", "a prefix has at most %zu bytes with its site's name",
                    PURGE_TEXT_MAX);
    return add(r, PURGE_PREFIX, site, buf_slice(&r->key));
}

static bool add_tag(struct reading *r, struct slice text)
{
    if (!r->site)
        return fail(r, 400, "site_missing", "a tag belongs to a site: name it");
    if (text.size > PURGE_TEXT_MAX)
        return fail(r, 400, "tag_too_long", "a tag has at most %zu bytes", PURGE_TEXT_MAX);
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return fail(r, 400, "bad_tag", "a tag has no control characters");
    if (text.size == 0)
        return fail(r, 400, "bad_tag", "a tag is not empty");
    return add(r, PURGE_TAG, r->site, text);
}

/* One text, or a list of them. */
static bool each_text(struct reading *r, const char *name, json_t *value,
                      bool (*add_one)(struct reading *r, struct slice text))
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (count == 0)
        return fail(r, 400, "bad_value", "\"%s\" is an empty list", name);
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(one))
            return fail(r, 400, "bad_value", "\"%s\" is a text, or a list of texts", name);
        if (!add_one(r, slice_make(json_string_value(one), json_string_length(one))))
            return false;
    }
    return true;
}

static bool read_site_and_mode(struct reading *r, json_t *root)
{
    json_t *site = json_object_get(root, "site"), *soft = json_object_get(root, "soft");
    if (soft && !json_is_boolean(soft))
        return fail(r, 400, "bad_value", "\"soft\" is true or false");
    r->out->is_soft = json_is_true(soft);
    if (!site)
        return true;
    if (!json_is_string(site))
        return fail(r, 400, "bad_value", "\"site\" is a site's name");
    r->site = site_named(r->sites, slice_make(json_string_value(site), json_string_length(site)));
    return r->site || fail(r, 404, "unknown_site", "there is no site of this name");
}

static bool read_root(struct reading *r, json_t *root)
{
    const char *name;
    json_t *value;
    if (!json_is_object(root))
        return fail(r, 400, "bad_json", "the document is no object");
    if (!read_site_and_mode(r, root))
        return false;
    json_object_foreach(root, name, value)
    {
        bool is_good = true;
        if (strcmp(name, "url") == 0)
            is_good = each_text(r, name, value, add_url);
        else if (strcmp(name, "prefix") == 0)
            is_good = each_text(r, name, value, add_prefix);
        else if (strcmp(name, "tag") == 0)
            is_good = each_text(r, name, value, add_tag);
        else if (strcmp(name, "site") != 0 && strcmp(name, "soft") != 0)
            is_good =
                fail(r, 400, "unknown_field",
                     "there is no field \"%.100s\", expected one of url, prefix, tag, site, soft", name);
        if (!is_good)
            return false;
    }
    if (r->out->count > 0)
        return true;
    return r->site ? add(r, PURGE_SITE, r->site, SLICE_EMPTY)
                   : fail(r, 400, "nothing_to_purge", "expected url, prefix, tag, or a site");
}

bool purge_orders_read(const struct site_table *sites, struct slice document, struct purge_orders *ret)
{
    struct reading r = {.out = ret, .sites = sites};
    json_error_t error;
    bool is_good = false;
    ret->count = 0;
    ret->is_soft = false;
    ret->error = NULL;
    buf_init(&ret->text, TEXT_MAX);
    buf_init(&r.key, KEY_SIZE_MAX);
    if (!buf_reserve(&ret->text, TEXT_MAX - 1)) /* what stands in it shall not move */
        return fail(&r, 503, "out_of_memory", "there is no memory");
    json_t *root = json_loadb(document.data, document.size, JSON_REJECT_DUPLICATES, &error);
    if (root)
        is_good = read_root(&r, root);
    else
        fail(&r, 400, "bad_json", "line %d: %.150s", error.line, error.text);
    json_decref(root);
    buf_fini(&r.key);
    return is_good;
}

void purge_orders_fini(struct purge_orders *o)
{
    buf_fini(&o->text);
}
