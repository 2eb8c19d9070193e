/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that come through a load balancer which says by the PROXY protocol whose they are: from the
 * accept until that is known, and then to the server as if the viewer had come himself. One per worker.
 */
#ifndef PROXIED_H
#define PROXIED_H

#include "config.h"
#include "http/server.h"

struct proxied;

/* timeout_ms: for a whole header. NULL when memory is out. */
struct proxied *proxied_new(struct loop *l, struct http_server *server, const struct config *config,
                            uint64_t timeout_ms);
void proxied_free(struct proxied *p); /* closes what waits; NULL is fine */

/* Takes the socket. Only `trusted_proxies` may speak so. */
void proxied_accept(struct proxied *p, int fd, const struct addr *peer, struct tls_server *tls);

#endif
