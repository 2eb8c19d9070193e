/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest fields (RFC 9530): what a Repr-Digest or Content-Digest says of a body.
 */
#ifndef HTTP_DIGEST_H
#define HTTP_DIGEST_H

#include "base/digest.h"
#include "base/slice.h"

/* The SHA-256 in one field line; false when there is none, or none that can be read: what cannot be read is
 * not verified (RFC 9530 section 2), as if it were absent. */
bool http_digest_sha256(struct slice line, uint8_t ret_value[DIGEST_SIZE]);

#endif
