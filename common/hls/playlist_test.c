/* SPDX-License-Identifier: Apache-2.0 */
/* Playlists as packagers write them, as RFC 8216bis allows them, and as they arrive broken. */
#include "hls/playlist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

/* Events are written down as text, one line each, so that a test compares what a reader would see. */
static struct buf seen;
static struct hls_playlist playlist;
static struct hls_error error;

static int set_up(void **state)
{
    (void)state;
    buf_init(&seen, 1 << 20);
    playlist = (struct hls_playlist){0};
    error = (struct hls_error){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&seen);
    return 0;
}

static void note_range(const struct hls_byterange *range)
{
    if (range->present && range->length == HLS_LENGTH_OPEN)
        buf_printf(&seen, " from %llu", (unsigned long long)range->offset);
    else if (range->present)
        buf_printf(&seen, " %llu@%llu", (unsigned long long)range->length, (unsigned long long)range->offset);
}

static void note_text(const char *name, struct slice value)
{
    if (value.data)
        buf_printf(&seen, " %s=%.*s", name, SLICE_ARG(value));
}

static void on_variant(void *user, const struct hls_variant *v)
{
    (void)user;
    buf_printf(&seen, "%s %.*s %llu/%llu %ux%u", v->iframes ? "iframes" : "variant", SLICE_ARG(v->uri),
               (unsigned long long)v->bandwidth, (unsigned long long)v->average_bandwidth, v->width,
               v->height);
    note_text("codecs", v->codecs);
    note_text("audio", v->audio);
    note_text("subtitles", v->subtitles);
    note_text("pathway", v->pathway_id);
    buf_append_char(&seen, '\n');
}

static void on_rendition(void *user, const struct hls_rendition *m)
{
    (void)user;
    buf_printf(&seen, "rendition %.*s", SLICE_ARG(m->type));
    note_text("group", m->group_id);
    note_text("name", m->name);
    note_text("language", m->language);
    note_text("uri", m->uri);
    buf_append_text(&seen, m->is_default ? " default\n" : "\n");
}

static void on_segment(void *user, const struct hls_segment *s)
{
    (void)user;
    buf_printf(&seen, "segment %llu/%llu %.*s %lld", (unsigned long long)s->msn,
               (unsigned long long)s->discontinuity_sequence, SLICE_ARG(s->uri), (long long)s->duration_us);
    note_range(&s->range);
    note_text("map", s->map.uri);
    if (s->has_program_date_time)
        buf_printf(&seen, " at %lld", (long long)s->program_date_time_ms);
    if (s->bitrate_kbps)
        buf_printf(&seen, " %llu kbps", (unsigned long long)s->bitrate_kbps);
    buf_append_text(&seen, s->discontinuity ? " discontinuity" : "");
    buf_append_text(&seen, s->gap ? " gap\n" : "\n");
}

static void on_part(void *user, const struct hls_part *p)
{
    (void)user;
    buf_printf(&seen, "part %llu.%llu %.*s %lld", (unsigned long long)p->msn, (unsigned long long)p->part,
               SLICE_ARG(p->uri), (long long)p->duration_us);
    note_range(&p->range);
    buf_append_text(&seen, p->gap ? " gap" : "");
    buf_append_text(&seen, p->independent ? " independent\n" : "\n");
}

static void on_map(void *user, const struct hls_map *m)
{
    (void)user;
    buf_printf(&seen, "map %.*s", SLICE_ARG(m->uri));
    note_range(&m->range);
    buf_append_char(&seen, '\n');
}

static void on_key(void *user, const struct hls_key *k)
{
    (void)user;
    buf_printf(&seen, "%s %.*s", k->session ? "session-key" : "key", SLICE_ARG(k->method));
    note_text("uri", k->uri);
    if (k->has_iv)
        buf_printf(&seen, " iv=%02x%02x", k->iv[14], k->iv[15]);
    buf_append_char(&seen, '\n');
}

static void on_hint(void *user, const struct hls_hint *h)
{
    (void)user;
    buf_printf(&seen, "hint %.*s %.*s", SLICE_ARG(h->type), SLICE_ARG(h->uri));
    note_range(&h->range);
    buf_append_char(&seen, '\n');
}

