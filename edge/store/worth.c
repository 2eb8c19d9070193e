/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Value is the logarithm of the odds that an object is asked for again soon, per turnover of the cache. One
 * threshold moves over it: what is below is neither stored nor kept.
 */
#include "store/worth.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "store/worth_inputs.h"
#include "store/worth_lessons.h"
#include "store/worth_samples.h"

#define OBJECT_TABLE_BYTES 15 /* for each object of objects_max; the others likewise */
#define BLOCK_TABLE_BYTES  4
#define TITLE_TABLE_BYTES  4
#define LESSONS_MIN        8192u
#define LESSONS_MAX        32768u
#define OBJECTS_PER_LESSON 48u

/* A lesson is taken of one miss in so many of average size, of half as many hits, and of one judged sample in
 * so many. */
#define REQUESTS_PER_LESSON 8u
#define SAMPLES_PER_LESSON  8u

/* How far ahead is looked. What belongs to a title is asked for by who is on the way to it, within the length
 * of a session; of anything else the hazard only falls with time, so that the nearest future says most. */
#define TITLE_TURNOVERS   4
#define TITLE_AHEAD_MAX_S 7200
#define OTHER_TURNOVERS   0.15f
#define WAIT_HORIZONS     1.5f /* for the truth: later is as good as never */

#define WRITTEN_PER_MISSED 0.75f /* with what is reinserted, if the admitted leave room for it */
#define KEPT_SHARE_MIN     0.1f
#define KEPT_SHARE_MAX     0.75f
#define THRESHOLD_STEP     0.05f
#define THRESHOLD_MIN      (-10)
#define THRESHOLD_MAX      8
#define OTHER_MARGIN       (-1.5f) /* without structure only what is clearly worse is not stored */
#define FIRST_VALUES_MAX   512u
#define ADMITTED_SHARE_MIN 0.05f /* below: nothing would be reclaimed, and the threshold never move */

#define JUDGED_PER_PICK  24u
#define PICK_TRIES       8u
#define SHARE_STEEPNESS  6
#define SMALL_KEPT_S     3600 /* since the last use */
#define TURNOVER_FIRST_S 3600

struct worth {
    struct worth_options options;
    struct worth_inputs knowledge;
    _Atomic int64_t started_at_ms; /* 0: not yet */
    _Atomic uint64_t asked;
    pthread_mutex_t mutex; /* over all below, and over the lessons but for a glance */
    struct worth_lessons *lessons;
    struct worth_samples *samples;
    struct worth_model model;
    struct worth_stats stats;
    uint64_t random;
    float threshold, turnover_s, mean_bytes;
    float admitted_share; /* of missed bytes, lately */
    bool is_full;         /* something had to be reclaimed */
    double missed_bytes;  /* since missed_since_s, both moved on now and then */
    double missed_since_s;
    uint32_t turnover_at_s;
};

static size_t lesson_count(const struct worth_options *o)
{
    uint64_t wanted = o->objects_max / OBJECTS_PER_LESSON;
    return wanted < LESSONS_MIN ? LESSONS_MIN : wanted > LESSONS_MAX ? LESSONS_MAX : (size_t)wanted;
}

struct worth *worth_new(const struct worth_options *options)
{
    struct worth *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    size_t objects = (size_t)options->objects_max;
    pthread_mutex_init(&w->mutex, NULL);
    w->options = *options;
    w->knowledge = (struct worth_inputs){.objects = worth_rates_new(objects * OBJECT_TABLE_BYTES),
                                         .blocks = worth_rates_new(objects * BLOCK_TABLE_BYTES),
                                         .titles = worth_titles_new(objects * TITLE_TABLE_BYTES)};
    w->lessons = worth_lessons_new(lesson_count(options));
    w->samples = worth_samples_new(options->regions_max);
    worth_model_init(&w->model, worth_inputs_line, options->seed);
    w->random = options->seed;
    w->threshold = -4;
    w->turnover_s = TURNOVER_FIRST_S;
    w->admitted_share = 1;
    if (w->knowledge.objects && w->knowledge.blocks && w->knowledge.titles && w->lessons && w->samples)
        return w;
    worth_free(w);
    return NULL;
}

void worth_free(struct worth *w)
{
    if (!w)
        return;
    worth_rates_free(w->knowledge.objects);
    worth_rates_free(w->knowledge.blocks);
    worth_titles_free(w->knowledge.titles);
    worth_lessons_free(w->lessons);
    worth_samples_free(w->samples);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

/* Since the first call, from 1 on: 0 is never. */
static uint32_t seconds(struct worth *w, int64_t now_ms)
{
    int64_t started_at_ms = 0;
    if (atomic_compare_exchange_strong(&w->started_at_ms, &started_at_ms, now_ms ? now_ms : 1))
        started_at_ms = now_ms;
    return now_ms > started_at_ms ? (uint32_t)((now_ms - started_at_ms) / 1000) + 1 : 1;
}

static uint64_t next_random(struct worth *w)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random ^ w->random >> 29;
}

