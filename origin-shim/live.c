/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of the loop, and a playlist made of it. Pure: time is a parameter.
 */
#include "live.h"

#include <stdlib.h>

#include "base/check.h"

static int64_t loop_us(const struct live_vod *vod)
{
    return vod->start_us[vod->segment_count];
}

static size_t index_of(const struct live_vod *vod, int64_t msn)
{
    return (size_t)(msn % (int64_t)vod->segment_count);
}

/* Of msn, since the epoch; that of msn + 1 is its end. */
static int64_t start_us(const struct live_vod *vod, int64_t msn)
{
    return msn / (int64_t)vod->segment_count * loop_us(vod) + vod->start_us[index_of(vod, msn)];
}

/* How many segments of the loop have ended `into_us` after its begin: the last start not after it. */
static size_t ended_count(const struct live_vod *vod, int64_t into_us)
{
    size_t low = 0, high = vod->segment_count; /* start_us[low] <= into_us < start_us[high] */

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (vod->start_us[middle] <= into_us)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int64_t last_msn_at(const struct live_vod *vod, int64_t now_ms)
{
    int64_t now_us = now_ms * 1000;

    return now_us / loop_us(vod) * (int64_t)vod->segment_count +
           (int64_t)ended_count(vod, now_us % loop_us(vod)) - 1;
}

struct live_window live_window_at(const struct live_vod *vod, int64_t now_ms)
{
    int64_t last = last_msn_at(vod, now_ms), first = last + 1;
    int64_t at_least_us = LIVE_WINDOW_TARGETS * vod->target_duration_ms * 1000;

    while (first > 0 && last - first + 1 < LIVE_WINDOW_MAX &&
           (last - first + 1 < (int64_t)vod->window_segments ||
            start_us(vod, last + 1) - start_us(vod, first) < at_least_us))
        first--;
    return (struct live_window){first, last};
}

int64_t live_updated_ms(const struct live_vod *vod, struct live_window window)
{
    return start_us(vod, window.last_msn + 1) / 1000;
}

enum live_presence live_segment_presence(const struct live_vod *vod, uint64_t msn, int64_t now_ms)
{
    struct live_window window = live_window_at(vod, now_ms);
    int64_t grace = LIVE_GRACE_WINDOWS * (window.last_msn - window.first_msn + 1);

    if (msn > INT64_MAX || (int64_t)msn > last_msn_at(vod, now_ms + LIVE_LEAD_MS))
        return LIVE_NOT_YET;
    return (int64_t)msn < window.first_msn - grace ? LIVE_GONE : LIVE_THERE;
}

const struct live_segment *live_segment_of(const struct live_vod *vod, const struct live_rendition *rendition,
                                           uint64_t msn)
{
    return &rendition->segments[msn % vod->segment_count];
}

static bool is_discontinuity(const struct live_rendition *rendition, size_t index)
{
    return index == 0 ||
           rendition->segments[index].discontinuities > rendition->segments[index - 1].discontinuities;
}

/* How many discontinuities have left the playlist when msn is its first segment. */
static uint64_t discontinuities_before(const struct live_vod *vod, const struct live_rendition *rendition,
                                       int64_t msn)
{
    uint64_t per_loop = rendition->segments[vod->segment_count - 1].discontinuities;
    size_t index = index_of(vod, msn);

    return (uint64_t)(msn / (int64_t)vod->segment_count) * per_loop +
           rendition->segments[index].discontinuities - (is_discontinuity(rendition, index) ? 1 : 0);
}

static struct hls_segment segment_at(const struct live_vod *vod, const struct live_rendition *rendition,
                                     int64_t msn)
{
    size_t index = index_of(vod, msn);
    const struct live_segment *segment = &rendition->segments[index];
    struct hls_segment out = {
        .msn = (uint64_t)msn,
        .duration_us = segment->duration_us,
        .has_program_date_time = true,
        .program_date_time_ms = start_us(vod, msn) / 1000,
        .discontinuity = is_discontinuity(rendition, index),
    };

    if (segment->map > 0) {
        out.map.uri = slice_of(rendition->maps[segment->map - 1].uri);
        out.map.range = rendition->maps[segment->map - 1].range;
    }
    return out;
}

/* Writes the names of a window's segments into `uris` and points the segments to them. */
static bool name_segments(const struct live_rendition *rendition, struct hls_segment *segments, size_t count,
                          struct buf *uris)
{
    const char *at;

    for (size_t i = 0; i < count; i++) {
        size_t before = uris->size;
        buf_printf(uris, "%s-%llu%s", rendition->name, (unsigned long long)segments[i].msn,
                   rendition->extension);
        segments[i].uri.size = uris->size - before;
    }
    at = uris->data; /* settled only now */
    for (size_t i = 0; i < count; i++) {
        segments[i].uri.data = at;
        at += segments[i].uri.size;
    }
    return !uris->failed;
}

static bool write_window(const struct live_vod *vod, const struct live_rendition *rendition,
                         struct live_window window, struct hls_segment *segments, struct buf *out)
{
    size_t count = (size_t)(window.last_msn - window.first_msn + 1);
    struct hls_playlist summary = {
        .kind = HLS_MEDIA,
        .version = rendition->version,
        .independent_segments = rendition->independent_segments,
        .target_duration_ms = vod->target_duration_ms,
        .media_sequence = (uint64_t)window.first_msn,
        .discontinuity_sequence = discontinuities_before(vod, rendition, window.first_msn),
    };
    struct buf uris;
    bool ok;

    for (size_t i = 0; i < count; i++)
        segments[i] = segment_at(vod, rendition, window.first_msn + (int64_t)i);
    buf_init(&uris, HLS_PLAYLIST_SIZE_MAX);
    ok = name_segments(rendition, segments, count, &uris) &&
         hls_playlist_write(&summary, segments, count, out);
    buf_fini(&uris);
    return ok;
}

bool live_playlist(const struct live_vod *vod, const struct live_rendition *rendition, int64_t now_ms,
                   struct buf *out)
{
    struct live_window window = live_window_at(vod, now_ms);
    size_t count = (size_t)(window.last_msn - window.first_msn + 1);
    struct hls_segment *segments = calloc(count + 1, sizeof(*segments));
    bool ok = segments != NULL && write_window(vod, rendition, window, segments, out);

    free(segments);
    return ok;
}
