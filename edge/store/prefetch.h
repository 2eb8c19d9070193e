/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's own threads, which wait for it so that no loop does: each job brings one piece of a region, or of
 * a map, into memory. Jobs are done in the order in which they came, so that who reads much does not
 * hold up who reads little. Whoever asked is told by a message, unless he has let go of the job.
 */
#ifndef STORE_PREFETCH_H
#define STORE_PREFETCH_H

#include "io/mailbox.h"
#include "store/region.h"

#define PREFETCH_THREADS 8u /* what a solid state disk needs to be busy, and one can be stuck */

struct prefetch;

/* One piece. Made by prefetch_start; the memory is freed by who gets it in on_done, or by prefetch_drop. */
struct prefetch_job {
    struct message message;
    struct list node;
    struct store_region *region; /* referenced; NULL: `map` */
    const char *map;
    uint64_t offset_bytes, size_bytes; /* of the region */
    struct mailbox *mailbox;
    bool is_dropped; /* under the mutex: nobody is to be told */
    int error;       /* 0, or why it could not be read */
    void *user;
};

int prefetch_open(struct prefetch **ret_prefetch); /* 0 or a negative errno */

/* Waits for what is being read just now. All jobs must have been dropped or told. */
void prefetch_close(struct prefetch *p); /* NULL is fine */

/* Brings [offset, offset + size) of the region, which is referenced meanwhile. `fn` is called on the
 * mailbox's loop with the job's message, and calls prefetch_free. NULL when memory is out. */
struct prefetch_job *prefetch_start(struct prefetch *p, struct store_region *region, uint64_t offset_bytes,
                                    uint64_t size_bytes, struct mailbox *mailbox, message_fn *fn, void *user);

/* The same of memory that is a file's map, and stays while the prefetch is there. */
struct prefetch_job *prefetch_start_map(struct prefetch *p, const void *map, uint64_t size_bytes,
                                        struct mailbox *mailbox, message_fn *fn, void *user);

/* On the loop of the one who started it, before his fn was called: fn will be called with user NULL, or
 * never.
 */
void prefetch_drop(struct prefetch *p, struct prefetch_job *job);
void prefetch_free(struct prefetch_job *job);

/* Brings it and waits, for a thread that may: whoever reads much through the map does it first, as the kernel
 * reads nothing ahead there. Harmless where nothing has to be brought. */
void prefetch_wait(const struct store_region *region, uint64_t offset_bytes, uint64_t size_bytes);

/* The same of a map, whatever others write there meanwhile. */
void prefetch_touch(const void *data, size_t size);

/* Brings all of a map into memory while there is nothing else to do, and looks after it from then on. */
void prefetch_keep(struct prefetch *p, struct iovec map);
bool prefetch_has_kept(const struct prefetch *p); /* all of it was there once */

struct prefetch_stats {
    uint64_t jobs, bytes, errors; /* done since the start */
    uint64_t waiting;             /* now: queued or being read */
};
void prefetch_stats(struct prefetch *p, struct prefetch_stats *ret_stats);

#endif
