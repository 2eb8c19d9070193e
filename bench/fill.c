/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How should bytes get from an origin's socket into a region file? The ways side by side in one run: recv
 * into the map; the same with the pages populated ahead; recv into a buffer and pwrite; splice through a
 * pipe. Prints the CPU time of the receiving thread per GB (decimal), median of the rounds, and each against
 * the best.
 *
 *   bench_fill [FOLDER [MB-PER-ROUND [ROUNDS]]]        FOLDER on the file system in question, default /tmp
 *
 * Every round fills files that were preallocated and mapped outside the measurement and have never been
 * written, as the store's are. The answer stands in region_write (edge/store/region.c) and in docs/arena.md.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_BYTES        ((size_t)64 * 1024 * 1024)
#define CHUNK_BYTES       ((size_t)256 * 1024)
#define CHUNK_SMALL_BYTES ((size_t)64 * 1024)
#define POPULATE_BYTES    ((size_t)2 * 1024 * 1024)
#define FILES_MAX         64u
#define ROUNDS_MAX        31u

struct fill {
    int socket;
    size_t total_bytes;
    int fds[FILES_MAX];
    char *maps[FILES_MAX];
    unsigned file_count;
    char *buffer;
    int pipe[2];
};

/* Receives at most `size` bytes to `offset` of file `i`; how many, or -1. */
typedef ssize_t (*fill_fn)(struct fill *f, unsigned i, size_t offset, size_t size);

static ssize_t fill_map(struct fill *f, unsigned i, size_t offset, size_t size)
{
    return recv(f->socket, f->maps[i] + offset, size, 0);
}

static ssize_t fill_populated(struct fill *f, unsigned i, size_t offset, size_t size)
{
    size_t ahead = (offset + POPULATE_BYTES - 1) / POPULATE_BYTES * POPULATE_BYTES;
    if (offset == ahead && madvise(f->maps[i] + ahead, POPULATE_BYTES, MADV_POPULATE_WRITE) < 0)
        return -1;
    size_t room = ahead == offset ? POPULATE_BYTES : ahead - offset;
    return recv(f->socket, f->maps[i] + offset, size < room ? size : room, 0);
}

static ssize_t fill_pwrite(struct fill *f, unsigned i, size_t offset, size_t size)
{
    ssize_t n = recv(f->socket, f->buffer, size, 0);
    return n <= 0 ? n : pwrite(f->fds[i], f->buffer, (size_t)n, (off_t)offset);
}

static ssize_t fill_pwrite_small(struct fill *f, unsigned i, size_t offset, size_t size)
{
    return fill_pwrite(f, i, offset, size < CHUNK_SMALL_BYTES ? size : CHUNK_SMALL_BYTES);
}

static ssize_t fill_splice(struct fill *f, unsigned i, size_t offset, size_t size)
{
    off64_t at = (off64_t)offset;
    ssize_t n = splice(f->socket, NULL, f->pipe[1], NULL, size, SPLICE_F_MOVE), left = n;
    while (left > 0) {
        ssize_t moved = splice(f->pipe[0], NULL, f->fds[i], &at, (size_t)left, SPLICE_F_MOVE);
        if (moved <= 0)
            return -1;
        left -= moved;
    }
    return n;
}

static const struct way {
    const char *name;
    fill_fn fill;
} ways[] = {
    {"recv into the map", fill_map},
    {"the same, populated 2 MiB ahead", fill_populated},
    {"recv into 256 KiB, pwrite", fill_pwrite},
    {"recv into 64 KiB, pwrite", fill_pwrite_small},
    {"splice through a pipe", fill_splice},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void files_make(struct fill *f, const char *folder)
{
    f->file_count = (unsigned)((f->total_bytes + FILE_BYTES - 1) / FILE_BYTES);
    for (unsigned i = 0; i < f->file_count; i++) {
        f->fds[i] = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        if (f->fds[i] < 0 || (errno = posix_fallocate(f->fds[i], 0, (off_t)FILE_BYTES)) != 0)
            die(folder);
        f->maps[i] = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[i], 0);
        if (f->maps[i] == MAP_FAILED)
            die("mmap");
    }
}

