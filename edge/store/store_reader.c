/* SPDX-License-Identifier: Apache-2.0 */
/* Asking what is in memory, and waiting for what is not. */
#include "store/store_reader.h"

#include <errno.h>

#include "base/check.h"
#include "store/prefetch.h"
#include "store/record.h"
#include "store/residency.h"
#include "store/store_private.h"

#define PIECE_MIN ((uint64_t)256 << 10)
#define PIECE_MAX ((uint64_t)4 << 20)

/* ---- waiting ---- */

static void tell(struct store_reader *r)
{
    if (!r->is_waiting)
        return; /* it was brought ahead */
    r->is_waiting = false;
    r->on_ready(r);
}

static void on_job(struct message *m)
{
    struct prefetch_job *job = container_of(m, struct prefetch_job, message);
    struct store_reader *r = job->user;
    int error = job->error;
    prefetch_free(job);
    if (!r)
        return; /* he has let go of it */
    r->job = NULL;
    if (error)
        r->error = error;
    tell(r);
}

static void let_go(struct store_reader *r)
{
    if (r->job)
        prefetch_drop(r->prefetch, r->job);
    r->job = NULL;
}

static void on_deadline(struct timer *t)
{
    struct store_reader *r = container_of(t, struct store_reader, deadline);
    let_go(r);
    r->error = -ETIMEDOUT;
    tell(r);
}

void store_reader_init(struct store_reader *r, const struct store_reader_place *place,
                       void (*on_ready)(struct store_reader *r))
{
    *r = (struct store_reader){.place = place, .on_ready = on_ready, .piece_bytes = PIECE_MIN};
    timer_init(&r->deadline, on_deadline);
}

void store_reader_end(struct store_reader *r)
{
    let_go(r);
    timer_stop(&r->deadline);
    r->is_waiting = false;
}

static uint64_t now_ms(const struct store_reader *r)
{
    return loop_now_ms(r->place->loop);
}

/* Waits for the job that runs, whatever it brings: the answer is looked for once more. */
static void wait(struct store_reader *r)
{
    r->is_waiting = r->has_waited = true;
    if (!timer_is_running(&r->deadline))
        timer_start(r->place->loop, &r->deadline, r->place->timeout_ms);
}

/* Something was there. */
static void go_on(struct store_reader *r)
{
    if (r->has_waited)
        timer_stop(&r->deadline);
    r->has_waited = false;
}

static int take_error(struct store_reader *r)
{
    int error = r->error;
    r->error = 0;
    if (error)
        go_on(r);
    return error;
}

/* ---- looking up ---- */

/* What of a lookup is not in memory: in a map, or in a region, which is held then. */
struct cold {
    struct prefetch *prefetch;
    const void *map;
    struct store_region *region;
    uint64_t offset_bytes, size_bytes;
};

static bool is_index_cold(const struct disk *d, struct hash128 hash, struct cold *ret_cold)
{
    const void *buckets[2];
    if (!d->prefetch || prefetch_has_kept(d->prefetch))
        return false;
    index_buckets(d->index, hash, buckets);
    for (unsigned i = 0; i < 2; i++)
        if (!residency_of_map(buckets[i], INDEX_BUCKET_BYTES)) {
            *ret_cold = (struct cold){.map = buckets[i], .size_bytes = INDEX_BUCKET_BYTES};
            return true;
        }
    return false;
}

static bool is_place_cold(const struct index_hit *hit, uint64_t size_bytes, uint64_t now,
                          struct cold *ret_cold)
{
    uint64_t offset = hit->place.offset_bytes, left = hit->region->size_bytes - offset;
    if (size_bytes > left)
        size_bytes = left;
    if (residency_ready(hit->region, offset, size_bytes, now) >= size_bytes)
        return false;
    *ret_cold = (struct cold){.region = hit->region, .offset_bytes = offset, .size_bytes = size_bytes};
    return true;
}

/* The header first: it says how much belongs to it. */
static bool is_record_cold(const struct index_hit *hit, uint64_t now, struct cold *ret_cold)
{
    if (!hit->region->residency || hit->place.offset_bytes >= hit->region->size_bytes ||
        region_is_bad(hit->region))
        return false;
    return is_place_cold(hit, RECORD_HEADER_BYTES, now, ret_cold) ||
           is_place_cold(hit, record_front_bytes(hit->region, &hit->place), now, ret_cold);
}

/* STORE_WAITS: *ret_cold is to be brought first. */
static enum store_found look_on(struct disk *d, const struct store_key *key, uint64_t now,
                                struct store_object *ret_object, struct cold *ret_cold)
{
    struct store_key own = disk_key(d, key);
    struct index_hit hit;
    bool is_cold = is_index_cold(d, own.hash, ret_cold);
    if (!is_cold) {
        if (!index_find(d->index, own.hash, &hit))
            return STORE_MISSED;
        is_cold = is_record_cold(&hit, now, ret_cold);
    }
    ret_cold->prefetch = d->prefetch;
    if (is_cold)
        return STORE_WAITS;
    return disk_read_hit(d, &own, &hit, ret_object) ? STORE_FOUND : STORE_MISSED;
}

