/* SPDX-License-Identifier: Apache-2.0 */
/* Maps, writes and counts the users of one region; who owns it and why it ends is the arena's or transient's.
 */
#include "store/region.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/guard.h"
#include "store/residency.h"

int region_map(struct store_region *r, int fd, uint64_t size_bytes, bool is_guarded)
{
    if (FAULT("store.mmap"))
        return -ENOMEM;
    void *map = mmap(NULL, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    if (is_guarded && !guard_add(map, size_bytes, false, &r->is_bad)) {
        munmap(map, size_bytes);
        return -ENOMEM;
    }
    r->map = map;
    r->is_guarded = is_guarded;
    r->fd = fd;
    r->size_bytes = size_bytes;
    r->residency = NULL;
    return 0;
}

void region_unmap(struct store_region *r)
{
    REQUIRE(atomic_load_explicit(&r->refs, memory_order_acquire) == 0);
    if (r->is_guarded)
        guard_remove((void *)r->map);
    munmap((void *)r->map, r->size_bytes);
    close(r->fd);
    free(r->residency);
    r->residency = NULL;
    r->map = NULL;
    r->fd = -1;
}

/* Drops what a short write took from the front; returns the parts that are left. */
static struct iovec *parts_skip(struct iovec *parts, int *count, size_t written)
{
    while (*count > 0 && written >= parts->iov_len) {
        written -= parts->iov_len;
        parts++;
        --*count;
    }
    if (*count > 0) {
        parts->iov_base = (char *)parts->iov_base + written;
        parts->iov_len -= written;
    }
    return parts;
}

int region_write(const struct store_region *r, uint64_t offset_bytes, struct iovec *parts, int count)
{
    uint64_t begin = offset_bytes;
    parts = parts_skip(parts, &count, 0);
    while (count > 0) {
        ssize_t n =
            FAULT("store.pwrite") ? (errno = EIO, -1) : pwritev(r->fd, parts, count, (off_t)offset_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        offset_bytes += (uint64_t)n;
        parts = parts_skip(parts, &count, (size_t)n);
    }
    if (r->residency)
        residency_written(r, begin, offset_bytes - begin, clock_monotonic_ms());
    return 0;
}

void region_unref(struct store_region *r)
{
    uint32_t before = atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel);
    REQUIRE(before > 0);
    if (before == 1)
        r->on_unused(r);
}

bool region_try_ref(struct store_region *r, uint32_t sequence)
{
    uint32_t refs = atomic_load_explicit(&r->refs, memory_order_relaxed);
    do {
        if (refs == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&r->refs, &refs, refs + 1, memory_order_acquire,
                                                    memory_order_relaxed));
    if (atomic_load_explicit(&r->sequence, memory_order_acquire) == sequence)
        return true;
    region_unref(r);
    return false;
}
