/* SPDX-License-Identifier: Apache-2.0 */
/* The policy on small simulated arenas: what it learns, what it never does, what it may cost. */
#include "store/worth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "store/worth_lessons.h"
#include "store/worth_model.h"
#include "store/worth_rates.h"

#define OBJECT_BYTES   1000000u
#define REGION_OBJECTS 16u
#define REGIONS        64u
#define OBJECTS_MAX    20000u
#define NOWHERE        UINT32_MAX

/* ---- an arena without bytes: objects of one size, one head per stream, two spares ---- */

struct region {
    uint32_t objects[REGION_OBJECTS];
    uint32_t count;
    int64_t sealed_at_ms;
    bool is_sealed;
};

struct arena {
    struct worth *worth;
    struct region regions[REGIONS];
    uint32_t heads[WORTH_STREAMS];
    uint32_t spares[REGIONS], spare_count;
    uint32_t places[OBJECTS_MAX];
    struct worth_object objects[OBJECTS_MAX];
    uint64_t missed, written, decisions; /* decisions: a sum over all of them */
    int64_t now_ms;
};

static struct worth_options small_options(enum worth_policy policy, uint64_t seed)
{
    return (struct worth_options){.policy = policy,
                                  .capacity_bytes = (uint64_t)REGIONS * REGION_OBJECTS * OBJECT_BYTES,
                                  .objects_max = 4096,
                                  .regions_max = REGIONS,
                                  .seed = seed};
}

static struct arena *arena_new(enum worth_policy policy, uint64_t seed)
{
    struct arena *a = calloc(1, sizeof(*a));
    struct worth_options options = small_options(policy, seed);
    REQUIRE(a != NULL);
    a->worth = worth_new(&options);
    REQUIRE(a->worth != NULL);
    memset(a->heads, 0xff, sizeof(a->heads));
    memset(a->places, 0xff, sizeof(a->places));
    for (uint32_t i = 0; i < REGIONS; i++)
        a->spares[a->spare_count++] = i;
    return a;
}

static void arena_free(struct arena *a)
{
    worth_free(a->worth);
    free(a);
}

static void put(struct arena *a, uint32_t object, bool is_kept)
{
    uint32_t *head = &a->heads[worth_stream(a->worth, &a->objects[object], is_kept, a->now_ms)];
    if (*head != NOWHERE && a->regions[*head].count == REGION_OBJECTS) {
        a->regions[*head].is_sealed = true;
        a->regions[*head].sealed_at_ms = a->now_ms;
        *head = NOWHERE;
    }
    if (*head == NOWHERE) {
        REQUIRE(a->spare_count > 0);
        *head = a->spares[--a->spare_count];
    }
    a->regions[*head].objects[a->regions[*head].count++] = object;
    a->places[object] = *head;
    a->written++;
    worth_stored(a->worth, *head, &a->objects[object], a->now_ms);
}

static void reclaim(struct arena *a)
{
    struct worth_region offered[REGIONS];
    size_t count = 0;
    for (uint32_t i = 0; i < REGIONS; i++)
        if (a->regions[i].is_sealed)
            offered[count++] =
                (struct worth_region){i, (uint64_t)REGION_OBJECTS * OBJECT_BYTES, a->regions[i].sealed_at_ms};
    uint32_t victim = offered[worth_pick(a->worth, offered, count, a->now_ms)].region;
    struct region old = a->regions[victim];
    uint64_t kept = 0;
    a->decisions = a->decisions * 31 + victim;
    for (uint32_t i = 0; i < REGION_OBJECTS; i++) {
        bool keeps =
            worth_keeps(a->worth, &a->objects[old.objects[i]], a->now_ms) && kept < REGION_OBJECTS - 2;
        a->decisions = a->decisions * 31 + keeps;
        a->places[old.objects[i]] = NOWHERE;
        if (keeps)
            put(a, old.objects[i], true);
        kept += keeps;
    }
    a->regions[victim] = (struct region){.count = 0};
    a->spares[a->spare_count++] = victim;
    worth_reclaimed(a->worth, victim, (uint64_t)REGION_OBJECTS * OBJECT_BYTES, kept * OBJECT_BYTES,
                    a->now_ms);
}

