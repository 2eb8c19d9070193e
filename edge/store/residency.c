/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps of granules, and the two system calls behind them. */
#include "store/residency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fault.h"
#include "store/region.h"

#define UNKNOWN    0u
#define LOADING    UINT16_MAX
#define EPOCH_MS   (RESIDENCY_TRUST_MS / 2)
#define EPOCHS     (LOADING - 1u) /* a stamp is 1 + epoch: what is 74 hours old looks new for one */
#define RUN_MAX    16u            /* granules asked about with one call */
#define PAGE_MIN   4096u
#define TMPFS_TYPE 0x01021994
#define RAMFS_TYPE 0x858458f6

/* linux/mman.h has it since 6.5. */
#define SYS_CACHESTAT 451
struct cachestat_range {
    uint64_t offset, size;
};
struct cachestat_result {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static _Atomic bool has_cachestat = true;

/* ---- asking the kernel ---- */

static uint64_t page_bytes(void)
{
    return (uint64_t)getpagesize();
}

static bool ask_mincore(const void *data, uint64_t size)
{
    unsigned char present[RUN_MAX * RESIDENCY_GRANULE_BYTES / PAGE_MIN];
    uint64_t page = page_bytes(), skip = (uintptr_t)data % page;
    char *at = (char *)data - skip;
    for (uint64_t left = (size + skip + page - 1) / page, count; left > 0;
         left -= count, at += count * page) {
        count = left < sizeof(present) ? left : sizeof(present);
        if (mincore(at, count * page, present) < 0)
            return true; /* it cannot be told */
        for (uint64_t i = 0; i < count; i++)
            if (!(present[i] & 1))
                return false;
    }
    return true;
}

/* 1, 0, or -1: there is no such call. */
static int ask_cachestat(int fd, uint64_t offset, uint64_t size)
{
    uint64_t page = page_bytes(), begin = offset / page * page,
             end = (offset + size + page - 1) / page * page;
    struct cachestat_range range = {begin, end - begin};
    struct cachestat_result result = {0};
    if (!atomic_load_explicit(&has_cachestat, memory_order_relaxed))
        return -1;
    if (syscall(SYS_CACHESTAT, fd, &range, &result, 0) < 0) {
        if (errno == ENOSYS || errno == EPERM)
            atomic_store_explicit(&has_cachestat, false, memory_order_relaxed);
        return -1;
    }
    return result.cached >= (end - begin) / page;
}

static bool ask(const struct store_region *r, uint64_t offset, uint64_t size)
{
    if (FAULT("store.cold"))
        return false;
    if (offset + size > r->size_bytes)
        size = r->size_bytes - offset;
    int answer = ask_cachestat(r->fd, offset, size);
    return answer < 0 ? ask_mincore(r->map + offset, size) : answer > 0;
}

bool residency_of_map(const void *data, uint64_t size)
{
    return ask_mincore(data, size);
}

bool residency_is_of_use(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type != TMPFS_TYPE && (uint32_t)fs.f_type != RAMFS_TYPE;
}

/* ---- stamps ---- */

static uint16_t stamp_of(uint64_t now_ms)
{
    return (uint16_t)(1 + now_ms / EPOCH_MS % EPOCHS);
}

static bool is_trusted(uint16_t stamp, uint16_t now)
{
    uint16_t before = (uint16_t)(now > 1 ? now - 1 : (int)EPOCHS);
    return stamp == now || stamp == before;
}

void residency_attach(struct store_region *r, struct prefetch *prefetch)
{
    uint64_t count = (r->size_bytes + RESIDENCY_GRANULE_BYTES - 1) / RESIDENCY_GRANULE_BYTES;
    if (!prefetch)
        return;
    struct residency *residency = calloc(1, sizeof(*residency) + count * sizeof(residency->stamps[0]));
    if (!residency)
        return;
    /* What the kernel read ahead by itself would be on its way without a mark, and more than viewers need. */
    posix_fadvise(r->fd, 0, 0, POSIX_FADV_RANDOM);
    madvise((void *)r->map, r->size_bytes, MADV_RANDOM);
    residency->prefetch = prefetch;
    residency->granule_count = (uint32_t)count;
    r->residency = residency;
}

/* The granules in a run that begins with `first`, at most to `last`, whose stamps do not say. */
static uint32_t run_length(const struct residency *s, uint32_t first, uint32_t last, uint16_t now,
                           uint16_t ret_seen[RUN_MAX])
{
    uint32_t n = 0;
    while (n < RUN_MAX && first + n <= last) {
        uint16_t stamp = atomic_load_explicit(&s->stamps[first + n], memory_order_acquire);
        if (stamp == LOADING || is_trusted(stamp, now))
            break;
        ret_seen[n++] = stamp;
    }
    return n;
}

/* Not over one that has begun to load meanwhile: then its pages may have been counted on their way. */
static bool stamp_present(struct residency *s, uint32_t granule, uint16_t seen, uint16_t now)
{
    return atomic_compare_exchange_strong_explicit(&s->stamps[granule], &seen, now, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           seen != LOADING;
}

/* Asks about a run: how many of its granules are there, from the first on. */
static uint32_t ask_run(const struct store_region *r, uint32_t first, uint32_t count,
                        const uint16_t seen[RUN_MAX], uint16_t now)
{
    const uint64_t unit = RESIDENCY_GRANULE_BYTES;
    bool is_all = ask(r, first * unit, count * unit);
    uint32_t n = 0;
    while (n < count && (is_all || (count > 1 && ask(r, (first + n) * unit, unit))) &&
           stamp_present(r->residency, first + n, seen[n], now))
        n++;
    return n;
}

/* What this thread has lately found to be there, though not all of its granule was: such are all granules
 * that are still being filled, and those of which parts were reserved and not needed. */
struct finding {
    const struct store_region *region;
    uint64_t begin, end;
    uint32_t sequence;
    uint16_t stamp;
};

static struct finding *finding_of(const struct store_region *r, uint64_t begin)
{
    static _Thread_local struct finding findings[1024];
    uint64_t mixed = ((uintptr_t)r ^ begin * 0x9e3779b97f4a7c15u) * 0x9e3779b97f4a7c15u;
    return &findings[mixed >> 54];
}

static bool is_found(const struct store_region *r, uint64_t begin, uint64_t end, uint16_t now)
{
    const struct finding *f = finding_of(r, begin);
    return f->region == r && f->begin == begin && f->end >= end && is_trusted(f->stamp, now) &&
           f->sequence == atomic_load_explicit(&r->sequence, memory_order_relaxed);
}

/* Of the bytes that are asked about, those in the granule have lately been there. */
static bool is_known(const struct store_region *r, uint32_t granule, uint64_t begin, uint64_t end,
                     uint16_t now)
{
    const uint64_t unit = RESIDENCY_GRANULE_BYTES;
    uint16_t stamp = atomic_load_explicit(&r->residency->stamps[granule], memory_order_acquire);
    if (stamp == LOADING || is_trusted(stamp, now))
        return stamp != LOADING;
    return is_found(r, begin > granule * unit ? begin : granule * unit,
                    end < (granule + 1) * unit ? end : (granule + 1) * unit, now);
}

/* The first granule, of those that [begin, end) is in, of which it is not known that it is ready. */
static uint32_t ready_until(const struct store_region *r, uint64_t begin, uint64_t end, uint16_t now)
{
    const struct residency *s = r->residency;
    uint32_t first = (uint32_t)(begin / RESIDENCY_GRANULE_BYTES);
    uint32_t last = (uint32_t)((end - 1) / RESIDENCY_GRANULE_BYTES);
    uint16_t seen[RUN_MAX];
    while (first <= last) {
        if (is_known(r, first, begin, end, now)) {
            first++;
            continue;
        }
        uint32_t count = run_length(s, first, last, now, seen);
        uint32_t there = count > 0 ? ask_run(r, first, count, seen, now) : 0;
        first += there;
        if (there == 0 || there < count)
            break;
    }
    return first;
}

/* A granule that is not all there may yet have the bytes that count: its neighbours' need not. */
static bool is_ready_exactly(const struct store_region *r, uint32_t granule, uint64_t begin, uint64_t end,
                             uint16_t now)
{
    const _Atomic uint16_t *stamp = &r->residency->stamps[granule];
    uint32_t sequence = atomic_load_explicit(&r->sequence, memory_order_relaxed);
    if (atomic_load_explicit(stamp, memory_order_acquire) == LOADING || !ask(r, begin, end - begin) ||
        atomic_load_explicit(stamp, memory_order_acquire) == LOADING)
        return false;
    *finding_of(r, begin) = (struct finding){r, begin, end, sequence, now};
    return true;
}

uint64_t residency_ready(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms)
{
    const uint64_t unit = RESIDENCY_GRANULE_BYTES;
    if (!r->residency || size == 0)
        return size;
    if (size > RESIDENCY_ASK_MAX_BYTES)
        size = RESIDENCY_ASK_MAX_BYTES;
    uint64_t end = offset + size;
    REQUIRE(end <= r->size_bytes);
    uint16_t now = stamp_of(now_ms);
    uint64_t until = ready_until(r, offset, end, now);
    uint64_t ready_end = until * unit >= end ? end : until * unit > offset ? until * unit : offset;
    if (ready_end < end) {
        uint64_t granule_end = (until + 1) * unit < end ? (until + 1) * unit : end;
        if (is_ready_exactly(r, (uint32_t)until, ready_end, granule_end, now))
            ready_end = granule_end;
    }
    return ready_end - offset;
}

static void set_stamps(const struct store_region *r, uint64_t offset, uint64_t size, uint16_t stamp)
{
    struct residency *s = r->residency;
    if (!s || size == 0)
        return;
    uint64_t last = (offset + size - 1) / RESIDENCY_GRANULE_BYTES;
    for (uint64_t g = offset / RESIDENCY_GRANULE_BYTES; g <= last && g < s->granule_count; g++)
        atomic_store_explicit(&s->stamps[g], stamp, memory_order_release);
}

/* Only of a granule that begins with what is written, or was all there before: what else stands in it may be
 * from before a restart. */
void residency_written(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms)
{
    const uint64_t unit = RESIDENCY_GRANULE_BYTES;
    struct residency *s = r->residency;
    uint16_t now = stamp_of(now_ms);
    if (!s || size == 0)
        return;
    for (uint64_t g = offset / unit; g * unit < offset + size && g < s->granule_count; g++) {
        uint16_t stamp = atomic_load_explicit(&s->stamps[g], memory_order_acquire);
        if (stamp != LOADING && (g * unit >= offset || is_trusted(stamp, now)))
            stamp_present(s, (uint32_t)g, stamp, now);
    }
}

void residency_loading(const struct store_region *r, uint64_t offset, uint64_t size)
{
    set_stamps(r, offset, size, LOADING);
}

void residency_loaded(const struct store_region *r, uint64_t offset, uint64_t size, uint64_t now_ms)
{
    set_stamps(r, offset, size, stamp_of(now_ms));
}
