/* SPDX-License-Identifier: Apache-2.0 */
/* See budget.h. */
#include "origin/budget.h"

#define PERCENT_MAX 10000 /* a hundred retries are saved up at most */

void budget_earn(struct budget *b, const struct config_origin_retries *rules)
{
    b->earned_percent += rules->percent;
    if (b->earned_percent > PERCENT_MAX)
        b->earned_percent = PERCENT_MAX;
}

bool budget_spend(struct budget *b, const struct config_origin_retries *rules, uint64_t now_ms)
{
    if (now_ms / 1000 != b->second) {
        b->second = now_ms / 1000;
        b->floor_spent = 0;
    }
    if (b->floor_spent < rules->floor_per_s) {
        b->floor_spent++;
        return true;
    }
    if (b->earned_percent < 100)
        return false;
    b->earned_percent -= 100;
    return true;
}
