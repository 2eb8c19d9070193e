/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openat2(2), for which the C library has no function, and what a file's metadata say.
 */
#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct directory {
    int fd;
};

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
static int open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

int directory_open(const char *path, struct directory **ret_directory)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), itself;
    struct directory *d;

    if (fd < 0)
        return -errno;
    itself = open_beneath(fd, ".", O_DIRECTORY);
    d = itself < 0 ? NULL : malloc(sizeof(*d));
    if (itself >= 0)
        close(itself);
    if (d == NULL) {
        close(fd);
        return itself < 0 ? itself : -ENOMEM;
    }
    d->fd = fd;
    *ret_directory = d;
    return 0;
}

void directory_close(struct directory *d)
{
    if (d == NULL)
        return;
    close(d->fd);
    free(d);
}

int directory_file_open(const struct directory *d, const char *path, struct directory_file *ret_file)
{
    struct stat status;
    int fd;

    do /* a rename elsewhere while ".." is resolved: openat2(2) says try again */
        fd = open_beneath(d->fd, path, 0);
    while (fd == -EAGAIN || fd == -EINTR);
    if (fd == -EXDEV || fd == -ELOOP || fd == -ENOTDIR || fd == -ENAMETOOLONG || fd == -ENXIO)
        return -ENOENT;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    ret_file->fd = fd;
    ret_file->size_bytes = (uint64_t)status.st_size;
    ret_file->modified_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    ret_file->inode = status.st_ino;
    return 0;
}

int directory_file_read(const struct directory_file *file, struct buf *out)
{
    size_t before = out->size;
    char *room;

    if (file->size_bytes > out->max || (room = buf_reserve(out, (size_t)file->size_bytes)) == NULL)
        return -EFBIG;
    while (out->size - before < file->size_bytes) {
        size_t done = out->size - before;
        ssize_t got = pread(file->fd, room + done, (size_t)file->size_bytes - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* it became shorter meanwhile */
            return got < 0 ? -errno : -EIO;
        out->size += (size_t)got;
    }
    return 0;
}