static bool ask(struct arena *a, uint32_t object, const struct store_hint *hint)
{
    bool is_hit = a->places[object] != NOWHERE;
    a->objects[object] = (struct worth_object){object + 1, OBJECT_BYTES, *hint};
    worth_ask(a->worth, &a->objects[object], a->now_ms, is_hit);
    if (is_hit)
        return true;
    a->missed++;
    bool admits = worth_admits(a->worth, &a->objects[object], a->now_ms);
    a->decisions = a->decisions * 31 + admits;
    if (admits) {
        put(a, object, false);
        while (a->spare_count < 2)
            reclaim(a);
    }
    return false;
}

static uint32_t any(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 32) * below >> 32);
}

/* ---- traffic ---- */

#define STACK 8000u

/* By how lately it was asked for, and nothing else: the case that is LRU's own. */
static void replay_recency(struct arena *a, unsigned requests)
{
    static uint32_t stack[STACK];
    uint64_t random = 7;
    for (uint32_t i = 0; i < STACK; i++)
        stack[i] = i;
    for (unsigned i = 0; i < requests; i++) {
        double depth = exp((double)any(&random, 1u << 20) / (1u << 20) * log(STACK));
        uint32_t place = (uint32_t)depth - 1, object = stack[place];
        memmove(&stack[1], &stack[0], place * sizeof(stack[0]));
        stack[0] = object;
        a->now_ms += 100 + any(&random, 1000);
        ask(a, object, &(struct store_hint){.kind = STORE_OTHER});
    }
}

#define TITLES   60u
#define SEGMENTS 200u
#define VIEWERS  40u

/* Viewers who each play some title from its beginning on; a few titles are played by most. */
static void replay_vod(struct arena *a, unsigned rounds)
{
    struct {
        uint32_t title, segment, session;
    } viewers[VIEWERS];
    uint64_t random = 11;
    uint32_t sessions = 0;
    memset(viewers, 0xff, sizeof(viewers));
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < VIEWERS; i++) {
            if (viewers[i].segment >= SEGMENTS || any(&random, 60) == 0) {
                uint32_t top = any(&random, TITLES) + 1;
                viewers[i].title = any(&random, top);
                viewers[i].segment = 0;
                viewers[i].session = ++sessions;
            }
            struct store_hint hint = {.title = 1000 + viewers[i].title,
                                      .session = viewers[i].session,
                                      .segment = viewers[i].segment,
                                      .kind = STORE_VOD};
            ask(a, viewers[i].title * SEGMENTS + viewers[i].segment++, &hint);
            a->now_ms += 6000 / VIEWERS;
        }
    }
}

/* ---- tests ---- */

static void same_seed_decides_the_same(void **state)
{
    (void)state;
    uint64_t sums[3];
    for (unsigned i = 0; i < 3; i++) {
        struct arena *a = arena_new(WORTH_VALUE, i < 2 ? 5 : 6);
        replay_vod(a, 800);
        sums[i] = a->decisions;
        arena_free(a);
    }
    assert_true(sums[0] == sums[1]);
    assert_true(sums[0] != sums[2]);
}

static double missed_of(enum worth_policy policy, void (*replay)(struct arena *, unsigned), unsigned count,
                        double *ret_written_per_missed)
{
    struct arena *a = arena_new(policy, 1);
    replay(a, count);
    double missed = (double)a->missed;
    *ret_written_per_missed = (double)a->written / missed;
    arena_free(a);
    return missed;
}

static void recency_is_left_to_recency(void **state)
{
    (void)state;
    double written;
    double fifo = missed_of(WORTH_FIFO, replay_recency, 60000, &written);
    double lru = missed_of(WORTH_LRU, replay_recency, 60000, &written);
    double value = missed_of(WORTH_VALUE, replay_recency, 60000, &written);
    assert_true(lru <= fifo);
    assert_true(value <= lru * 1.02);
}

static void viewers_on_their_way_are_seen(void **state)
{
    (void)state;
    double written, written_lru;
    double lru = missed_of(WORTH_LRU, replay_vod, 3000, &written_lru);
    double value = missed_of(WORTH_VALUE, replay_vod, 3000, &written);
    assert_true(value < lru * 0.95);
    assert_true(written < 1);
}

