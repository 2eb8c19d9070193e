/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates are given as logarithms of how many requests they promise within one turnover of the cache, so that
 * what was learned stays true when the cache turns over faster or slower.
 */
#include "store/worth_inputs.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

#define BLOCK_SEGMENTS      16u
#define LOG2_BLOCK_SEGMENTS 4
#define LONG_AGO_S          1e6f
#define FIRST_SEGMENTS      4u
#define LIVE_EDGE_SEGMENTS  4

enum { /* where the groups begin; what stays 0 does not count */
       IN_BIAS,
       IN_OWN_RATES,
       IN_AGE = IN_OWN_RATES + WORTH_RATES_HORIZONS,
       IN_SIZE = IN_AGE + 6,
       IN_KIND,
       IN_NEIGHBOURS = IN_KIND + 3,
       IN_BLOCK_AGE = IN_NEIGHBOURS + 3 * WORTH_RATES_HORIZONS,
       IN_SHARE,
       IN_FOLLOWERS,
       IN_SEGMENT = IN_FOLLOWERS + 2 * WORTH_TITLES_BUCKETS,
       IN_LIVE = IN_SEGMENT + 2,
       IN_END = IN_LIVE + 4,
};
_Static_assert(IN_END <= WORTH_MODEL_INPUTS, "room for all of them");

const float worth_inputs_line[WORTH_MODEL_INPUTS] = {
    [IN_BIAS] = -2.5f,
    [IN_OWN_RATES] = 0.25f,
    0.15f,
    0.1f,
    [IN_AGE] = -0.4f,
    -0.6f,
    0.45f,
    -0.65f,
    0,
    -1.35f,
    [IN_SIZE] = -0.15f,
    [IN_KIND] = 1.2f,
    0.15f,
    0,
    [IN_NEIGHBOURS] = -0.2f,
    0.3f,
    0,
    0.45f,
    0.4f,
    0.6f,
    0.35f,
    0.1f,
    0.6f,
    [IN_BLOCK_AGE] = 0.1f,
    [IN_SHARE] = -0.9f,
    [IN_FOLLOWERS] = 2.8f,
    0.5f,
    2.65f,
    0.3f,
    3.1f,
    0.3f,
    2.5f,
    0.2f,
    1.45f,
    0.05f,
    0.5f,
    0,
    [IN_SEGMENT] = -0.65f,
    -0.1f,
    [IN_LIVE] = -1.3f,
    -1.0f,
    1.5f,
    0.8f,
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

static uint64_t block_name(const struct store_hint *h)
{
    return mix(h->title + h->segment / BLOCK_SEGMENTS * 0x9e3779b97f4a7c15u);
}

void worth_inputs_note(struct worth_inputs *k, const struct worth_object *o, uint32_t now_s)
{
    worth_rates_touch(k->objects, mix(o->id), now_s);
    if (!o->hint.title)
        return;
    worth_rates_touch(k->blocks, block_name(&o->hint), now_s);
    worth_titles_touch(k->titles, &o->hint, now_s);
}

struct worth_rates worth_inputs_own_rates(struct worth_inputs *k, const struct worth_object *o,
                                          uint32_t now_s)
{
    return worth_rates_read(k->objects, mix(o->id), now_s);
}

static float within(float value, float least, float most)
{
    return fminf(fmaxf(value, least), most);
}

static float scaled(float log2_expected)
{
    return within(log2_expected, -12, 8) * 0.25f;
}

/* What a decayed count of 1 promises for one turnover; counts are young while the cache is. */
static float log2_per_count(unsigned horizon, float turnover_s, uint32_t now_s)
{
    float half_s = worth_rates_half_life_s[horizon];
    float window_s = half_s / (float)M_LN2 * (1 - exp2f(-(float)(now_s + 60) / half_s));
    return log2f(turnover_s / window_s);
}

static void read_age(const struct worth_rates *own, float turnover_s, float *x)
{
    float age_s = own->is_known ? own->age_s : LONG_AGO_S, turnovers = age_s / turnover_s;
    x[0] = !own->is_known;
    x[1] = own->is_known ? (log2f(1 + age_s) - 8) * 0.25f : 0;
    x[2] = own->is_known ? within(log2f((1 + age_s) / turnover_s) * 0.25f, -3, 3) : 0;
    x[3] = expf(-turnovers);
    x[4] = expf(-turnovers * 4);
    x[5] = expf(-turnovers / 4);
}

/* Its part of what its block and its title promise, and its own count pulled towards that. */
static void read_neighbours(const struct worth_rates *own, const struct worth_rates *block,
                            const struct worth_titles_view *title, const float *per_count, float *x)
{
    for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++, x += 3) {
        float by_block = block->log2_count[h] + title->log2_share - LOG2_BLOCK_SEGMENTS;
        float by_title = title->log2_count[h] + title->log2_share - log2f((float)title->segment_max + 1);
        float prior = exp2f(by_block) + exp2f(by_title) * 0.05f + 1e-4f;
        float pulled = (exp2f(own->log2_count[h]) + 1) / (1 + 1 / prior);
        x[0] = scaled(by_block + per_count[h]);
        x[1] = scaled(by_title + per_count[h]);
        x[2] = scaled(log2f(pulled) + per_count[h]);
    }
}

