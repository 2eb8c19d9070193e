/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step down takes a pressure of a tenth less than the step up did, for the whole of the recovery time.
 */
#include "overload.h"

#include <string.h>

#define SMOOTHING 4 /* a new sample counts for so much of the whole, inverted */

static const struct {
    const char *name;
    uint64_t from;
} levels[OVERLOAD_LEVEL_COUNT] = {
#define L(name, word, from) {word, from},
    OVERLOAD_LEVELS(L)
#undef L
};

const char *overload_level_name(enum overload_level level)
{
    return levels[level].name;
}

const char *overload_resource_name(enum overload_resource resource)
{
    static const char *const names[] = {
#define R(name, word) word,
        OVERLOAD_RESOURCES(R)
#undef R
    };

    return names[resource];
}

void overload_init(struct overload *o, uint64_t recovery_ms)
{
    memset(o, 0, sizeof(*o));
    o->recovery_ms = recovery_ms;
}

static void set(counter_t *c, uint64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static enum overload_level level_of(uint64_t pressure, enum overload_resource resource)
{
    enum overload_level level = OVERLOAD_CONNECTIONS;

    while (pressure < levels[level].from)
        level--;
    return resource == OVERLOAD_UPLINK && level > OVERLOAD_BACKGROUND ? OVERLOAD_BACKGROUND : level;
}

/* The level that the worst of the resources calls for, were each used `easing` hundredths more. */
static enum overload_level wanted(const uint64_t *pressure, uint64_t easing,
                                  enum overload_resource *ret_cause)
{
    enum overload_level worst = OVERLOAD_NONE;

    for (int i = 0; i < OVERLOAD_RESOURCE_COUNT; i++) {
        enum overload_level level = level_of(pressure[i] * (100 + easing) / 100, (enum overload_resource)i);

        if (level > worst) {
            worst = level;
            *ret_cause = (enum overload_resource)i;
        }
    }
    return worst;
}

void overload_step(struct overload *o, const uint64_t pressure[OVERLOAD_RESOURCE_COUNT], uint64_t now_ms)
{
    enum overload_resource cause = OVERLOAD_CPU, ignored;
    enum overload_level level = overload_level(o), up = wanted(pressure, 0, &cause);

    for (int i = 0; i < OVERLOAD_RESOURCE_COUNT; i++)
        set(&o->pressure[i], pressure[i]);
    if (up > level) {
        set(&o->level, up);
        set(&o->cause, cause);
        o->lower_since_ms = 0;
    } else if (wanted(pressure, 10, &ignored) >= level) {
        o->lower_since_ms = 0;
    } else if (o->lower_since_ms == 0) {
        o->lower_since_ms = now_ms;
    } else if (now_ms - o->lower_since_ms >= o->recovery_ms) {
        set(&o->level, level - 1);
        o->lower_since_ms = now_ms;
    }
}

uint64_t overload_smooth(uint64_t before, uint64_t sample)
{
    return (before * (SMOOTHING - 1) + sample) / SMOOTHING;
}

enum refusal overload_refusal(const struct overload *o)
{
    static const enum refusal refusals[] = {
        [OVERLOAD_CPU] = REFUSAL_OVERLOADED_CPU,
        [OVERLOAD_MEMORY] = REFUSAL_OVERLOADED_MEMORY,
        [OVERLOAD_DESCRIPTORS] = REFUSAL_OVERLOADED_DESCRIPTORS,
        [OVERLOAD_UPLINK] = REFUSAL_OVERLOADED_UPLINK,
    };

    return refusals[counter_read(&o->cause)];
}