static void comparisons_store_everything(void **state)
{
    (void)state;
    static const enum worth_policy policies[] = {WORTH_LRU, WORTH_S3FIFO, WORTH_FIFO};
    for (size_t i = 0; i < ARRAY_COUNT(policies); i++) {
        struct arena *a = arena_new(policies[i], 1);
        struct worth_stats stats;
        replay_vod(a, 500);
        worth_stats(a->worth, &stats);
        assert_true(stats.refused == 0);
        assert_true(stats.asked == (uint64_t)500 * VIEWERS);
        assert_true(policies[i] == WORTH_FIFO ? stats.kept == 0 : stats.kept > 0);
        arena_free(a);
    }
}

static void behind_the_live_window_all_is_dead(void **state)
{
    (void)state;
    struct worth_options options = small_options(WORTH_VALUE, 1);
    struct worth *w = worth_new(&options);
    struct worth_object o = {.id = 1, .size_bytes = OBJECT_BYTES};
    o.hint = (struct store_hint){
        .title = 9, .segment = 100, .live_first = 95, .live_last = 100, .kind = STORE_LIVE};
    for (int i = 0; i < 1000; i++)
        worth_ask(w, &o, i, true);
    worth_pick(w, &(struct worth_region){.region = 0}, 1, 2000);
    o.hint.live_first = o.hint.live_last = 0; /* as it stands on the disk */
    assert_true(worth_keeps(w, &o, 2000));
    struct worth_object later = {.id = 2, .size_bytes = OBJECT_BYTES};
    later.hint = (struct store_hint){
        .title = 9, .segment = 106, .live_first = 101, .live_last = 106, .kind = STORE_LIVE};
    worth_ask(w, &later, 3000, false);
    assert_false(worth_keeps(w, &o, 3000));
    assert_false(worth_admits(w, &o, 3000));
    assert_true(worth_stream(w, &o, false, 3000) == WORTH_STREAM_LIVE);
    worth_free(w);
}

static void small_objects_are_always_stored(void **state)
{
    (void)state;
    struct worth_options options = small_options(WORTH_VALUE, 1);
    struct worth *w = worth_new(&options);
    struct worth_object o = {.id = 1, .size_bytes = 1000, .hint = {.kind = STORE_SMALL}};
    worth_pick(w, &(struct worth_region){.region = 0}, 1, 0);
    worth_ask(w, &o, 1000, false);
    assert_true(worth_admits(w, &o, 1000));
    assert_true(worth_keeps(w, &o, 1000 + 60 * 1000));
    assert_false(worth_keeps(w, &o, 1000 + 8ll * 24 * 3600 * 1000));
    worth_free(w);
}

static void a_refusing_policy_comes_to_its_senses(void **state)
{
    (void)state;
    struct arena *a = arena_new(WORTH_VALUE, 1);
    struct worth_stats before, after;
    replay_vod(a, 1500);
    worth_stats(a->worth, &before);
    for (uint32_t i = 0; i < 4000; i++) { /* nothing like what it has learned from */
        a->now_ms += 60 * 1000ll;
        ask(a, 12000 + i % 2000,
            &(struct store_hint){.title = 7, .segment = 5000 + i % 2000, .kind = STORE_VOD});
    }
    worth_stats(a->worth, &after);
    assert_true(after.admitted - before.admitted > 0);
    arena_free(a);
}

/* As when somebody asks for random names: nothing of that is worth writing twice, from the first reclaim on.
 */
static void what_is_asked_for_once_is_written_once(void **state)
{
    struct arena *a = arena_new(WORTH_VALUE, 9);
    struct store_hint hint = {.kind = STORE_OTHER};
    (void)state;
    for (uint32_t i = 0; i < 4 * REGIONS * REGION_OBJECTS; i++, a->now_ms += 5)
        ask(a, i, &hint);
    assert_true(a->missed > 0);
    assert_true((double)a->written < 1.1 * (double)a->missed);
    arena_free(a);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    static const uint64_t objects[] = {1000, 100000, 4000000};
    for (size_t i = 0; i < ARRAY_COUNT(objects); i++) {
        struct worth_options options = {.capacity_bytes = objects[i] << 18,
                                        .objects_max = objects[i],
                                        .regions_max = (uint32_t)(objects[i] / 256 + 1)};
        struct worth *w = worth_new(&options);
        struct worth_stats stats;
        assert_non_null(w);
        worth_stats(w, &stats);
        assert_true(stats.memory_bytes <= WORTH_BYTES_PER_OBJECT * objects[i] +
                                              WORTH_BYTES_PER_REGION * (uint64_t)options.regions_max +
                                              WORTH_BYTES_BESIDES);
        worth_free(w);
    }
}

