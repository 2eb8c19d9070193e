/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few objects of each region, larger ones likelier, so that what is in it can be judged without reading it;
 * and the last judgement. Not thread safe.
 */
#ifndef STORE_WORTH_SAMPLES_H
#define STORE_WORTH_SAMPLES_H

#include "store/worth.h"

#define WORTH_SAMPLES_PER_REGION 8

struct worth_samples;

struct worth_samples *worth_samples_new(uint32_t regions_max);
void worth_samples_free(struct worth_samples *s);
size_t worth_samples_memory_bytes(const struct worth_samples *s);

void worth_samples_put(struct worth_samples *s, uint32_t region, const struct worth_object *o,
                       uint64_t random);
void worth_samples_clear(struct worth_samples *s, uint32_t region);
unsigned worth_samples_get(const struct worth_samples *s, uint32_t region,
                           struct worth_object ret[WORTH_SAMPLES_PER_REGION]);

/* The share of it that is worth keeping, as judged; 0 as long as it was not. */
void worth_samples_judge(struct worth_samples *s, uint32_t region, float share, uint32_t now_s);
float worth_samples_share(const struct worth_samples *s, uint32_t region);
uint32_t worth_samples_judged_at_s(const struct worth_samples *s, uint32_t region);

#endif
