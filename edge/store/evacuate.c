/* SPDX-License-Identifier: Apache-2.0 */
/* See evacuate.h. All by the arena's thread, but for on_lost. */
#include "store/evacuate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/counter.h"
#include "store/prefetch.h"
#include "store/record.h"

/* A region must give more room than it takes: of what the policy wants kept, not more than this. */
#define KEPT_PERCENT_MAX 90

/* Others append to the same file between two writes. */
#define COPY_BYTES ((uint64_t)256 * 1024)

struct evacuator {
    struct evacuator_options options;
    uint64_t *gone_bytes; /* by site id, of the region at hand: not kept */
    counter_t kept_objects, kept_bytes, dropped_bytes, damaged, io_errors;
};

/* An object of the region that is to be kept. */
struct keepsake {
    uint64_t offset_bytes;
    bool is_guaranteed;
};

/* The region at hand. */
struct round {
    struct evacuator *e;
    const struct arena_victim *victim;
    struct keepsake *keepsakes;
    size_t count, capacity;
    uint64_t live_bytes, wanted_bytes, guaranteed_bytes, kept_bytes;
    int64_t now_ms;
};

static struct worth_object object_of(const struct record_seen *seen)
{
    return (struct worth_object){.id = seen->hash.low, .size_bytes = seen->span_bytes, .hint = seen->hint};
}

/* ---- looking: what is in it, and what of that is to be kept ---- */

/* Whether it is still found here; its meta as it is by now. */
static bool is_found(struct evacuator *e, const struct arena_place *place, struct record_seen *seen)
{
    struct index_hit hit;
    if (!index_find(e->options.index, seen->hash, &hit))
        return false;
    region_unref(hit.region);
    if (hit.place.slot != place->slot || hit.place.sequence != place->sequence ||
        hit.place.offset_bytes != place->offset_bytes)
        return false;
    seen->meta = hit.meta;
    return true;
}

static void judge(struct round *r, const struct arena_place *place, const struct record_seen *seen)
{
    struct evacuator *e = r->e;
    unsigned site = sites_id(e->options.sites, seen->meta.site_id);
    enum share_say say = shares_ask(e->options.shares, site, seen->span_bytes, e->gone_bytes[site]);
    struct worth_object o = object_of(seen);
    r->live_bytes += seen->span_bytes;
    bool is_kept = say == SHARE_KEEP || (say == SHARE_SILENT && worth_keeps(e->options.worth, &o, r->now_ms));
    if (!is_kept || r->count == r->capacity) {
        e->gone_bytes[site] += seen->span_bytes;
        return;
    }
    r->keepsakes[r->count++] = (struct keepsake){place->offset_bytes, say == SHARE_KEEP};
    r->wanted_bytes += seen->span_bytes;
    if (say == SHARE_KEEP)
        r->guaranteed_bytes += seen->span_bytes;
}

static void look(struct round *r)
{
    const struct store_region *region = r->victim->region;
    struct arena_place place = r->victim->begin;
    struct record_seen seen;
    while (place.offset_bytes < region->size_bytes && !region_is_bad(region) &&
           !arena_is_evacuated(r->e->options.arena, r->victim)) {
        bool is_record = record_examine(region, &place, r->e->options.hash_secret, &seen);
        if (is_record && is_found(r->e, &place, &seen))
            judge(r, &place, &seen);
        place.offset_bytes += is_record ? seen.span_bytes : 64;
    }
}

/* ---- copying ---- */

static int copy_bytes(const struct store_region *from, uint64_t from_bytes, const struct store_region *to,
                      uint64_t to_bytes, uint64_t size_bytes)
{
    int rv = 0;
    for (uint64_t at = 0; at < size_bytes && rv == 0; at += COPY_BYTES) {
        uint64_t size = size_bytes - at < COPY_BYTES ? size_bytes - at : COPY_BYTES;
        struct iovec part = {(void *)(from->map + from_bytes + at), size};
        rv = region_write(to, to_bytes + at, &part, 1);
    }
    return rv;
}

