/* SPDX-License-Identifier: Apache-2.0 */
/* See pace.h. */
#include "pace.h"

#define RATE_MIN_BYTES_PER_S 16384 /* whatever a player says: what is slower would only hold memory */

struct pace pace_choose(const struct config_pacing *policy, enum content_class content_class,
                        uint64_t bits_per_s, uint64_t rtp_kbps)
{
    struct pace pace = {0};

    if (content_class != CLASS_SEGMENT && content_class != CLASS_PART)
        return pace;
    if (policy->cmcd && rtp_kbps > 0)
        pace.rate_bytes_per_s = rtp_kbps < UINT32_MAX ? rtp_kbps * 1000 / 8 : 0;
    else
        pace.rate_bytes_per_s = bits_per_s / 8 * policy->multiple;
    if (pace.rate_bytes_per_s == 0)
        return pace;
    if (pace.rate_bytes_per_s < RATE_MIN_BYTES_PER_S)
        pace.rate_bytes_per_s = RATE_MIN_BYTES_PER_S;
    pace.start_bytes = (bits_per_s > 0 ? bits_per_s / 8 : pace.rate_bytes_per_s) * policy->start_ms / 1000;
    return pace;
}
