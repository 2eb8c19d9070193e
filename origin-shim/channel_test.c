/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of channel.h and channel_load.h: VODs written into a folder of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "channel.h"

#define NOW_MS 1000000000LL

#define MASTER                                                             \
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nlow/index.m3u8\n" \
    "#EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"a\"\nhigh/in%20dex.m3u8?x=1\n"  \
    "#EXT-X-STREAM-INF:BANDWIDTH=3,AUDIO=\"a\"\nlow/index.m3u8\n"          \
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"sound.m3u8\"\n"
#define LOW                              \
    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n" \
    "#EXTINF:4,\n0.ts\n#EXTINF:4,\n1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST\n"
#define HIGH                                                                                                \
    "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"100@0\"\n" \
    "#EXTINF:4,\n#EXT-X-BYTERANGE:10@100\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:20\nall.mp4\n"              \
    "#EXTINF:2,\n#EXT-X-BYTERANGE:30\nall.mp4\n#EXT-X-ENDLIST\n"
#define SOUND                                                                              \
    "#EXTM3U\n#EXT-X-TARGETDURATION:5\n"                                                   \
    "#EXTINF:4.1,\ns/0.aac\n#EXTINF:4,\ns/1.aac\n#EXTINF:1.9,\ns/2.aac\n#EXTINF:0.02,\ns/" \
    "3.aac\n#EXT-X-ENDLIST\n"

struct fixture {
    char folder[64];
    struct directory *root;
    char error[1024];
};

