/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a playlist line by line: what a line is, which tag it has, and what the playlist as a whole turns
 * out to be. What the tags mean is in media.c and multivariant.c.
 */
#include "hls/playlist.h"

#include "reader.h"

const char *hls_error_text(enum hls_error_code code)
{
    static const char *const texts[] = {
#define E(name, text) [HLS_ERROR_##name] = (text),
        HLS_ERRORS(E)
#undef E
    };
    return texts[code];
}

static enum hls_error_code tag_version(struct hls_reader *r, struct slice value)
{
    uint64_t version;

    if (!slice_to_u64(slice_trim(value), &version) || version > UINT16_MAX)
        return HLS_ERROR_BAD_VALUE;
    r->summary.version = (unsigned)version;
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_independent_segments(struct hls_reader *r, struct slice value)
{
    (void)value;
    r->summary.independent_segments = true;
    return HLS_ERROR_OK;
}

static const struct hls_tag common_tags[] = {
    HLS_TAG("#EXT-X-VERSION", tag_version),
    HLS_TAG("#EXT-X-INDEPENDENT-SEGMENTS", tag_independent_segments),
    HLS_TAG("#EXT-X-DEFINE", hls_reader_define),
    HLS_TAGS_END,
};

static hls_tag_fn *find_tag(const struct hls_tag *tags, struct slice name)
{
    while (tags->read && !slice_equal(tags->name, name))
        tags++;
    return tags->read;
}

static enum hls_error_code read_tag(struct hls_reader *r, struct slice line)
{
    size_t colon = slice_find(line, ':');
    struct slice name = slice_make(line.data, colon), value = slice_skip(line, colon + 1);
    hls_tag_fn *read;

    if ((read = find_tag(hls_media_tags, name)))
        r->has_media_tags = true;
    else if ((read = find_tag(hls_multivariant_tags, name)))
        r->has_multivariant_tags = true;
    else
        read = find_tag(common_tags, name);
    if (r->has_media_tags && r->has_multivariant_tags)
        return HLS_ERROR_MIXED;
    return read ? read(r, value) : HLS_ERROR_OK;
}

static enum hls_error_code read_line(struct hls_reader *r, struct slice line)
{
    if (!r->has_variant) { /* whose strings are needed until its URI */
        r->expanded.size = 0;
        r->is_unresolved = false;
    }
    if (line.size == 0)
        return HLS_ERROR_OK;
    if (line.data[0] != '#')
        return r->has_variant ? hls_multivariant_uri(r, line) : hls_media_uri(r, line);
    return slice_starts_with(line, SLICE_LITERAL("#EXT")) ? read_tag(r, line) : HLS_ERROR_OK;
}

/* Some write more behind it. */
static enum hls_error_code read_first_line(struct slice line)
{
    struct slice header = SLICE_LITERAL("#EXTM3U");

    if (!slice_starts_with(line, header))
        return HLS_ERROR_NOT_PLAYLIST;
    return line.size == header.size || line.data[header.size] == ' ' || line.data[header.size] == '\t'
               ? HLS_ERROR_OK
               : HLS_ERROR_NOT_PLAYLIST;
}

/* Without its CR and the blanks around it. */
static struct slice trim_line(struct slice line)
{
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    return slice_trim(line);
}

static enum hls_error_code read_lines(struct hls_reader *r, struct slice text)
{
    enum hls_error_code code = HLS_ERROR_OK;
    struct slice line;

    if (slice_starts_with(text, SLICE_LITERAL("\xef\xbb\xbf")))
        text = slice_skip(text, 3);
    if (text.size == 0)
        return HLS_ERROR_NOT_PLAYLIST;
    while (code == HLS_ERROR_OK && slice_split(&text, '\n', &line)) {
        r->line++;
        if (line.size > HLS_LINE_SIZE_MAX)
            return HLS_ERROR_LINE_TOO_LONG;
        line = trim_line(line);
        code = r->line == 1 ? read_first_line(line) : read_line(r, line);
    }
    return code;
}

/* What only the end shows. */
static enum hls_error_code finish(struct hls_reader *r)
{
    struct hls_playlist *p = &r->summary;

    p->kind = r->has_multivariant_tags ? HLS_MULTIVARIANT : HLS_MEDIA;
    if (p->kind == HLS_MULTIVARIANT)
        return HLS_ERROR_OK;
    p->next_msn = p->media_sequence + p->skipped_count + p->segment_count;
    p->next_part = r->part_count;
    return r->has_target_duration ? HLS_ERROR_OK : HLS_ERROR_NO_TARGET_DURATION;
}

bool hls_playlist_parse(struct slice text, const struct hls_playlist_events *events, void *user,
                        struct hls_playlist *ret_summary, struct hls_error *ret_error)
{
    static const struct hls_playlist_events no_events;
    struct hls_reader r;
    enum hls_error_code code;

    /* Not the expanded text: clearing that would cost more than reading a short playlist. */
    memset(&r, 0, offsetof(struct hls_reader, expanded));
    r.expanded.size = r.map_expanded.size = 0;
    r.events = events ? events : &no_events;
    r.user = user;
    r.summary.version = 1;
    r.expand_budget = HLS_PLAYLIST_SIZE_MAX;

    code = text.size > HLS_PLAYLIST_SIZE_MAX ? HLS_ERROR_TOO_LARGE : read_lines(&r, text);
    if (code == HLS_ERROR_OK)
        code = finish(&r);
    if (code != HLS_ERROR_OK) {
        *ret_error = (struct hls_error){code, r.line > 0 ? r.line : 1};
        return false;
    }
    *ret_summary = r.summary;
    return true;
}

int64_t hls_playlist_ttl_ms(const struct hls_playlist *playlist, int64_t settled_ms)
{
    int64_t step_ms = playlist->target_duration_ms;

    if (playlist->kind == HLS_MULTIVARIANT || playlist->endlist)
        return settled_ms;
    if (playlist->part_target_ms > 0 && playlist->part_target_ms < step_ms)
        step_ms = playlist->part_target_ms;
    return step_ms / 2;
}
