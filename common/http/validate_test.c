/* SPDX-License-Identifier: Apache-2.0 */
/* Entity-tags and preconditions, by section of RFC 9110. */
#include "http/validate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/date.h"

#define NOW           1750000000
#define LAST_MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define SAME_DATE     "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER_DATE  "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER_DATE    "Sun, 06 Nov 1994 08:49:38 GMT"

static struct condition_stored stored;
static bool range_applies;

static int set_up(void **state)
{
    (void)state;
    stored = (struct condition_stored){SLICE_LITERAL("\"v1\""), LAST_MODIFIED, NOW};
    return 0;
}

static enum condition_outcome evaluate(struct condition_request request)
{
    return http_condition_evaluate(&request, &stored, NOW, &range_applies);
}

#define GET(...) evaluate((struct condition_request){.method = HTTP_GET, __VA_ARGS__})
#define PUT(...) evaluate((struct condition_request){.method = HTTP_PUT, __VA_ARGS__})
#define TEXT(t)  SLICE_LITERAL(t)

static bool equal(const char *a, const char *b, bool strong)
{
    struct etag one, two;

    assert_true(http_etag_parse(slice_of(a), &one));
    assert_true(http_etag_parse(slice_of(b), &two));
    return strong ? http_etag_equal_strong(&one, &two) : http_etag_equal_weak(&one, &two);
}

static void test_section_8_8_3_2_comparison(void **state)
{
    (void)state;
    assert_false(equal("W/\"1\"", "W/\"1\"", true));
    assert_true(equal("W/\"1\"", "W/\"1\"", false));
    assert_false(equal("W/\"1\"", "W/\"2\"", false));
    assert_false(equal("W/\"1\"", "\"1\"", true));
    assert_true(equal("W/\"1\"", "\"1\"", false));
    assert_true(equal("\"1\"", "\"1\"", true));
    assert_true(equal("\"1\"", "\"1\"", false));
    assert_true(equal("\"\"", "\"\"", true));
}

static void test_section_8_8_3_malformed(void **state)
{
    static const char *const bad[] = {"",         "\"",      "v1",           "\"v1",    "v1\"",
                                      "w/\"v1\"", "W\"v1\"", "W/ \"1\"",     "W/v1",    "\"a\"\"b\"",
                                      "\"a b\"",  "*",       "\"a\", \"b\"", "\"\x7f\""};
    struct etag tag;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (http_etag_parse(slice_of(bad[i]), &tag))
            fail_msg("%s", bad[i]);
    assert_false(http_etag_parse((struct slice){0}, &tag));
}

static bool listed(const char *list)
{
    struct etag tag;

    assert_true(http_etag_parse(stored.etag, &tag));
    return http_etag_list_has(slice_of(list), &tag, false);
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(listed("\"v1\""));
    assert_true(listed("\"a\",\"b,c\" , ,W/\"v1\""));
    assert_true(listed(",\"v1\""));
    assert_true(listed("\"v1\", broken"));
    assert_false(listed("\"a\", \"b\""));
    assert_false(listed("\"a\" \"v1"));
    assert_false(listed("\"a\"\"v1\""));
    assert_false(listed("broken, \"v1\""));
    assert_false(listed("\"x,\"v1\",y\""));
    assert_false(listed(""));
    assert_false(listed("v1"));
}

static void test_section_13_1_1_if_match(void **state)
{
    (void)state;
    assert_int_equal(PUT(.if_match = TEXT("\"v1\"")), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_match = TEXT("\"v0\", \"v1\"")), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_match = TEXT("*")), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_match = TEXT("\"v2\"")), CONDITION_FAILED);
    assert_int_equal(PUT(.if_match = TEXT("W/\"v1\"")), CONDITION_FAILED);
    assert_int_equal(GET(.if_match = TEXT("\"v2\"")), CONDITION_FAILED);
    stored.etag = (struct slice){0};
    assert_int_equal(PUT(.if_match = TEXT("\"v1\"")), CONDITION_FAILED);
    assert_int_equal(PUT(.if_match = TEXT("*")), CONDITION_PROCEED);
}

static void test_section_13_1_2_if_none_match(void **state)
{
    (void)state;
    assert_int_equal(GET(.if_none_match = TEXT("\"v1\"")), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_none_match = TEXT("W/\"v1\"")), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_none_match = TEXT("\"v0\",\"v1\"")), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_none_match = TEXT(" * ")), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_none_match = TEXT("\"v2\"")), CONDITION_PROCEED);
    assert_int_equal(GET(.if_none_match = TEXT("v1")), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_none_match = TEXT("*")), CONDITION_FAILED);
    assert_int_equal(
        evaluate((struct condition_request){.method = HTTP_HEAD, .if_none_match = TEXT("\"v1\"")}),
        CONDITION_NOT_MODIFIED);
    stored.etag = (struct slice){0};
    assert_int_equal(GET(.if_none_match = TEXT("\"v1\"")), CONDITION_PROCEED);
}

static void test_section_13_1_3_if_modified_since(void **state)
{
    (void)state;
    assert_int_equal(GET(.if_modified_since = TEXT(SAME_DATE)), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_modified_since = TEXT(LATER_DATE)), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_modified_since = TEXT(EARLIER_DATE)), CONDITION_PROCEED);
    assert_int_equal(GET(.if_modified_since = TEXT("yesterday")), CONDITION_PROCEED);
    assert_int_equal(GET(.if_modified_since = TEXT(SAME_DATE ", " SAME_DATE)), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_modified_since = TEXT(SAME_DATE)), CONDITION_PROCEED);
}

