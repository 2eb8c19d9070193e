/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the arena sites are sure of, and what they may have at most. It goes before what objects are worth:
 * below its guaranteed share a site's objects are stored and kept, above its bound they are neither.
 */
#ifndef STORE_SHARE_H
#define STORE_SHARE_H

#include "store/arena.h"
#include "store/store.h"

enum share_say {
    SHARE_SILENT, /* it is a question of worth */
    SHARE_KEEP,
    SHARE_DROP,
};

struct shares;

/* Of this arena, of size_bytes, which is one of several of total_bytes together: it answers for as large a
 * part of each share. NULL: memory is out. */
struct shares *shares_new(struct arena *arena, const struct store_site *sites, uint32_t count,
                          uint64_t size_bytes, uint64_t total_bytes);
void shares_free(struct shares *s); /* NULL is fine */

/* What to do with an object of the site (its id), of which `gone_bytes` are about to go already. What is of
 * no configured site goes; where none is configured, nothing is said. */
enum share_say shares_ask(const struct shares *s, unsigned site, uint64_t object_bytes, uint64_t gone_bytes);

#endif
