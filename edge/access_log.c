/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of bytes per worker, with the worker as its only producer and the log's thread as its only consumer.
 * A record is formatted aside and published whole, so that the thread never sees half a line. The thread
 * sleeps when all rings are empty, and after each round waits GATHER_MS, so that a busy edge costs it few
 * writes.
 */
#include "access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/json.h"
#include "base/log.h"

#define GATHER_MS       100
#define IDLE_MS         60000
#define CACHE_LINE_SIZE 64

/* The longest values that are logged. JSON may need six bytes for one: the scratch buffer holds the worst of
 * lines. */
#define NAME_SIZE_MAX       256 /* site, method, host */
#define TARGET_SIZE_MAX     4096
#define RANGE_SIZE_MAX      128
#define USER_AGENT_SIZE_MAX 256
#define TEXT_SIZE_MAX       (3 * NAME_SIZE_MAX + TARGET_SIZE_MAX + RANGE_SIZE_MAX + USER_AGENT_SIZE_MAX)
#define LINE_SIZE_MAX       (6ul * TEXT_SIZE_MAX + 4096)

struct ring {
    /* the producer's */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t head; /* bytes published since the start */
    counter_t records, dropped;
    struct buf scratch;
    int64_t formatted_s; /* the second that formatted_time is of */
    char formatted_time[sizeof("2000-01-01T00:00:00")];
    /* the consumer's */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t tail; /* bytes written out since the start */
    char *bytes;
};

struct access_log {
    /* fixed */
    char *path, *edge;
    enum config_viewer_address viewer_address;
    size_t ring_count, ring_size;
    pthread_t thread;
    int wake_fd;
    /* between the threads */
    atomic_bool is_sleeping, wake_pending, reopen_wanted, stop_wanted;
    counter_t failed;
    /* the thread's */
    int fd;
    bool is_line_open; /* the last byte written was not a line's last */
    bool is_torn;      /* ... because the write after it failed: the rest of the line was lost */
    struct ring rings[];
};

/* --- the worker's side --- */

static void wake(struct access_log *log)
{
    if (!atomic_exchange(&log->wake_pending, true))
        eventfd_write(log->wake_fd, 1);
}

static void write_time(struct json *j, struct ring *ring, int64_t wall_ms)
{
    time_t second = (time_t)(wall_ms / 1000);
    char text[40];
    struct tm tm;

    if (second != ring->formatted_s) {
        gmtime_r(&second, &tm);
        strftime(ring->formatted_time, sizeof(ring->formatted_time), "%Y-%m-%dT%H:%M:%S", &tm);
        ring->formatted_s = second;
    }
    snprintf(text, sizeof(text), "%s.%03dZ", ring->formatted_time, (int)(wall_ms % 1000));
    json_text(j, "time", slice_of(text));
}

static void write_viewer(struct json *j, enum config_viewer_address mode, const struct addr *viewer)
{
    char text[ADDR_TEXT_MAX];
    struct addr shown;

    if (!viewer || mode == VIEWER_ADDRESS_NONE)
        return;
    shown = *viewer;
    if (mode == VIEWER_ADDRESS_TRUNCATED)
        addr_truncate(viewer, &shown);
    addr_format_ip(&shown, text);
    json_text(j, "viewer", slice_of(text));
}

/* What is not known is left out. */
static void write_text(struct json *j, const char *name, struct slice value, size_t size_max)
{
    if (value.data && value.size > 0)
        json_text(j, name, slice_make(value.data, size_min(value.size, size_max)));
}

static void write_word(struct json *j, const char *name, const char *word)
{
    if (word && word[0] != '\0')
        json_text(j, name, slice_of(word));
}