static void on_report(void *user, const struct hls_report *r)
{
    (void)user;
    buf_printf(&seen, "report %.*s %llu", SLICE_ARG(r->uri), (unsigned long long)r->last_msn);
    if (r->has_last_part)
        buf_printf(&seen, ".%llu", (unsigned long long)r->last_part);
    buf_append_char(&seen, '\n');
}

static void on_steering(void *user, const struct hls_steering *s)
{
    (void)user;
    buf_printf(&seen, "steering %.*s", SLICE_ARG(s->server_uri));
    note_text("pathway", s->pathway_id);
    buf_append_char(&seen, '\n');
}

static void on_session_data(void *user, const struct hls_session_data *d)
{
    (void)user;
    buf_printf(&seen, "data %.*s", SLICE_ARG(d->data_id));
    note_text("uri", d->uri);
    buf_append_char(&seen, '\n');
}

static const struct hls_playlist_events events = {
    on_variant, on_rendition, on_segment, on_part,     on_map,
    on_key,     on_hint,      on_report,  on_steering, on_session_data,
};

static void parse(const char *text)
{
    if (!hls_playlist_parse(slice_of(text), &events, NULL, &playlist, &error))
        fail_msg("line %u: %s", error.line, hls_error_text(error.code));
}

static void assert_seen(const char *wanted)
{
    buf_append_char(&seen, '\0');
    assert_string_equal(buf_slice(&seen).data, wanted);
}

static void assert_error(const char *text, enum hls_error_code code, unsigned line)
{
    if (hls_playlist_parse(slice_of(text), &events, NULL, &playlist, &error))
        fail_msg("taken: %s", text);
    assert_string_equal(hls_error_text(error.code), hls_error_text(code));
    assert_int_equal(error.line, line);
}

static void test_multivariant_as_apple_writes_it(void **state)
{
    (void)state;
    parse(
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud1\",LANGUAGE=\"en\",NAME=\"English\",AUTOSELECT=YES,DEFAULT="
        "YES,"
        "CHANNELS=\"2\",URI=\"a1/prog_index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"sub1\",LANGUAGE=\"en\",NAME=\"English\",DEFAULT=NO,FORCED=NO,"
        "URI=\"s1/en/prog_index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc1\",NAME=\"English\",INSTREAM-ID=\"CC1\"\n"
        "# 16x9\n"
        "#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=2168183,BANDWIDTH=2177116,CODECS=\"avc1.640020,mp4a.40.2\","
        "RESOLUTION=960x540,FRAME-RATE=60.000,CLOSED-CAPTIONS=\"cc1\",AUDIO=\"aud1\",SUBTITLES=\"sub1\"\n"
        "v5/prog_index.m3u8\n"
        "#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=7968416,BANDWIDTH=8001098,RESOLUTION=1920x1080\n"
        "v9/prog_index.m3u8\n"
        "#EXT-X-I-FRAME-STREAM-INF:AVERAGE-BANDWIDTH=183689,BANDWIDTH=187492,CODECS=\"avc1.64002a\","
        "RESOLUTION=1920x1080,URI=\"v7/iframe_index.m3u8\"\n");
    assert_int_equal(playlist.kind, HLS_MULTIVARIANT);
    assert_int_equal(playlist.version, 6);
    assert_int_equal(playlist.variant_count, 2);
    assert_true(playlist.independent_segments);
    assert_false(playlist.has_unresolved_variables);
    assert_seen("rendition AUDIO group=aud1 name=English language=en uri=a1/prog_index.m3u8 default\n"
                "rendition SUBTITLES group=sub1 name=English language=en uri=s1/en/prog_index.m3u8\n"
                "rendition CLOSED-CAPTIONS group=cc1 name=English\n"
                "variant v5/prog_index.m3u8 2177116/2168183 960x540 codecs=avc1.640020,mp4a.40.2 audio=aud1 "
                "subtitles=sub1\n"
                "variant v9/prog_index.m3u8 8001098/7968416 1920x1080\n"
                "iframes v7/iframe_index.m3u8 187492/183689 1920x1080 codecs=avc1.64002a\n");
}

