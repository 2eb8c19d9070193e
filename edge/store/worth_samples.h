/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few objects of each region, larger ones likelier, so that what is in it can be judged without reading it;
 * and the last judgement. Not thread safe.
 */
#ifndef STORE_WORTH_SAMPLES_H
#define STORE_WORTH_SAMPLES_H

#include "store/worth.h"

#define SAMPLES_PER_REGION 8

struct samples;

struct samples *samples_new(uint32_t regions_max);
void samples_free(struct samples *s);
size_t samples_memory_bytes(const struct samples *s);

void samples_put(struct samples *s, uint32_t region, const struct worth_object *o, uint64_t random);
void samples_clear(struct samples *s, uint32_t region);
unsigned samples_get(const struct samples *s, uint32_t region, struct worth_object ret[SAMPLES_PER_REGION]);

/* The share of it that is worth keeping, as judged; 0 as long as it was not. */
void samples_judge(struct samples *s, uint32_t region, float share, uint32_t now_s);
float samples_share(const struct samples *s, uint32_t region);
uint32_t samples_judged_at_s(const struct samples *s, uint32_t region);

#endif
