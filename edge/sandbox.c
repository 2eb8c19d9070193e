/* SPDX-License-Identifier: Apache-2.0 */
/* See sandbox.h. Three parts that know nothing of each other: the user, files, system calls. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

static int fail(struct buf *error, const char *what, int reason)
{
    buf_printf(error, "sandbox: %s: %s", what, strerror(reason));
    return -reason;
}

/* ---- the user ---- */

static int find_user(const char *name, struct buf *error, struct passwd *ret_user)
{
    errno = 0;
    struct passwd *found = getpwnam(name);
    if (!found) {
        int reason = errno;
        buf_printf(error, "user: there is no user \"%s\"", name);
        return reason > 0 ? -reason : -ENOENT;
    }
    *ret_user = *found;
    return 0;
}

int sandbox_make_folder(const char *path, const char *user, struct buf *error)
{
    struct passwd owner = {0};
    if (!path || mkdir(path, 0700) < 0)
        return 0; /* it is there, or whoever opens it says why not */
    int rv = user ? find_user(user, error, &owner) : 0;
    if (rv == 0 && user && chown(path, owner.pw_uid, owner.pw_gid) < 0)
        rv = fail(error, path, errno);
    return rv;
}

int sandbox_become(const char *user, struct buf *error)
{
    struct passwd wanted = {0};
    int rv = find_user(user, error, &wanted);
    if (rv < 0 || (geteuid() == wanted.pw_uid && geteuid() != 0))
        return rv;
    if (geteuid() != 0) {
        buf_printf(error, "user: only root can become \"%s\"", user);
        return -EPERM;
    }
    if (initgroups(user, wanted.pw_gid) < 0 || setresgid(wanted.pw_gid, wanted.pw_gid, wanted.pw_gid) < 0 ||
        setresuid(wanted.pw_uid, wanted.pw_uid, wanted.pw_uid) < 0)
        return fail(error, "the user cannot be changed", errno);
    log_info("goes on as user %s", user);
    return 0;
}

/* ---- files ---- */

#define ACCESS_READ     (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_REFER    (UINT64_C(1) << 13) /* since version 2 of the interface, rename between folders */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14) /* since version 3 */
#define ACCESS_WRITE                                                                                  \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM |        \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |    \
     LANDLOCK_ACCESS_FS_MAKE_SOCK)
#define ACCESS_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)

static void allow_beneath(struct sandbox_files *f, const char *path, uint64_t access)
{
    struct stat about;
    int fd = f->fd >= 0 ? open(path, O_PATH | O_CLOEXEC) : -1;
    if (fd < 0)
        return; /* it cannot be opened later either */
    if (fstat(fd, &about) == 0 && !S_ISDIR(about.st_mode))
        access &= ACCESS_FILE;
    struct landlock_path_beneath_attr rule = {.allowed_access = access & f->handled, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, f->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 && f->error == 0)
        f->error = errno;
    close(fd);
}

void sandbox_files_begin(struct sandbox_files *f)
{
    /* Libraries of name services, resolv.conf (which may be a link into /run), zones, the boot's id. */
    static const char *const system[] = {
        "/etc", "/usr", "/lib", "/lib64", "/proc", "/run", "/sys/devices/system", "/dev"};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    *f = (struct sandbox_files){.fd = -1};
    if (version < 0) {
        log_info("sandbox: this kernel has no Landlock: files are not restricted");
        return;
    }
    f->handled = ACCESS_READ | ACCESS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE | (version >= 2 ? ACCESS_REFER : 0) |
                 (version >= 3 ? ACCESS_TRUNCATE : 0);
    struct landlock_ruleset_attr attributes = {.handled_access_fs = f->handled};
    f->fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (f->fd < 0)
        f->error = errno;
    for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++)
        allow_beneath(f, system[i], ACCESS_READ);
}

void sandbox_files_read(struct sandbox_files *f, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!path)
        return;
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    allow_beneath(f, folder, ACCESS_READ);
}

void sandbox_files_write(struct sandbox_files *f, const char *path)
{
    if (path)
        allow_beneath(f, path, ACCESS_READ | ACCESS_WRITE | ACCESS_REFER | ACCESS_TRUNCATE);
}

