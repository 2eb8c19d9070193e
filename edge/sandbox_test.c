/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can do no more in the sandbox, tried by children. */
#include "sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char ours[64], theirs[64], text[128];
    struct buf error;
};

static int setup(void **state)
{
    static struct fixture f;
    snprintf(f.ours, sizeof(f.ours), "/tmp/sandbox-ours-XXXXXX");
    snprintf(f.theirs, sizeof(f.theirs), "/tmp/sandbox-theirs-XXXXXX");
    assert_true(mkdtemp(f.ours) && mkdtemp(f.theirs));
    buf_init(&f.error, 1000);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s %s", f->ours, f->theirs);
    buf_fini(&f->error);
    return system(command);
}

static const char *in(struct fixture *f, const char *folder, const char *name)
{
    snprintf(f->text, sizeof(f->text), "%s/%s", folder, name);
    return f->text;
}

static void make(struct fixture *f, const char *folder, const char *name)
{
    int fd = open(in(f, folder, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* A child does it, without cmocka's ways; what it ended with. */
static int status_of(struct fixture *f, int (*body)(struct fixture *f))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(body(f));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

#define EXPECT(condition)              \
    do {                               \
        if (!(condition))              \
            return __LINE__ % 250 + 1; \
    } while (0)

static int try_files(struct fixture *f)
{
    struct sandbox_files files;
    sandbox_files_begin(&files);
    if (files.fd < 0)
        return 0; /* no Landlock here */
    sandbox_files_write(&files, f->ours);
    sandbox_files_read(&files, in(f, f->theirs, "file"));
    sandbox_files_read(&files, NULL);
    sandbox_files_write(&files, "/absent/folder");
    EXPECT(sandbox_files_restrict(&files, &f->error) == 0);
    EXPECT(open(in(f, f->ours, "new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0);
    EXPECT(unlink(in(f, f->ours, "new")) == 0);
    EXPECT(open(in(f, f->theirs, "file"), O_RDONLY | O_CLOEXEC) >= 0);
    EXPECT(open(in(f, f->theirs, "file"), O_RDWR | O_CLOEXEC) < 0 && errno == EACCES);
    EXPECT(unlink(in(f, f->theirs, "file")) < 0 && errno == EACCES);
    EXPECT(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 && errno == EACCES);
    EXPECT(open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0);
    EXPECT(open("/etc/hosts", O_WRONLY | O_CLOEXEC) < 0 && errno == EACCES);
    return 0;
}

static void test_files_of_others_are_out_of_reach(void **state)
{
    struct fixture *f = *state;
    make(f, f->theirs, "file");
    assert_int_equal(status_of(f, try_files), 0);
}

static void *add_one(void *user)
{
    ++*(int *)user;
    return NULL;
}

static int try_calls(struct fixture *f)
{
    struct addrinfo *found;
    pthread_t thread;
    int count = 0;
    (void)f;
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(sandbox_restrict_calls(&f->error) == 0);
    EXPECT(pthread_create(&thread, NULL, add_one, &count) == 0);
    EXPECT(pthread_join(thread, NULL) == 0 && count == 1);
    EXPECT(getaddrinfo("127.0.0.1", "80", NULL, &found) == 0);
    freeaddrinfo(found);
    EXPECT(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
    EXPECT(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 && errno == ENOSYS);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    EXPECT(symlink("a", "b") < 0 && errno == ENOSYS);
    return 0;
}

static void test_calls_that_serving_needs_are_left(void **state)
{
    assert_int_equal(status_of(*state, try_calls), 0);
}

static int try_to_start_a_program(struct fixture *f)
{
    char *arguments[] = {"/bin/true", NULL};
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(sandbox_restrict_calls(&f->error) == 0);
    execv(arguments[0], arguments);
    return 1;
}

static void test_starting_a_program_is_the_end(void **state)
{
    int status = status_of(*state, try_to_start_a_program);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static int try_to_make_a_ring(struct fixture *f)
{
    char parameters[256] = ""; /* struct io_uring_params, and more */
    EXPECT(sandbox_forbid_rings(&f->error) == 0);
    if (prctl(PR_GET_SECCOMP) != 2) /* the kernel has no filters */
        return 0;
    EXPECT(syscall(SYS_io_uring_setup, 4, parameters) < 0 && errno == ENOSYS);
    return 0;
}

static void test_no_ring_can_be_made(void **state)
{
    assert_int_equal(status_of(*state, try_to_make_a_ring), 0);
}

static void test_unknown_user(void **state)
{
    struct fixture *f = *state;
    assert_true(sandbox_become("no-such-user-here", &f->error) < 0);
    assert_string_equal(buf_slice(&f->error).data, "user: there is no user \"no-such-user-here\"");
}

static int become_nobody(struct fixture *f)
{
    EXPECT(sandbox_make_folder(in(f, f->ours, "arena"), "nobody", &f->error) == 0);
    EXPECT(sandbox_make_folder(in(f, f->ours, "arena"), "nobody", &f->error) == 0); /* it is there */
    EXPECT(sandbox_become("nobody", &f->error) == 0);
    EXPECT(sandbox_become("nobody", &f->error) == 0);
    EXPECT(geteuid() != 0 && getuid() == geteuid() && setuid(0) < 0);
    EXPECT(sandbox_become("root", &f->error) == -EPERM);
    return 0;
}

static void test_root_becomes_a_user_for_good(void **state)
{
    struct fixture *f = *state;
    struct stat about;
    if (geteuid() != 0)
        skip();
    assert_int_equal(status_of(f, become_nobody), 0);
    assert_int_equal(stat(in(f, f->ours, "arena"), &about), 0);
    assert_true(about.st_uid != 0 && (about.st_mode & 0777) == 0700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_of_others_are_out_of_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_that_serving_needs_are_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starting_a_program_is_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_ring_can_be_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_becomes_a_user_for_good, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
