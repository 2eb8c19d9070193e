/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cache layer knows of an object besides its bytes: what it is part of, and who asks. It decides
 * nothing about what is served, only what is worth keeping. Zeros where nothing is known.
 */
#ifndef STORE_HINT_H
#define STORE_HINT_H

#include <stdint.h>

enum store_kind {
    STORE_OTHER, /* no structure is known */
    STORE_VOD,
    STORE_LIVE,
    STORE_AD,
    STORE_SMALL, /* playlists, init segments, keys: few bytes that every viewer waits for */
};

struct store_hint {
    uint64_t title; /* hash of what all renditions of one programme share; 0: unknown */
    uint64_t
        session; /* hash of who asks (CMCD sid, else the connection); 0: unknown. Not kept with the object */
    uint32_t
        segment; /* place in its rendition's order: media sequence number, number in the name, or slice */
    uint32_t live_first, live_last; /* window of the live playlist that listed it, when that was last read;
                                       0, 0: not live, or not known. Not kept with the object */
    uint16_t rendition; /* tells renditions of one title apart; small and alike among titles helps */
    uint8_t kind;       /* enum store_kind */
};

#endif