/* A record of the same order, so that it is known to be no newer than what it was copied from. */
static int write_copy(const struct store_region *from, const struct record_seen *seen,
                      const struct arena_extent *to)
{
    struct record reserved = {.state = RECORD_RESERVED, .extent = *to};
    struct record sealed = {.state = RECORD_SEALED,
                            .extent = *to,
                            .key = {seen->hash, seen->key_text},
                            .head = seen->head,
                            .meta = seen->meta,
                            .hint = seen->hint,
                            .order = seen->order,
                            .body_size_bytes = seen->body_bytes,
                            .body_sum = seen->body_sum};
    int rv = record_write(&reserved);
    if (rv == 0)
        rv = copy_bytes(from, seen->body_offset_bytes, to->region, to->body_offset_bytes, seen->body_bytes);
    if (rv == 0 && region_is_bad(from))
        rv = -EIO;
    return rv == 0 ? record_write(&sealed) : rv;
}

static void give_up(struct round *r, struct arena_extent *to)
{
    arena_trim(r->e->options.arena, to, to->place.offset_bytes);
    if (to->end_offset_bytes > to->place.offset_bytes) /* others have appended behind it */
        record_condemn(to->region, &to->place, to->end_offset_bytes - to->place.offset_bytes);
}

/* False when there is no room: the others go. */
static bool copy(struct round *r, const struct arena_place *from, const struct record_seen *seen)
{
    const struct evacuator_options *o = &r->e->options;
    struct worth_object object = object_of(seen);
    struct arena_extent to;
    unsigned stream = worth_stream(o->worth, &object, true, r->now_ms);
    uint64_t prefix_bytes = RECORD_HEADER_BYTES + seen->key_text.size + seen->head.size;
    if (!arena_reserve_ready(o->arena, stream, prefix_bytes, seen->body_bytes,
                             record_body_alignment(seen->body_bytes), &to))
        return false;
    int rv = write_copy(r->victim->region, seen, &to);
    uint64_t span_bytes = to.end_offset_bytes - to.place.offset_bytes;
    if (rv == 0 && index_move(o->index, seen->hash, from, &to.place, span_bytes)) {
        worth_stored(o->worth, to.place.slot, &object, r->now_ms);
        r->kept_bytes += seen->span_bytes;
        counter_add(&r->e->kept_objects, 1);
        counter_add(&r->e->kept_bytes, span_bytes);
    } else { /* replaced, removed, or reclaimed in a hurry, meanwhile */
        counter_add(&r->e->io_errors, rv < 0);
        give_up(r, &to);
    }
    arena_finish(o->arena, &to);
    region_unref(to.region);
    return true;
}

/* Reads all of it from the disk, if need be, and compares. */
static bool is_whole(struct round *r, const struct arena_place *place, const struct record_seen *seen)
{
    const struct store_region *region = r->victim->region;
    prefetch_wait(region, place->offset_bytes, seen->span_bytes);
    if (record_verify(region, place))
        return true;
    if (!region_is_bad(region)) { /* else all of it is lost soon, and told then */
        counter_add(&r->e->damaged, 1);
        index_remove(r->e->options.index, seen->hash, place);
    }
    return false;
}

/* What is guaranteed, or else what is not. False when there was no room for all of it. */
static bool copy_all(struct round *r, bool is_guaranteed, uint64_t max_bytes)
{
    struct evacuator *e = r->e;
    bool has_room = true;
    for (size_t i = 0; i < r->count && has_room; i++) {
        struct arena_place place = r->victim->begin;
        struct record_seen seen;
        place.offset_bytes = r->keepsakes[i].offset_bytes;
        if (arena_is_evacuated(e->options.arena, r->victim) || region_is_bad(r->victim->region))
            return true;
        if (r->keepsakes[i].is_guaranteed == is_guaranteed &&
            record_examine(r->victim->region, &place, e->options.hash_secret, &seen) &&
            is_found(e, &place, &seen) && r->kept_bytes + seen.span_bytes <= max_bytes &&
            is_whole(r, &place, &seen))
            has_room = copy(r, &place, &seen);
    }
    return has_room;
}

