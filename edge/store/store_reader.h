/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the store from a loop, which must not wait for the disk: what is not in memory is brought by the
 * disk's own threads, and the loop is told. One reader belongs to one request and waits for one thing at a
 * time.
 *
 *   store_reader_lookup ─STORE_WAITS─► on_ready ─► once more
 *   store_reader_ready  ─────0───────► on_ready ─► once more
 *
 * Ahead of where it reads, the reader has brought one piece more, so that the disk works while the viewer
 * takes what is there: pieces begin small, and each time the viewer is faster than the disk they double. A
 * slow viewer costs no more memory than he needs.
 */
#ifndef STORE_STORE_READER_H
#define STORE_STORE_READER_H

#include "io/mailbox.h"
#include "store/store.h"

struct prefetch;
struct prefetch_job;

struct store_reader_place {
    struct store *store;
    struct loop *loop;
    struct mailbox *mailbox; /* of the loop */
    uint64_t timeout_ms;     /* how long the disk may take */
};

struct store_reader {
    const struct store_reader_place *place;
    void (*on_ready)(struct store_reader *r); /* on the loop; may end it */
    /* the rest is the store's own */
    struct timer deadline;
    struct prefetch *prefetch; /* of `job` */
    struct prefetch_job *job;  /* what it waits for, or has brought ahead */
    uint64_t piece_bytes;
    int error;
    bool is_waiting; /* on_ready is due */
    bool has_waited; /* since something was there last */
};

/* `place` outlives it. Nothing is to be ended before something was asked. */
void store_reader_init(struct store_reader *r, const struct store_reader_place *place,
                       void (*on_ready)(struct store_reader *r));
void store_reader_end(struct store_reader *r); /* on_ready is not called any more; idempotent */

/* store_lookup. STORE_WAITS: on_ready follows. STORE_FAILED: the disk did not answer in time. */
enum store_found { STORE_MISSED, STORE_FOUND, STORE_WAITS, STORE_FAILED };
enum store_found store_reader_lookup(struct store_reader *r, const struct store_key *key,
                                     struct store_object *ret_object);

/* The same for whoever can do without what is not in memory: that is missed. */
bool store_lookup_warm(struct store *s, const struct store_key *key, uint64_t now_ms,
                       struct store_object *ret_object);

/* Of `size` bytes at `offset` of `o->fd`, which are of its body: how many from the front can be read now. 0:
 * on_ready follows. -ETIMEDOUT; -EIO: they cannot be read. */
int64_t store_reader_ready(struct store_reader *r, const struct store_object *o, uint64_t offset_bytes,
                           uint64_t size_bytes);

/* Space is short because readers hold it: regions that were reclaimed, or transient memory. Cheap enough to
 * be asked some times a second. */
bool store_is_pressed(struct store *s);

/* Whether it is for this object too that it is: whoever only stands on it should let go. */
bool store_is_in_the_way(struct store *s, const struct store_object *o);

#endif
