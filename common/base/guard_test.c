/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base/guard.h. */
#include "base/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 16384u

static int memory_file(char **ret_map)
{
    int fd = memfd_create("guard-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    *ret_map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(*ret_map != MAP_FAILED);
    memset(*ret_map, 'x', SIZE);
    return fd;
}

static void test_truncated_file_is_marked(void **state)
{
    (void)state;
    char *map, *other, copy[SIZE];
    _Atomic bool mark = false, other_mark = false;
    int fd = memory_file(&map), other_fd = memory_file(&other);
    guard_take_signal();
    assert_true(guard_add(map, SIZE, false, &mark));
    assert_true(guard_add(other, SIZE, true, &other_mark));
    memcpy(copy, map, SIZE);
    assert_false(guard_is_lost(map));

    assert_int_equal(ftruncate(fd, 4096), 0);
    memcpy(copy, map, SIZE);
    assert_true(guard_is_lost(map) && guard_is_lost(map + SIZE - 1));
    assert_true(mark && !other_mark);
    assert_int_equal(copy[SIZE - 1], 0);
    assert_false(guard_is_lost(other));
    assert_false(guard_is_lost(&mark));

    assert_int_equal(ftruncate(other_fd, 0), 0);
    other[5000] = 'y'; /* what is written is kept, in memory */
    assert_int_equal(other[5000], 'y');
    assert_true(guard_is_lost(other));

    guard_remove(map);
    guard_remove(other);
    assert_false(guard_is_lost(map));
    munmap(map, SIZE);
    munmap(other, SIZE);
    close(fd);
    close(other_fd);
}

static void test_system_call_marks_too(void **state)
{
    (void)state;
    char *map;
    _Atomic bool mark = false;
    int fd = memory_file(&map);
    assert_true(guard_add(map, SIZE, false, &mark));
    guard_lose(&mark); /* stands in no map: harmless */
    assert_false(mark);
    guard_lose(map + 100);
    assert_true(mark && guard_is_lost(map));
    guard_remove(map);
    munmap(map, SIZE);
    close(fd);
}

static void test_other_addresses_die_as_before(void **state)
{
    (void)state;
    char *map;
    int fd = memory_file(&map), status;
    _Atomic bool mark = false;
    char *guarded;
    int guarded_fd = memory_file(&guarded);
    assert_true(guard_add(guarded, SIZE, false, &mark));
    assert_int_equal(ftruncate(fd, 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); /* instead of the test framework's */
        guard_take_signal();
        *(volatile char *)map = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    guard_remove(guarded);
    munmap(guarded, SIZE);
    munmap(map, SIZE);
    close(fd);
    close(guarded_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated_file_is_marked),
        cmocka_unit_test(test_system_call_marks_too),
        cmocka_unit_test(test_other_addresses_die_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
