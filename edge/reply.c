/* SPDX-License-Identifier: Apache-2.0 */
/* See reply.h. */
#include "reply.h"

#include "base/check.h"
#include "http/date.h"

#define EXPOSED_FIELDS "Age, Cache-Status, Content-Length, Content-Range, Date, ETag, Last-Modified"

static bool starts_with_nocase(struct slice s, const char *prefix)
{
    struct slice p = slice_of(prefix);
    return s.size >= p.size && slice_equal_nocase(slice_make(s.data, p.size), p);
}

/* Fields that the edge answers for itself: framing, ranges, age, CORS. Content-Range says something in a 206
 * only, which is stored as the whole or slice that it is part of, and in a 416, whose size only the origin
 * knows; in others it is a field like any (RFC 9110 section 14.4). */
static bool is_replaced(struct slice name, unsigned status)
{
    static const char *const names[] = {"content-length", "accept-ranges", "age"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    if (slice_equal_nocase(name, SLICE_LITERAL("content-range")))
        return status == 206;
    return starts_with_nocase(name, "access-control-");
}

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

/* ---- tags ---- */

static bool is_tag(struct slice name, enum config_tag_header *ret_header)
{
    static const char *const names[] = {
        [TAG_SURROGATE_KEY] = "surrogate-key",
        [TAG_CACHE_TAG] = "cache-tag",
        [TAG_CACHE_GROUPS] = "cache-groups",
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i]))) {
            *ret_header = (enum config_tag_header)i;
            return true;
        }
    return false;
}

static bool is_hidden(struct slice name, const struct config_site *site)
{
    enum config_tag_header header;
    if (!is_tag(name, &header))
        return false;
    for (size_t i = 0; i < site->tag_header_count; i++)
        if (site->tag_headers[i] == header)
            return false;
    return true;
}

/* Ends a head whose lines from `start` on are hidden: their size, and a byte that ends no line. */
static void end_hidden(struct buf *out, size_t start)
{
    uint32_t size = (uint32_t)(out->size - start);
    if (size == 0 || out->failed)
        return;
    buf_append(out, &size, sizeof(size));
    buf_append_char(out, '\0');
}

static struct slice cut_hidden(struct slice *fields)
{
    uint32_t size;
    if (fields->size < sizeof(size) + 1 || fields->data[fields->size - 1] != '\0')
        return SLICE_EMPTY;
    fields->size -= sizeof(size) + 1;
    memcpy(&size, fields->data + fields->size, sizeof(size));
    if (!CHECK(size <= fields->size))
        return SLICE_EMPTY;
    fields->size -= size;
    return slice_make(fields->data + fields->size, size);
}

void reply_store_tags(struct slice stored, struct buf *out)
{
    struct reply_stored from;
    struct http_field f;
    enum config_tag_header header;
    if (!reply_parse_stored(stored, &from))
        return;
    buf_append_slice(out, slice_make(stored.data, 5));
    size_t start = out->size;
    for (int i = 0; i < 2; i++) {
        struct slice rest = i == 0 ? from.fields : from.hidden;
        while (reply_stored_next(&rest, &f))
            if (is_tag(f.name, &header))
                append_field(out, f.name, f.value);
    }
    if (out->size == start)
        buf_clear(out);
    else
        end_hidden(out, start);
}

/* ---- the stored form ---- */

static void append_fields_of(const struct http_head *head, const struct config_site *site, bool hidden,
                             struct buf *out)
{
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (!is_replaced(f->name, head->status) && !http_head_is_hop_by_hop(head, f->name) &&
            is_hidden(f->name, site) == hidden)
            append_field(out, f->name, f->value);
    }
}

bool reply_store_head(const struct http_head *head, unsigned status, const struct config_site *site,
                      int64_t now_ms, struct buf *out)
{
    bool has_date = http_head_count(head, "date") > 0;
    REQUIRE(status >= 100 && status <= 999);
    buf_append_u64(out, status);
    buf_append(out, "\r\n", 2);
    append_fields_of(head, site, false, out);
    if (!has_date) {
        char date[HTTP_DATE_SIZE];
        http_date_format(now_ms / 1000, date);
        append_line(out, "Date", slice_of(date));
    }
    size_t start = out->size;
    append_fields_of(head, site, true, out);
    end_hidden(out, start);
    return !out->failed && out->size <= REPLY_HEAD_MAX;
}

bool reply_parse_stored(struct slice stored, struct reply_stored *ret_stored)
{
    uint64_t status;
    if (stored.size < 5 || !slice_to_u64(slice_make(stored.data, 3), &status))
        return false;
    struct slice fields = slice_skip(stored, 5), hidden = cut_hidden(&fields);
    *ret_stored = (struct reply_stored){(unsigned)status, fields, hidden};
    return true;
}

struct slice reply_stored_get(struct slice fields, const char *name)
{
    struct slice want = slice_of(name), rest = fields, line;
    while (slice_split(&rest, '\n', &line)) {
        if (line.size > want.size && line.data[want.size] == ':' &&
            slice_equal_nocase(slice_make(line.data, want.size), want))
            return slice_trim(
                slice_make(line.data + want.size + 1, line.size - want.size - 2)); /* without CR */
    }
    return (struct slice){NULL, 0};
}

