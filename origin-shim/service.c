/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request is answered in one go: nothing here waits. Files are opened anew for each, so that what is
 * replaced in the root is seen at once and whole.
 */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "path.h"
#include "reply.h"

/* `ttl_ms`: how long a live playlist is fresh. */
static void set_cache_control(const struct service *s, struct representation *r, enum media_class c,
                              int64_t ttl_ms)
{
    const char *wanted = s->cache_control[c], *usual = media_class_cache_control(c);

    if (wanted != NULL)
        snprintf(r->cache_control, sizeof(r->cache_control), "%s", wanted);
    else if (c == MEDIA_LIVE_PLAYLIST) /* whole seconds; 0 would send every viewer's request to the origin */
        snprintf(r->cache_control, sizeof(r->cache_control), "public, max-age=%lld",
                 (long long)(ttl_ms < 1000 ? 1 : ttl_ms / 1000));
    else
        snprintf(r->cache_control, sizeof(r->cache_control), "%s", usual);
}

/* --- files --------------------------------------------------------------------------------------------- */

static enum reply_error error_of(int status)
{
    switch (status) {
    case -ENOENT:
    case -EACCES: return REPLY_NOT_FOUND;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM: return REPLY_OVERLOADED;
    default: return REPLY_UNREADABLE;
    }
}

/* Strong as long as whoever writes into the root replaces files, or at least changes their times. */
static uint64_t file_etag(const struct directory_file *file, struct hls_byterange range)
{
    uint64_t identity[] = {file->inode, file->size_bytes, (uint64_t)file->modified_ns,
                           range.present ? range.offset : 0, range.present ? range.length : 0};

    return hash_sum(identity, sizeof(identity));
}

/* The class of a playlist stands in its content. One that cannot be parsed is a file like any other. */
static enum media_class playlist_class(const struct directory_file *file, int64_t *ret_ttl_ms)
{
    static const struct hls_playlist_events no_events = {0};
    struct hls_playlist playlist;
    struct hls_error error;
    enum media_class media_class = MEDIA_OTHER;
    struct buf text;

    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    if (directory_file_read(file, &text) == 0 &&
        hls_playlist_parse(buf_slice(&text), &no_events, NULL, &playlist, &error)) {
        bool is_live = playlist.kind == HLS_MEDIA && !playlist.endlist;
        media_class = is_live ? MEDIA_LIVE_PLAYLIST : MEDIA_SETTLED_PLAYLIST;
        *ret_ttl_ms = hls_playlist_ttl_ms(&playlist, 0);
    }
    buf_fini(&text);
    return media_class;
}

static bool is_beyond(struct hls_byterange range, uint64_t size_bytes)
{
    return range.present && (range.offset > size_bytes || range.length > size_bytes - range.offset);
}

/* `range`: what of the file is the resource. */
static void reply_part(const struct service *s, struct exchange *x, const char *path,
                       struct hls_byterange range, enum media_class media_class)
{
    struct media_type type = media_type_of(slice_of(path));
    struct representation r = {.media_type = type.name};
    struct directory_file file;
    int64_t ttl_ms = 0;
    int status = directory_file_open(s->root, path, &file);

    if (status == 0 && is_beyond(range, file.size_bytes)) {
        close(file.fd);
        status = -EIO;
    }
    if (status < 0) {
        reply_error(x, error_of(status));
        return;
    }
    if (type.is_playlist)
        media_class = playlist_class(&file, &ttl_ms);
    set_cache_control(s, &r, media_class, ttl_ms);
    r.etag = file_etag(&file, range);
    r.modified_s = file.modified_ns / 1000000000;
    r.fd = file.fd;
    r.offset_bytes = range.present ? range.offset : 0;
    r.size_bytes = range.present ? range.length : file.size_bytes;
    reply_representation(x, &r);
}

static void reply_file(const struct service *s, struct exchange *x, const char *path)
{
    static const struct hls_byterange all = {.present = false};

    reply_part(s, x, path, all, media_type_of(slice_of(path)).media_class);
}

/* --- live channels ------------------------------------------------------------------------------------- */

static void reply_live_playlist(const struct service *s, struct exchange *x, const struct live_vod *vod,
                                const struct live_rendition *rendition)
{
    int64_t now_ms = loop_wall_ms(x->loop);
    struct representation r = {.media_type = media_type_of(SLICE_LITERAL(".m3u8")).name, .fd = -1};
    struct buf text;

    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    if (live_playlist(vod, rendition, now_ms, &text)) {
        set_cache_control(s, &r, MEDIA_LIVE_PLAYLIST, vod->target_duration_ms / 2);
        r.etag = hash_sum(text.data, text.size);
        r.modified_s = live_updated_ms(vod, live_window_at(vod, now_ms)) / 1000;
        r.body = buf_slice(&text);
        r.size_bytes = text.size;
        reply_representation(x, &r);
    } else {
        reply_error(x, REPLY_OVERLOADED);
    }
    buf_fini(&text);
}

static void reply_channel(const struct service *s, struct exchange *x, const struct channel *c,
                          const char *path)
{
    struct channel_resource found = channel_find(c, path, loop_wall_ms(x->loop));

    switch (found.kind) {
    case CHANNEL_MULTIVARIANT: reply_file(s, x, found.path); break;
    case CHANNEL_MAP: reply_part(s, x, found.path, found.range, MEDIA_INIT); break;
    case CHANNEL_SEGMENT: reply_part(s, x, found.path, found.range, MEDIA_SEGMENT); break;
    case CHANNEL_PLAYLIST: reply_live_playlist(s, x, channel_vod(c), found.rendition); break;
    case CHANNEL_NOT_FOUND: reply_error(x, REPLY_NOT_FOUND); break;
    case CHANNEL_NOT_YET: reply_error(x, REPLY_SEGMENT_NOT_YET); break;
    case CHANNEL_GONE: reply_error(x, REPLY_SEGMENT_GONE); break;
    }
}

/* `path` stands behind "live/". */
static void reply_live(const struct service *s, struct exchange *x, const char *path)
{
    size_t name_size = slice_find(slice_of(path), '/');

    for (size_t i = 0; i < s->channel_count; i++) {
        const char *name = channel_name(s->channels[i]);
        if (slice_equal(slice_of(name), slice_make(path, name_size)) && path[name_size] == '/') {
            reply_channel(s, x, s->channels[i], path + name_size + 1);
            return;
        }
    }
    reply_error(x, REPLY_NO_CHANNEL);
}

/* -------------------------------------------------------------------------------------------------------- */

static void reply_path(const struct service *s, struct exchange *x)
{
    struct slice prefix = SLICE_LITERAL(CHANNEL_PREFIX);
    char path[PATH_SIZE_MAX];

    switch (path_from_target(x->request->target, path)) {
    case PATH_BAD: reply_error(x, REPLY_BAD_TARGET); break;
    case PATH_NONE: reply_error(x, REPLY_NOT_FOUND); break;
    case PATH_OK:
        if (s->channel_count > 0 && slice_starts_with(slice_of(path), prefix))
            reply_live(s, x, path + prefix.size);
        else
            reply_file(s, x, path);
        break;
    }
}

void service_handle(struct exchange *x, void *service)
{
    switch (x->request->method) {
    case HTTP_GET:
    case HTTP_HEAD: reply_path(service, x); break;
    case HTTP_OPTIONS: reply_options(x); break;
    default: reply_error(x, REPLY_METHOD); break;
    }
}