static void format_record(const struct access_log *log, struct ring *ring, const struct access_record *r)
{
    struct json j;

    buf_clear(&ring->scratch);
    json_init(&j, &ring->scratch);
    json_open(&j, NULL, '{');
    write_time(&j, ring, r->wall_ms);
    write_word(&j, "edge", log->edge);
    write_text(&j, "site", r->site, NAME_SIZE_MAX);
    write_viewer(&j, log->viewer_address, r->viewer);
    write_word(&j, "country", r->country);
    json_bool(&j, "tls", r->is_tls);
    write_text(&j, "method", r->method, NAME_SIZE_MAX);
    write_text(&j, "host", r->host, NAME_SIZE_MAX);
    write_text(&j, "target", r->target, TARGET_SIZE_MAX);
    write_text(&j, "range", r->range, RANGE_SIZE_MAX);
    json_u64(&j, "status", r->status);
    json_u64(&j, "bytes_sent", r->sent_bytes);
    write_word(&j, "class", content_class_name(r->content_class));
    write_word(&j, "cause", cause_name(r->cause));
    write_word(&j, "reason", r->reason);
    write_word(&j, "cache_status", r->cache_status);
    json_u64(&j, "first_byte_us", r->first_byte_us);
    json_u64(&j, "duration_us", r->duration_us);
    write_text(&j, "user_agent", r->user_agent, USER_AGENT_SIZE_MAX);
    json_close(&j, '}');
    buf_append_char(&ring->scratch, '\n');
}

static void ring_copy_in(struct ring *ring, size_t ring_size, uint64_t at, struct slice line)
{
    size_t offset = at & (ring_size - 1), first = size_min(line.size, ring_size - offset);

    memcpy(ring->bytes + offset, line.data, first);
    memcpy(ring->bytes, line.data + first, line.size - first);
}

void access_log_write(struct access_log *log, size_t worker, const struct access_record *r)
{
    struct ring *ring;
    uint64_t head, used;

    if (!log)
        return;
    REQUIRE(worker < log->ring_count);
    ring = &log->rings[worker];
    format_record(log, ring, r);
    head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (ring->scratch.failed || ring->scratch.size > log->ring_size - used) {
        counter_add(&ring->dropped, 1);
        return;
    }
    ring_copy_in(ring, log->ring_size, head, buf_slice(&ring->scratch));
    counter_add(&ring->records, 1);
    /* Sequentially consistent with the thread's "sleeping, and nothing there": one of the two sees the other.
     */
    atomic_store(&ring->head, head + ring->scratch.size);
    if (atomic_load(&log->is_sleeping) || used + ring->scratch.size > log->ring_size / 2)
        wake(log);
}

/* --- the thread's side --- */

