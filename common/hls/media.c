/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tags of media playlists (RFC 8216bis sections 4.4.3 to 4.4.5). Tags that describe the segment to come
 * gather in the reader until its URI; the sequence numbers are counted here.
 */
#include "base/check.h"
#include "reader.h"

static uint64_t next_msn(const struct hls_reader *r)
{
    return r->summary.media_sequence + r->summary.skipped_count + r->summary.segment_count;
}

/* Whether nothing has been listed yet: later the sequence numbers stand. */
static bool at_the_front(const struct hls_reader *r)
{
    return r->summary.segment_count == 0 && r->part_count == 0 && r->discontinuity_count == 0;
}

static enum hls_error_code read_u64(struct slice value, uint64_t *ret_number)
{
    return slice_to_u64(slice_trim(value), ret_number) ? HLS_ERROR_OK : HLS_ERROR_BAD_VALUE;
}

static enum hls_error_code tag_target_duration(struct hls_reader *r, struct slice value)
{
    int64_t us;

    if (!hls_parse_duration_us(slice_trim(value), &us))
        return HLS_ERROR_BAD_VALUE;
    r->summary.target_duration_ms = us / 1000;
    r->has_target_duration = true;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_media_sequence(struct hls_reader *r, struct slice value)
{
    return at_the_front(r) ? read_u64(value, &r->summary.media_sequence) : HLS_ERROR_OK;
}

static enum hls_error_code tag_discontinuity_sequence(struct hls_reader *r, struct slice value)
{
    return at_the_front(r) ? read_u64(value, &r->summary.discontinuity_sequence) : HLS_ERROR_OK;
}

static enum hls_error_code tag_playlist_type(struct hls_reader *r, struct slice value)
{
    value = slice_trim(value);
    if (slice_equal(value, SLICE_LITERAL("VOD")))
        r->summary.type = HLS_TYPE_VOD;
    else if (slice_equal(value, SLICE_LITERAL("EVENT")))
        r->summary.type = HLS_TYPE_EVENT;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_endlist(struct hls_reader *r, struct slice value)
{
    (void)value;
    r->summary.endlist = true;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_i_frames_only(struct hls_reader *r, struct slice value)
{
    (void)value;
    r->summary.iframes_only = true;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_part_inf(struct hls_reader *r, struct slice value)
{
    const struct hls_wanted wanted[] = {HLS_REQUIRED("PART-TARGET", MS, &r->summary.part_target_ms)};

    return hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));
}

static enum hls_error_code tag_server_control(struct hls_reader *r, struct slice value)
{
    const struct hls_wanted wanted[] = {
        HLS_OPTIONAL("CAN-BLOCK-RELOAD", YES, &r->summary.can_block_reload),
        HLS_OPTIONAL("CAN-SKIP-UNTIL", MS, &r->summary.can_skip_until_ms),
        HLS_OPTIONAL("HOLD-BACK", MS, &r->summary.hold_back_ms),
        HLS_OPTIONAL("PART-HOLD-BACK", MS, &r->summary.part_hold_back_ms),
    };

    return hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));
}

static enum hls_error_code tag_skip(struct hls_reader *r, struct slice value)
{
    uint64_t skipped = 0;
    const struct hls_wanted wanted[] = {HLS_REQUIRED("SKIPPED-SEGMENTS", U64, &skipped)};
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code == HLS_ERROR_OK && at_the_front(r))
        r->summary.skipped_count = skipped;
    return code;
}

