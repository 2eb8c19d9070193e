/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection as a stream of bytes: TCP or TLS over it, and nothing more. It hides non-blocking sockets,
 * handshakes, who encrypts (the kernel or we), partial writes and sendfile. Reads and writes never block:
 * they answer -EAGAIN, and the owner is told when to go on.
 *
 *   connecting/handshaking --on_open--> open --(error, or the peer ended)--> read and write say so
 * --stream_close--> gone
 *
 * The owner closes the stream in every case; after stream_close nothing is called and the pointer is gone.
 * Callbacks may close their own stream.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "io/loop.h"
#include "io/tls.h"

struct stream;

struct stream_events {
    /* Once: 0, or a negative errno (-ECONNREFUSED, -EPROTO for a handshake). */
    void (*on_open)(void *user, int status);

    /* While reading is wanted (stream_want_read). When it is not: once when the peer ends its side (which may
     * only be a half-close: its owner reads 0, and decides), and once when the connection breaks (a read then
     * says so). After a read has answered 0 it comes only for a break. */
    void (*on_readable)(void *user);
    void (*on_writable)(void *user); /* once after a write answered -EAGAIN or was partial */
    void (*on_again)(void *user);    /* once after stream_may_go_on said no */

    /* Once, where stream_is_early was true: it is no more. NULL is fine. */
    void (*on_secure)(void *user);
};

/* Bytes that stand in a file, and in memory too when it is mapped. */
struct span {
    int fd; /* -1: in memory only */
    uint64_t offset_bytes;
    const char *data; /* the same bytes in memory; NULL: in the file only */
    size_t size;
};

/* Takes an accepted, non-blocking socket; it is closed also on failure. tls NULL: plain, and on_open is
 * called at the end of this turn of the loop. `peer`: with whom it shares what it has of a turn. */
int stream_accept(struct loop *l, int fd, const struct addr *peer, struct tls_server *tls,
                  const struct stream_events *events, void *user, struct stream **ret_stream);

/* Connects. tls NULL: plain; else `server_name` is verified, and sent as SNI unless it is an IP literal
 * (without brackets). No deadline of its own: the owner has one. on_open is never called from inside, and
 * tells all that the network says. */
int stream_connect(struct loop *l, const struct addr *to, struct tls_client *tls, const char *server_name,
                   const struct stream_events *events, void *user, struct stream **ret_stream);

/* At once; NULL is fine. What writes have taken still goes out, for a bounded time. */
void stream_close(struct stream *s);
void stream_reset(struct stream *s); /* closes with a TCP reset: the peer sees an abort, never an end */

/* > 0 bytes; 0 the peer has ended; -EAGAIN; other negative: broken. A stream_connect with TLS takes an end
 * without close_notify for -ECONNRESET, as what came may have been cut short. */
ssize_t stream_read(struct stream *s, void *data, size_t size);
void stream_want_read(struct stream *s, bool want); /* true at first */

/* Bytes taken (maybe fewer than given), -EAGAIN, or another negative: broken (-EPIPE, -ECONNRESET). `more`:
 * more follows at once, so a packet need not go out yet. */
ssize_t stream_writev(struct stream *s, const struct iovec *parts, int count, bool more);

/* About how much one write takes whole now: for those who cannot take back what they have begun. 0: nothing
 * at all, and on_writable will come. */
size_t stream_room(struct stream *s);

/* Sends from the file without copying where it can (sendfile), from the map where it must (TLS). Takes a
 * bounded part at once, so that a fast peer does not hold up the others: go on until -EAGAIN, or wait for
 * on_writable. -EIO: the file ended before the span did. */
ssize_t stream_send_span(struct stream *s, const struct span *span, bool more);
#define STREAM_SENDFILE_MIN ((size_t)12 << 10) /* a mapped span that is smaller is copied in any case */
bool stream_has_sendfile(const struct stream *s);

/* Nothing follows what was sent with `more` after all. */
void stream_push(struct stream *s);

/* Accepted streams share a turn of the loop fairly by peers: when there is more to do than it has time for,
 * their callbacks wait. Who goes on by itself, without an event, asks first; on_again comes after a no. */
bool stream_may_go_on(struct stream *s);

/* Inside a callback: it has gone on long enough for once. */
bool stream_has_had_its_slice(const struct stream *s);

/* What the peer has acknowledged since the connection began, TLS's own bytes too. A system call. */
uint64_t stream_acked_bytes(const struct stream *s);

/* Nothing is expected to move for a while: gives back what memory can be had again when something does. It
 * costs some microseconds, and so does waking. */
void stream_rest(struct stream *s);

/* No more writes: FIN, after close_notify on TLS, behind all that was taken. */
int stream_shutdown(struct stream *s);

/* The kernel's pace for what is sent from now on; 0: none. While there is one little waits unsent in the
 * kernel, so that a change is felt soon; STREAM_PACE_SOON does this alone. */
#define STREAM_PACE_SOON UINT64_MAX
void stream_set_pace(struct stream *s, uint64_t rate_bytes_per_s);

/* The name of a congestion control, which lives as long as the stream. What is not available changes nothing.
 */
void stream_set_congestion(struct stream *s, const char *name);
bool stream_has_congestion(const char *name); /* whether this machine has it, and allows it */

/* It is open, but the handshake is not complete: who the client is that sends these bytes is not known, nor
 * whether they are sent for the first time (RFC 8446 section 8). Only with tls_server_options.early_data. */
bool stream_is_early(const struct stream *s);

void stream_peer(const struct stream *s, struct addr *ret_addr);
void stream_local(const struct stream *s, struct addr *ret_addr);
bool stream_is_tls(const struct stream *s);
const char *stream_server_name(const struct stream *s); /* the SNI a client sent, "" for none */
bool stream_is_http2(const struct stream *s);           /* ALPN agreed on "h2" */

/* A listening socket with SO_REUSEPORT: each worker has its own, and the kernel spreads connections. */
struct listener;
typedef void listener_fn(void *user, int fd, const struct addr *peer); /* the fd is the callee's */
int listener_open(struct loop *l, const struct addr *address, listener_fn *fn, void *user,
                  struct listener **ret_listener);
void listener_close(struct listener *listener); /* NULL is fine */

/* 0 where nobody listens, else what listener_open says, or -EADDRINUSE. A second process of ours would share
 * the address without a word, and the connections with it: ask before the first listener_open. */
int listener_probe(const struct addr *address);

/* With the port that the system chose. */
void listener_address(const struct listener *listener, struct addr *ret_addr);

#endif
