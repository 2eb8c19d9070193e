/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HLS playlists (RFC 8216bis), read and written. Reading is tolerant as players are: unknown tags and
 * attributes are skipped, CRLF, a byte order mark and a missing last newline are fine. It allocates nothing
 * and is linear in the text. What a playlist lists comes as events, in its order; what it says as a whole
 * stands in the summary.
 */
#ifndef HLS_PLAYLIST_H
#define HLS_PLAYLIST_H

#include "base/buf.h"
#include "hls/items.h"

#define HLS_PLAYLIST_SIZE_MAX (8u << 20)
#define HLS_LINE_SIZE_MAX     (64u << 10)
#define HLS_VARIABLES_MAX     32 /* EXT-X-DEFINE; references to more are unresolved */

enum hls_kind { HLS_MULTIVARIANT, HLS_MEDIA };
enum hls_type { HLS_TYPE_NONE, HLS_TYPE_EVENT, HLS_TYPE_VOD };

#define HLS_ERRORS(E)                                                    \
    E(OK, "ok")                                                          \
    E(TOO_LARGE, "playlist too large")                                   \
    E(LINE_TOO_LONG, "line too long")                                    \
    E(NOT_PLAYLIST, "the first line is not #EXTM3U")                     \
    E(NO_TARGET_DURATION, "no EXT-X-TARGETDURATION in a media playlist") \
    E(MIXED, "tags of multivariant and media playlists mixed")           \
    E(BAD_ATTRIBUTES, "bad attribute list")                              \
    E(BAD_VALUE, "bad value of a tag")                                   \
    E(MISSING_ATTRIBUTE, "required attribute missing")

enum hls_error_code {
#define E(name, text) HLS_ERROR_##name,
    HLS_ERRORS(E)
#undef E
};

struct hls_error {
    enum hls_error_code code;
    unsigned line; /* from 1 */
};

const char *hls_error_text(enum hls_error_code code);

struct hls_playlist {
    enum hls_kind kind;
    enum hls_type type;
    unsigned version; /* 1 when it does not say */
    bool endlist, iframes_only, independent_segments, can_block_reload, has_preload_hint;
    bool has_unresolved_variables; /* EXT-X-DEFINE with IMPORT or QUERYPARAM, or none: see the events */
    int64_t target_duration_ms;    /* this and all below: 0 when absent */
    int64_t part_target_ms;
    int64_t hold_back_ms, part_hold_back_ms, can_skip_until_ms;
    int64_t total_duration_us; /* of the segments listed */
    uint64_t media_sequence, discontinuity_sequence;
    uint64_t segment_count; /* listed */
    uint64_t skipped_count; /* of a delta update (EXT-X-SKIP), older than those listed */
    uint64_t next_msn;      /* the first segment that is not yet complete... */
    uint64_t next_part;     /* ...and its first part that is not yet listed: all before these is there */
    uint64_t variant_count;
};

/* Any may be NULL. Slices are valid during the call only. Variables (EXT-X-DEFINE NAME and VALUE) are put in;
 * an event with a variable that is not defined in the same playlist is left out, though it counts. */
struct hls_playlist_events {
    void (*on_variant)(void *user, const struct hls_variant *variant);
    void (*on_rendition)(void *user, const struct hls_rendition *rendition);
    void (*on_segment)(void *user, const struct hls_segment *segment);
    void (*on_part)(void *user, const struct hls_part *part);
    void (*on_map)(void *user, const struct hls_map *map);
    void (*on_key)(void *user, const struct hls_key *key);
    void (*on_hint)(void *user, const struct hls_hint *hint);
    void (*on_report)(void *user, const struct hls_report *report);
    void (*on_steering)(void *user, const struct hls_steering *steering);
    void (*on_session_data)(void *user, const struct hls_session_data *data);
};

/* On false *ret_error says what and where; events up to there have been given. `events` may be NULL. */
bool hls_playlist_parse(struct slice text, const struct hls_playlist_events *events, void *user,
                        struct hls_playlist *ret_summary, struct hls_error *ret_error);

/* How long a playlist may be taken as fresh when its response does not say: half a target duration while it
 * is live (half a part's, with parts), `settled_ms` when it is ended or multivariant. */
int64_t hls_playlist_ttl_ms(const struct hls_playlist *playlist, int64_t settled_ms);

/* Writes a media playlist: of the summary version, type, target duration, sequences, independent_segments and
 * endlist; of the segments URI, duration, range, date, discontinuity, gap, and the map where it changes. */
bool hls_playlist_write(const struct hls_playlist *playlist, const struct hls_segment *segments, size_t count,
                        struct buf *out);

#endif
