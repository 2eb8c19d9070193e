/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an object besides its bytes, for the store to judge what it is worth: from playlists
 * first, from the shape of its URL where they say nothing. Wrong guesses cost hits, never bytes.
 */
#ifndef HINT_H
#define HINT_H

#include "base/addr.h"
#include "catalog.h"
#include "http/head.h"
#include "store/store.h"

/* What the names say: "site/show/720p/seg-00012.ts?x" is number 12 of the rendition "720p" of the title
 * "site/show"; where the folder is no rendition's, "site/show/low-12.ts" is of the rendition "low-". The
 * query does not count. Sets title, rendition and segment, the others to nothing. */
void hint_of_text(struct slice key_text, struct store_hint *ret_hint);

/* All but the session. `entry` NULL: no playlist has told of it. */
void hint_of_key(struct catalog *c, const struct catalog_entry *entry, enum content_class content_class,
                 struct slice key_text, struct store_hint *ret_hint);

/* Who asks: the session that CMCD names, in the header or in the query (data NULL: none), else the
 * connection. Keyed with the secret, and never 0. */
uint64_t hint_session(const struct http_head *head, struct slice query, const struct addr *peer,
                      const uint8_t secret[HASH_SECRET_SIZE]);

#endif
