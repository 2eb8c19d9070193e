/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/log.h: standard error is a pipe, and what arrives there is compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int stderr_before, pipe_read;

static int catch_stderr(void **state)
{
    int ends[2];

    (void)state;
    if (pipe(ends) < 0)
        return -1;
    stderr_before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_read = ends[0];
    return 0;
}

static int release_stderr(void **state)
{
    (void)state;
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(pipe_read);
    log_set_level(LOG_INFO);
    log_set_name(NULL);
    return 0;
}

/* Everything written so far; closes the writing end, so that nothing blocks. */
static void read_log(char *ret_text, size_t room)
{
    size_t size = 0;
    ssize_t count;

    dup2(stderr_before, STDERR_FILENO);
    while ((count = read(pipe_read, ret_text + size, room - 1 - size)) > 0)
        size += (size_t)count;
    ret_text[size] = '\0';
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    assert_int_equal(regexec(&regex, text, 0, NULL, 0), 0);
    regfree(&regex);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void test_line(void **state)
{
    char text[4096];

    (void)state;
    log_info("first %d", 1);
    log_debug("not seen");
    log_set_name("edge");
    log_error("second");
    log_set_level(LOG_ERROR);
    log_warn("not seen");
    read_log(text, sizeof(text));
    assert_matches(text, "^" TIME " info first 1\n" TIME " error edge: second\n$");
}

static void test_control_bytes_cannot_forge_a_line(void **state)
{
    char text[4096];

    (void)state;
    log_info("host a\r\n2026 error\x1b[2J\x7f \xc3\xa4");
    read_log(text, sizeof(text));
    assert_matches(text, "^" TIME " info host a\\?\\?2026 error\\?\\[2J\\? \xc3\xa4\n$");
}

static void test_long_line_is_cut(void **state)
{
    char text[8192], message[4096];

    (void)state;
    memset(message, 'm', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    log_info("%s", message);
    log_info("next");
    read_log(text, sizeof(text));
    assert_matches(text, "^" TIME " info m+\n" TIME " info next\n$");
    assert_int_equal(strchr(text, '\n') - text + 1, 2048 - 1);
}

static void test_errno_is_kept(void **state)
{
    char text[4096];

    (void)state;
    errno = ENOENT;
    log_info("%m");
    assert_int_equal(errno, ENOENT);
    read_log(text, sizeof(text));
    assert_matches(text, "info No such file or directory\n$");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(test_control_bytes_cannot_forge_a_line, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(test_errno_is_kept, catch_stderr, release_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
