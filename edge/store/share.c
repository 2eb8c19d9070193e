/* SPDX-License-Identifier: Apache-2.0 */
/* See share.h. */
#include "store/share.h"

#include <stdlib.h>

#include "base/log.h"

/* What is guaranteed is copied when its region goes: a part of the arena must be free to go. */
#define GUARANTEED_PERCENT_MAX 70

struct share {
    uint64_t guaranteed_bytes, max_bytes;
};

struct shares {
    struct arena *arena;
    uint32_t count;
    struct share items[];
};

static uint64_t part_of(uint64_t bytes, double part)
{
    return bytes > 0 ? (uint64_t)((double)bytes * part) + 1 : 0;
}

struct shares *shares_new(struct arena *arena, const struct store_site *sites, uint32_t count,
                          uint64_t size_bytes, uint64_t total_bytes)
{
    struct shares *s = calloc(1, sizeof(*s) + count * sizeof(s->items[0]));
    double part = (double)size_bytes / (double)total_bytes, guaranteed = 0;
    double guaranteed_max = (double)total_bytes * GUARANTEED_PERCENT_MAX / 100;
    if (!s)
        return NULL;
    s->arena = arena;
    s->count = count;
    for (uint32_t i = 0; i < count; i++)
        guaranteed += (double)sites[i].guaranteed_bytes;
    double scale = guaranteed > guaranteed_max ? guaranteed_max / guaranteed : 1;
    if (scale < 1)
        log_warn("the guaranteed shares of all sites come to more than %d %% of the arena: they are scaled "
                 "down to that",
                 GUARANTEED_PERCENT_MAX);
    for (uint32_t i = 0; i < count; i++)
        s->items[i] = (struct share){part_of(sites[i].guaranteed_bytes, part * scale),
                                     part_of(sites[i].max_bytes, part)};
    return s;
}

void shares_free(struct shares *s)
{
    free(s);
}

enum share_say shares_ask(const struct shares *s, unsigned site, uint64_t object_bytes, uint64_t gone_bytes)
{
    if (site == 0 || site > s->count)
        return s->count > 0 ? SHARE_DROP : SHARE_SILENT;
    const struct share *share = &s->items[site - 1];
    uint64_t bytes = arena_site_bytes(s->arena, site);
    bytes = bytes > gone_bytes ? bytes - gone_bytes : 0;
    if (bytes < share->guaranteed_bytes + object_bytes && share->guaranteed_bytes > 0)
        return SHARE_KEEP;
    return share->max_bytes > 0 && bytes > share->max_bytes ? SHARE_DROP : SHARE_SILENT;
}
