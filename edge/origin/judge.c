/* SPDX-License-Identifier: Apache-2.0 */
/* See judge.h. */
#include "origin/judge.h"

#include "base/check.h"
#include "http/date.h"
#include "http/range.h"
#include "http/validate.h"
#include "reply.h"

static void add_cache_control(const struct http_head *head, struct cache_control *cc)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cache-control")))
            http_cache_control_add(cc, head->fields[i].value);
}

/* RFC 9213: what is said to caches such as this one stands in place of what is said to all. */
static void add_targeted(const struct http_head *head, struct freshness_input *in)
{
    struct cache_control targeted = {0};
    bool is_valid = true;
    for (size_t i = 0; is_valid && i < head->field_count; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("cdn-cache-control")))
            is_valid = http_targeted_cache_control_add(&targeted, head->fields[i].value);
    if (!is_valid || !targeted.present)
        return;
    in->cache_control = targeted;
    in->expires = in->pragma = (struct slice){NULL, 0};
}

/* RFC 9111 section 7.3 leaves it to Cache-Control whether a response with Set-Cookie is shared; most sites
 * had better be asked whether they meant it. */
static bool is_cookie_in_the_way(bool has_set_cookie, const struct judge_request *request,
                                 const struct freshness_input *in)
{
    return has_set_cookie && !(request->may_store_set_cookie &&
                               (http_cache_control_has(&in->cache_control, CC_MAX_AGE) || in->expires.data));
}

static struct freshness_input input_of(const struct http_head *head, const struct judge_request *request,
                                       int64_t now_ms)
{
    struct freshness_input in = {
        .status = head->status,
        .expires = http_head_get(head, "expires"),
        .date = http_head_get(head, "date"),
        .last_modified = http_head_get(head, "last-modified"),
        .age = http_head_get(head, "age"),
        .vary = http_head_get(head, "vary"),
        .pragma = http_head_get(head, "pragma"),
        .has_authorization = request->has_authorization,
        .request_no_store = request->is_no_store,
        .request_time_ms = request->time_ms,
        .response_time_ms = now_ms,
    };
    add_cache_control(head, &in.cache_control);
    add_targeted(head, &in);
    in.has_set_cookie = is_cookie_in_the_way(http_head_count(head, "set-cookie") > 0, request, &in);
    return in;
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
        (j->total_bytes != FLIGHT_SIZE_UNKNOWN && j->total_bytes != range.last - range.first + 1) ||
        (range.last + 1 < limit && range.last + 1 < range.total)) /* slices cannot be made of less */
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
static uint64_t representation_of(const struct http_head *head, uint64_t total_bytes, bool *ret_is_named)
{
    struct {
        uint64_t total_bytes, validator;
    } identity = {total_bytes, 0};
    struct slice etag = http_head_get(head, "etag"), modified = http_head_get(head, "last-modified");
    uint8_t random[HASH_SECRET_SIZE];
    *ret_is_named = true;
    if (etag.data && !(etag.size > 2 && etag.data[0] == 'W')) {
        identity.validator = hash_sum(etag.data, etag.size);
        identity.total_bytes = 0;
    } else if (modified.data) {
        identity.validator = hash_sum(modified.data, modified.size);
    } else {
        *ret_is_named = false;
        hash_secret_new(random);
        memcpy(&identity.validator, random, sizeof(identity.validator));
    }
    uint64_t hash = hash_sum(&identity, sizeof(identity));
    return hash ? hash : 1; /* 0 means any */
}

void judge_response(const struct http_head *head, const struct flight *flight,
                    const struct judge_request *request, enum key_vary vary, int64_t now_ms,
                    struct judgement *ret)
{
    struct freshness_input in = input_of(head, request, now_ms);
    struct judgement j = {0};
    policy_of_response(&in, &j.policy);
    if (request->keeps_server_errors && policy_is_server_error(head->status) &&
        j.policy.verdict == STORE_STATUS)
        j.policy.verdict = STORE_OK;
    j.failure = judge_extent(head, flight, request->is_head, &j);
    j.representation = representation_of(head, j.total_bytes, &j.is_named);
    /* 508 and 425 speak of the way this one request came, 416 of the range that was asked for. */
    j.is_private = request->is_head || request->is_passed || !policy_is_shareable(&j.policy) ||
                   vary == KEY_VARY_UNKNOWN || head->status == 508 || head->status == 425;
    j.is_kept = !j.is_private && j.policy.verdict == STORE_OK && head->status != 416 &&
                (head->status != 206 || j.is_named); /* nothing could be put together with such a part */
    if (vary == KEY_VARY_FIELDS && !j.is_kept)       /* who waits may be another variant's viewer */
        j.is_private = true;
    *ret = j;
}

void judge_not_modified(struct slice updated_head, struct slice age, const struct judge_request *request,
                        int64_t now_ms, struct policy *ret_policy)
{
    struct reply_stored stored = {.status = 200, .fields = SLICE_EMPTY};
    reply_parse_stored(updated_head, &stored);
    struct http_head head = {.status = stored.status};
    while (head.field_count < HTTP_FIELDS_MAX &&
           reply_stored_next(&stored.fields, &head.fields[head.field_count]))
        head.field_count++;
    struct freshness_input in = input_of(&head, request, now_ms);
    in.age = age; /* it is not among what is stored */
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

/* ---- the rest of a body that broke ---- */

#define STRONG_DATE_AGE_S 60 /* between Last-Modified and Date */

static bool is_strong_etag(struct slice etag)
{
    return etag.data && etag.size >= 2 && etag.data[0] == '"' && etag.data[etag.size - 1] == '"';
}

struct slice judge_strong_validator(const struct http_head *head)
{
    struct slice etag = http_head_get(head, "etag"), modified = http_head_get(head, "last-modified"),
                 date = http_head_get(head, "date");
    int64_t date_s, modified_s;
    if (is_strong_etag(etag))
        return etag;
    if (!etag.data && modified.data && date.data && http_date_parse(date, 0, &date_s) &&
        http_date_parse(modified, date_s, &modified_s) && date_s - modified_s >= STRONG_DATE_AGE_S)
        return modified;
    return (struct slice){NULL, 0};
}

static bool has_validator(const struct http_head *head, struct slice validator)
{
    return slice_equal(http_head_get(head, validator.data[0] == '"' ? "etag" : "last-modified"), validator);
}

enum judge_rest_verdict judge_rest(const struct http_head *head, const struct judge_rest *rest)
{
    struct content_range range;
    uint64_t size = rest->limit_bytes - rest->first_bytes;
    if (head->status == 404 || head->status == 410 || head->status == 416 || head->status == 412)
        return JUDGE_REST_CHANGED;
    if (head->status == 200)
        return has_validator(head, rest->validator) ? JUDGE_REST_UNUSABLE : JUDGE_REST_CHANGED;
    if (head->status != 206 || !http_content_range_parse(http_head_get(head, "content-range"), &range) ||
        range.unsatisfied)
        return JUDGE_REST_UNUSABLE;
    if (!has_validator(head, rest->validator) || range.total != rest->total_bytes)
        return JUDGE_REST_CHANGED;
    bool is_whole = range.first == rest->first_bytes && range.last + 1 == rest->limit_bytes;
    bool is_framed = head->chunked || head->content_length < 0 || (uint64_t)head->content_length == size;
    return is_whole && is_framed && http_head_count(head, "content-range") == 1 ? JUDGE_REST
                                                                                : JUDGE_REST_UNUSABLE;
}
