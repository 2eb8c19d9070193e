/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs. One table says which byte may stand where; everything else walks slices. What clients send is held to
 * the table; what playlists contain is bent to it, because players do that and will ask for the result.
 */
#include "http/uri.h"

#include "base/addr.h"
#include "base/check.h"

enum byte_class {
    UNRESERVED = 1,
    SUB_DELIMITER = 2,
    COLON_AT = 4,
    SLASH = 8,
    QUESTION = 16,
    BRACKET = 32,
    SCHEME = 64,
    HEX = 128,

    IN_HOST = UNRESERVED | SUB_DELIMITER,
    IN_AUTHORITY = IN_HOST | COLON_AT | BRACKET,
    IN_PATH = UNRESERVED | SUB_DELIMITER | COLON_AT | SLASH,
    IN_QUERY = IN_PATH | QUESTION,
};

/* RFC 3986 section 2 and appendix A. */
static const uint8_t classes[256] = {
    ['0' ... '9'] = UNRESERVED | SCHEME | HEX,
    ['A' ... 'F'] = UNRESERVED | SCHEME | HEX,
    ['G' ... 'Z'] = UNRESERVED | SCHEME,
    ['a' ... 'f'] = UNRESERVED | SCHEME | HEX,
    ['g' ... 'z'] = UNRESERVED | SCHEME,
    ['-'] = UNRESERVED | SCHEME,
    ['.'] = UNRESERVED | SCHEME,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    ['+'] = SUB_DELIMITER | SCHEME,
    ['!'] = SUB_DELIMITER,
    ['$'] = SUB_DELIMITER,
    ['&'] = SUB_DELIMITER,
    ['\''] = SUB_DELIMITER,
    ['('] = SUB_DELIMITER,
    [')'] = SUB_DELIMITER,
    ['*'] = SUB_DELIMITER,
    [','] = SUB_DELIMITER,
    [';'] = SUB_DELIMITER,
    ['='] = SUB_DELIMITER,
    [':'] = COLON_AT,
    ['@'] = COLON_AT,
    ['/'] = SLASH,
    ['?'] = QUESTION,
    ['['] = BRACKET,
    [']'] = BRACKET,
};