bool reply_stored_next(struct slice *rest, struct http_field *ret_field)
{
    struct slice line;
    if (!slice_split(rest, '\n', &line) || line.size == 0)
        return false;
    line.size--; /* CR */
    size_t colon = slice_find(line, ':');
    *ret_field = (struct http_field){slice_make(line.data, colon), slice_trim(slice_skip(line, colon + 1))};
    return true;
}

/* ---- after a 304 ---- */

/* Also left out: what the stored bytes depend on, and what was meant for one viewer. */
static bool is_updated(const struct http_head *not_modified, struct slice name, bool with_cookies)
{
    return !is_replaced(name, not_modified->status) && !http_head_is_hop_by_hop(not_modified, name) &&
           !slice_equal_nocase(name, SLICE_LITERAL("content-encoding")) &&
           !slice_equal_nocase(name, SLICE_LITERAL("content-range")) &&
           !slice_equal_nocase(name, SLICE_LITERAL("content-md5")) &&
           !slice_equal_nocase(name, SLICE_LITERAL("repr-digest")) &&
           (with_cookies || !slice_equal_nocase(name, SLICE_LITERAL("set-cookie")));
}

static bool is_date(struct slice name)
{
    return slice_equal_nocase(name, SLICE_LITERAL("date"));
}

static bool names(const struct http_head *head, struct slice name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (slice_equal_nocase(head->fields[i].name, name))
            return true;
    return false;
}

/* Takes the first line off what is shown, then off what is hidden. */
static bool next_of_both(struct reply_stored *rest, struct http_field *ret_field)
{
    return reply_stored_next(&rest->fields, ret_field) || reply_stored_next(&rest->hidden, ret_field);
}

/* Whether the stored lines of that name are those of the 304, in number and order. */
static bool are_same(struct reply_stored rest, const struct http_head *not_modified, struct slice name)
{
    struct http_field f;
    size_t i = 0;
    while (next_of_both(&rest, &f)) {
        if (!slice_equal_nocase(f.name, name))
            continue;
        while (i < not_modified->field_count && !slice_equal_nocase(not_modified->fields[i].name, name))
            i++;
        if (i == not_modified->field_count || !slice_equal(not_modified->fields[i++].value, f.value))
            return false;
    }
    for (; i < not_modified->field_count; i++)
        if (slice_equal_nocase(not_modified->fields[i].name, name))
            return false;
    return true;
}

/* Those lines of both that are hidden, or that are not. */
static void append_updated(struct reply_stored rest, const struct http_head *not_modified,
                           const struct config_site *site, bool hidden, struct buf *out)
{
    struct http_field f;
    while (next_of_both(&rest, &f))
        if (is_hidden(f.name, site) == hidden && !is_date(f.name) &&
            !(names(not_modified, f.name) && is_updated(not_modified, f.name, site->store_set_cookie)))
            append_field(out, f.name, f.value);
    for (size_t i = 0; i < not_modified->field_count; i++) {
        f = not_modified->fields[i];
        if (is_hidden(f.name, site) == hidden && is_updated(not_modified, f.name, site->store_set_cookie))
            append_field(out, f.name, f.value);
    }
}

bool reply_update_head(struct slice stored, const struct http_head *not_modified,
                       const struct config_site *site, int64_t now_ms, struct buf *out, bool *ret_is_changed)
{
    struct reply_stored old;
    bool is_changed = false;
    char date[HTTP_DATE_SIZE];
    if (!CHECK(reply_parse_stored(stored, &old)))
        return false;
    buf_append_slice(out, slice_make(stored.data, 5));
    append_updated(old, not_modified, site, false, out);
    http_date_format(now_ms / 1000, date);
    if (!names(not_modified, SLICE_LITERAL("date")))
        append_line(out, "Date", slice_of(date));
    size_t start = out->size;
    append_updated(old, not_modified, site, true, out);
    end_hidden(out, start);
    for (size_t i = 0; i < not_modified->field_count; i++) {
        struct slice name = not_modified->fields[i].name;
        is_changed = is_changed || (is_updated(not_modified, name, site->store_set_cookie) &&
                                    !is_date(name) && !are_same(old, not_modified, name));
    }
    *ret_is_changed = is_changed;
    return !out->failed && out->size <= REPLY_HEAD_MAX;
}

/* ---- what a viewer gets ---- */

static void append_cors(const struct reply_cors *cors, struct buf *out)
{
    bool is_listed =
        cors->is_null_allowed && cors->origin.data && slice_equal(cors->origin, SLICE_LITERAL("null"));
    for (size_t i = 0; i < cors->allowed_count; i++) {
        if (slice_equal(cors->allowed[i], SLICE_LITERAL("*"))) {
            buf_append_text(out,
                            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: " EXPOSED_FIELDS
                            "\r\n");
            return;
        }
        if (cors->origin.data && slice_equal_nocase(cors->allowed[i], cors->origin))
            is_listed = true;
    }
    buf_append_text(out, "Vary: Origin\r\n");
    if (!is_listed)
        return;
    append_line(out, "Access-Control-Allow-Origin", cors->origin);
    buf_append_text(out, "Access-Control-Expose-Headers: " EXPOSED_FIELDS "\r\n");
}