static void read_followers(const struct worth_titles_view *title, float *x)
{
    for (size_t i = 0; i < WORTH_TITLES_BUCKETS; i++) {
        x[2 * i] = fminf(title->same[i], 2);
        x[2 * i + 1] = fminf(title->other[i], 2) * 0.5f;
    }
}

static void read_live(const struct worth_titles_view *title, uint32_t segment, float *x)
{
    float lag = title->segment_max > segment ? (float)(title->segment_max - segment) : 0;
    x[0] = (log2f(lag + 1) - 4) * 0.25f;
    x[1] = lag > title->reach;
    x[2] = lag < LIVE_EDGE_SEGMENTS;
    x[3] = within(lag / (title->reach + 1), 0, 3);
}

bool worth_inputs_read(struct worth_inputs *k, const struct worth_object *o, float turnover_s, uint32_t now_s,
                       float ret_inputs[WORTH_MODEL_INPUTS])
{
    float *x = ret_inputs, per_count[WORTH_RATES_HORIZONS];
    const struct store_hint *hint = &o->hint;
    struct worth_rates own = worth_inputs_own_rates(k, o, now_s);
    memset(x, 0, WORTH_MODEL_INPUTS * sizeof(*x));
    x[IN_BIAS] = 1;
    for (unsigned h = 0; h < WORTH_RATES_HORIZONS; h++) {
        per_count[h] = log2_per_count(h, turnover_s, now_s);
        x[IN_OWN_RATES + h] = scaled(own.log2_count[h] + per_count[h]);
    }
    read_age(&own, turnover_s, &x[IN_AGE]);
    x[IN_SIZE] = (log2f((float)o->size_bytes + 1) - 20) * 0.2f;
    x[IN_KIND] = hint->kind == STORE_LIVE;
    x[IN_KIND + 1] = hint->kind == STORE_AD;
    x[IN_KIND + 2] = hint->kind == STORE_OTHER;
    if (!hint->title)
        return true;
    struct worth_titles_view title = worth_titles_read(k->titles, hint, now_s);
    struct worth_rates block = worth_rates_read(k->blocks, block_name(hint), now_s);
    read_neighbours(&own, &block, &title, per_count, &x[IN_NEIGHBOURS]);
    x[IN_BLOCK_AGE] = block.is_known ? within(log2f((1 + block.age_s) / turnover_s) * 0.25f, -3, 3) : 1;
    x[IN_SHARE] = title.log2_share * 0.25f;
    read_followers(&title, &x[IN_FOLLOWERS]);
    x[IN_SEGMENT] = (log2f((float)hint->segment + 1) - 6) * 0.25f;
    x[IN_SEGMENT + 1] = hint->segment < FIRST_SEGMENTS;
    if (hint->kind == STORE_LIVE)
        read_live(&title, hint->segment, &x[IN_LIVE]);
    return hint->kind != STORE_LIVE || hint->segment >= title.live_first;
}
