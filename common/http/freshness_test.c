/* SPDX-License-Identifier: Apache-2.0 */
/* Storing, freshness, staleness and age, by section of RFC 9111. */
#include "http/freshness.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"

#define RECEIVED_S 1750000000 /* Sun, 15 Jun 2025 15:06:40 GMT */
#define DATE_NOW   "Sun, 15 Jun 2025 15:06:40 GMT"
#define DATE_LATER "Sun, 15 Jun 2025 15:16:40 GMT"
#define DATE_HOUR  "Sun, 15 Jun 2025 14:06:40 GMT"
#define DATES_TWO  "Sun, 15 Jun 2025 15:16:40 GMT, Sun, 15 Jun 2025 15:16:40 GMT"
#define DATE_1994  "Sun, 06 Nov 1994 08:49:37 GMT"

static struct cache_control cc_of(const char *text)
{
    struct cache_control cc = {0};

    http_cache_control_add(&cc, slice_of(text));
    return cc;
}

static bool says(const char *text, enum cache_control_directive directive)
{
    struct cache_control cc = cc_of(text);

    return http_cache_control_has(&cc, directive);
}

/* -1 when the directive is not there. */
static int64_t seconds(const char *text, enum cache_control_directive directive)
{
    struct cache_control cc = cc_of(text);

    return http_cache_control_has(&cc, directive) ? (int64_t)cc.seconds[directive] : -1;
}

static struct freshness_input response(unsigned status, const char *cache_control)
{
    return (struct freshness_input){
        .status = status,
        .cache_control = cc_of(cache_control),
        .date = SLICE_LITERAL(DATE_NOW),
        .request_time_ms = RECEIVED_S * 1000LL,
        .response_time_ms = RECEIVED_S * 1000LL,
    };
}

static void test_section_5_2_every_directive_is_read(void **state)
{
    static const char *const names[] = {
#define D(name, text) text,
        CACHE_CONTROL_DIRECTIVES(D)
#undef D
    };

    (void)state;
    for (unsigned d = 0; d < CC_COUNT; d++)
        assert_int_equal(cc_of(names[d]).present, 1u << d);
    assert_int_equal(cc_of("").present, 0);
    assert_int_equal(cc_of("foo, bar=1, x-no-store, no-storex, maxage=1").present, 0);
}

static void test_section_5_2_syntax(void **state)
{
    (void)state;
    assert_int_equal(seconds("MAX-AGE=60", CC_MAX_AGE), 60);
    assert_int_equal(seconds("\t public ,, max-age=60 ,", CC_MAX_AGE), 60);
    assert_int_equal(seconds("max-age=\"60\"", CC_MAX_AGE), 60);
    assert_int_equal(seconds("max-age=0060", CC_MAX_AGE), 60);
    assert_int_equal(seconds("x=\"max-age=1, no-store\", max-age=60", CC_MAX_AGE), 60);
    assert_false(says("x=\"max-age=1, no-store\", max-age=60", CC_NO_STORE));
    assert_false(says("x=\"a\\\", no-store\"", CC_NO_STORE));
    assert_true(says("x=\"a\\\\\", no-store", CC_NO_STORE));
}

static void test_broken_quotes_hide_nothing(void **state)
{
    (void)state;
    assert_true(says("x=\"open, no-store", CC_NO_STORE));
    assert_true(says("x=\"open, y=\"a,b\", no-store", CC_NO_STORE));
    assert_true(says("x=\"open\\", CC_NO_STORE) == false);
    assert_int_equal(seconds("max-age=\"60, private", CC_MAX_AGE), 0);
    assert_true(says("max-age=\"60, private", CC_PRIVATE));
}

static void test_lines_add_up(void **state)
{
    struct cache_control cc = cc_of("max-age=60");

    (void)state;
    http_cache_control_add(&cc, slice_of("must-revalidate"));
    http_cache_control_add(&cc, (struct slice){0});
    http_cache_control_add(&cc, slice_of("max-age=60"));
    assert_int_equal(cc.seconds[CC_MAX_AGE], 60);
    assert_true(http_cache_control_has(&cc, CC_MUST_REVALIDATE));
    http_cache_control_add(&cc, slice_of("max-age=61"));
    assert_int_equal(cc.seconds[CC_MAX_AGE], 0);
}

static void test_section_5_2_2_field_lists_count_whole(void **state)
{
    (void)state;
    assert_true(says("no-cache=\"Set-Cookie\"", CC_NO_CACHE));
    assert_true(says("private=\"Set-Cookie, X\", max-age=5", CC_PRIVATE));
    assert_true(says("no-store=1", CC_NO_STORE));
    assert_true(says("no-store;", CC_NO_STORE));
    assert_true(says("must-revalidate =1", CC_MUST_REVALIDATE));
}