/* Opened without waiting for a FIFO's reader; written with waiting, as that is what the thread is for. */
static int open_file(const char *path)
{
    int fd;

    if (strcmp(path, "-") == 0)
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0)
        return -errno;
    if (strcmp(path, "-") != 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

static void reopen(struct access_log *log)
{
    int fd = open_file(log->path);

    if (fd < 0) {
        log_error("access log %s: cannot be opened again, the old file is kept: %s", log->path,
                  strerror(-fd));
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->is_line_open = log->is_torn = false;
}

static bool write_all(struct access_log *log, struct slice *rest)
{
    while (rest->size > 0) {
        ssize_t written = write(log->fd, rest->data, rest->size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        log->is_line_open = rest->data[written - 1] != '\n';
        *rest = slice_skip(*rest, (size_t)written);
    }
    return true;
}

static uint64_t count_lines(struct slice bytes)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < bytes.size; i++)
        lines += bytes.data[i] == '\n';
    return lines;
}

/* Writes all that the ring holds, or loses the rest of it: a full disk must not keep the rings full as well.
 */
static bool drain_ring(struct access_log *log, struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load(&ring->head);
    size_t offset = tail & (log->ring_size - 1), size = head - tail;
    struct slice first = {ring->bytes + offset, size_min(size, log->ring_size - offset)};
    struct slice second = {ring->bytes, size - first.size}; /* behind the end, at the start */
    struct slice end_of_line = SLICE_LITERAL("\n");

    if (size == 0)
        return false;
    if ((log->is_torn && !write_all(log, &end_of_line)) || !write_all(log, &first) ||
        !write_all(log, &second))
        counter_add(&log->failed, count_lines(first) + count_lines(second));
    log->is_torn = log->is_line_open;
    atomic_store_explicit(&ring->tail, head, memory_order_release);
    return true;
}

static bool drain(struct access_log *log)
{
    bool any = false;

    for (size_t i = 0; i < log->ring_count; i++)
        any |= drain_ring(log, &log->rings[i]);
    return any;
}

static void wait_for_wake(struct access_log *log, int timeout_ms)
{
    struct pollfd wait = {.fd = log->wake_fd, .events = POLLIN};
    eventfd_t count;

    poll(&wait, 1, timeout_ms);
    eventfd_read(log->wake_fd, &count);
    atomic_store(&log->wake_pending, false);
}

static bool is_empty(struct access_log *log)
{
    for (size_t i = 0; i < log->ring_count; i++)
        if (atomic_load(&log->rings[i].head) !=
            atomic_load_explicit(&log->rings[i].tail, memory_order_relaxed))
            return false;
    return true;
}

static void *run(void *user)
{
    struct access_log *log = user;

    while (!atomic_load(&log->stop_wanted)) {
        if (atomic_exchange(&log->reopen_wanted, false))
            reopen(log);
        if (drain(log)) {
            wait_for_wake(log, GATHER_MS);
            continue;
        }
        atomic_store(&log->is_sleeping, true);
        if (is_empty(log))
            wait_for_wake(log, IDLE_MS);
        atomic_store(&log->is_sleeping, false);
    }
    drain(log);
    return NULL;
}

/* --- opening and closing --- */

static void free_log(struct access_log *log)
{
    for (size_t i = 0; i < log->ring_count; i++) {
        free(log->rings[i].bytes);
        buf_fini(&log->rings[i].scratch);
    }
    if (log->fd >= 0)
        close(log->fd);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    free(log->path);
    free(log->edge);
    free(log);
}

static struct access_log *new_log(const struct access_log_options *options)
{
    size_t size = sizeof(struct access_log) + options->worker_count * sizeof(struct ring);
    struct access_log *log = aligned_alloc(CACHE_LINE_SIZE, size);
    bool complete;

    if (!log)
        return NULL;
    memset(log, 0, size);
    log->fd = -1;
    log->viewer_address = options->viewer_address;
    log->ring_count = options->worker_count;
    log->ring_size = options->buffer_size ? options->buffer_size : ACCESS_LOG_BUFFER_SIZE;
    REQUIRE((log->ring_size & (log->ring_size - 1)) == 0);
    log->path = strdup(options->path);
    log->edge = strdup(options->edge);
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    complete = log->path && log->edge && log->wake_fd >= 0;
    for (size_t i = 0; i < log->ring_count; i++) {
        struct ring *ring = &log->rings[i];

        ring->formatted_s = -1;
        ring->bytes = malloc(log->ring_size);
        buf_init(&ring->scratch, LINE_SIZE_MAX);
        complete = complete && ring->bytes && buf_reserve(&ring->scratch, LINE_SIZE_MAX);
    }
    if (complete)
        return log;
    free_log(log);
    return NULL;
}

/* The thread takes no signals: those are the main thread's. */
static int start_thread(struct access_log *log)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    result = -pthread_create(&log->thread, NULL, run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int access_log_open(const struct access_log_options *options, struct buf *error, struct access_log **ret_log)
{
    struct access_log *log = new_log(options);
    int result;

    if (!log) {
        buf_printf(error, "access log %s: out of memory", options->path);
        return -ENOMEM;
    }
    log->fd = result = open_file(log->path);
    if (result >= 0)
        result = start_thread(log);
    if (result < 0) {
        buf_printf(error, "access log %s: %s", options->path, strerror(-result));
        free_log(log);
        return result;
    }
    *ret_log = log;
    return 0;
}

void access_log_close(struct access_log *log)
{
    struct timespec deadline;

    if (!log)
        return;
    atomic_store(&log->stop_wanted, true);
    eventfd_write(log->wake_fd, 1);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += ACCESS_LOG_CLOSE_MS / 1000;
    if (pthread_timedjoin_np(log->thread, NULL, &deadline) == 0) {
        free_log(log);
        return;
    }
    /* It hangs in a write that nobody can end. It keeps its memory; the process is about to go. */
    log_error("access log %s: the last lines could not be written in time", log->path);
    pthread_detach(log->thread);
}

void access_log_reopen(struct access_log *log)
{
    atomic_store(&log->reopen_wanted, true);
    wake(log);
}

void access_log_stats(const struct access_log *log, struct access_log_stats *ret_stats)
{
    struct access_log_stats stats = {.failed = counter_read(&log->failed)};

    for (size_t i = 0; i < log->ring_count; i++) {
        stats.records += counter_read(&log->rings[i].records);
        stats.dropped += counter_read(&log->rings[i].dropped);
    }
    *ret_stats = stats;
}
