/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a disk can still be used, judged by its errors and by how long it lets its threads wait. One error
 * is a bad sector, and costs the region it is in; many within a minute are a disk that is going, and asking
 * it again costs viewers time. Pure.
 */
#ifndef STORE_HEALTH_H
#define STORE_HEALTH_H

#include <stdint.h>

#define HEALTH_ERRORS_MAX 16u   /* within one window */
#define HEALTH_WINDOW_MS  60000 /* begins anew when it is over */
#define HEALTH_HANG_MS    60000 /* longer than a slow disk takes for the largest step: syncing a large index */

enum health_verdict { HEALTH_GOOD, HEALTH_ERRORS, HEALTH_HANGS };

struct health {
    int64_t window_begin_ms;
    uint64_t errors_at_begin;
};

/* `errors` so far, `waited_ms` by the thread that has waited longest. */
enum health_verdict health_judge(struct health *h, uint64_t errors, int64_t waited_ms, int64_t now_ms);

#endif