static void test_permissions_are_read_exactly(void **state)
{
    (void)state;
    assert_false(says("public=\"X\"", CC_PUBLIC));
    assert_false(says("public;", CC_PUBLIC));
    assert_false(says("immutable=0", CC_IMMUTABLE));
    assert_false(says("must-understand=x", CC_MUST_UNDERSTAND));
}

static void test_section_4_2_1_invalid_seconds_are_stale(void **state)
{
    static const char *const bad[] = {"max-age",        "max-age=",    "max-age=x",    "max-age=-1",
                                      "max-age=1.5",    "max-age=1e3", "max-age = 60", "max-age =60",
                                      "max-age= 60",    "max-age=60;", "max-age=60 s", "max-age=\"60",
                                      "max-age='60'",   "max-age=+60", "max-age=\"\"", "max-age=0x10",
                                      "max-age=\"-1\"", "max-age=60s", "max-age=60=1", "max-age=\""};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (seconds(bad[i], CC_MAX_AGE) != 0)
            fail_msg("%s", bad[i]);
}

static void test_section_4_2_1_contradictions_are_stale(void **state)
{
    (void)state;
    assert_int_equal(seconds("max-age=1800, max-age=3600", CC_MAX_AGE), 0);
    assert_int_equal(seconds("max-age=1800, max-age=3600, max-age=1800", CC_MAX_AGE), 0);
    assert_int_equal(seconds("max-age=1800, max-age=\"1800\"", CC_MAX_AGE), 1800);
    assert_int_equal(seconds("max-age=1800, max-age=x", CC_MAX_AGE), 0);
    assert_int_equal(seconds("max-age=1800, s-maxage=3600", CC_MAX_AGE), 1800);
}

static void test_section_1_2_2_overflow(void **state)
{
    (void)state;
    assert_int_equal(seconds("max-age=2147483647", CC_MAX_AGE), 2147483647);
    assert_int_equal(seconds("max-age=2147483649", CC_MAX_AGE), CACHE_CONTROL_SECONDS_MAX);
    assert_int_equal(seconds("max-age=18446744073709551617", CC_MAX_AGE), CACHE_CONTROL_SECONDS_MAX);
    assert_int_equal(seconds("max-age=99999999999999999999999999999999999", CC_MAX_AGE),
                     CACHE_CONTROL_SECONDS_MAX);
}

static void test_section_5_2_1_2_max_stale_without_value(void **state)
{
    (void)state;
    assert_int_equal(seconds("max-stale", CC_MAX_STALE), CACHE_CONTROL_SECONDS_MAX);
    assert_int_equal(seconds("max-stale=5", CC_MAX_STALE), 5);
    assert_int_equal(seconds("max-stale=x", CC_MAX_STALE), 0);
}

static enum store_verdict store(unsigned status, const char *cache_control)
{
    struct freshness_input in = response(status, cache_control);

    return freshness_may_store(&in);
}

static void test_section_3_plain_responses(void **state)
{
    (void)state;
    assert_int_equal(store(200, ""), STORE_OK);
    assert_int_equal(store(200, "max-age=60"), STORE_OK);
    assert_int_equal(store(200, "no-cache"), STORE_OK);
    assert_int_equal(store(206, ""), STORE_OK);
    assert_int_equal(store(404, ""), STORE_OK);
    assert_int_equal(store(200, "no-store, max-age=60"), STORE_NO_STORE);
    assert_int_equal(store(200, "private, max-age=60"), STORE_PRIVATE);
    assert_int_equal(store(200, "public, private"), STORE_PRIVATE);
    assert_int_equal(store(200, "private=\"x\""), STORE_PRIVATE);
}

static void test_section_3_status(void **state)
{
    struct freshness_input in = response(302, "");

    (void)state;
    assert_int_equal(store(302, ""), STORE_STATUS);
    assert_int_equal(store(302, "max-age=5"), STORE_OK);
    assert_int_equal(store(302, "s-maxage=5"), STORE_OK);
    assert_int_equal(store(302, "public"), STORE_OK);
    in.expires = SLICE_LITERAL(DATE_LATER);
    assert_int_equal(freshness_may_store(&in), STORE_OK);
    assert_int_equal(store(500, ""), STORE_STATUS);
    assert_int_equal(store(503, "max-age=5"), STORE_OK);
    assert_int_equal(store(304, "max-age=5"), STORE_STATUS);
    assert_int_equal(store(103, "max-age=5"), STORE_STATUS);
    assert_int_equal(store(599, "max-age=5"), STORE_OK);
}

