/* SPDX-License-Identifier: Apache-2.0 */
/* URIs: strict parsing, normalisation, all of RFC 3986's examples of resolution, and query parameters. */
#include "http/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"

static struct buf out;

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

static void assert_slice(struct slice s, const char *wanted)
{
    if (!wanted) {
        assert_null(s.data);
        return;
    }
    assert_non_null(s.data);
    if (!slice_equal(s, slice_of(wanted)))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), wanted);
}

static void assert_target(const char *target, const char *scheme, const char *authority, const char *path,
                          const char *query)
{
    struct uri u;

    if (!uri_parse_target(slice_of(target), &u))
        fail_msg("refused: %s", target);
    assert_slice(u.scheme, scheme);
    assert_slice(u.authority, authority);
    assert_slice(u.path, path);
    assert_slice(u.query, query);
}

static void test_rfc9112_section_3_2_targets(void **state)
{
    (void)state;
    assert_target("/", NULL, NULL, "/", NULL);
    assert_target("/where?q=now", NULL, NULL, "/where", "q=now");
    assert_target("/a/b.m3u8?", NULL, NULL, "/a/b.m3u8", "");
    assert_target("/a?b?c=/d", NULL, NULL, "/a", "b?c=/d");
    assert_target("//a", NULL, NULL, "//a", NULL);
    assert_target("*", NULL, NULL, "*", NULL);
    assert_target("http://www.example.org/pub/WWW/?x", "http", "www.example.org", "/pub/WWW/", "x");
    assert_target("HTTPS://h:8443", "HTTPS", "h:8443", "", NULL);
    assert_target("http://[::1]:80?q", "http", "[::1]:80", "", "q");
    assert_target("/-._~!$&'()*+,;=:@%41%c3%BC/", NULL, NULL, "/-._~!$&'()*+,;=:@%41%c3%BC/", NULL);
}

static void test_targets_refused(void **state)
{
    static const char *const bad[] = {"",           "a",          "a/b",         "example.com:80",
                                      "/a b",       "/a\tb",      "/a\x01",      "/a\x7f",
                                      "/a\xc3",     "/a#",        "/a#b",        "/a%",
                                      "/a%4",       "/a%4g",      "/a%g4",       "/a?%zz",
                                      "/a\"",       "/a<b>",      "/a\\b",       "/a^b",
                                      "/a`b",       "/a{b}",      "/a|b",        "/a[b]",
                                      "**",         "?a",         "http:/a",     "http:a",
                                      "http://",    "http:///a",  "://h/a",      "1http://h/a",
                                      "h_p://h/",   "http://h/#", "http://u@h/", "http://h:x/",
                                      "http://h/ ", "http://h/%", "http://h\\/", "\r\n"};
    struct uri u;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (uri_parse_target(slice_of(bad[i]), &u))
            fail_msg("accepted: %s", bad[i]);
    assert_false(uri_parse_target(slice_make("/a\0b", 4), &u));
    assert_false(uri_parse_target((struct slice){0}, &u));
}

static void test_targets_are_bounded(void **state)
{
    static char text[URI_SIZE_MAX + 1];
    struct uri u;

    (void)state;
    memset(text, '/', sizeof(text));
    assert_true(uri_parse_target(slice_make(text, URI_SIZE_MAX), &u));
    assert_false(uri_parse_target(slice_make(text, URI_SIZE_MAX + 1), &u));
}

static void assert_authority(const char *text, const char *host, unsigned port, bool is_ipv6)
{
    struct uri_authority a;

    if (!uri_parse_authority(slice_of(text), &a))
        fail_msg("refused: %s", text);
    assert_slice(a.host, host);
    assert_int_equal(a.port, port);
    assert_int_equal(a.is_ipv6, is_ipv6);
}

static void test_section_3_2_authorities(void **state)
{
    (void)state;
    assert_authority("video.example.com", "video.example.com", 0, false);
    assert_authority("Video.Example.com:8080", "Video.Example.com", 8080, false);
    assert_authority("h:", "h", 0, false);
    assert_authority("h:65535", "h", 65535, false);
    assert_authority("127.0.0.1:80", "127.0.0.1", 80, false);
    assert_authority("[::1]", "::1", 0, true);
    assert_authority("[2001:DB8::7]:443", "2001:DB8::7", 443, true);
    assert_authority("[::ffff:192.0.2.1]:", "::ffff:192.0.2.1", 0, true);
    assert_authority("a%2db", "a%2db", 0, false);
}

