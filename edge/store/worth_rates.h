/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often things were asked for lately, in bounded memory: counts that halve in 15 minutes, 2 hours and 48
 * hours, and the time of the last use, under 64-bit names. Sets of five in a cache line with a lock of their
 * own; who has been asked for least gives way. Names are told apart by 16 bits within a set, so one in about
 * ten thousand strangers is taken for another.
 */
#ifndef STORE_WORTH_RATES_H
#define STORE_WORTH_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORTH_RATES_HORIZONS 3
extern const float worth_rates_half_life_s[WORTH_RATES_HORIZONS];

struct worth_rates_table;

struct worth_rates {
    bool is_known;
    float age_s;                            /* since the last use */
    float log2_count[WORTH_RATES_HORIZONS]; /* as of now; WORTH_RATES_LOG2_NONE at least */
};
#define WORTH_RATES_LOG2_NONE (-16.0f)

struct worth_rates_table *worth_rates_new(size_t memory_bytes);
void worth_rates_free(struct worth_rates_table *t);
size_t worth_rates_memory_bytes(const struct worth_rates_table *t);

void worth_rates_touch(struct worth_rates_table *t, uint64_t name, uint32_t now_s);
struct worth_rates worth_rates_read(struct worth_rates_table *t, uint64_t name, uint32_t now_s);

#endif