static bool is_one_in(uint64_t random, float count)
{
    return (float)(random >> 40) * count < (float)(1u << 24);
}

/* ---- learning; all under the mutex ---- */

static float ahead_s(const struct worth *w, const struct worth_object *o)
{
    if (!o->hint.title)
        return w->turnover_s * OTHER_TURNOVERS;
    return 1 / (1 / (w->turnover_s * TITLE_TURNOVERS) + 1.0f / TITLE_AHEAD_MAX_S);
}

/* 1 at once, 0 from the end of the wait on. */
static float truth_of(float waited_s, float horizon_s)
{
    float never = expf(-WAIT_HORIZONS);
    return fmaxf((expf(-waited_s / horizon_s) - never) / (1 - never), 0);
}

static void teach(struct worth *w, const float inputs[WORTH_MODEL_INPUTS], float truth)
{
    worth_model_learn(&w->model, inputs, truth);
    w->stats.lessons++;
}

static void take_lesson(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    float inputs[WORTH_MODEL_INPUTS];
    if (worth_lessons_take_expired(w->lessons, o->id, now_s, inputs))
        teach(w, inputs, 0);
    if (!worth_lessons_is_free(w->lessons, o->id))
        return;
    worth_inputs_read(&w->knowledge, o, w->turnover_s, now_s, inputs);
    worth_lessons_put(w->lessons, o->id, now_s, (uint32_t)(ahead_s(w, o) * WAIT_HORIZONS), inputs);
}

/* Bytes count, so large objects are looked at more often. */
static bool is_lesson_due(const struct worth *w, const struct worth_object *o, uint64_t random)
{
    return is_one_in(random, REQUESTS_PER_LESSON * (w->mean_bytes + 1) / ((float)o->size_bytes + 1));
}

static float value_of(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    float inputs[WORTH_MODEL_INPUTS];
    if (!worth_inputs_read(&w->knowledge, o, w->turnover_s, now_s, inputs))
        return -INFINITY;
    return worth_model_predict(&w->model, inputs) - logf(ahead_s(w, o) / w->turnover_s);
}

/* ---- requests ---- */

void worth_ask(struct worth *w, const struct worth_object *o, int64_t now_ms, bool was_hit)
{
    uint32_t now_s = seconds(w, now_ms);
    uint64_t asked = atomic_fetch_add_explicit(&w->asked, 1, memory_order_relaxed);
    bool is_answer = worth_lessons_waits_for(w->lessons, o->id);
    uint64_t random = (asked + w->options.seed) * 0x9e3779b97f4a7c15u;
    worth_inputs_note(&w->knowledge, o, now_s);
    if (!is_answer && (!was_hit || o->hint.kind == STORE_SMALL || !is_one_in(random ^ random >> 31, 2)))
        return; /* most hits take no lock that others want */
    pthread_mutex_lock(&w->mutex);
    float inputs[WORTH_MODEL_INPUTS];
    if (!is_answer) {
        if (is_lesson_due(w, o, next_random(w)))
            take_lesson(w, o, now_s);
    } else if (worth_lessons_waits_for(w->lessons, o->id)) { /* still */
        float waited_s = (float)worth_lessons_take(w->lessons, o->id, now_s, inputs);
        teach(w, inputs, truth_of(waited_s, ahead_s(w, o)));
    }
    pthread_mutex_unlock(&w->mutex);
}

/* Once a minute: how long what is missed takes to fill the cache. Half of the past is forgotten every two
 * turnovers, and four hours at least. */
static void note_miss(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    double elapsed_s = now_s - w->missed_since_s;
    w->missed_bytes += (double)o->size_bytes;
    w->mean_bytes += ((float)o->size_bytes - w->mean_bytes) * 0.001f;
    if (now_s - w->turnover_at_s < 60 || elapsed_s < 600)
        return;
    w->turnover_at_s = now_s;
    w->turnover_s = (float)((double)w->options.capacity_bytes * elapsed_s / (w->missed_bytes + 1));
    w->turnover_s = fminf(fmaxf(w->turnover_s, 60), 7 * 24 * 3600);
    if (elapsed_s > fmax(4 * 3600, 2 * (double)w->turnover_s)) {
        w->missed_bytes /= 2;
        w->missed_since_s = now_s - elapsed_s / 2;
    }
}

