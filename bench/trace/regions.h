/* SPDX-License-Identifier: Apache-2.0 */
/* The store's regions without bodies: the real policy code decides, what is where is counted. */
#ifndef BENCH_TRACE_REGIONS_H
#define BENCH_TRACE_REGIONS_H

#include "classics.h"
#include "store/worth.h"

struct regions_options {
    enum worth_policy policy;
    uint64_t region_bytes;     /* at most: a small cache has smaller ones, so that it has REGIONS_MIN */
    uint64_t object_bytes_avg; /* the policy's memory is given for capacity / this many objects */
    uint64_t seed;
};
#define REGIONS_MIN 64u

bool trace_regions(const struct trace *t, uint64_t capacity_bytes, const struct regions_options *options,
                   struct trace_result *ret_result);

#endif
