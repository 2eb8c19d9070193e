/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log: a line of JSON for each request (docs/stats.md names its fields). A worker only copies the
 * line into a buffer of its own; one thread writes the buffers out, so that a disk that hangs stops no
 * worker. What does not fit into a full buffer is dropped and counted.
 */
#ifndef ACCESS_LOG_H
#define ACCESS_LOG_H

#include "base/addr.h"
#include "base/buf.h"
#include "config.h"
#include "ledger_words.h"

#define ACCESS_LOG_BUFFER_SIZE (1ul << 20) /* a worker's, when the options say 0 */

struct access_log;

struct access_log_options {
    const char *path; /* "-": standard output. Copied */
    const char *edge; /* this edge's name. Copied */
    size_t worker_count;
    size_t buffer_size; /* of a worker; a power of two, 0 for ACCESS_LOG_BUFFER_SIZE */
    enum config_viewer_address viewer_address;
};

/* Opens the file (appending) and starts the thread. On failure a sentence for the operator stands in `error`.
 * 0 or a negative errno. */
int access_log_open(const struct access_log_options *options, struct buf *error, struct access_log **ret_log);

/* Writes what is buffered, for at most ACCESS_LOG_CLOSE_MS, and ends. No worker may write any more. NULL is
 * fine. */
#define ACCESS_LOG_CLOSE_MS 5000
void access_log_close(struct access_log *log);

/* Any thread: opens the path anew (the file was moved away). When that fails the old file is kept, and the
 * program's log says so. */
void access_log_reopen(struct access_log *log);

struct access_record {
    int64_t wall_ms;   /* when the request had ended */
    struct slice site; /* slices may have data NULL: not known, not given */
    const struct addr *viewer;
    const char *country;
    struct slice method, host, target; /* target: as it was sent, with its query */
    unsigned status;                   /* 0: there was no response */
    uint64_t sent_bytes;
    enum content_class content_class;
    enum cause cause;
    const char *reason;       /* a refusal's, a failure's, a routing decision's word; NULL for none */
    const char *cache_status; /* NULL for none */
    uint64_t first_byte_us, duration_us;
    struct slice range, user_agent;
    bool is_tls;
};

/* On the worker's own thread. Allocates nothing, waits for nothing. `log` NULL: there is no access log. */
void access_log_write(struct access_log *log, size_t worker, const struct access_record *r);

struct access_log_stats {
    uint64_t records; /* put into a buffer since the start */
    uint64_t dropped; /* did not fit into a buffer */
    uint64_t failed;  /* lost from a buffer, because the file could not be written */
};
void access_log_stats(const struct access_log *log, struct access_log_stats *ret_stats); /* any thread */

#endif
