/* SPDX-License-Identifier: Apache-2.0 */
/* Objects whose bytes, metas and heads follow from a number. Part of store_fixture.h. */
#ifndef STORE_STORE_FIXTURE_DATA_H
#define STORE_STORE_FIXTURE_DATA_H

#include <stdio.h>

#include "store/store.h"

/* The bytes of the body made from `seed`: every 8 of them tell seed and place. */
static inline void fixture_fill(char *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(((seed * 2654435761u) ^ (uint32_t)(i / 8) * 40503u) >> (i % 4 * 8));
}

static inline struct store_meta fixture_meta(unsigned seed)
{
    return (struct store_meta){.generated_at_ms = 1700000000000 + seed,
                               .fresh_until_ms = 1700000060000 + seed,
                               .stale_while_revalidate_s = seed,
                               .stale_if_error_s = seed + 1,
                               .total_size_bytes = (uint64_t)seed << 33,
                               .purge_generation = seed * 0x10001u,
                               .site_id = (uint16_t)seed,
                               .content_class = (uint8_t)(seed >> 3),
                               .flags = (uint8_t)(seed >> 5)};
}

/* But for the site: that is another one where it is not configured. */
static inline bool fixture_meta_equal(const struct store_meta *a, const struct store_meta *b)
{
    return a->generated_at_ms == b->generated_at_ms && a->fresh_until_ms == b->fresh_until_ms &&
           a->stale_while_revalidate_s == b->stale_while_revalidate_s &&
           a->stale_if_error_s == b->stale_if_error_s && a->total_size_bytes == b->total_size_bytes &&
           a->purge_generation == b->purge_generation && a->content_class == b->content_class &&
           a->flags == b->flags;
}

static inline struct slice fixture_head(unsigned seed, char text[32])
{
    return (struct slice){text, (size_t)snprintf(text, 32, "head of %u", seed)};
}

#endif