static void test_authorities_refused(void **state)
{
    static const char *const bad[] = {
        "",        ":80",        "h:0",          "h:65536", "h:8o",      "h:-1",        "h: 80",  "h:80:80",
        "u@h",     "u:p@h",      "h/",           "h h",     "::1",       "[::1",        "[::1]x", "[::1]]",
        "[::1]80", "[::g]",      "[v1.a:b]",     "[]",      "[1.2.3.4]", "[1.2.3.4:8]", "[:1]",   "[1::2::3]",
        "a%2",     "[::1%25lo]", "[fe80::1%lo]", "h\xc3",   "h,\x01"};
    struct uri_authority a;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (uri_parse_authority(slice_of(bad[i]), &a))
            fail_msg("accepted: %s", bad[i]);
    assert_false(uri_parse_authority((struct slice){0}, &a));
}

static void assert_normal(bool (*append)(struct buf *, struct slice), const char *text, const char *wanted)
{
    buf_clear(&out);
    assert_true(append(&out, slice_of(text)));
    assert_slice(buf_slice(&out), wanted);
}

static void test_section_6_2_2_percent_encodings(void **state)
{
    (void)state;
    assert_normal(uri_append_normalized, "", "");
    assert_normal(uri_append_normalized, "%7Euser/%41%7a%30%2d%2E%5f", "~user/Az0-._");
    assert_normal(uri_append_normalized, "a%2fb%3aC%c3%bc%20%00", "a%2Fb%3AC%C3%BC%20%00");
    assert_normal(uri_append_normalized, "%2541", "%2541");
    assert_normal(uri_append_normalized, "%25%34%31", "%2541");
    assert_normal(uri_append_normalized, "100%", "100%");
}

static void test_section_6_2_2_3_paths(void **state)
{
    (void)state;
    assert_normal(uri_append_normalized_path, "/a/%2e%2E/b", "/b");
    assert_normal(uri_append_normalized_path, "/../../etc/passwd", "/etc/passwd");
    assert_normal(uri_append_normalized_path, "/a/%2e%2e%2fb", "/a/..%2Fb");
    assert_normal(uri_append_normalized_path, "", "/");
    assert_normal(uri_append_normalized_path, "/..", "/");
    assert_normal(uri_append_normalized_path, "//a//../b", "//a/b");
    assert_normal(uri_append_normalized_path, "/a/...", "/a/...");
}

static void assert_without_dots(const char *path, const char *wanted)
{
    char text[64];

    snprintf(text, sizeof(text), "%s", path);
    assert_slice(slice_make(text, uri_remove_dot_segments(text, strlen(text))), wanted);
}

static void test_section_5_2_4_remove_dot_segments(void **state)
{
    (void)state;
    assert_without_dots("/a/b/c/./../../g", "/a/g");
    assert_without_dots("mid/content=5/../6", "mid/6");
    assert_without_dots("../.././../a", "a");
    assert_without_dots("..", "");
    assert_without_dots(".", "");
    assert_without_dots("./", "");
    assert_without_dots("a/..", "/");
    assert_without_dots("/.", "/");
    assert_without_dots("/a/b/..", "/a/");
    assert_without_dots("/a//../", "/a/");
    assert_without_dots("", "");
}

static void assert_resolves(const char *base, const char *reference, const char *wanted)
{
    buf_clear(&out);
    if (!uri_resolve(slice_of(base), slice_of(reference), &out))
        fail_msg("refused: %s", reference);
    assert_slice(buf_slice(&out), wanted);
}

/* The RFC's results, without their fragments. */
static void test_section_5_4_examples(void **state)
{
    static const char *const examples[][2] = {
        /* 5.4.1 normal */
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        /* 5.4.2 abnormal */
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g"},
        {"g#s/../x", "http://a/b/c/g"},
        {"http:g", "http:g"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(examples); i++)
        assert_resolves("http://a/b/c/d;p?q", examples[i][0], examples[i][1]);
}

static void test_references_of_playlists(void **state)
{
    const char *base = "https://v.example.com/live/main.m3u8?session=1";

    (void)state;
    assert_resolves(base, "720p/seg 1.ts", "https://v.example.com/live/720p/seg%201.ts");
    assert_resolves(base, "s\xc3\xbc\xc3\x9f.ts?t=\"x\"",
                    "https://v.example.com/live/s%C3%BC%C3%9F.ts?t=%22x%22");
    assert_resolves(base, "seg%20[1].ts", "https://v.example.com/live/seg%20%5B1%5D.ts");
    assert_resolves(base, "//cdn.example.com/x.ts", "https://cdn.example.com/x.ts");
    assert_resolves(base, "http://o:8080/../x.ts?a=b&c", "http://o:8080/x.ts?a=b&c");
    assert_resolves(base, "12:30:00.ts", "https://v.example.com/live/12:30:00.ts");
    assert_resolves(base, "clip_1:2.ts", "https://v.example.com/live/clip_1:2.ts");
    assert_resolves("https://v.example.com", "a.ts", "https://v.example.com/a.ts");
    assert_resolves("https://v.example.com?x", "", "https://v.example.com?x");
}

static void test_base_in_origin_form(void **state)
{
    (void)state;
    assert_resolves("/live/main.m3u8?x=1", "seg1.ts?y", "/live/seg1.ts?y");
    assert_resolves("/live/main.m3u8", "../seg1.ts", "/seg1.ts");
    assert_resolves("/live/main.m3u8", "/x/../seg1.ts", "/seg1.ts");
    assert_resolves("/live/main.m3u8", "https://h/a", "https://h/a");
    assert_resolves("/main.m3u8", "", "/main.m3u8");
}

static void test_references_refused(void **state)
{
    static const char *const bad[][2] = {
        {"http://a/b", "c%"},
        {"http://a/b", "c%4"},
        {"http://a/b", "c%zz"},
        {"http://a/b", "c\td"},
        {"http://a/b", "c\x7f"},
        {"http://a/b", "c?\x01"},
        {"b/c", "d"},
        {"", "d"},
        {"http:b", "d"},
        {"http://a/b", "//h\xc3"},
        {"http://a/b", "//h h/"},
        {"http://a/b%", "d/../c"},
        {"http://a/%zz/b", "c"},
    };

    (void)state;
    buf_append_text(&out, "kept");
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        bool refused = !uri_resolve(slice_of(bad[i][0]), slice_of(bad[i][1]), &out);
        bool base_unused = strcmp(bad[i][0], "http://a/b%") == 0; /* its last segment is replaced */
        assert_int_equal(refused, !base_unused);
        if (refused)
            assert_slice(buf_slice(&out), "kept");
        else
            out.size = 4;
    }
}

