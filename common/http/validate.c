/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validators and preconditions. What is malformed in a condition is ignored where the RFC says so, and
 * otherwise leads to the larger answer: a 200 in place of a 304 or a 206 is never wrong.
 */
#include "http/validate.h"

#include "http/date.h"

static bool is_etag_char(char c)
{
    unsigned char u = (unsigned char)c;

    return u == 0x21 || (u >= 0x23 && u != 0x7f);
}

/* Takes an entity-tag off the front of *rest. */
static bool take_etag(struct slice *rest, struct etag *ret_tag)
{
    bool weak = slice_starts_with(*rest, SLICE_LITERAL("W/"));
    struct slice s = slice_skip(*rest, weak ? 2 : 0);
    size_t size = 0;

    if (s.size < 2 || s.data[0] != '"')
        return false;
    s = slice_skip(s, 1);
    while (size < s.size && is_etag_char(s.data[size]))
        size++;
    if (size == s.size || s.data[size] != '"')
        return false;
    *ret_tag = (struct etag){slice_make(s.data, size), weak};
    *rest = slice_skip(s, size + 1);
    return true;
}

bool http_etag_parse(struct slice value, struct etag *ret_tag)
{
    struct slice rest = value.data ? slice_trim(value) : SLICE_EMPTY;
    struct etag tag;

    if (!take_etag(&rest, &tag) || rest.size > 0)
        return false;
    *ret_tag = tag;
    return true;
}

bool http_etag_equal_strong(const struct etag *a, const struct etag *b)
{
    return !a->weak && !b->weak && slice_equal(a->opaque, b->opaque);
}

bool http_etag_equal_weak(const struct etag *a, const struct etag *b)
{
    return slice_equal(a->opaque, b->opaque);
}

static bool is_list_space(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool http_etag_list_has(struct slice list, const struct etag *tag, bool strong)
{
    struct slice rest = list.data ? list : SLICE_EMPTY;
    struct etag member;

    for (;;) {
        while (rest.size > 0 && is_list_space(rest.data[0]))
            rest = slice_skip(rest, 1);
        if (!take_etag(&rest, &member))
            return false;
        if (strong ? http_etag_equal_strong(&member, tag) : http_etag_equal_weak(&member, tag))
            return true;
        if (rest.size > 0 && !is_list_space(rest.data[0]))
            return false;
    }
}

/* "*" matches because there is a representation. */
static bool matches(struct slice field, const struct condition_stored *stored, bool strong)
{
    struct etag tag;

    return slice_equal(slice_trim(field), SLICE_LITERAL("*")) ||
           (http_etag_parse(stored->etag, &tag) && http_etag_list_has(field, &tag, strong));
}

static bool unmodified_since(struct slice field, int64_t last_modified_s, int64_t now_s, bool otherwise)
{
    int64_t since_s;

    if (last_modified_s == HTTP_DATE_NONE || !http_date_parse(field, now_s, &since_s))
        return otherwise;
    return last_modified_s <= since_s;
}

static bool is_retrieval(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD;
}

/* Steps 1 and 2 of section 13.2.2. */
static bool origin_conditions_hold(const struct condition_request *request,
                                   const struct condition_stored *stored, int64_t now_s)
{
    if (request->if_match.data)
        return matches(request->if_match, stored, true);
    if (request->if_unmodified_since.data)
        return unmodified_since(request->if_unmodified_since, stored->last_modified_s, now_s, true);
    return true;
}

/* Steps 3 and 4: whether the client has this representation already. */
static bool client_has_it(const struct condition_request *request, const struct condition_stored *stored,
                          int64_t now_s)
{
    int64_t last_modified_s = stored->last_modified_s;

    if (request->if_none_match.data)
        return matches(request->if_none_match, stored, false);
    if (!request->if_modified_since.data || !is_retrieval(request->method))
        return false;
    if (last_modified_s == HTTP_DATE_NONE)
        last_modified_s = stored->date_s; /* RFC 9111 section 4.3.2 */
    return unmodified_since(request->if_modified_since, last_modified_s, now_s, false);
}

/* A date is a strong validator only when it cannot have changed within its second (section 8.8.2.2). */
static bool if_range_holds(struct slice field, const struct condition_stored *stored, int64_t now_s)
{
    struct etag wanted, tag;
    int64_t date_s;

    if (http_etag_parse(field, &wanted))
        return http_etag_parse(stored->etag, &tag) && http_etag_equal_strong(&wanted, &tag);
    return http_date_parse(field, now_s, &date_s) && date_s == stored->last_modified_s &&
           stored->date_s > stored->last_modified_s;
}

enum condition_outcome http_condition_evaluate(const struct condition_request *request,
                                               const struct condition_stored *stored, int64_t now_s,
                                               bool *ret_range_applies)
{
    *ret_range_applies = false;
    if (!origin_conditions_hold(request, stored, now_s))
        return CONDITION_FAILED;
    if (client_has_it(request, stored, now_s))
        return is_retrieval(request->method) ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
    *ret_range_applies = request->method == HTTP_GET && request->has_range &&
                         (!request->if_range.data || if_range_holds(request->if_range, stored, now_s));
    return CONDITION_PROCEED;
}
