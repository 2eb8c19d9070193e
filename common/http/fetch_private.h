/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fetch.c (pool, line of waiting fetches) and fetch_connection.c (one upstream connection) share.
 */
#ifndef HTTP_FETCH_PRIVATE_H
#define HTTP_FETCH_PRIVATE_H

#include "http/fetch.h"
#include "parser.h"

#define FETCH_BUFFER_SIZE ((size_t)256 << 10)

struct fetch_pool {
    struct loop *loop;
    struct resolver *resolver;
    struct fetch_pool_options options;
    struct fetch_stats stats;
    struct list origins;
    struct list fetches;
    char *buffer;          /* FETCH_BUFFER_SIZE; what a connection reads, for the time of one callback */
    struct http_head head; /* of what stands there */
};

/* All connections to one target and the line of those who wait for one. Goes when it has neither. */
struct fetch_origin {
    struct list node; /* pool->origins */
    struct fetch_pool *pool;
    struct list idle; /* connections, the last used first */
    struct list waiting;
    size_t connection_count, waiting_count;
    struct later serve; /* hands connections to those who wait */
    struct tls_client *tls;
    uint16_t port;
    size_t connections_max; /* as the last who asked for it said */
    struct addr good;       /* the address that was connected to last: the first to try */
    bool has_good;
    const char *server_name; /* the host, or behind it in the same memory */
    char host[];
};

struct fetch {
    struct list node;      /* pool->fetches */
    struct list wait_node; /* origin->waiting */
    struct fetch_origin *origin;
    struct fetch_connection *connection; /* NULL: in line */
    struct fetch_timeouts timeouts;
    struct timer wait_deadline;
    const struct fetch_events *events;
    void *user;
    bool is_head, paused, retried;
    uint64_t received_bytes;
    size_t next_read_max; /* 0: none asked for */
    size_t head_size;
    char head[];
};

/* The end of a fetch that has no connection (any more): calls on_done, frees it. */
void fetch_done(struct fetch *f, enum fetch_result result);

/* Opens a connection for it. */
void fetch_connection_open(struct fetch *f);

/* Sends it over an idle connection. */
void fetch_connection_reuse(struct fetch_connection *c, struct fetch *f);

struct fetch_connection *fetch_connection_first_idle(struct fetch_origin *o); /* NULL: none */
void fetch_connection_close(struct fetch_connection *c);
void fetch_connection_close_idle(struct fetch_origin *o); /* all of them */
void fetch_connection_apply_pause(struct fetch_connection *c);

#endif
