/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a region are in memory, so that a loop never waits for the disk: what was found there is
 * remembered by granules for a few seconds, and a hot hit costs no system call. Bytes that are not there are
 * brought by the disk's own threads (store/prefetch.h).
 *
 * The kernel is asked with cachestat(2), where there is one, else with mincore(2). cachestat counts pages
 * that are still on their way from the disk: a granule that was given to the threads stays marked until one
 * of them has waited for all of it. What is written counts as in memory.
 *
 * What remains: a page that the kernel drops within RESIDENCY_TRUST_MS after it was seen. It drops what was
 * not used for longest, and a granule that is asked about is being used; so that takes a page cache that is
 * turned over within seconds.
 */
#ifndef STORE_RESIDENCY_H
#define STORE_RESIDENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESIDENCY_GRANULE_BYTES ((uint64_t)64 * 1024)
#define RESIDENCY_TRUST_MS      8192 /* at most; half of it at least */

struct prefetch;
struct store_region;

struct residency {
    struct prefetch *prefetch; /* of its disk */
    uint32_t granule_count;
    _Atomic uint16_t stamps[]; /* when it was all there, LOADING, or 0 */
};

/* False where the kernel cannot tell, or nothing ever has to be waited for (tmpfs). `fd`: any file there. */
bool residency_is_of_use(int fd);

/* Begins to watch a region that was just mapped; without memory for it, its bytes are taken for present. The
 * prefetch outlives it. region_unmap ends it. */
void residency_attach(struct store_region *r, struct prefetch *prefetch);

/* How many bytes from `offset` on, of `size` at most, can be read now. At most RESIDENCY_ASK_MAX_BYTES are
 * looked at. Of a region that is not watched: all. */
#define RESIDENCY_ASK_MAX_BYTES ((uint64_t)4 << 20)
uint64_t residency_ready(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms);

/* They were just written, and so are in memory. */
void residency_written(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms);

/* They are on their way: asked about, they are not ready before residency_loaded. */
void residency_loading(const struct store_region *r, uint64_t offset, uint64_t size);
void residency_loaded(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms);

/* Whether all pages of a map are in memory: for files that are not regions. */
bool residency_of_map(const void *data, uint64_t size);

#endif
