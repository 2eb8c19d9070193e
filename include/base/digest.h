/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 of data that arrives in pieces.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32

struct digest;

struct digest *digest_new(void);    /* NULL when memory is out */
void digest_free(struct digest *d); /* NULL is fine */
void digest_add(struct digest *d, const void *data, size_t size);

/* Of all that was added. Nothing may be added after it. */
void digest_value(struct digest *d, uint8_t ret_value[DIGEST_SIZE]);

#endif
