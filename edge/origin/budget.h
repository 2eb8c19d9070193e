/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may be asked of origins once more: a part of the requests, and a little in any case. Without such
 * a bound an origin that is overloaded gets several times its load from those who mean to help. One per site
 * and worker. Pure: time is a parameter.
 */
#ifndef ORIGIN_BUDGET_H
#define ORIGIN_BUDGET_H

#include "config.h"

struct budget {              /* zeroes: nothing was asked yet */
    uint64_t earned_percent; /* hundredths of a retry that requests have earned */
    uint64_t floor_spent;    /* retries of the floor in this second */
    uint64_t second;
};

/* A request is sent for the first time. */
void budget_earn(struct budget *b, const struct config_origin_retries *rules);

/* One is about to be sent again. False: not now. */
bool budget_spend(struct budget *b, const struct config_origin_retries *rules, uint64_t now_ms);

#endif
