/* SPDX-License-Identifier: Apache-2.0 */
/* What the store says of itself, all of it and each disk. Part of store.h, which includes it. */
#ifndef STORE_STORE_STATS_H
#define STORE_STORE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* How a disk is. One that has failed is used again from the next start on, and what it holds is then
 * validated before it is used, since it may have been changed or removed meanwhile. */
enum store_disk_state {
    STORE_DISK_USED,
    STORE_DISK_NOT_OPENED, /* it failed at the start */
    STORE_DISK_ERRORS,     /* too many of them */
    STORE_DISK_HANGS,      /* it does not answer */
};
const char *store_disk_state_name(enum store_disk_state state);

struct store_stats {
    uint64_t budget_bytes, region_bytes; /* the budget is smaller than configured once the disk was full */
    uint64_t regions, regions_held;      /* in use; reclaimed but still held open by readers */
    uint64_t regions_pending;            /* to be verified, or to be walked, before all in them is found */
    uint64_t written_bytes;              /* bodies and heads since the start */
    uint64_t wasted_bytes;               /* padding, abandoned and unused reservations since the start */
    uint64_t reclaimed_regions;          /* since the start */
    uint64_t objects, index_capacity;    /* sealed and not known dead; slots */
    uint64_t index_displaced;            /* live entries lost to a full bucket since the start */
    uint64_t transient_bytes, transient_budget_bytes;
    uint64_t io_errors;
    uint64_t regions_spare;
    uint64_t kept_bytes, dropped_bytes; /* of regions that went: written again, let go. Since the start */
    uint64_t hurried_regions;           /* they went before that could be decided */
    uint64_t disks, disks_failed;
    uint64_t scrub_passes, scrubbed_objects, scrubbed_bytes;      /* since the start */
    uint64_t syncs;                                               /* since the start, as all that follow */
    uint64_t verified_objects, damaged_objects, restored_objects; /* by recovery; by whoever; found again */
    uint64_t refused_objects, refused_bytes;                      /* not worth storing, since the start */
    uint64_t cold_reads, cold_read_bytes; /* pieces that had to be brought from the disk since the start */
    uint64_t cold_reads_waiting;          /* now */
};
void store_stats(struct store *s, struct store_stats *ret_stats);

/* Of one disk alone: what is there of one that has failed is not counted. False when there is no such disk.
 */
struct store_disk_stats {
    const char *path;
    enum store_disk_state state;
    struct store_stats stats;
};
bool store_disk_stats(struct store *s, size_t number, struct store_disk_stats *ret_stats);

/* Of the objects of a site that are found; exact some seconds after the start. */
uint64_t store_site_bytes(struct store *s, unsigned site_id);

#endif
