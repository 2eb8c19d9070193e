/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper sees to it that what is stored is on the disk a few seconds later, and that nothing is found
 * that may not be what was stored: it syncs at an interval, and after a power loss or the loss of the index
 * walks the regions and verifies what is not known to be on the disk. One thread of its own, which may wait.
 */
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include "store/index.h"

struct keeper;

struct keeper_options {
    struct arena *arena;
    struct index *index;
    struct superblock *superblock; /* its `recovery` says what is to be done, and is cleared when it is */
    const char *path;              /* for messages */
    uint32_t interval_ms;
};

/* All in `options` must outlive the keeper. 0 or a negative errno. */
int keeper_start(const struct keeper_options *options, struct keeper **ret_keeper);
void keeper_let_go(struct keeper *k); /* it ends when it can: the disk has failed. Nobody waits */
int64_t keeper_waited_ms(const struct keeper *k, int64_t now_ms); /* for how long the disk has made it wait */
void keeper_stop(struct keeper *k); /* ends between two records; what is left is done after the next open */

/* Both wait, off the loops. keeper_sync: all that was sealed, refreshed and removed before is on the disk
 * (false: not all of it). keeper_recover: nothing is pending any more. */
bool keeper_sync(struct keeper *k);
void keeper_recover(struct keeper *k);

struct keeper_stats {
    uint64_t syncs;
    uint64_t verified, damaged, restored; /* records, by recovery */
};
void keeper_stats(const struct keeper *k, struct keeper_stats *ret_stats);

#endif
