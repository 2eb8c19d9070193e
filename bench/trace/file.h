/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace of requests in memory: what was asked for when, with objects numbered densely from 0 so that a
 * simulation needs arrays and no hash tables.
 */
#ifndef BENCH_TRACE_FILE_H
#define BENCH_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_NEVER UINT32_MAX

struct trace_request {
    uint64_t time_us;
    uint32_t object;
    uint32_t session;
};

struct trace_object {
    uint64_t key;
    uint32_t size_bytes; /* as first seen */
};

struct trace {
    struct trace_request *requests;
    struct trace_object *objects;
    uint32_t request_count, object_count;
    uint64_t footprint_bytes; /* of all objects together */
    uint64_t requested_bytes;
    bool has_structure; /* the keys tell titles apart; else they are opaque */
};

/* Reads all of it: records of 24 bytes (u64 time in us, u64 key, u32 bytes, u32 session, little endian), or
 * lines of text "time_us,key,size,session", by what it begins with. A key that is no number is hashed. 0 or
 * -EINVAL (with a sentence on stderr), -ENOMEM, -EIO. */
int trace_read(FILE *file, struct trace *ret_trace);
void trace_free(struct trace *t);

/* For each request when (as a request's number) the object is asked for next, or TRACE_NEVER. The caller
 * frees it; NULL when memory is out. */
uint32_t *trace_next_uses(const struct trace *t);

#endif
