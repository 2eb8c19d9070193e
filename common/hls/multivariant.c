/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tags of multivariant playlists (RFC 8216bis section 4.4.6).
 */
#include "base/check.h"
#include "reader.h"

static enum hls_error_code read_variant(struct hls_reader *r, struct slice value, struct hls_variant *v,
                                        bool uri_required)
{
    struct slice resolution = {0};
    const struct hls_wanted wanted[] = {
        {SLICE_LITERAL("URI"), HLS_WANTED_TEXT, uri_required, &v->uri},
        HLS_OPTIONAL("BANDWIDTH", U64, &v->bandwidth),
        HLS_OPTIONAL("AVERAGE-BANDWIDTH", U64, &v->average_bandwidth),
        HLS_OPTIONAL("RESOLUTION", RAW, &resolution),
        HLS_OPTIONAL("CODECS", TEXT, &v->codecs),
        HLS_OPTIONAL("AUDIO", TEXT, &v->audio),
        HLS_OPTIONAL("VIDEO", TEXT, &v->video),
        HLS_OPTIONAL("SUBTITLES", TEXT, &v->subtitles),
        HLS_OPTIONAL("CLOSED-CAPTIONS", TEXT, &v->closed_captions),
        HLS_OPTIONAL("PATHWAY-ID", TEXT, &v->pathway_id),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (resolution.data)
        hls_parse_resolution(resolution, &v->width, &v->height);
    return code;
}

static void give_variant(struct hls_reader *r, const struct hls_variant *v)
{
    if (!r->is_unresolved && r->events->on_variant)
        r->events->on_variant(r->user, v);
}

static enum hls_error_code tag_stream_inf(struct hls_reader *r, struct slice value)
{
    enum hls_error_code code;

    r->variant = (struct hls_variant){0};
    code = read_variant(r, value, &r->variant, false);
    r->has_variant = code == HLS_ERROR_OK;
    return code;
}

enum hls_error_code hls_multivariant_uri(struct hls_reader *r, struct slice uri)
{
    r->variant.uri = hls_reader_expand(r, uri, &r->expanded);
    r->summary.variant_count++;
    r->has_variant = false;
    give_variant(r, &r->variant);
    return HLS_ERROR_OK;
}

static enum hls_error_code tag_i_frame_stream_inf(struct hls_reader *r, struct slice value)
{
    struct hls_variant v = {.iframes = true};
    enum hls_error_code code = read_variant(r, value, &v, true);

    if (code == HLS_ERROR_OK)
        give_variant(r, &v);
    return code;
}

static enum hls_error_code tag_media(struct hls_reader *r, struct slice value)
{
    struct hls_rendition m = {0};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("TYPE", RAW, &m.type),          HLS_OPTIONAL("URI", TEXT, &m.uri),
        HLS_OPTIONAL("GROUP-ID", TEXT, &m.group_id), HLS_OPTIONAL("NAME", TEXT, &m.name),
        HLS_OPTIONAL("LANGUAGE", TEXT, &m.language), HLS_OPTIONAL("DEFAULT", YES, &m.is_default),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code == HLS_ERROR_OK && !r->is_unresolved && r->events->on_rendition)
        r->events->on_rendition(r->user, &m);
    return code;
}

static enum hls_error_code tag_session_data(struct hls_reader *r, struct slice value)
{
    struct hls_session_data d = {0};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("DATA-ID", TEXT, &d.data_id),
        HLS_OPTIONAL("URI", TEXT, &d.uri),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code == HLS_ERROR_OK && !r->is_unresolved && r->events->on_session_data)
        r->events->on_session_data(r->user, &d);
    return code;
}

static enum hls_error_code tag_session_key(struct hls_reader *r, struct slice value)
{
    return hls_reader_key(r, value, true);
}

static enum hls_error_code tag_content_steering(struct hls_reader *r, struct slice value)
{
    struct hls_steering s = {0};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("SERVER-URI", TEXT, &s.server_uri),
        HLS_OPTIONAL("PATHWAY-ID", TEXT, &s.pathway_id),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code == HLS_ERROR_OK && !r->is_unresolved && r->events->on_steering)
        r->events->on_steering(r->user, &s);
    return code;
}

const struct hls_tag hls_multivariant_tags[] = {
    HLS_TAG("#EXT-X-STREAM-INF", tag_stream_inf),
    HLS_TAG("#EXT-X-MEDIA", tag_media),
    HLS_TAG("#EXT-X-I-FRAME-STREAM-INF", tag_i_frame_stream_inf),
    HLS_TAG("#EXT-X-SESSION-DATA", tag_session_data),
    HLS_TAG("#EXT-X-SESSION-KEY", tag_session_key),
    HLS_TAG("#EXT-X-CONTENT-STEERING", tag_content_steering),
    HLS_TAGS_END,
};
