/* SPDX-License-Identifier: Apache-2.0 */
/* A start: everything is stored, everything goes with its region, the oldest region first. */
#include "store/worth.h"

#include <stdlib.h>

struct worth {
    struct worth_options options;
};

struct worth *worth_new(const struct worth_options *options)
{
    struct worth *w = calloc(1, sizeof(*w));
    if (w)
        w->options = *options;
    return w;
}

void worth_free(struct worth *w)
{
    free(w);
}

void worth_ask(struct worth *w, const struct worth_object *o, int64_t now_ms, bool was_hit)
{
    (void)w, (void)o, (void)now_ms, (void)was_hit;
}

bool worth_admits(struct worth *w, const struct worth_object *o, int64_t now_ms)
{
    (void)w, (void)o, (void)now_ms;
    return true;
}

enum worth_stream worth_stream(struct worth *w, const struct worth_object *o, bool is_kept, int64_t now_ms)
{
    (void)w, (void)o, (void)now_ms;
    return is_kept ? WORTH_STREAM_KEPT : WORTH_STREAM_FRESH;
}

void worth_stored(struct worth *w, uint32_t region, const struct worth_object *o, int64_t now_ms)
{
    (void)w, (void)region, (void)o, (void)now_ms;
}

size_t worth_pick(struct worth *w, const struct worth_region *regions, size_t count, int64_t now_ms)
{
    (void)w, (void)now_ms;
    size_t oldest = 0;
    for (size_t i = 1; i < count; i++)
        if (regions[i].sealed_at_ms < regions[oldest].sealed_at_ms)
            oldest = i;
    return oldest;
}

bool worth_keeps(struct worth *w, const struct worth_object *o, int64_t now_ms)
{
    (void)w, (void)o, (void)now_ms;
    return false;
}

void worth_reclaimed(struct worth *w, uint32_t region, uint64_t live_bytes, uint64_t kept_bytes,
                     int64_t now_ms)
{
    (void)w, (void)region, (void)live_bytes, (void)kept_bytes, (void)now_ms;
}

void worth_stats(struct worth *w, struct worth_stats *ret_stats)
{
    (void)w;
    *ret_stats = (struct worth_stats){.memory_bytes = sizeof(*w)};
}
