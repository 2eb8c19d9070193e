/* SPDX-License-Identifier: Apache-2.0 */
/* See key.h. */
#include "key.h"

#include "base/check.h"
#include "http/uri.h"

/* Of longer queries the order stays: sorting them is work for an attacker to ask for. */
#define SORTED_MAX 64

static bool is_kept(const struct uri_param *param, const struct config_query_rules *rules)
{
    return !uri_query_matches(param->name, rules->drop, rules->drop_count) &&
           (rules->keep_count == 0 || uri_query_matches(param->name, rules->keep, rules->keep_count));
}

/* "?" and the parameters that are kept, in their order; nothing when none is. */
static void append_query(struct buf *text, struct slice query, const struct config_query_rules *rules)
{
    struct uri_param param;
    char separator = '?';
    while (uri_query_next(&query, &param)) {
        if (!is_kept(&param, rules))
            continue;
        buf_append_char(text, separator);
        buf_append_slice(text, param.whole);
        separator = '&';
    }
}

static bool is_before(const struct uri_param *a, const struct uri_param *b)
{
    int order = memcmp(a->name.data, b->name.data, size_min(a->name.size, b->name.size));
    return order < 0 || (order == 0 && a->name.size < b->name.size);
}

static void append_sorted_query(struct buf *text, struct slice query, const struct config_query_rules *rules)
{
    struct uri_param params[SORTED_MAX], param;
    struct slice rest = query;
    size_t count = 0;
    while (uri_query_next(&rest, &param)) {
        if (!is_kept(&param, rules))
            continue;
        if (count == SORTED_MAX) {
            append_query(text, query, rules);
            return;
        }
        size_t at = count++;
        for (; at > 0 && is_before(&param, &params[at - 1]); at--)
            params[at] = params[at - 1];
        params[at] = param;
    }
    for (size_t i = 0; i < count; i++) {
        buf_append_char(text, i == 0 ? '?' : '&');
        buf_append_slice(text, params[i].whole);
    }
}

bool key_write(struct slice site_name, struct slice path, struct slice query,
               const struct config_query_rules *rules, struct buf *text, struct slice *ret_target)
{
    buf_clear(text);
    buf_append_slice(text, site_name);
    if (path.size == 0) /* absolute-form may leave it out (RFC 9112 section 3.2.2) */
        path = SLICE_LITERAL("/");
    if (!uri_append_normalized_path(text, path))
        return false;
    if (query.data && rules->sort)
        append_sorted_query(text, query, rules);
    else if (query.data)
        append_query(text, query, rules);
    *ret_target = slice_skip(buf_slice(text), site_name.size);
    return !text->failed;
}
