/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/2 connection, as h2_connection.c (bytes in, deadlines, the end), h2_request.c (requests in),
 * h2_stream.c (responses out), h2_turns.c (who sends next) and h2_output.c (frames onto the wire) share it.
 * nghttp2 is seen by these only.
 *
 *   HEAD ─► EXCHANGE ─► FLUSH ─► OVER         FLUSH until END_STREAM is sent
 *     └─refused─────────► FLUSH ─► LINGER ─► OVER   LINGER when the client has not ended its side
 *
 * nghttp2's callbacks never call handlers: they note what has happened, and h2_connection_tend, which every
 * event ends with, acts on it. So no function of nghttp2 is ever on the stack of a handler's call.
 *
 * Memory of a connection, beyond nghttp2's own: its streams (at most H2_STREAMS_MAX, their heads together
 * H2_HEADS_SIZE_MAX, their bodies options.body_size_max), one inbox while a header block comes in, and what
 * the socket did not take.
 */
#ifndef HTTP_H2_PRIVATE_H
#define HTTP_H2_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "h2_connection.h"
#include "h2_guard.h"
#include "h2_head.h"
#include "h2_memory.h"
#include "h2_priority.h"
#include "share.h"

#define H2_STREAMS_MAX    128u
#define H2_STREAMS_MIN    16u    /* of a connection when there are very many of them */
#define H2_STREAMS_ALL    16384u /* of a server, about: what is more is spread over the connections */
#define H2_HEADS_SIZE_MAX ((size_t)1 << 20)
#define H2_TURN_SIZE_MAX  ((size_t)1 << 20) /* of body bytes in one turn: other connections wait */

enum h2_stream_state {
    H2_STREAM_HEAD,     /* the request is still coming in */
    H2_STREAM_EXCHANGE, /* the handler's */
    H2_STREAM_FLUSH,    /* the handler is done, END_STREAM is not sent */
    H2_STREAM_LINGER,   /* refused and answered; what the client still sends is thrown away */
    H2_STREAM_OVER,     /* nghttp2 knows it no more; until the end of the turn */
};

struct h2_stream {
    struct exchange x; /* valid in H2_STREAM_EXCHANGE */
    struct h2_connection *h;
    int32_t id;
    enum h2_stream_state state;
    struct list node;      /* h->streams, or h->over */
    struct list place;     /* h->arrived, h->waiting, or none */
    struct timer deadline; /* HEAD: for its end. EXCHANGE, FLUSH: looks at its window. LINGER: for its end */
    struct h2_priority priority;
    struct http_head *request;
    size_t request_size;
    struct buf body;     /* of the request */
    size_t wasted_bytes; /* of a body that nobody wants */
    enum http_method method;
    enum http_refusal refusal; /* HTTP_REFUSAL_COUNT: none */

    bool responded, no_body, has_length;
    bool is_complete;   /* all of the body was handed over; of an unknown length: finish was called */
    bool remote_ended;  /* END_STREAM was received */
    bool ended;         /* END_STREAM was sent */
    bool closed;        /* by nghttp2 */
    const char *broken; /* why on_gone will be called, or NULL */
    uint64_t body_left; /* has_length: not yet in frames */
    uint64_t sent_bytes, pace_bytes_per_s;
    struct drain drain; /* of its windows: bytes are what was put into frames */
    char *rest;         /* a small body's bytes that found no room; NULL: none */
    size_t rest_size, rest_sent;
};

/* What the deadline of the connection is for. */
enum h2_wait {
    H2_WAIT_NOTHING, /* streams have their own */
    H2_WAIT_BLOCK,   /* the rest of a header block, or the preface */
    H2_WAIT_SOCKET,  /* the socket takes nothing */
    H2_WAIT_IDLE,    /* a request */
};

struct h2_connection {
    struct connection *c;
    nghttp2_session *session;
    struct h2_memory memory; /* the session's */
    struct h2_guard guard;
    enum h2_wait waits_for;

