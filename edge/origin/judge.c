/* SPDX-License-Identifier: Apache-2.0 */
/* See judge.h. */
#include "origin/judge.h"

#include "base/check.h"
#include "http/range.h"
#include "http/validate.h"
#include "reply.h"

static void add_cache_control(const struct http_head *head, struct cache_control *cc)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cache-control")))
            http_cache_control_add(cc, head->fields[i].value);
}

static struct freshness_input input_of(const struct http_head *head, int64_t request_time_ms, int64_t now_ms)
{
    struct freshness_input in = {
        .status = head->status,
        .expires = http_head_get(head, "expires"),
        .date = http_head_get(head, "date"),
        .last_modified = http_head_get(head, "last-modified"),
        .age = http_head_get(head, "age"),
        .vary = http_head_get(head, "vary"),
        .pragma = http_head_get(head, "pragma"),
        .has_set_cookie = http_head_count(head, "set-cookie") > 0,
        .request_time_ms = request_time_ms,
        .response_time_ms = now_ms,
    };
    add_cache_control(head, &in.cache_control);
    return in;
}

/* The edge asks for identity encoding always and answers CORS itself, so these two change nothing. Any other
 * field may make bytes differ between viewers: such a response is not shared. */
static bool varies(const struct http_head *head)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice rest = head->fields[i].value, name;
        if (!slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("vary")))
            continue;
        while (slice_split(&rest, ',', &name)) {
            name = slice_trim(name);
            if (name.size && !slice_equal_nocase(name, SLICE_LITERAL("accept-encoding")) &&
                !slice_equal_nocase(name, SLICE_LITERAL("origin")))
                return true;
        }
    }
    return false;
}

/* Which bytes follow. A 206 must be what was asked for; a 200 to a range request is the whole, from the
 * start. */
static const char *judge_extent(const struct http_head *head, const struct flight *flight, bool is_head,
                                struct judgement *j)
{
    struct content_range range;
    bool is_ranged;
    uint64_t first, limit;
    flight_range(flight, &is_ranged, &first, &limit);
    j->stored_status = head->status;
    j->first_bytes = 0;
    j->total_bytes =
        head->content_length >= 0 && !head->chunked ? (uint64_t)head->content_length : FLIGHT_SIZE_UNKNOWN;
    j->limit_bytes = j->total_bytes == FLIGHT_SIZE_UNKNOWN ? FLIGHT_NO_LIMIT : j->total_bytes;
    if (head->status == 204 || (head->status == 304 && !is_head))
        j->total_bytes = j->limit_bytes = 0;
    if (head->status != 206)
        return NULL;
    if (!is_ranged || !http_content_range_parse(http_head_get(head, "content-range"), &range) ||
        range.unsatisfied || range.total == HTTP_RANGE_UNKNOWN || range.first != first ||
        (j->total_bytes != FLIGHT_SIZE_UNKNOWN && j->total_bytes != range.last - range.first + 1))
        return "origin_bad_range";
    j->stored_status = 200;
    j->first_bytes = range.first;
    j->limit_bytes = range.last + 1;
    j->total_bytes = range.total;
    return NULL;
}

/* Names these very bytes: a strong validator alone (RFC 9110 section 8.8.1), so that a range, whose total is
 * told, continues a whole that was chunked; a date with the size. Without either no two responses are the
 * same. */
static uint64_t representation_of(const struct http_head *head, uint64_t total_bytes)
{
    struct {
        uint64_t total_bytes, validator;
    } identity = {total_bytes, 0};
    struct slice etag = http_head_get(head, "etag"), modified = http_head_get(head, "last-modified");
    uint8_t random[HASH_SECRET_SIZE];
    if (etag.data && !(etag.size > 2 && etag.data[0] == 'W')) {
        identity.validator = hash_sum(etag.data, etag.size);
        identity.total_bytes = 0;
    } else if (modified.data) {
        identity.validator = hash_sum(modified.data, modified.size);
    } else {
        hash_secret_new(random);
        memcpy(&identity.validator, random, sizeof(identity.validator));
    }
    uint64_t hash = hash_sum(&identity, sizeof(identity));
    return hash ? hash : 1; /* 0 means any */
}

void judge_response(const struct http_head *head, const struct flight *flight, bool is_head,
                    int64_t request_time_ms, int64_t now_ms, struct judgement *ret)
{
    struct freshness_input in = input_of(head, request_time_ms, now_ms);
    struct judgement j = {0};
    policy_of_response(&in, &j.policy);
    j.failure = judge_extent(head, flight, is_head, &j);
    j.representation = representation_of(head, j.total_bytes);
    /* 508 speaks of the way this one request came, 416 of the range that was asked for. */
    j.is_private = is_head || !policy_is_shareable(&j.policy) || varies(head) || head->status == 508;
    j.is_kept = !j.is_private && j.policy.verdict == STORE_OK && head->status != 416;
    *ret = j;
}

void judge_not_modified(struct slice updated_head, struct slice age, int64_t request_time_ms, int64_t now_ms,
                        struct policy *ret_policy)
{
    struct reply_stored stored = {.status = 200, .fields = SLICE_EMPTY};
    reply_parse_stored(updated_head, &stored);
    struct freshness_input in = {
        .status = stored.status,
        .expires = reply_stored_get(stored.fields, "expires"),
        .date = reply_stored_get(stored.fields, "date"),
        .last_modified = reply_stored_get(stored.fields, "last-modified"),
        .age = age,
        .vary = reply_stored_get(stored.fields, "vary"),
        .pragma = reply_stored_get(stored.fields, "pragma"),
        .has_set_cookie = reply_stored_get(stored.fields, "set-cookie").data != NULL,
        .request_time_ms = request_time_ms,
        .response_time_ms = now_ms,
    };
    struct http_field f;
    while (reply_stored_next(&stored.fields, &f))
        if (slice_equal_nocase(f.name, SLICE_LITERAL("cache-control")))
            http_cache_control_add(&in.cache_control, f.value);
    policy_of_response(&in, ret_policy);
}

bool judge_is_same(const struct http_head *not_modified, struct slice stored_head)
{
    struct reply_stored stored = {.fields = SLICE_EMPTY};
    struct etag ours, theirs;
    reply_parse_stored(stored_head, &stored);
    if (!http_etag_parse(http_head_get(not_modified, "etag"), &theirs) ||
        !http_etag_parse(reply_stored_get(stored.fields, "etag"), &ours))
        return true;
    return http_etag_equal_weak(&ours, &theirs);
}
