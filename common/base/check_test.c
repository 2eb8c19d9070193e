/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/check.h: each grade in a process of its own, since some of them end it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

/* How a child that runs `body` ends, as wait(2) says it; it may say what it likes on standard error. */
static int status_of(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_aborts(void (*body)(void))
{
    int status = status_of(body);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void require_true(void)
{
    REQUIRE(1 + 1 == 2);
}

static void require_false(void)
{
    REQUIRE(1 + 1 == 3);
}

static void unreachable(void)
{
    UNREACHABLE();
}

static void check_false(void)
{
    if (CHECK(1 + 1 == 3) || check_failed_count() != 1)
        _exit(1);
}

static void test_require(void **state)
{
    (void)state;
    assert_int_equal(status_of(require_true), 0);
    assert_aborts(require_false);
    assert_aborts(unreachable);
}

static void test_check(void **state)
{
    (void)state;
    assert_true(CHECK(1 + 1 == 2));
    assert_int_equal(check_failed_count(), 0);
#ifdef NDEBUG
    assert_int_equal(status_of(check_false), 0);
#else
    assert_aborts(check_false);
#endif
}

static void test_helpers(void **state)
{
    struct pair {
        int first, second;
    } pair;
    int three[3];

    (void)state;
    assert_ptr_equal(container_of(&pair.second, struct pair, second), &pair);
    assert_int_equal(ARRAY_COUNT(three), 3);
    assert_int_equal(size_min(1, 2), 1);
    assert_int_equal(size_max(1, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_require),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
