/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llhttp finds the parts of a head and decodes chunks. Lengths are counted here, as is what llhttp lets pass
 * but RFC 9112 calls invalid or ambiguous. No lenient flag is ever set.
 */
#include "parser.h"

#include "base/check.h"

/* llhttp.h has method numbers of the same names as http/head.h. */
#define HTTP_GET     LLHTTP_METHOD_GET
#define HTTP_HEAD    LLHTTP_METHOD_HEAD
#define HTTP_OPTIONS LLHTTP_METHOD_OPTIONS
#define HTTP_POST    LLHTTP_METHOD_POST
#define HTTP_PUT     LLHTTP_METHOD_PUT
#define HTTP_DELETE  LLHTTP_METHOD_DELETE
#define HTTP_PATCH   LLHTTP_METHOD_PATCH
#include <llhttp.h>
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_OPTIONS
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_DELETE
#undef HTTP_PATCH

#define METHOD_SIZE_MAX 32
#define EMPTY_LINES_MAX 2 /* before a request: RFC 9112 section 2.2 asks for one */

_Static_assert(sizeof(llhttp_t) <= sizeof(((struct http_parser *)0)->machine), "room for llhttp_t");

static llhttp_t *machine_of(struct http_parser *p)
{
    return (llhttp_t *)p->machine;
}

/* --- What llhttp calls. Spans come in pieces: what counts is where the first begins and the last ends. ---
 */

static void extend(struct slice *s, const char *at, size_t size)
{
    if (!s->data)
        s->data = at;
    s->size = (size_t)(at + size - s->data);
}

static int on_url(llhttp_t *m, const char *at, size_t size)
{
    struct http_parser *p = m->data;

    extend(&p->head->target, at, size);
    return 0;
}

static int on_version(llhttp_t *m, const char *at, size_t size)
{
    struct http_parser *p = m->data;

    extend(&p->version, at, size);
    return 0;
}

/* A reason is text (RFC 9112 section 4); llhttp takes control bytes in it. */
static int on_reason(llhttp_t *m, const char *at, size_t size)
{
    (void)m;
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f)
            return HPE_USER;
    return 0;
}

static int on_header_field(llhttp_t *m, const char *at, size_t size)
{
    struct http_parser *p = m->data;

    if (p->framing == HTTP_FRAMING_CHUNKED) /* a trailer: dropped */
        return 0;
    if (!p->in_field) {
        if (p->head->field_count == HTTP_FIELDS_MAX) {
            p->too_many_fields = true;
            return HPE_USER;
        }
        p->in_field = true;
        p->head->fields[p->head->field_count] = (struct http_field){{NULL, 0}, {NULL, 0}};
    }
    extend(&p->head->fields[p->head->field_count].name, at, size);
    return 0;
}

static int on_header_value(llhttp_t *m, const char *at, size_t size)
{
    struct http_parser *p = m->data;

    if (p->framing != HTTP_FRAMING_CHUNKED)
        extend(&p->head->fields[p->head->field_count].value, at, size);
    return 0;
}

static int on_header_value_complete(llhttp_t *m)
{
    struct http_parser *p = m->data;
    struct http_field *field;

    if (p->framing == HTTP_FRAMING_CHUNKED)
        return 0;
    field = &p->head->fields[p->head->field_count];
    field->value = field->value.data ? slice_trim(field->value) : SLICE_EMPTY;
    p->head->field_count++;
    p->in_field = false;
    return 0;
}

static int on_headers_complete(llhttp_t *m)
{
    (void)m;
    return HPE_PAUSED;
}

static int on_chunk_data(llhttp_t *m, const char *at, size_t size)
{
    struct http_parser *p = m->data;

    p->framing_bytes += (size_t)(at - p->body_cursor);
    if (p->framing_bytes > HTTP_FRAMING_SIZE_MAX)
        return HPE_USER;
    p->framing_bytes = 0;
    p->body_cursor = at + size;
    p->stopped = !p->on_body(p->user, at, size);
    return p->stopped ? HPE_USER : 0;
}

/* No such chunk will ever be whole, and others would read its size as another number. */
static int on_chunk_header(llhttp_t *m)
{
    return m->content_length > INT64_MAX / 2 ? HPE_USER : 0;
}