static void rates_decay_and_give_way(void **state)
{
    (void)state;
    struct worth_rates_table *t = worth_rates_new(64); /* one set of five */
    for (int i = 0; i < 8; i++)
        worth_rates_touch(t, 77, 1000);
    struct worth_rates r = worth_rates_read(t, 77, 1000);
    assert_true(r.is_known && fabsf(r.log2_count[0] - 3) < 0.01f);
    r = worth_rates_read(t, 77, 1000 + 15 * 60);
    assert_true(fabsf(r.log2_count[0] - 2) < 0.01f && fabsf(r.log2_count[1] - 2.875f) < 0.01f);
    for (uint64_t name = 1; name <= 20; name++)
        worth_rates_touch(t, name, 1000 + (uint32_t)name);
    assert_true(worth_rates_read(t, 77, 1100).is_known); /* the most asked for stays */
    assert_true(worth_rates_read(t, 20, 1100).is_known);
    assert_false(worth_rates_read(t, 1, 1100).is_known);
    worth_rates_free(t);
}

static void the_model_learns_what_no_line_says(void **state)
{
    (void)state;
    static struct worth_model m;
    float line[WORTH_MODEL_INPUTS] = {0}, x[WORTH_MODEL_INPUTS] = {1};
    uint64_t random = 3;
    worth_model_init(&m, line, 1);
    for (unsigned i = 0; i < 60000; i++) {
        bool a = any(&random, 2), b = any(&random, 2);
        x[1] = a ? 1 : -1;
        x[2] = b ? 1 : -1;
        worth_model_learn(&m, x, a != b ? 0.9f : 0.1f);
    }
    for (int a = -1; a <= 1; a += 2)
        for (int b = -1; b <= 1; b += 2) {
            x[1] = (float)a;
            x[2] = (float)b;
            float odds = worth_model_predict(&m, x);
            assert_true(a != b ? odds > 1 : odds < -1);
        }
}

static void a_lesson_waits_for_its_truth(void **state)
{
    (void)state;
    struct worth_lessons *l = worth_lessons_new(1);
    float in[WORTH_MODEL_INPUTS] = {1, -0.5f, 100}, out[WORTH_MODEL_INPUTS];
    assert_true(worth_lessons_is_free(l, 5));
    worth_lessons_put(l, 5, 100, 50, in);
    assert_true(worth_lessons_waits_for(l, 5));
    assert_false(worth_lessons_waits_for(l, 6));
    assert_false(worth_lessons_is_free(l, 6)); /* the same place */
    assert_false(worth_lessons_take_expired(l, 6, 150, out));
    assert_true(worth_lessons_take_expired(l, 6, 151, out));
    assert_true(out[0] == 1 && out[1] == -0.5f && out[2] > 3 && out[2] < 4);
    worth_lessons_put(l, 5, 100, 50, in);
    assert_int_equal(worth_lessons_take(l, 5, 130, out), 30);
    assert_true(worth_lessons_is_free(l, 5));
    worth_lessons_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_decides_the_same),
        cmocka_unit_test(recency_is_left_to_recency),
        cmocka_unit_test(viewers_on_their_way_are_seen),
        cmocka_unit_test(comparisons_store_everything),
        cmocka_unit_test(behind_the_live_window_all_is_dead),
        cmocka_unit_test(small_objects_are_always_stored),
        cmocka_unit_test(a_refusing_policy_comes_to_its_senses),
        cmocka_unit_test(what_is_asked_for_once_is_written_once),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(rates_decay_and_give_way),
        cmocka_unit_test(the_model_learns_what_no_line_says),
        cmocka_unit_test(a_lesson_waits_for_its_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
