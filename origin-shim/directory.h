/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root: opens files beneath one folder and nowhere else. Neither "..", nor an absolute path, nor a
 * symbolic link leads out of it: the kernel itself refuses (openat2 with RESOLVE_BENEATH). Shared by all
 * workers once open.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "base/buf.h"

struct directory;

struct directory_file {
    int fd; /* the caller's to close */
    uint64_t size_bytes;
    int64_t modified_ns; /* since the epoch */
    uint64_t inode;
};

/* -ENOSYS where the kernel has no openat2 (before 5.6). */
int directory_open(const char *path, struct directory **ret_directory);
void directory_close(struct directory *d); /* NULL is fine */

/* A regular file; `path` is relative. -ENOENT for what is not one, or is not beneath the root; other errors
 * as they come (-EACCES, -EMFILE). */
int directory_file_open(const struct directory *d, const char *path, struct directory_file *ret_file);

/* Appends all of an open file, from its begin. -EFBIG when it does not fit. */
int directory_file_read(const struct directory_file *file, struct buf *out);

#endif