static void note_admission(struct worth *w, const struct worth_object *o, bool admits)
{
    float regions = (float)o->size_bytes * (float)w->options.regions_max / (float)w->options.capacity_bytes;
    w->admitted_share += ((float)admits - w->admitted_share) * fminf(regions / 16, 1);
    if (w->admitted_share < ADMITTED_SHARE_MIN)
        w->threshold -= regions * THRESHOLD_STEP * (1 - w->admitted_share / ADMITTED_SHARE_MIN);
    *(admits ? &w->stats.admitted : &w->stats.refused) += 1;
}

bool worth_admits(struct worth *w, const struct worth_object *o, int64_t now_ms)
{
    uint32_t now_s = seconds(w, now_ms);
    if (o->hint.kind == STORE_SMALL)
        return true;
    pthread_mutex_lock(&w->mutex);
    note_miss(w, o, now_s);
    if (is_lesson_due(w, o, next_random(w)))
        take_lesson(w, o, now_s);
    bool admits = !w->is_full || w->options.policy != WORTH_VALUE ||
                  value_of(w, o, now_s) >= w->threshold + (o->hint.title ? 0 : OTHER_MARGIN);
    note_admission(w, o, admits);
    pthread_mutex_unlock(&w->mutex);
    return admits;
}

enum worth_stream worth_stream(struct worth *w, const struct worth_object *o, bool is_kept, int64_t now_ms)
{
    (void)now_ms;
    if (is_kept)
        return WORTH_STREAM_KEPT;
    return w->options.policy == WORTH_VALUE && o->hint.kind == STORE_LIVE ? WORTH_STREAM_LIVE
                                                                          : WORTH_STREAM_FRESH;
}

void worth_stored(struct worth *w, uint32_t region, const struct worth_object *o, int64_t now_ms)
{
    (void)now_ms;
    pthread_mutex_lock(&w->mutex);
    worth_samples_put(w->samples, region, o, next_random(w));
    pthread_mutex_unlock(&w->mutex);
}

/* ---- reclaim ---- */

/* What share of the region is likely to be kept: a soft count, so that near misses count a little. */
static void judge(struct worth *w, uint32_t region, uint32_t now_s)
{
    struct worth_object objects[WORTH_SAMPLES_PER_REGION];
    float kept = 0;
    pthread_mutex_lock(&w->mutex);
    unsigned count = worth_samples_get(w->samples, region, objects);
    for (unsigned i = 0; i < count; i++) {
        if (is_one_in(next_random(w), SAMPLES_PER_LESSON))
            take_lesson(w, &objects[i], now_s);
        kept += 1 / (1 + expf((w->threshold - value_of(w, &objects[i], now_s)) * SHARE_STEEPNESS));
    }
    worth_samples_judge(w->samples, region, count ? kept / (float)count : 0, now_s);
    pthread_mutex_unlock(&w->mutex);
}

static size_t oldest(const struct worth_region *regions, size_t count)
{
    size_t found = 0;
    for (size_t i = 1; i < count; i++)
        if (regions[i].sealed_at_ms < regions[found].sealed_at_ms)
            found = i;
    return found;
}

/* By how much of it would stay, as last judged; of those alike, the oldest. */
static size_t least(struct worth *w, const struct worth_region *regions, size_t count,
                    uint32_t *ret_judged_at_s)
{
    size_t found = 0;
    pthread_mutex_lock(&w->mutex);
    for (size_t i = 1; i < count; i++) {
        float share = worth_samples_share(w->samples, regions[i].region);
        float found_share = worth_samples_share(w->samples, regions[found].region);
        if (share < found_share ||
            (share == found_share && regions[i].sealed_at_ms < regions[found].sealed_at_ms))
            found = i;
    }
    *ret_judged_at_s = worth_samples_judged_at_s(w->samples, regions[found].region);
    pthread_mutex_unlock(&w->mutex);
    return found;
}

