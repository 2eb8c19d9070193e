/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file is, by its name: its media type, and its class, from which follows how long it may be kept.
 */
#ifndef MEDIA_TYPE_H
#define MEDIA_TYPE_H

#include "base/slice.h"

/* Name, word in the configuration, Cache-Control unless that says otherwise ("": none is sent). A live
 * playlist's is computed from its target duration. Files of which nothing is known carry none: whoever caches
 * them goes by their Last-Modified. */
#define MEDIA_CLASSES(C)                                            \
    C(LIVE_PLAYLIST, "live_playlist", "")                           \
    C(SETTLED_PLAYLIST, "settled_playlist", "public, max-age=3600") \
    C(SEGMENT, "segment", "public, max-age=31536000, immutable")    \
    C(INIT, "init", "public, max-age=31536000, immutable")          \
    C(OTHER, "other", "")

/* A playlist is LIVE or SETTLED (ended, or multivariant) by its content; by its name it is OTHER. */
enum media_class {
#define C(name, word, cache_control) MEDIA_##name,
    MEDIA_CLASSES(C)
#undef C
        MEDIA_CLASS_COUNT
};

const char *media_class_name(enum media_class c);
const char *media_class_cache_control(enum media_class c);

struct media_type {
    const char *name; /* "video/mp2t" */
    enum media_class media_class;
    bool is_playlist; /* HLS: its class stands in its content */
};

/* `path`: of a file, decoded. Never fails: what is not known is application/octet-stream. */
struct media_type media_type_of(struct slice path);

#endif
