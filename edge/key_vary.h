/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variants: one URL, several representations, chosen by fields of the request that Vary names (RFC 9111
 * section 4.1). Under the plain key stands a marker that names these fields, and each variant under the key
 * and the values; an object without Vary costs nothing of this. Also here: which fields of a viewer's request
 * the origin is told at all, since no others can matter. Pure.
 */
#ifndef KEY_VARY_H
#define KEY_VARY_H

#include "config.h"
#include "http/head.h"

#define KEY_VARY_NAMES_MAX \
    ((size_t)512) /* of a marker's list of names; what varies by more is shared with nobody */

/* Whether the origin is told this field, of a request that a cache may answer. */
bool key_forwards(const struct config_site *site, struct slice name);

enum key_vary {
    KEY_VARY_NONE,    /* nothing that could differ between viewers */
    KEY_VARY_FIELDS,  /* *names */
    KEY_VARY_UNKNOWN, /* "*", or fields that the origin was not told: only this viewer's */
};

/* What a response varies by. names: cleared, then lower-case names, each behind a comma, in order and each
 * once. */
enum key_vary key_vary_of(const struct http_head *response, const struct config_site *site,
                          struct buf *names);

/* The key text of the variant that a request with these fields gets: appended to `text` is a part that stands
 * in no URL. `epoch` is the marker's: variants of an older marker are not found. False: too long. */
bool key_variant_write(uint64_t epoch, struct slice names, const struct http_field *fields,
                       size_t field_count, const struct config_site *site, struct buf *text);

/* The body of a marker, and back. */
bool key_marker_write(uint64_t epoch, struct slice names, struct buf *out);
bool key_marker_read(struct slice body, uint64_t *ret_epoch, struct slice *ret_names);

#endif
