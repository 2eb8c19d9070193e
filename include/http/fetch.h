/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One upstream request and its response over a pool of kept-alive connections, whatever the version of HTTP.
 * Used on one loop. A request of an idempotent method (GET, HEAD, OPTIONS, PUT, DELETE) that failed on a
 * reused connection before any byte of the response arrived is sent once again on a fresh one (RFC 9112
 * section 9.3.1).
 *
 *   fetch_start -> on_head (the final one) -> on_body ... -> on_done(FETCH_OK)
 *              \-> on_done(reason) at any point
 * on_done exactly once and last, never from inside fetch_start. fetch_cancel: no callback after it.
 */
#ifndef HTTP_FETCH_H
#define HTTP_FETCH_H

#include "base/counter.h"
#include "http/head.h"
#include "io/resolve.h"
#include "io/tls.h"

/* How a fetch ended: word, and the status that a gateway answers with (RFC 9110 section 15.6). */
#define FETCH_RESULTS(F)                                        \
    F(OK, "ok", 200)                                            \
    F(RESOLVE_FAILED, "origin_name_not_resolved", 502)          \
    F(CONNECT_REFUSED, "origin_connect_refused", 502)           \
    F(CONNECT_FAILED, "origin_connect_failed", 502)             \
    F(CONNECT_TIMEOUT, "origin_connect_timeout", 504)           \
    F(TLS_FAILED, "origin_tls_failed", 502)                     \
    F(FIRST_BYTE_TIMEOUT, "origin_first_byte_timeout", 504)     \
    F(IDLE_TIMEOUT, "origin_idle_timeout", 504)                 \
    F(CLOSED_BEFORE_HEAD, "origin_closed_before_response", 502) \
    F(BAD_RESPONSE, "origin_bad_response", 502)                 \
    F(HEAD_TOO_LARGE, "origin_head_too_large", 502)             \
    F(TRUNCATED, "origin_body_truncated", 502)                  \
    F(OVERLOADED, "origin_connections_exhausted", 503)          \
    F(NO_MEMORY, "out_of_memory", 503)

enum fetch_result {
#define F(name, word, status) FETCH_##name,
    FETCH_RESULTS(F)
#undef F
        FETCH_RESULT_COUNT
};
const char *fetch_result_name(enum fetch_result result);
unsigned fetch_result_status(enum fetch_result result);

struct fetch_pool;
struct fetch;

struct fetch_pool_options {
    size_t connections_max;      /* to one target; more requests wait in line */
    size_t waiting_max;          /* beyond it: FETCH_OVERLOADED */
    uint64_t keep_alive_idle_ms; /* an idle connection is closed after it */
    size_t head_size_max;
};

struct fetch_target { /* where to; equal targets share connections */
    const char *host; /* name or IP literal, without brackets */
    uint16_t port;
    struct tls_client *tls;  /* NULL: plain; outlives the pool */
    const char *server_name; /* for TLS: NULL is the host */
    size_t connections_max;  /* 0: the pool's */
};

struct fetch_timeouts {
    uint64_t connect_ms;    /* to resolve and connect, all addresses together */
    uint64_t first_byte_ms; /* from the connection to the whole final head */
    uint64_t idle_ms;       /* without a byte of the body */
    uint64_t queue_ms;      /* in line for a connection (FETCH_OVERLOADED) */
};

struct fetch_events {
    /* An interim response but 100 and 101, before the head; valid during the call, in which the fetch may not
     * be cancelled. NULL: they are skipped. */
    void (*on_informational)(struct fetch *f, const struct http_head *head);
    void (*on_head)(struct fetch *f, const struct http_head *head); /* valid during the call */

    /* Body bytes without framing, valid during the call. All are taken. */
    void (*on_body)(struct fetch *f, const char *data, size_t size);
    void (*on_done)(struct fetch *f, enum fetch_result result); /* `f` is gone after it */
};

struct fetch_stats {
    counter_t started, connections_opened, connections_reused, received_bytes, sent_bytes;
    counter_t results[FETCH_RESULT_COUNT];
};

int fetch_pool_new(struct loop *l, struct resolver *resolver, const struct fetch_pool_options *options,
                   struct fetch_pool **ret_pool);
void fetch_pool_free(struct fetch_pool *p); /* cancels what runs; not from inside a callback of a fetch */
const struct fetch_stats *fetch_pool_stats(const struct fetch_pool *p);

/* `head`: the request line and fields, complete, ending with the empty line; copied. HEAD requests say so
 * with `is_head`, as their responses have no body. Negative errno: nothing was started. */
int fetch_start(struct fetch_pool *p, const struct fetch_target *target,
                const struct fetch_timeouts *timeouts, struct slice head, bool is_head,
                const struct fetch_events *events, void *user, struct fetch **ret_fetch);

/* Also from inside its callbacks, but for on_done. Closes its connection. */
void fetch_cancel(struct fetch *f);
void *fetch_user(const struct fetch *f);

/* Back-pressure: while paused no body is read and no idle deadline runs. What had been read already (256 KiB
 * at most) is still handed out. */
void fetch_pause(struct fetch *f, bool pause);

/* The next read takes at most so many bytes of the body (none: as many as there are), so that who stores them
 * can have them end where its pages do. Holds for one read. */
void fetch_limit_next_read(struct fetch *f, size_t size);

/* Bytes received for it so far: head, framing and body. */
uint64_t fetch_received_bytes(const struct fetch *f);

#endif
