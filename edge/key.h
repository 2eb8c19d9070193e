/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache key: what of a request says which bytes it wants. Its text is the site's name followed by the
 * normalised path and the query without the parameters that change nothing. What the origin is asked for is
 * the same text, so that two requests with one key can never mean two things at the origin.
 */
#ifndef KEY_H
#define KEY_H

#include "config.h"

#define KEY_SIZE_MAX ((size_t)16 * 1024)

/* Writes the text into `text` (cleared first). `query.data` NULL: none. *ret_target is the part of the text
 * that goes to the origin. False: too long. */
bool key_write(struct slice site_name, struct slice path, struct slice query,
               const struct config_query_rules *rules, struct buf *text, struct slice *ret_target);

#endif
