/* SPDX-License-Identifier: Apache-2.0 */
/* Giving out room, finding regions by place, counting. Making room is in arena_upkeep.c. */
#include "store/arena.h"

#include "base/clock.h"
#include "store/arena_private.h"

/* ---- extents ---- */

static bool extent_append(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                          uint64_t body_alignment, struct arena_extent *ret_extent) /* under mutex */
{
    struct arena_stream *s = &a->streams[stream];
    struct arena_region *r = s->current;
    if (!r)
        return false;
    uint64_t body = align_up(s->fill_bytes + prefix_bytes, body_alignment);
    uint64_t end = align_up(body + body_bytes, EXTENT_ALIGN);
    if (end > a->region_bytes)
        return false;
    *ret_extent = (struct arena_extent){.region = &r->region,
                                        .place = {r->slot, r->file_sequence, s->fill_bytes},
                                        .body_offset_bytes = body,
                                        .end_offset_bytes = end};
    s->fill_bytes = end;
    r->writers++;
    r->is_dirty = true;
    region_ref(&r->region);
    return true;
}

void arena_link_live(struct arena *a, struct arena_region *r, bool is_hidden)
{
    list_push_back(&a->live, &r->node);
    a->live_count++;
    atomic_store_explicit(&r->entry->state, REGION_LIVE, memory_order_release);
    atomic_store_explicit(is_hidden ? &r->hidden_sequence : &r->region.sequence, r->file_sequence,
                          memory_order_release);
}

void arena_region_begin_filling(struct arena *a, struct arena_region *r, unsigned stream, uint64_t fill_bytes)
{
    struct arena_stream *s = &a->streams[stream];
    if (s->current)
        arena_region_end_filling(a, s->current);
    *s = (struct arena_stream){r, fill_bytes};
    r->stream = stream;
    r->entry->stream = (uint16_t)stream;
    r->is_current = true;
}

void arena_region_end_filling(struct arena *a, struct arena_region *r)
{
    struct arena_stream *s = &a->streams[r->stream];
    counter_add_shared(&a->tail_bytes, a->region_bytes - s->fill_bytes);
    r->entry->fill_bytes = a->region_bytes;
    r->is_dirty = true; /* so that it is marked as synced to its end */
    r->is_current = false;
    r->sealed_at_ms = (int64_t)clock_monotonic_ms();
    s->current = NULL;
}

/* The current region is full; a spare takes its place. False when there is none. */
static bool current_replace(struct arena *a, unsigned stream) /* under mutex */
{
    if (list_is_empty(&a->spares))
        return false;
    struct arena_region *r = LIST_FIRST(&a->spares, struct arena_region, node);
    list_remove(&r->node);
    a->spare_count--;
    arena_region_begin_filling(a, r, stream, REGION_HEAD_BYTES);
    arena_link_live(a, r, false);
    arena_wake(a);
    return true;
}

static bool extent_take(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                        uint64_t body_alignment, struct arena_extent *ret_extent) /* under mutex */
{
    return extent_append(a, stream, prefix_bytes, body_bytes, body_alignment, ret_extent) ||
           (current_replace(a, stream) &&
            extent_append(a, stream, prefix_bytes, body_bytes, body_alignment, ret_extent));
}

int arena_reserve(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                  uint64_t body_alignment, struct arena_extent *ret_extent)
{
    stream = stream < a->stream_count ? stream : 0;
    REQUIRE(prefix_bytes + body_bytes + body_alignment <= a->region_bytes / 2);
    for (;;) {
        pthread_mutex_lock(&a->mutex);
        bool fits = extent_take(a, stream, prefix_bytes, body_bytes, body_alignment, ret_extent);
        pthread_mutex_unlock(&a->mutex);
        if (fits)
            return 0;
        /* Others may take the spare that was made: each time round, one of them got on. */
        int rv = arena_make_spare(a);
        if (rv < 0)
            return rv;
    }
}

bool arena_reserve_ready(struct arena *a, unsigned stream, uint64_t prefix_bytes, uint64_t body_bytes,
                         uint64_t body_alignment, struct arena_extent *ret_extent)
{
    REQUIRE(prefix_bytes + body_bytes + body_alignment <= a->region_bytes / 2);
    pthread_mutex_lock(&a->mutex);
    bool fits = extent_take(a, stream < a->stream_count ? stream : 0, prefix_bytes, body_bytes,
                            body_alignment, ret_extent);
    pthread_mutex_unlock(&a->mutex);
    return fits;
}

void arena_trim(struct arena *a, struct arena_extent *x, uint64_t end_offset_bytes)
{
    REQUIRE(end_offset_bytes % EXTENT_ALIGN == 0 && end_offset_bytes <= x->end_offset_bytes);
    pthread_mutex_lock(&a->mutex);
    struct arena_region *r = arena_region_of(x->region);
    struct arena_stream *s = &a->streams[r->stream];
    if (r->is_current && s->fill_bytes == x->end_offset_bytes)
        s->fill_bytes = x->end_offset_bytes = end_offset_bytes;
    pthread_mutex_unlock(&a->mutex);
}

void arena_finish(struct arena *a, struct arena_extent *x)
{
    pthread_mutex_lock(&a->mutex);
    arena_region_of(x->region)->writers--;
    pthread_mutex_unlock(&a->mutex);
}

/* ---- places ---- */

static struct arena_region *region_at(struct arena *a, const struct arena_place *place)
{
    return place->sequence != 0 && place->slot < a->pool_count ? &a->pool[place->slot] : NULL;
}

