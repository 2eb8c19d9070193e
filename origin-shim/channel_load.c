/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading goes in two steps: the multivariant playlist names the renditions, then each of them is read. The
 * first fault is kept as a sentence, and whatever comes after it is skipped. References are resolved as a
 * player of the channel would, below "/live/NAME/"; what then stands behind that prefix stands behind the
 * folder of the VOD too.
 */
#include "channel_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "http/uri.h"
#include "path.h"
#include "text.h"

#define SEGMENTS_MAX   100000 /* of a rendition */
#define EXTENSION_MAX  8      /* with its dot */
#define FAULT_SIZE_MAX 512

struct loading {
    const struct directory *root;
    struct slice folder; /* of the source, "" or with a slash behind it */
    struct live_vod *vod;
    struct buf *error; /* empty: no fault so far */

    /* of the playlist being read */
    const char *path; /* relative to the channel */
    struct live_rendition *rendition;
};

static void fault(struct loading *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct loading *l, const char *format, ...)
{
    char sentence[FAULT_SIZE_MAX];
    va_list args;

    if (l->error->size > 0)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    buf_printf(l->error, "%.*s%s: %s", SLICE_ARG(l->folder), l->path, sentence);
}

static bool is_faulty(const struct loading *l)
{
    return l->error->size > 0;
}

/* Makes room for one more element of an array that grows by doubling; NULL when memory is out. */
static void *grown(void *array, size_t count, size_t size)
{
    bool is_power_of_two = (count & (count - 1)) == 0;

    return is_power_of_two ? realloc(array, (count == 0 ? 1 : count * 2) * size) : array;
}

/* What a reference in the playlist means, relative to the channel, in both ways of writing: as in a URI, and
 * decoded. False, and a fault, when it leaves the channel. */
static bool resolve(struct loading *l, struct slice reference, struct buf *ret_uri,
                    char ret_path[PATH_SIZE_MAX])
{
    static const char base_folder[] = "/" CHANNEL_PREFIX "x/"; /* any name does */
    struct buf base;
    bool ok;

    buf_init(&base, URI_SIZE_MAX);
    buf_init(ret_uri, URI_SIZE_MAX);
    buf_printf(&base, "%s%s", base_folder, l->path);
    ok = uri_resolve(buf_slice(&base), reference, ret_uri) &&
         slice_starts_with(buf_slice(ret_uri), slice_of(base_folder)) &&
         path_from_target(buf_slice(ret_uri), ret_path) == PATH_OK;
    buf_fini(&base);
    if (ok) {
        size_t prefix = sizeof(base_folder) - 1;
        memmove(ret_path, ret_path + prefix - 1, strlen(ret_path + prefix - 1) + 1);
        buf_consume(ret_uri, prefix);
    } else {
        fault(l, "'%.*s' is not below the folder of the multivariant playlist", SLICE_ARG(reference));
        buf_fini(ret_uri);
    }
    return ok;
}

/* The path of a file relative to the root, on the heap; NULL after a fault. */
static char *file_of(struct loading *l, struct slice reference)
{
    char path[PATH_SIZE_MAX], *file = NULL;
    struct buf uri;

    if (!resolve(l, reference, &uri, path))
        return NULL;
    buf_fini(&uri);
    if (asprintf(&file, "%.*s%s", SLICE_ARG(l->folder), path) < 0) {
        fault(l, "out of memory");
        return NULL;
    }
    return file;
}

/* Reads a playlist of the VOD, given its path relative to the channel. */
static void read_playlist(struct loading *l, const struct hls_playlist_events *events,
                          struct hls_playlist *ret_summary)
{
    struct directory_file file;
    struct hls_error error;
    char path[PATH_SIZE_MAX];
    struct buf text;
    int status;

    snprintf(path, sizeof(path), "%.*s%s", SLICE_ARG(l->folder), l->path);
    status = directory_file_open(l->root, path, &file);
    if (status < 0) {
        fault(l, "%s", strerror(-status));
        return;
    }
    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    status = directory_file_read(&file, &text);
    close(file.fd);
    if (status < 0)
        fault(l, "%s", strerror(-status));
    else if (!hls_playlist_parse(buf_slice(&text), events, l, ret_summary, &error))
        fault(l, "line %u: %s", error.line, hls_error_text(error.code));
    buf_fini(&text);
}

/* --- the multivariant playlist ------------------------------------------------------------------------- */

static bool has_rendition(const struct loading *l, const char *path)
{
    for (size_t i = 0; i < l->vod->rendition_count; i++)
        if (strcmp(l->vod->renditions[i].path, path) == 0)
            return true;
    return false;
}