static void files_drop(struct fill *f)
{
    for (unsigned i = 0; i < f->file_count; i++) {
        munmap(f->maps[i], FILE_BYTES);
        close(f->fds[i]);
    }
}

struct source {
    int socket;
    size_t total_bytes;
};

static void *send_all(void *argument)
{
    const struct source *s = argument;
    static char data[1024 * 1024];
    for (size_t sent = 0; sent < s->total_bytes;) {
        size_t left = s->total_bytes - sent;
        ssize_t n = send(s->socket, data, left < sizeof(data) ? left : sizeof(data), 0);
        if (n <= 0)
            die("send");
        sent += (size_t)n;
    }
    return NULL;
}

/* A connected pair of TCP sockets on the loopback, as an origin would be connected. */
static void connect_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&address, size) < 0)
        die("connect");
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (pair[1] < 0)
        die("accept");
    close(listener);
}

static double thread_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void receive_all(struct fill *f, const struct way *way)
{
    for (size_t done = 0; done < f->total_bytes;) {
        unsigned i = (unsigned)(done / FILE_BYTES);
        size_t offset = done % FILE_BYTES, left = f->total_bytes - done, room = FILE_BYTES - offset;
        size_t size = left < room ? left : room;
        ssize_t n = way->fill(f, i, offset, size < CHUNK_BYTES ? size : CHUNK_BYTES);
        if (n <= 0)
            die(way->name);
        done += (size_t)n;
    }
}

/* CPU seconds per GB of the receiving thread. */
static double round_run(const struct way *way, const char *folder, size_t total_bytes)
{
    int pair[2];
    pthread_t sender;
    struct fill f = {.total_bytes = total_bytes, .buffer = malloc(CHUNK_BYTES)};
    connect_pair(pair);
    if (!f.buffer || pipe2(f.pipe, O_CLOEXEC) < 0 || fcntl(f.pipe[1], F_SETPIPE_SZ, CHUNK_BYTES) < 0)
        die("pipe");
    f.socket = pair[1];
    files_make(&f, folder);
    struct source source = {pair[0], total_bytes};
    if (pthread_create(&sender, NULL, send_all, &source) != 0)
        die("thread");
    double before = thread_cpu_s();
    receive_all(&f, way);
    double cpu_s = thread_cpu_s() - before;
    pthread_join(sender, NULL);
    files_drop(&f);
    free(f.buffer);
    close(pair[0]);
    close(pair[1]);
    close(f.pipe[0]);
    close(f.pipe[1]);
    return cpu_s / ((double)total_bytes / 1e9);
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return l < r ? -1 : l > r;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "/tmp";
    size_t total_bytes = (argc > 2 ? strtoul(argv[2], NULL, 10) : 500) * 1000 * 1000;
    unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
    double results[WAYS][ROUNDS_MAX], best = 1e9;
    if (total_bytes == 0 || total_bytes > FILES_MAX * FILE_BYTES || rounds == 0 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_fill [FOLDER [MB-PER-ROUND (at most 4000) [ROUNDS (at most %u)]]]\n",
                ROUNDS_MAX);
        return 2;
    }
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned w = 0; w < WAYS; w++)
            results[w][round] = round_run(&ways[w], folder, total_bytes);
    for (unsigned w = 0; w < WAYS; w++) {
        qsort(results[w], rounds, sizeof(double), compare);
        best = results[w][rounds / 2] < best ? results[w][rounds / 2] : best;
    }
    printf("%s, %zu MB a round, %u rounds: CPU seconds per GB of the receiving thread\n", folder,
           total_bytes / 1000000, rounds);
    for (unsigned w = 0; w < WAYS; w++)
        printf("  %-34s median %.3f  (%.3f to %.3f)  %.2f of the best\n", ways[w].name,
               results[w][rounds / 2], results[w][0], results[w][rounds - 1], results[w][rounds / 2] / best);
    return 0;
}
