/* SPDX-License-Identifier: Apache-2.0 */
/* One append head per stream, two spares, and a reclaim whenever a spare is missing: as the store does it. */
#include "regions.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define NONE             UINT32_MAX
#define SPARES           3u
#define CANDIDATES       64u
#define CANDIDATES_OLD   16u
#define KEPT_PERCENT_MAX 90u                         /* of a region is written again at most */
#define SLICE_BYTES      ((uint64_t)4 * 1024 * 1024) /* what is larger is several objects, as in the edge */

/* A slice of an object of the trace. */
struct piece {
    uint32_t object, index;
    uint32_t place; /* its region, or NONE */
};

struct region {
    uint32_t *pieces;
    uint32_t count, max;
    uint64_t used_bytes;
    int64_t sealed_at_ms;
};

struct arena {
    const struct trace *trace;
    const struct regions_options *options;
    struct worth *worth;
    uint64_t region_bytes;
    uint32_t region_count, sealed_count, spare_count;
    struct region *regions;
    uint32_t *sealed, *spares; /* sealed: oldest first */
    uint32_t heads[WORTH_STREAMS];
    uint32_t *first_pieces; /* by object, and the end of the last one's */
    struct piece *pieces;
    uint64_t stored_pieces, random;
    int64_t now_ms;
    struct trace_result result;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static uint64_t slice_bytes(const struct arena *a)
{
    return SLICE_BYTES < a->region_bytes / 2 ? SLICE_BYTES : a->region_bytes / 2;
}

static struct worth_object object_of(const struct arena *a, uint32_t piece, uint32_t session)
{
    static const uint8_t kinds[] = {STORE_VOD, STORE_LIVE, STORE_AD, STORE_OTHER};
    const struct piece *p = &a->pieces[piece];
    const struct trace_object *whole = &a->trace->objects[p->object];
    uint64_t key = whole->key, begin = p->index * slice_bytes(a), rest = whole->size_bytes - begin;
    struct worth_object o = {.id = mix(mix(key + 1) + p->index),
                             .size_bytes = rest < slice_bytes(a) ? rest : slice_bytes(a)};
    if (a->trace->has_structure)
        o.hint = (struct store_hint){.title = mix((key >> 32) + 1),
                                     .session = session + 1ull,
                                     .segment = (uint32_t)(key & 0xfffffff),
                                     .rendition = (uint16_t)(key >> 28 & 15),
                                     .kind = kinds[key >> 62]};
    return o;
}

static void seal(struct arena *a, uint32_t region)
{
    a->regions[region].sealed_at_ms = a->now_ms;
    a->sealed[a->sealed_count++] = region;
}

static uint64_t room_of(const struct arena *a, uint32_t region)
{
    return a->region_bytes - a->regions[region].used_bytes;
}

static uint32_t head_with_room(struct arena *a, enum worth_stream stream, uint64_t size)
{
    uint32_t *head = &a->heads[stream];
    if (*head != NONE && room_of(a, *head) < size) {
        seal(a, *head);
        *head = NONE;
    }
    if (*head == NONE) {
        REQUIRE(a->spare_count > 0);
        *head = a->spares[--a->spare_count];
    }
    return *head;
}

static void write_piece(struct arena *a, uint32_t piece, const struct worth_object *o, bool is_kept)
{
    uint32_t place = head_with_room(a, worth_stream(a->worth, o, is_kept, a->now_ms), o->size_bytes);
    struct region *r = &a->regions[place];
    if (r->count == r->max) {
        r->max = r->max ? 2 * r->max : 64;
        r->pieces = realloc(r->pieces, r->max * sizeof(*r->pieces));
        REQUIRE(r->pieces != NULL);
    }
    r->pieces[r->count++] = piece;
    r->used_bytes += o->size_bytes;
    a->pieces[piece].place = place;
    a->result.written_bytes += o->size_bytes;
    worth_stored(a->worth, place, o, a->now_ms);
}

/* All of them if they are few, else the oldest and others at random. Its place in `sealed`. */
static uint32_t pick(struct arena *a)
{
    struct worth_region offered[CANDIDATES];
    uint32_t places[CANDIDATES], count = 0;
    for (uint32_t i = 0; i < a->sealed_count && i < CANDIDATES; i++) {
        uint32_t place = i;
        if (a->sealed_count > CANDIDATES && i >= CANDIDATES_OLD) {
            a->random = a->random * 6364136223846793005u + 1442695040888963407u;
            place = CANDIDATES_OLD + (uint32_t)((a->random >> 32) % (a->sealed_count - CANDIDATES_OLD));
        }
        const struct region *r = &a->regions[a->sealed[place]];
        places[count] = place;
        offered[count++] = (struct worth_region){a->sealed[place], r->used_bytes, r->sealed_at_ms};
    }
    return places[worth_pick(a->worth, offered, count, a->now_ms)];
}

static void reclaim(struct arena *a)
{
    uint32_t at = pick(a), place = a->sealed[at];
    a->sealed_count--;
    memmove(&a->sealed[at], &a->sealed[at + 1], (a->sealed_count - at) * sizeof(*a->sealed));
    struct region old = a->regions[place];
    a->regions[place] = (struct region){.pieces = NULL};
    uint64_t kept_bytes = 0, kept_max_bytes = a->region_bytes / 100 * KEPT_PERCENT_MAX;
    for (uint32_t i = 0; i < old.count; i++) {
        struct worth_object o = object_of(a, old.pieces[i], 0);
        if (worth_keeps(a->worth, &o, a->now_ms) && kept_bytes + o.size_bytes <= kept_max_bytes) {
            write_piece(a, old.pieces[i], &o, true);
            a->result.rewritten_bytes += o.size_bytes;
            kept_bytes += o.size_bytes;
        } else {
            a->pieces[old.pieces[i]].place = NONE;
            a->stored_pieces--;
        }
    }
    free(old.pieces);
    worth_reclaimed(a->worth, place, old.used_bytes, kept_bytes, a->now_ms);
    a->spares[a->spare_count++] = place;
}

static uint64_t ask(struct arena *a, uint32_t piece, uint32_t session)
{
    struct worth_object o = object_of(a, piece, session);
    bool is_hit = a->pieces[piece].place != NONE;
    worth_ask(a->worth, &o, a->now_ms, is_hit);
    if (is_hit)
        return 0;
    if (worth_admits(a->worth, &o, a->now_ms)) {
        write_piece(a, piece, &o, false);
        if (++a->stored_pieces > a->result.objects_max)
            a->result.objects_max = a->stored_pieces;
        while (a->spare_count < SPARES)
            reclaim(a);
    }
    return o.size_bytes;
}

static void request(struct arena *a, const struct trace_request *r)
{
    uint64_t missed_bytes = 0;
    a->now_ms = (int64_t)(r->time_us / 1000);
    for (uint32_t piece = a->first_pieces[r->object]; piece < a->first_pieces[r->object + 1]; piece++)
        missed_bytes += ask(a, piece, r->session);
    a->result.missed_requests += missed_bytes > 0;
    a->result.missed_bytes += missed_bytes;
}

static bool cut(struct arena *a)
{
    const struct trace *t = a->trace;
    uint64_t slice = slice_bytes(a);
    uint32_t count = 0;
    REQUIRE(slice > 0);
    a->first_pieces = malloc(((size_t)t->object_count + 1) * sizeof(*a->first_pieces));
    for (uint32_t i = 0; a->first_pieces && i <= t->object_count; i++) {
        a->first_pieces[i] = count;
        if (i < t->object_count)
            count += (uint32_t)((t->objects[i].size_bytes + slice - 1) / slice);
    }
    a->pieces = malloc(((size_t)count + 1) * sizeof(*a->pieces));
    for (uint32_t i = 0; a->first_pieces && a->pieces && i < t->object_count; i++)
        for (uint32_t k = a->first_pieces[i]; k < a->first_pieces[i + 1]; k++)
            a->pieces[k] = (struct piece){i, k - a->first_pieces[i], NONE};
    return a->first_pieces && a->pieces;
}

static bool arena_init(struct arena *a)
{
    a->regions = calloc(a->region_count, sizeof(*a->regions));
    a->sealed = calloc(a->region_count, sizeof(*a->sealed));
    a->spares = calloc(a->region_count, sizeof(*a->spares));
    if (!a->regions || !a->sealed || !a->spares || !a->worth || !cut(a))
        return false;
    memset(a->heads, 0xff, sizeof(a->heads));
    for (uint32_t i = 0; i < a->region_count; i++)
        a->spares[a->spare_count++] = i;
    return true;
}

static void arena_fini(struct arena *a)
{
    for (uint32_t i = 0; a->regions && i < a->region_count; i++)
        free(a->regions[i].pieces);
    free(a->regions);
    free(a->sealed);
    free(a->spares);
    free(a->first_pieces);
    free(a->pieces);
    worth_free(a->worth);
}

bool trace_regions(const struct trace *t, uint64_t capacity_bytes, const struct regions_options *options,
                   struct trace_result *ret_result)
{
    struct arena a = {.trace = t, .options = options, .region_bytes = options->region_bytes};
    while (a.region_bytes > 1 && capacity_bytes / a.region_bytes < REGIONS_MIN)
        a.region_bytes /= 2;
    a.region_count = (uint32_t)(capacity_bytes / a.region_bytes);
    a.worth = worth_new(&(struct worth_options){.policy = options->policy,
                                                .capacity_bytes = capacity_bytes,
                                                .objects_max = capacity_bytes / options->object_bytes_avg,
                                                .regions_max = a.region_count,
                                                .seed = options->seed});
    bool is_ready = arena_init(&a);
    for (uint32_t i = 0; is_ready && i < t->request_count; i++)
        request(&a, &t->requests[i]);
    if (is_ready) {
        struct worth_stats stats;
        worth_stats(a.worth, &stats);
        a.result.memory_bytes = stats.memory_bytes;
        a.result.region_bytes = a.region_bytes;
    }
    arena_fini(&a);
    *ret_result = a.result;
    return is_ready;
}
