/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of live.h: three segments of 4, 4 and 2 seconds, and what is on the air at chosen times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "live.h"

#define DAYS_MS 86400000LL

static struct live_segment segments[] = {
    {.path = "v/a.ts", .duration_us = 4000000, .discontinuities = 1},
    {.path = "v/b.ts", .duration_us = 4000000, .discontinuities = 1},
    {.path = "v/c.ts", .duration_us = 2000000, .discontinuities = 1},
};
static struct live_rendition rendition = {
    .path = "v/index.m3u8",
    .name = "index",
    .extension = ".ts",
    .version = 3,
    .segments = segments,
    .segment_count = 3,
};
static int64_t starts_us[] = {0, 4000000, 8000000, 10000000};
static const struct live_vod vod = {
    .segment_count = 3,
    .start_us = starts_us,
    .target_duration_ms = 4000,
    .window_segments = 2,
    .renditions = &rendition,
    .rendition_count = 1,
};

static void assert_window(int64_t now_ms, int64_t first_msn, int64_t last_msn)
{
    struct live_window window = live_window_at(&vod, now_ms);

    assert_int_equal(window.first_msn, first_msn);
    assert_int_equal(window.last_msn, last_msn);
}

/* A segment is listed from the millisecond in which it ends. */
static void test_window_slides(void **state)
{
    (void)state;
    assert_window(19999, 1, 4); /* 3 and 4 would do for the window, but are no 3 target durations */
    assert_window(20000, 2, 5); /* exactly 12 s */
    assert_window(23999, 2, 5);
    assert_window(24000, 3, 6);
    assert_window(28000, 4, 7);
}

static void test_window_at_the_begin_of_time(void **state)
{
    (void)state;
    assert_window(0, 0, -1);
    assert_window(3999, 0, -1);
    assert_window(4000, 0, 0);
    assert_window(8000, 0, 1);
}

static void test_segments_come_and_go(void **state)
{
    struct live_window window = live_window_at(&vod, 1000000);
    int64_t count = window.last_msn - window.first_msn + 1;
    int64_t grace = LIVE_GRACE_WINDOWS * count;

    (void)state;
    for (int64_t msn = window.first_msn - grace; msn <= window.last_msn; msn++)
        assert_int_equal(live_segment_presence(&vod, (uint64_t)msn, 1000000), LIVE_THERE);
    assert_int_equal(live_segment_presence(&vod, (uint64_t)(window.first_msn - grace - 1), 1000000),
                     LIVE_GONE);
    assert_int_equal(live_segment_presence(&vod, (uint64_t)window.last_msn + 1, 1000000), LIVE_NOT_YET);
    assert_int_equal(live_segment_presence(&vod, UINT64_MAX, 1000000), LIVE_NOT_YET);
    assert_int_equal(live_segment_presence(&vod, 0, 1000000), LIVE_GONE);
    /* A moment earlier than it is listed. */
    assert_int_equal(live_segment_presence(&vod, (uint64_t)window.last_msn + 1, 1004000 - LIVE_LEAD_MS),
                     LIVE_THERE);
    assert_int_equal(live_segment_presence(&vod, (uint64_t)window.last_msn + 1, 1004000 - LIVE_LEAD_MS - 1),
                     LIVE_NOT_YET);
}

static void assert_playlist(const struct live_vod *v, int64_t now_ms, const char *expected)
{
    struct buf text;

    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    assert_true(live_playlist(v, &v->renditions[0], now_ms, &text));
    assert_true(buf_append_char(&text, '\0'));
    assert_string_equal(text.data, expected);
    buf_fini(&text);
}

