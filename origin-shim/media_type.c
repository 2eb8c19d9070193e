/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of file name extensions. It names what packagers and player pages are made of, no more.
 */
#include "media_type.h"

#include "base/check.h"

static const struct {
    const char *extension;
    struct media_type type;
} types[] = {
    {"m3u8", {"application/vnd.apple.mpegurl", MEDIA_OTHER, true}},
    {"mpd", {"application/dash+xml", MEDIA_OTHER, false}},
    {"ts", {"video/mp2t", MEDIA_SEGMENT, false}},
    {"m4s", {"video/iso.segment", MEDIA_SEGMENT, false}},
    {"cmfv", {"video/mp4", MEDIA_SEGMENT, false}},
    {"cmfa", {"audio/mp4", MEDIA_SEGMENT, false}},
    {"aac", {"audio/aac", MEDIA_SEGMENT, false}},
    {"mp4", {"video/mp4", MEDIA_OTHER, false}},
    {"m4v", {"video/mp4", MEDIA_OTHER, false}},
    {"m4a", {"audio/mp4", MEDIA_OTHER, false}},
    {"mp3", {"audio/mpeg", MEDIA_OTHER, false}},
    {"webm", {"video/webm", MEDIA_OTHER, false}},
    {"vtt", {"text/vtt; charset=utf-8", MEDIA_OTHER, false}},
    {"key", {"application/octet-stream", MEDIA_OTHER, false}},
    {"jpg", {"image/jpeg", MEDIA_OTHER, false}},
    {"jpeg", {"image/jpeg", MEDIA_OTHER, false}},
    {"png", {"image/png", MEDIA_OTHER, false}},
    {"webp", {"image/webp", MEDIA_OTHER, false}},
    {"svg", {"image/svg+xml", MEDIA_OTHER, false}},
    {"ico", {"image/x-icon", MEDIA_OTHER, false}},
    {"html", {"text/html; charset=utf-8", MEDIA_OTHER, false}},
    {"css", {"text/css; charset=utf-8", MEDIA_OTHER, false}},
    {"js", {"text/javascript; charset=utf-8", MEDIA_OTHER, false}},
    {"mjs", {"text/javascript; charset=utf-8", MEDIA_OTHER, false}},
    {"json", {"application/json", MEDIA_OTHER, false}},
    {"map", {"application/json", MEDIA_OTHER, false}},
    {"xml", {"application/xml", MEDIA_OTHER, false}},
    {"txt", {"text/plain; charset=utf-8", MEDIA_OTHER, false}},
    {"wasm", {"application/wasm", MEDIA_OTHER, false}},
};

const char *media_class_name(enum media_class c)
{
    static const char *const names[] = {
#define C(name, word, cache_control) word,
        MEDIA_CLASSES(C)
#undef C
    };
    return names[c];
}

const char *media_class_cache_control(enum media_class c)
{
    static const char *const values[] = {
#define C(name, word, cache_control) cache_control,
        MEDIA_CLASSES(C)
#undef C
    };
    return values[c];
}

static size_t find_last(struct slice text, char c)
{
    for (size_t i = text.size; i > 0; i--)
        if (text.data[i - 1] == c)
            return i - 1;
    return text.size;
}

static struct slice base_name(struct slice path)
{
    size_t slash = find_last(path, '/');
    return slash == path.size ? path : slice_skip(path, slash + 1);
}

struct media_type media_type_of(struct slice path)
{
    struct slice name = base_name(path);
    struct slice extension = slice_skip(name, find_last(name, '.') + 1);
    struct media_type type = {"application/octet-stream", MEDIA_OTHER, false};

    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (slice_equal_nocase(extension, slice_of(types[i].extension)))
            type = types[i].type;
    /* A whole film may be an .mp4 too, and be replaced one day: only what packagers call an init segment is
     * one. */
    if (slice_equal_nocase(extension, SLICE_LITERAL("mp4")) && slice_starts_with(name, SLICE_LITERAL("init")))
        type.media_class = MEDIA_INIT;
    return type;
}