static int on_message_complete(llhttp_t *m)
{
    struct http_parser *p = m->data;

    p->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_status = on_reason,
    .on_version = on_version,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_chunk_data,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

void http_parser_init(struct http_parser *p, enum http_parser_kind kind, struct http_head *head)
{
    *p = (struct http_parser){.head = head, .kind = kind};
    llhttp_init(machine_of(p), kind == HTTP_PARSER_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    machine_of(p)->data = p;

    head->method = HTTP_OTHER;
    head->method_text = head->target = (struct slice){NULL, 0};
    head->status = head->version = 0;
    head->keep_alive = head->chunked = false;
    head->content_length = -1;
    head->field_count = 0; /* the fields themselves are 3 KiB and need no zeroing */
}

/* --- What llhttp does not check. --- */

/* Capital letters, digits, "-" and "_": any token would be valid (RFC 9110 section 9.1), but methods are
 * compared with their case, and "get" is more likely to be taken for GET by someone than to be wanted. */
static bool is_method_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* CONNECT is not for us, and PRI begins HTTP/2. */
bool http_parser_is_method(struct slice text, enum http_method *ret_method)
{
    static const struct {
        struct slice name;
        enum http_method method;
    } numbered[] = {
        {{"GET", 3}, HTTP_GET},     {{"HEAD", 4}, HTTP_HEAD}, {{"OPTIONS", 7}, HTTP_OPTIONS},
        {{"POST", 4}, HTTP_POST},   {{"PUT", 3}, HTTP_PUT},   {{"DELETE", 6}, HTTP_DELETE},
        {{"PATCH", 5}, HTTP_PATCH},
    };

    for (size_t i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++)
        if (slice_equal(text, numbered[i].name)) {
            *ret_method = numbered[i].method;
            return true;
        }
    for (size_t i = 0; i < text.size; i++)
        if (!is_method_character(text.data[i]))
            return false;
    if (text.size == 0 || text.size > METHOD_SIZE_MAX || slice_equal(text, SLICE_LITERAL("CONNECT")) ||
        slice_equal(text, SLICE_LITERAL("PRI")))
        return false;
    *ret_method = HTTP_OTHER;
    return true;
}

/* "HTTP/0.9" is what llhttp makes of a line without a version; it also knows RTSP/ and ICE/. */
static enum http_parse check_version(struct http_parser *p)
{
    if (!p->version.data || p->version.size != 3)
        return HTTP_PARSE_BAD_VERSION;
    if (p->version.data - p->start < 5 || memcmp(p->version.data - 5, "HTTP/", 5) != 0)
        return HTTP_PARSE_BAD;
    if (p->version.data[0] != '1')
        return HTTP_PARSE_BAD_VERSION;
    p->head->version = p->version.data[2] == '1' ? 11 : 10; /* llhttp lets no other pass */
    return HTTP_PARSE_DONE;
}

/* CONNECT is not for us. */
bool http_parser_is_target(enum http_method method, struct slice target)
{
    if (target.size == 0)
        return false;
    for (size_t i = 0; i < target.size; i++)
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f || target.data[i] == '#')
            return false;
    if (target.data[0] == '*')
        return target.size == 1 && method == HTTP_OPTIONS;
    return target.data[0] == '/' || memmem(target.data, target.size, "://", 3) != NULL;
}

/* One space before and after the target: two readings of a line with more are possible. */
static enum http_parse check_request_line(struct http_parser *p)
{
    struct http_head *head = p->head;

    if (head->target.data != p->start + head->method_text.size + 1)
        return HTTP_PARSE_BAD;
    if (p->version.data && head->target.data + head->target.size + sizeof(" HTTP/") - 1 != p->version.data)
        return HTTP_PARSE_BAD;
    return http_parser_is_target(head->method, head->target) ? check_version(p) : HTTP_PARSE_BAD;
}

bool http_parser_is_host(struct slice value)
{
    static const char punctuation[] = "-._~%!$&'()*+,;=:[]";

    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i], letter = c | 0x20;

        if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || (c && strchr(punctuation, c))))
            return false;
    }
    return value.size > 0 && value.data[0] != ':';
}

static bool name_is(const struct http_field *field, const char *name)
{
    return slice_equal_nocase(field->name, slice_of(name));
}

