/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For how long a response is fresh at this edge. RFC 9111 decides what the origin has said
 * (http/freshness.h); where it has said nothing, the class of the content and the playlist itself do. Pure.
 */
#ifndef CACHE_POLICY_H
#define CACHE_POLICY_H

#include "config.h"
#include "hls/playlist.h"
#include "http/freshness.h"
#include "ledger.h"
#include "store/store.h"

/* What a response head says: plain values, so that it outlives the head. */
struct policy {
    enum store_verdict verdict;
    enum freshness_source source;
    int64_t lifetime_ms; /* as `source` says */
    bool must_validate;
    int64_t stale_while_revalidate_ms, stale_if_error_ms; /* -1: not said */
    int64_t initial_age_ms, response_time_ms;
    unsigned status;
};

void policy_of_response(const struct freshness_input *in, struct policy *ret_policy);

/* What the body is known to be. */
struct policy_content {
    enum content_class content_class;
    const struct hls_playlist *playlist; /* NULL: not a playlist that could be read */
    uint32_t target_duration_ms;         /* of the playlist that lists it; 0: not known */
};

/* Fills the times of a meta; nothing else of it. */
void policy_apply(const struct policy *p, const struct policy_content *content,
                  const struct config_freshness *defaults, struct store_meta *meta);

/* Which rule policy_apply follows for it, as an operator would look it up: a directive of the response, or a
 * field of the site's `freshness`. */
const char *policy_rule(const struct policy *p, const struct policy_content *content);

/* Errors of servers that pass, as RFC 9110 has them: 500, 502, 503, 504. */
static inline bool policy_is_server_error(unsigned status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

/* A response that may be shared among those who wait for it now, whether or not it is kept afterwards. */
bool policy_is_shareable(const struct policy *p);

#endif
