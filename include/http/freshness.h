/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 9111 as functions of a response's fields and of time: may a shared cache store it, for how long is it
 * fresh, how old is it, may it be used stale. Hides Cache-Control's syntax and its many conservative
 * readings.
 */
#ifndef HTTP_FRESHNESS_H
#define HTTP_FRESHNESS_H

#include "base/slice.h"

#define CACHE_CONTROL_SECONDS_MAX 2147483648u /* larger values are held here (RFC 9111 section 1.2.2) */

/* The directives that carry seconds come first. */
#define CACHE_CONTROL_DIRECTIVES(D)                     \
    D(MAX_AGE, "max-age")                               \
    D(S_MAXAGE, "s-maxage")                             \
    D(MAX_STALE, "max-stale")                           \
    D(MIN_FRESH, "min-fresh")                           \
    D(STALE_WHILE_REVALIDATE, "stale-while-revalidate") \
    D(STALE_IF_ERROR, "stale-if-error")                 \
    D(NO_STORE, "no-store")                             \
    D(NO_CACHE, "no-cache")                             \
    D(PRIVATE, "private")                               \
    D(PUBLIC, "public")                                 \
    D(MUST_REVALIDATE, "must-revalidate")               \
    D(PROXY_REVALIDATE, "proxy-revalidate")             \
    D(MUST_UNDERSTAND, "must-understand")               \
    D(NO_TRANSFORM, "no-transform")                     \
    D(ONLY_IF_CACHED, "only-if-cached")                 \
    D(IMMUTABLE, "immutable")

enum cache_control_directive {
#define D(name, text) CC_##name,
    CACHE_CONTROL_DIRECTIVES(D)
#undef D
        CC_COUNT,
    CC_SECONDS_COUNT = CC_NO_STORE,
};

/* All zero is an empty one. */
struct cache_control {
    uint32_t present;                   /* bit by directive */
    uint32_t seconds[CC_SECONDS_COUNT]; /* where present; max-stale without a value is the maximum */
};

static inline bool http_cache_control_has(const struct cache_control *cc,
                                          enum cache_control_directive directive)
{
    return cc->present >> directive & 1;
}

/*
 * Adds one field line. no-cache and private count whole also when they name fields. Seconds that are missing
 * or no number, and a directive given twice with different values, become 0, which is stale (RFC 9111
 * section 4.2.1 offers "the first" or "stale"; stale cannot serve a wrong byte). Unknown directives are
 * ignored.
 */
void http_cache_control_add(struct cache_control *cc, struct slice line);

/* Adds a line of a targeted field such as CDN-Cache-Control (RFC 9213). False when it is no dictionary of
 * structured fields (RFC 8941): the whole field is then as good as absent. Upper case in names is let pass,
 * as Cache-Control lets it. */
bool http_targeted_cache_control_add(struct cache_control *cc, struct slice line);

/* A response as received, and what of its request matters. To obey a targeted field (RFC 9213) put that one
 * in cache_control and leave expires and pragma absent. */
struct freshness_input {
    unsigned status;
    struct cache_control cache_control;
    struct slice expires, date, last_modified, age, vary, pragma; /* data NULL when absent; lines joined */
    bool has_set_cookie;
    bool has_authorization; /* of the request */
    bool request_no_store;  /* the request's Cache-Control said so and the site honours it */
    int64_t request_time_ms;
    int64_t response_time_ms; /* wall clock, when the head had arrived */
};

#define STORE_VERDICTS(V)                                                                               \
    V(OK, "ok")                                                                                         \
    V(NO_STORE, "no_store")                                                                             \
    V(REQUEST_NO_STORE, "request_no_store")                                                             \
    V(PRIVATE, "private")                                                                               \
    V(AUTHORIZATION, "authorization") /* and nothing in the response allows sharing it */               \
    V(STATUS, "status")               /* interim, 304, or not cacheable without explicit freshness */   \
    V(SET_COOKIE, "set_cookie")       /* without public or s-maxage: somebody's session, most likely */ \
    V(VARY_STAR, "vary_star")

enum store_verdict {
#define V(name, text) STORE_##name,
    STORE_VERDICTS(V)
#undef V
};

const char *freshness_verdict_name(enum store_verdict verdict);

/* RFC 9111 section 3, for the answer to a GET. 206 is judged like 200: the store keeps parts of objects. */
enum store_verdict freshness_may_store(const struct freshness_input *in);

enum freshness_source {
    FRESHNESS_NONE, /* nothing is said and nothing can be guessed: lifetime 0 */
    FRESHNESS_S_MAXAGE,
    FRESHNESS_MAX_AGE,
    FRESHNESS_EXPIRES,
    FRESHNESS_HEURISTIC, /* a tenth of the time since Last-Modified, at most a day */
};

/* Sections 4.2.1 and 4.2.2. Explicit sources are what the origin says and are obeyed; for the others the
 * caller may know better (a playlist, a class). no-cache is not looked at here. */
int64_t freshness_lifetime_ms(const struct freshness_input *in, enum freshness_source *ret_source);

/* no-cache, or Pragma: no-cache where there is no Cache-Control: validate before each use. */
bool freshness_must_validate(const struct freshness_input *in);

/* How long after its lifetime it may be used (RFC 9111 section 4.2.4, RFC 5861): 0 when forbidden, -1 when
 * the response does not say. `directive` is CC_STALE_WHILE_REVALIDATE or CC_STALE_IF_ERROR. s-maxage forbids
 * staleness only where the same response does not allow it by name. */
int64_t freshness_stale_ms(const struct freshness_input *in, enum cache_control_directive directive);

/* Whether a stored response of that age, fresh for `left_ms` more (negative: stale for so long), will do for
 * a request with these directives (section 5.2.1): no-cache, max-age, min-fresh, max-stale. may_be_stale:
 * nothing forbids that it is used stale (section 4.2.4). */
bool freshness_satisfies(const struct cache_control *request, int64_t age_ms, int64_t left_ms,
                         bool may_be_stale);

/* corrected_initial_age and current_age of section 4.2.3; never negative. Age on the wire is whole seconds of
 * it. */
int64_t freshness_initial_age_ms(const struct freshness_input *in);
int64_t freshness_current_age_ms(int64_t initial_age_ms, int64_t response_time_ms, int64_t now_ms);

#endif
