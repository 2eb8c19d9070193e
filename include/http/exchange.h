/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its response, as a server's code sees it, whatever the version of HTTP: HTTP/1 and HTTP/2
 * are behind it (http/server.h).
 *
 *   on_request(x) -> exchange_respond -> exchange_send ... -> exchange_finish
 *                                   \-> exchange_abort      (also legal before exchange_respond)
 *   on_gone(x): the viewer went away before the finish. Neither finish nor abort may follow.
 *
 * After finish, abort or on_gone the exchange is no more.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "base/addr.h"
#include "http/head.h"
#include "io/stream.h"

struct exchange;

struct exchange_events {
    void (*on_writable)(struct exchange *x); /* after a send took less than it was given */

    /* "client_closed", "client_error", "send_timeout", "send_too_slow", "body_unreadable" (a span's file
     * ended before it did), "server_stopped", "out_of_memory", "tls_handshake_timeout", "too_many_handshakes"
     */
    void (*on_gone)(struct exchange *x, const char *reason);

    void (*on_secure)(struct exchange *x); /* exchange_await_secure; NULL for those who never call it */
};

#define EXCHANGE_LENGTH_UNKNOWN UINT64_MAX
#define EXCHANGE_REPLY_SIZE_MAX ((size_t)1 << 20) /* of a body; larger ones are sent span by span */

struct exchange {
    const struct http_head *request; /* valid until the end of the exchange */
    struct slice body;               /* of the request, whole and without framing; valid as long */
    struct addr peer, local;
    bool is_tls;
    bool is_early, awaits_secure; /* see exchange_await_secure */
    const char *server_name;      /* SNI, "" for none */
    struct loop *loop;
    uint64_t sent_before_bytes; /* over its connection, by earlier exchanges */

    void *user;                           /* the handler's */
    const struct exchange_events *events; /* set by the handler inside on_request */
    const struct exchange_ops *ops;       /* the version's */
    bool is_last; /* the handler's, before it responds: what follows on this connection is not to be trusted.
                     A version whose requests cannot run into each other may ignore it */
};

/* Sends the head. `fields`: complete lines "Name: value\r\n", nothing about framing or the connection:
 * Content-Length, Transfer-Encoding, Connection are the server's. body_size: of what will be sent;
 * EXCHANGE_LENGTH_UNKNOWN: framed as the version does it. For HEAD, 204 and 304 it is only what
 * Content-Length says (unknown: none is sent), and no body may be sent. Nothing may stay in the kernel's way:
 * the head goes out with the first body bytes, at the next exchange_flush or finish. */
void exchange_respond(struct exchange *x, unsigned status, struct slice fields, uint64_t body_size);

/* Before exchange_respond: passes on an interim response (102, 103; RFC 9110 section 15.2) at once. Nothing
 * happens where the client's version knows none, or ours does not. */
void exchange_inform(struct exchange *x, unsigned status, struct slice fields);

/* Sends body bytes: how many were taken; less than span->size means on_writable will come. Negative: broken,
 * on_gone will follow at the end of this turn of the loop. */
ssize_t exchange_send(struct exchange *x, const struct span *span);

/* Pushes out what is held back (the head, a chunk's frame), when the next bytes are not there yet. */
void exchange_flush(struct exchange *x);

/* All of the body was sent. */
void exchange_finish(struct exchange *x);

/* Ends it so that the viewer sees a broken response, never a short one that looks whole. */
void exchange_abort(struct exchange *x);

/* A whole small response in one call: respond, send, finish. `body` is needed during the call only. On HEAD
 * and statuses without a body only its size counts. The exchange is over for its handler: no on_gone follows.
 */
void exchange_reply(struct exchange *x, unsigned status, struct slice fields, struct slice body);

/* An exchange that is_early came as TLS early data, and the handshake is still not complete: the request may
 * be a copy of one that the edge has seen before (RFC 8470 section 3). Before its handler does what may not
 * be done twice it calls this. True: it is to wait for on_secure; false: there is nothing to wait for. */
bool exchange_await_secure(struct exchange *x);

/* The kernel's pace of what is sent from now on, until the exchange ends; 0: none; STREAM_PACE_SOON: none,
 * but one will be set soon. Exchanges that share a connection share the sum of their paces. */
void exchange_set_pace(struct exchange *x, uint64_t rate_bytes_per_s);

/* See stream_set_congestion: of the whole connection, from now on. */
void exchange_set_congestion(struct exchange *x, const char *name);

/* For how long the viewer has taken nothing of what waits for it; 0 when nothing does. May cost a system
 * call. */
uint64_t exchange_stalled_ms(struct exchange *x);

/* Bytes handed to the connection for this exchange, sent or held back: head, framing and body. The last
 * chunk, which finish sends, is counted from the start. */
uint64_t exchange_sent_bytes(const struct exchange *x);

/* What a version of HTTP implements. */
struct exchange_ops {
    void (*inform)(struct exchange *x, unsigned status, struct slice fields); /* may be NULL */
    void (*respond)(struct exchange *x, unsigned status, struct slice fields, uint64_t body_size);
    ssize_t (*send)(struct exchange *x, const struct span *span);
    void (*flush)(struct exchange *x);
    void (*finish)(struct exchange *x);
    void (*abort)(struct exchange *x);
    void (*set_pace)(struct exchange *x, uint64_t rate_bytes_per_s);
    void (*set_congestion)(struct exchange *x, const char *name);
    uint64_t (*sent_bytes)(const struct exchange *x);
    uint64_t (*stalled_ms)(struct exchange *x);
    void (*note_wait)(struct exchange *x); /* for the handshake; counts it */
};

/* For versions of HTTP: the handshake is complete. */
void exchange_become_secure(struct exchange *x);

#endif