static void test_multivariant_with_steering_and_keys(void **state)
{
    (void)state;
    parse(
        "#EXTM3U\n"
        "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?v=1\",PATHWAY-ID=\"A\"\n"
        "#EXT-X-SESSION-DATA:DATA-ID=\"com.example.title\",VALUE=\"Big, \"\n"
        "#EXT-X-SESSION-DATA:DATA-ID=\"com.example.data\",URI=\"data.json\"\n"
        "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://1\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"A\"\n"
        "https://a.example.com/1.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"B\"\n"
        "https://b.example.com/1.m3u8\n");
    assert_seen("steering /steer?v=1 pathway=A\n"
                "data com.example.title\n"
                "data com.example.data uri=data.json\n"
                "session-key SAMPLE-AES uri=skd://1\n"
                "variant https://a.example.com/1.m3u8 1/0 0x0 pathway=A\n"
                "variant https://b.example.com/1.m3u8 1/0 0x0 pathway=B\n");
}

static void test_vod_as_ffmpeg_writes_it(void **state)
{
    (void)state;
    parse("#EXTM3U\r\n"
          "#EXT-X-VERSION:7\r\n"
          "#EXT-X-TARGETDURATION:4\r\n"
          "#EXT-X-MEDIA-SEQUENCE:0\r\n"
          "#EXT-X-PLAYLIST-TYPE:VOD\r\n"
          "#EXT-X-MAP:URI=\"init.mp4\"\r\n"
          "#EXTINF:4.004000,\r\n"
          "seg0.m4s\r\n"
          "#EXTINF:3.169833,\r\n"
          "seg1.m4s\r\n"
          "#EXT-X-ENDLIST");
    assert_int_equal(playlist.kind, HLS_MEDIA);
    assert_int_equal(playlist.type, HLS_TYPE_VOD);
    assert_true(playlist.endlist);
    assert_int_equal(playlist.target_duration_ms, 4000);
    assert_int_equal(playlist.segment_count, 2);
    assert_int_equal(playlist.next_msn, 2);
    assert_int_equal(playlist.total_duration_us, 7173833);
    assert_seen("map init.mp4\n"
                "segment 0/0 seg0.m4s 4004000 map=init.mp4\n"
                "segment 1/0 seg1.m4s 3169833 map=init.mp4\n");
}

static void test_live_window_with_seams(void **state)
{
    (void)state;
    parse("#EXTM3U\n"
          "#EXT-X-VERSION:3\n"
          "#EXT-X-TARGETDURATION:10\n"
          "#EXT-X-MEDIA-SEQUENCE:18446744000\n"
          "#EXT-X-DISCONTINUITY-SEQUENCE:5\n"
          "#EXT-X-KEY:METHOD=AES-128,URI=\"/key?id=1\",IV=0x1f\n"
          "#EXT-X-PROGRAM-DATE-TIME:1994-11-06T08:49:37.125Z\n"
          "#EXTINF:9.9,a title, with commas\n"
          "fileA.ts\n"
          "#EXT-X-DISCONTINUITY\n"
          "#EXT-X-KEY:METHOD=NONE\n"
          "#EXT-X-GAP\n"
          "#EXTINF:10\n"
          "fileB.ts\n"
          "#EXTINF:9.9,\n"
          "fileC.ts\n");
    assert_int_equal(playlist.media_sequence, 18446744000);
    assert_int_equal(playlist.discontinuity_sequence, 5);
    assert_int_equal(playlist.next_msn, 18446744003);
    assert_int_equal(playlist.next_part, 0);
    assert_false(playlist.endlist);
    assert_seen("key AES-128 uri=/key?id=1 iv=001f\n"
                "segment 18446744000/5 fileA.ts 9900000 at 784111777125\n"
                "key NONE\n"
                "segment 18446744001/6 fileB.ts 10000000 discontinuity gap\n"
                "segment 18446744002/6 fileC.ts 9900000\n");
}

