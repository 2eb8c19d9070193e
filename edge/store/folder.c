/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the arena by name: creating with blocks taken, locking, clearing. What stands in them is known
 * elsewhere. */
#include "store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"

static int folder_lock(struct folder *f, int operation, struct buf *error)
{
    f->lock_fd =
        openat(f->fd, "lock", (operation == LOCK_EX ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
    if (f->lock_fd < 0) {
        int rv = -errno;
        buf_printf(error, "arena %s: its lock file cannot be opened: %s", f->path, strerror(-rv));
        return rv;
    }
    if (flock(f->lock_fd, operation | LOCK_NB) == 0)
        return 0;
    int rv = errno == EWOULDBLOCK ? -EBUSY : -errno;
    buf_printf(error, rv == -EBUSY ? "arena %s is in use by another process" : "arena %s cannot be locked",
               f->path);
    return rv;
}

static int open_locked(const char *path, bool may_make, int operation, struct buf *error,
                       struct folder *ret_folder)
{
    struct folder f = {.path = strdup(path), .fd = -1, .lock_fd = -1};
    if (!f.path)
        return -ENOMEM;
    int rv = FAULT("store.open") ? -EIO : may_make && mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (rv == 0) {
        f.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rv = f.fd < 0 ? -errno : 0;
    }
    if (rv < 0)
        buf_printf(error, "arena %s: the folder cannot be opened: %s", path, strerror(-rv));
    else
        rv = folder_lock(&f, operation, error);
    if (rv < 0)
        folder_close(&f);
    else
        *ret_folder = f;
    return rv;
}

int folder_open(const char *path, struct buf *error, struct folder *ret_folder)
{
    return open_locked(path, true, LOCK_EX, error, ret_folder);
}

int folder_open_to_look(const char *path, struct buf *error, struct folder *ret_folder)
{
    return open_locked(path, false, LOCK_SH, error, ret_folder);
}

void folder_close(struct folder *f)
{
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (struct folder){.fd = -1, .lock_fd = -1};
}

static bool is_ours(const char *name)
{
    uint32_t slot, sequence;
    return strcmp(name, "superblock") == 0 || strcmp(name, "index") == 0 || strcmp(name, "index.new") == 0 ||
           folder_parse_region_name(name, &slot, &sequence);
}

static void clear_one(void *context, const char *name)
{
    const struct folder *f = context;
    if (is_ours(name))
        unlinkat(f->fd, name, 0);
}

void folder_clear(struct folder *f)
{
    folder_for_each(f, clear_one, f);
}

struct move {
    int from_fd, to_fd;
};

static void move_one(void *context, const char *name)
{
    const struct move *m = context;
    if (is_ours(name) && renameat(m->from_fd, name, m->to_fd, name) < 0)
        unlinkat(m->from_fd, name, 0);
}

bool folder_set_aside(struct folder *f, uint64_t room_bytes)
{
    struct statvfs fs;
    if (mkdirat(f->fd, "set-aside", 0700) < 0 && errno != EEXIST)
        return false;
    struct folder aside = {.fd = openat(f->fd, "set-aside", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (aside.fd < 0)
        return false;
    struct move m = {f->fd, aside.fd};
    folder_clear(&aside);
    folder_for_each(f, move_one, &m);
    bool has_room = fstatvfs(f->fd, &fs) < 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= room_bytes;
    if (!has_room)
        folder_clear(&aside);
    close(aside.fd);
    return has_room;
}

int folder_create_file(struct folder *f, const char *name, uint64_t size_bytes)
{
    if (unlinkat(f->fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    int fd = FAULT("store.open") ? (errno = EIO, -1)
                                 : openat(f->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    /* posix_fallocate writes zeros where the file system cannot reserve: slow, but as good. */
    int rv = FAULT("store.fallocate") ? -ENOSPC : -posix_fallocate(fd, 0, (off_t)size_bytes);
    if (rv == 0)
        return fd;
    close(fd);
    unlinkat(f->fd, name, 0);
    return rv;
}

void *folder_map_file(int fd, uint64_t size_bytes)
{
    if (FAULT("store.mmap")) {
        errno = ENOMEM;
        return NULL;
    }
    void *map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

void folder_region_name(uint32_t slot, uint32_t sequence, char ret_name[FOLDER_REGION_NAME_MAX])
{
    snprintf(ret_name, FOLDER_REGION_NAME_MAX, "region-%05" PRIu32 "-%010" PRIu32, slot, sequence);
}

bool folder_parse_region_name(const char *name, uint32_t *ret_slot, uint32_t *ret_sequence)
{
    struct slice rest = slice_of(name), part;
    uint64_t slot, sequence;
    if (!slice_split(&rest, '-', &part) || !slice_equal(part, SLICE_LITERAL("region")) ||
        !slice_split(&rest, '-', &part) || !slice_to_u64(part, &slot) || slot > UINT32_MAX ||
        !slice_split(&rest, '-', &part) || !slice_to_u64(part, &sequence) || sequence > UINT32_MAX ||
        rest.data)
        return false;
    *ret_slot = (uint32_t)slot;
    *ret_sequence = (uint32_t)sequence;
    return true;
}

void folder_for_each(struct folder *f, folder_name_fn each, void *context)
{
    int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        each(context, entry->d_name);
    closedir(dir);
}