    struct list streams, over;
    struct list arrived; /* whole requests, not yet served */
    struct list waiting; /* streams that have something to send, in the order of their turns */
    size_t stream_count, heads_size, bodies_size;
    struct inbox *inbox; /* the header block that is coming in, and its fields */
    struct h2_head block;

    struct buf held; /* frames that are not sent */
    bool blocked;    /* the socket takes no more: on_writable will come */
    bool corked;     /* many small responses are being made: they leave together */
    const char *broken;
    bool has_cut_streams; /* some stream is closed or broken, and its handler does not know */
    bool draining, is_paced;
    enum http_refusal refusal; /* why it must end; HTTP_REFUSAL_COUNT: none */

    struct h2_stream *sender; /* whose `span` goes into DATA frames now */
    struct span span;
    struct h2_stream *chosen; /* whose turn it is */
    size_t allowance;         /* of its turn, in bytes */
    uint64_t data_bytes;      /* put into DATA frames, ever */
    uint64_t data_ms;         /* when the last were */
};

struct h2_gather;
struct h2_shared {
    struct share reads, requests; /* of a turn of the loop: bytes, and requests served */
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct h2_gather *gather;
    struct h2_pool *pool;
};

/* --- h2_connection.c --- */

void h2_connection_broke(struct h2_connection *h, const char *reason);
void h2_connection_later(struct h2_connection *h);   /* h2_connection_tend at the end of the turn */
void h2_connection_serve_later(struct h2_stream *s); /* or refuses it, when s->refusal says so */

/* It must end, for this reason: at the end of this event. */
void h2_connection_must_end(struct h2_connection *h, enum http_refusal refusal);

/* --- h2_request.c --- */

nghttp2_session_callbacks *h2_request_callbacks(void); /* NULL when memory is out */
void h2_request_give_inbox(struct h2_connection *h);

/* --- h2_stream.c --- */

extern const struct exchange_ops h2_stream_ops;

struct h2_stream *h2_stream_new(struct h2_connection *h, int32_t id);
void h2_stream_free(struct h2_stream *s);

/* Detaches it from nghttp2; memory stands until the end of the turn. */
void h2_stream_over(struct h2_stream *s);

/* Resets it, and it is over. */
void h2_stream_reset(struct h2_stream *s, uint32_t error_code);

/* A whole small response in place of the handler's; returns the bytes counted for it. */
uint64_t h2_stream_refuse(struct h2_stream *s, unsigned status, const char *word);

/* END_STREAM was sent. */
void h2_stream_on_ended(struct h2_stream *s);

/* Its turn to send: lets its handler go on, or sends the rest. */
void h2_stream_send_on(struct h2_stream *s);

/* --- h2_turns.c --- */

void h2_turns_wait(struct h2_stream *s);  /* until its turn comes */
void h2_turns_moved(struct h2_stream *s); /* some of it was sent */
bool h2_turns_may_send(const struct h2_stream *s);
bool h2_turns_look(struct h2_stream *s);    /* true: only its client's windows are in the way */
void h2_turns_run(struct h2_connection *h); /* all that can be sent now, within a turn's bounds */
bool h2_turns_has_window(const struct h2_stream *s);
void h2_turns_set_pace(struct h2_connection *h);

/* --- h2_output.c --- */

struct h2_gather *h2_gather_new(void);
void h2_gather_free(struct h2_gather *g); /* NULL is fine */
void h2_output_init(struct h2_connection *h);
void h2_output_set_callbacks(nghttp2_session_callbacks *callbacks);
nghttp2_data_provider h2_output_provider(void);

/* Writes what is held and what nghttp2 has to send: one write. True when more could follow at once. */
bool h2_output_write(struct h2_connection *h);

/* Makes frames of what nghttp2 has to send, as far as there is room, and holds them back. */
void h2_output_hold(struct h2_connection *h);

/* Writes all, as far as the socket takes it. */
void h2_output_flush(struct h2_connection *h);
bool h2_output_is_empty(const struct h2_connection *h);

#endif
