/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of words: classes, causes and refusals are named here and nowhere else, so that the response,
 * the log and the counters say the same.
 */
#ifndef LEDGER_WORDS_H
#define LEDGER_WORDS_H

#include "base/check.h"

#define CONTENT_CLASSES(C)  \
    C(PLAYLIST, "playlist") \
    C(SEGMENT, "segment")   \
    C(INIT, "init")         \
    C(PART, "part")         \
    C(KEY, "key")           \
    C(OTHER, "other")

enum content_class {
#define C(name, word) CLASS_##name,
    CONTENT_CLASSES(C)
#undef C
        CLASS_COUNT
};

/* Why a request was answered as it was, and why bytes came from the origin. */
#define CAUSES(C)                                                                            \
    C(HIT, "hit", "fresh in the store")                                                      \
    C(COALESCED, "coalesced", "joined a fill that another request had started")              \
    C(MISS, "miss", "not in the store")                                                      \
    C(EXPIRED, "expired", "in the store but no longer fresh, and the origin sent a new one") \
    C(REVALIDATED, "revalidated", "no longer fresh, and the origin said it had not changed") \
    C(STALE, "stale", "served although no longer fresh, as the origin failed")               \
    C(DISK_FAILED, "disk_failed", "not found, as the disk that it would be on has failed")   \
    C(PURGED, "purged", "purged, and fetched again")                                         \
    C(UNCACHEABLE, "uncacheable", "the origin's response may not be shared")                 \
    C(ORPHAN, "orphan", "received for a fill that had no reader left")                       \
    C(REDIRECT, "redirect", "sent to a better edge")                                         \
    C(LOCAL, "local", "answered by the edge itself: preflight requests")                     \
    C(REFUSED, "refused", "refused by a named reason")                                       \
    C(ERROR, "error", "the origin failed, and there was nothing to serve instead")

enum cause {
#define C(name, word, text) CAUSE_##name,
    CAUSES(C)
#undef C
        CAUSE_COUNT
};

/* Why a request was not answered from the store: RFC 9211 section 2.2, its words. */
#define FORWARDS(F)                                                                \
    F(URI_MISS, "uri-miss")   /* nothing is kept under its key */                  \
    F(VARY_MISS, "vary-miss") /* only other variants are */                        \
    F(STALE, "stale")         /* what is kept had to be validated */               \
    F(REQUEST, "request")     /* the viewer asked for that, though it was fresh */ \
    F(PARTIAL, "partial")     /* the range that was asked for is not all there */  \
    F(METHOD, "method")       /* no cache answers it */                            \
    F(BYPASS, "bypass")       /* which variant it means cannot be told, or nobody shares it */

enum forward {
#define F(name, word) FORWARD_##name,
    FORWARDS(F)
#undef F
        FORWARD_COUNT
};

/* Why the edge itself refused a request that was well-formed HTTP (http/server.h names those that were not).
 */
#define REFUSALS(R)                                          \
    R(NONE, "none", 0)                                       \
    R(UNKNOWN_HOST, "unknown_host", 421)                     \
    R(MISDIRECTED, "misdirected_request", 421)               \
    R(METHOD_NOT_ALLOWED, "method_not_allowed", 405)         \
    R(BAD_HOST, "bad_request_host", 400)                     \
    R(BAD_TARGET, "bad_request_target", 400)                 \
    R(COUNTRY_DENIED, "country_denied", 403)                 \
    R(COUNTRY_NOT_ALLOWED, "country_not_allowed", 403)       \
    R(LOOP, "cdn_loop_detected", 508)                        \
    R(BODY_NOT_ALLOWED, "request_body_not_allowed", 413)     \
    R(ONLY_IF_CACHED, "only_if_cached", 504)                 \
    R(SLOW_READER, "slow_reader", 0)                         \
    R(OVERLOADED, "overloaded", 503)                         \
    R(OVERLOADED_CPU, "overloaded_cpu", 503)                 \
    R(OVERLOADED_MEMORY, "overloaded_memory", 503)           \
    R(OVERLOADED_DESCRIPTORS, "overloaded_descriptors", 503) \
    R(OVERLOADED_UPLINK, "overloaded_uplink", 503)           \
    R(CLIENT_RATE, "too_many_requests_of_client", 429)       \
    R(SITE_RATE, "too_many_requests_of_site", 503)           \
    R(CLIENT_MISSES, "client_miss_budget", 503)              \
    R(SITE_MISSES, "site_miss_budget", 503)                  \
    R(NO_MEMORY, "out_of_memory", 503)

enum refusal {
#define R(name, word, status) REFUSAL_##name,
    REFUSALS(R)
#undef R
        REFUSAL_COUNT
};

static inline const char *content_class_name(enum content_class c)
{
    static const char *const words[] = {
#define C(name, word) word,
        CONTENT_CLASSES(C)
#undef C
    };

    REQUIRE((size_t)c < ARRAY_COUNT(words));
    return words[c];
}

static inline const char *cause_name(enum cause c)
{
    static const char *const words[] = {
#define C(name, word, text) word,
        CAUSES(C)
#undef C
    };

    REQUIRE((size_t)c < ARRAY_COUNT(words));
    return words[c];
}

static inline const char *forward_name(enum forward f)
{
    static const char *const words[] = {
#define F(name, word) word,
        FORWARDS(F)
#undef F
    };

    REQUIRE((size_t)f < ARRAY_COUNT(words));
    return words[f];
}

static inline const char *refusal_name(enum refusal r)
{
    static const char *const words[] = {
#define R(name, word, status) word,
        REFUSALS(R)
#undef R
    };

    REQUIRE((size_t)r < ARRAY_COUNT(words));
    return words[r];
}

/* The status of the response that says it; 0 for REFUSAL_NONE. */
static inline unsigned refusal_status(enum refusal r)
{
    static const unsigned statuses[] = {
#define R(name, word, status) status,
        REFUSALS(R)
#undef R
    };

    REQUIRE((size_t)r < ARRAY_COUNT(statuses));
    return statuses[r];
}

#endif