static int compare_values(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* The threshold moves by small steps, and would take a hundred reclaims to come from anywhere: it starts in
 * the middle of what is stored. */
static void find_first_threshold(struct worth *w, const struct worth_region *regions, size_t count,
                                 uint32_t now_s) /* under mutex */
{
    struct worth_object objects[WORTH_SAMPLES_PER_REGION];
    float values[FIRST_VALUES_MAX];
    size_t found = 0;
    for (size_t i = 0; i < count && found + WORTH_SAMPLES_PER_REGION <= FIRST_VALUES_MAX; i++) {
        unsigned samples = worth_samples_get(w->samples, regions[i].region, objects);
        for (unsigned k = 0; k < samples; k++)
            values[found++] = value_of(w, &objects[k], now_s);
    }
    qsort(values, found, sizeof(*values), compare_values);
    if (found > 0)
        w->threshold = fminf(fmaxf(values[found / 2], THRESHOLD_MIN), THRESHOLD_MAX);
}

/* Old judgements do for most; some are renewed each time, and the winner's always. */
size_t worth_pick(struct worth *w, const struct worth_region *regions, size_t count, int64_t now_ms)
{
    uint32_t now_s = seconds(w, now_ms), judged_at_s, random;
    REQUIRE(count > 0);
    pthread_mutex_lock(&w->mutex);
    if (!w->is_full)
        find_first_threshold(w, regions, count, now_s);
    w->is_full = true;
    random = (uint32_t)next_random(w);
    pthread_mutex_unlock(&w->mutex);
    if (w->options.policy != WORTH_VALUE)
        return oldest(regions, count);
    for (uint32_t i = 0; i < JUDGED_PER_PICK; i++)
        judge(w, regions[(random + i * 0x9e3779b9u) % count].region, now_s);
    size_t found = least(w, regions, count, &judged_at_s);
    for (unsigned i = 0; i < PICK_TRIES && judged_at_s != now_s; i++) {
        judge(w, regions[found].region, now_s);
        found = least(w, regions, count, &judged_at_s);
    }
    return found;
}

static bool keeps_value(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    return value_of(w, o, now_s) >= w->threshold;
}

/* Younger than what the threshold says, which moves with the share kept. */
static bool keeps_lru(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    struct worth_rates own = worth_inputs_own_rates(&w->knowledge, o, now_s);
    return own.is_known && -log2f((1 + own.age_s) / w->turnover_s) >= w->threshold;
}

static bool keeps_s3fifo(struct worth *w, const struct worth_object *o, uint32_t now_s)
{
    struct worth_rates own = worth_inputs_own_rates(&w->knowledge, o, now_s);
    return own.is_known && own.age_s < w->turnover_s && own.log2_count[WORTH_RATES_HORIZONS - 1] > 0.5f;
}

bool worth_keeps(struct worth *w, const struct worth_object *o, int64_t now_ms)
{
    uint32_t now_s = seconds(w, now_ms);
    bool keeps = false;
    pthread_mutex_lock(&w->mutex);
    if (o->hint.kind == STORE_SMALL && w->options.policy != WORTH_FIFO) {
        struct worth_rates own = worth_inputs_own_rates(&w->knowledge, o, now_s);
        keeps = own.is_known && own.age_s <= fmaxf(SMALL_KEPT_S, w->turnover_s);
    } else {
        switch (w->options.policy) {
        case WORTH_VALUE: keeps = keeps_value(w, o, now_s); break;
        case WORTH_LRU: keeps = keeps_lru(w, o, now_s); break;
        case WORTH_S3FIFO: keeps = keeps_s3fifo(w, o, now_s); break;
        case WORTH_FIFO: break;
        }
    }
    *(keeps ? &w->stats.kept : &w->stats.dropped) += 1;
    pthread_mutex_unlock(&w->mutex);
    return keeps;
}

/* written = admitted + written * share kept. */
static float share_wanted(const struct worth *w)
{
    return fminf(fmaxf(1 - w->admitted_share / WRITTEN_PER_MISSED, KEPT_SHARE_MIN), KEPT_SHARE_MAX);
}

void worth_reclaimed(struct worth *w, uint32_t region, uint64_t live_bytes, uint64_t kept_bytes,
                     int64_t now_ms)
{
    (void)now_ms;
    pthread_mutex_lock(&w->mutex);
    worth_samples_clear(w->samples, region);
    if (live_bytes) {
        float share = (float)((double)kept_bytes / (double)live_bytes);
        w->threshold += THRESHOLD_STEP * (share - share_wanted(w));
        w->threshold = fminf(fmaxf(w->threshold, THRESHOLD_MIN), THRESHOLD_MAX);
    }
    pthread_mutex_unlock(&w->mutex);
}

void worth_stats(struct worth *w, struct worth_stats *ret_stats)
{
    const struct worth_inputs *k = &w->knowledge;
    pthread_mutex_lock(&w->mutex);
    *ret_stats = w->stats;
    ret_stats->asked = atomic_load_explicit(&w->asked, memory_order_relaxed);
    ret_stats->threshold = (double)w->threshold;
    ret_stats->turnover_s = (double)w->turnover_s;
    ret_stats->memory_bytes = sizeof(*w) + worth_rates_memory_bytes(k->objects) +
                              worth_rates_memory_bytes(k->blocks) + worth_titles_memory_bytes(k->titles) +
                              worth_lessons_memory_bytes(w->lessons) + worth_samples_memory_bytes(w->samples);
    pthread_mutex_unlock(&w->mutex);
}
