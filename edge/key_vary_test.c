/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9111 section 4.1: which fields matter, and which of their values are the same. */
#include "key_vary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#define TEXT(text) ((struct slice){(text), sizeof(text) - 1})

static struct slice all[] = {{"*", 1}};
static struct slice some[] = {{"x-*", 3}, {"cookie", 6}};
static const struct config_site open_site = {.forward_headers = all, .forward_header_count = 1};
static const struct config_site narrow_site = {.forward_headers = some, .forward_header_count = 2};
static const struct config_site closed_site = {0};

static void test_what_is_forwarded(void **state)
{
    static const char *const never[] = {"Host",          "Content-Length",  "RANGE",
                                        "If-None-Match", "Accept-Encoding", "Via"};
    static const char *const delicate[] = {"Cookie",      "X-Forwarded-For", "Origin",
                                           "Forwarded",   "X-Original-URL",  "X-HTTP-Method-Override",
                                           "Content_Type"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(never); i++)
        assert_false(key_forwards(&open_site, slice_of(never[i])));
    for (size_t i = 0; i < ARRAY_COUNT(delicate); i++)
        assert_false(key_forwards(&open_site, slice_of(delicate[i])));
    assert_true(key_forwards(&open_site, TEXT("User-Agent")));
    assert_false(key_forwards(&closed_site, TEXT("User-Agent")));
    assert_true(key_forwards(&narrow_site, TEXT("X-App")));
    assert_true(key_forwards(&narrow_site, TEXT("COOKIE"))); /* it was named */
    assert_false(key_forwards(&narrow_site, TEXT("X-Forwarded-For")));
    assert_false(key_forwards(&narrow_site, TEXT("X")));
}

static enum key_vary vary_of(const struct config_site *site, const char *first, const char *second,
                             struct buf *names)
{
    struct http_head head = {.field_count = second ? 2 : 1};
    head.fields[0] = (struct http_field){TEXT("vary"), slice_of(first)};
    if (second)
        head.fields[1] = (struct http_field){TEXT("Vary"), slice_of(second)};
    return key_vary_of(&head, site, names);
}

