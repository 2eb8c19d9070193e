/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reading of a playlist, shared by the files that know its tags: what has been seen so far, the text
 * behind variables, and the reading of attribute lists by a table of what is wanted. Lives on the stack of
 * hls_playlist_parse.
 */
#ifndef HLS_READER_H
#define HLS_READER_H

#include "hls/playlist.h"

#define HLS_EXPANDED_SIZE_MAX 8192 /* of one event's strings with variables in them */

/* Where strings stand whose variables have been put in. */
struct hls_expanded {
    size_t size;
    char text[HLS_EXPANDED_SIZE_MAX];
};

struct hls_variable {
    struct slice name, value;
};

/* A range without an offset follows the one before it, in the same resource. */
struct hls_range_end {
    struct slice uri; /* as written; data NULL when the one before had no range */
    uint64_t end;
};

struct hls_reader {
    const struct hls_playlist_events *events;
    void *user;
    struct hls_playlist summary;
    unsigned line;
    bool has_media_tags, has_multivariant_tags, has_target_duration;

    bool has_variant; /* an EXT-X-STREAM-INF waits for its URI */
    struct hls_variant variant;

    bool has_extinf; /* a segment waits for its URI, with what the tags before it say */
    struct hls_segment segment;
    struct hls_range_end segment_end, part_end;
    struct hls_map map; /* in force */
    uint64_t bitrate_kbps;
    uint64_t discontinuity_count, part_count; /* parts of the segment to come */

    bool has_defines;
    size_t variable_count;
    struct hls_variable variables[HLS_VARIABLES_MAX];
    size_t expand_budget; /* bytes that may still be written by expansion: keeps a playlist of nothing but
                             variables linear */
    bool is_unresolved;   /* the event at hand has a string that could not be expanded: it is not given */
    struct hls_expanded expanded, map_expanded;
};

typedef enum hls_error_code hls_tag_fn(struct hls_reader *r, struct slice value);

struct hls_tag {
    struct slice name; /* with its '#'; the table ends with an empty one */
    hls_tag_fn *read;
};

#define HLS_TAG(text, fn)            \
    {                                \
        {text, sizeof(text) - 1}, fn \
    }
#define HLS_TAGS_END    \
    {                   \
        {NULL, 0}, NULL \
    }

extern const struct hls_tag hls_media_tags[];
extern const struct hls_tag hls_multivariant_tags[];

/* A line that is a URI. */
enum hls_error_code hls_media_uri(struct hls_reader *r, struct slice uri);
enum hls_error_code hls_multivariant_uri(struct hls_reader *r, struct slice uri);

/* EXT-X-KEY and EXT-X-SESSION-KEY. */
enum hls_error_code hls_reader_key(struct hls_reader *r, struct slice value, bool session);

enum hls_wanted_type {
    HLS_WANTED_TEXT, /* struct slice, variables put in */
    HLS_WANTED_RAW,  /* struct slice, as written */
    HLS_WANTED_U64,
    HLS_WANTED_US,    /* int64_t */
    HLS_WANTED_MS,    /* int64_t */
    HLS_WANTED_YES,   /* bool */
    HLS_WANTED_RANGE, /* struct hls_byterange */
};

struct hls_wanted {
    struct slice name;
    enum hls_wanted_type type;
    bool required;
    void *target;
};

#define HLS_REQUIRED(name, type, target)                          \
    {                                                             \
        {name, sizeof(name) - 1}, HLS_WANTED_##type, true, target \
    }
#define HLS_OPTIONAL(name, type, target)                           \
    {                                                              \
        {name, sizeof(name) - 1}, HLS_WANTED_##type, false, target \
    }

/* Reads what is wanted (at most 32) of an attribute list. Optional attributes with a bad value are as absent.
 */
enum hls_error_code hls_reader_attributes(struct hls_reader *r, struct slice list,
                                          const struct hls_wanted *wanted, size_t count);

enum hls_error_code hls_reader_define(struct hls_reader *r, struct slice value); /* EXT-X-DEFINE */

/* Puts variables in; what cannot be resolved stays as it is and marks the event. Valid until `into` is
 * reused. */
struct slice hls_reader_expand(struct hls_reader *r, struct slice text, struct hls_expanded *into);

#endif