static bool is_in(char c, unsigned mask)
{
    return (classes[(unsigned char)c] & mask) != 0;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* Whether a whole percent-encoding stands at `i`. */
static bool is_encoded(struct slice s, size_t i)
{
    return s.data[i] == '%' && s.size - i >= 3 && is_in(s.data[i + 1], HEX) && is_in(s.data[i + 2], HEX);
}

static bool all_in(struct slice s, unsigned mask)
{
    for (size_t i = 0; i < s.size; i++)
        if (!is_in(s.data[i], mask) && !is_encoded(s, i))
            return false;
    return true;
}

static bool is_scheme(struct slice s)
{
    if (s.size == 0 || s.data[0] < 'A') /* a letter: what else schemes may hold sorts before */
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (!is_in(s.data[i], SCHEME))
            return false;
    return true;
}

static bool begins_with(struct slice s, char c)
{
    return s.size > 0 && s.data[0] == c;
}

/* Cuts "path?query" in two. */
static void split_query(struct slice text, struct uri *u)
{
    size_t question = slice_find(text, '?');

    u->path = slice_make(text.data, question);
    if (question < text.size)
        u->query = slice_skip(text, question + 1);
}

/* Cuts a reference into its parts (RFC 3986 appendix B) and drops the fragment; checks nothing but the
 * scheme. What looks like a scheme but is none, as in "12:30.ts", is part of the path. */
static struct uri split(struct slice text)
{
    struct slice rest = slice_make(text.data, slice_find(text, '#'));
    size_t colon = slice_find(rest, ':'), end = 0;
    struct uri u = {0};

    if (colon < rest.size && is_scheme(slice_make(rest.data, colon))) {
        u.scheme = slice_make(rest.data, colon);
        rest = slice_skip(rest, colon + 1);
    }
    if (slice_starts_with(rest, SLICE_LITERAL("//"))) {
        rest = slice_skip(rest, 2);
        while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?')
            end++;
        u.authority = slice_make(rest.data, end);
        rest = slice_skip(rest, end);
    }
    split_query(rest, &u);
    return u;
}

static bool parse_absolute_form(struct slice target, struct uri *ret_uri)
{
    struct uri u = split(target);
    struct uri_authority authority;

    if (!u.scheme.data || !u.authority.data || !uri_parse_authority(u.authority, &authority))
        return false;
    *ret_uri = u;
    return true;
}

bool uri_parse_target(struct slice target, struct uri *ret_uri)
{
    struct uri u = {.path = target};

    if (target.size == 0 || target.size > URI_SIZE_MAX || slice_find(target, '#') < target.size)
        return false;
    if (begins_with(target, '/'))
        split_query(target, &u);
    else if (!slice_equal(target, SLICE_LITERAL("*")) && !parse_absolute_form(target, &u))
        return false;
    if (!all_in(u.path, IN_PATH) || !all_in(u.query, IN_QUERY))
        return false;
    *ret_uri = u;
    return true;
}

/* "[ipv6]" with what follows; addr.h would also take an IPv4 address with a port, hence the two colons. */
static bool take_ipv6(struct slice *rest, struct slice *ret_host)
{
    struct slice host = slice_make(rest->data + 1, slice_find(*rest, ']') - 1);
    struct addr addr;
    size_t colons = 0;

    for (size_t i = 0; i < host.size; i++) {
        colons += host.data[i] == ':';
        if (!is_in(host.data[i], HEX) && host.data[i] != ':' && host.data[i] != '.')
            return false;
    }
    if (host.size + 2 > rest->size || colons < 2 || addr_parse(host, &addr) < 0)
        return false;
    *ret_host = host;
    *rest = slice_skip(*rest, host.size + 2);
    return true;
}

/* Nothing, ":" or ":port". */
static bool parse_port(struct slice text, uint16_t *ret_port)
{
    uint64_t port;

    if (text.size <= 1) {
        *ret_port = 0;
        return text.size == 0 || text.data[0] == ':';
    }
    if (text.data[0] != ':' || !slice_to_u64(slice_skip(text, 1), &port) || port == 0 || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

bool uri_parse_authority(struct slice authority, struct uri_authority *ret_authority)
{
    struct slice rest = authority;
    struct uri_authority a = {.is_ipv6 = begins_with(authority, '[')};

    if (a.is_ipv6) {
        if (!take_ipv6(&rest, &a.host))
            return false;
    } else {
        a.host = slice_make(rest.data, slice_find(rest, ':'));
        rest = slice_skip(rest, a.host.size);
        if (a.host.size == 0 || !all_in(a.host, IN_HOST))
            return false;
    }
    if (!parse_port(rest, &a.port))
        return false;
    *ret_authority = a;
    return true;
}

static char upper_hex(unsigned value)
{
    return "0123456789ABCDEF"[value & 15];
}

/* Writes a byte as it is normalised; returns how many bytes that took. */
static size_t put_encoded(char *at, unsigned char byte)
{
    at[0] = '%';
    at[1] = upper_hex(byte >> 4);
    at[2] = upper_hex(byte);
    return 3;
}

bool uri_append_normalized(struct buf *out, struct slice text)
{
    char *at = buf_reserve(out, text.size); /* never longer */
    size_t size = 0;

    if (!at)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (!is_encoded(text, i)) {
            at[size++] = byte;
            continue;
        }
        byte = (char)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2]));
        if (is_in(byte, UNRESERVED))
            at[size++] = byte;
        else
            size += put_encoded(at + size, (unsigned char)byte);
        i += 2;
    }
    out->size += size;
    return true;
}

static void remove_dots_since(struct buf *out, size_t start)
{
    out->size = start + uri_remove_dot_segments(out->data + start, out->size - start);
}

bool uri_append_normalized_path(struct buf *out, struct slice path)
{
    size_t start = out->size;

    if (!uri_append_normalized(out, path.size > 0 ? path : SLICE_LITERAL("/")))
        return false;
    remove_dots_since(out, start);
    return true;
}

/* Whether [from, size) is `text`, or begins with it and a slash. */
static bool is_dot_segment(const char *path, size_t from, size_t size, const char *text)
{
    size_t length = strlen(text);

    return size - from >= length && memcmp(path + from, text, length) == 0 &&
           (size - from == length || path[from + length] == '/');
}

/* `from` reads, `to` writes; to <= from, so that the path can be rewritten where it stands. */
size_t uri_remove_dot_segments(char *path, size_t size)
{
    size_t from = 0, to = 0;

    while (is_dot_segment(path, from, size, "..") || is_dot_segment(path, from, size, "."))
        from = size_min(from + (is_dot_segment(path, from, size, "..") ? 3 : 2), size);
    while (from < size) {
        bool up = is_dot_segment(path, from, size, "/..");
        if (up || is_dot_segment(path, from, size, "/.")) {
            from += up ? 3 : 2;
            while (up && to > 0 && path[--to] != '/')
                ;
            if (from == size)
                path[to++] = '/';
            continue;
        }
        do
            path[to++] = path[from++];
        while (from < size && path[from] != '/');
    }
    return to;
}

