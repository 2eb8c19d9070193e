/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of media_type.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "media_type.h"

static void test_types_by_extension(void **state)
{
    static const struct {
        const char *path, *type;
        enum media_class media_class;
    } cases[] = {
        {"vod/ts/v0/seg.ts", "video/mp2t", MEDIA_SEGMENT},
        {"SEG.TS", "video/mp2t", MEDIA_SEGMENT},
        {"a.b.m4s", "video/iso.segment", MEDIA_SEGMENT},
        {"v0/init.mp4", "video/mp4", MEDIA_INIT},
        {"init-3.mp4", "video/mp4", MEDIA_INIT},
        {"init/film.mp4", "video/mp4", MEDIA_OTHER},
        {"film.mp4", "video/mp4", MEDIA_OTHER},
        {"a.aac", "audio/aac", MEDIA_SEGMENT},
        {"a.vtt", "text/vtt; charset=utf-8", MEDIA_OTHER},
        {"a.mpd", "application/dash+xml", MEDIA_OTHER},
        {"a.key", "application/octet-stream", MEDIA_OTHER},
        {"index.html", "text/html; charset=utf-8", MEDIA_OTHER},
        {"ts", "application/octet-stream", MEDIA_OTHER},
        {"folder.ts/file", "application/octet-stream", MEDIA_OTHER},
        {"", "application/octet-stream", MEDIA_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct media_type type = media_type_of(slice_of(cases[i].path));
        assert_string_equal(type.name, cases[i].type);
        assert_int_equal(type.media_class, cases[i].media_class);
        assert_false(type.is_playlist);
    }
    assert_true(media_type_of(slice_of("a/master.m3u8")).is_playlist);
}

static void test_classes_have_words(void **state)
{
    (void)state;
    assert_string_equal(media_class_name(MEDIA_LIVE_PLAYLIST), "live_playlist");
    assert_string_equal(media_class_name(MEDIA_OTHER), "other");
    assert_string_equal(media_class_cache_control(MEDIA_OTHER), "");
    assert_non_null(strstr(media_class_cache_control(MEDIA_SEGMENT), "immutable"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_by_extension),
        cmocka_unit_test(test_classes_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