/* "duration,title"; the comma is often forgotten. */
static enum hls_error_code tag_extinf(struct hls_reader *r, struct slice value)
{
    value = slice_trim(slice_make(value.data, slice_find(value, ',')));
    if (!hls_parse_duration_us(value, &r->segment.duration_us))
        return HLS_ERROR_BAD_VALUE;
    r->has_extinf = true;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_byterange(struct hls_reader *r, struct slice value)
{
    return hls_parse_byterange(slice_trim(value), &r->segment.range) ? HLS_ERROR_OK : HLS_ERROR_BAD_VALUE;
}

static enum hls_error_code tag_discontinuity(struct hls_reader *r, struct slice value)
{
    (void)value;
    r->segment.discontinuity = true;
    r->discontinuity_count++;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_gap(struct hls_reader *r, struct slice value)
{
    (void)value;
    r->segment.gap = true;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_bitrate(struct hls_reader *r, struct slice value)
{
    return read_u64(value, &r->bitrate_kbps);
}

static enum hls_error_code tag_program_date_time(struct hls_reader *r, struct slice value)
{
    struct hls_segment *s = &r->segment;

    s->has_program_date_time = hls_parse_datetime_ms(value, &s->program_date_time_ms);
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_key(struct hls_reader *r, struct slice value)
{
    return hls_reader_key(r, value, false);
}

static enum hls_error_code tag_map(struct hls_reader *r, struct slice value)
{
    struct hls_map map = {0};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("URI", RAW, &map.uri),
        HLS_OPTIONAL("BYTERANGE", RANGE, &map.range),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code != HLS_ERROR_OK)
        return code;
    map.range.has_offset = map.range.present; /* from 0 when it does not say */
    r->map_expanded.size = 0;
    map.uri = hls_reader_expand(r, map.uri, &r->map_expanded);
    if (r->is_unresolved)
        map.uri = (struct slice){0};
    r->map = map;
    if (map.uri.data && r->events->on_map)
        r->events->on_map(r->user, &map);
    return HLS_ERROR_OK;
}

/* Gives a range its offset, and remembers where it ends. `uri` is as written. */
static enum hls_error_code place_range(struct hls_range_end *before, struct slice uri,
                                       struct hls_byterange *range)
{
    if (!range->present) {
        before->uri = (struct slice){0};
        return HLS_ERROR_OK;
    }
    if (!range->has_offset && before->uri.data && slice_equal(before->uri, uri))
        range->offset = before->end;
    range->has_offset = true;
    if (__builtin_add_overflow(range->offset, range->length, &before->end))
        return HLS_ERROR_BAD_VALUE;
    before->uri = uri;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_part(struct hls_reader *r, struct slice value)
{
    struct hls_part part = {.msn = next_msn(r), .part = r->part_count};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("URI", RAW, &part.uri),           HLS_REQUIRED("DURATION", US, &part.duration_us),
        HLS_OPTIONAL("BYTERANGE", RANGE, &part.range), HLS_OPTIONAL("INDEPENDENT", YES, &part.independent),
        HLS_OPTIONAL("GAP", YES, &part.gap),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code == HLS_ERROR_OK)
        code = place_range(&r->part_end, part.uri, &part.range);
    if (code != HLS_ERROR_OK)
        return code;
    r->part_count++;
    part.uri = hls_reader_expand(r, part.uri, &r->expanded);
    if (!r->is_unresolved && r->events->on_part)
        r->events->on_part(r->user, &part);
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_preload_hint(struct hls_reader *r, struct slice value)
{
    struct hls_hint hint = {.range = {.length = HLS_LENGTH_OPEN}};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("TYPE", RAW, &hint.type),
        HLS_REQUIRED("URI", TEXT, &hint.uri),
        HLS_OPTIONAL("BYTERANGE-START", U64, &hint.range.offset),
        HLS_OPTIONAL("BYTERANGE-LENGTH", U64, &hint.range.length),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code != HLS_ERROR_OK)
        return code;
    hint.range.present = hint.range.offset > 0 || hint.range.length != HLS_LENGTH_OPEN;
    hint.range.has_offset = hint.range.present;
    r->summary.has_preload_hint = true;
    if (!r->is_unresolved && r->events->on_hint)
        r->events->on_hint(r->user, &hint);
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_rendition_report(struct hls_reader *r, struct slice value)
{
    struct hls_report report = {.last_part = UINT64_MAX};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("URI", TEXT, &report.uri),
        HLS_REQUIRED("LAST-MSN", U64, &report.last_msn),
        HLS_OPTIONAL("LAST-PART", U64, &report.last_part),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code != HLS_ERROR_OK)
        return code;
    report.has_last_part = report.last_part != UINT64_MAX;
    if (!r->is_unresolved && r->events->on_report)
        r->events->on_report(r->user, &report);
    return HLS_ERROR_OK;
}

enum hls_error_code hls_media_uri(struct hls_reader *r, struct slice uri)
{
    struct hls_segment *s = &r->segment;
    struct hls_playlist *p = &r->summary;
    enum hls_error_code code;

    if (!r->has_extinf)
        return HLS_ERROR_OK; /* not a segment; players pass it over */
    code = place_range(&r->segment_end, uri, &s->range);
    if (code != HLS_ERROR_OK)
        return code;
    s->uri = hls_reader_expand(r, uri, &r->expanded);
    s->msn = next_msn(r);
    s->discontinuity_sequence = p->discontinuity_sequence + r->discontinuity_count;
    s->bitrate_kbps = s->range.present ? 0 : r->bitrate_kbps; /* section 4.4.4.8 */
    s->map = r->map;
    if (!r->is_unresolved && r->events->on_segment)
        r->events->on_segment(r->user, s);
    p->segment_count++;
    p->total_duration_us += s->duration_us;
    r->segment = (struct hls_segment){0};
    r->has_extinf = false;
    r->part_count = 0;
    return HLS_ERROR_OK;
}

const struct hls_tag hls_media_tags[] = {
    HLS_TAG("#EXTINF", tag_extinf),
    HLS_TAG("#EXT-X-PART", tag_part),
    HLS_TAG("#EXT-X-PROGRAM-DATE-TIME", tag_program_date_time),
    HLS_TAG("#EXT-X-BYTERANGE", tag_byterange),
    HLS_TAG("#EXT-X-DISCONTINUITY", tag_discontinuity),
    HLS_TAG("#EXT-X-MAP", tag_map),
    HLS_TAG("#EXT-X-KEY", tag_key),
    HLS_TAG("#EXT-X-GAP", tag_gap),
    HLS_TAG("#EXT-X-BITRATE", tag_bitrate),
    HLS_TAG("#EXT-X-TARGETDURATION", tag_target_duration),
    HLS_TAG("#EXT-X-MEDIA-SEQUENCE", tag_media_sequence),
    HLS_TAG("#EXT-X-DISCONTINUITY-SEQUENCE", tag_discontinuity_sequence),
    HLS_TAG("#EXT-X-PLAYLIST-TYPE", tag_playlist_type),
    HLS_TAG("#EXT-X-ENDLIST", tag_endlist),
    HLS_TAG("#EXT-X-I-FRAMES-ONLY", tag_i_frames_only),
    HLS_TAG("#EXT-X-PART-INF", tag_part_inf),
    HLS_TAG("#EXT-X-SERVER-CONTROL", tag_server_control),
    HLS_TAG("#EXT-X-SKIP", tag_skip),
    HLS_TAG("#EXT-X-PRELOAD-HINT", tag_preload_hint),
    HLS_TAG("#EXT-X-RENDITION-REPORT", tag_rendition_report),
    HLS_TAGS_END,
};
