/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two hashes, from libsodium and xxHash. Both are the same on every machine: sums are kept on disk, and
 * 128-bit keys are in the index.
 */
#include "base/hash.h"

#include <endian.h>
#include <sodium.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* as wide as this processor can: four times as fast, the same sums */
#else
#include <xxhash.h>
#endif

#include "base/check.h"

_Static_assert(HASH_SECRET_SIZE == crypto_shorthash_siphashx24_KEYBYTES,
               "SipHash takes a secret of this size");
_Static_assert(sizeof(struct hash128) == crypto_shorthash_siphashx24_BYTES, "SipHash yields this much");

void hash_secret_new(uint8_t ret_secret[HASH_SECRET_SIZE])
{
    REQUIRE(sodium_init() >= 0); /* may be called again, from any thread */
    randombytes_buf(ret_secret, HASH_SECRET_SIZE);
}

struct hash128 hash_key(const uint8_t secret[HASH_SECRET_SIZE], struct slice data)
{
    uint64_t halves[2];

    crypto_shorthash_siphashx24((unsigned char *)halves, (const unsigned char *)data.data, data.size, secret);
    return (struct hash128){.high = le64toh(halves[1]), .low = le64toh(halves[0])};
}

uint64_t hash_sum(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

/* The pointer is only ever passed on, so the library's own state can be it. */
static XXH3_state_t *state_of(const struct hash_stream *s)
{
    return (XXH3_state_t *)s;
}

struct hash_stream *hash_stream_new(void)
{
    XXH3_state_t *state = XXH3_createState();

    if (!state)
        return NULL;
    REQUIRE(XXH3_64bits_reset(state) == XXH_OK);
    return (struct hash_stream *)state;
}

void hash_stream_free(struct hash_stream *s)
{
    XXH3_freeState(state_of(s));
}

void hash_stream_add(struct hash_stream *s, const void *data, size_t size)
{
    if (size > 0)
        REQUIRE(XXH3_64bits_update(state_of(s), data, size) == XXH_OK);
}

uint64_t hash_stream_value(const struct hash_stream *s)
{
    return XXH3_64bits_digest(state_of(s));
}
