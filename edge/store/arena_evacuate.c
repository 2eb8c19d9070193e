/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing regions that are to go and having them evacuated, one at a time. */
#include "store/arena_evacuate.h"

#include "base/clock.h"
#include "store/arena_private.h"

#define OLDEST_OFFERED (ARENA_CANDIDATES_MAX / 4) /* the others are any */
#define TRIES_MAX      (4 * ARENA_CANDIDATES_MAX)

void arena_evacuate_by(struct arena *a, const struct arena_evacuation *evacuation)
{
    REQUIRE(!a->thread_runs);
    a->evacuation = *evacuation;
}

bool arena_is_evacuated(struct arena *a, const struct arena_victim *victim)
{
    return atomic_load_explicit(&a->is_stopping, memory_order_relaxed) ||
           atomic_load_explicit(&victim->region->sequence, memory_order_acquire) != victim->begin.sequence;
}

/* ---- candidates ---- */

/* What is still to be verified or walked comes last: it is believed, and copied, afterwards. */
static bool is_candidate(const struct arena *a, const struct arena_region *r) /* under mutex */
{
    return atomic_load_explicit(&r->region.sequence, memory_order_relaxed) != 0 && !r->is_pending &&
           !r->is_current && !r->is_chosen && arena_may_go(a, r);
}

static bool is_put_off(const struct arena *a, const struct arena_region *r) /* under mutex */
{
    return r->put_off_at == a->evacuations + 1;
}

/* Nobody will ask for what is of no configured site. */
static uint64_t left_bytes(const struct arena *a, const struct arena_region *r) /* under mutex */
{
    return sites_count(a->sites) > 0 ? (uint64_t)r->site_units[0] * EXTENT_ALIGN : 0;
}

static struct arena_candidate candidate_of(const struct arena *a, const struct arena_region *r)
{
    return (struct arena_candidate){.slot = r->slot,
                                    .sequence = r->file_sequence,
                                    .live_bytes = a->is_counted ? r->live_bytes : a->region_bytes,
                                    .left_bytes = left_bytes(a, r),
                                    .sealed_at_ms = r->sealed_at_ms};
}

static uint32_t next_random(struct arena *a, uint32_t below) /* under mutex */
{
    a->random = a->random * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)a->random * below >> 32);
}

static bool has_slot(const struct arena_candidate *candidates, size_t count, uint32_t slot)
{
    for (size_t i = 0; i < count; i++)
        if (candidates[i].slot == slot)
            return true;
    return false;
}

/* All there are, or the oldest few and others from anywhere. */
static size_t find_candidates(struct arena *a, bool may_be_put_off,
                              struct arena_candidate ret[ARENA_CANDIDATES_MAX])
{
    struct arena_region *r;
    bool is_large = a->pool_count > ARENA_CANDIDATES_MAX;
    size_t count = 0, oldest_max = is_large ? OLDEST_OFFERED : ARENA_CANDIDATES_MAX;
    LIST_FOR_EACH (r, &a->live, node) {
        if (count == oldest_max)
            break;
        if (is_candidate(a, r) && (may_be_put_off || !is_put_off(a, r)))
            ret[count++] = candidate_of(a, r);
    }
    for (unsigned i = 0; is_large && i < TRIES_MAX && count < ARENA_CANDIDATES_MAX; i++) {
        r = &a->pool[next_random(a, a->pool_count)];
        if (r->is_used && is_candidate(a, r) && (may_be_put_off || !is_put_off(a, r)) &&
            !has_slot(ret, count, r->slot))
            ret[count++] = candidate_of(a, r);
    }
    return count;
}

/* ---- one region ---- */

/* Takes a reference to the chosen one; NULL: none may go now. */
static struct arena_region *choose(struct arena *a, struct arena_victim *ret_victim)
{
    struct arena_candidate candidates[ARENA_CANDIDATES_MAX];
    pthread_mutex_lock(&a->mutex);
    bool is_wanted = a->evacuation.evacuate && a->spare_count < a->spares_wanted;
    size_t count = is_wanted ? find_candidates(a, false, candidates) : 0;
    bool may_stay = count > 0;
    if (is_wanted && count == 0) /* each has been put off: one of them goes all the same */
        count = find_candidates(a, true, candidates);
    pthread_mutex_unlock(&a->mutex);
    if (count == 0)
        return NULL;
    const struct arena_candidate *c = &candidates[a->evacuation.pick(a->evacuation.user, candidates, count)];
    struct arena_region *r = &a->pool[c->slot];
    pthread_mutex_lock(&a->mutex);
    if (r->file_sequence == c->sequence && is_candidate(a, r)) {
        r->is_chosen = true;
        a->is_full = true;
        region_ref(&r->region);
        *ret_victim =
            (struct arena_victim){.region = &r->region,
                                  .begin = {r->slot, r->file_sequence, REGION_HEAD_BYTES},
                                  .live_bytes = c->live_bytes,
                                  .objects = atomic_load_explicit(&r->entry->objects, memory_order_relaxed),
                                  .may_stay = may_stay};
    } else {
        r = NULL;
    }
    pthread_mutex_unlock(&a->mutex);
    return r;
}

/* As young as any now. */
static void put_off(struct arena *a, struct arena_region *r) /* under mutex */
{
    list_remove(&r->node);
    list_push_back(&a->live, &r->node);
    r->sealed_at_ms = (int64_t)clock_monotonic_ms();
    r->is_chosen = false;
    r->put_off_at = a->evacuations + 1;
}

static void conclude(struct arena *a, struct arena_region *r, enum arena_fate fate)
{
    bool goes = false;
    pthread_mutex_lock(&a->upkeep_mutex); /* nobody else withdraws it from here on */
    pthread_mutex_lock(&a->mutex);
    if (!arena_region_is_live(r)) {
        a->evacuations++;
    } else if (a->is_stopping) {
        r->is_chosen = false;
    } else if (fate == ARENA_STAYS || !arena_may_go(a, r)) {
        put_off(a, r);
    } else {
        a->evacuations++;
        goes = true;
    }
    pthread_mutex_unlock(&a->mutex);
    if (goes)
        arena_drop(a, r);
    pthread_mutex_unlock(&a->upkeep_mutex);
    region_unref(&r->region);
}

bool arena_evacuate_step(struct arena *a)
{
    struct arena_victim victim;
    struct arena_region *r = choose(a, &victim);
    if (r)
        conclude(a, r, a->evacuation.evacuate(a->evacuation.user, &victim));
    return r != NULL;
}