struct store_region *arena_ref(struct arena *a, const struct arena_place *place)
{
    struct arena_region *r = region_at(a, place);
    return r && region_try_ref(&r->region, place->sequence) ? &r->region : NULL;
}

bool arena_has(struct arena *a, const struct arena_place *place)
{
    struct arena_region *r = region_at(a, place);
    return r && (atomic_load_explicit(&r->region.sequence, memory_order_acquire) == place->sequence ||
                 atomic_load_explicit(&r->hidden_sequence, memory_order_acquire) == place->sequence);
}

bool arena_owns(const struct arena *a, const struct store_region *region)
{
    /* As numbers: the region may be of another pool, or of none. */
    uintptr_t begin = (uintptr_t)a->pool, end = (uintptr_t)(a->pool + a->pool_count);
    return (uintptr_t)region >= begin && (uintptr_t)region < end;
}

struct arena_place arena_place_of(struct arena *a, struct store_region *region, uint64_t offset_bytes)
{
    struct arena_region *r = arena_region_of(region);
    REQUIRE(r->arena == a);
    return (struct arena_place){r->slot, r->file_sequence, offset_bytes};
}

uint64_t arena_next_order(struct arena *a)
{
    return atomic_fetch_add_explicit(&a->next_order, 1, memory_order_relaxed);
}

/* ---- counting ---- */

/* The region at this place, if what stands there can still be found. */
static struct arena_region *live_region_at(struct arena *a, const struct arena_place *place) /* under mutex */
{
    return arena_has(a, place) ? region_at(a, place) : NULL;
}

/* Never below zero: after a power loss what was counted is what was last written back, an estimate. */
static void count_bytes(struct arena *a, struct arena_region *r, uint16_t number, uint64_t bytes, int change)
{
    unsigned site = sites_id(a->sites, number);
    uint32_t *units = &r->site_units[site];
    uint32_t size = (uint32_t)(bytes / EXTENT_ALIGN), counted = size;
    if (change < 0 && *units < size)
        counted = *units;
    *units += change < 0 ? -counted : counted;
    uint64_t counted_bytes = (uint64_t)counted * EXTENT_ALIGN;
    r->live_bytes += change < 0 ? -counted_bytes : counted_bytes;
    atomic_fetch_add_explicit(&a->site_bytes[site], change < 0 ? -counted_bytes : counted_bytes,
                              memory_order_relaxed);
}

void arena_count_object(struct arena *a, const struct arena_place *place, uint16_t number, uint64_t bytes,
                        int change)
{
    pthread_mutex_lock(&a->mutex);
    struct arena_region *r = live_region_at(a, place);
    if (r) {
        uint32_t count = atomic_load_explicit(&r->entry->objects, memory_order_relaxed);
        if (change > 0 || count > 0)
            atomic_store_explicit(&r->entry->objects, count + (uint32_t)change, memory_order_relaxed);
        count_bytes(a, r, number, bytes, change);
    }
    pthread_mutex_unlock(&a->mutex);
}

void arena_count_bytes(struct arena *a, const struct arena_place *place, uint16_t number, uint64_t bytes)
{
    pthread_mutex_lock(&a->mutex);
    struct arena_region *r = live_region_at(a, place);
    if (r)
        count_bytes(a, r, number, bytes, 1);
    pthread_mutex_unlock(&a->mutex);
}

uint32_t arena_slots(const struct arena *a)
{
    return a->pool_count;
}

bool arena_is_full(struct arena *a)
{
    return atomic_load_explicit(&a->is_full, memory_order_relaxed);
}

void arena_counted(struct arena *a)
{
    pthread_mutex_lock(&a->mutex);
    a->is_counted = true;
    pthread_mutex_unlock(&a->mutex);
}

void arena_uncount_region(struct arena *a, struct arena_region *r)
{
    for (unsigned i = 0; i <= sites_count(a->sites); i++) {
        atomic_fetch_sub_explicit(&a->site_bytes[i], (uint64_t)r->site_units[i] * EXTENT_ALIGN,
                                  memory_order_relaxed);
        r->site_units[i] = 0;
    }
    r->live_bytes = 0;
}

void arena_forget_counts(struct arena *a)
{
    pthread_mutex_lock(&a->mutex);
    for (uint32_t i = 0; i < a->pool_count; i++)
        arena_uncount_region(a, &a->pool[i]);
    pthread_mutex_unlock(&a->mutex);
}

uint64_t arena_site_bytes(struct arena *a, unsigned site)
{
    return site <= sites_count(a->sites) ? atomic_load_explicit(&a->site_bytes[site], memory_order_relaxed)
                                         : 0;
}

void arena_stats(struct arena *a, struct arena_stats *ret_stats)
{
    struct arena_region *r;
    struct arena_stats stats = {.reclaimed = counter_read(&a->reclaimed),
                                .hurried = counter_read(&a->hurried),
                                .tail_bytes = counter_read(&a->tail_bytes),
                                .io_errors = counter_read(&a->io_errors)};
    pthread_mutex_lock(&a->mutex);
    stats.budget_bytes = a->budget_files * a->region_bytes;
    stats.regions_live = a->live_count;
    stats.regions_held = a->held_count;
    stats.regions_spare = a->spare_count;
    LIST_FOR_EACH (r, &a->live, node) {
        stats.objects += atomic_load_explicit(&r->entry->objects, memory_order_relaxed);
        stats.regions_pending += r->is_pending || atomic_load(&r->hidden_sequence) != 0;
    }
    pthread_mutex_unlock(&a->mutex);
    *ret_stats = stats;
}

uint64_t arena_io_errors(const struct arena *a)
{
    return counter_read(&a->io_errors);
}
