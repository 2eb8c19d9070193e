/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a playlist lists: variants, renditions, segments, parts and the rest, one struct for each kind of
 * event that reading gives. Strings are slices with data NULL when absent; URIs are as written (see
 * uri_resolve) but for variables, which are put in.
 */
#ifndef HLS_ITEMS_H
#define HLS_ITEMS_H

#include "hls/attributes.h"

#define HLS_LENGTH_OPEN UINT64_MAX /* of a hint's range: to the end of the resource */

struct hls_variant {
    bool iframes; /* EXT-X-I-FRAME-STREAM-INF */
    struct slice uri;
    uint64_t bandwidth, average_bandwidth; /* bits per second, 0 when absent */
    uint32_t width, height;                /* 0 when absent */
    struct slice codecs, audio, video, subtitles, closed_captions, pathway_id; /* data NULL when absent */
};

struct hls_rendition { /* EXT-X-MEDIA */
    struct slice uri;  /* data NULL when the media is in the variant itself */
    struct slice type, group_id, name, language;
    bool is_default;
};

struct hls_map { /* EXT-X-MAP; uri.data NULL for none */
    struct slice uri;
    struct hls_byterange range;
};

struct hls_segment {
    struct slice uri;
    uint64_t msn;
    uint64_t discontinuity_sequence;
    int64_t duration_us;
    int64_t program_date_time_ms;
    uint64_t bitrate_kbps;      /* EXT-X-BITRATE in force, 0 for none */
    struct hls_byterange range; /* offset filled in from the range before when absent */
    struct hls_map map;         /* the one in force */
    bool has_program_date_time, discontinuity, gap;
};

struct hls_part { /* EXT-X-PART */
    struct slice uri;
    uint64_t msn, part; /* the segment that it is part of, and which part from 0 */
    int64_t duration_us;
    struct hls_byterange range;
    bool independent, gap;
};

struct hls_key { /* EXT-X-KEY and EXT-X-SESSION-KEY */
    bool session;
    struct slice method, uri, keyformat; /* uri.data NULL for METHOD=NONE */
    bool has_iv;
    uint8_t iv[16];
};

struct hls_hint { /* EXT-X-PRELOAD-HINT */
    struct slice type, uri;
    struct hls_byterange range; /* length HLS_LENGTH_OPEN: to the end of the resource */
};

struct hls_report { /* EXT-X-RENDITION-REPORT */
    struct slice uri;
    bool has_last_part;
    uint64_t last_msn, last_part;
};

struct hls_steering { /* EXT-X-CONTENT-STEERING */
    struct slice server_uri, pathway_id;
};

struct hls_session_data {
    struct slice data_id, uri; /* uri.data NULL when the value stands in the playlist */
};

#endif
