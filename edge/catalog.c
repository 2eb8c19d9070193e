/* SPDX-License-Identifier: Apache-2.0 */
/* A set-associative table under a few mutexes; the playlist parser fills it. */
#include "catalog.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

#define WAYS   8
#define SHARDS 16

struct slot {
    uint64_t high, low; /* the key's hash; both 0: free */
    uint32_t used;      /* the shard's tick at its last use */
    struct catalog_entry entry;
};

struct shard {
    pthread_mutex_t mutex;
    uint32_t tick;
};

struct catalog {
    struct shard shards[SHARDS];
    struct slot *slots;
    size_t set_mask;
};

struct catalog *catalog_new(size_t entries_max)
{
    struct catalog *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    size_t sets = SHARDS;
    while (sets * WAYS * 2 <= entries_max)
        sets *= 2;
    c->set_mask = sets - 1;
    c->slots = calloc(sets * WAYS, sizeof(*c->slots));
    if (!c->slots) {
        free(c);
        return NULL;
    }
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&c->shards[i].mutex, NULL);
    return c;
}

void catalog_free(struct catalog *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&c->shards[i].mutex);
    free(c->slots);
    free(c);
}

static struct slot *set_of(struct catalog *c, struct hash128 hash, struct shard **ret_shard)
{
    size_t set = hash.low & c->set_mask;
    *ret_shard = &c->shards[set % SHARDS];
    return &c->slots[set * WAYS];
}

static struct slot *find_locked(struct slot *set, struct hash128 hash)
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].low == hash.low && set[i].high == hash.high)
            return &set[i];
    return NULL;
}

static struct slot *oldest(struct slot *set, uint32_t tick)
{
    struct slot *chosen = &set[0];
    for (size_t i = 1; i < WAYS; i++)
        if (tick - set[i].used > tick - chosen->used) /* ticks wrap; differences do not */
            chosen = &set[i];
    return chosen;
}

static void note(struct catalog *c, struct hash128 hash, const struct catalog_entry *entry)
{
    struct shard *shard;
    struct slot *set = set_of(c, hash, &shard);
    pthread_mutex_lock(&shard->mutex);
    struct slot *slot = find_locked(set, hash);
    bool is_new = !slot;
    if (is_new)
        slot = oldest(set, shard->tick);
    /* Seeing a media playlist does not undo that a multivariant one lists it; nor does listing it again undo
     * what its own text has said of its durations. */
    bool stays_listed = !is_new && slot->entry.kind == CATALOG_LISTED_MEDIA && entry->kind == CATALOG_MEDIA;
    struct catalog_entry merged = *entry;
    if (stays_listed)
        merged.kind = CATALOG_LISTED_MEDIA;
    if (!is_new && !merged.bitrate_bits_per_s)
        merged.bitrate_bits_per_s = slot->entry.bitrate_bits_per_s;
    if (!is_new && !merged.target_duration_ms)
        merged.target_duration_ms = slot->entry.target_duration_ms;
    if (!is_new && !merged.title) {
        merged.title = slot->entry.title;
        merged.rendition = slot->entry.rendition;
    }
    if (!is_new && entry->kind == CATALOG_LISTED_MEDIA) { /* what its own text has said */
        merged.is_live = slot->entry.is_live;
        merged.live_first = slot->entry.live_first;
        merged.live_last = slot->entry.live_last;
    }
    *slot = (struct slot){hash.high, hash.low, ++shard->tick, merged};
    pthread_mutex_unlock(&shard->mutex);
}

bool catalog_find(struct catalog *c, struct hash128 key_hash, struct catalog_entry *ret_entry)
{
    struct shard *shard;
    struct slot *set = set_of(c, key_hash, &shard);
    pthread_mutex_lock(&shard->mutex);
    struct slot *slot = find_locked(set, key_hash);
    if (slot) {
        slot->used = ++shard->tick;
        *ret_entry = slot->entry;
    }
    pthread_mutex_unlock(&shard->mutex);
    return slot != NULL;
}

/* ---- learning ---- */

struct lesson {
    struct catalog *catalog;
    catalog_resolve_fn *resolve;
    void *user;
    struct catalog_entry entry; /* of what is listed: what does not depend on which it is */
    uint16_t listed;            /* variants and renditions so far */
    struct slice last_map;      /* the same for thousands of segments */
};