static void test_low_latency(void **state)
{
    (void)state;
    parse("#EXTM3U\n"
          "#EXT-X-TARGETDURATION:4\n"
          "#EXT-X-VERSION:9\n"
          "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=12.0,HOLD-BACK=12\n"
          "#EXT-X-PART-INF:PART-TARGET=0.33334\n"
          "#EXT-X-MEDIA-SEQUENCE:266\n"
          "#EXT-X-MAP:URI=\"init.mp4\"\n"
          "#EXTINF:4.00008,\n"
          "fileSequence266.mp4\n"
          "#EXT-X-PART:DURATION=0.33334,URI=\"filePart267.0.mp4\",INDEPENDENT=YES\n"
          "#EXT-X-PART:DURATION=0.33334,URI=\"filePart267.1.mp4\"\n"
          "#EXTINF:0.66668,\n"
          "fileSequence267.mp4\n"
          "#EXT-X-PART:DURATION=0.33334,URI=\"filePart268.0.mp4\",INDEPENDENT=YES\n"
          "#EXT-X-PART:DURATION=0.33334,URI=\"filePart268.1.mp4\",GAP=YES\n"
          "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"filePart268.2.mp4\"\n"
          "#EXT-X-RENDITION-REPORT:URI=\"../1M/live.m3u8\",LAST-MSN=268,LAST-PART=1\n"
          "#EXT-X-RENDITION-REPORT:URI=\"../4M/live.m3u8\",LAST-MSN=267\n");
    assert_true(playlist.can_block_reload);
    assert_true(playlist.has_preload_hint);
    assert_int_equal(playlist.part_target_ms, 333);
    assert_int_equal(playlist.part_hold_back_ms, 1000);
    assert_int_equal(playlist.hold_back_ms, 12000);
    assert_int_equal(playlist.can_skip_until_ms, 12000);
    assert_int_equal(playlist.next_msn, 268);
    assert_int_equal(playlist.next_part, 2);
    assert_seen("map init.mp4\n"
                "segment 266/0 fileSequence266.mp4 4000080 map=init.mp4\n"
                "part 267.0 filePart267.0.mp4 333340 independent\n"
                "part 267.1 filePart267.1.mp4 333340\n"
                "segment 267/0 fileSequence267.mp4 666680 map=init.mp4\n"
                "part 268.0 filePart268.0.mp4 333340 independent\n"
                "part 268.1 filePart268.1.mp4 333340 gap\n"
                "hint PART filePart268.2.mp4\n"
                "report ../1M/live.m3u8 268.1\n"
                "report ../4M/live.m3u8 267\n");
}

static void test_session_parameters_as_mediamtx_writes_them(void **state)
{
    (void)state;
    parse("#EXTM3U\n"
          "#EXT-X-VERSION:9\n"
          "#EXT-X-TARGETDURATION:2\n"
          "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.50250,CAN-SKIP-UNTIL=12\n"
          "#EXT-X-PART-INF:PART-TARGET=0.201\n"
          "#EXT-X-MEDIA-SEQUENCE:7\n"
          "#EXT-X-MAP:URI=\"0f1e_main_init.mp4?session=5b0c\"\n"
          "#EXT-X-GAP\n"
          "#EXTINF:2.00000,\n"
          "gap.mp4\n"
          "#EXT-X-PROGRAM-DATE-TIME:2024-05-01T10:00:00.2Z\n"
          "#EXTINF:2.00000,\n"
          "0f1e_main_seg8.mp4?session=5b0c\n"
          "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"0f1e_main_part30.mp4?session=5b0c\"\n");
    assert_seen("map 0f1e_main_init.mp4?session=5b0c\n"
                "segment 7/0 gap.mp4 2000000 map=0f1e_main_init.mp4?session=5b0c gap\n"
                "segment 8/0 0f1e_main_seg8.mp4?session=5b0c 2000000 map=0f1e_main_init.mp4?session=5b0c at "
                "1714557600200\n"
                "hint PART 0f1e_main_part30.mp4?session=5b0c\n");
}

static void test_section_4_4_5_2_delta_update(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:100\n"
          "#EXT-X-SKIP:SKIPPED-SEGMENTS=20,RECENTLY-REMOVED-DATERANGES=\"\"\n"
          "#EXTINF:4,\n120.ts\n");
    assert_int_equal(playlist.skipped_count, 20);
    assert_int_equal(playlist.next_msn, 121);
    assert_seen("segment 120/0 120.ts 4000000\n");
}

