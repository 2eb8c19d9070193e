/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue, and what a thread does with a job: it has the kernel begin to read all of it, then waits for the
 * pages by sending them to /dev/null, which copies nothing.
 *
 * A job belongs to the queue, then to the thread, then to the mailbox. Who lets go of one that is queued
 * takes it out; of one that a thread has, the thread frees it.
 */
#include "store/prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/fault.h"
#include "base/guard.h"
#include "store/residency.h"

#define GATE_POLL_US    1000
#define KEEP_STEP_BYTES ((size_t)1 << 20)
#define PAGE_MIN        4096u
#define POPULATE_READ   22 /* MADV_POPULATE_READ, since Linux 5.14 */

struct prefetch {
    pthread_t threads[PREFETCH_THREADS];
    unsigned thread_count;
    int null_fd;

    pthread_mutex_t mutex;
    /* guarded by mutex */
    pthread_cond_t wake;
    struct list queue;
    uint64_t waiting;
    struct iovec kept;
    size_t kept_bytes; /* of it, so far in this round */
    bool is_keeping;   /* a thread is at it */
    _Atomic bool has_kept;
    _Atomic bool is_stopping;

    counter_t jobs, bytes, errors; /* any thread adds */
};

/* ---- a thread ---- */

/* A test's disk that answers when it is told to. */
static void wait_for_gate(const struct prefetch *p)
{
    while (FAULT_GATE("store.read") && !atomic_load(&p->is_stopping))
        usleep(GATE_POLL_US);
}

/* One that cannot be read is its owner's to notice (base/guard.h). The kernel does it where it can: a byte
 * that is read here, others may be writing. */
void prefetch_touch(const void *data, size_t size)
{
    const char *map = data;
    uintptr_t skip = (uintptr_t)map % PAGE_MIN;
    if (madvise((void *)(map - skip), size + skip, POPULATE_READ) == 0)
        return;
    for (size_t i = 0; i < size; i += PAGE_MIN)
        (void)*(const volatile char *)(map + i);
    (void)*(const volatile char *)(map + size - 1);
}

/* 0, or -EIO when it cannot be read, or ends too soon. */
static int read_region(const struct prefetch *p, const struct store_region *region, uint64_t offset_bytes,
                       uint64_t size_bytes)
{
    off_t at = (off_t)offset_bytes, end = at + (off_t)size_bytes;
    if (FAULT("store.read"))
        return -EIO;
    posix_fadvise(region->fd, at, end - at, POSIX_FADV_WILLNEED);
    while (at < end) {
        ssize_t n = sendfile(p->null_fd, region->fd, &at, (size_t)(end - at));
        if (n == 0 || (n < 0 && errno != EINTR))
            return -EIO;
    }
    residency_loaded(region, offset_bytes, size_bytes, clock_monotonic_ms());
    return 0;
}

static void run(struct prefetch *p, struct prefetch_job *job)
{
    wait_for_gate(p);
    if (job->region)
        job->error = read_region(p, job->region, job->offset_bytes, job->size_bytes);
    else
        prefetch_touch(job->map, job->size_bytes);
    counter_add_shared(&p->jobs, 1);
    counter_add_shared(&p->bytes, job->error ? 0 : job->size_bytes);
    counter_add_shared(&p->errors, job->error != 0);
    if (job->region && job->error)
        guard_lose(job->region->map + job->offset_bytes); /* as when a send had met it */
}

/* Told under the mutex: once a job is dropped nothing of it meets its mailbox, which may end. */
static void conclude(struct prefetch *p, struct prefetch_job *job) /* under mutex */
{
    p->waiting--;
    if (job->is_dropped) {
        pthread_mutex_unlock(&p->mutex);
        prefetch_free(job);
        pthread_mutex_lock(&p->mutex);
    } else {
        mailbox_post(job->mailbox, &job->message);
    }
}

/* One thread at a time, when there is nothing else to do. False: nor this. */
static bool keep_step(struct prefetch *p) /* under mutex, which is let go meanwhile */
{
    if (p->is_keeping || p->kept_bytes >= p->kept.iov_len)
        return false;
    const char *at = (const char *)p->kept.iov_base + p->kept_bytes;
    size_t size = size_min(p->kept.iov_len - p->kept_bytes, KEEP_STEP_BYTES);
    p->is_keeping = true;
    pthread_mutex_unlock(&p->mutex);
    wait_for_gate(p);
    prefetch_touch(at, size);
    pthread_mutex_lock(&p->mutex);
    p->is_keeping = false;
    p->kept_bytes += size;
    if (p->kept_bytes >= p->kept.iov_len)
        atomic_store_explicit(&p->has_kept, true, memory_order_release);
    return true;
}

