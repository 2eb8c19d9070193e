/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on one connected, non-blocking socket. It reads and sends on the socket itself; when to call it is the
 * stream's business. Private to common/io.
 *
 * Bytes that were encrypted but not taken by the socket wait in the session (tls_session_has_unsent): then
 * tls_session_flush must be called when the socket is writable, and no write is taken before they are gone.
 */
#ifndef IO_TLS_SESSION_H
#define IO_TLS_SESSION_H

#include "io/stream.h"

struct tls_session;

/* The socket stays the caller's and must outlive the session. */
int tls_session_accept(struct loop *l, int fd, struct tls_server *server, struct tls_session **ret_session);
int tls_session_connect(struct loop *l, int fd, struct tls_client *client, const char *server_name,
                        struct tls_session **ret_session);
void tls_session_free(struct tls_session *t); /* sends nothing; NULL is fine */

/* 0: done. -EAGAIN: call again when the socket is readable, or writable if tls_session_has_unsent. -EPROTO:
 * TLS failed; else the socket did. */
int tls_session_handshake(struct tls_session *t);

/* The handshake is not complete, and some of the client's early data is there to be read: reading and writing
 * are possible from then on. It is not complete before tls_session_handshake, which is to be called as
 * before, has answered 0; tls_session_end is for afterwards. */
bool tls_session_is_early(const struct tls_session *t);

/* As stream_read. A client's session takes an end without close_notify for -ECONNRESET: what came may be cut
 * short. */
ssize_t tls_session_read(struct tls_session *t, void *data, size_t size);

/* True when tls_session_read has bytes of which the socket will not tell. */
bool tls_session_has_input(const struct tls_session *t);

/* As stream_writev and stream_send_span. What they take may be less than what the socket would. */
ssize_t tls_session_writev(struct tls_session *t, const struct iovec *parts, int count, bool more);
ssize_t tls_session_send_span(struct tls_session *t, const struct span *span, bool more);

/* Plain bytes that one write encrypts, when nothing is unsent. */
size_t tls_session_room(const struct tls_session *t);

bool tls_session_has_unsent(const struct tls_session *t);
int tls_session_flush(struct tls_session *t); /* 0: all is sent; -EAGAIN: not all; else broken */
int tls_session_end(struct tls_session *t);   /* close_notify, the socket is shut down next; as flush */

/* Within the handshake: the kernel is not to encrypt. */
void tls_session_leave_kernel(struct tls_session *t);

/* As stream_rest. */
void tls_session_rest(struct tls_session *t);

/* The kernel encrypts: bytes are written to the socket as they are, not with the functions above. */
bool tls_session_is_ktls(const struct tls_session *t);

const char *tls_session_server_name(struct tls_session *t);
bool tls_session_is_http2(struct tls_session *t); /* ALPN agreed on "h2" */
int tls_session_fd(const struct tls_session *t);

#endif