/* What the edge did, in RFC 9211's words for hit and forward, and in its own for the reason. */
void reply_write_cache_status(const struct reply_cache_status *s, struct buf *out)
{
    buf_append_text(out, s->edge_name);
    switch (s->cause) {
    case CAUSE_HIT:
    case CAUSE_STALE:
        buf_append_text(out, s->ttl_s < 0 ? "; hit; ttl=-" : "; hit; ttl=");
        buf_append_u64(out, (uint64_t)(s->ttl_s < 0 ? -s->ttl_s : s->ttl_s));
        if (s->cause == CAUSE_STALE)
            buf_append_text(out, "; detail=stale");
        break;
    case CAUSE_COALESCED:
    case CAUSE_MISS:
    case CAUSE_EXPIRED:
    case CAUSE_REVALIDATED:
    case CAUSE_DISK_FAILED:
    case CAUSE_PURGED:
    case CAUSE_UNCACHEABLE:
    case CAUSE_ERROR:
        buf_append_text(out, "; fwd=");
        buf_append_text(out, forward_name(s->forward));
        if (s->cause == CAUSE_REVALIDATED)
            buf_append_text(out, "; fwd-status=304");
        else if (s->cause == CAUSE_COALESCED)
            buf_append_text(out, "; collapsed");
        else if (s->cause != CAUSE_ERROR)
            buf_append_text(out, s->is_stored ? "; stored" : "; stored=?0");
        if (s->is_purged && !s->detail)
            buf_append_text(out, "; detail=purged");
        break;
    default: break;
    }
    if (s->detail) {
        buf_append_text(out, "; detail=");
        buf_append_text(out, s->detail);
    }
}

static void append_fields_of_304(struct slice fields, bool with_date, struct buf *out)
{
    static const char *const kept[] = {"Date",    "ETag", "Last-Modified",   "Cache-Control",
                                       "Expires", "Vary", "Content-Location"};
    struct http_field f;
    while (reply_stored_next(&fields, &f))
        for (size_t i = with_date ? 0 : 1; i < ARRAY_COUNT(kept); i++)
            if (slice_equal_nocase(f.name, slice_of(kept[i])))
                append_field(out, f.name, f.value);
}

/* Without those that the reply says itself. */
static void append_fields_but(const struct reply *r, struct buf *out)
{
    struct slice fields = r->fields;
    struct http_field f;
    while (reply_stored_next(&fields, &f)) {
        bool is_own = (r->date_s >= 0 && is_date(f.name)) ||
                      ((r->content_range.data || r->boundary) &&
                       slice_equal_nocase(f.name, SLICE_LITERAL("content-range"))) ||
                      (r->boundary && slice_equal_nocase(f.name, SLICE_LITERAL("content-type")));
        if (!is_own)
            append_field(out, f.name, f.value);
    }
}

static void append_date(int64_t date_s, struct buf *out)
{
    char date[HTTP_DATE_SIZE];
    http_date_format(date_s, date);
    append_line(out, "Date", slice_of(date));
}

bool reply_write(const struct reply *r, struct buf *out)
{
    if (r->is_not_modified)
        append_fields_of_304(r->fields, r->date_s < 0, out);
    else if (r->date_s < 0 && !r->content_range.data && !r->boundary)
        buf_append_slice(out, r->fields);
    else
        append_fields_but(r, out);
    if (r->date_s >= 0)
        append_date(r->date_s, out);
    if (r->age_s >= 0) {
        buf_append_text(out, "Age: ");
        buf_append_u64(out, (uint64_t)r->age_s);
        buf_append(out, "\r\n", 2);
    }
    if (r->has_ranges)
        buf_append_text(out, "Accept-Ranges: bytes\r\n");
    if (r->content_range.data)
        append_line(out, "Content-Range", r->content_range);
    if (r->boundary)
        buf_printf(out, "Content-Type: multipart/byteranges; boundary=%s\r\n", r->boundary);
    append_cors(&r->cors, out);
    buf_append_text(out, "Via: 1.1 ");
    buf_append_text(out, r->cache_status.edge_name);
    buf_append_text(out, "\r\nCache-Status: ");
    reply_write_cache_status(&r->cache_status, out);
    buf_append(out, "\r\n", 2);
    return !out->failed;
}

bool reply_write_options(const struct reply_cors *cors, const struct http_head *request, struct buf *out)
{
    struct slice asked = http_head_get(request, "access-control-request-headers");
    append_cors(cors, out);
    buf_append_text(out, "Allow: GET, HEAD, OPTIONS\r\n");
    if (http_head_get(request, "access-control-request-method").data)
        buf_append_text(
            out, "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Max-Age: 86400\r\n");
    if (asked.data) /* a request without credentials may send what it likes: nothing is done with it */
        append_line(out, "Access-Control-Allow-Headers", asked);
    return !out->failed;
}
