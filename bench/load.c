/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The viewers of the benchmarks: kept-alive connections that ask, take all of it, and ask for the next.
 * Bodies are thrown away inside the kernel (MSG_TRUNC), so that one core can take more than any server on
 * another core can send, and what is measured is the server.
 *
 *   bench_load ADDRESS PORT CONNECTIONS SECONDS PATHS     closed loop for SECONDS over the paths in the file
 *   bench_load ADDRESS PORT CONNECTIONS once PATHS        each path once, over all connections
 *   bench_load ADDRESS PORT CONNECTIONS herd PATHS        every connection asks once, all at the same moment
 *
 * Responses under way at the end are taken to their end, so that bytes and the server's work match. Prints
 * one JSON object; times are microseconds, `began_ns` and `ended_ns` are CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define HEAD_SIZE_MAX   8192
#define SAMPLES_MAX     (1u << 22)   /* further latencies are not kept */
#define PATIENCE_NS     60000000000u /* for any one event */

struct connection {
    int fd;
    bool waiting; /* for a response or the rest of one */
    bool has_head;
    size_t head_size;   /* bytes of `head` */
    uint64_t body_left; /* valid when has_head */
    uint64_t asked_ns, first_byte_ns;
    char head[HEAD_SIZE_MAX + 1];
};

enum mode { MODE_LOOP, MODE_ONCE, MODE_HERD };

static struct load {
    enum mode mode;
    char **requests;
    size_t request_count, next_request;
    struct connection connections[CONNECTIONS_MAX];
    size_t connection_count, waiting_count;
    int epoll;
    uint64_t began_ns, deadline_ns, ended_ns;
    uint64_t bytes, responses, failures;
    uint32_t *first_byte_us, *whole_us;
    size_t sample_count;
} load;

static void die(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One request for each line of the file, with what a simple player sends. */
static void requests_read(const char *path, const char *address, const char *port)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    if (!file)
        die(path);
    for (ssize_t size; (size = getline(&line, &capacity, file)) > 0;) {
        if (line[size - 1] == '\n')
            line[size - 1] = '\0';
        load.requests = realloc(load.requests, (load.request_count + 1) * sizeof(*load.requests));
        if (!load.requests ||
            asprintf(&load.requests[load.request_count++],
                     "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", line,
                     address, port) < 0)
            die("requests");
    }
    free(line);
    fclose(file);
    if (load.request_count == 0)
        die("no paths");
}

static void connection_open(struct connection *c, const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die(address);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
}

static bool may_ask(uint64_t now)
{
    switch (load.mode) {
    case MODE_LOOP: return now < load.deadline_ns;
    case MODE_ONCE: return load.next_request < load.request_count;
    case MODE_HERD: return load.next_request < load.connection_count;
    }
    return false;
}

static void connection_ask(struct connection *c, uint64_t now)
{
    const char *request;
    if (!may_ask(now))
        return;
    request = load.requests[load.next_request++ % load.request_count];
    c->waiting = true;
    c->has_head = false;
    c->head_size = 0;
    c->asked_ns = now;
    load.waiting_count++;
    if (send(c->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        die("send");
}

static void connection_fail(struct connection *c, const char *why)
{
    if (load.failures++ == 0)
        fprintf(stderr, "bench_load: %s: %.*s\n", why, (int)c->head_size, c->head);
    close(c->fd);
    if (c->waiting)
        load.waiting_count--;
    c->waiting = false;
}

static void connection_done(struct connection *c)
{
    uint64_t now = now_ns();
    load.responses++;
    load.waiting_count--;
    c->waiting = false;
    if (load.sample_count < SAMPLES_MAX) {
        load.first_byte_us[load.sample_count] = (uint32_t)((c->first_byte_ns - c->asked_ns) / 1000);
        load.whole_us[load.sample_count++] = (uint32_t)((now - c->asked_ns) / 1000);
    }
    connection_ask(c, now);
}

/* Reads up to and beyond the head; true when the head is there and good. */
static bool head_receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->head + c->head_size, HEAD_SIZE_MAX - c->head_size, MSG_DONTWAIT);
    const char *end, *length;
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            connection_fail(c, "closed");
        return false;
    }
    if (c->head_size == 0)
        c->first_byte_ns = now_ns();
    c->head_size += (size_t)got;
    c->head[c->head_size] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (!end && c->head_size < HEAD_SIZE_MAX)
        return false;
    length = strcasestr(c->head, "\r\nContent-Length:");
    if (!end || strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length || length > end) {
        connection_fail(c, "not a 200 with a length");
        return false;
    }
    got = c->head + c->head_size - (end + 4);
    c->body_left = strtoull(length + 17, NULL, 10);
    c->has_head = true;
    if ((uint64_t)got > c->body_left) {
        connection_fail(c, "more than was promised");
        return false;
    }
    c->body_left -= (uint64_t)got;
    load.bytes += (uint64_t)got;
    return true;
}

