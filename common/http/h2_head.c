/* SPDX-License-Identifier: Apache-2.0 */
/* The host goes first among the fields, whether it came as :authority or as host; the other pseudo fields are
 * members of the head. */
#include "h2_head.h"

#include <stdlib.h>

#include "base/check.h"
#include "parser.h"

void h2_head_init(struct h2_head *h, struct http_head *head, char *data, size_t size_max)
{
    *h = (struct h2_head){.head = head, .size_max = size_max};
    h->data = data;
    head->method = HTTP_OTHER;
    head->method_text = head->target = (struct slice){NULL, 0};
    head->status = 0;
    head->version = 20;
    head->keep_alive = true;
    head->chunked = false;
    head->content_length = -1;
    head->field_count = 0;
}

/* --- Characters. --- */

/* RFC 9110 section 5.6.2, without the upper case letters that HTTP/2 does not allow in names. */
static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!is_name_char(s.data[i]))
            return false;
    return s.size > 0;
}

/* No control character (a CR or LF would begin a field of its own in HTTP/1), no white space around it. */
static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (((unsigned char)s.data[i] < ' ' && s.data[i] != '\t') || s.data[i] == 0x7f)
            return false;
    return slice_trim(s).size == s.size;
}

/* --- Fields. --- */

static struct slice keep(struct h2_head *h, struct slice text)
{
    char *at = h->data + h->filled;

    REQUIRE(text.size <= h->size_max - h->filled); /* list_size, which counts more, has been checked */
    memcpy(at, text.data, text.size);
    h->filled += text.size;
    return slice_make(at, text.size);
}

/* False when it is there already. */
static bool keep_once(struct h2_head *h, struct slice *part, struct slice value)
{
    if (part->data)
        return false;
    *part = keep(h, value);
    return true;
}

static bool add_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
    if (h->in_fields)
        return false;
    if (slice_equal(name, SLICE_LITERAL(":method")))
        return keep_once(h, &h->head->method_text, value);
    if (slice_equal(name, SLICE_LITERAL(":path")))
        return keep_once(h, &h->head->target, value);
    if (slice_equal(name, SLICE_LITERAL(":scheme")))
        return keep_once(h, &h->scheme, value);
    if (slice_equal(name, SLICE_LITERAL(":authority")))
        return keep_once(h, &h->authority, value);
    return false;
}

static bool is_of_connection(struct slice name)
{
    static const struct slice names[] = {
        {"connection", 10},        {"keep-alive", 10}, {"proxy-connection", 16},
        {"transfer-encoding", 17}, {"upgrade", 7},
    };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal(name, names[i]))
            return true;
    return false;
}

static bool add_content_length(struct h2_head *h, struct slice value)
{
    uint64_t length;

    if (h->head->content_length >= 0 || !slice_to_u64(value, &length) || length > INT64_MAX)
        return false;
    h->head->content_length = (int64_t)length;
    return true;
}

static bool add_field(struct h2_head *h, struct slice name, struct slice value)
{
    struct http_head *head = h->head;

    h->in_fields = true;
    if (!is_name(name) || !is_value(value) || is_of_connection(name))
        return false;
    if (slice_equal(name, SLICE_LITERAL("host")))
        return keep_once(h, &h->host, value);
    if (slice_equal(name, SLICE_LITERAL("te")) && !slice_equal_nocase(value, SLICE_LITERAL("trailers")))
        return false;
    if (slice_equal(name, SLICE_LITERAL("content-length")) && !add_content_length(h, value))
        return false;
    if (head->field_count == HTTP_FIELDS_MAX - 1) { /* one is the host's */
        h->is_too_large = true;
        return true;
    }
    head->fields[head->field_count].name = keep(h, name);
    head->fields[head->field_count].value = keep(h, value);
    head->field_count++;
    return true;
}

