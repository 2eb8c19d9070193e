/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hint.h, and of what the catalog tells it. */
#include "hint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct store_hint of(const char *text)
{
    struct store_hint hint;
    hint_of_text(slice_of(text), &hint);
    return hint;
}

static void assert_same_title(const char *a, const char *b)
{
    assert_true(of(a).title == of(b).title);
    assert_true(of(a).title != 0);
}

static void test_folders_are_titles(void **state)
{
    (void)state;
    assert_same_title("s/show/seg-1.ts", "s/show/seg-22.ts");
    assert_true(of("s/show/seg-1.ts").rendition == of("s/show/seg-22.ts").rendition);
    assert_true(of("s/show/low-1.ts").rendition != of("s/show/high-1.ts").rendition);
    assert_true(of("s/show/seg-1.ts").title != of("s/other/seg-1.ts").title);
    assert_true(of("s/show/seg-1.ts").title != of("t/show/seg-1.ts").title);
}

static void test_folders_of_renditions_are_not(void **state)
{
    static const char *const names[] = {"720p",  "1080p60", "3000k",   "1280x720", "v0",   "stream_1",
                                        "audio", "video1",  "level-2", "480",      "high", "3"};
    char text[100];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(text, sizeof(text), "s/show/%s/seg-00012.m4s?token=5", names[i]);
        assert_same_title(text, "s/show/other.ts");
        assert_int_equal(of(text).segment, 12);
        assert_true(of(text).rendition != 0);
    }
    /* These tell titles apart. */
    static const char *const titles[] = {"12345", "s01e02", "matrix-3", "2001", "e12"};
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        snprintf(text, sizeof(text), "s/show/%s/seg-1.ts", titles[i]);
        assert_true(of(text).title != of("s/show/other.ts").title);
    }
    assert_true(of("s/a/720p/1.ts").rendition == of("s/b/720p/1.ts").rendition); /* alike among titles */
}

static void test_numbers_at_the_end_of_names(void **state)
{
    (void)state;
    assert_int_equal(of("s/x/seg-00012.ts").segment, 12);
    assert_int_equal(of("s/x/12.ts").segment, 12);
    assert_int_equal(of("s/x/seg").segment, 0);
    assert_int_equal(of("s/x/a7b.ts").segment, 0);
    assert_int_equal(of("s/x/chunk_1700000000123.m4s").segment, 123);
    assert_int_equal(of("s/x/seg-4.ts?n=9").segment, 4);
}

static void test_odd_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "/", "s", "s/", "?", "s/?x", "//", "s/...", "s/./", "s/7", "7"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(of(texts[i]).title != 0);
        assert_true(of(texts[i]).rendition != 0);
    }
}

/* ---- sessions ---- */

static const uint8_t secret[HASH_SECRET_SIZE] = {1, 2, 3};

static uint64_t session_of(const char *query, const char *field, uint16_t port)
{
    struct http_head head = {.field_count = field ? 1 : 0};
    struct addr peer = {.port = port};
    if (field)
        head.fields[0] = (struct http_field){SLICE_LITERAL("CMCD-Session"), slice_of(field)};
    return hint_session(&head, query ? slice_of(query) : (struct slice){NULL, 0}, &peer, secret);
}

static void test_sessions(void **state)
{
    (void)state;
    uint64_t id = session_of(NULL, "sf=h,sid=\"6e2fb550-c457\",st=v", 1);
    assert_true(id != 0);
    assert_true(session_of("a=1&CMCD=bl%3D1000%2Csid%3D%226e2fb550-c457%22%2Cst%3Dv", NULL, 2) == id);
    assert_true(session_of("CMCD=sid%3D%226e2fb550-c457%22", NULL, 3) == id);
    assert_true(session_of(NULL, "sid=\"6e2fb550-c458\"", 1) != id);
    /* None is named: the connection tells. */
    assert_true(session_of("CMCD=inside%3D7", NULL, 1) == session_of(NULL, NULL, 1));
    assert_true(session_of(NULL, "sid=\"\"", 1) == session_of(NULL, NULL, 1));
    assert_true(session_of(NULL, "sid", 1) == session_of(NULL, NULL, 1));
    assert_true(session_of(NULL, NULL, 1) != session_of(NULL, NULL, 2));
}

/* ---- playlists ---- */

static struct hash128 hash_of(const char *name)
{
    return hash_key(secret, slice_of(name));
}

static bool resolve(void *user, struct slice reference, struct hash128 *ret_hash)
{
    (void)user;
    *ret_hash = hash_key(secret, reference);
    return true;
}

