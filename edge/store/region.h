/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region is a file that is only ever appended to, its map, and the count of those who use it. Bytes once
 * written never change: sendfile(2) queues references to pages, so a reader may still be sending what it let
 * go of. Region files of the arena and the memory files of what is transient are the same to whoever reads.
 *
 * A region's memory may be looked at by a thread that holds no reference yet, so the arena never frees it
 * before the end: region_try_ref tells whether somebody is there, and the sequence whether it is the one that
 * was meant.
 */
#ifndef STORE_REGION_H
#define STORE_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct store_region {
    _Atomic uint32_t refs;     /* 0: nobody is here. What can be found is held once by its owner */
    _Atomic uint32_t sequence; /* under which it can be found; 0: not (spare, reclaimed, transient) */
    int fd;
    const char *map; /* read only: everything is written with pwrite */
    uint64_t size_bytes;
    bool is_guarded;
    struct residency *residency; /* what of it is in memory; NULL: all (store/residency.h) */
    _Atomic bool is_bad;         /* its bytes cannot be read any more; what is copied from it may be zeros */
    void (*on_unused)(
        struct store_region *r); /* by the thread that gave back the last reference; it owns r */
};

static inline bool region_is_bad(const struct store_region *r)
{
    return atomic_load_explicit(&r->is_bad, memory_order_acquire);
}

/* Maps the file. Guarded: others may truncate it, or a disk fail to read it. 0 or a negative errno; on
 * failure the region is as it was. */
int region_map(struct store_region *r, int fd, uint64_t size_bytes, bool is_guarded);

/* Unmaps and closes: takes milliseconds for an unlinked file whose pages must be freed. */
void region_unmap(struct store_region *r);

/* Writes all of it. The one place that decides how bytes get into a region (docs/arena.md has the
 * measurement). 0 or -EIO. The array is used up. */
int region_write(const struct store_region *r, uint64_t offset_bytes, struct iovec *parts, int count);

void region_unref(struct store_region *r);

/* For those who hold a reference already. */
static inline void region_ref(struct store_region *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

/* A reference, if the region can be found under this sequence. */
bool region_try_ref(struct store_region *r, uint32_t sequence);

#endif
