/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a body that broke: by which validator it may be asked for, and what may be joined to it. RFC
 * 9110 sections 8.8.1, 8.8.2.2, 13.1.5 and 14.4. */
#include "origin/judge.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DATE    "Mon, 02 Jan 2023 03:05:05 GMT"
#define OLD     "Mon, 02 Jan 2023 03:04:05 GMT" /* a minute before */
#define NOT_YET "Mon, 02 Jan 2023 03:04:06 GMT"

static void add(struct http_head *head, const char *name, const char *value)
{
    if (value)
        head->fields[head->field_count++] = (struct http_field){slice_of(name), slice_of(value)};
}

static void test_strong_validators(void **state)
{
    static const struct {
        const char *etag, *modified, *date, *expected;
    } rows[] = {
        {"\"a\"", NULL, NULL, "\"a\""}, {"\"a\"", OLD, DATE, "\"a\""},
        {"\"\"", NULL, NULL, "\"\""},   {"W/\"a\"", NULL, NULL, NULL},
        {"W/\"a\"", OLD, DATE, NULL}, /* the origin says that it is not byte for byte */
        {"a", NULL, NULL, NULL},        {NULL, OLD, DATE, OLD},
        {NULL, NOT_YET, DATE, NULL}, /* it may have been changed twice in that minute */
        {NULL, DATE, OLD, NULL},        {NULL, OLD, NULL, NULL},
        {NULL, OLD, "yesterday", NULL}, {NULL, NULL, DATE, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_head head = {.status = 200};
        struct slice validator;

        add(&head, "ETag", rows[i].etag);
        add(&head, "Last-Modified", rows[i].modified);
        add(&head, "Date", rows[i].date);
        validator = judge_strong_validator(&head);
        if (rows[i].expected ? !slice_equal(validator, slice_of(rows[i].expected)) : validator.data != NULL)
            fail_msg("row %zu: %.*s", i, SLICE_ARG(validator));
    }
}

static void test_rests(void **state)
{
    static const struct {
        unsigned status;
        int content_length;
        const char *etag, *content_range;
        enum judge_rest_verdict expected;
    } rows[] = {
        {206, 100, "\"a\"", "bytes 100-199/200", JUDGE_REST},
        {206, -1, "\"a\"", "bytes 100-199/200", JUDGE_REST}, /* chunked: its end is checked when it comes */
        {206, 100, "\"b\"", "bytes 100-199/200", JUDGE_REST_CHANGED},
        {206, 100, "W/\"a\"", "bytes 100-199/200", JUDGE_REST_CHANGED},
        {206, 100, NULL, "bytes 100-199/200", JUDGE_REST_CHANGED},
        {206, 100, "\"a\"", "bytes 100-199/201", JUDGE_REST_CHANGED},
        {206, 101, "\"a\"", "bytes 99-199/200", JUDGE_REST_UNUSABLE},
        {206, 99, "\"a\"", "bytes 100-198/200", JUDGE_REST_UNUSABLE},
        {206, 99, "\"a\"", "bytes 101-199/200", JUDGE_REST_UNUSABLE},
        {206, 99, "\"a\"", "bytes 100-199/200", JUDGE_REST_UNUSABLE},
        {206, 100, "\"a\"", "bytes */200", JUDGE_REST_UNUSABLE},
        {206, 100, "\"a\"", "octets 100-199/200", JUDGE_REST_UNUSABLE},
        {206, 100, "\"a\"", NULL, JUDGE_REST_UNUSABLE},
        {200, 200, "\"a\"", NULL, JUDGE_REST_UNUSABLE},
        {200, 200, "\"b\"", NULL, JUDGE_REST_CHANGED},
        {200, 200, NULL, NULL, JUDGE_REST_CHANGED},
        {416, 0, NULL, "bytes */50", JUDGE_REST_CHANGED},
        {404, 0, NULL, NULL, JUDGE_REST_CHANGED},
        {410, 0, NULL, NULL, JUDGE_REST_CHANGED},
        {503, 0, NULL, NULL, JUDGE_REST_UNUSABLE},
        {302, 0, NULL, NULL, JUDGE_REST_UNUSABLE},
    };
    const struct judge_rest rest = {SLICE_LITERAL("\"a\""), 100, 200, 200};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_head head = {.status = rows[i].status, .content_length = rows[i].content_length};

        add(&head, "ETag", rows[i].etag);
        add(&head, "Content-Range", rows[i].content_range);
        if (judge_rest(&head, &rest) != rows[i].expected)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strong_validators),
        cmocka_unit_test(test_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