int sandbox_files_restrict(struct sandbox_files *f, struct buf *error)
{
    if (f->fd >= 0 && f->error == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        f->error = errno;
    if (f->fd >= 0 && f->error == 0 && syscall(SYS_landlock_restrict_self, f->fd, 0) < 0)
        f->error = errno;
    if (f->fd >= 0)
        close(f->fd);
    return f->error ? fail(error, "files cannot be restricted", f->error) : 0;
}

/* ---- system calls ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZERS_CALLS "clone ptrace wait4 personality kill process_vm_readv getdents"
#else
#define SANITIZERS_CALLS ""
#endif

/* mmap, mprotect, clone, socket and ioctl stand below. */
static const char *const calls[] = {
    /* files */
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 sendfile copy_file_range "
    "splice",
    "lseek close close_range dup dup2 dup3 pipe2 fcntl flock open openat unlink unlinkat rename renameat "
    "renameat2",
    "mkdir mkdirat rmdir stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat",
    "getdents64 ftruncate fallocate fsync fdatasync sync_file_range fadvise64 readahead statfs fstatfs umask "
    "fchmod",
    "getcwd inotify_init1 inotify_add_watch inotify_rm_watch",
    /* memory */
    "munmap mremap madvise mincore cachestat msync mlock munlock membarrier memfd_create brk",
    /* threads and signals */
    "futex set_robust_list get_robust_list rseq set_tid_address exit exit_group gettid getpid getppid tgkill",
    "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_setscheduler "
    "getcpu",
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending sigaltstack restart_syscall",
    "ioprio_set setpriority getpriority",
    /* time and events */
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time timerfd_create timerfd_settime",
    "timerfd_gettime eventfd2 signalfd4 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll "
    "ppoll",
    "select pselect6",
    /* sockets */
    "socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt sendto "
    "recvfrom",
    "sendmsg recvmsg sendmmsg recvmmsg shutdown",
    /* the process */
    "getrandom uname sysinfo getrlimit setrlimit prlimit64 getrusage times getuid geteuid getgid getegid "
    "getresuid",
    "getresgid getgroups capget prctl",
    SANITIZERS_CALLS,
};

/* Nothing that serves asks for these. */
static const char *const intruders[] = {
    "execve execveat fork vfork process_vm_writev mount umount2 pivot_root chroot unshare setns init_module",
    "finit_module kexec_load bpf perf_event_open userfaultfd keyctl add_key request_key setuid setresuid "
    "capset",
};

/* Newer than the names that Debian 12's libseccomp knows; the same number everywhere. */
#define CACHESTAT 451

static int add_call(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int number = strcmp(name, "cachestat") == 0 ? CACHESTAT : seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) /* neither this architecture nor this libseccomp has it */
        return 0;
    return seccomp_rule_add(filter, action, number, 0);
}

static int add_calls(scmp_filter_ctx filter, uint32_t action, const char *const *lines, size_t count)
{
    int rv = 0;
    for (size_t i = 0; i < count; i++) {
        char line[256], *rest = NULL;
        snprintf(line, sizeof(line), "%s", lines[i]);
        for (char *name = strtok_r(line, " ", &rest); rv == 0 && name; name = strtok_r(NULL, " ", &rest))
            rv = add_call(filter, action, name);
    }
    return rv;
}

/* The system calls of which only some forms are needed. */
static int add_forms(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    static const unsigned long ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, TIOCOUTQ, TCGETS};
    int rv = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (rv == 0)
        rv = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (rv == 0) /* a thread, no process. clone3's flags cannot be seen: it fails, and glibc uses this */
        rv = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    for (size_t i = 0; rv == 0 && i < sizeof(families) / sizeof(families[0]); i++)
        rv = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    for (size_t i = 0; rv == 0 && i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
        rv = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, ioctls[i]));
    return rv;
}

/* Name services may be libraries that are loaded at the first use: not possible any more afterwards. */
static void load_name_services(void)
{
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) == 0)
        freeaddrinfo(found);
}

static bool is_kernel_without(int result)
{
    return result == -EINVAL || result == -ENOSYS;
}

int sandbox_forbid_rings(struct buf *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int rv = filter ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0) : -ENOMEM;
    if (rv == 0)
        rv = seccomp_load(filter);
    seccomp_release(filter);
    return rv == 0 || is_kernel_without(rv) ? 0 : fail(error, "rings cannot be forbidden", -rv);
}

int sandbox_restrict_calls(struct buf *error)
{
    load_name_services();
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return fail(error, "system calls cannot be restricted", ENOMEM);
    int rv = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rv == 0) /* a tree: some steps a call, not hundreds */
        rv = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rv == 0)
        rv = add_calls(filter, SCMP_ACT_ALLOW, calls, sizeof(calls) / sizeof(calls[0]));
    if (rv == 0)
        rv = add_calls(filter, SCMP_ACT_KILL_PROCESS, intruders, sizeof(intruders) / sizeof(intruders[0]));
    if (rv == 0)
        rv = add_forms(filter);
    if (rv == 0)
        rv = seccomp_load(filter);
    seccomp_release(filter);
    if (is_kernel_without(rv)) {
        log_info("sandbox: this kernel has no seccomp filters: system calls are not restricted");
        return 0;
    }
    return rv < 0 ? fail(error, "system calls cannot be restricted", -rv) : 0;
}
