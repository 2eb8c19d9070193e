/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs whose responses may not be shared, as far as was last seen. Who asks for one asks the origin at once:
 * waiting for another viewer's response would be in vain, one after the other. A table of a fixed size, for
 * all workers, without a lock; what it does not remember, or remembers wrongly, costs a wait or a fill, never
 * a wrong response.
 */
#ifndef CACHE_HIT_FOR_MISS_H
#define CACHE_HIT_FOR_MISS_H

#include "base/hash.h"

#define HIT_FOR_MISS_MS 120000 /* for so long */

struct hit_for_miss;

struct hit_for_miss *hit_for_miss_new(void); /* NULL when memory is out */
void hit_for_miss_free(struct hit_for_miss *h);

/* `key` of the URL; times of the monotonic clock. */
void hit_for_miss_add(struct hit_for_miss *h, struct hash128 key, uint64_t now_ms);
void hit_for_miss_remove(struct hit_for_miss *h, struct hash128 key);
bool hit_for_miss_has(const struct hit_for_miss *h, struct hash128 key, uint64_t now_ms);

#endif
