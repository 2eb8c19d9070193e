/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live channel: loads the VOD that it plays (live.h), and says what stands behind each of its URLs.
 *
 *   /live/NAME/master.m3u8            the multivariant playlist, as it is; under its own name too
 *   /live/NAME/v0/index.m3u8          a media playlist, where the multivariant has it
 *   /live/NAME/v0/index-7305311.ts    segment 7305311 of it
 *   /live/NAME/v0/init.mp4            its initialisation segment, where the playlist has it
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "directory.h"
#include "live.h"

#define CHANNEL_PREFIX         "live/"
#define CHANNEL_NAME_MAX       64
#define CHANNEL_RENDITIONS_MAX 64

struct channel_options {
    const char *name;         /* letters, digits, '-' and '_' */
    const char *source;       /* a multivariant playlist, its path relative to the root */
    unsigned window_segments; /* 1 to LIVE_WINDOW_MAX */
};

struct channel;

/* -EINVAL and a sentence in `error` when the VOD cannot be played so. */
int channel_open(const struct directory *root, const struct channel_options *options, struct buf *error,
                 struct channel **ret_channel);
void channel_close(struct channel *c); /* NULL is fine */
const char *channel_name(const struct channel *c);

enum channel_kind {
    CHANNEL_MULTIVARIANT,
    CHANNEL_PLAYLIST,
    CHANNEL_SEGMENT,
    CHANNEL_MAP,
    CHANNEL_NOT_FOUND,
    CHANNEL_NOT_YET, /* a segment that will be there */
    CHANNEL_GONE,    /* a segment that was there */
};

struct channel_resource {
    enum channel_kind kind;
    const char *path;                       /* of the file, relative to the root: all but PLAYLIST */
    struct hls_byterange range;             /* of the file: SEGMENT */
    const struct live_rendition *rendition; /* PLAYLIST */
};

/* `path`: decoded, what stands behind "/live/NAME/". */
struct channel_resource channel_find(const struct channel *c, const char *path, int64_t now_ms);

const struct live_vod *channel_vod(const struct channel *c);

#endif