static uint32_t cut_32(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void learn(struct lesson *l, struct slice uri, enum catalog_kind kind, uint64_t bitrate_bits_per_s,
                  uint64_t segment)
{
    struct hash128 hash;
    if (!uri.data || !l->resolve(l->user, uri, &hash))
        return;
    struct catalog_entry entry = l->entry;
    entry.kind = kind;
    entry.bitrate_bits_per_s = cut_32(bitrate_bits_per_s);
    entry.segment = (uint32_t)segment;
    note(l->catalog, hash, &entry);
}

/* Of a multivariant playlist: renditions are told apart by their order, which is alike among titles. */
static void learn_media(struct lesson *l, struct slice uri, uint64_t bitrate_bits_per_s)
{
    l->entry.rendition = ++l->listed;
    learn(l, uri, CATALOG_LISTED_MEDIA, bitrate_bits_per_s, 0);
}

static void on_variant(void *user, const struct hls_variant *v)
{
    learn_media(user, v->uri, v->average_bandwidth ? v->average_bandwidth : v->bandwidth);
}

static void on_rendition(void *user, const struct hls_rendition *r)
{
    learn_media(user, r->uri, 0);
}

static void learn_map(struct lesson *l, const struct hls_map *map)
{
    if (!map->uri.data || (l->last_map.data && slice_equal(l->last_map, map->uri)))
        return;
    l->last_map = map->uri;
    learn(l, map->uri, CATALOG_INIT, 0, 0);
}

static void on_segment(void *user, const struct hls_segment *s)
{
    struct lesson *l = user;
    if (s->map.uri.data && slice_equal(s->map.uri, s->uri)) /* one file, addressed by ranges: it is media */
        l->last_map = s->map.uri;
    learn(l, s->uri, CATALOG_SEGMENT, s->bitrate_kbps ? s->bitrate_kbps * 1000 : l->entry.bitrate_bits_per_s,
          s->msn);
    learn_map(l, &s->map);
}

static void on_part(void *user, const struct hls_part *p)
{
    struct lesson *l = user;
    learn(l, p->uri, CATALOG_PART, l->entry.bitrate_bits_per_s, p->msn);
}

static void on_map(void *user, const struct hls_map *m)
{
    learn_map(user, m);
}

static void on_key(void *user, const struct hls_key *k)
{
    learn(user, k->uri, CATALOG_KEY, 0, 0);
}

/* Of the playlist itself, as far as its own text says. */
static struct catalog_entry own_entry(const struct hls_playlist *p)
{
    struct catalog_entry own = {.kind = p->kind == HLS_MULTIVARIANT ? CATALOG_MULTIVARIANT : CATALOG_MEDIA,
                                .target_duration_ms = (uint32_t)p->target_duration_ms,
                                .is_live = p->kind == HLS_MEDIA && !p->endlist};
    uint64_t first = p->media_sequence, end = first + p->skipped_count + p->segment_count;
    if (own.is_live && end > first) {
        own.live_first = (uint32_t)first;
        own.live_last = (uint32_t)(end - 1);
    }
    return own;
}

bool catalog_learn(struct catalog *c, const struct catalog_source *source, catalog_resolve_fn *resolve,
                   void *user, struct hls_playlist *ret_summary)
{
    static const struct hls_playlist_events none = {0};
    static const struct hls_playlist_events events = {
        .on_variant = on_variant,
        .on_rendition = on_rendition,
        .on_segment = on_segment,
        .on_part = on_part,
        .on_map = on_map,
        .on_key = on_key,
    };
    struct hls_error error;
    if (!hls_playlist_parse(source->text, &none, NULL, ret_summary,
                            &error)) /* only a good playlist teaches */
        return false;
    struct catalog_entry own = own_entry(ret_summary);
    note(c, source->key_hash, &own);
    catalog_find(c, source->key_hash, &own); /* its bitrate and title, from the multivariant playlist */
    if (ret_summary->kind == HLS_MULTIVARIANT)
        own.title = source->key_hash.low ? source->key_hash.low : 1;
    else if (!own.title) {
        own.title = source->title;
        own.rendition = source->rendition;
    }
    own.playlist = source->key_hash;
    struct lesson lesson = {.catalog = c, .resolve = resolve, .user = user, .entry = own};
    return hls_playlist_parse(source->text, &events, &lesson, ret_summary, &error);
}

/* ---- classes ---- */

struct class_by_text {
    const char *text;
    enum content_class content_class;
};

static bool find_suffix(const struct class_by_text *table, size_t count, struct slice text,
                        enum content_class *ret_class)
{
    for (size_t i = 0; i < count; i++) {
        struct slice suffix = slice_of(table[i].text);
        if (text.size >= suffix.size &&
            slice_equal_nocase(slice_skip(text, text.size - suffix.size), suffix)) {
            *ret_class = table[i].content_class;
            return true;
        }
    }
    return false;
}

static const struct class_by_text media_types[] = {
    {"mpegurl", CLASS_PLAYLIST},    {"dash+xml", CLASS_PLAYLIST}, {"video/mp2t", CLASS_SEGMENT},
    {"iso.segment", CLASS_SEGMENT}, {"video/mp4", CLASS_SEGMENT}, {"audio/mp4", CLASS_SEGMENT},
    {"text/vtt", CLASS_SEGMENT},    {"audio/aac", CLASS_SEGMENT}, {"video/webm", CLASS_SEGMENT},
};

static const struct class_by_text names[] = {
    {".m3u8", CLASS_PLAYLIST}, {".m3u", CLASS_PLAYLIST}, {".mpd", CLASS_PLAYLIST}, {".ts", CLASS_SEGMENT},
    {".m4s", CLASS_SEGMENT},   {".mp4", CLASS_SEGMENT},  {".m4v", CLASS_SEGMENT},  {".m4a", CLASS_SEGMENT},
    {".cmfv", CLASS_SEGMENT},  {".cmfa", CLASS_SEGMENT}, {".aac", CLASS_SEGMENT},  {".mp3", CLASS_SEGMENT},
    {".vtt", CLASS_SEGMENT},   {".webm", CLASS_SEGMENT}, {".key", CLASS_KEY},
};

enum content_class catalog_class(const struct catalog_entry *entry, struct slice path,
                                 struct slice media_type)
{
    static const enum content_class by_kind[] = {
        [CATALOG_MULTIVARIANT] = CLASS_PLAYLIST,
        [CATALOG_MEDIA] = CLASS_PLAYLIST,
        [CATALOG_LISTED_MEDIA] = CLASS_PLAYLIST,
        [CATALOG_SEGMENT] = CLASS_SEGMENT,
        [CATALOG_PART] = CLASS_PART,
        [CATALOG_INIT] = CLASS_INIT,
        [CATALOG_KEY] = CLASS_KEY,
    };
    enum content_class found = CLASS_OTHER;
    if (entry)
        return by_kind[entry->kind];
    if (media_type.data &&
        find_suffix(media_types, ARRAY_COUNT(media_types),
                    slice_trim(slice_make(media_type.data, slice_find(media_type, ';'))), &found))
        return found;
    find_suffix(names, ARRAY_COUNT(names), path, &found);
    return found;
}