/* "v0/index.m3u8" as a URI writes it -> "index". */
static char *name_of(struct slice uri)
{
    struct slice name = uri, part;

    while (slice_split(&uri, '/', &part))
        name = part;
    name.size = slice_find(name, '?');
    if (slice_ends_with(name, SLICE_LITERAL(".m3u8")))
        name.size -= sizeof(".m3u8") - 1;
    return text_copy(name);
}

static void add_rendition(struct loading *l, struct slice reference)
{
    struct live_rendition *renditions = NULL, *added;
    char path[PATH_SIZE_MAX];
    struct buf uri;

    if (is_faulty(l) || !resolve(l, reference, &uri, path))
        return;
    if (has_rendition(l, path)) {
        buf_fini(&uri);
        return;
    }
    if (l->vod->rendition_count < CHANNEL_RENDITIONS_MAX)
        renditions = grown(l->vod->renditions, l->vod->rendition_count, sizeof(*renditions));
    if (renditions == NULL) {
        fault(l, "too many renditions");
        buf_fini(&uri);
        return;
    }
    l->vod->renditions = renditions;
    added = &renditions[l->vod->rendition_count++];
    *added = (struct live_rendition){.path = strdup(path), .name = name_of(buf_slice(&uri))};
    if (added->path == NULL || added->name == NULL)
        fault(l, "out of memory");
    buf_fini(&uri);
}

static void on_variant(void *user, const struct hls_variant *variant)
{
    struct loading *l = user;

    if (variant->iframes)
        fault(l, "I-frame playlists cannot be played live");
    else
        add_rendition(l, variant->uri);
}

static void on_rendition(void *user, const struct hls_rendition *rendition)
{
    if (rendition->uri.data != NULL)
        add_rendition(user, rendition->uri);
}

static void on_key(void *user, const struct hls_key *key)
{
    if (key->uri.data != NULL)
        fault(user, "encrypted media cannot be played live");
}

static void load_multivariant(struct loading *l)
{
    static const struct hls_playlist_events events = {
        .on_variant = on_variant, .on_rendition = on_rendition, .on_key = on_key};
    struct hls_playlist summary = {.kind = HLS_MULTIVARIANT};

    read_playlist(l, &events, &summary);
    if (summary.kind != HLS_MULTIVARIANT || l->vod->rendition_count == 0)
        fault(l, "not a multivariant playlist with variants");
}

/* --- the media playlists ------------------------------------------------------------------------------- */

static void on_map(void *user, const struct hls_map *map)
{
    struct loading *l = user;
    struct live_rendition *r = l->rendition;
    struct live_map *maps;

    if (is_faulty(l))
        return;
    maps = grown(r->maps, r->map_count, sizeof(*maps));
    if (maps == NULL) {
        fault(l, "out of memory");
        return;
    }
    r->maps = maps;
    r->maps[r->map_count++] =
        (struct live_map){.uri = text_copy(map->uri), .range = map->range, .path = file_of(l, map->uri)};
    if (r->maps[r->map_count - 1].uri == NULL)
        fault(l, "out of memory");
}

static void on_segment(void *user, const struct hls_segment *segment)
{
    struct loading *l = user;
    struct live_rendition *r = l->rendition;
    struct live_segment *segments;
    size_t before = r->segment_count == 0 ? 0 : r->segments[r->segment_count - 1].discontinuities;

    if (r->segment_count == SEGMENTS_MAX || segment->duration_us <= 0)
        fault(l, "segment %zu: too many segments, or one without duration", r->segment_count);
    if (is_faulty(l))
        return;
    segments = grown(r->segments, r->segment_count, sizeof(*segments));
    if (segments == NULL) {
        fault(l, "out of memory");
        return;
    }
    r->segments = segments;
    r->segments[r->segment_count++] = (struct live_segment){
        .path = file_of(l, segment->uri),
        .range = segment->range,
        .duration_us = segment->duration_us,
        .discontinuities = before == 0 || segment->discontinuity ? before + 1 : before,
        .map = segment->map.uri.data != NULL ? r->map_count : 0,
    };
}

/* ".ts" of "folder/seg.ts": what live URIs end with. "" when it is no plain extension. */
static char *extension_of(const char *path)
{
    const char *dot = path == NULL ? NULL : strrchr(path, '.');
    size_t size = dot == NULL ? 0 : strlen(dot);

    for (size_t i = 1; i < size; i++)
        if ((dot[i] < 'a' || dot[i] > 'z') && (dot[i] < '0' || dot[i] > '9'))
            return strdup("");
    return strdup(size > EXTENSION_MAX || size < 2 ? "" : dot);
}

