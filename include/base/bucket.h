/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket in one number: the moment at which it will be full again. A full bucket holds no history, so
 * whoever keeps many of them may forget the full ones. Time is a parameter, in nanoseconds of any clock.
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BUCKET_RATE_MAX 1000000000ull /* tokens a second */

struct bucket {
    uint64_t full_at_ns; /* 0 to begin with: full */
};

static inline bool bucket_is_full(const struct bucket *b, uint64_t now_ns)
{
    return b->full_at_ns <= now_ns;
}

/* Takes a token: 0. Or none is left: for how many nanoseconds there will be none, and nothing is taken.
 * rate_per_s: 1 to BUCKET_RATE_MAX; burst: the tokens of a full one, at least 1. */
uint64_t bucket_take(struct bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_ns);

/* The same of a bucket that several threads share. */
uint64_t bucket_take_shared(_Atomic uint64_t *full_at_ns, uint64_t rate_per_s, uint64_t burst,
                            uint64_t now_ns);

#endif