static void test_section_4_4_4_2_byteranges_follow_each_other(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-I-FRAMES-ONLY\n"
          "#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"600@0\"\n"
          "#EXTINF:4,\n#EXT-X-BYTERANGE:1000@600\nall.mp4\n"
          "#EXTINF:4,\n#EXT-X-BYTERANGE:2000\nall.mp4\n"
          "#EXT-X-BYTERANGE:50\n#EXTINF:4,\nother.mp4\n"
          "#EXT-X-PART:DURATION=1,URI=\"p.mp4\",BYTERANGE=\"10@5\"\n"
          "#EXT-X-PART:DURATION=1,URI=\"p.mp4\",BYTERANGE=\"20\"\n"
          "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.mp4\",BYTERANGE-START=35\n"
          "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"m.mp4\",BYTERANGE-LENGTH=9\n");
    assert_true(playlist.iframes_only);
    assert_seen("map all.mp4 600@0\n"
                "segment 0/0 all.mp4 4000000 1000@600 map=all.mp4\n"
                "segment 1/0 all.mp4 4000000 2000@1600 map=all.mp4\n"
                "segment 2/0 other.mp4 4000000 50@0 map=all.mp4\n"
                "part 3.0 p.mp4 1000000 10@5\n"
                "part 3.1 p.mp4 1000000 20@15\n"
                "hint PART p.mp4 from 35\n"
                "hint MAP m.mp4 9@0\n");
}

static void test_section_4_4_4_8_bitrate(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.ts\n#EXT-X-BITRATE:2500\n#EXTINF:4,\n1.ts\n"
          "#EXTINF:4,\n#EXT-X-BYTERANGE:9@0\n2.ts\n#EXTINF:4,\n3.ts\n");
    assert_seen("segment 0/0 0.ts 4000000\n"
                "segment 1/0 1.ts 4000000 2500 kbps\n"
                "segment 2/0 2.ts 4000000 9@0\n"
                "segment 3/0 3.ts 4000000 2500 kbps\n");
}

static void test_section_4_3_variables(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
          "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://o.example.com/x\"\n"
          "#EXT-X-DEFINE:NAME=\"t\",VALUE=\"\"\n"
          "#EXT-X-MAP:URI=\"{$host}/init.mp4\"\n"
          "#EXTINF:4,\n{$host}/{$t}0.ts?{$t}{$host}\n"
          "#EXTINF:4,\n{$nobody}/1.ts\n"
          "#EXTINF:4,\n{$host/{ $host}/{$}2.ts\n");
    assert_true(playlist.has_unresolved_variables);
    assert_int_equal(playlist.segment_count, 3);
    assert_seen("map https://o.example.com/x/init.mp4\n"
                "segment 0/0 https://o.example.com/x/0.ts?https://o.example.com/x 4000000 "
                "map=https://o.example.com/x/init.mp4\n"
                "segment 2/0 {$host/{ $host}/{$}2.ts 4000000 map=https://o.example.com/x/init.mp4\n");
}

static void test_variables_of_a_variant_last_until_its_uri(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"A\"\n"
          "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c-{$a}\",AUDIO=\"{$a}-b\"\n"
          "\n# comment\n#EXT-X-UNKNOWN:{$a}\n"
          "{$a}/1.m3u8\n"
          "#EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"{$b}\"\n2.m3u8\n"
          "#EXT-X-STREAM-INF:BANDWIDTH=3\n3.m3u8\n");
    assert_int_equal(playlist.variant_count, 3);
    assert_seen("variant A/1.m3u8 1/0 0x0 codecs=c-A audio=A-b\n"
                "variant 3.m3u8 3/0 0x0\n");
}

static void test_variables_from_elsewhere_are_told(void **state)
{
    (void)state;
    parse("#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-DEFINE:IMPORT=\"x\"\n#EXT-X-TARGETDURATION:4\n"
          "#EXTINF:4,\n0.ts?t={$token}\n#EXTINF:4,\n1.ts\n");
    assert_true(playlist.has_unresolved_variables);
    assert_seen("segment 1/0 1.ts 4000000\n");
}