static void test_section_5_2_2_3_must_understand(void **state)
{
    (void)state;
    assert_int_equal(store(200, "must-understand, no-store, max-age=5"), STORE_OK);
    assert_int_equal(store(599, "must-understand, no-store, max-age=5"), STORE_NO_STORE);
    assert_int_equal(store(599, "must-understand, max-age=5"), STORE_STATUS);
}

static void test_section_3_5_authorization(void **state)
{
    static const struct {
        const char *cache_control;
        enum store_verdict verdict;
    } cases[] = {
        {"", STORE_AUTHORIZATION},
        {"max-age=60", STORE_AUTHORIZATION},
        {"public", STORE_OK},
        {"s-maxage=60", STORE_OK},
        {"must-revalidate, max-age=60", STORE_OK},
        {"proxy-revalidate", STORE_AUTHORIZATION},
        {"private, public", STORE_PRIVATE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct freshness_input in = response(200, cases[i].cache_control);
        in.has_authorization = true;
        assert_int_equal(freshness_may_store(&in), cases[i].verdict);
    }
}

static void test_section_3_request_no_store(void **state)
{
    struct freshness_input in = response(200, "max-age=60");

    (void)state;
    in.request_no_store = true;
    assert_int_equal(freshness_may_store(&in), STORE_REQUEST_NO_STORE);
}

static void test_section_4_1_vary_star(void **state)
{
    struct freshness_input in = response(200, "max-age=60");

    (void)state;
    in.vary = SLICE_LITERAL("Accept-Encoding, Origin");
    assert_int_equal(freshness_may_store(&in), STORE_OK);
    in.vary = SLICE_LITERAL("Accept-Encoding , *");
    assert_int_equal(freshness_may_store(&in), STORE_VARY_STAR);
}

static void test_section_7_3_set_cookie(void **state)
{
    struct freshness_input in = response(200, "max-age=60");

    (void)state;
    in.has_set_cookie = true;
    assert_int_equal(freshness_may_store(&in), STORE_SET_COOKIE);
    in.cache_control = cc_of("public, max-age=60");
    assert_int_equal(freshness_may_store(&in), STORE_OK);
    in.cache_control = cc_of("s-maxage=60");
    assert_int_equal(freshness_may_store(&in), STORE_OK);
}

static void test_verdicts_have_names(void **state)
{
    (void)state;
    assert_string_equal(freshness_verdict_name(STORE_OK), "ok");
    assert_string_equal(freshness_verdict_name(STORE_VARY_STAR), "vary_star");
}

static void assert_lifetime(const struct freshness_input *in, enum freshness_source source,
                            int64_t lifetime_s)
{
    enum freshness_source got;

    assert_int_equal(freshness_lifetime_ms(in, &got), lifetime_s * 1000);
    assert_int_equal(got, source);
}

static void test_section_4_2_1_explicit_lifetime(void **state)
{
    struct freshness_input in = response(200, "max-age=60, s-maxage=30");

    (void)state;
    in.expires = SLICE_LITERAL(DATE_LATER);
    assert_lifetime(&in, FRESHNESS_S_MAXAGE, 30);
    in.cache_control = cc_of("max-age=60");
    assert_lifetime(&in, FRESHNESS_MAX_AGE, 60);
    in.cache_control = cc_of("max-age=60, s-maxage=x");
    assert_lifetime(&in, FRESHNESS_S_MAXAGE, 0);
    in.cache_control = cc_of("");
    assert_lifetime(&in, FRESHNESS_EXPIRES, 600);
    in.date = SLICE_LITERAL(DATE_HOUR);
    assert_lifetime(&in, FRESHNESS_EXPIRES, 4200);
    in.date = (struct slice){0};
    assert_lifetime(&in, FRESHNESS_EXPIRES, 600);
}

static void test_section_5_3_invalid_expires(void **state)
{
    static const char *const past[] = {
        "0", "-1", "", "never", DATE_1994, DATES_TWO, DATE_NOW, DATE_HOUR, "Sun, 15 Jun 2025 15:16:40 PDT"};
    struct freshness_input in = response(200, "");

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(past); i++) {
        in.expires = slice_of(past[i]);
        assert_lifetime(&in, FRESHNESS_EXPIRES, 0);
    }
}