static void test_playlist_before_at_and_behind_the_seam(void **state)
{
    (void)state;
    assert_playlist(&vod, 10 * DAYS_MS + 10000, /* the end of loop 86400 */
                    "#EXTM3U\n"
                    "#EXT-X-VERSION:3\n"
                    "#EXT-X-TARGETDURATION:4\n"
                    "#EXT-X-MEDIA-SEQUENCE:259199\n"
                    "#EXT-X-DISCONTINUITY-SEQUENCE:86400\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-10T23:59:58.000Z\n"
                    "#EXTINF:2.000000,\n"
                    "index-259199.ts\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:00.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259200.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:04.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259201.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:08.000Z\n"
                    "#EXTINF:2.000000,\n"
                    "index-259202.ts\n");
    assert_playlist(&vod, 10 * DAYS_MS + 14000, /* the seam is the first segment: its tag stands here */
                    "#EXTM3U\n"
                    "#EXT-X-VERSION:3\n"
                    "#EXT-X-TARGETDURATION:4\n"
                    "#EXT-X-MEDIA-SEQUENCE:259200\n"
                    "#EXT-X-DISCONTINUITY-SEQUENCE:86400\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:00.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259200.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:04.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259201.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:08.000Z\n"
                    "#EXTINF:2.000000,\n"
                    "index-259202.ts\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:10.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259203.ts\n");
    assert_playlist(&vod, 10 * DAYS_MS + 18000, /* it has left: it is counted now */
                    "#EXTM3U\n"
                    "#EXT-X-VERSION:3\n"
                    "#EXT-X-TARGETDURATION:4\n"
                    "#EXT-X-MEDIA-SEQUENCE:259201\n"
                    "#EXT-X-DISCONTINUITY-SEQUENCE:86401\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:04.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259201.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:08.000Z\n"
                    "#EXTINF:2.000000,\n"
                    "index-259202.ts\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:10.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259203.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-11T00:00:14.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-259204.ts\n");
}

/* What a player remembers of an earlier playlist must hold in every later one. */
struct seen {
    uint64_t msn, discontinuity_sequence;
    int64_t program_date_time_ms, duration_us;
    bool discontinuity;
    bool valid;
};

struct watcher {
    struct seen seen[64]; /* by msn, the latest */
    size_t count;
    int64_t total_us;
};

static void on_segment(void *user, const struct hls_segment *segment)
{
    struct watcher *w = user;
    struct seen *s = &w->seen[segment->msn % ARRAY_COUNT(w->seen)];

    if (s->valid && s->msn == segment->msn) {
        assert_int_equal(s->discontinuity_sequence, segment->discontinuity_sequence);
        assert_int_equal(s->program_date_time_ms, segment->program_date_time_ms);
        assert_int_equal(s->duration_us, segment->duration_us);
        assert_int_equal(s->discontinuity, segment->discontinuity);
    }
    *s = (struct seen){segment->msn,         segment->discontinuity_sequence, segment->program_date_time_ms,
                       segment->duration_us, segment->discontinuity,          true};
    w->count++;
    w->total_us += segment->duration_us;
}

static void assert_never_contradicts_itself(const struct live_vod *v)
{
    static const struct hls_playlist_events events = {.on_segment = on_segment};
    struct watcher watcher = {0};
    struct hls_playlist summary, before = {0};
    struct hls_error error;
    struct buf text;

    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    for (int64_t now_ms = 10 * DAYS_MS; now_ms < 10 * DAYS_MS + 60000; now_ms += 250) {
        buf_clear(&text);
        watcher.count = 0;
        watcher.total_us = 0;
        assert_true(live_playlist(v, &v->renditions[0], now_ms, &text));
        assert_true(hls_playlist_parse(buf_slice(&text), &events, &watcher, &summary, &error));
        assert_true(summary.media_sequence >= before.media_sequence);
        assert_true(summary.discontinuity_sequence >= before.discontinuity_sequence);
        assert_true(watcher.count >= v->window_segments);
        assert_true(watcher.total_us >= LIVE_WINDOW_TARGETS * v->target_duration_ms * 1000);
        before = summary;
    }
    buf_fini(&text);
}

