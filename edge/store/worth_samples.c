/* SPDX-License-Identifier: Apache-2.0 */
/* Reservoirs: each byte of a region is as likely as any other to be one of those remembered. */
#include "store/worth_samples.h"

#include <stdlib.h>

#include "base/check.h"

struct known {
    uint64_t id, title;
    uint32_t segment, size_bytes;
    uint16_t rendition;
    uint8_t kind;
};

struct sampled {
    struct known known[WORTH_SAMPLES_PER_REGION];
    uint64_t stored_bytes;
    float share;
    uint32_t judged_at_s;
    uint32_t count;
};

struct worth_samples {
    struct sampled *regions;
    uint32_t count;
};

struct worth_samples *worth_samples_new(uint32_t regions_max)
{
    struct worth_samples *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->count = regions_max;
    s->regions = calloc((size_t)regions_max + 1, sizeof(*s->regions));
    if (!s->regions) {
        free(s);
        return NULL;
    }
    return s;
}

void worth_samples_free(struct worth_samples *s)
{
    if (!s)
        return;
    free(s->regions);
    free(s);
}

size_t worth_samples_memory_bytes(const struct worth_samples *s)
{
    return sizeof(*s) + ((size_t)s->count + 1) * sizeof(*s->regions);
}

static struct sampled *at(const struct worth_samples *s, uint32_t region)
{
    REQUIRE(region < s->count);
    return &s->regions[region];
}

void worth_samples_put(struct worth_samples *s, uint32_t region, const struct worth_object *o,
                       uint64_t random)
{
    struct sampled *r = at(s, region);
    uint32_t place = r->count;
    r->stored_bytes += o->size_bytes;
    if (place == WORTH_SAMPLES_PER_REGION) {
        double chance = (double)o->size_bytes * WORTH_SAMPLES_PER_REGION / ((double)r->stored_bytes + 1);
        if ((double)(uint32_t)random / UINT32_MAX >= chance)
            return;
        place = (uint32_t)(random >> 32) % WORTH_SAMPLES_PER_REGION;
    } else {
        r->count++;
    }
    r->known[place] = (struct known){.id = o->id,
                                     .title = o->hint.title,
                                     .segment = o->hint.segment,
                                     .size_bytes = (uint32_t)o->size_bytes,
                                     .rendition = o->hint.rendition,
                                     .kind = o->hint.kind};
}

void worth_samples_clear(struct worth_samples *s, uint32_t region)
{
    *at(s, region) = (struct sampled){.count = 0};
}

unsigned worth_samples_get(const struct worth_samples *s, uint32_t region,
                           struct worth_object ret[WORTH_SAMPLES_PER_REGION])
{
    const struct sampled *r = at(s, region);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct known *k = &r->known[i];
        ret[i] = (struct worth_object){
            .id = k->id,
            .size_bytes = k->size_bytes,
            .hint = {.title = k->title, .segment = k->segment, .rendition = k->rendition, .kind = k->kind}};
    }
    return r->count;
}

void worth_samples_judge(struct worth_samples *s, uint32_t region, float share, uint32_t now_s)
{
    at(s, region)->share = share;
    at(s, region)->judged_at_s = now_s;
}

float worth_samples_share(const struct worth_samples *s, uint32_t region)
{
    return at(s, region)->share;
}

uint32_t worth_samples_judged_at_s(const struct worth_samples *s, uint32_t region)
{
    return at(s, region)->judged_at_s;
}