static void learn(struct catalog *c, const char *name, const char *text)
{
    struct hls_playlist summary;
    struct catalog_source source = {hash_of(name), slice_of(text), 77, 5};
    assert_true(catalog_learn(c, &source, resolve, NULL, &summary));
}

static struct store_hint hint_from(struct catalog *c, const char *name, enum content_class content_class)
{
    struct store_hint hint;
    struct catalog_entry entry;
    bool is_known = catalog_find(c, hash_of(name), &entry);
    hint_of_key(c, is_known ? &entry : NULL, content_class, slice_of(name), &hint);
    return hint;
}

static const char multivariant[] = "#EXTM3U\n"
                                   "#EXT-X-STREAM-INF:BANDWIDTH=1000\nlow.m3u8\n"
                                   "#EXT-X-STREAM-INF:BANDWIDTH=2000\nhigh.m3u8\n";

static const char live[] = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n"
                           "#EXTINF:4,\na.ts\n#EXTINF:4,\nb.ts\n";
static const char later[] = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:12\n"
                            "#EXTINF:4,\nc.ts\n#EXTINF:4,\nd.ts\n#EXTINF:4,\ne.ts\n";
static const char ended[] = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:12\n"
                            "#EXTINF:4,\nc.ts\n#EXT-X-ENDLIST\n";

static void test_renditions_share_a_title(void **state)
{
    (void)state;
    struct catalog *c = catalog_new(1000);
    learn(c, "index.m3u8", multivariant);
    learn(c, "low.m3u8", live);
    learn(c, "high.m3u8", later);
    struct store_hint low = hint_from(c, "a.ts", CLASS_SEGMENT), high = hint_from(c, "c.ts", CLASS_SEGMENT);
    assert_true(low.title == hash_of("index.m3u8").low && high.title == low.title);
    assert_int_equal(low.rendition, 1);
    assert_int_equal(high.rendition, 2);
    assert_int_equal(low.segment, 10);
    assert_int_equal(hint_from(c, "b.ts", CLASS_SEGMENT).segment, 11);
    assert_int_equal(hint_from(c, "low.m3u8", CLASS_PLAYLIST).kind, STORE_SMALL);
    catalog_free(c);
}

static void test_a_live_window_moves(void **state)
{
    (void)state;
    struct catalog *c = catalog_new(1000);
    learn(c, "live.m3u8", live);
    struct store_hint hint = hint_from(c, "a.ts", CLASS_SEGMENT);
    assert_int_equal(hint.kind, STORE_LIVE);
    assert_int_equal(hint.live_first, 10);
    assert_int_equal(hint.live_last, 11);
    assert_int_equal(hint.title, 77); /* no multivariant playlist lists it */
    assert_int_equal(hint.rendition, 5);
    learn(c, "live.m3u8", later);
    hint = hint_from(c, "a.ts", CLASS_SEGMENT); /* behind the window by now */
    assert_int_equal(hint.live_first, 12);
    assert_int_equal(hint.live_last, 14);
    learn(c, "index.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nlive.m3u8\n");
    hint = hint_from(c, "a.ts", CLASS_SEGMENT);
    assert_int_equal(hint.live_first, 12); /* to be listed changes nothing of that */
    learn(c, "live.m3u8", ended);
    hint = hint_from(c, "a.ts", CLASS_SEGMENT);
    assert_int_equal(hint.kind, STORE_VOD);
    assert_int_equal(hint.live_last, 0);
    catalog_free(c);
}

static void test_what_no_playlist_lists(void **state)
{
    (void)state;
    struct catalog *c = catalog_new(1000);
    struct store_hint hint = hint_from(c, "s/show/720p/seg-3.ts", CLASS_SEGMENT);
    assert_int_equal(hint.kind, STORE_VOD);
    assert_int_equal(hint.segment, 3);
    assert_true(hint.title == of("s/show/720p/seg-3.ts").title);
    hint = hint_from(c, "s/logo.png", CLASS_OTHER);
    assert_int_equal(hint.kind, STORE_OTHER);
    assert_int_equal(hint.title, 0);
    assert_int_equal(hint_from(c, "s/show/init.mp4", CLASS_INIT).kind, STORE_SMALL);
    catalog_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders_are_titles),
        cmocka_unit_test(test_folders_of_renditions_are_not),
        cmocka_unit_test(test_numbers_at_the_end_of_names),
        cmocka_unit_test(test_odd_texts),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_renditions_share_a_title),
        cmocka_unit_test(test_a_live_window_moves),
        cmocka_unit_test(test_what_no_playlist_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
