/* SPDX-License-Identifier: Apache-2.0 */
/* Looking things up in a parsed head. Fields are few and searched in order: an index would cost more than it
 * saves. */
#include "http/head.h"

#include "base/check.h"

struct slice http_head_get(const struct http_head *h, const char *name)
{
    struct slice wanted = slice_of(name);

    for (size_t i = 0; i < h->field_count; i++)
        if (slice_equal_nocase(h->fields[i].name, wanted))
            return h->fields[i].value;
    return (struct slice){NULL, 0};
}

size_t http_head_count(const struct http_head *h, const char *name)
{
    struct slice wanted = slice_of(name);
    size_t count = 0;

    for (size_t i = 0; i < h->field_count; i++)
        count += slice_equal_nocase(h->fields[i].name, wanted);
    return count;
}

static bool list_has(struct slice list, struct slice token)
{
    struct slice part;

    while (slice_split(&list, ',', &part))
        if (slice_equal_nocase(slice_trim(part), token))
            return true;
    return false;
}

static bool lists(const struct http_head *h, struct slice name, struct slice token)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (slice_equal_nocase(h->fields[i].name, name) && list_has(h->fields[i].value, token))
            return true;
    return false;
}

bool http_head_lists(const struct http_head *h, const char *name, const char *token)
{
    return lists(h, slice_of(name), slice_of(token));
}

bool http_head_is_hop_by_hop(const struct http_head *h, struct slice name)
{
    /* Trailer is among them as trailers are not passed on. */
    static const char *const names[] = {
        "Connection", "Keep-Alive",         "Proxy-Connection",    "TE", "Transfer-Encoding", "Trailer",
        "Upgrade",    "Proxy-Authenticate", "Proxy-Authorization",
    };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    return lists(h, SLICE_LITERAL("Connection"), name);
}

const char *http_status_reason(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
    default: return "";
    }
}
