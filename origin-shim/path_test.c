/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of path.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "path.h"

static void test_files(void **state)
{
    static const struct {
        const char *target, *path;
    } cases[] = {
        {"/a/b.ts", "a/b.ts"},
        {"/a/b.ts?token=1", "a/b.ts"},
        {"http://host/a/b.ts", "a/b.ts"},
        {"/a%20b/%C3%A4.ts", "a b/\xc3\xa4.ts"},
        {"/%61%2Fx%62", NULL},
        {"/", "index.html"},
        {"/a/", "a/index.html"},
        {"http://host", "index.html"},
        {"/a/../b", "b"},
        {"/a/./b", "a/b"},
        {"/../../etc/passwd", "etc/passwd"},
        {"/%2e%2e/%2e%2E/etc/passwd", "etc/passwd"},
        {"/..%2f..%2fetc/passwd", NULL},
        {"/..%5c..%5cetc", NULL},
        {"/.git/config", NULL},
        {"/a/.hidden", NULL},
        {"/a/%2Ehidden", NULL},
        {"/...", NULL},
        {"/a//b", NULL},
        {"//a", NULL},
        {"/a%00.ts", NULL},
        {"/a%0A", NULL},
        {"/a%7f", NULL},
    };
    char path[PATH_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum path_outcome outcome = path_from_target(slice_of(cases[i].target), path);
        assert_int_equal(outcome, cases[i].path ? PATH_OK : PATH_NONE);
        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
    }
}

static void test_bad_targets(void **state)
{
    static const char *const targets[] = {"", "a", "*", "/a%", "/a%4", "/a%zz", "/a b", "/a#b", "/a\x01"};
    char path[PATH_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++)
        assert_int_equal(path_from_target(slice_of(targets[i]), path), PATH_BAD);
}

static void test_length_is_bounded(void **state)
{
    char *target = malloc(PATH_SIZE_MAX + 1);
    char path[PATH_SIZE_MAX];

    (void)state;
    memset(target, 'a', PATH_SIZE_MAX + 1);
    target[0] = '/';
    assert_int_equal(path_from_target(slice_make(target, PATH_SIZE_MAX), path), PATH_OK);
    assert_int_equal(strlen(path), PATH_SIZE_MAX - 1);
    assert_int_equal(path_from_target(slice_make(target, PATH_SIZE_MAX + 1), path), PATH_NONE);
    target[PATH_SIZE_MAX - 1] = '/'; /* no room for index.html */
    assert_int_equal(path_from_target(slice_make(target, PATH_SIZE_MAX), path), PATH_NONE);
    free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_length_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