static void test_section_4_2_2_heuristic_lifetime(void **state)
{
    struct freshness_input in = response(200, "");

    (void)state;
    assert_lifetime(&in, FRESHNESS_NONE, 0);
    in.last_modified = SLICE_LITERAL(DATE_HOUR);
    assert_lifetime(&in, FRESHNESS_HEURISTIC, 360);
    in.last_modified = SLICE_LITERAL(DATE_1994);
    assert_lifetime(&in, FRESHNESS_HEURISTIC, 86400);
    in.last_modified = SLICE_LITERAL(DATE_LATER);
    assert_lifetime(&in, FRESHNESS_HEURISTIC, 0);
    in.status = 302;
    assert_lifetime(&in, FRESHNESS_NONE, 0);
    in.cache_control = cc_of("public");
    in.last_modified = SLICE_LITERAL(DATE_HOUR);
    assert_lifetime(&in, FRESHNESS_HEURISTIC, 360);
}

static void test_section_5_2_2_4_must_validate(void **state)
{
    struct freshness_input in = response(200, "max-age=60");

    (void)state;
    assert_false(freshness_must_validate(&in));
    in.cache_control = cc_of("max-age=60, no-cache");
    assert_true(freshness_must_validate(&in));
    in.cache_control = cc_of("");
    assert_false(freshness_must_validate(&in));
    in.pragma = SLICE_LITERAL("foo, no-cache");
    assert_true(freshness_must_validate(&in));
    in.cache_control = cc_of("max-age=60");
    assert_false(freshness_must_validate(&in));
}

static int64_t stale_s(const char *cache_control)
{
    struct freshness_input in = response(200, cache_control);
    int64_t stale_ms = freshness_stale_ms(&in, CC_STALE_WHILE_REVALIDATE);

    return stale_ms < 0 ? stale_ms : stale_ms / 1000;
}

static void test_section_4_2_4_serving_stale(void **state)
{
    (void)state;
    assert_int_equal(stale_s("max-age=60"), -1);
    assert_int_equal(stale_s("max-age=60, stale-while-revalidate=30"), 30);
    assert_int_equal(stale_s("max-age=60, stale-if-error=30"), -1);
    assert_int_equal(stale_s("s-maxage=60"), 0);
    assert_int_equal(stale_s("s-maxage=60, stale-while-revalidate=30"), 30);
    assert_int_equal(stale_s("max-age=60, stale-while-revalidate=30, must-revalidate"), 0);
    assert_int_equal(stale_s("max-age=60, stale-while-revalidate=30, proxy-revalidate"), 0);
    assert_int_equal(stale_s("max-age=60, stale-while-revalidate=30, no-cache"), 0);
    assert_int_equal(stale_s("max-age=60, stale-while-revalidate=x"), 0);
}

static void test_section_4_2_3_initial_age(void **state)
{
    struct freshness_input in = response(200, "");

    (void)state;
    assert_int_equal(freshness_initial_age_ms(&in), 0);
    in.response_time_ms += 900; /* what Date does not show is no age */
    assert_int_equal(freshness_initial_age_ms(&in), 900);
    in.request_time_ms += 900;
    assert_int_equal(freshness_initial_age_ms(&in), 0);
    in.age = SLICE_LITERAL("10");
    in.response_time_ms += 250;
    assert_int_equal(freshness_initial_age_ms(&in), 10250);
    in.date = SLICE_LITERAL(DATE_HOUR);
    assert_int_equal(freshness_initial_age_ms(&in), 3601000);
    in.date = SLICE_LITERAL(DATE_LATER); /* their clock is ahead of ours */
    assert_int_equal(freshness_initial_age_ms(&in), 10250);
    in.date = (struct slice){0};
    assert_int_equal(freshness_initial_age_ms(&in), 10250);
}

static void test_clock_steps_make_no_negative_age(void **state)
{
    struct freshness_input in = response(200, "");

    (void)state;
    in.request_time_ms = in.response_time_ms + 5000;
    assert_int_equal(freshness_initial_age_ms(&in), 0);
    assert_int_equal(freshness_current_age_ms(1500, 10000, 9000), 1500);
}

static int64_t age_s(const char *age)
{
    struct freshness_input in = response(200, "");

    in.age = slice_of(age);
    return freshness_initial_age_ms(&in) / 1000;
}

static void test_section_5_1_age_values(void **state)
{
    (void)state;
    assert_int_equal(age_s("7"), 7);
    assert_int_equal(age_s(" 7 , 9"), 7);
    assert_int_equal(age_s("99999999999999999999"), CACHE_CONTROL_SECONDS_MAX);
    assert_int_equal(age_s("-7"), 0);
    assert_int_equal(age_s("7.5"), 0);
    assert_int_equal(age_s("\"7\""), 0);
    assert_int_equal(age_s("x, 7"), 0);
    assert_int_equal(age_s(""), 0);
}