/* First where it belongs, then where it may have been put before. */
static enum store_found look_up(struct store *s, const struct store_key *key, uint64_t now,
                                struct store_object *ret_object, struct cold *ret_cold)
{
    size_t first = store_owner(s, key->hash);
    enum store_found found = STORE_MISSED;
    for (size_t i = 0; i < s->disk_count && found == STORE_MISSED; i++) {
        struct disk *d = store_disk_at(s, (first + i) % s->disk_count);
        if (d)
            found = look_on(d, key, now, ret_object, ret_cold);
    }
    return found;
}

bool store_lookup_warm(struct store *s, const struct store_key *key, uint64_t now,
                       struct store_object *ret_object)
{
    struct cold cold = {.region = NULL};
    enum store_found found = look_up(s, key, now, ret_object, &cold);
    if (found == STORE_WAITS && cold.region)
        region_unref(cold.region);
    return found == STORE_FOUND;
}

static bool bring(struct store_reader *r, const struct cold *cold)
{
    if (r->job)
        return true; /* one at a time: what comes after it is looked for then */
    struct prefetch *prefetch = r->prefetch = cold->prefetch;
    r->job = cold->region
                 ? prefetch_start(prefetch, cold->region, cold->offset_bytes, cold->size_bytes,
                                  r->place->mailbox, on_job, r)
                 : prefetch_start_map(prefetch, cold->map, cold->size_bytes, r->place->mailbox, on_job, r);
    return r->job != NULL;
}

enum store_found store_reader_lookup(struct store_reader *r, const struct store_key *key,
                                     struct store_object *ret_object)
{
    struct cold cold = {.region = NULL};
    if (take_error(r) == -ETIMEDOUT) /* what cannot be read, the lookup sees by itself */
        return STORE_FAILED;
    enum store_found found = look_up(r->place->store, key, now_ms(r), ret_object, &cold);
    if (found != STORE_WAITS) {
        go_on(r);
        return found;
    }
    bool is_coming = bring(r, &cold);
    if (cold.region)
        region_unref(cold.region);
    if (!is_coming)
        return STORE_FAILED;
    wait(r);
    return STORE_WAITS;
}

/* ---- the body ---- */

static bool bring_piece(struct store_reader *r, struct store_region *region, uint64_t offset, uint64_t size)
{
    struct cold cold = {.prefetch = region->residency->prefetch,
                        .region = region,
                        .offset_bytes = offset,
                        .size_bytes = size < r->piece_bytes ? size : r->piece_bytes};
    return bring(r, &cold);
}

int64_t store_reader_ready(struct store_reader *r, const struct store_object *o, uint64_t offset_bytes,
                           uint64_t size_bytes)
{
    struct store_region *region = o->region;
    if (!region->residency)
        return (int64_t)size_bytes;
    int error = take_error(r);
    if (error || region_is_bad(region))
        return error ? error : -EIO;
    uint64_t ready = residency_ready(region, offset_bytes, size_bytes, now_ms(r));
    if (ready > 0) {
        go_on(r);
        if (ready < size_bytes && ready < 2 * r->piece_bytes && ready < RESIDENCY_ASK_MAX_BYTES)
            bring_piece(r, region, offset_bytes + ready, size_bytes - ready);
        return (int64_t)ready;
    }
    if (r->piece_bytes < PIECE_MAX && r->job && !r->has_waited) /* faster than what was brought ahead */
        r->piece_bytes *= 2;
    if (!bring_piece(r, region, offset_bytes, size_bytes))
        return -ENOMEM;
    wait(r);
    return 0;
}

/* ---- readers who hold space ---- */

static bool is_transient_pressed(const struct store *s)
{
    uint64_t used = atomic_load_explicit(&s->transient.used_bytes, memory_order_relaxed);
    return used > s->transient.max_bytes / 4 * 3;
}

bool store_is_pressed(struct store *s)
{
    bool is_pressed = is_transient_pressed(s);
    for (size_t i = 0; i < s->disk_count && !is_pressed; i++) {
        struct disk *d = store_disk_at(s, i);
        is_pressed = d && arena_is_pressed(d->arena);
    }
    return is_pressed;
}

bool store_is_in_the_way(struct store *s, const struct store_object *o)
{
    if (!o->region)
        return false;
    for (size_t i = 0; i < s->disk_count; i++) {
        const struct disk *d = s->disks[i];
        if (d && arena_owns(d->arena, o->region))
            return arena_is_held(d->arena, o->region) && arena_is_pressed(d->arena);
    }
    return is_transient_pressed(s);
}
