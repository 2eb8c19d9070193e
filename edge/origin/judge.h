/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an origin's response head means for the flight that asked: which bytes of which representation follow,
 * who may have them, and whether they are kept. Internal to origin/.
 */
#ifndef ORIGIN_JUDGE_H
#define ORIGIN_JUDGE_H

#include "cache/flight_filler.h"
#include "cache/policy.h"
#include "http/head.h"
#include "key_vary.h"

struct judgement {
    const char *failure; /* NULL, or why the response cannot be used */
    struct policy policy;
    unsigned stored_status; /* 200 for a 206: the store keeps representations, not ranges */
    uint64_t total_bytes, first_bytes, limit_bytes;
    uint64_t representation;
    bool is_named;   /* by a validator */
    bool is_private; /* for the leader alone */
    bool is_kept;
};

/* What of the request matters for what may be done with its response. */
struct judge_request {
    bool is_head, is_passed;
    bool has_authorization; /* and the origin was told */
    bool is_no_store;
    bool is_early;             /* and the origin was told */
    bool may_store_set_cookie; /* the site's rule */
    bool keeps_server_errors;  /* the same, and there is nothing older that is better */
    int64_t time_ms;
};

/* `vary`: what key_vary_of says of the head. */
void judge_response(const struct http_head *head, const struct flight *flight,
                    const struct judge_request *request, enum key_vary vary, int64_t now_ms,
                    struct judgement *ret);

/* The policy after a 304, from what it has made of the stored head (reply_update_head; RFC 9111 section
 * 4.3.4) and from its Age (data NULL: none). */
void judge_not_modified(struct slice updated_head, struct slice age, const struct judge_request *request,
                        int64_t now_ms, struct policy *ret_policy);

/* The validator by which the rest of a body can be asked for after a break, when it is strong: an entity tag,
 * or a date that is old enough for that (RFC 9110 section 8.8.2.2). data NULL: none. */
struct slice judge_strong_validator(const struct http_head *head);

/* What was asked for: bytes [first, limit) of `total`, of the representation that the validator names. */
struct judge_rest {
    struct slice validator;
    uint64_t first_bytes, limit_bytes, total_bytes;
};
enum judge_rest_verdict {
    JUDGE_REST,         /* that is what comes */
    JUDGE_REST_CHANGED, /* there is another representation now, or none */
    JUDGE_REST_UNUSABLE /* an answer that is none */
};
enum judge_rest_verdict judge_rest(const struct http_head *head, const struct judge_rest *rest);

/* Whether a 304 is about what is stored: false when it names another version. */
bool judge_is_same(const struct http_head *not_modified, struct slice stored_head);

#endif