static void test_never_contradicts_itself(void **state)
{
    (void)state;
    assert_never_contradicts_itself(&vod);
}

static void test_discontinuities_inside_the_vod(void **state)
{
    struct live_segment cut[] = {segments[0], segments[1], segments[2]};
    struct live_rendition with_cut = rendition;
    struct live_vod v = vod;

    (void)state;
    cut[1].discontinuities = cut[2].discontinuities = 2;
    with_cut.segments = cut;
    v.renditions = &with_cut;
    assert_never_contradicts_itself(&v);
    assert_playlist(&v, 28000, /* two per loop: 0, 1, 3 and 4 have one each, 0 to 3 have left */
                    "#EXTM3U\n"
                    "#EXT-X-VERSION:3\n"
                    "#EXT-X-TARGETDURATION:4\n"
                    "#EXT-X-MEDIA-SEQUENCE:4\n"
                    "#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:14.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-4.ts\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:18.000Z\n"
                    "#EXTINF:2.000000,\n"
                    "index-5.ts\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:20.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-6.ts\n"
                    "#EXT-X-DISCONTINUITY\n"
                    "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:24.000Z\n"
                    "#EXTINF:4.000000,\n"
                    "index-7.ts\n");
}

/* A window longer than the VOD holds several seams. */
static void test_window_of_several_loops(void **state)
{
    struct live_vod v = vod;

    (void)state;
    v.window_segments = 20;
    assert_never_contradicts_itself(&v);
    assert_int_equal(live_window_at(&v, DAYS_MS).last_msn - live_window_at(&v, DAYS_MS).first_msn, 19);
}

static void test_window_of_one_segment(void **state)
{
    struct live_vod v = vod;
    int64_t one[] = {0, 4000000};

    (void)state;
    v.segment_count = 1;
    v.start_us = one;
    assert_never_contradicts_itself(&v);
}

static void test_map_is_announced(void **state)
{
    struct live_map map = {.uri = "init.mp4", .path = "v/init.mp4"};
    struct live_segment with_map[] = {segments[0], segments[1], segments[2]};
    struct live_rendition fmp4 = rendition;
    struct live_vod v = vod;
    struct buf text;

    (void)state;
    with_map[0].map = with_map[1].map = with_map[2].map = 1;
    fmp4.segments = with_map;
    fmp4.maps = &map;
    fmp4.map_count = 1;
    v.renditions = &fmp4;
    buf_init(&text, HLS_PLAYLIST_SIZE_MAX);
    assert_true(live_playlist(&v, &fmp4, DAYS_MS, &text));
    assert_true(buf_append_char(&text, '\0'));
    assert_non_null(strstr(text.data, "#EXT-X-MAP:URI=\"init.mp4\"\n"));
    buf_fini(&text);
}

static void test_playlist_too_large_is_refused(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 100);
    assert_false(live_playlist(&vod, &rendition, DAYS_MS, &text));
    buf_fini(&text);
}

static void test_updated_when_the_last_segment_ended(void **state)
{
    (void)state;
    assert_int_equal(live_updated_ms(&vod, live_window_at(&vod, DAYS_MS + 5999)), DAYS_MS + 4000);
    assert_int_equal(live_updated_ms(&vod, live_window_at(&vod, DAYS_MS + 10000)), DAYS_MS + 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_slides),
        cmocka_unit_test(test_window_at_the_begin_of_time),
        cmocka_unit_test(test_segments_come_and_go),
        cmocka_unit_test(test_playlist_before_at_and_behind_the_seam),
        cmocka_unit_test(test_never_contradicts_itself),
        cmocka_unit_test(test_discontinuities_inside_the_vod),
        cmocka_unit_test(test_window_of_several_loops),
        cmocka_unit_test(test_window_of_one_segment),
        cmocka_unit_test(test_map_is_announced),
        cmocka_unit_test(test_playlist_too_large_is_refused),
        cmocka_unit_test(test_updated_when_the_last_segment_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
