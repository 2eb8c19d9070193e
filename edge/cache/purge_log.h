/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of purges: a file of records of 64 bytes, each with a sum, appended to and synced before a purge is
 * answered, written anew when most of it is out of date. Each record says how many before it were on the disk
 * when it was written: so one of those that cannot be read is damage, and the log is not believed, while at
 * the end it only was never answered. Internal to cache/.
 */
#ifndef CACHE_PURGE_LOG_H
#define CACHE_PURGE_LOG_H

#include "base/buf.h"
#include "cache/purge_rules.h"

#define PURGE_LOG_NAME "purges"

/* kind of a record that is no rule: */
#define PURGE_LOG_FLOOR 100 /* hard: the floor */
#define PURGE_LOG_CLOCK 101 /* hard: no generation above it was given out by then */

struct purge_log {
    int folder_fd, fd; /* -1: none */
    uint32_t count;    /* records in it */
    uint32_t synced;   /* those that are known to be on the disk */
};

enum purge_log_found { PURGE_LOG_FOUND, PURGE_LOG_MISSING, PURGE_LOG_DAMAGED };

/* Opens the folder, making it when it is not there, and gives the records of the log in it to `each`, in
 * their order; before that it is known that all can be read. Negative errno: the folder cannot be used, or
 * memory is out. */
int purge_log_open(struct purge_log *log, const char *path,
                   void (*each)(void *user, const struct purge_rule *record), void *user,
                   enum purge_log_found *ret_found);
void purge_log_close(struct purge_log *log);

/* Both return 0 when the records are on the disk, or a negative errno: then only purge_log_rewrite may
 * follow, which puts a new file in place of the old one. */
int purge_log_append(struct purge_log *log, const struct purge_rule *records, size_t count);
int purge_log_rewrite(struct purge_log *log, const struct purge_rule *records, size_t count);

#endif
