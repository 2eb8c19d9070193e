/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 from libsodium, whose other parts are in hash.c. */
#include "base/digest.h"

#include <sodium.h>
#include <stdlib.h>

_Static_assert(DIGEST_SIZE == crypto_hash_sha256_BYTES, "SHA-256 yields this much");

struct digest {
    crypto_hash_sha256_state state;
};

struct digest *digest_new(void)
{
    struct digest *d = malloc(sizeof(*d));

    if (d)
        crypto_hash_sha256_init(&d->state);
    return d;
}

void digest_free(struct digest *d)
{
    free(d);
}

void digest_add(struct digest *d, const void *data, size_t size)
{
    crypto_hash_sha256_update(&d->state, data, size);
}

void digest_value(struct digest *d, uint8_t ret_value[DIGEST_SIZE])
{
    crypto_hash_sha256_final(&d->state, ret_value);
}
