/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of each title, in bounded memory: how often it is asked for, in which renditions, how long it
 * is or where its live edge stands and how far behind that it is still watched, and where its latest sessions
 * are now.
 */
#ifndef STORE_WORTH_TITLES_H
#define STORE_WORTH_TITLES_H

#include "store/hint.h"
#include "store/worth_rates.h"

#define TITLES_BUCKETS 6 /* of followers' distances: 1, 2-4, 5-16, 17-64, 65-256, beyond */

struct titles;

struct title_view {
    bool is_known;
    float age_s;
    float log2_count[RATES_HORIZONS];
    float log2_share;     /* of the rendition among the title's requests */
    uint32_t segment_max; /* highest asked for: length, or live edge */
    uint32_t live_first;  /* begin of the live window as last told; 0: not known */
    float reach;          /* segments behind the highest that are still asked for (slowly forgotten) */
    float same[TITLES_BUCKETS],
        other[TITLES_BUCKETS]; /* sessions behind, by distance; of this or another rung */
};

struct titles *titles_new(size_t memory_bytes);
void titles_free(struct titles *t);
size_t titles_memory_bytes(const struct titles *t);

void titles_touch(struct titles *t, const struct store_hint *hint, uint32_t now_s);
struct title_view titles_read(struct titles *t, const struct store_hint *hint, uint32_t now_s);

#endif