static void write_file(const struct fixture *f, const char *path, const char *content)
{
    char full[256];
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", f->folder, path);
    file = fopen(full, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const struct fixture *f, const char *path)
{
    char full[256];

    snprintf(full, sizeof(full), "%s/%s", f->folder, path);
    assert_int_equal(mkdir(full, 0755), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    strcpy(f->folder, "/tmp/channel_test.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    make_folder(f, "vod");
    make_folder(f, "vod/low");
    make_folder(f, "vod/high");
    write_file(f, "vod/main.m3u8", MASTER);
    write_file(f, "vod/low/index.m3u8", LOW);
    write_file(f, "vod/high/in dex.m3u8", HIGH);
    write_file(f, "vod/sound.m3u8", SOUND);
    assert_int_equal(directory_open(f->folder, &f->root), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const paths[] = {"vod/main.m3u8",
                                        "vod/low/index.m3u8",
                                        "vod/high/in dex.m3u8",
                                        "vod/sound.m3u8",
                                        "vod/low",
                                        "vod/high",
                                        "vod",
                                        ""};
    struct fixture *f = *state;
    char full[256];

    directory_close(f->root);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        snprintf(full, sizeof(full), "%s/%s", f->folder, paths[i]);
        assert_int_equal(remove(full), 0);
    }
    free(f);
    return 0;
}

/* NULL when it is refused; then f->error says why. */
static struct channel *open_channel(struct fixture *f, const char *name, const char *source)
{
    const struct channel_options options = {name, source, LIVE_WINDOW_SEGMENTS};
    struct channel *c = NULL;
    struct buf error;
    int status;

    buf_init(&error, sizeof(f->error) - 1);
    status = channel_open(f->root, &options, &error, &c);
    assert_int_equal(status == 0, error.size == 0);
    memcpy(f->error, buf_slice(&error).data, error.size);
    f->error[error.size] = '\0';
    buf_fini(&error);
    return c;
}

static void test_renditions_are_loaded(void **state)
{
    struct channel *c = open_channel(*state, "news", "vod/main.m3u8");
    const struct live_vod *vod;

    assert_non_null(c);
    vod = channel_vod(c);
    assert_string_equal(channel_name(c), "news");
    assert_int_equal(vod->rendition_count, 3);
    assert_int_equal(vod->segment_count, 3); /* the rest of a segment of sound is left out */
    assert_int_equal(vod->start_us[3], 10000000);
    assert_int_equal(vod->target_duration_ms, 5000);
    assert_string_equal(vod->renditions[0].path, "low/index.m3u8");
    assert_string_equal(vod->renditions[0].extension, ".ts");
    assert_int_equal(vod->renditions[0].version, 3);
    assert_int_equal(vod->renditions[0].segments[2].discontinuities, 2);
    assert_string_equal(vod->renditions[1].path, "high/in dex.m3u8");
    assert_string_equal(vod->renditions[1].name, "in%20dex");
    assert_int_equal(vod->renditions[1].version, 7);
    assert_string_equal(vod->renditions[2].path, "sound.m3u8");
    channel_close(c);
}

static void test_urls_find_files(void **state)
{
    struct channel *c = open_channel(*state, "news", "vod/main.m3u8");
    uint64_t msn = (uint64_t)live_window_at(channel_vod(c), NOW_MS).first_msn;
    struct channel_resource found;
    char path[256];

    msn += 2 - msn % 3; /* the third segment of a loop, in the window */
    assert_int_equal(channel_find(c, "main.m3u8", NOW_MS).kind, CHANNEL_MULTIVARIANT);
    found = channel_find(c, "master.m3u8", NOW_MS);
    assert_int_equal(found.kind, CHANNEL_MULTIVARIANT);
    assert_string_equal(found.path, "vod/main.m3u8");
    found = channel_find(c, "low/index.m3u8", NOW_MS);
    assert_int_equal(found.kind, CHANNEL_PLAYLIST);
    assert_ptr_equal(found.rendition, &channel_vod(c)->renditions[0]);

    snprintf(path, sizeof(path), "low/index-%llu.ts", (unsigned long long)msn);
    found = channel_find(c, path, NOW_MS);
    assert_int_equal(found.kind, CHANNEL_SEGMENT);
    assert_string_equal(found.path, "vod/low/2.ts");
    assert_false(found.range.present);
    snprintf(path, sizeof(path), "high/in dex-%llu.mp4", (unsigned long long)msn);
    found = channel_find(c, path, NOW_MS);
    assert_int_equal(found.kind, CHANNEL_SEGMENT);
    assert_string_equal(found.path, "vod/high/all.mp4");
    assert_true(found.range.present);
    assert_int_equal(found.range.offset, 130);
    assert_int_equal(found.range.length, 30);
    found = channel_find(c, "high/init.mp4", NOW_MS);
    assert_int_equal(found.kind, CHANNEL_MAP);
    assert_string_equal(found.path, "vod/high/init.mp4");
    channel_close(c);
}

static void test_urls_that_are_none(void **state)
{
    static const char *const paths[] = {"",
                                        "low",
                                        "low/0.ts", /* the VOD's own name would mix loops */
                                        "low/index-.ts",
                                        "low/index-1.mp4",
                                        "low/index-+1.ts",
                                        "low/index-01.ts",
                                        "low/index-18446744073709551616.ts",
                                        "low/index1.ts",
                                        "index-1.ts",
                                        "low/init.mp4",
                                        "high/in%20dex.m3u8"};
    struct channel *c = open_channel(*state, "news", "vod/main.m3u8");

    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        assert_int_equal(channel_find(c, paths[i], NOW_MS).kind, CHANNEL_NOT_FOUND);
    assert_int_equal(channel_find(c, "low/index-1.ts", NOW_MS).kind, CHANNEL_GONE);
    assert_int_equal(channel_find(c, "low/index-18446744073709551615.ts", NOW_MS).kind, CHANNEL_NOT_YET);
    channel_close(c);
}

static void assert_refused(struct fixture *f, const char *source, const char *error)
{
    assert_null(open_channel(f, "news", source));
    if (strstr(f->error, error) == NULL)
        fail_msg("'%s' does not say '%s'", f->error, error);
}

static void test_what_cannot_be_played(void **state)
{
    struct fixture *f = *state;

    assert_null(open_channel(f, "no name", "vod/main.m3u8"));
    assert_non_null(strstr(f->error, "is no name"));
    assert_refused(f, "vod/none.m3u8", "vod/none.m3u8: No such file");
    assert_refused(f, "../vod/main.m3u8", "No such file");
    assert_refused(f, "vod/low/index.m3u8", "not a multivariant playlist");

    write_file(f, "vod/sound.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n0.aac\n#EXT-X-ENDLIST\n");
    assert_refused(f, "vod/main.m3u8", "between 1 and 3 segments");
    write_file(
        f, "vod/sound.m3u8",
        "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8.5,\n0.aac\n#EXTINF:0.5,\n1.aac\n#EXTINF:1,\n2.aac\n");
    assert_refused(f, "vod/main.m3u8", "vod/sound.m3u8: segment 1 begins at 8.500 s, but at 4.000 s");
    write_file(f, "vod/sound.m3u8",
               "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:4,\n0.aac\n");
    assert_refused(f, "vod/main.m3u8", "encrypted media cannot be played live");
    write_file(f, "vod/sound.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n../../0.aac\n");
    assert_refused(f, "vod/main.m3u8", "'../../0.aac' is not below the folder");
    write_file(f, "vod/sound.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\nhttp://other/0.aac\n");
    assert_refused(f, "vod/main.m3u8", "is not below the folder");
    write_file(f, "vod/sound.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:0,\n0.aac\n");
    assert_refused(f, "vod/main.m3u8", "one without duration");
    write_file(f, "vod/sound.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n");
    assert_refused(f, "vod/main.m3u8", "not a media playlist with segments");
    write_file(f, "vod/sound.m3u8", "nonsense");
    assert_refused(f, "vod/main.m3u8", "vod/sound.m3u8: line 1: the first line is not #EXTM3U");
    write_file(f, "vod/main.m3u8", MASTER "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n");
    assert_refused(f, "vod/main.m3u8", "I-frame playlists");
}

static void test_renditions_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct buf master;

    buf_init(&master, 10000);
    buf_append_text(&master, "#EXTM3U\n");
    for (int i = 0; i <= CHANNEL_RENDITIONS_MAX; i++)
        buf_printf(&master, "#EXT-X-STREAM-INF:BANDWIDTH=1\n%d.m3u8\n", i);
    assert_true(buf_append_char(&master, '\0'));
    write_file(f, "vod/main.m3u8", master.data);
    assert_refused(f, "vod/main.m3u8", "too many renditions");
    buf_fini(&master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_renditions_are_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_urls_find_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_urls_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_played, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renditions_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