/* Every line asks for a thousand bytes: in all no more may be written than a playlist is allowed to be long.
 */
static void test_variables_cannot_blow_up(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 4 << 20);
    buf_append_text(&text, "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"");
    for (int i = 0; i < 1000; i++)
        buf_append_char(&text, 'x');
    buf_append_text(&text, "\"\n");
    for (int i = 0; i < 20000; i++)
        buf_append_text(&text, "#EXTINF:4,\n{$a}\n");
    assert_true(hls_playlist_parse(buf_slice(&text), NULL, NULL, &playlist, &error));
    assert_int_equal(playlist.segment_count, 20000);
    assert_true(playlist.has_unresolved_variables);
    buf_fini(&text);
}

static void test_tolerance(void **state)
{
    (void)state;
    parse("\xef\xbb\xbf#EXTM3U x=1\r\n"
          "\r\n"
          "  \t\r\n"
          "#comment\n"
          "#EXT-X-NEW-THING:A=\"open\n"
          "#EXTMYTAG\n"
          "stray.ts\n"
          "#EXT-X-TARGETDURATION: 9.5 \n"
          "#EXT-X-START:TIME-OFFSET=-3\n"
          "#EXT-X-PLAYLIST-TYPE:LIVE\n"
          "#EXT-X-PROGRAM-DATE-TIME:yesterday\n"
          "#EXT-X-SERVER-CONTROL:HOLD-BACK=x,CAN-BLOCK-RELOAD=NO\n"
          "#EXTINF: 4.5 , title\n"
          "  0 1.ts  \n"
          "#EXT-X-MEDIA-SEQUENCE:9\n"
          "#EXTINF:4.5\n"
          "1.ts");
    assert_int_equal(playlist.target_duration_ms, 9500);
    assert_int_equal(playlist.version, 1);
    assert_int_equal(playlist.type, HLS_TYPE_NONE);
    assert_int_equal(playlist.media_sequence, 0);
    assert_false(playlist.can_block_reload);
    assert_seen("segment 0/0 0 1.ts 4500000\nsegment 1/0 1.ts 4500000\n");
}

static void test_no_events_wanted(void **state)
{
    (void)state;
    assert_true(
        hls_playlist_parse(slice_of("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na\n#EXT-X-PART:URI=\"b\","
                                    "DURATION=1\n"),
                           NULL, NULL, &playlist, &error));
    assert_int_equal(playlist.segment_count, 1);
    assert_int_equal(playlist.next_part, 1);
}

static void test_errors_have_a_line(void **state)
{
    (void)state;
    playlist.version = 77;
    assert_error("", HLS_ERROR_NOT_PLAYLIST, 1);
    assert_error("<html>", HLS_ERROR_NOT_PLAYLIST, 1);
    assert_error("\n#EXTM3U\n", HLS_ERROR_NOT_PLAYLIST, 1);
    assert_error("#EXTM3U8\n", HLS_ERROR_NOT_PLAYLIST, 1);
    assert_error("#EXTM3U\n#EXTINF:4,\n0.ts", HLS_ERROR_NO_TARGET_DURATION, 3);
    assert_error("#EXTM3U", HLS_ERROR_NO_TARGET_DURATION, 1);
    assert_error("#EXTM3U\n#EXT-X-TARGETDURATION:x\n", HLS_ERROR_BAD_VALUE, 2);
    assert_error("#EXTM3U\n\n#EXTINF:-1,Radio\n", HLS_ERROR_BAD_VALUE, 3);
    assert_error("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1\n", HLS_ERROR_BAD_VALUE, 2);
    assert_error("#EXTM3U\n#EXT-X-VERSION:\n", HLS_ERROR_BAD_VALUE, 2);
    assert_error("#EXTM3U\n#EXT-X-BYTERANGE:1@\n", HLS_ERROR_BAD_VALUE, 2);
    assert_error("#EXTM3U\n#EXT-X-PART:URI=\"a\",DURATION=x\n", HLS_ERROR_BAD_VALUE, 2);
    assert_error("#EXTM3U\n#EXT-X-PART:DURATION=1\n", HLS_ERROR_MISSING_ATTRIBUTE, 2);
    assert_error("#EXTM3U\n#EXT-X-MAP\n", HLS_ERROR_MISSING_ATTRIBUTE, 2);
    assert_error("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH\n", HLS_ERROR_BAD_ATTRIBUTES, 2);
    assert_error("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a\n", HLS_ERROR_BAD_ATTRIBUTES, 2);
    assert_error("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", HLS_ERROR_MIXED, 3);
    assert_error("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXTINF:1,\n", HLS_ERROR_MIXED, 4);
    assert_int_equal(playlist.version, 77);
}

