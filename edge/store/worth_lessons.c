/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs are kept as bytes, a 32nd each: a lesson is a cache line. */
#include "store/worth_lessons.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#define STEPS 32.0f

struct lesson {
    _Atomic uint64_t id; /* 0: free */
    uint32_t at_s, wait_max_s;
    int8_t inputs[WORTH_MODEL_INPUTS];
};
_Static_assert(sizeof(struct lesson) == 64, "one cache line");

struct worth_lessons {
    struct lesson *all;
    size_t count;
};

struct worth_lessons *worth_lessons_new(size_t count)
{
    struct worth_lessons *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->count = count;
    l->all = calloc(count, sizeof(*l->all));
    if (!l->all) {
        free(l);
        return NULL;
    }
    return l;
}

void worth_lessons_free(struct worth_lessons *l)
{
    if (!l)
        return;
    free(l->all);
    free(l);
}

size_t worth_lessons_memory_bytes(const struct worth_lessons *l)
{
    return sizeof(*l) + l->count * sizeof(*l->all);
}

static struct lesson *place_of(const struct worth_lessons *l, uint64_t id)
{
    uint64_t spread = (id ^ (id >> 32)) * 0x9e3779b97f4a7c15u;
    return &l->all[(size_t)(((unsigned __int128)spread * l->count) >> 64)];
}

static uint64_t id_of(const struct lesson *lesson)
{
    return atomic_load_explicit(&lesson->id, memory_order_relaxed);
}

static void set_id(struct lesson *lesson, uint64_t id)
{
    atomic_store_explicit(&lesson->id, id, memory_order_relaxed);
}

bool worth_lessons_waits_for(const struct worth_lessons *l, uint64_t id)
{
    return id != 0 && id_of(place_of(l, id)) == id;
}

static void take(struct lesson *lesson, float ret_inputs[WORTH_MODEL_INPUTS])
{
    for (unsigned i = 0; i < WORTH_MODEL_INPUTS; i++)
        ret_inputs[i] = (float)lesson->inputs[i] / STEPS;
    set_id(lesson, 0);
}

uint32_t worth_lessons_take(struct worth_lessons *l, uint64_t id, uint32_t now_s,
                            float ret_inputs[WORTH_MODEL_INPUTS])
{
    struct lesson *lesson = place_of(l, id);
    take(lesson, ret_inputs);
    return now_s > lesson->at_s ? now_s - lesson->at_s : 0;
}

bool worth_lessons_take_expired(struct worth_lessons *l, uint64_t id, uint32_t now_s,
                                float ret_inputs[WORTH_MODEL_INPUTS])
{
    struct lesson *lesson = place_of(l, id);
    if (!id_of(lesson) || now_s <= lesson->at_s || now_s - lesson->at_s <= lesson->wait_max_s)
        return false;
    take(lesson, ret_inputs);
    return true;
}

bool worth_lessons_is_free(const struct worth_lessons *l, uint64_t id)
{
    return id_of(place_of(l, id)) == 0;
}

void worth_lessons_put(struct worth_lessons *l, uint64_t id, uint32_t now_s, uint32_t wait_max_s,
                       const float inputs[WORTH_MODEL_INPUTS])
{
    struct lesson *lesson = place_of(l, id);
    lesson->at_s = now_s;
    lesson->wait_max_s = wait_max_s;
    for (unsigned i = 0; i < WORTH_MODEL_INPUTS; i++)
        lesson->inputs[i] = (int8_t)lrintf(fminf(fmaxf(inputs[i] * STEPS, INT8_MIN), INT8_MAX));
    set_id(lesson, id);
}
