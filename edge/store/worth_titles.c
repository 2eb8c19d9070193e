/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of four titles under a lock of their own; who was asked for longest ago gives way. */
#include "store/worth_titles.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WAYS           4
#define RUNGS          16
#define SESSIONS       12
#define SESSION_LIFE_S 60u /* without a request: has left, or is far away */
#define SHARE_HALF_S   (24.0f * 3600)
#define REACH_HALF_S   (12.0f * 3600)
#define SHARE_PRIOR    8.0f /* requests that the share of all titles counts for */

struct session {
    uint32_t segment, seen_at_s;
    uint16_t tag, rung;
};

struct title {
    uint64_t name; /* 0: empty */
    uint32_t used_at_s, segment_max, live_first;
    float counts[WORTH_RATES_HORIZONS];
    float reach, requests;
    float rungs[RUNGS];
    struct session sessions[SESSIONS];
};

struct set {
    atomic_flag lock;
    struct title titles[WAYS];
};

struct worth_titles {
    struct set *sets;
    size_t count;
    _Atomic uint32_t rungs[RUNGS]; /* requests of all titles, halved now and then */
};

struct worth_titles *worth_titles_new(size_t memory_bytes)
{
    struct worth_titles *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->count = memory_bytes / sizeof(struct set);
    t->count += !t->count;
    t->sets = calloc(t->count, sizeof(struct set));
    if (!t->sets) {
        free(t);
        return NULL;
    }
    return t;
}

void worth_titles_free(struct worth_titles *t)
{
    if (!t)
        return;
    free(t->sets);
    free(t);
}

size_t worth_titles_memory_bytes(const struct worth_titles *t)
{
    return sizeof(*t) + t->count * sizeof(struct set);
}

static struct set *lock_set(struct worth_titles *t, uint64_t name)
{
    struct set *s = &t->sets[(size_t)(((unsigned __int128)name * t->count) >> 64)];
    while (atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire))
        ;
    return s;
}

static void unlock_set(struct set *s)
{
    atomic_flag_clear_explicit(&s->lock, memory_order_release);
}

static struct title *find(struct set *s, uint64_t name)
{
    for (size_t i = 0; i < WAYS; i++)
        if (s->titles[i].name == name)
            return &s->titles[i];
    return NULL;
}

static struct title *find_or_replace(struct set *s, uint64_t name, uint32_t now_s)
{
    struct title *title = find(s, name), *oldest = &s->titles[0];
    if (title)
        return title;
    for (size_t i = 1; i < WAYS && oldest->name; i++)
        if (!s->titles[i].name || s->titles[i].used_at_s < oldest->used_at_s)
            oldest = &s->titles[i];
    *oldest = (struct title){.name = name, .used_at_s = now_s};
    return oldest;
}

static float since(uint32_t then_s, uint32_t now_s)
{
    return now_s > then_s ? (float)(now_s - then_s) : 0;
}

static void age_title(struct title *title, uint32_t now_s)
{
    float age_s = since(title->used_at_s, now_s);
    title->used_at_s = now_s;
    if (age_s <= 0)
        return;
    for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
        title->counts[h] *= exp2f(-age_s / worth_rates_half_life_s[h]);
    float fade = exp2f(-age_s / SHARE_HALF_S);
    title->requests *= fade;
    for (unsigned i = 0; i < RUNGS; i++)
        title->rungs[i] *= fade;
    title->reach *= exp2f(-age_s / REACH_HALF_S);
}

/* The session's own place, or that of whoever was seen longest ago. */
static void move_session(struct title *title, const struct store_hint *hint, uint32_t now_s)
{
    uint16_t tag = (uint16_t)(hint->session * 0x9e3779b97f4a7c15u >> 48);
    struct session *place = &title->sessions[0];
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct session *s = &title->sessions[i];
        if (s->tag == tag && s->seen_at_s) {
            place = s;
            break;
        }
        if (s->seen_at_s < place->seen_at_s)
            place = s;
    }
    *place = (struct session){hint->segment, now_s, tag, hint->rendition};
}

void worth_titles_touch(struct worth_titles *t, const struct store_hint *hint, uint32_t now_s)
{
    unsigned rung = hint->rendition % RUNGS;
    struct set *s = lock_set(t, hint->title);
    struct title *title = find_or_replace(s, hint->title, now_s);
    age_title(title, now_s);
    for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
        title->counts[h]++;
    title->requests++;
    title->rungs[rung]++;
    title->segment_max = hint->segment > title->segment_max ? hint->segment : title->segment_max;
    if (hint->live_last) { /* a channel that starts again has smaller numbers */
        title->segment_max = hint->live_last;
        title->live_first = hint->live_first;
    }
    if (title->segment_max > hint->segment)
        title->reach = fmaxf(title->reach, (float)(title->segment_max - hint->segment));
    move_session(title, hint, now_s);
    unlock_set(s);
    if (atomic_fetch_add_explicit(&t->rungs[rung], 1, memory_order_relaxed) > 1u << 20)
        for (unsigned i = 0; i < RUNGS; i++)
            atomic_store_explicit(&t->rungs[i], atomic_load_explicit(&t->rungs[i], memory_order_relaxed) / 2,
                                  memory_order_relaxed);
}

static float global_share(struct worth_titles *t, unsigned rung)
{
    float all = 0;
    for (unsigned i = 0; i < RUNGS; i++)
        all += (float)atomic_load_explicit(&t->rungs[i], memory_order_relaxed);
    return ((float)atomic_load_explicit(&t->rungs[rung], memory_order_relaxed) + 1) / (all + RUNGS);
}

/* Each reaches four times as far as the one before. */
static unsigned bucket_of(uint32_t distance)
{
    unsigned bucket = 0;
    for (uint32_t end = 1; distance > end && bucket < WORTH_TITLES_BUCKETS - 1; end *= 4)
        bucket++;
    return bucket;
}

static void view_sessions(const struct title *title, const struct store_hint *hint, uint32_t now_s,
                          struct worth_titles_view *v)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        const struct session *s = &title->sessions[i];
        float quiet_s = since(s->seen_at_s, now_s);
        if (!s->seen_at_s || quiet_s > SESSION_LIFE_S || s->segment >= hint->segment)
            continue;
        float *counts = s->rung == hint->rendition ? v->same : v->other;
        counts[bucket_of(hint->segment - s->segment)] += quiet_s * 3 > SESSION_LIFE_S ? 0.5f : 1;
    }
}

struct worth_titles_view worth_titles_read(struct worth_titles *t, const struct store_hint *hint,
                                           uint32_t now_s)
{
    unsigned rung = hint->rendition % RUNGS;
    struct worth_titles_view v = {
        .log2_count = {WORTH_RATES_LOG2_NONE, WORTH_RATES_LOG2_NONE, WORTH_RATES_LOG2_NONE}};
    float requests = 0, of_rung = 0;
    struct set *s = lock_set(t, hint->title);
    const struct title *title = find(s, hint->title);
    if (title) {
        v.is_known = true;
        v.age_s = since(title->used_at_s, now_s);
        for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++)
            v.log2_count[h] = log2f(title->counts[h] + 1e-5f) - v.age_s / worth_rates_half_life_s[h];
        v.segment_max = title->segment_max;
        v.live_first = title->live_first;
        v.reach = title->reach;
        requests = title->requests;
        of_rung = title->rungs[rung];
        view_sessions(title, hint, now_s, &v);
    }
    unlock_set(s);
    v.log2_share = log2f((of_rung + SHARE_PRIOR * global_share(t, rung)) / (requests + SHARE_PRIOR));
    return v;
}
