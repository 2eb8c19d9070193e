/* SPDX-License-Identifier: Apache-2.0 */
/* See key.h. */
#include "key.h"

#include "http/uri.h"

bool key_write(struct slice site_name, struct slice path, struct slice query, const struct slice *drop,
               size_t drop_count, struct buf *text, struct slice *ret_target)
{
    buf_clear(text);
    buf_append_slice(text, site_name);
    if (path.size == 0) /* absolute-form may leave it out (RFC 9112 section 3.2.2) */
        path = SLICE_LITERAL("/");
    if (!uri_append_normalized_path(text, path))
        return false;
    if (query.data) {
        size_t mark = text->size;
        buf_append_char(text, '?');
        if (uri_query_filter(query, drop, drop_count, text) == 0 && !text->failed)
            text->size = mark;
    }
    *ret_target = slice_skip(buf_slice(text), site_name.size);
    return !text->failed;
}
