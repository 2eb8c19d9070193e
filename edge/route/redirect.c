/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a redirect to another edge looks like on the wire, and whose address a request comes from.
 */
#include "base/check.h"
#include "http/uri.h"
#include "route/route.h"

static const struct slice marker[] = {{ROUTE_MARKER, sizeof(ROUTE_MARKER) - 1}};

static void append_authority(struct buf *out, struct slice host, uint16_t port, bool is_tls)
{
    bool is_ipv6 = slice_find(host, ':') < host.size;

    buf_append_text(out, is_ipv6 ? "[" : "");
    buf_append_slice(out, host);
    buf_append_text(out, is_ipv6 ? "]" : "");
    if (port != (is_tls ? 443 : 80))
        buf_printf(out, ":%u", (unsigned)port);
}

bool route_redirect_url(struct slice host, uint16_t port, bool is_tls, struct slice path, struct slice query,
                        const char *self_name, struct buf *out)
{
    buf_append_text(out, is_tls ? "https://" : "http://");
    append_authority(out, host, port, is_tls);
    buf_append_slice(out, path);
    buf_append_char(out, '?');
    if (query.data) {
        buf_append_slice(out, query);
        buf_append_char(out, '&');
    }
    buf_append_text(out, ROUTE_MARKER "=");
    buf_append_text(out, self_name);
    return !out->failed;
}

bool route_has_marker(struct slice query)
{
    struct uri_param param;

    while (uri_query_next(&query, &param))
        if (uri_query_matches(param.name, marker, ARRAY_COUNT(marker)))
            return true;
    return false;
}

bool route_strip_marker(struct slice query, struct buf *out)
{
    return uri_query_filter(query, marker, ARRAY_COUNT(marker), out) > 0;
}

/* --- who asks --- */

static bool is_trusted(const struct addr *a, const struct addr_prefix *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (addr_prefix_contains(&trusted[i], a))
            return true;
    return false;
}

/* Cuts the last element off a comma-separated list; false when the list is used up (its data is NULL then).
 */
static bool take_last(struct slice *list, struct slice *ret_element)
{
    size_t start = list->size;

    if (!list->data)
        return false;
    while (start > 0 && list->data[start - 1] != ',')
        start--;
    *ret_element = slice_trim(slice_skip(*list, start));
    *list = start > 0 ? slice_make(list->data, start - 1) : slice_make(NULL, 0);
    return true;
}

struct addr route_viewer_address(const struct addr *peer, const struct http_head *head,
                                 const struct addr_prefix *trusted, size_t count)
{
    struct addr viewer = *peer;

    for (size_t i = head->field_count; i-- > 0;) {
        struct slice list = head->fields[i].value, element;

        if (!slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("X-Forwarded-For")))
            continue;
        while (is_trusted(&viewer, trusted, count) && take_last(&list, &element)) {
            if (element.size > 0 && addr_parse(element, &viewer) < 0) /* an empty element means nothing */
                return viewer;
        }
    }
    return viewer;
}