static void load_rendition(struct loading *l, struct live_rendition *r)
{
    static const struct hls_playlist_events events = {
        .on_segment = on_segment, .on_map = on_map, .on_key = on_key};
    struct hls_playlist summary = {.kind = HLS_MEDIA};

    l->path = r->path;
    l->rendition = r;
    read_playlist(l, &events, &summary);
    if (summary.kind != HLS_MEDIA || summary.iframes_only || r->segment_count == 0)
        fault(l, "not a media playlist with segments");
    if (is_faulty(l))
        return;
    r->version = summary.version < 3 ? 3 : summary.version; /* EXTINF has fractions */
    r->version = r->map_count > 0 && r->version < 6 ? 6 : r->version;
    r->independent_segments = summary.independent_segments;
    r->extension = extension_of(r->segments[0].path);
    if (r->extension == NULL)
        fault(l, "out of memory");
    if (summary.target_duration_ms > l->vod->target_duration_ms)
        l->vod->target_duration_ms = summary.target_duration_ms;
}

/* --- one clock for all --------------------------------------------------------------------------------- */

/* Packagers cut sound and pictures apart, so that one may have a rest of a segment more: it is left out. */
static void set_segment_count(struct loading *l)
{
    size_t least = SEGMENTS_MAX, most = 0;

    for (size_t i = 0; i < l->vod->rendition_count; i++) {
        least = size_min(least, l->vod->renditions[i].segment_count);
        most = size_max(most, l->vod->renditions[i].segment_count);
    }
    l->vod->segment_count = least;
    if (most - least > 1)
        fault(l, "renditions have between %zu and %zu segments: they must be cut alike", least, most);
}

/* The first rendition's. */
static void set_clock(struct loading *l)
{
    const struct live_segment *segments = l->vod->renditions[0].segments;
    struct live_vod *vod = l->vod;

    vod->start_us = calloc(vod->segment_count + 1, sizeof(*vod->start_us));
    if (vod->start_us == NULL) {
        fault(l, "out of memory");
        return;
    }
    for (size_t i = 0; i < vod->segment_count; i++)
        vod->start_us[i + 1] = vod->start_us[i] + segments[i].duration_us;
}

/* The same sequence number must be the same stretch of time everywhere, give or take half a segment. */
static void check_alignment(struct loading *l, const struct live_rendition *r)
{
    int64_t start_us = 0, tolerance_us = l->vod->target_duration_ms * 1000 / 2;

    l->path = r->path;
    for (size_t i = 0; i < l->vod->segment_count; i++) {
        if (llabs(start_us - l->vod->start_us[i]) > tolerance_us)
            fault(l, "segment %zu begins at %.3f s, but at %.3f s in the first rendition", i,
                  (double)start_us / 1e6, (double)l->vod->start_us[i] / 1e6);
        start_us += r->segments[i].duration_us;
    }
}

static void load(struct loading *l)
{
    struct live_vod *vod = l->vod;
    const char *source = l->path;

    load_multivariant(l);
    for (size_t i = 0; i < vod->rendition_count && !is_faulty(l); i++)
        load_rendition(l, &vod->renditions[i]);
    if (is_faulty(l))
        return;
    l->path = source;
    set_segment_count(l);
    if (!is_faulty(l))
        set_clock(l);
    for (size_t i = 0; i < vod->rendition_count && !is_faulty(l); i++)
        check_alignment(l, &vod->renditions[i]);
}

int channel_load(const struct directory *root, const struct channel_options *options, struct buf *error,
                 struct live_vod *ret_vod)
{
    const char *slash = strrchr(options->source, '/');
    const char *name = slash == NULL ? options->source : slash + 1;
    struct live_vod vod = {.window_segments = options->window_segments};
    struct loading l = {
        .root = root,
        .folder = slice_make(options->source, (size_t)(name - options->source)),
        .vod = &vod,
        .error = error,
        .path = name,
    };

    load(&l);
    if (is_faulty(&l)) {
        channel_unload(&vod);
        return -EINVAL;
    }
    *ret_vod = vod;
    return 0;
}

static void unload_rendition(struct live_rendition *r)
{
    for (size_t i = 0; i < r->segment_count; i++)
        free(r->segments[i].path);
    for (size_t i = 0; i < r->map_count; i++) {
        free(r->maps[i].uri);
        free(r->maps[i].path);
    }
    free(r->segments);
    free(r->maps);
    free(r->path);
    free(r->name);
    free(r->extension);
}

void channel_unload(struct live_vod *vod)
{
    for (size_t i = 0; i < vod->rendition_count; i++)
        unload_rendition(&vod->renditions[i]);
    free(vod->renditions);
    free(vod->start_us);
    *vod = (struct live_vod){0};
}
