/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a fill that nobody reads any more is worth the bytes that are missing: what was paid for, against
 * what is still to be paid, and how likely it is that somebody comes. Pure; docs/caching.md has it for
 * operators.
 */
#ifndef ORIGIN_ORPHAN_H
#define ORIGIN_ORPHAN_H

#include <stdbool.h>
#include <stdint.h>

struct orphan {
    bool is_kept; /* else there is nothing to be had from finishing */
    bool is_sized;
    uint64_t filled_bytes, extent_bytes; /* extent: when it is sized */
    uint64_t slice_bytes;    /* in parts of this size what is there is kept, even when the fill is dropped */
    uint64_t orphaned_bytes; /* received since the last reader left */
    uint64_t readers;        /* that it has had */
};

bool orphan_is_worth_finishing(const struct orphan *o);

#endif