static void test_ranges_do_not_wrap(void **state)
{
    (void)state;
    assert_error("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:1,\n#EXT-X-BYTERANGE:18446744073709551000@5\na\n"
                 "#EXTINF:1,\n#EXT-X-BYTERANGE:18446744073709551000\na\n",
                 HLS_ERROR_BAD_VALUE, 8);
}

static void test_bounds(void **state)
{
    static const char start[] = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    char *text = malloc(HLS_PLAYLIST_SIZE_MAX + 1);

    (void)state;
    memset(text, 'x', HLS_PLAYLIST_SIZE_MAX + 1);
    memcpy(text, start, sizeof(start) - 1);
    assert_true(hls_playlist_parse(slice_make(text, sizeof(start) - 1 + HLS_LINE_SIZE_MAX), NULL, NULL,
                                   &playlist, &error));
    assert_false(hls_playlist_parse(slice_make(text, sizeof(start) + HLS_LINE_SIZE_MAX), NULL, NULL,
                                    &playlist, &error));
    assert_int_equal(error.code, HLS_ERROR_LINE_TOO_LONG);
    assert_int_equal(error.line, 3);
    memset(text + sizeof(start) - 1, '\n', HLS_PLAYLIST_SIZE_MAX - sizeof(start));
    assert_true(
        hls_playlist_parse(slice_make(text, HLS_PLAYLIST_SIZE_MAX - 1), NULL, NULL, &playlist, &error));
    assert_false(
        hls_playlist_parse(slice_make(text, HLS_PLAYLIST_SIZE_MAX + 1), NULL, NULL, &playlist, &error));
    assert_int_equal(error.code, HLS_ERROR_TOO_LARGE);
    free(text);
}

static void test_ttl(void **state)
{
    struct hls_playlist p = {.kind = HLS_MEDIA, .target_duration_ms = 4000};

    (void)state;
    assert_int_equal(hls_playlist_ttl_ms(&p, 60000), 2000);
    p.part_target_ms = 333;
    assert_int_equal(hls_playlist_ttl_ms(&p, 60000), 166);
    p.part_target_ms = 5000;
    assert_int_equal(hls_playlist_ttl_ms(&p, 60000), 2000);
    p.endlist = true;
    assert_int_equal(hls_playlist_ttl_ms(&p, 60000), 60000);
    p = (struct hls_playlist){.kind = HLS_MULTIVARIANT};
    assert_int_equal(hls_playlist_ttl_ms(&p, 60000), 60000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_multivariant_as_apple_writes_it),
        TEST(test_multivariant_with_steering_and_keys),
        TEST(test_vod_as_ffmpeg_writes_it),
        TEST(test_live_window_with_seams),
        TEST(test_low_latency),
        TEST(test_session_parameters_as_mediamtx_writes_them),
        TEST(test_section_4_4_5_2_delta_update),
        TEST(test_section_4_4_4_2_byteranges_follow_each_other),
        TEST(test_section_4_4_4_8_bitrate),
        TEST(test_section_4_3_variables),
        TEST(test_variables_of_a_variant_last_until_its_uri),
        TEST(test_variables_from_elsewhere_are_told),
        TEST(test_variables_cannot_blow_up),
        TEST(test_tolerance),
        TEST(test_no_events_wanted),
        TEST(test_errors_have_a_line),
        TEST(test_ranges_do_not_wrap),
        TEST(test_bounds),
        TEST(test_ttl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
