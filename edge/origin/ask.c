/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two kinds of requests. One that fills the cache asks for what can be kept and shared: the whole or whole
 * slices, in the one form that all understand, with the edge's own conditions, and of the viewer's fields
 * only those that the site forwards. One that is passed through (a method that no cache answers) says what
 * the viewer said, but for what belongs to one connection.
 */
#include "origin/ask.h"

#include <stdlib.h>

#include "key_vary.h"
#include "reply.h"

static void append_field(struct buf *out, struct slice name, struct slice value)
{
    buf_append_slice(out, name);
    buf_append(out, ": ", 2);
    buf_append_slice(out, value);
    buf_append(out, "\r\n", 2);
}

static void append_line(struct buf *out, const char *name, struct slice value)
{
    append_field(out, slice_of(name), value);
}

static void append_range(const struct ask_part *part, struct buf *out)
{
    if (!part->is_ranged)
        return;
    buf_append_text(out, "Range: bytes=");
    buf_append_u64(out, part->first_bytes);
    buf_append_char(out, '-');
    if (part->limit_bytes != FLIGHT_NO_LIMIT)
        buf_append_u64(out, part->limit_bytes - 1);
    buf_append(out, "\r\n", 2);
    if (part->if_range.data)
        append_line(out, "If-Range", part->if_range);
}

static void append_conditions(const struct ask_part *part, struct buf *out)
{
    struct reply_stored stored;
    if (!part->stale || part->is_ranged || !reply_parse_stored(part->stale->head, &stored) ||
        stored.status != 200)
        return;
    struct slice etag = reply_stored_get(stored.fields, "etag");
    struct slice modified = reply_stored_get(stored.fields, "last-modified");
    if (etag.data)
        append_line(out, "If-None-Match", etag);
    if (modified.data)
        append_line(out, "If-Modified-Since", modified);
}

/* A list that each on the way adds itself to: what the viewer's request says of it, then `own`. */
static void append_way(const char *name, const struct http_head *viewer_head, const char *own,
                       const char *edge_name, struct buf *out)
{
    buf_append_text(out, name);
    buf_append(out, ": ", 2);
    for (size_t i = 0; i < viewer_head->field_count; i++) {
        const struct http_field *f = &viewer_head->fields[i];
        if (!slice_equal_nocase(f->name, slice_of(name)) || f->value.size == 0)
            continue;
        buf_append_slice(out, f->value);
        buf_append_text(out, ", ");
    }
    buf_append_text(out, own);
    buf_append_text(out, edge_name);
    buf_append(out, "\r\n", 2);
}

/* Of a request that is passed through. */
static bool is_rewritten(struct slice name)
{
    static const char *const names[] = {"host",     "content-length", "expect", "range",
                                        "if-range", "cdn-loop",       "via",    "early-data"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

/* What origins are told by the edge alone. */
static bool is_secret(const struct config_site *site, struct slice name)
{
    for (size_t i = 0; i < site->origin_count; i++) {
        const struct config_upstream *upstream = &site->origins[i];
        if ((upstream->secret_header.data && slice_equal_nocase(name, upstream->secret_header)) ||
            (upstream->bearer_file && slice_equal_nocase(name, SLICE_LITERAL("authorization"))))
            return true;
    }
    return false;
}

static bool is_told(const struct origin_request *request, struct slice name)
{
    if (is_secret(request->site->config, name))
        return false;
    bool may_be = request->is_passed ? !is_rewritten(name) : key_forwards(request->site->config, name);
    return may_be && !http_head_is_hop_by_hop(request->viewer_head, name);
}

static void append_viewer_fields(const struct origin_request *request, struct buf *out)
{
    const struct http_head *head = request->viewer_head;
    bool has_accept = false;
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (!is_told(request, f->name))
            continue;
        append_field(out, f->name, f->value);
        has_accept = has_accept || slice_equal_nocase(f->name, SLICE_LITERAL("accept"));
    }
    if (!has_accept && !request->is_passed)
        buf_append_text(out, "Accept: */*\r\n");
}

static void write_fields(const char *edge_name, const struct origin_request *request, struct buf *out)
{
    append_way("Via", request->viewer_head, "1.1 ", edge_name, out);
    append_way("CDN-Loop", request->viewer_head, "shorebreak-", edge_name, out);
    if (request->is_early)
        buf_append_text(out, "Early-Data: 1\r\n");
    if (request->is_passed || request->site->config->forward_header_count)
        append_viewer_fields(request, out);
    else
        buf_append_text(out, "Accept: */*\r\n");
    if (request->is_passed)
        buf_printf(out, "Content-Length: %zu\r\n", request->body.size);
    else /* bodies are stored as they come and sent to all, so only the form that all understand is asked for
          */
        buf_append_text(out, "Accept-Encoding: identity\r\n");
}

static struct slice put(char **at, struct slice text)
{
    struct slice copy = slice_make(*at, text.size);
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return copy;
}

struct ask *ask_new(const char *edge_name, const struct origin_request *request, struct buf *scratch)
{
    struct slice method = request->is_passed ? request->viewer_head->method_text
                          : request->is_head ? SLICE_LITERAL("HEAD")
                                             : SLICE_LITERAL("GET");
    struct slice body = request->is_passed ? request->body : SLICE_EMPTY;
    buf_clear(scratch);
    write_fields(edge_name, request, scratch);
    struct ask *ask =
        scratch->failed
            ? NULL
            : malloc(sizeof(*ask) + method.size + request->target.size + scratch->size + body.size);
    if (!ask)
        return NULL;
    char *at = ask->text;
    ask->method = put(&at, method);
    ask->target = put(&at, request->target);
    ask->fields = put(&at, buf_slice(scratch));
    ask->body = put(&at, body);
    ask->is_repeatable = !request->is_passed;
    return ask;
}

bool ask_write(const struct ask *ask, const struct upstream *upstream, const struct ask_part *part,
               struct buf *out)
{
    buf_clear(out);
    buf_append_slice(out, ask->method);
    buf_append_char(out, ' ');
    buf_append_slice(out, upstream->config->url.path_prefix);
    buf_append_slice(out, ask->target);
    buf_append_text(out, " HTTP/1.1\r\n");
    buf_append_slice(out, upstream->fields);
    buf_append_slice(out, ask->fields);
    if (ask->is_repeatable) {
        append_range(part, out);
        append_conditions(part, out);
    }
    buf_append(out, "\r\n", 2);
    buf_append_slice(out, ask->body);
    return !out->failed;
}

struct ask_fields *ask_fields_copy(const struct origin_request *request, bool *ret_ok)
{
    const struct http_head *head = request->viewer_head;
    size_t count = 0, size = 0;
    *ret_ok = true;
    if (request->is_passed || request->site->config->forward_header_count == 0)
        return NULL;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!is_told(request, head->fields[i].name))
            continue;
        count++;
        size += head->fields[i].name.size + head->fields[i].value.size;
    }
    struct ask_fields *copy = malloc(sizeof(*copy) + count * sizeof(copy->fields[0]) + size);
    *ret_ok = copy != NULL;
    if (!copy)
        return NULL;
    char *text = (char *)&copy->fields[count];
    copy->count = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (!is_told(request, f->name))
            continue;
        memcpy(text, f->name.data, f->name.size);
        memcpy(text + f->name.size, f->value.data, f->value.size);
        copy->fields[copy->count++] = (struct http_field){slice_make(text, f->name.size),
                                                          slice_make(text + f->name.size, f->value.size)};
        text += f->name.size + f->value.size;
    }
    return copy;
}
