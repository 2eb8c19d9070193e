/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what stands behind a channel's URL. A channel has a handful of renditions: they are walked.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "channel_load.h"

struct channel {
    char *name;
    char *source;      /* relative to the root */
    const char *entry; /* its last component: the multivariant's own name */
    struct live_vod vod;
};

static bool is_name(const char *name)
{
    size_t size = strlen(name);

    return size > 0 && size <= CHANNEL_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == size;
}

int channel_open(const struct directory *root, const struct channel_options *options, struct buf *error,
                 struct channel **ret_channel)
{
    struct channel *c = calloc(1, sizeof(*c));
    int status = -EINVAL;

    if (c == NULL)
        return -ENOMEM;
    c->name = strdup(options->name);
    c->source = strdup(options->source);
    if (c->name == NULL || c->source == NULL)
        status = -ENOMEM;
    else if (!is_name(options->name))
        buf_printf(error, "'%s' is no name for a channel: letters, digits, '-' and '_'", options->name);
    else
        status = channel_load(root, options, error, &c->vod);
    if (status < 0) {
        channel_close(c);
        return status;
    }
    c->entry = strrchr(c->source, '/') != NULL ? strrchr(c->source, '/') + 1 : c->source;
    *ret_channel = c;
    return 0;
}

void channel_close(struct channel *c)
{
    if (c == NULL)
        return;
    channel_unload(&c->vod);
    free(c->name);
    free(c->source);
    free(c);
}

const char *channel_name(const struct channel *c)
{
    return c->name;
}

const struct live_vod *channel_vod(const struct channel *c)
{
    return &c->vod;
}

/* "v0/index-17.ts" of the rendition "v0/index.m3u8": its number. False when it is none, or written in another
 * way than the playlist does. */
static bool parse_segment(const struct live_rendition *r, struct slice path, uint64_t *ret_msn)
{
    struct slice stem = slice_of(r->path), extension = slice_of(r->extension), number;

    if (slice_ends_with(stem, SLICE_LITERAL(".m3u8")))
        stem.size -= sizeof(".m3u8") - 1;
    if (path.size <= stem.size + 1 + extension.size || !slice_starts_with(path, stem) ||
        path.data[stem.size] != '-' || !slice_ends_with(path, extension))
        return false;
    number = slice_skip(path, stem.size + 1);
    number.size -= extension.size;
    return slice_to_u64(number, ret_msn) && (number.size == 1 || number.data[0] != '0');
}

static struct channel_resource find_segment(const struct channel *c, const struct live_rendition *r,
                                            uint64_t msn, int64_t now_ms)
{
    static const enum channel_kind kinds[] = {
        [LIVE_THERE] = CHANNEL_SEGMENT, [LIVE_NOT_YET] = CHANNEL_NOT_YET, [LIVE_GONE] = CHANNEL_GONE};
    const struct live_segment *segment = live_segment_of(&c->vod, r, msn);

    return (struct channel_resource){.kind = kinds[live_segment_presence(&c->vod, msn, now_ms)],
                                     .path = segment->path,
                                     .range = segment->range,
                                     .rendition = r};
}

/* The file that a rendition's maps name so; NULL for none. A map's path begins with the VOD's folder. */
static const char *find_map(const struct channel *c, const struct live_rendition *r, const char *path)
{
    size_t folder_size = (size_t)(c->entry - c->source);

    for (size_t i = 0; i < r->map_count; i++)
        if (strcmp(r->maps[i].path + folder_size, path) == 0)
            return r->maps[i].path;
    return NULL;
}

static struct channel_resource find_in(const struct channel *c, const struct live_rendition *r,
                                       const char *path, int64_t now_ms)
{
    const char *map = find_map(c, r, path);
    uint64_t msn;

    if (strcmp(path, r->path) == 0)
        return (struct channel_resource){.kind = CHANNEL_PLAYLIST, .rendition = r};
    if (map != NULL)
        return (struct channel_resource){.kind = CHANNEL_MAP, .path = map, .rendition = r};
    if (parse_segment(r, slice_of(path), &msn))
        return find_segment(c, r, msn, now_ms);
    return (struct channel_resource){.kind = CHANNEL_NOT_FOUND};
}

struct channel_resource channel_find(const struct channel *c, const char *path, int64_t now_ms)
{
    struct channel_resource found = {.kind = CHANNEL_NOT_FOUND};

    for (size_t i = 0; i < c->vod.rendition_count && found.kind == CHANNEL_NOT_FOUND; i++)
        found = find_in(c, &c->vod.renditions[i], path, now_ms);
    if (found.kind == CHANNEL_NOT_FOUND && (strcmp(path, c->entry) == 0 || strcmp(path, "master.m3u8") == 0))
        found = (struct channel_resource){.kind = CHANNEL_MULTIVARIANT, .path = c->source};
    return found;
}
