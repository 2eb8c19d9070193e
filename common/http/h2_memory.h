/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of nghttp2's sessions. What a session takes while it is made it keeps until its end: a buffer of 16
 * kB for the frame that is being made, of which only the beginning is ever touched as bodies do not go
 * through it, and a table of streams, which is empty while a connection is idle. Here they stand in pages of
 * their own, a slot for each session, so that pages that are not touched, or hold zeros only, cost nothing.
 *
 * Nothing is assumed of nghttp2's version but the rules of malloc: what does not look as expected is taken
 * from the heap. A pool is used by one thread.
 */
#ifndef HTTP_H2_MEMORY_H
#define HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>

struct h2_pool;

struct h2_pool *h2_pool_new(void);       /* NULL when memory is out */
void h2_pool_free(struct h2_pool *pool); /* with the last slot, when some are still in use; NULL is fine */

/* Of one session; it must not move while the session lives. */
struct h2_memory {
    struct h2_pool *pool;
    struct h2_chunk *chunk; /* NULL: there was no slot, the heap has all */
    char *slot;
    bool is_making; /* until h2_memory_made */
    bool has_frame, has_table;
    size_t front_filled;
};

/* Before the session is made with the allocator that is returned. */
nghttp2_mem h2_memory_init(struct h2_memory *m, struct h2_pool *pool);
void h2_memory_made(struct h2_memory *m); /* whether that went well or not */
void h2_memory_fini(struct h2_memory *m); /* after the session's end */

/* Gives back what holds nothing; it may be called at any time, and is worth it when the session is idle. */
void h2_memory_rest(struct h2_memory *m);

#endif