static void *prefetch_thread(void *argument)
{
    struct prefetch *p = argument;
    pthread_mutex_lock(&p->mutex);
    while (!atomic_load(&p->is_stopping)) {
        if (list_is_empty(&p->queue)) {
            if (!keep_step(p))
                pthread_cond_wait(&p->wake, &p->mutex);
            continue;
        }
        struct prefetch_job *job = LIST_FIRST(&p->queue, struct prefetch_job, node);
        list_remove(&job->node);
        pthread_mutex_unlock(&p->mutex);
        run(p, job);
        pthread_mutex_lock(&p->mutex);
        conclude(p, job);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* ---- jobs ---- */

static struct prefetch_job *start(struct prefetch *p, struct prefetch_job job)
{
    struct prefetch_job *copy = FAULT("memory") ? NULL : malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = job;
    list_init(&copy->node);
    if (copy->region) {
        region_ref(copy->region);
        residency_loading(copy->region, copy->offset_bytes, copy->size_bytes);
    }
    pthread_mutex_lock(&p->mutex);
    list_push_back(&p->queue, &copy->node);
    p->waiting++;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    return copy;
}

/* To whole granules, within the region. */
static void round_out(const struct store_region *region, uint64_t *offset_bytes, uint64_t *size_bytes)
{
    const uint64_t unit = RESIDENCY_GRANULE_BYTES;
    uint64_t begin = *offset_bytes / unit * unit,
             end = (*offset_bytes + *size_bytes + unit - 1) / unit * unit;
    if (end > region->size_bytes)
        end = region->size_bytes;
    *offset_bytes = begin;
    *size_bytes = end - begin;
}

void prefetch_wait(const struct store_region *region, uint64_t offset_bytes, uint64_t size_bytes)
{
    if (!region->residency)
        return;
    round_out(region, &offset_bytes, &size_bytes);
    residency_loading(region, offset_bytes, size_bytes);
    read_region(region->residency->prefetch, region, offset_bytes, size_bytes);
}

struct prefetch_job *prefetch_start(struct prefetch *p, struct store_region *region, uint64_t offset_bytes,
                                    uint64_t size_bytes, struct mailbox *mailbox, message_fn *fn, void *user)
{
    round_out(region, &offset_bytes, &size_bytes);
    return start(p, (struct prefetch_job){.message = {.fn = fn},
                                          .region = region,
                                          .offset_bytes = offset_bytes,
                                          .size_bytes = size_bytes,
                                          .mailbox = mailbox,
                                          .user = user});
}

struct prefetch_job *prefetch_start_map(struct prefetch *p, const void *map, uint64_t size_bytes,
                                        struct mailbox *mailbox, message_fn *fn, void *user)
{
    return start(
        p,
        (struct prefetch_job){
            .message = {.fn = fn}, .map = map, .size_bytes = size_bytes, .mailbox = mailbox, .user = user});
}

void prefetch_drop(struct prefetch *p, struct prefetch_job *job)
{
    pthread_mutex_lock(&p->mutex);
    bool is_queued = list_is_linked(&job->node);
    if (is_queued) {
        list_remove(&job->node);
        p->waiting--;
    }
    job->user = NULL; /* it may be in the mailbox already */
    job->is_dropped = true;
    pthread_mutex_unlock(&p->mutex);
    if (is_queued)
        prefetch_free(job);
}

void prefetch_free(struct prefetch_job *job)
{
    if (job->region)
        region_unref(job->region);
    free(job);
}

/* ---- the pool ---- */

int prefetch_open(struct prefetch **ret_prefetch)
{
    sigset_t all, before;
    struct prefetch *p = calloc(1, sizeof(*p));
    int rv = 0;
    if (!p)
        return -ENOMEM;
    p->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (p->null_fd < 0) {
        rv = -errno;
        free(p);
        return rv;
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    list_init(&p->queue);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a map: base/guard.h; blocked it would be the end */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rv == 0 && p->thread_count < PREFETCH_THREADS) {
        rv = -pthread_create(&p->threads[p->thread_count], NULL, prefetch_thread, p);
        p->thread_count += rv == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv < 0) {
        prefetch_close(p);
        return rv;
    }
    *ret_prefetch = p;
    return 0;
}

void prefetch_close(struct prefetch *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->is_stopping, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    CHECK(list_is_empty(&p->queue));
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    close(p->null_fd);
    free(p);
}

void prefetch_keep(struct prefetch *p, struct iovec map)
{
    pthread_mutex_lock(&p->mutex);
    p->kept = map;
    p->kept_bytes = 0;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

bool prefetch_has_kept(const struct prefetch *p)
{
    return atomic_load_explicit(&p->has_kept, memory_order_acquire);
}

void prefetch_stats(struct prefetch *p, struct prefetch_stats *ret_stats)
{
    pthread_mutex_lock(&p->mutex);
    ret_stats->waiting = p->waiting;
    pthread_mutex_unlock(&p->mutex);
    ret_stats->jobs = counter_read(&p->jobs);
    ret_stats->bytes = counter_read(&p->bytes);
    ret_stats->errors = counter_read(&p->errors);
}
