/* SPDX-License-Identifier: Apache-2.0 */
/* Playlists: every byte of every event is read, and sums agree with the events. */
#include "base/check.h"
#include "hls/playlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENTS_WRITTEN_MAX 16

struct seen {
    unsigned sum;
    uint64_t next_msn;
    size_t segment_count;
    struct buf written;
};

static void touch(struct seen *seen, struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        seen->sum = seen->sum * 31 + (unsigned char)s.data[i];
}

static void on_variant(void *user, const struct hls_variant *v)
{
    touch(user, v->uri);
    touch(user, v->codecs);
    touch(user, v->audio);
    touch(user, v->video);
    touch(user, v->subtitles);
    touch(user, v->closed_captions);
    touch(user, v->pathway_id);
}

static void on_rendition(void *user, const struct hls_rendition *m)
{
    touch(user, m->uri);
    touch(user, m->type);
    touch(user, m->group_id);
    touch(user, m->name);
    touch(user, m->language);
}

static void on_segment(void *user, const struct hls_segment *s)
{
    struct seen *seen = user;
    struct hls_playlist p = {.version = 3};

    touch(user, s->uri);
    touch(user, s->map.uri);
    REQUIRE(s->duration_us >= 0);
    seen->next_msn = s->msn + 1;
    if (seen->segment_count++ < SEGMENTS_WRITTEN_MAX)
        hls_playlist_write(&p, s, 1, &seen->written);
}

static void on_part(void *user, const struct hls_part *p)
{
    touch(user, p->uri);
}

static void on_map(void *user, const struct hls_map *m)
{
    touch(user, m->uri);
}

static void on_key(void *user, const struct hls_key *k)
{
    touch(user, k->method);
    touch(user, k->uri);
    touch(user, k->keyformat);
}

static void on_hint(void *user, const struct hls_hint *h)
{
    touch(user, h->type);
    touch(user, h->uri);
}

static void on_report(void *user, const struct hls_report *r)
{
    touch(user, r->uri);
}

static void on_steering(void *user, const struct hls_steering *s)
{
    touch(user, s->server_uri);
    touch(user, s->pathway_id);
}

static void on_session_data(void *user, const struct hls_session_data *d)
{
    touch(user, d->data_id);
    touch(user, d->uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct hls_playlist_events events = {
        on_variant, on_rendition, on_segment, on_part,     on_map,
        on_key,     on_hint,      on_report,  on_steering, on_session_data,
    };
    struct seen seen = {0};
    struct hls_playlist p;
    struct hls_error error;

    buf_init(&seen.written, 1 << 20);
    if (hls_playlist_parse(slice_make((const char *)data, size), &events, &seen, &p, &error)) {
        REQUIRE(p.total_duration_us >= 0 && p.target_duration_ms >= 0);
        REQUIRE(p.segment_count >= seen.segment_count);
        if (seen.segment_count > 0 && !p.has_unresolved_variables)
            REQUIRE(seen.next_msn == p.next_msn && seen.segment_count == p.segment_count);
        REQUIRE(hls_playlist_ttl_ms(&p, 0) <= p.target_duration_ms / 2);
    } else {
        REQUIRE(error.code != HLS_ERROR_OK && error.line > 0);
    }
    buf_fini(&seen.written);
    return 0;
}
