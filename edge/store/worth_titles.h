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

#define WORTH_TITLES_BUCKETS 6 /* of followers' distances: 1, 2-4, 5-16, 17-64, 65-256, beyond */

struct worth_titles;

struct worth_titles_view {
    bool is_known;
    float age_s;
    float log2_count[WORTH_RATES_HORIZONS];
    float log2_share;     /* of the rendition among the title's requests */
    uint32_t segment_max; /* highest asked for: length, or live edge */
    uint32_t live_first;  /* begin of the live window as last told; 0: not known */
    float reach;          /* segments behind the highest that are still asked for (slowly forgotten) */
    float same[WORTH_TITLES_BUCKETS],
        other[WORTH_TITLES_BUCKETS]; /* sessions behind, by distance; of this or another rung */
};

struct worth_titles *worth_titles_new(size_t memory_bytes);
void worth_titles_free(struct worth_titles *t);
size_t worth_titles_memory_bytes(const struct worth_titles *t);

void worth_titles_touch(struct worth_titles *t, const struct store_hint *hint, uint32_t now_s);
struct worth_titles_view worth_titles_read(struct worth_titles *t, const struct store_hint *hint,
                                           uint32_t now_s);

#endif