/* Host, the two ways of framing, and Connection: what of them is there, and whether it is unambiguous. */
static bool check_fields(struct http_parser *p)
{
    struct http_head *head = p->head;
    size_t hosts = 0;

    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        uint64_t length;

        switch (field->name.size) { /* the length tells nearly all others apart */
        case sizeof("Host") - 1:
            if (name_is(field, "Host") && (hosts++ > 0 || !http_parser_is_host(field->value)))
                return p->kind == HTTP_PARSER_RESPONSE;
            break;
        case sizeof("Content-Length") - 1:
            if (!name_is(field, "Content-Length"))
                break;
            if (head->content_length >= 0 || !slice_to_u64(field->value, &length) || length > INT64_MAX)
                return false;
            head->content_length = (int64_t)length;
            break;
        case sizeof("Transfer-Encoding") - 1:
            if (!name_is(field, "Transfer-Encoding"))
                break;
            if (head->chunked || !slice_equal_nocase(field->value, SLICE_LITERAL("chunked")))
                return false;
            head->chunked = true;
            break;
        default: break;
        }
    }
    if (head->chunked && (head->content_length >= 0 || head->version < 11))
        return false;
    return p->kind == HTTP_PARSER_RESPONSE || hosts == 1 || head->version < 11;
}

/* RFC 9112 section 9.3. */
static bool keeps_alive(const struct http_head *head)
{
    if (http_head_lists(head, "Connection", "close"))
        return false;
    return head->version >= 11 || http_head_lists(head, "Connection", "keep-alive");
}

static enum http_parse check_head(struct http_parser *p)
{
    struct http_head *head = p->head;
    enum http_parse line;

    if (p->kind == HTTP_PARSER_REQUEST) {
        line = check_request_line(p);
    } else {
        head->status = machine_of(p)->status_code;
        line = head->status >= 100 && head->status <= 599 ? check_version(p) : HTTP_PARSE_BAD;
    }
    if (line != HTTP_PARSE_DONE)
        return line;
    if (!check_fields(p))
        return HTTP_PARSE_BAD;
    head->keep_alive = keeps_alive(head);
    return HTTP_PARSE_DONE;
}

/* --- The head. --- */

static enum http_parse head_failure(const struct http_parser *p, llhttp_errno_t failure)
{
    if (p->too_many_fields)
        return HTTP_PARSE_TOO_MANY_FIELDS;
    if (failure == HPE_PAUSED_H2_UPGRADE)
        return HTTP_PARSE_BAD_VERSION;
    /* Also said of a bare LF behind a good version. */
    if (failure == HPE_INVALID_VERSION && !(p->version.size == 3 && p->version.data[0] == '1' &&
                                            (p->version.data[2] == '0' || p->version.data[2] == '1')))
        return HTTP_PARSE_BAD_VERSION;
    return HTTP_PARSE_BAD;
}

/* Steps over CRLFs before a request. llhttp would take any number of them, and of bare CR and LF too. */
static enum http_parse skip_empty_lines(struct http_parser *p, const char *data, size_t size)
{
    for (int lines = 0; p->used < size && (data[p->used] == '\r' || data[p->used] == '\n'); lines++) {
        if (data[p->used] == '\n' || lines == EMPTY_LINES_MAX || p->kind == HTTP_PARSER_RESPONSE)
            return HTTP_PARSE_BAD;
        if (p->used + 1 == size) {
            p->used = 0; /* counted again with what follows */
            return HTTP_PARSE_MORE;
        }
        if (data[p->used + 1] != '\n')
            return HTTP_PARSE_BAD;
        p->used += 2;
    }
    if (p->used == size) {
        p->used = 0;
        return HTTP_PARSE_MORE;
    }
    p->start = data + p->used;
    return HTTP_PARSE_DONE;
}

/* Reads the method of a request, and gives llhttp, which knows only some, one that it knows in its place. */
static enum http_parse read_method(struct http_parser *p, const char *data, size_t size)
{
    struct http_head *head = p->head;
    size_t left = size - (size_t)(p->start - data), end = 0;

    while (end < left && end <= METHOD_SIZE_MAX && is_method_character(p->start[end]))
        end++;
    if (end == left && end <= METHOD_SIZE_MAX)
        return HTTP_PARSE_MORE;
    head->method_text = slice_make(p->start, end);
    if (slice_equal(head->method_text, SLICE_LITERAL("PRI")))
        return HTTP_PARSE_DONE; /* llhttp knows what to say */
    if (p->start[end] != ' ' || !http_parser_is_method(head->method_text, &head->method))
        return HTTP_PARSE_BAD;
    if (head->method == HTTP_OTHER) {
        llhttp_execute(machine_of(p), "PATCH", sizeof("PATCH") - 1);
        p->used += end;
    }
    return HTTP_PARSE_DONE;
}

