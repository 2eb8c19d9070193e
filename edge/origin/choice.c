/* SPDX-License-Identifier: Apache-2.0 */
/* See choice.h. */
#include "origin/choice.h"

#include <math.h>

#include "base/hash.h"

/* An origin comes first for its share of the contents, and when one goes only what was its own moves. */
static double score_of(const struct choice_candidate *candidate, size_t index, uint64_t content_hash)
{
    uint64_t parts[2] = {content_hash, index};
    double uniform = ((double)(hash_sum(parts, sizeof(parts)) >> 11) + 0.5) / (double)(1ull << 53);
    return -log(uniform) / candidate->weight;
}

static bool is_before(const struct choice_candidate *a, double score_a, const struct choice_candidate *b,
                      double score_b)
{
    if (a->is_usable != b->is_usable)
        return a->is_usable;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return score_a < score_b;
}

int choice_next(const struct choice_candidate *candidates, size_t count, uint64_t content_hash)
{
    int best = -1;
    double best_score = 0;
    for (size_t i = 0; i < count; i++) {
        double score = score_of(&candidates[i], i, content_hash);
        if (candidates[i].is_tried ||
            (best >= 0 && !is_before(&candidates[i], score, &candidates[best], best_score)))
            continue;
        best = (int)i;
        best_score = score;
    }
    return best;
}
