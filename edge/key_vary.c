/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values are normalised as far as it never makes two meanings one: lines of a field are one list, white space
 * around commas goes (not where there are quotes); languages are put in lower case and in order, since
 * without weights their order means nothing and with weights it means nothing either.
 */
#include "key_vary.h"

#include "base/check.h"

#define NAMES_MAX   16 /* fields that Vary may name */
#define MEMBERS_MAX 16 /* of a list of languages that is put in order */

/* ---- what the origin is told ---- */

/* What the edge says itself, of every request. */
static bool is_own(struct slice name)
{
    static const char *const names[] = {
        "host",           "content-length",    "accept-encoding",     "range",  "if-range", "if-match",
        "if-none-match",  "if-modified-since", "if-unmodified-since", "expect", "cdn-loop", "via",
        "http2-settings", "early-data",
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

/* What tells of one viewer, or may make an origin answer another question than the key's: such a field goes
 * through only when it is named. */
static bool is_delicate(struct slice name)
{
    static const char *const names[] = {
        "cookie",
        "origin",
        "forwarded",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
        "x-original-host",
        "x-host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "true-client-ip",
    };
    static const struct slice prefixes[] = {
        {"x-forwarded-", sizeof("x-forwarded-") - 1},
        {"access-control-", sizeof("access-control-") - 1},
        {"proxy-", sizeof("proxy-") - 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    if (slice_find(name, '_') < name.size) /* many a server takes it for '-': Content_Length */
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++)
        if (name.size >= prefixes[i].size &&
            slice_equal_nocase(slice_make(name.data, prefixes[i].size), prefixes[i]))
            return true;
    return false;
}

bool key_forwards(const struct config_site *site, struct slice name)
{
    bool is_meant = false;
    for (size_t i = 0; i < site->forward_header_count; i++) {
        struct slice pattern = site->forward_headers[i];
        bool is_prefix = pattern.data[pattern.size - 1] == '*';
        size_t size = is_prefix ? pattern.size - 1 : name.size;
        if (slice_equal_nocase(name, pattern))
            return !is_own(name);
        if (is_prefix && name.size >= size &&
            slice_equal_nocase(slice_make(name.data, size), slice_make(pattern.data, size)))
            is_meant = true;
    }
    return is_meant && !is_own(name) && !is_delicate(name);
}

/* ---- Vary ---- */

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, size_min(a.size, b.size));
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

/* Puts a member where it belongs; one that is there already is not put again. False: no room. */
static bool insert(struct slice *sorted, size_t max, size_t *count, struct slice member)
{
    size_t at = *count;
    while (at > 0 && compare(member, sorted[at - 1]) < 0)
        at--;
    if (at > 0 && slice_equal(member, sorted[at - 1]))
        return true;
    if (*count == max)
        return false;
    memmove(sorted + at + 1, sorted + at, (*count - at) * sizeof(*sorted));
    sorted[at] = member;
    ++*count;
    return true;
}

static void append_lower(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        buf_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

/* The edge asks for identity encoding always and answers CORS itself. */
static bool is_indifferent(struct slice name)
{
    return slice_equal_nocase(name, SLICE_LITERAL("accept-encoding")) ||
           slice_equal_nocase(name, SLICE_LITERAL("origin"));
}

enum key_vary key_vary_of(const struct http_head *response, const struct config_site *site, struct buf *names)
{
    struct slice sorted[NAMES_MAX], name;
    struct buf lower;
    size_t count = 0;
    bool is_known = true;
    buf_clear(names);
    buf_init(&lower, 2 * KEY_VARY_NAMES_MAX);
    buf_reserve(&lower, 2 * KEY_VARY_NAMES_MAX - 1); /* what stands in it shall not move */
    for (size_t i = 0; i < response->field_count; i++) {
        struct slice rest = response->fields[i].value;
        if (!slice_equal_nocase(response->fields[i].name, SLICE_LITERAL("vary")))
            continue;
        while (slice_split(&rest, ',', &name)) {
            name = slice_trim(name);
            if (name.size == 0 || is_indifferent(name))
                continue;
            bool is_star = slice_equal(name, SLICE_LITERAL("*"));
            size_t start = lower.size;
            append_lower(&lower, name);
            is_known = is_known && !is_star && !lower.failed && key_forwards(site, name) &&
                       insert(sorted, NAMES_MAX, &count, slice_make(lower.data + start, name.size));
        }
    }
    for (size_t i = 0; is_known && i < count; i++) {
        buf_append_char(names, ',');
        buf_append_slice(names, sorted[i]);
    }
    is_known = is_known && !names->failed && names->size <= KEY_VARY_NAMES_MAX;
    buf_fini(&lower);
    return !is_known ? KEY_VARY_UNKNOWN : count ? KEY_VARY_FIELDS : KEY_VARY_NONE;
}

/* ---- values ---- */

static void append_list(struct slice name, const struct http_field *fields, size_t field_count,
                        struct buf *out)
{
    struct slice member;
    char separator = '=';
    for (size_t i = 0; i < field_count; i++) {
        struct slice rest = fields[i].value;
        if (!slice_equal_nocase(fields[i].name, name))
            continue;
        bool has_quotes = slice_find(rest, '"') < rest.size;
        while (slice_split(&rest, ',', &member)) {
            buf_append_char(out, separator);
            buf_append_slice(out, has_quotes ? member : slice_trim(member));
            separator = ',';
        }
    }
}

/* False when there are too many to sort: they then stay as they are. */
static bool append_languages(const struct http_field *fields, size_t field_count, struct buf *out)
{
    struct slice sorted[MEMBERS_MAX], rest, member;
    struct buf list, lower;
    size_t count = 0;
    bool ok = true;
    buf_init(&list, KEY_VARY_NAMES_MAX);
    buf_init(&lower, KEY_VARY_NAMES_MAX);
    append_list(SLICE_LITERAL("accept-language"), fields, field_count, &list);
    append_lower(&lower, buf_slice(&list));
    rest = slice_skip(buf_slice(&lower), 1); /* behind the '=' */
    while (ok && slice_split(&rest, ',', &member))
        ok = insert(sorted, MEMBERS_MAX, &count, member);
    ok = ok && !list.failed && !lower.failed;
    for (size_t i = 0; ok && i < count; i++) {
        buf_append_char(out, i == 0 ? '=' : ',');
        buf_append_slice(out, sorted[i]);
    }
    buf_fini(&list);
    buf_fini(&lower);
    return ok;
}

bool key_variant_write(uint64_t epoch, struct slice names, const struct http_field *fields,
                       size_t field_count, const struct config_site *site, struct buf *text)
{
    struct slice name;
    /* A space cannot stand in a URL's path or query, so no object's own key looks like this. */
    buf_printf(text, " vary %016llx", (unsigned long long)epoch);
    names = slice_skip(names, 1); /* the first comma */
    while (slice_split(&names, ',', &name)) {
        if (!key_forwards(site, name)) /* the configuration is another one by now */
            return false;
        buf_append_char(text, '\n'); /* nor can this in a value */
        buf_append_slice(text, name);
        if (!slice_equal(name, SLICE_LITERAL("accept-language")) ||
            !append_languages(fields, field_count, text))
            append_list(name, fields, field_count, text);
    }
    return !text->failed;
}

bool key_marker_write(uint64_t epoch, struct slice names, struct buf *out)
{
    buf_clear(out);
    buf_append(out, &epoch, sizeof(epoch));
    buf_append_slice(out, names);
    return !out->failed;
}

bool key_marker_read(struct slice body, uint64_t *ret_epoch, struct slice *ret_names)
{
    if (body.size <= sizeof(*ret_epoch) || body.size > sizeof(*ret_epoch) + KEY_VARY_NAMES_MAX)
        return false;
    memcpy(ret_epoch, body.data, sizeof(*ret_epoch));
    *ret_names = slice_skip(body, sizeof(*ret_epoch));
    return true;
}