/* Throws away what has come of the body. */
static void body_receive(struct connection *c)
{
    ssize_t got;
    if (c->body_left == 0) {
        connection_done(c);
        return;
    }
    got = recv(c->fd, NULL, c->body_left, MSG_TRUNC | MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            connection_fail(c, "closed in the body");
        return;
    }
    load.bytes += (uint64_t)got;
    c->body_left -= (uint64_t)got;
    if (c->body_left == 0)
        connection_done(c);
}

static void connection_on_readable(struct connection *c)
{
    if (!c->waiting)
        connection_fail(c, "closed or spoke between requests");
    else if (c->has_head || head_receive(c))
        body_receive(c);
}

/*
 * Never sleeps: waking a sleeper on another core is dear, dearer still in a virtual machine, and the server
 * would have to pay for it.
 */
static void load_run(void)
{
    struct epoll_event events[256];
    uint64_t heard_ns = load.began_ns = now_ns();
    for (size_t i = 0; i < load.connection_count; i++)
        connection_ask(&load.connections[i], now_ns());
    while (load.waiting_count > 0) {
        int count = epoll_wait(load.epoll, events, 256, 0);
        if (count > 0)
            heard_ns = now_ns();
        else if (now_ns() - heard_ns > PATIENCE_NS)
            die("nothing came");
        for (int i = 0; i < count; i++)
            connection_on_readable(events[i].data.ptr);
    }
    load.ended_ns = now_ns();
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, uint32_t *us)
{
    size_t n = load.sample_count;
    qsort(us, n, sizeof(*us), compare);
    printf(", \"%s_us\": {\"min\": %u, \"p50\": %u, \"p99\": %u, \"max\": %u}", name, n ? us[0] : 0,
           n ? us[n / 2] : 0, n ? us[n * 99 / 100] : 0, n ? us[n - 1] : 0);
}

int main(int argc, char **argv)
{
    struct rlimit files = {CONNECTIONS_MAX + 64, CONNECTIONS_MAX + 64};
    if (argc != 6) {
        fprintf(stderr, "usage: bench_load ADDRESS PORT CONNECTIONS SECONDS|once|herd PATHS\n");
        return 2;
    }
    setrlimit(RLIMIT_NOFILE, &files);
    load.mode = !strcmp(argv[4], "once") ? MODE_ONCE : !strcmp(argv[4], "herd") ? MODE_HERD : MODE_LOOP;
    load.connection_count = strtoul(argv[3], NULL, 10);
    load.first_byte_us = calloc(SAMPLES_MAX, sizeof(uint32_t));
    load.whole_us = calloc(SAMPLES_MAX, sizeof(uint32_t));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.connection_count - 1 >= CONNECTIONS_MAX || !load.first_byte_us || !load.whole_us ||
        load.epoll < 0)
        die("start");
    requests_read(argv[5], argv[1], argv[2]);
    for (size_t i = 0; i < load.connection_count; i++)
        connection_open(&load.connections[i], argv[1], argv[2]);
    load.deadline_ns = now_ns() + (uint64_t)(atof(argv[4]) * 1e9);
    load_run();
    printf(
        "{\"began_ns\": %llu, \"ended_ns\": %llu, \"bytes\": %llu, \"responses\": %llu, \"failures\": %llu",
        (unsigned long long)load.began_ns, (unsigned long long)load.ended_ns, (unsigned long long)load.bytes,
        (unsigned long long)load.responses, (unsigned long long)load.failures);
    print_times("first_byte", load.first_byte_us);
    print_times("whole", load.whole_us);
    printf("}\n");
    return 0;
}
