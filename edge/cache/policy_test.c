/* SPDX-License-Identifier: Apache-2.0 */
/* How long a response is fresh, and stale, at this edge: what the origin says, and what its silence means. */
#include "cache/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#define NOW_MS ((int64_t)1700000000000)

static const struct config_freshness defaults = {
    .playlist_live_max_ms = CONFIG_NONE,
    .playlist_ended_ms = 3600000,
    .playlist_multivariant_ms = 30000,
    .segment_ms = 2592000000,
    .init_ms = 2592000000,
    .part_ms = 600000,
    .key_ms = 3600000,
    .other_ms = 7200000,
    .not_found_ms = 2000,
    .not_found_playlist_ms = 1000,
    .not_found_other_ms = 10000,
    .gone_ms = 60000,
    .server_error_ms = 3000,
    .stale_if_error_ms = 86400000,
    .stale_while_revalidate_ms = 9000,
};
static const struct hls_playlist live = {.kind = HLS_MEDIA, .target_duration_ms = 6000};
static const struct hls_playlist ended = {.kind = HLS_MEDIA, .target_duration_ms = 6000, .endlist = true};

struct expectation {
    int64_t fresh_s;
    uint32_t stale_s; /* if the origin fails */
    uint32_t late_s;  /* while it is asked */
};

static struct expectation judge(const char *cache_control, unsigned status, enum content_class content_class,
                                const struct hls_playlist *playlist)
{
    struct freshness_input in = {.status = status, .request_time_ms = NOW_MS, .response_time_ms = NOW_MS};
    struct policy_content content = {content_class, playlist, 0};
    struct policy policy;
    struct store_meta meta = {0};
    if (cache_control)
        http_cache_control_add(&in.cache_control, slice_of(cache_control));
    policy_of_response(&in, &policy);
    policy_apply(&policy, &content, &defaults, &meta);
    assert_true(meta.generated_at_ms == NOW_MS);
    return (struct expectation){(meta.fresh_until_ms - NOW_MS) / 1000, meta.stale_if_error_s,
                                meta.stale_while_revalidate_s};
}

static void test_freshness_and_staleness(void **state)
{
    static const struct {
        const char *cache_control;
        unsigned status;
        enum content_class content_class;
        const struct hls_playlist *playlist;
        struct expectation expected;
    } cases[] = {
        {NULL, 200, CLASS_PLAYLIST, &live, {3, 30, 0}}, /* half a target duration, then five of them */
        {NULL, 200, CLASS_PLAYLIST, &ended, {3600, 86400, 0}},
        {NULL, 200, CLASS_PLAYLIST, NULL, {1, 0, 0}}, /* who knows what it is */
        {NULL, 200, CLASS_SEGMENT, NULL, {2592000, 86400, 9}},
        {NULL, 200, CLASS_OTHER, NULL, {7200, 86400, 9}},
        {NULL, 404, CLASS_SEGMENT, NULL, {2, 0, 0}},
        {NULL, 404, CLASS_KEY, NULL, {2, 0, 0}},
        {NULL, 404, CLASS_PLAYLIST, NULL, {1, 0, 0}},
        {NULL, 404, CLASS_OTHER, NULL, {10, 0, 0}},
        {NULL, 410, CLASS_SEGMENT, NULL, {60, 0, 0}},
        {NULL, 410, CLASS_OTHER, NULL, {60, 0, 0}},
        {NULL, 501, CLASS_SEGMENT, NULL, {2, 0, 0}},
        {NULL, 503, CLASS_PLAYLIST, NULL, {3, 0, 0}},
        {"max-age=60", 404, CLASS_SEGMENT, NULL, {60, 0, 0}},
        {"max-age=60", 200, CLASS_PLAYLIST, &live, {60, 30, 0}},
        {"max-age=60", 200, CLASS_SEGMENT, NULL, {60, 86400, 9}},
        {"max-age=0", 200, CLASS_SEGMENT, NULL, {0, 0, 0}},
        {"no-cache", 200, CLASS_SEGMENT, NULL, {0, 0, 0}},
        {"max-age=60, must-revalidate", 200, CLASS_SEGMENT, NULL, {60, 0, 0}},
        {"max-age=60, proxy-revalidate", 200, CLASS_SEGMENT, NULL, {60, 0, 0}},
        {"s-maxage=60", 200, CLASS_SEGMENT, NULL, {60, 0, 0}},
        {"max-age=60, stale-if-error=7", 200, CLASS_PLAYLIST, &live, {60, 7, 0}},
        {"max-age=0, stale-if-error=7", 200, CLASS_SEGMENT, NULL, {0, 7, 0}},
        {"max-age=60, stale-while-revalidate=3", 200, CLASS_PLAYLIST, &live, {60, 30, 3}},
        {"max-age=60, stale-if-error=0", 200, CLASS_SEGMENT, NULL, {60, 0, 9}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct expectation got =
            judge(cases[i].cache_control, cases[i].status, cases[i].content_class, cases[i].playlist);
        if (got.fresh_s != cases[i].expected.fresh_s || got.stale_s != cases[i].expected.stale_s)
            fail_msg("case %zu: fresh for %lld s, then stale for %u s", i, (long long)got.fresh_s,
                     got.stale_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_freshness_and_staleness)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
