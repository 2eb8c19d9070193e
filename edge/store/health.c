/* SPDX-License-Identifier: Apache-2.0 */
/* The bounds beyond which a disk is given up. */
#include "store/health.h"

enum health_verdict health_judge(struct health *h, uint64_t errors, int64_t waited_ms, int64_t now_ms)
{
    if (waited_ms >= HEALTH_HANG_MS)
        return HEALTH_HANGS;
    if (errors - h->errors_at_begin >= HEALTH_ERRORS_MAX)
        return HEALTH_ERRORS;
    if (now_ms - h->window_begin_ms >= HEALTH_WINDOW_MS)
        *h = (struct health){now_ms, errors};
    return HEALTH_GOOD;
}
