/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rest of common/io may know of a loop. Private to common/io.
 */
#ifndef IO_LOOP_PRIVATE_H
#define IO_LOOP_PRIVATE_H

#include <uv.h>

#include "io/loop.h"
#include "turns.h"

uv_loop_t *loop_uv(struct loop *l);

/* Memory for use within one call; whoever is called next on this loop may overwrite it. */
#define LOOP_SCRATCH_SIZE ((size_t)384 * 1024)
char *loop_scratch(struct loop *l);

/* Those who wait for their turn of this loop. Whom events or put-off work put there is served at the end of
 * the turn. */
struct turns *loop_turns(struct loop *l);

/* For the streams of this loop: how many of them were accepted and are open. */
size_t *loop_accepted_count(struct loop *l);

/* Something that outlives its owner's close for a bounded time, and must end when the loop does. */
struct loop_leftover;
typedef void loop_leftover_fn(struct loop_leftover *leftover);
struct loop_leftover {
    struct list node;
    loop_leftover_fn *end_now; /* called by loop_free, out of the list already */
};
void loop_add_leftover(struct loop *l, struct loop_leftover *leftover, loop_leftover_fn *end_now);

#endif
