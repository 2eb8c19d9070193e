/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of secret.h.
 */
#include "secret.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(const char *content, const char *wanted)
{
    char path[] = "/tmp/secret-test-XXXXXX", data[8];
    int fd = mkstemp(path);
    struct slice line;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    assert_int_equal(secret_read(path, data, sizeof(data), &line), 0);
    unlink(path);
    assert_true(slice_equal(line, slice_of(wanted)));
}

static void test_the_first_line_without_its_end(void **state)
{
    (void)state;
    expect("abc", "abc");
    expect("abc\n", "abc");
    expect("abc\r\n", "abc");
    expect(" a \nb\n", " a ");
    expect("\nb\n", "");
    expect("", "");
}

static void test_a_longer_line_is_cut(void **state)
{
    (void)state;
    expect("12345678", "12345678");
    expect("123456789\n", "12345678");
}

static void test_no_file(void **state)
{
    struct slice line;
    char data[8];

    (void)state;
    assert_int_equal(secret_read("/nowhere/at/all", data, sizeof(data), &line), -ENOENT);
    assert_int_equal(secret_read("/tmp", data, sizeof(data), &line), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_line_without_its_end),
        cmocka_unit_test(test_a_longer_line_is_cut),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
