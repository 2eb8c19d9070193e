/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One accepted connection, as server.c (requests in) and server_response.c (responses out) share it.
 *
 *   HANDSHAKE ─► HEAD ─► BODY ─► EXCHANGE ─► FLUSH ─► IDLE ─► HEAD ...
 *                  └─refused─► FLUSH ─► LINGER ─► closed
 *
 * BODY only when the request has one, FLUSH only when the socket takes no more, LINGER after the last
 * response. Each state has its deadline, all kept by one timer: handshake, header, header again for a body,
 * looks at how the client takes what it gets (drain.h) x 2, idle, linger.
 *
 * Memory: an idle connection holds neither inbox nor outbox. They are taken from the server's spares with the
 * first byte of a request and for what is held back of a response.
 */
#ifndef HTTP_SERVER_CONNECTION_H
#define HTTP_SERVER_CONNECTION_H

#include "base/buf.h"
#include "drain.h"
#include "http/server.h"
#include "parser.h"
#include "portions.h"

/* What arrived and is not consumed: the head that is being served, and pipelined requests behind it. Does not
 * move while a head in it is parsed or served. */
struct inbox {
    struct inbox *next; /* among the spares */
    struct http_parser parser;
    struct http_head head;
    size_t start, filled; /* data[start] is the first byte of the next request */
    char data[];          /* options.head_size_max */
};

/* What is held back: a head, chunk framing. */
struct outbox {
    struct outbox *next; /* among the spares */
    size_t capacity, start, filled;
    char data[];
};

#define OUTBOX_SPARE_CAPACITY ((size_t)4096)
#define SERVER_LINGER_MS      2000
#define SERVER_REST_MS        1000 /* idle so long: memory is worth more than the microseconds of waking */
#define OUTBOX_FRAMING_ROOM   ((size_t)64) /* for chunk framing behind a head */

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_HEAD,     /* part of a head is there, or (at first) nothing yet */
    CONNECTION_BODY,     /* of the request; all of it is collected before the handler hears of it */
    CONNECTION_EXCHANGE, /* the handler's */
    CONNECTION_FLUSH,    /* the exchange is over, some of the outbox is unsent */
    CONNECTION_IDLE,     /* between requests */
    CONNECTION_HTTP2,    /* h2_connection.c's */
    CONNECTION_LINGER,   /* all is sent; what still arrives is thrown away */
    CONNECTION_CLOSED,   /* until the end of the turn, as its functions may be on the stack */
};

struct connection {
    struct exchange x; /* valid in CONNECTION_EXCHANGE */

    struct http_server *server;
    struct stream *stream;
    struct list node;    /* server->connections */
    struct list waiting; /* server->waiting: nothing is owed to the client, who may be cut off for another; or
                            server->blocked: it takes nothing of what it is owed */
    struct list handshaking; /* server->handshaking, until TLS stands */
    struct http_guest guest;
    struct timer deadline;
    struct timer handshake_deadline; /* of a client that is served before TLS stands */
    struct drain drain;              /* of the socket */
    struct portions portions;
    struct list due; /* server->due: its next portion may go */
    struct later later;

    enum connection_state state;
    bool is_waiting; /* in server->waiting */
    bool serving;    /* inside serve_requests */
    bool peer_ended; /* no more requests will come */
    bool reading_off;
    bool is_resting;      /* idle, and its stream was told */
    uint64_t accepted_ms; /* with TLS */
    uint64_t blocked_ms;  /* since when it is in server->blocked */
    size_t lingered_bytes;
    struct buf body;          /* of the request, at most options.body_size_max */
    size_t body_framed_bytes; /* as it came, chunks' lines too */
    struct inbox *inbox;
    struct outbox *outbox;
    struct h2_connection *h2; /* NULL: HTTP/1 */
    bool may_be_h2;           /* nothing of a plain connection's first bytes has been read as HTTP/1 */