static void test_rfc9111_section_4_3_2_date_stands_in_for_last_modified(void **state)
{
    (void)state;
    stored.last_modified_s = HTTP_DATE_NONE;
    stored.date_s = LAST_MODIFIED;
    assert_int_equal(GET(.if_modified_since = TEXT(SAME_DATE)), CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_modified_since = TEXT(EARLIER_DATE)), CONDITION_PROCEED);
    stored.date_s = HTTP_DATE_NONE;
    assert_int_equal(GET(.if_modified_since = TEXT(SAME_DATE)), CONDITION_PROCEED);
}

static void test_section_13_1_4_if_unmodified_since(void **state)
{
    (void)state;
    assert_int_equal(GET(.if_unmodified_since = TEXT(SAME_DATE)), CONDITION_PROCEED);
    assert_int_equal(PUT(.if_unmodified_since = TEXT(EARLIER_DATE)), CONDITION_FAILED);
    assert_int_equal(PUT(.if_unmodified_since = TEXT("garbage")), CONDITION_PROCEED);
    stored.last_modified_s = HTTP_DATE_NONE;
    assert_int_equal(PUT(.if_unmodified_since = TEXT(EARLIER_DATE)), CONDITION_PROCEED);
}

static bool range(struct slice if_range)
{
    assert_int_equal(GET(.has_range = true, .if_range = if_range), CONDITION_PROCEED);
    return range_applies;
}

static void test_section_13_1_5_if_range(void **state)
{
    (void)state;
    assert_true(range((struct slice){0}));
    assert_true(range(TEXT("\"v1\"")));
    assert_false(range(TEXT("\"v2\"")));
    assert_false(range(TEXT("W/\"v1\"")));
    assert_true(range(TEXT(SAME_DATE)));
    assert_false(range(TEXT(EARLIER_DATE)));
    assert_false(range(TEXT(LATER_DATE)));
    assert_false(range(TEXT("garbage")));
    assert_false(range(TEXT("")));
    stored.etag = TEXT("W/\"v1\"");
    assert_false(range(TEXT("W/\"v1\"")));
}

static void test_section_8_8_2_2_date_within_its_second_is_weak(void **state)
{
    (void)state;
    stored.date_s = LAST_MODIFIED;
    assert_false(range(TEXT(SAME_DATE)));
    stored.date_s = LAST_MODIFIED + 1;
    assert_true(range(TEXT(SAME_DATE)));
}

static void test_range_applies_to_get_alone(void **state)
{
    (void)state;
    GET(.has_range = false);
    assert_false(range_applies);
    GET(.has_range = false, .if_range = TEXT("\"v1\""));
    assert_false(range_applies);
    PUT(.has_range = true);
    assert_false(range_applies);
    evaluate((struct condition_request){.method = HTTP_HEAD, .has_range = true});
    assert_false(range_applies);
    GET(.has_range = true, .if_none_match = TEXT("\"v1\""));
    assert_false(range_applies);
}

static void test_section_13_2_2_order(void **state)
{
    (void)state;
    /* If-Match hides If-Unmodified-Since; If-None-Match hides If-Modified-Since; the first pair comes first.
     */
    assert_int_equal(GET(.if_match = TEXT("\"v1\""), .if_unmodified_since = TEXT(EARLIER_DATE)),
                     CONDITION_PROCEED);
    assert_int_equal(GET(.if_none_match = TEXT("\"v2\""), .if_modified_since = TEXT(SAME_DATE)),
                     CONDITION_PROCEED);
    assert_int_equal(GET(.if_none_match = TEXT("\"v1\""), .if_modified_since = TEXT(EARLIER_DATE)),
                     CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_match = TEXT("\"v2\""), .if_none_match = TEXT("\"v1\"")), CONDITION_FAILED);
    assert_int_equal(GET(.if_match = TEXT("\"v1\""), .if_none_match = TEXT("\"v1\"")),
                     CONDITION_NOT_MODIFIED);
    assert_int_equal(GET(.if_none_match = TEXT("\"v2\""), .has_range = true, .if_range = TEXT("\"v1\"")),
                     CONDITION_PROCEED);
    assert_true(range_applies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_section_8_8_3_2_comparison, set_up),
        cmocka_unit_test_setup(test_section_8_8_3_malformed, set_up),
        cmocka_unit_test_setup(test_lists, set_up),
        cmocka_unit_test_setup(test_section_13_1_1_if_match, set_up),
        cmocka_unit_test_setup(test_section_13_1_2_if_none_match, set_up),
        cmocka_unit_test_setup(test_section_13_1_3_if_modified_since, set_up),
        cmocka_unit_test_setup(test_rfc9111_section_4_3_2_date_stands_in_for_last_modified, set_up),
        cmocka_unit_test_setup(test_section_13_1_4_if_unmodified_since, set_up),
        cmocka_unit_test_setup(test_section_13_1_5_if_range, set_up),
        cmocka_unit_test_setup(test_section_8_8_2_2_date_within_its_second_is_weak, set_up),
        cmocka_unit_test_setup(test_range_applies_to_get_alone, set_up),
        cmocka_unit_test_setup(test_section_13_2_2_order, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