static void test_resolution_is_bounded(void **state)
{
    struct buf small;

    (void)state;
    buf_init(&small, 16);
    assert_true(uri_resolve(slice_of("http://a/b"), slice_of("123456789"), &small) == false);
    assert_int_equal(small.size, 0);
    assert_true(small.failed);
    buf_clear(&small);
    assert_true(uri_resolve(slice_of("http://a/b"), slice_of("1234567"), &small));
    assert_slice(buf_slice(&small), "http://a/1234567");
    buf_fini(&small);
}

static void test_query_parameters(void **state)
{
    struct slice rest = SLICE_LITERAL("a=1&b&c=&=d&&e=f=g");
    static const char *const wanted[][3] = {{"a", "1", "a=1"}, {"b", NULL, "b"}, {"c", "", "c="},
                                            {"", "d", "=d"},   {"", NULL, ""},   {"e", "f=g", "e=f=g"}};
    struct uri_param p;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        assert_true(uri_query_next(&rest, &p));
        assert_slice(p.name, wanted[i][0]);
        assert_slice(p.value, wanted[i][1]);
        assert_slice(p.whole, wanted[i][2]);
    }
    assert_false(uri_query_next(&rest, &p));
    rest = (struct slice){0};
    assert_false(uri_query_next(&rest, &p));
}

static void assert_filtered(const char *query, const char *wanted, size_t kept)
{
    static const struct slice patterns[] = {{"CMCD", 4}, {"utm_*", 5}, {"session", 7}};

    buf_clear(&out);
    assert_int_equal(uri_query_filter(slice_of(query), patterns, ARRAY_COUNT(patterns), &out), kept);
    assert_slice(buf_slice(&out), wanted);
}

static void test_query_filter(void **state)
{
    (void)state;
    assert_filtered("CMCD=br%3D3200%2Cbl%3D1&x=1&utm_source=a&y&session=9&session2=8", "x=1&y&session2=8", 3);
    assert_filtered("session=1&CMCD=2", "", 0);
    assert_filtered("utm_&utm=1&cmcd=1", "utm=1&cmcd=1", 2);
    assert_filtered("b=2&a=1&b=1", "b=2&a=1&b=1", 3);
    assert_filtered("a&&b&", "a&&b&", 4);
    assert_filtered("", "", 1);
}

static void test_query_filter_patterns(void **state)
{
    static const struct slice all[] = {{"*", 1}};

    (void)state;
    assert_int_equal(uri_query_filter(slice_of("a=1&b"), all, 1, &out), 0);
    assert_int_equal(uri_query_filter(slice_of("a=1&b"), NULL, 0, &out), 2);
    assert_int_equal(uri_query_filter((struct slice){0}, NULL, 0, &out), 0);
    assert_slice(buf_slice(&out), "a=1&b");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rfc9112_section_3_2_targets),
        TEST(test_targets_refused),
        TEST(test_targets_are_bounded),
        TEST(test_section_3_2_authorities),
        TEST(test_authorities_refused),
        TEST(test_section_6_2_2_percent_encodings),
        TEST(test_section_6_2_2_3_paths),
        TEST(test_section_5_2_4_remove_dot_segments),
        TEST(test_section_5_4_examples),
        TEST(test_references_of_playlists),
        TEST(test_base_in_origin_form),
        TEST(test_references_refused),
        TEST(test_resolution_is_bounded),
        TEST(test_query_parameters),
        TEST(test_query_filter),
        TEST(test_query_filter_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
