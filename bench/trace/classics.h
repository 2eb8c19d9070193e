/* SPDX-License-Identifier: Apache-2.0 */
/* Eviction policies to compare with, object by object, without regions: what is in a cache of so many bytes.
 */
#ifndef BENCH_TRACE_CLASSICS_H
#define BENCH_TRACE_CLASSICS_H

#include "file.h"

struct trace_result {
    uint64_t missed_requests, missed_bytes;
    uint64_t written_bytes;   /* to the disk: what was stored, and what was written again to keep it */
    uint64_t rewritten_bytes; /* of those: written again */
    uint64_t region_bytes;    /* 0: without regions */
    size_t memory_bytes;      /* of the policy; 0: not counted */
    uint64_t objects_max;     /* stored at once */
};

typedef bool trace_policy_fn(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result);

/* False when memory is out. */
trace_policy_fn trace_fifo, trace_lru, trace_sieve, trace_s3fifo, trace_belady;

#endif