void h2_head_add(struct h2_head *h, struct slice name, struct slice value)
{
    bool is_pseudo = name.size > 0 && name.data[0] == ':';

    h->fields_seen++;
    h->list_size += name.size + value.size + H2_HEAD_FIELD_COST;
    h->is_too_large |= h->list_size > h->size_max;
    if (h->is_too_large || h->is_malformed)
        return;
    h->is_malformed = !(is_pseudo ? add_pseudo(h, name, value) : add_field(h, name, value));
}

/* --- The whole. --- */

static bool is_scheme(struct slice s)
{
    return slice_equal_nocase(s, SLICE_LITERAL("https")) || slice_equal_nocase(s, SLICE_LITERAL("http"));
}

/* Two names for the host are one too many, unless they are the same (RFC 9113 section 8.3.1). */
static bool has_one_host(const struct h2_head *h)
{
    if (h->authority.data && h->host.data && !slice_equal_nocase(h->authority, h->host))
        return false;
    return http_parser_is_host(h->authority.data ? h->authority : h->host);
}

static bool is_request(struct h2_head *h)
{
    struct http_head *head = h->head;

    return http_parser_is_method(head->method_text, &head->method) && is_scheme(h->scheme) &&
           has_one_host(h) &&
           (slice_equal(head->target, SLICE_LITERAL("*")) ||
            slice_starts_with(head->target, SLICE_LITERAL("/"))) &&
           http_parser_is_target(head->method, head->target);
}

enum h2_head_verdict h2_head_end(struct h2_head *h, size_t uri_size_max)
{
    struct http_head *head = h->head;

    if (h->is_malformed)
        return H2_HEAD_MALFORMED;
    if (h->is_too_large) { /* a HEAD request is still answered as one */
        http_parser_is_method(head->method_text, &head->method);
        return H2_HEAD_TOO_LARGE;
    }
    if (!is_request(h))
        return H2_HEAD_MALFORMED;
    return head->target.size > uri_size_max ? H2_HEAD_URI_TOO_LONG : H2_HEAD_GOOD;
}

/* --- The copy. --- */

static struct slice put(char **at, struct slice text)
{
    struct slice put = {*at, text.size};

    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return put;
}

static bool is_cookie(const struct http_field *field)
{
    return slice_equal(field->name, SLICE_LITERAL("cookie"));
}

/* All cookie fields from `first` on, as one. What joins them is shorter than the names that go. */
static struct slice put_cookies(char **at, const struct http_head *head, size_t first)
{
    struct slice all = put(at, head->fields[first].value);

    for (size_t i = first + 1; i < head->field_count; i++) {
        if (!is_cookie(&head->fields[i]))
            continue;
        put(at, SLICE_LITERAL("; "));
        put(at, head->fields[i].value);
    }
    all.size = (size_t)(*at - all.data);
    return all;
}

static void put_fields(char **at, const struct http_head *from, struct http_head *to)
{
    bool had_cookie = false;

    for (size_t i = 0; i < from->field_count; i++) {
        const struct http_field *field = &from->fields[i];
        bool is_one = is_cookie(field);
        struct http_field *copy;

        if (is_one && had_cookie)
            continue;
        had_cookie |= is_one;
        copy = &to->fields[to->field_count++];
        copy->name = put(at, field->name);
        copy->value = is_one ? put_cookies(at, from, i) : put(at, field->value);
    }
}

struct http_head *h2_head_copy(const struct h2_head *h, size_t *ret_size)
{
    struct slice host = h->authority.data ? h->authority : h->host;
    size_t size = sizeof(struct http_head) + h->filled;
    struct http_head *copy = malloc(size);
    char *at;

    if (!copy)
        return NULL;
    at = (char *)(copy + 1);
    memcpy(copy, h->head, offsetof(struct http_head, fields));
    copy->method_text = put(&at, h->head->method_text);
    copy->target = put(&at, h->head->target);
    copy->fields[0] = (struct http_field){SLICE_LITERAL("host"), put(&at, host)};
    copy->field_count = 1;
    put_fields(&at, h->head, copy);
    *ret_size = size;
    return copy;
}
