/* SPDX-License-Identifier: Apache-2.0 */
/* A written playlist, byte for byte, and read again. */
#include "hls/playlist.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"

static const struct hls_map map_a = {.uri = {"a/init.mp4", 10}};
static const struct hls_map map_b = {.uri = {"b/init.mp4", 10}, .range = {true, true, 600, 20}};

static void assert_written(const struct hls_playlist *p, const struct hls_segment *segments, size_t count,
                           const char *wanted)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_true(hls_playlist_write(p, segments, count, &out));
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, wanted);
    buf_fini(&out);
}

static void test_live_window(void **state)
{
    const struct hls_playlist p = {.version = 7,
                                   .target_duration_ms = 4004,
                                   .media_sequence = 41,
                                   .discontinuity_sequence = 3,
                                   .independent_segments = true};
    const struct hls_segment segments[] = {
        {.uri = SLICE_LITERAL("a/41.m4s"),
         .duration_us = 4004000,
         .map = map_a,
         .has_program_date_time = true,
         .program_date_time_ms = 784111777125},
        {.uri = SLICE_LITERAL("a/42.m4s"), .duration_us = 1, .map = map_a, .gap = true},
        {.uri = SLICE_LITERAL("b/0.m4s"), .duration_us = 2000000, .map = map_b, .discontinuity = true},
    };

    (void)state;
    assert_written(&p, segments, ARRAY_COUNT(segments),
                   "#EXTM3U\n"
                   "#EXT-X-VERSION:7\n"
                   "#EXT-X-INDEPENDENT-SEGMENTS\n"
                   "#EXT-X-TARGETDURATION:5\n"
                   "#EXT-X-MEDIA-SEQUENCE:41\n"
                   "#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
                   "#EXT-X-MAP:URI=\"a/init.mp4\"\n"
                   "#EXT-X-PROGRAM-DATE-TIME:1994-11-06T08:49:37.125Z\n"
                   "#EXTINF:4.004000,\n"
                   "a/41.m4s\n"
                   "#EXT-X-GAP\n"
                   "#EXTINF:0.000001,\n"
                   "a/42.m4s\n"
                   "#EXT-X-DISCONTINUITY\n"
                   "#EXT-X-MAP:URI=\"b/init.mp4\",BYTERANGE=\"600@20\"\n"
                   "#EXTINF:2.000000,\n"
                   "b/0.m4s\n");
}

static void test_ended(void **state)
{
    const struct hls_playlist p = {
        .version = 4, .type = HLS_TYPE_VOD, .target_duration_ms = 4000, .endlist = true};
    const struct hls_segment segments[] = {
        {.uri = SLICE_LITERAL("all.ts"), .duration_us = 4000000, .range = {true, true, 100, 0}},
        {.uri = SLICE_LITERAL("all.ts"), .duration_us = 4000000, .range = {true, false, 50, 0}},
    };

    (void)state;
    assert_written(&p, segments, ARRAY_COUNT(segments),
                   "#EXTM3U\n"
                   "#EXT-X-VERSION:4\n"
                   "#EXT-X-TARGETDURATION:4\n"
                   "#EXT-X-MEDIA-SEQUENCE:0\n"
                   "#EXT-X-PLAYLIST-TYPE:VOD\n"
                   "#EXT-X-BYTERANGE:100@0\n"
                   "#EXTINF:4.000000,\n"
                   "all.ts\n"
                   "#EXT-X-BYTERANGE:50\n"
                   "#EXTINF:4.000000,\n"
                   "all.ts\n"
                   "#EXT-X-ENDLIST\n");
}

static void rewrite_segment(void *user, const struct hls_segment *segment)
{
    struct hls_segment **next = user;

    *(*next)++ = *segment;
}

/* What has been written reads back as the same, and is then written as the same. */
static void test_round_trip(void **state)
{
    static const char text[] = "#EXTM3U\n"
                               "#EXT-X-VERSION:7\n"
                               "#EXT-X-TARGETDURATION:4\n"
                               "#EXT-X-MEDIA-SEQUENCE:9\n"
                               "#EXT-X-DISCONTINUITY-SEQUENCE:1\n"
                               "#EXT-X-MAP:URI=\"i.mp4\"\n"
                               "#EXTINF:3.999999,\n"
                               "9.m4s?a=1&b\n"
                               "#EXT-X-DISCONTINUITY\n"
                               "#EXT-X-PROGRAM-DATE-TIME:1969-12-31T23:59:59.001Z\n"
                               "#EXT-X-BYTERANGE:5@6\n"
                               "#EXTINF:4.000000,\n"
                               "10.m4s\n"
                               "#EXT-X-ENDLIST\n";
    static const struct hls_playlist_events events = {.on_segment = rewrite_segment};
    struct hls_segment segments[2], *next = segments;
    struct hls_playlist p;
    struct hls_error error;

    (void)state;
    assert_true(hls_playlist_parse(slice_of(text), &events, &next, &p, &error));
    assert_int_equal(next - segments, 2);
    assert_written(&p, segments, 2, text);
}

static void test_bounded(void **state)
{
    const struct hls_playlist p = {.version = 3, .target_duration_ms = 4000};
    struct buf out;

    (void)state;
    buf_init(&out, 20);
    assert_false(hls_playlist_write(&p, NULL, 0, &out));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_window),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