/* All that is guaranteed has been copied; false: when it cannot be now, or when to copy nearly all of a
 * region would make no room. */
static bool copy_guaranteed(struct round *r, uint64_t max_bytes)
{
    return r->guaranteed_bytes <= max_bytes && copy_all(r, true, max_bytes);
}

/* ---- for the arena ---- */

static enum arena_fate evacuate(void *user, const struct arena_victim *victim)
{
    struct evacuator *e = user;
    uint64_t max_bytes = victim->region->size_bytes / 100 * KEPT_PERCENT_MAX;
    struct round r = {
        .e = e, .victim = victim, .capacity = victim->objects, .now_ms = (int64_t)clock_monotonic_ms()};
    enum arena_fate fate = ARENA_GOES;
    r.keepsakes = malloc((r.capacity + 1) * sizeof(*r.keepsakes));
    if (!r.keepsakes)
        r.capacity = 0;
    memset(e->gone_bytes, 0, (sites_count(e->options.sites) + 1) * sizeof(*e->gone_bytes));
    look(&r);
    bool is_done = copy_guaranteed(&r, max_bytes);
    if (!is_done && victim->may_stay) {
        fate = ARENA_STAYS;
    } else {
        if (!is_done) /* as much as can be */
            copy_all(&r, true, max_bytes);
        copy_all(&r, false, max_bytes);
        uint64_t gone_bytes = r.live_bytes > r.kept_bytes ? r.live_bytes - r.kept_bytes : 0;
        counter_add(&e->dropped_bytes, gone_bytes);
        worth_reclaimed(e->options.worth, victim->begin.slot, r.live_bytes, r.kept_bytes, r.now_ms);
    }
    free(r.keepsakes);
    return fate;
}

/* A region that is mostly of sites that have left the configuration goes before all that may be asked for. */
static size_t pick(void *user, const struct arena_candidate *candidates, size_t count)
{
    struct evacuator *e = user;
    struct worth_region regions[ARENA_CANDIDATES_MAX];
    size_t left = 0;
    for (size_t i = 1; i < count; i++)
        if (candidates[i].left_bytes > candidates[left].left_bytes)
            left = i;
    if (candidates[left].left_bytes > candidates[left].live_bytes / 2)
        return left;
    for (size_t i = 0; i < count; i++)
        regions[i] = (struct worth_region){.region = candidates[i].slot,
                                           .live_bytes = candidates[i].live_bytes,
                                           .sealed_at_ms = candidates[i].sealed_at_ms};
    return worth_pick(e->options.worth, regions, count, (int64_t)clock_monotonic_ms());
}

static void on_lost(void *user, uint32_t slot)
{
    struct evacuator *e = user;
    worth_reclaimed(e->options.worth, slot, 0, 0, (int64_t)clock_monotonic_ms());
}

int evacuator_new(const struct evacuator_options *options, struct evacuator **ret_evacuator)
{
    struct evacuator *e = calloc(1, sizeof(*e));
    uint64_t *gone_bytes = calloc(sites_count(options->sites) + 1, sizeof(*gone_bytes));
    if (!e || !gone_bytes) {
        free(e);
        free(gone_bytes);
        return -ENOMEM;
    }
    e->options = *options;
    e->gone_bytes = gone_bytes;
    arena_evacuate_by(options->arena, &(struct arena_evacuation){e, pick, evacuate, on_lost});
    *ret_evacuator = e;
    return 0;
}

void evacuator_free(struct evacuator *e)
{
    if (!e)
        return;
    free(e->gone_bytes);
    free(e);
}

void evacuator_stats(const struct evacuator *e, struct evacuator_stats *ret_stats)
{
    *ret_stats = (struct evacuator_stats){.kept_objects = counter_read(&e->kept_objects),
                                          .kept_bytes = counter_read(&e->kept_bytes),
                                          .dropped_bytes = counter_read(&e->dropped_bytes),
                                          .damaged = counter_read(&e->damaged),
                                          .io_errors = counter_read(&e->io_errors)};
}
