/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What parsed playlists say of other keys: what they are and how fast they go. Bounded: a fixed table in
 * which the entry used least recently of eight makes room, so it may forget; nothing depends on it for
 * correctness. Any thread.
 */
#ifndef CATALOG_H
#define CATALOG_H

#include "base/buf.h"
#include "base/hash.h"
#include "hls/playlist.h"
#include "ledger.h"

enum catalog_kind {
    CATALOG_MULTIVARIANT, /* a multivariant playlist that was seen */
    CATALOG_MEDIA,        /* a media playlist that was seen */
    CATALOG_LISTED_MEDIA, /* a media playlist that a multivariant one lists */
    CATALOG_SEGMENT,
    CATALOG_PART,
    CATALOG_INIT,
    CATALOG_KEY,
};

struct catalog_entry {
    enum catalog_kind kind;
    uint32_t bitrate_bits_per_s; /* 0: not known */
    uint32_t target_duration_ms; /* of its playlist; 0: not known */
    uint64_t title;              /* what all renditions of one programme share; 0: not known */
    uint16_t rendition;          /* which of them: alike among titles */
    bool is_live;                /* its playlist has no end */
    uint32_t segment;            /* its media sequence number */
    struct hash128 playlist;     /* of a segment or part: the media playlist that listed it last */
    uint32_t live_first,
        live_last; /* of a media playlist: media sequence numbers that it lists, if it is live */
};

struct catalog;

struct catalog *catalog_new(size_t entries_max); /* NULL when memory is out */
void catalog_free(struct catalog *c);

/* Whether `reference`, found in the playlist, is a key of this edge: appends nothing and returns false if
 * not. */
typedef bool catalog_resolve_fn(void *user, struct slice reference, struct hash128 *ret_key_hash);

/* A playlist that was read. */
struct catalog_source {
    struct hash128 key_hash; /* under which it stands */
    struct slice text;
    uint64_t title; /* of a media playlist that no multivariant one lists */
    uint16_t rendition;
};

/* Reads a playlist and notes what it lists. False: it is no playlist. */
bool catalog_learn(struct catalog *c, const struct catalog_source *source, catalog_resolve_fn *resolve,
                   void *user, struct hls_playlist *ret_summary);
bool catalog_find(struct catalog *c, struct hash128 key_hash, struct catalog_entry *ret_entry);

/* The class of a key: from playlists first (entry, may be NULL), then from the media type, then from the
 * name. */
enum content_class catalog_class(const struct catalog_entry *entry, struct slice path,
                                 struct slice media_type);

#endif
