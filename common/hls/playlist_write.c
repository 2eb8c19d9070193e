/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a media playlist.
 */
#include "hls/playlist.h"
#include "http/date.h"

static void write_header(const struct hls_playlist *p, struct buf *out)
{
    buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%u\n", p->version);
    if (p->independent_segments)
        buf_append_text(out, "#EXT-X-INDEPENDENT-SEGMENTS\n");
    /* Whole seconds, and never less than a segment. */
    buf_printf(out, "#EXT-X-TARGETDURATION:%llu\n", (unsigned long long)(p->target_duration_ms + 999) / 1000);
    buf_printf(out, "#EXT-X-MEDIA-SEQUENCE:%llu\n", (unsigned long long)p->media_sequence);
    if (p->discontinuity_sequence > 0)
        buf_printf(out, "#EXT-X-DISCONTINUITY-SEQUENCE:%llu\n",
                   (unsigned long long)p->discontinuity_sequence);
    if (p->type != HLS_TYPE_NONE)
        buf_printf(out, "#EXT-X-PLAYLIST-TYPE:%s\n", p->type == HLS_TYPE_VOD ? "VOD" : "EVENT");
}

static void write_range(const struct hls_byterange *range, struct buf *out)
{
    buf_append_u64(out, range->length);
    if (range->has_offset) {
        buf_append_char(out, '@');
        buf_append_u64(out, range->offset);
    }
}

static void write_map(const struct hls_map *map, struct buf *out)
{
    buf_append_text(out, "#EXT-X-MAP:URI=\"");
    buf_append_slice(out, map->uri);
    buf_append_char(out, '"');
    if (map->range.present) {
        buf_append_text(out, ",BYTERANGE=\"");
        write_range(&map->range, out);
        buf_append_char(out, '"');
    }
    buf_append_char(out, '\n');
}

static bool same_map(const struct hls_map *a, const struct hls_map *b)
{
    return a->uri.data && b->uri.data && slice_equal(a->uri, b->uri) &&
           a->range.present == b->range.present && a->range.offset == b->range.offset &&
           a->range.length == b->range.length;
}

static void write_date(int64_t epoch_ms, struct buf *out)
{
    int64_t epoch_s = epoch_ms / 1000 - (epoch_ms % 1000 < 0);
    struct http_civil c = http_date_civil(epoch_s);

    buf_printf(out, "#EXT-X-PROGRAM-DATE-TIME:%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\n", c.year, c.month, c.day,
               c.hour, c.minute, c.second, (int)(epoch_ms - epoch_s * 1000));
}

static void write_segment(const struct hls_segment *s, const struct hls_map *map_before, struct buf *out)
{
    if (s->discontinuity)
        buf_append_text(out, "#EXT-X-DISCONTINUITY\n");
    if (s->map.uri.data && !same_map(&s->map, map_before))
        write_map(&s->map, out);
    if (s->has_program_date_time)
        write_date(s->program_date_time_ms, out);
    if (s->gap)
        buf_append_text(out, "#EXT-X-GAP\n");
    if (s->range.present) {
        buf_append_text(out, "#EXT-X-BYTERANGE:");
        write_range(&s->range, out);
        buf_append_char(out, '\n');
    }
    buf_printf(out, "#EXTINF:%llu.%06llu,\n", (unsigned long long)s->duration_us / 1000000,
               (unsigned long long)s->duration_us % 1000000);
    buf_append_slice(out, s->uri);
    buf_append_char(out, '\n');
}

bool hls_playlist_write(const struct hls_playlist *playlist, const struct hls_segment *segments, size_t count,
                        struct buf *out)
{
    static const struct hls_map no_map;

    write_header(playlist, out);
    for (size_t i = 0; i < count; i++)
        write_segment(&segments[i], i > 0 ? &segments[i - 1].map : &no_map, out);
    if (playlist->endlist)
        buf_append_text(out, "#EXT-X-ENDLIST\n");
    return !out->failed;
}