static void test_what_a_response_varies_by(void **state)
{
    static const struct {
        const struct config_site *site;
        const char *first, *second;
        enum key_vary vary;
        const char *names;
    } cases[] = {
        {&open_site, "", NULL, KEY_VARY_NONE, ""},
        {&open_site, "Accept-Encoding, ,origin", NULL, KEY_VARY_NONE, ""},
        {&open_site, "Foo", NULL, KEY_VARY_FIELDS, ",foo"},
        {&open_site, "Foo, BAR,foo", "baz , Foo", KEY_VARY_FIELDS, ",bar,baz,foo"},
        {&open_site, "*", NULL, KEY_VARY_UNKNOWN, NULL},
        {&open_site, "", " , *", KEY_VARY_UNKNOWN, NULL},
        {&open_site, "Foo, *", NULL, KEY_VARY_UNKNOWN, NULL},
        {&open_site, "Cookie", NULL, KEY_VARY_UNKNOWN, NULL},
        {&narrow_site, "X-A, Cookie", NULL, KEY_VARY_FIELDS, ",cookie,x-a"},
        {&narrow_site, "X-A, User-Agent", NULL, KEY_VARY_UNKNOWN, NULL},
        {&closed_site, "User-Agent", NULL, KEY_VARY_UNKNOWN, NULL},
        {&closed_site, "Accept-Encoding", NULL, KEY_VARY_NONE, ""},
        {&open_site, "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL, KEY_VARY_UNKNOWN, NULL},
    };
    struct buf names;
    (void)state;
    buf_init(&names, 2 * KEY_VARY_NAMES_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(vary_of(cases[i].site, cases[i].first, cases[i].second, &names), cases[i].vary);
        if (cases[i].names && !slice_equal(buf_slice(&names), slice_of(cases[i].names)))
            fail_msg("%s: %.*s", cases[i].first, SLICE_ARG(buf_slice(&names)));
    }
    buf_fini(&names);
}

/* The key of a request with up to two lines of one field. */
static void key_of(const char *names, const char *first, const char *second, struct buf *text)
{
    struct http_field fields[2];
    size_t count = 0;
    struct slice name = slice_of(names + 1);
    if (first)
        fields[count++] = (struct http_field){name, slice_of(first)};
    if (second)
        fields[count++] = (struct http_field){name, slice_of(second)};
    buf_clear(text);
    assert_true(key_variant_write(7, slice_of(names), fields, count, &open_site, text));
}

static void assert_same(bool same, const char *names, const char *one, const char *other,
                        const char *other_second)
{
    struct buf a, b;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    key_of(names, one, NULL, &a);
    key_of(names, other, other_second, &b);
    if (slice_equal(buf_slice(&a), buf_slice(&b)) != same)
        fail_msg("%.*s against %.*s", SLICE_ARG(buf_slice(&a)), SLICE_ARG(buf_slice(&b)));
    buf_fini(&a);
    buf_fini(&b);
}

static void test_values_that_are_the_same(void **state)
{
    (void)state;
    assert_same(true, ",foo", "1, 2", "1,2", NULL);
    assert_same(true, ",foo", "1, 2", "1", " 2 ");
    assert_same(false, ",foo", "1, 2", "2, 1", NULL);
    assert_same(false, ",foo", "1", "1,", NULL);
    assert_same(false, ",foo", NULL, "", NULL);
    assert_same(false, ",foo", "a", "A", NULL);
    assert_same(false, ",foo", "\"1, 2\"", "\"1,2\"", NULL);
    assert_same(true, ",accept-language", "en, de", "DE , eN", NULL);
    assert_same(false, ",accept-language", "en, de", "en, de;q=0.5", NULL);
    assert_same(false, ",accept-language", "en", NULL, NULL);
    /* too many to be put in order: as they are */
    assert_same(false, ",accept-language", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
                "b,a,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL);
}

static void test_no_value_passes_for_another_field_s(void **state)
{
    const struct http_field one[] = {{TEXT("a"), TEXT("1;b=2")}, {TEXT("b"), TEXT("3")}};
    const struct http_field other[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2;b=3")}};
    struct buf x, y;
    (void)state;
    buf_init(&x, 4096);
    buf_init(&y, 4096);
    assert_true(key_variant_write(7, TEXT(",a,b"), one, 2, &open_site, &x));
    assert_true(key_variant_write(7, TEXT(",a,b"), other, 2, &open_site, &y));
    assert_false(slice_equal(buf_slice(&x), buf_slice(&y)));
    buf_clear(&y);
    assert_true(key_variant_write(8, TEXT(",a,b"), one, 2, &open_site, &y)); /* another marker */
    assert_false(slice_equal(buf_slice(&x), buf_slice(&y)));
    assert_false(
        key_variant_write(7, TEXT(",a,b"), one, 2, &closed_site, &x)); /* the site's rules have changed */
    buf_fini(&x);
    buf_fini(&y);
}

static void test_markers(void **state)
{
    struct buf out;
    uint64_t epoch = 0;
    struct slice names;
    (void)state;
    buf_init(&out, 1000);
    assert_true(key_marker_write(0x1122334455667788, TEXT(",a,b"), &out));
    assert_true(key_marker_read(buf_slice(&out), &epoch, &names));
    assert_true(epoch == 0x1122334455667788 && slice_equal(names, TEXT(",a,b")));
    assert_false(key_marker_read(slice_make(out.data, 8), &epoch, &names));
    assert_false(key_marker_read(SLICE_EMPTY, &epoch, &names));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_forwarded),
        cmocka_unit_test(test_what_a_response_varies_by),
        cmocka_unit_test(test_values_that_are_the_same),
        cmocka_unit_test(test_no_value_passes_for_another_field_s),
        cmocka_unit_test(test_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
