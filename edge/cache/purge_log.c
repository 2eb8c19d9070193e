/* SPDX-License-Identifier: Apache-2.0 */
/* See purge_log.h. */
#include "cache/purge_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fault.h"

#define MAGIC         0x31525550u /* "PUR1", and the byte order */
#define FILE_SIZE_MAX ((off_t)1 << 30)
#define NEW_NAME      PURGE_LOG_NAME ".new"
#define BATCH         256u /* records written at once */

struct record {
    uint32_t magic;
    uint32_t index;  /* its place: one that strayed is not believed */
    uint32_t synced; /* how many records from the first were on the disk when it was written; of the first
                        itself: with how many the file got its name */
    uint16_t text_size;
    uint8_t kind, unused;
    uint64_t site, scope;
    uint32_t hard, soft;
    int64_t hard_at_ms, soft_at_ms;
    uint64_t sum; /* hash_sum of all above */
};
_Static_assert(sizeof(struct record) == 64, "part of the format");

static uint64_t sum_of(const struct record *r)
{
    return hash_sum(r, offsetof(struct record, sum));
}

static struct record encode(const struct purge_rule *rule, uint32_t index, uint32_t synced)
{
    struct record r = {.magic = MAGIC,
                       .index = index,
                       .synced = synced,
                       .text_size = rule->text_size,
                       .kind = rule->kind,
                       .site = rule->site,
                       .scope = rule->scope,
                       .hard = rule->hard,
                       .soft = rule->soft,
                       .hard_at_ms = rule->hard_at_ms,
                       .soft_at_ms = rule->soft_at_ms};
    r.sum = sum_of(&r);
    return r;
}

static struct purge_rule decode(const struct record *r)
{
    return (struct purge_rule){.site = r->site,
                               .scope = r->scope,
                               .hard = r->hard,
                               .soft = r->soft,
                               .hard_at_ms = r->hard_at_ms,
                               .soft_at_ms = r->soft_at_ms,
                               .text_size = r->text_size,
                               .kind = r->kind};
}

static bool is_good(const struct record *r, size_t index)
{
    return r->magic == MAGIC && r->index == index && (r->synced <= index || index == 0) &&
           r->sum == sum_of(r);
}

/* ---- reading ---- */

static int read_file(int fd, struct record **ret_records, size_t *ret_count)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size > FILE_SIZE_MAX)
        return -EFBIG;
    size_t size = (size_t)st.st_size, done = 0;
    char *data = malloc(size_max(size, 1));
    if (!data)
        return -ENOMEM;
    while (done < size) {
        ssize_t got =
            FAULT("purge.read") ? (errno = EIO, -1) : pread(fd, data + done, size - done, (off_t)done);
        if (got <= 0) {
            int rv = got < 0 ? -errno : -EIO;
            free(data);
            return rv;
        }
        done += (size_t)got;
    }
    *ret_records = (struct record *)data;
    *ret_count = size / sizeof(struct record);
    return 0;
}

/* How many records from the first can be believed; false: not even those that were on the disk. */
static bool examine(const struct record *records, size_t count, size_t *ret_good)
{
    size_t synced = 1, good = 0;
    for (size_t i = 0; i < count; i++)
        if (is_good(&records[i], i) && records[i].synced > synced)
            synced = records[i].synced;
    while (good < count && is_good(&records[good], good))
        good++;
    *ret_good = good;
    return good >= synced;
}

int purge_log_open(struct purge_log *log, const char *path,
                   void (*each)(void *user, const struct purge_rule *record), void *user,
                   enum purge_log_found *ret_found)
{
    struct record *records = NULL;
    size_t count = 0, good;
    *log = (struct purge_log){.fd = -1};
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    log->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->folder_fd < 0)
        return -errno;
    int fd = openat(log->folder_fd, PURGE_LOG_NAME, O_RDONLY | O_CLOEXEC);
    *ret_found = fd < 0 && errno == ENOENT ? PURGE_LOG_MISSING : PURGE_LOG_DAMAGED;
    if (fd < 0)
        return 0;
    int r = read_file(fd, &records, &count);
    close(fd);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    if (examine(records, count, &good)) {
        *ret_found = PURGE_LOG_FOUND;
        for (size_t i = 0; i < good; i++) {
            struct purge_rule rule = decode(&records[i]);
            each(user, &rule);
        }
    }
    free(records);
    return 0;
}

void purge_log_close(struct purge_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->folder_fd >= 0)
        close(log->folder_fd);
    log->fd = log->folder_fd = -1;
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, size_t size, off_t offset)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = FAULT("purge.write") ? (errno = EIO, -1) : pwrite(fd, at, size, offset);
        if (put < 0)
            return -errno;
        at += put;
        size -= (size_t)put;
        offset += put;
    }
    return 0;
}

static int sync_fd(int fd)
{
    return FAULT("purge.sync") ? -EIO : fsync(fd) < 0 ? -errno : 0;
}

static int write_records(int fd, uint32_t start, uint32_t synced, const struct purge_rule *rules,
                         size_t count)
{
    struct record batch[BATCH];
    int r = 0;
    for (size_t done = 0; done < count && r == 0;) {
        size_t part = size_min(BATCH, count - done);
        for (size_t i = 0; i < part; i++)
            batch[i] = encode(&rules[done + i], start + (uint32_t)(done + i),
                              start + done + i == 0 ? (uint32_t)count : synced);
        r = write_all(fd, batch, part * sizeof(batch[0]), (off_t)(start + done) * (off_t)sizeof(batch[0]));
        done += part;
    }
    return r == 0 ? sync_fd(fd) : r;
}

int purge_log_append(struct purge_log *log, const struct purge_rule *records, size_t count)
{
    if (log->fd < 0)
        return -EBADF;
    int r = write_records(log->fd, log->count, log->synced, records, count);
    if (r < 0)
        return r;
    log->count += (uint32_t)count;
    log->synced = log->count;
    return 0;
}

int purge_log_rewrite(struct purge_log *log, const struct purge_rule *records, size_t count)
{
    REQUIRE(count > 0);
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    int fd = openat(log->folder_fd, NEW_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = write_records(fd, 0, 0, records, count);
    if (r == 0 && FAULT("purge.rename"))
        r = -EIO;
    if (r == 0 && renameat(log->folder_fd, NEW_NAME, log->folder_fd, PURGE_LOG_NAME) < 0)
        r = -errno;
    if (r == 0)
        r = sync_fd(log->folder_fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    log->fd = fd;
    log->count = log->synced = (uint32_t)count;
    return 0;
}
