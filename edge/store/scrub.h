/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads all that is kept on a disk once in a while and compares it with its sums, so that what the disk has
 * lost is found before a viewer asks for it. A thread of its own at the lowest priority of the disk; a pass
 * is spread over its interval, and goes on after a restart where it was.
 */
#ifndef STORE_SCRUB_H
#define STORE_SCRUB_H

#include "store/index.h"

/* ---- the schedule: pure ---- */

#define SCRUB_BYTES_PER_S_MAX ((uint64_t)32 * 1024 * 1024) /* when a pass is behind */

struct scrub_pass {
    int64_t begin_ms;
    uint64_t interval_ms;             /* that all of it takes */
    uint64_t total_bytes, done_bytes; /* done may come to be more than was thought to be there */
};

/* When the next step, of so many bytes, is due: in proportion, and not sooner after the last one than the
 * bound of the rate allows. */
int64_t scrub_due_ms(const struct scrub_pass *p, uint64_t step_bytes, int64_t last_ms);

/* ---- the thread ---- */

struct scrub;

struct scrub_options {
    struct arena *arena;
    struct index *index;
    struct superblock *superblock; /* keeps where the pass is */
    const char *path;              /* for messages */
    uint64_t interval_ms;
};

/* All in `options` must outlive it. 0 or a negative errno. */
int scrub_start(const struct scrub_options *options, struct scrub **ret_scrub);
void scrub_let_go(struct scrub *s); /* ends when it can: the disk has failed. Nobody waits */
void scrub_stop(struct scrub *s);   /* NULL is fine */

/* One step, of one record or of a look whether there is one. For the thread, and for tests where none runs.
 * Bytes read; *ret_is_over when the pass was. */
uint64_t scrub_step(struct scrub *s, bool *ret_is_over);
int scrub_new(const struct scrub_options *options, struct scrub **ret_scrub); /* without a thread */

struct scrub_stats {
    uint64_t passes, objects, bytes; /* ended; read */
    uint64_t damaged, io_errors;     /* objects that were not what had been stored; of them, unreadable */
};
void scrub_stats(const struct scrub *s, struct scrub_stats *ret_stats);

#endif
