/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory files for what is shared but not kept: a region of its own for each, within one budget, freed by
 * whoever gives back the last reference.
 */
#ifndef STORE_TRANSIENT_H
#define STORE_TRANSIENT_H

#include <stdatomic.h>
#include <stdint.h>

struct store_region;

struct transient_budget {
    uint64_t max_bytes;
    _Atomic uint64_t used_bytes; /* in whole pages */
};

/* A memory file of this size with one reference, the caller's. 0; -EFBIG (more than the whole budget),
 * -ENOBUFS (budget used up), -ENOMEM. The budget must outlive the region. */
int transient_new(struct transient_budget *budget, uint64_t size_bytes, struct store_region **ret_region);

#endif
