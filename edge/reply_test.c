/* SPDX-License-Identifier: Apache-2.0 */
/* Stored heads, and what a 304 makes of them. */
#include "reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS 1000000000000 /* Sun, 09 Sep 2001 01:46:40 GMT */

static enum config_tag_header shown[] = {TAG_CACHE_GROUPS};
static const struct config_site site = {.tag_headers = shown, .tag_header_count = 1},
                                with_cookies = {.store_set_cookie = true};

static void add(struct http_head *head, const char *name, const char *value)
{
    head->fields[head->field_count++] = (struct http_field){slice_of(name), slice_of(value)};
}

static void assert_text(struct buf *out, const char *wanted)
{
    assert_int_equal(out->size, strlen(wanted));
    assert_memory_equal(out->data, wanted, out->size);
}

static const char stored[] = "200\r\nETag: \"a\"\r\nCache-Control: public\r\nCache-Control: max-age=1\r\n"
                             "Date: Mon, 02 Jan 2023 03:04:05 GMT\r\nX: 1\r\n";

static void test_a_response_is_stored(void **state)
{
    static struct http_head head = {.status = 200};
    struct buf out;

    (void)state;
    buf_init(&out, REPLY_HEAD_MAX);
    add(&head, "Content-Length", "5");
    add(&head, "X", "1");
    add(&head, "Connection", "Y");
    add(&head, "Y", "2");
    add(&head, "Access-Control-Allow-Origin", "*");
    add(&head, "Age", "7");
    assert_true(reply_store_head(&head, 200, &site, NOW_MS, &out));
    assert_text(&out, "200\r\nX: 1\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n");
    buf_fini(&out);
}

static void test_stored_lines(void **state)
{
    struct reply_stored s;
    struct http_field f;
    size_t count = 0;

    (void)state;
    assert_true(reply_parse_stored(slice_of(stored), &s));
    assert_int_equal(s.status, 200);
    assert_true(slice_equal(reply_stored_get(s.fields, "x"), slice_of("1")));
    assert_null(reply_stored_get(s.fields, "expires").data);
    while (reply_stored_next(&s.fields, &f)) {
        assert_true(f.name.size > 0 && f.value.size > 0);
        assert_int_not_equal(f.value.data[f.value.size - 1], '\r');
        count++;
    }
    assert_int_equal(count, 5);
}

static void test_a_304_that_says_the_same(void **state)
{
    static struct http_head head = {.status = 304};
    struct buf out;
    bool is_changed = true;

    (void)state;
    buf_init(&out, REPLY_HEAD_MAX);
    add(&head, "Cache-Control", "public");
    add(&head, "cache-control", "max-age=1");
    add(&head, "Date", "Tue, 03 Jan 2023 03:04:05 GMT");
    assert_true(reply_update_head(slice_of(stored), &head, &site, NOW_MS, &out, &is_changed));
    assert_false(is_changed);
    assert_text(&out, "200\r\nETag: \"a\"\r\nX: 1\r\nCache-Control: public\r\ncache-control: max-age=1\r\n"
                      "Date: Tue, 03 Jan 2023 03:04:05 GMT\r\n");
    buf_fini(&out);
}

static void test_a_304_that_changes_fields(void **state)
{
    static struct http_head head = {.status = 304};
    struct buf out;
    bool is_changed = false;

    (void)state;
    buf_init(&out, REPLY_HEAD_MAX);
    add(&head, "Cache-Control", "public");
    add(&head, "Content-Length", "0");
    add(&head, "Content-Encoding", "gzip");
    add(&head, "Set-Cookie", "a=b");
    add(&head, "Connection", "close");
    assert_true(reply_update_head(slice_of(stored), &head, &site, NOW_MS, &out, &is_changed));
    assert_true(is_changed);
    assert_text(&out, "200\r\nETag: \"a\"\r\nX: 1\r\nCache-Control: public\r\n"
                      "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n");
    buf_clear(&out);
    assert_true(reply_update_head(slice_of(stored), &head, &with_cookies, NOW_MS, &out, &is_changed));
    assert_text(&out, "200\r\nETag: \"a\"\r\nX: 1\r\nCache-Control: public\r\nSet-Cookie: a=b\r\n"
                      "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n");
    buf_fini(&out);
}

static void test_tags_are_kept_out_of_sight(void **state)
{
    static struct http_head head = {.status = 200}, not_modified = {.status = 304};
    struct buf out, updated, tags;
    struct reply_stored s;
    bool is_changed;

    (void)state;
    buf_init(&out, REPLY_HEAD_MAX);
    buf_init(&updated, REPLY_HEAD_MAX);
    buf_init(&tags, REPLY_HEAD_MAX);
    add(&head, "Surrogate-Key", "a b");
    add(&head, "Date", "Mon, 02 Jan 2023 03:04:05 GMT");
    add(&head, "Cache-Groups", "\"g\"");
    add(&head, "cache-tag", "c");
    assert_true(reply_store_head(&head, 200, &site, NOW_MS, &out));
    assert_true(reply_parse_stored(buf_slice(&out), &s));
    assert_true(slice_equal(s.fields, slice_of("Date: Mon, 02 Jan 2023 03:04:05 GMT\r\n"
                                               "Cache-Groups: \"g\"\r\n")));
    assert_true(slice_equal(s.hidden, slice_of("Surrogate-Key: a b\r\ncache-tag: c\r\n")));

    reply_store_tags(buf_slice(&out), &tags);
    assert_true(reply_parse_stored(buf_slice(&tags), &s));
    assert_int_equal(s.fields.size, 0);
    assert_true(
        slice_equal(s.hidden, slice_of("Cache-Groups: \"g\"\r\nSurrogate-Key: a b\r\ncache-tag: c\r\n")));
    buf_clear(&tags);
    reply_store_tags(slice_of(stored), &tags);
    assert_int_equal(tags.size, 0);

    add(&not_modified, "Surrogate-Key", "a b");
    assert_true(reply_update_head(buf_slice(&out), &not_modified, &site, NOW_MS, &updated, &is_changed));
    assert_false(is_changed);
    not_modified.fields[0].value = slice_of("other");
    buf_clear(&updated);
    assert_true(reply_update_head(buf_slice(&out), &not_modified, &site, NOW_MS, &updated, &is_changed));
    assert_true(is_changed);
    assert_true(reply_parse_stored(buf_slice(&updated), &s));
    assert_true(slice_equal(s.fields, slice_of("Cache-Groups: \"g\"\r\n"
                                               "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n")));
    assert_true(slice_equal(s.hidden, slice_of("cache-tag: c\r\nSurrogate-Key: other\r\n")));
    buf_fini(&out);
    buf_fini(&updated);
    buf_fini(&tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_are_kept_out_of_sight),
        cmocka_unit_test(test_a_response_is_stored),
        cmocka_unit_test(test_stored_lines),
        cmocka_unit_test(test_a_304_that_says_the_same),
        cmocka_unit_test(test_a_304_that_changes_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