static enum http_parse begin_head(struct http_parser *p, const char *data, size_t size)
{
    enum http_parse begun = p->start ? HTTP_PARSE_DONE : skip_empty_lines(p, data, size);

    if (begun == HTTP_PARSE_DONE && p->kind == HTTP_PARSER_REQUEST && !p->head->method_text.data)
        begun = read_method(p, data, size);
    return begun;
}

enum http_parse http_parser_head(struct http_parser *p, const char *data, size_t size, size_t *ret_head_size)
{
    llhttp_errno_t result;
    enum http_parse begun = begin_head(p, data, size);

    if (begun != HTTP_PARSE_DONE)
        return begun;
    REQUIRE(p->start >= data && p->used <= size);
    result = llhttp_execute(machine_of(p), data + p->used, size - p->used);
    if (result == HPE_OK) {
        p->used = size;
        return HTTP_PARSE_MORE;
    }
    if (result != HPE_PAUSED)
        return head_failure(p, result);

    enum http_parse checked = check_head(p);
    if (checked == HTTP_PARSE_DONE)
        *ret_head_size = (size_t)(llhttp_get_error_pos(machine_of(p)) - data);
    return checked;
}

/* --- The body. --- */

static enum http_framing framing_of(const struct http_parser *p, bool is_head_request)
{
    const struct http_head *head = p->head;

    if (is_head_request || head->status == 204 || head->status == 304 ||
        (head->status >= 100 && head->status < 200))
        return HTTP_FRAMING_NONE;
    if (head->chunked)
        return HTTP_FRAMING_CHUNKED;
    if (head->content_length >= 0)
        return head->content_length > 0 ? HTTP_FRAMING_LENGTH : HTTP_FRAMING_NONE;
    return p->kind == HTTP_PARSER_RESPONSE ? HTTP_FRAMING_CLOSE : HTTP_FRAMING_NONE;
}

enum http_framing http_parser_begin_body(struct http_parser *p, bool is_head_request)
{
    p->framing = framing_of(p, is_head_request);
    if (p->framing == HTTP_FRAMING_LENGTH)
        p->body_left = (uint64_t)p->head->content_length;
    if (p->framing == HTTP_FRAMING_CHUNKED)
        llhttp_resume(machine_of(p));
    return p->framing;
}

static enum http_parse parse_chunks(struct http_parser *p, const char *data, size_t size, size_t *ret_used)
{
    const char *end = data + size;
    llhttp_errno_t result;

    p->body_cursor = data;
    result = llhttp_execute(machine_of(p), data, size);
    if (p->stopped)
        return HTTP_PARSE_STOPPED;
    if (result == HPE_PAUSED && p->complete)
        end = llhttp_get_error_pos(machine_of(p));
    else if (result != HPE_OK)
        return HTTP_PARSE_BAD;
    p->framing_bytes += (size_t)(end - p->body_cursor);
    if (p->framing_bytes > HTTP_FRAMING_SIZE_MAX)
        return HTTP_PARSE_BAD;
    *ret_used = (size_t)(end - data);
    return p->complete ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}

enum http_parse http_parser_body(struct http_parser *p, const char *data, size_t size, http_body_fn *on_body,
                                 void *user, size_t *ret_used)
{
    size_t used = size;

    p->on_body = on_body;
    p->user = user;
    if (p->framing == HTTP_FRAMING_CHUNKED)
        return parse_chunks(p, data, size, ret_used);
    if (p->framing == HTTP_FRAMING_NONE)
        used = 0;
    if (p->framing == HTTP_FRAMING_LENGTH) {
        used = size < p->body_left ? size : (size_t)p->body_left;
        p->body_left -= used;
    }
    if (used > 0 && !on_body(user, data, used))
        return HTTP_PARSE_STOPPED;
    *ret_used = used;
    return p->framing == HTTP_FRAMING_CLOSE || p->body_left > 0 ? HTTP_PARSE_MORE : HTTP_PARSE_DONE;
}

bool http_parser_ends_well(const struct http_parser *p)
{
    switch (p->framing) {
    case HTTP_FRAMING_LENGTH: return p->body_left == 0;
    case HTTP_FRAMING_CHUNKED: return p->complete;
    default: return true;
    }
}
