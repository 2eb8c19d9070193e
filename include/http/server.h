/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves HTTP/1 and HTTP/2 on accepted sockets of one loop (HTTP/2 where TLS agreed on it, and on plain ones
 * that begin with its preface): parses requests strictly (what RFC 9112 calls ambiguous is
 * refused with 400 and a closed connection), keeps connections alive, answers pipelined requests in order,
 * and has a deadline for every wait. What a request means is the handler's business. A request's body, where
 * the options allow one, is handed over whole: bounded, and small enough to be sent on in one piece.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/counter.h"
#include "http/exchange.h"
#include "http/gate.h"

/* Why the server itself refused a request or closed a connection. The same words stand in the response's
 * body, the log and the counters. */
#define HTTP_REFUSALS(R)                                                   \
    R(BAD_REQUEST, "bad_request", 400)                                     \
    R(HEAD_TOO_LARGE, "request_head_too_large", 431)                       \
    R(URI_TOO_LONG, "uri_too_long", 414)                                   \
    R(BODY_NOT_ACCEPTED, "request_body_not_accepted", 413)                 \
    R(VERSION_NOT_SUPPORTED, "http_version_not_supported", 505)            \
    R(HEADER_TIMEOUT, "header_timeout", 408)                               \
    R(IDLE_TIMEOUT, "idle_timeout", 0)                                     \
    R(SEND_TOO_SLOW, "send_too_slow", 0)                                   \
    R(SEND_TIMEOUT, "send_timeout", 0)                                     \
    R(HANDSHAKE_FAILED, "tls_handshake_failed", 0)                         \
    R(HANDSHAKE_TIMEOUT, "tls_handshake_timeout", 0)                       \
    R(TOO_MANY_HANDSHAKES, "too_many_handshakes", 0)                       \
    R(TOO_MANY_HANDSHAKES_OF_CLIENT, "too_many_handshakes_of_client", 0)   \
    R(TOO_MANY_CONNECTIONS, "too_many_connections", 0)                     \
    R(TOO_MANY_CONNECTIONS_OF_CLIENT, "too_many_connections_of_client", 0) \
    R(TOO_MANY_CONNECTIONS_OF_PREFIX, "too_many_connections_of_prefix", 0) \
    R(PROXY_MALFORMED, "proxy_protocol_malformed", 0)                      \
    R(PROXY_TIMEOUT, "proxy_protocol_timeout", 0)                          \
    R(PROXY_UNTRUSTED, "proxy_protocol_untrusted_peer", 0)                 \
    R(OVERLOADED_CONNECTION, "overloaded_new_connection", 503)             \
    R(H2_PROTOCOL_ERROR, "h2_protocol_error", 0)                           \
    R(H2_RAPID_RESET, "h2_rapid_reset", 0)                                 \
    R(H2_MADE_RESET, "h2_made_reset", 0)                                   \
    R(H2_TOO_MANY_STREAMS, "h2_too_many_streams", 0)                       \
    R(H2_CONTINUATION_FLOOD, "h2_continuation_flood", 0)                   \
    R(H2_HEADER_FLOOD, "h2_header_flood", 0)                               \
    R(H2_SETTINGS_FLOOD, "h2_settings_flood", 0)                           \
    R(H2_PING_FLOOD, "h2_ping_flood", 0)                                   \
    R(H2_PRIORITY_FLOOD, "h2_priority_flood", 0)                           \
    R(H2_EMPTY_FRAME_FLOOD, "h2_empty_frame_flood", 0)                     \
    R(H2_WINDOW_UPDATE_FLOOD, "h2_window_update_flood", 0)                 \
    R(H2_DATA_FLOOD, "h2_data_flood", 0)                                   \
    R(H2_CONTROL_FLOOD, "h2_control_flood", 0)                             \
    R(H2_WINDOW_STALL, "h2_window_stall", 0)

enum http_refusal {
#define R(name, word, status) HTTP_REFUSAL_##name,
    HTTP_REFUSALS(R)
#undef R
        HTTP_REFUSAL_COUNT
};
const char *http_refusal_name(enum http_refusal refusal);

struct http_server;

struct http_server_options {
    size_t head_size_max; /* of a request head */
    size_t body_size_max; /* of a request body, which is collected before on_request; 0: none is accepted */
    size_t uri_size_max;
    size_t fields_max;            /* of a request; 0: HTTP_FIELDS_MAX, which no number exceeds */
    size_t connections_max;       /* of this server */
    const struct http_gate *gate; /* NULL: connections_max is all there is to say */
    uint64_t handshake_timeout_ms;
    size_t handshakes_max;      /* of TLS, at a time; 0: as many as connections */
    uint64_t header_timeout_ms; /* for a whole head, and again for a whole body */
    uint64_t idle_timeout_ms;
    uint64_t send_stall_timeout_ms;     /* a viewer took not a byte for so long, though there was some */
    uint64_t send_rate_min_bytes_per_s; /* what a viewer takes at least while something waits for it, */
    uint64_t send_rate_window_ms;       /* on the average of so long. 0: any */
    void (*on_request)(struct exchange *x, void *user);

    /* A request was refused that never reached on_request, or a connection was closed for one of the reasons
     * above. `status`: of the response, 0 for none. Not called when a reader stalls: the exchange's on_gone
     * says so. */
    void (*on_refused)(enum http_refusal refusal, const struct addr *peer, unsigned status,
                       uint64_t sent_bytes, void *user);

    /* The gate has room only for servers none of whose connections could give way, and this is one. True:
     * another has been asked for one of its own (http_server_push_out). NULL: there is no other. */
    bool (*on_crowded)(void *user);
    void *user;
};

struct http_server_stats {
    counter_t connections_opened, connections_closed, requests, system_calls;
    counter_t early_waits; /* requests in TLS early data that had to wait for the handshake */
    counter_t refusals[HTTP_REFUSAL_COUNT];
};

int http_server_new(struct loop *l, const struct http_server_options *options,
                    struct http_server **ret_server);

/* Takes the socket. tls NULL: plain. */
void http_server_accept(struct http_server *s, int fd, const struct addr *peer, struct tls_server *tls);

/* Ends the connection that has kept the server waiting longest, if there is one. */
void http_server_push_out(struct http_server *s);
bool http_server_has_idle(const struct http_server *s); /* any thread: push_out would find one, most likely */

/* Takes the socket and closes it; where a client waits for plain HTTP, the refusal's status and word are
 * said, and to come again in a while. */
void http_server_turn_away(struct http_server *s, int fd, const struct addr *peer, bool is_tls,
                           enum http_refusal refusal);

/* Idle connections close now, others after their current response. `on_drained` once when none is left. */
void http_server_drain(struct http_server *s, void (*on_drained)(void *user), void *user);
void http_server_free(struct http_server *s); /* aborts what is still open: on_gone is called for each */
const struct http_server_stats *http_server_stats(const struct http_server *s);

#endif