/* Appends `s` with the bytes outside `mask` percent-encoded, or fails on them when they are control bytes. */
static bool append_encoded(struct buf *out, struct slice s, unsigned mask)
{
    char encoded[3];

    for (size_t i = 0; i < s.size; i++) {
        unsigned char byte = (unsigned char)s.data[i];
        if (is_in(s.data[i], mask) || is_encoded(s, i)) {
            buf_append_char(out, s.data[i]);
            continue;
        }
        if (byte < 0x20 || byte == 0x7f || byte == '%')
            return false;
        buf_append(out, encoded, put_encoded(encoded, byte));
    }
    return !out->failed;
}

/* RFC 3986 section 5.2.3: the base's path up to its last slash. */
static struct slice path_folder(struct slice path)
{
    size_t size = path.size;

    while (size > 0 && path.data[size - 1] != '/')
        size--;
    return slice_make(path.data, size);
}

/* The path of the result; section 5.2.2's branches that concern it. */
static bool append_path(struct buf *out, const struct uri *base, const struct uri *ref)
{
    size_t start = out->size;
    bool own = ref->scheme.data || ref->authority.data;

    if (!own && ref->path.size == 0)
        return append_encoded(out, base->path, IN_PATH);
    if (!own && !begins_with(ref->path, '/')) {
        if (base->path.size == 0)
            buf_append_char(out, '/');
        if (!append_encoded(out, path_folder(base->path), IN_PATH))
            return false;
    }
    if (!append_encoded(out, ref->path, IN_PATH))
        return false;
    if (out->size > start)
        remove_dots_since(out, start);
    return true;
}

static bool append_resolved(struct buf *out, const struct uri *base, const struct uri *ref)
{
    struct slice scheme = ref->scheme.data ? ref->scheme : base->scheme;
    struct slice authority = ref->scheme.data || ref->authority.data ? ref->authority : base->authority;
    bool same_document = !ref->scheme.data && !ref->authority.data && ref->path.size == 0;
    struct slice query = same_document && !ref->query.data ? base->query : ref->query;

    if (scheme.data) {
        buf_append_slice(out, scheme);
        buf_append_char(out, ':');
    }
    if (authority.data) {
        buf_append_text(out, "//");
        if (!all_in(authority, IN_AUTHORITY) || !buf_append_slice(out, authority))
            return false;
    }
    if (!append_path(out, base, ref))
        return false;
    if (!query.data)
        return true;
    buf_append_char(out, '?');
    return append_encoded(out, query, IN_QUERY);
}

bool uri_resolve(struct slice base, struct slice reference, struct buf *out)
{
    struct uri base_uri = split(base), reference_uri = split(reference);
    size_t start = out->size;

    if (base.size > URI_SIZE_MAX || reference.size > URI_SIZE_MAX || out->failed)
        return false;
    if (!(base_uri.scheme.data && base_uri.authority.data) && !begins_with(base_uri.path, '/'))
        return false;
    if (append_resolved(out, &base_uri, &reference_uri))
        return true;
    out->size = start;
    return false;
}

bool uri_query_next(struct slice *rest, struct uri_param *ret_param)
{
    struct slice whole;
    size_t equals;

    if (!slice_split(rest, '&', &whole))
        return false;
    equals = slice_find(whole, '=');
    *ret_param = (struct uri_param){.name = slice_make(whole.data, equals), .whole = whole};
    if (equals < whole.size)
        ret_param->value = slice_skip(whole, equals + 1);
    return true;
}

bool uri_query_matches(struct slice name, const struct slice *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice p = patterns[i];
        bool prefix = p.size > 0 && p.data[p.size - 1] == '*';
        if (prefix ? slice_starts_with(name, slice_make(p.data, p.size - 1)) : slice_equal(name, p))
            return true;
    }
    return false;
}

size_t uri_query_filter(struct slice query, const struct slice *patterns, size_t count, struct buf *out)
{
    struct uri_param param;
    size_t kept = 0;

    while (uri_query_next(&query, &param)) {
        if (uri_query_matches(param.name, patterns, count))
            continue;
        if (kept++ > 0)
            buf_append_char(out, '&');
        buf_append_slice(out, param.whole);
    }
    return kept;
}
