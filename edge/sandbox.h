/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes from the process what it needs no more once it listens, so that a mistake in a parser owns nothing:
 * the user that it started as, files that are none of its own (Landlock), system calls that serving takes no
 * part in (seccomp). Each for good. What the kernel does not have is logged once and done without.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdint.h>

#include "base/buf.h"

/* Becomes `user`, with its groups: as root, or as the same user. The folder `path` (NULL: none) is made for
 * it when there is none. 0, or a negative errno with a sentence in `error`. */
int sandbox_make_folder(const char *path, const char *user, struct buf *error);
int sandbox_become(const char *user, struct buf *error);

/* Files, before the process has another thread: begin, allow, restrict. What a process reads of the system
 * (libraries, /etc, /proc) can be read in any case. Paths that are not there, and NULL, are passed over. */
struct sandbox_files {
    int fd; /* -1: the kernel has nothing of the kind */
    uint64_t handled;
    int error; /* the first one: it is sandbox_files_restrict that tells */
};
void sandbox_files_begin(struct sandbox_files *f);
void sandbox_files_read(struct sandbox_files *f, const char *path);  /* and what else is in its folder */
void sandbox_files_write(struct sandbox_files *f, const char *path); /* a folder: all beneath it */
int sandbox_files_restrict(struct sandbox_files *f, struct buf *error);

/* What a ring does no filter of system calls sees: none can be made from here on. Before the first loop, as
 * libuv (1.49) would give each a ring, and end the process once it may not enter it. What it is refused it
 * does without. 0, or a negative errno with a sentence in `error`. */
int sandbox_forbid_rings(struct buf *error);

/* All threads, those that run and those to come. A call that is not needed fails with ENOSYS; one that only
 * an intruder makes (a program started, another process looked into) ends the process. */
int sandbox_restrict_calls(struct buf *error);

#endif
