/* SPDX-License-Identifier: Apache-2.0 */
/* Regions in memory files (memfd), so that sendfile works on them as on the arena's. */
#include "store/transient.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fault.h"
#include "store/region.h"

#define PAGE_BYTES 4096u

struct transient {
    struct store_region region;
    struct transient_budget *budget;
};

static bool budget_take(struct transient_budget *b, uint64_t size_bytes)
{
    uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
    do {
        if (size_bytes > b->max_bytes - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used_bytes, &used, used + size_bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void budget_give(struct transient_budget *b, uint64_t size_bytes)
{
    atomic_fetch_sub_explicit(&b->used_bytes, size_bytes, memory_order_relaxed);
}

static void on_unused(struct store_region *r)
{
    struct transient *t = container_of(r, struct transient, region);
    uint64_t size_bytes = r->size_bytes;
    region_unmap(r);
    budget_give(t->budget, size_bytes);
    free(t);
}

/* A memory file with its map, or a negative errno. */
static int memory_file(struct store_region *r, uint64_t size_bytes)
{
    int fd = memfd_create("shorebreak-transient", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rv = ftruncate(fd, (off_t)size_bytes) < 0 ? -errno : region_map(r, fd, size_bytes, false);
    if (rv < 0)
        close(fd);
    return rv;
}

int transient_new(struct transient_budget *budget, uint64_t size_bytes, struct store_region **ret_region)
{
    if (size_bytes > budget->max_bytes)
        return -EFBIG;
    size_bytes = (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (!budget_take(budget, size_bytes))
        return -ENOBUFS;
    struct transient *t = FAULT("memory") ? NULL : calloc(1, sizeof(*t));
    if (!t || memory_file(&t->region, size_bytes) < 0) {
        free(t);
        budget_give(budget, size_bytes);
        return -ENOMEM;
    }
    t->budget = budget;
    t->region.on_unused = on_unused;
    atomic_init(&t->region.refs, 1);
    *ret_region = &t->region;
    return 0;
}
