/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VOD played as an endless live channel. All of it follows from the time and the VOD alone: segment `msn`
 * is segment msn % N of the VOD, in loop msn / N since the epoch of the clock. So every worker and every
 * restart says the same, and no two loops share a URL.
 *
 *   loop      |        0        |        1        |  ...      L: length of the VOD
 *   msn       | 0 | 1 | ... N-1 | N |N+1| ...     |           a segment is there when its end has passed
 *             0                 L                 2 L         (microseconds since the epoch)
 */
#ifndef LIVE_H
#define LIVE_H

#include "hls/playlist.h"

#define LIVE_WINDOW_SEGMENTS 6    /* by default; more when they are shorter than LIVE_WINDOW_TARGETS */
#define LIVE_WINDOW_MAX      1000 /* segments */
#define LIVE_WINDOW_TARGETS  3 /* target durations that a playlist always has (RFC 8216bis section 6.2.2) */

/* Segments stay so many windows after they left the playlist. */
#define LIVE_GRACE_WINDOWS 3

/* A segment can be fetched so much earlier than it is listed: clocks of workers and machines differ a little,
 * and whoever saw it in a playlist must get it. */
#define LIVE_LEAD_MS 250

struct live_map {
    char *uri; /* as the playlist has it */
    struct hls_byterange range;
    char *path; /* of the file, relative to the root */
};

struct live_segment {
    char *path;                 /* of the file, relative to the root */
    struct hls_byterange range; /* of the file */
    int64_t duration_us;
    size_t discontinuities; /* in the loop up to this one, itself and the seam included: at least 1 */
    size_t map;             /* 1 + index into maps; 0 for none */
};

struct live_rendition {
    char *path;      /* of the playlist, relative to the channel: "v0/index.m3u8" */
    char *name;      /* its last component without ".m3u8", as URIs write it: "index" */
    char *extension; /* of its segments: ".ts" */
    unsigned version;
    bool independent_segments;
    struct live_segment *segments;
    size_t segment_count; /* at least the VOD's */
    struct live_map *maps;
    size_t map_count;
};

/* Immutable once loaded. */
struct live_vod {
    size_t segment_count; /* that are played, at least 1 */
    int64_t *start_us; /* of each segment in the loop, and the loop's length behind them: segment_count + 1 */
    int64_t target_duration_ms; /* the largest of all renditions, whole seconds */
    size_t window_segments;     /* that a playlist lists at least, up to LIVE_WINDOW_MAX */
    struct live_rendition *renditions;
    size_t rendition_count;
};

struct live_window {
    int64_t first_msn, last_msn; /* last < first: nothing yet */
};

/* What a playlist lists at that time. `now_ms` since the epoch, not negative. */
struct live_window live_window_at(const struct live_vod *vod, int64_t now_ms);

/* When the last listed segment became complete, in milliseconds since the epoch. */
int64_t live_updated_ms(const struct live_vod *vod, struct live_window window);

/* Appends a rendition's playlist. False when it does not fit or memory is out. */
bool live_playlist(const struct live_vod *vod, const struct live_rendition *rendition, int64_t now_ms,
                   struct buf *out);

enum live_presence { LIVE_THERE, LIVE_NOT_YET, LIVE_GONE };
enum live_presence live_segment_presence(const struct live_vod *vod, uint64_t msn, int64_t now_ms);

/* The segment that is played as `msn`. */
const struct live_segment *live_segment_of(const struct live_vod *vod, const struct live_rendition *rendition,
                                           uint64_t msn);

#endif
