/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on a connection that server.c has accepted: what server.c calls. Deadlines, limits and counters are
 * the server's; the memory of an h2_connection lives as long as that of its connection.
 */
#ifndef HTTP_H2_CONNECTION_H
#define HTTP_H2_CONNECTION_H

#include "server_connection.h"

struct h2_connection;
struct h2_shared; /* what all HTTP/2 connections of a server have in common */

/* The connection is in CONNECTION_HTTP2 from here on. */
int h2_connection_new(struct connection *c, struct h2_connection **ret_h2);
void h2_connection_free(struct h2_connection *h); /* NULL is fine */

/* Bytes that were read before it was known that they are HTTP/2. */
void h2_connection_receive(struct h2_connection *h, const char *data, size_t size);

/* How long no stream of it could go on, when it is up to the client that one does. */
uint64_t h2_connection_stalled_ms(const struct h2_connection *h);

void h2_connection_on_readable(struct h2_connection *h);
void h2_connection_on_writable(struct h2_connection *h);
void h2_connection_on_later(struct h2_connection *h);
void h2_connection_on_deadline(struct h2_connection *h);

/* TLS stands: what came before may be served as all else. */
void h2_connection_on_secure(struct h2_connection *h);

/* Takes no new streams, and ends with the last one. */
void h2_connection_drain(struct h2_connection *h);

/* Tells all handlers; the caller closes the connection next. */
void h2_connection_gone(struct h2_connection *h, const char *reason);

void h2_shared_free(struct h2_shared *shared); /* NULL is fine */

#endif