static void test_section_4_2_3_current_age(void **state)
{
    (void)state;
    assert_int_equal(freshness_current_age_ms(1500, 10000, 10000), 1500);
    assert_int_equal(freshness_current_age_ms(1500, 10000, 14250), 5750);
}

/* Section 5.2.1. */
static void test_requests(void **state)
{
    static const struct {
        const char *request;
        int64_t age_ms, left_ms;
        bool may_be_stale, expected;
    } cases[] = {
        {"", 5000, 1, false, true},
        {"", 5000, 0, true, false},
        {"no-cache", 0, 60000, true, false},
        {"max-age=5", 5000, 60000, false, true},
        {"max-age=5", 5001, 60000, false, false},
        {"max-age=0", 0, 60000, false, false},
        {"max-age=5", 5000, -1, true, false},
        {"min-fresh=10", 0, 10000, false, true},
        {"min-fresh=10", 0, 9999, false, false},
        {"max-stale", 9999999, -9999999, true, true},
        {"max-stale=10", 0, -10000, true, true},
        {"max-stale=10", 0, -10001, true, false},
        {"max-stale=10", 0, -1, false, false},
        {"max-stale=10, max-age=5", 6000, -1, true, false},
        {"max-stale=x", 0, -1, true, false},
        {"no-store, only-if-cached", 0, 1, false, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cache_control cc = {0};

        http_cache_control_add(&cc, slice_of(cases[i].request));
        if (freshness_satisfies(&cc, cases[i].age_ms, cases[i].left_ms, cases[i].may_be_stale) !=
            cases[i].expected)
            fail_msg("%s, age %lld, left %lld", cases[i].request, (long long)cases[i].age_ms,
                     (long long)cases[i].left_ms);
    }
}

/* RFC 9213 section 2.1: what is no dictionary is ignored as a whole. */
static void test_targeted(void **state)
{
    static const char *const good[] = {"max-age=60", " max-age=60 , foo", "a=\"b,c\\\"\", max-age=60, b;x=?1",
                                       "MaX-Age=60", "t=:YWJj:, n=-1.5, max-age=60"};
    static const char *const bad[] = {
        "max-age=\"60\"", "s-maxage, max-age=60", "max-age=6.5",      "max-age=60,", ",max-age=60",
        "max-age=60 foo", "max-age=\"60",         "=60, max-age=60",  "max-age=",    "\"max-age\"=60",
        "max-age=60;",    "1=2, max-age=60",      "max-age=60, (a b)"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct cache_control cc = {0};

        assert_true(http_targeted_cache_control_add(&cc, slice_of(good[i])));
        assert_int_equal(cc.seconds[CC_MAX_AGE], 60);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct cache_control cc = {0};

        if (http_targeted_cache_control_add(&cc, slice_of(bad[i])))
            fail_msg("%s", bad[i]);
        assert_int_equal(cc.present, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_5_2_every_directive_is_read),
        cmocka_unit_test(test_section_5_2_syntax),
        cmocka_unit_test(test_broken_quotes_hide_nothing),
        cmocka_unit_test(test_lines_add_up),
        cmocka_unit_test(test_section_5_2_2_field_lists_count_whole),
        cmocka_unit_test(test_permissions_are_read_exactly),
        cmocka_unit_test(test_section_4_2_1_invalid_seconds_are_stale),
        cmocka_unit_test(test_section_4_2_1_contradictions_are_stale),
        cmocka_unit_test(test_section_1_2_2_overflow),
        cmocka_unit_test(test_section_5_2_1_2_max_stale_without_value),
        cmocka_unit_test(test_section_3_plain_responses),
        cmocka_unit_test(test_section_3_status),
        cmocka_unit_test(test_section_5_2_2_3_must_understand),
        cmocka_unit_test(test_section_3_5_authorization),
        cmocka_unit_test(test_section_3_request_no_store),
        cmocka_unit_test(test_section_4_1_vary_star),
        cmocka_unit_test(test_section_7_3_set_cookie),
        cmocka_unit_test(test_verdicts_have_names),
        cmocka_unit_test(test_section_4_2_1_explicit_lifetime),
        cmocka_unit_test(test_section_5_3_invalid_expires),
        cmocka_unit_test(test_section_4_2_2_heuristic_lifetime),
        cmocka_unit_test(test_section_5_2_2_4_must_validate),
        cmocka_unit_test(test_section_4_2_4_serving_stale),
        cmocka_unit_test(test_section_4_2_3_initial_age),
        cmocka_unit_test(test_clock_steps_make_no_negative_age),
        cmocka_unit_test(test_section_5_1_age_values),
        cmocka_unit_test(test_section_4_2_3_current_age),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_targeted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
