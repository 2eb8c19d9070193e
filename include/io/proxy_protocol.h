/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before the connection's own
 * first byte. Strict: whatever is not to the letter ends the connection, as nothing behind it could be
 * trusted.
 */
#ifndef IO_PROXY_PROTOCOL_H
#define IO_PROXY_PROTOCOL_H

#include "base/addr.h"
#include "io/loop.h"

#define PROXY_HEADER_MAX 1024 /* of version 2 with its extensions; version 1 has 107 bytes at most */

enum proxy_parse { PROXY_PARSE_MORE, PROXY_PARSE_DONE, PROXY_PARSE_BAD };

struct proxy_header {
    size_t size;
    bool has_source; /* else the connection is the proxy's own, or of a kind that has no address */
    struct addr source;
};

enum proxy_parse proxy_protocol_parse(struct slice data, struct proxy_header *ret_header);

/*
 * Reads a header from a socket, and not a byte behind it. The socket remains the caller's; it is in nobody
 * else's use until on_done, which is called once, never from inside the start. status: 0; -EPROTO: not to the
 * letter; -ETIMEDOUT; else the socket is broken.
 */
struct proxy_reader;
typedef void proxy_reader_fn(struct proxy_reader *r, int status, const struct proxy_header *header);

struct proxy_reader *proxy_reader_start(struct loop *l, int fd, uint64_t timeout_ms, proxy_reader_fn *on_done,
                                        void *user); /* NULL: out of memory */
void proxy_reader_cancel(struct proxy_reader *r);    /* on_done is not called */
void *proxy_reader_user(const struct proxy_reader *r);
int proxy_reader_fd(const struct proxy_reader *r);

#endif
