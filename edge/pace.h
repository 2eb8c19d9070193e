/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a response should go at most: fast enough that nobody ever waits for it, and not so fast that what
 * a viewer will never see is sent to him. Pure.
 */
#ifndef PACE_H
#define PACE_H

#include "config.h"
#include "ledger_words.h"

struct pace {
    uint64_t rate_bytes_per_s; /* 0: as fast as it goes */
    uint64_t start_bytes;      /* so many of its connection go as fast as they can before */
};

/* bits_per_s: of the segment, from its playlist; 0: not known. rtp_kbps: what the player asks for (CMCD); 0:
 * nothing. Playlists, keys and all that is small are never paced. */
struct pace pace_choose(const struct config_pacing *policy, enum content_class content_class,
                        uint64_t bits_per_s, uint64_t rtp_kbps);

/* The smaller of the two; 0 is none. */
static inline uint64_t pace_min(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 || a < b ? a : b;
}

#endif
