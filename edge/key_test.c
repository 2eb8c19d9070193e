/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: what is the same object, and what is not, by a site's rules. */
#include "key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "config_preset.h"

static void assert_key(const char *path, const char *query, const struct config_query_rules *rules,
                       const char *expected)
{
    struct buf text;
    struct slice target;
    buf_init(&text, KEY_SIZE_MAX);
    assert_true(key_write(SLICE_LITERAL("demo"), slice_of(path),
                          query ? slice_of(query) : (struct slice){NULL, 0}, rules, &text, &target));
    assert_int_equal(text.size, strlen("demo") + strlen(expected));
    assert_memory_equal(text.data + strlen("demo"), expected, strlen(expected));
    assert_int_equal(target.size, strlen(expected));
    assert_ptr_equal(target.data, text.data + strlen("demo"));
    buf_fini(&text);
}

static void test_paths_are_normalised(void **state)
{
    static const struct config_query_rules none = {0};
    (void)state;
    assert_key("", NULL, &none, "/");
    assert_key("/a/%7eb/../%41.ts", NULL, &none, "/a/A.ts");
    assert_key("/a%2fb", NULL, &none, "/a%2Fb");
    assert_key("/a", "", &none, "/a?");
}

static void test_parameters_are_dropped_and_kept(void **state)
{
    static const struct slice drop[] = {{"session", 7}, {"utm_*", 5}}, keep[] = {{"a", 1}, {"s*", 2}};
    const struct config_query_rules dropping = {.drop = drop, .drop_count = ARRAY_COUNT(drop)};
    const struct config_query_rules keeping = {
        .drop = drop, .drop_count = ARRAY_COUNT(drop), .keep = keep, .keep_count = ARRAY_COUNT(keep)};
    (void)state;
    assert_key("/", "b=1&session=2&a=3&utm_x&Session=4", &dropping, "/?b=1&a=3&Session=4");
    assert_key("/", "session=1&utm_a=2", &dropping, "/");
    assert_key("/", "b=1&session=2&a=3&sid=4&ab=5", &keeping, "/?a=3&sid=4");
    assert_key("/", "b=1", &keeping, "/");
}

static void test_sorting_keeps_the_order_of_one_name(void **state)
{
    const struct config_query_rules sorting = {.sort = true};
    struct buf query;
    (void)state;
    assert_key("/", "b=2&a=9&b=1&aa=0&a=1", &sorting, "/?a=9&a=1&aa=0&b=2&b=1");
    assert_key("/", "b&a", &sorting, "/?a&b");
    buf_init(&query, 1000);
    for (int i = 65; i > 0; i--) /* more than are sorted */
        buf_printf(&query, "%sp%02d", i < 65 ? "&" : "?", i);
    buf_append_char(&query, '\0');
    struct buf expected;
    buf_init(&expected, 1001);
    buf_printf(&expected, "/%s", query.data);
    buf_append_char(&expected, '\0');
    assert_key("/", query.data + 1, &sorting, expected.data);
    buf_fini(&query);
    buf_fini(&expected);
}

static void test_what_is_too_long_is_refused(void **state)
{
    static const struct config_query_rules none = {0};
    struct buf text;
    struct slice target;
    char *path = malloc(KEY_SIZE_MAX);
    (void)state;
    memset(path, '/', 1);
    memset(path + 1, 'a', KEY_SIZE_MAX - 1);
    buf_init(&text, KEY_SIZE_MAX);
    assert_false(key_write(SLICE_LITERAL("demo"), slice_make(path, KEY_SIZE_MAX), (struct slice){NULL, 0},
                           &none, &text, &target));
    buf_fini(&text);
    free(path);
}

static void test_presets(void **state)
{
    size_t count = 0;
    (void)state;
    const struct slice *srs = config_preset_find(SLICE_LITERAL("preset:srs"), &count);
    const struct config_query_rules rules = {.drop = srs, .drop_count = count};
    assert_non_null(srs);
    assert_key("/live.m3u8", "hls_ctx=a1b2&_HLS_msn=4", &rules, "/live.m3u8?_HLS_msn=4");
    assert_null(config_preset_find(SLICE_LITERAL("preset:"), &count));
    assert_null(config_preset_find(SLICE_LITERAL("srs"), &count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_normalised),
        cmocka_unit_test(test_parameters_are_dropped_and_kept),
        cmocka_unit_test(test_sorting_keeps_the_order_of_one_name),
        cmocka_unit_test(test_what_is_too_long_is_refused),
        cmocka_unit_test(test_presets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
