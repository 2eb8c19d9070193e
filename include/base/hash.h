/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hashes for two jobs. hash_key: 128 bits, keyed with a secret (SipHash-2-4-128), for what attackers
 * choose: cache keys. hash_sum: 64 bits, fast (XXH3), for what the disk may damage: checksums.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

#define HASH_SECRET_SIZE 16

struct hash128 {
    uint64_t high, low;
};

void hash_secret_new(uint8_t ret_secret[HASH_SECRET_SIZE]);
struct hash128 hash_key(const uint8_t secret[HASH_SECRET_SIZE], struct slice data);
uint64_t hash_sum(const void *data, size_t size);

/* The same sum over data that arrives in pieces. */
struct hash_stream;
struct hash_stream *hash_stream_new(void); /* NULL when memory is out */
void hash_stream_free(struct hash_stream *s);
void hash_stream_add(struct hash_stream *s, const void *data, size_t size);
uint64_t hash_stream_value(const struct hash_stream *s);

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.high == b.high && a.low == b.low;
}

#endif