    /* The response. */
    bool responded, no_body, keep_alive, is_paced;
    bool blocked;         /* the socket takes no more: on_writable will come */
    bool awaits_writable; /* the handler was told less than it gave */
    const char *broken;   /* why on_gone will be called, or NULL */
    enum http_framing framing;
    uint64_t body_left;                 /* HTTP_FRAMING_LENGTH */
    uint64_t chunk_left;                /* of the open chunk */
    uint64_t sent_bytes, earlier_bytes; /* of this response, of those before */
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    struct http_server_stats stats;
    struct list connections, waiting; /* the latter by how long they wait */
    struct list blocked;              /* whose clients take nothing, by how long */
    counter_t waiting_count;
    struct list handshaking;    /* the oldest first */
    struct list due;            /* paced responses whose next portion may go, the first due first */
    struct later next_portions; /* sends some of these; new requests come in between */
    size_t connection_count, handshake_count;
    struct inbox *spare_inboxes;
    struct outbox *spare_outboxes;
    size_t spare_inbox_count, spare_outbox_count;
    struct h2_shared *h2; /* NULL before the first HTTP/2 connection */
    bool draining;
    struct later drained;
    void (*on_drained)(void *user);
    void *drain_user;
};

extern const struct exchange_ops server_response_ops;

/* Readies the response's fields for a new exchange, or for a refusal. */
void server_response_begin(struct connection *c);

/* Puts a head into the outbox; false when memory is out. */
bool server_response_head(struct connection *c, unsigned status, struct slice fields, uint64_t body_size);
bool server_response_append(struct connection *c, const void *data, size_t size);

/* Sends what the outbox holds and goes on to what follows the response: FLUSH, LINGER or the next request. */
void server_response_end(struct connection *c);

/* The socket takes bytes again. */
void server_response_on_writable(struct connection *c);

/* Tells who waits to send, if it may. */
void server_response_go_on(struct connection *c);

/* The next portion of a paced response may go. */
void server_response_on_due(struct connection *c);
void server_response_next_portions(struct later *later); /* server->next_portions */

struct inbox *server_inbox_take(struct http_server *s);                    /* NULL when memory is out */
void server_inbox_give(struct http_server *s, struct inbox *in);           /* NULL is fine */
struct outbox *server_outbox_take(struct http_server *s, size_t capacity); /* NULL when memory is out */
void server_outbox_give(struct http_server *s, struct outbox *o);          /* NULL is fine */

/* What is asked of a client that something waits for. */
struct drain_limits server_drain_limits(const struct http_server *s);
uint64_t server_drain_delay_ms(const struct http_server *s, struct drain *d);

/* Looks at a socket that takes no more: why its client is to be cut off, which is counted; or NULL. */
const char *server_connection_look(struct connection *c);
uint64_t server_connection_stalled_ms(struct connection *c);

/* Counts the verdict; its word, or NULL when it goes on. `stalled`: what a stall is counted as. */
const char *server_drain_word(struct http_server *s, enum drain_verdict verdict, enum http_refusal stalled);

/* The response is over and sent. */
void server_connection_next(struct connection *c);

/* Tells the handler, resets the connection. */
void server_connection_gone(struct connection *c, const char *reason);
void server_connection_close(struct connection *c, bool reset);

/* The client is to move next, with a handshake or a request; or no longer. Who waits already keeps its place.
 */
void server_connection_waits(struct connection *c, bool waits);

/* What the client is owed it does not take; or it does again. */
void server_connection_blocks(struct connection *c, bool blocks);

/* Idle connections wait twice: until they rest (stream_rest), and until they have idled for too long. How
 * long the present one of these waits is, and what follows it: false: the end. */
uint64_t server_connection_idle_ms(const struct connection *c);
bool server_connection_rest(struct connection *c);

/* Ends it, whatever it is doing: without a response, counted. */
void server_connection_cut(struct connection *c, enum http_refusal refusal);

/* One more connection is counted at the gate; room is made for it if need be. False: *ret_refusal says why
 * there is none. */
bool server_gate_pass(struct http_server *s, const struct addr *peer, struct http_guest *ret_guest,
                      enum http_refusal *ret_refusal);

/* Nothing more will be said: waits a while for the client's end, then closes. */
void server_connection_linger(struct connection *c);

/* Counts it and tells the owner. `status`: of the response, 0 for none. */
void server_connection_refused(struct connection *c, enum http_refusal refusal, unsigned status,
                               uint64_t sent_bytes);
bool server_has_too_many_fields(const struct http_server *s, const struct http_head *head);
unsigned server_refusal_status(enum http_refusal refusal);

#endif
