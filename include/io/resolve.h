/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name resolution off the loop (getaddrinfo on libuv's pool), with a small cache per loop. Names are asked
 * again after RESOLVE_TTL_MS, in the background; the last good answer is kept and used when asking again
 * fails.
 */
#ifndef IO_RESOLVE_H
#define IO_RESOLVE_H

#include "base/addr.h"
#include "io/loop.h"

#define RESOLVE_TTL_MS        30000
#define RESOLVE_ADDRESSES_MAX 8
#define RESOLVE_NAMES_MAX     256 /* the cache's bound; the least recently used name goes */

struct resolver;
struct resolve;

/* status: 0 or a negative UV_EAI_* / errno. addresses: port filled in, in order of preference, both families;
 * valid during the call. Exactly once, never from inside resolve_start unless it returned 1. */
typedef void resolve_fn(struct resolve *r, int status, const struct addr *addresses, size_t count);

/* Embedded in its owner, who keeps it alive until the callback or resolve_cancel. Needs no other start than
 * zeroes. */
struct resolve {
    struct list node;
    uint16_t port;
    resolve_fn *fn;
};

int resolver_new(struct loop *l, struct resolver **ret_resolver);
void resolver_free(struct resolver *r); /* who still waits is not called */

/* `name`: a name, or an IP literal without brackets. A literal, a cached name, or what cannot even be asked
 * calls back at once, inside the call, and returns 1; else 0, and calls back later. */
int resolve_start(struct resolver *r, struct resolve *resolve, const char *name, uint16_t port,
                  resolve_fn *fn);
void resolve_cancel(struct resolve *resolve); /* no callback after this; harmless when none is waited for */

#endif
