/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least that a server of files can do over kept-alive connections. One epoll loop, no parsing
 * worth the name, every file of the folder open with its head made beforehand; small files go out of memory
 * in one send, large ones by sendfile behind their head. What a real server costs above this is its own work.
 *
 *   bench_floor PORT FOLDER [RATE]
 *
 * RATE: bytes a second of each connection, kept by the kernel (SO_MAX_PACING_RATE, and a quarter of a
 * second's worth unsent).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX   1024
#define VIEWERS_MAX 65536
#define SMALL_SIZE  16384 /* a head and a body up to this go out of memory */
#define HEAD                                                                                        \
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: max-age=86400\r\n" \
    "Content-Length: %lld\r\n\r\n"

static struct file {
    char *name;
    char bytes[SMALL_SIZE]; /* the head, and the body when all of it fits */
    size_t bytes_size;
    int fd;
    off_t rest_begin, size; /* [rest_begin, size) is not in `bytes` */
} files[FILES_MAX];         /* a hash table, never more than half full */

struct viewer {
    int fd;
    const struct file *file; /* being sent, or NULL */
    off_t position;
};
static struct viewer viewers[VIEWERS_MAX]; /* by descriptor */
static unsigned long rate;                 /* 0: as fast as it goes */

static void require(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/* The place of a name, which ends at a blank or at its end, in the table. */
static struct file *file_find(const char *name)
{
    size_t size = strcspn(name, " "), at = 0;
    for (size_t i = 0; i < size; i++)
        at = at * 31 + (unsigned char)name[i];
    for (;; at++) {
        struct file *f = &files[at % FILES_MAX];
        if (!f->name || (memcmp(f->name, name, size) == 0 && f->name[size] == '\0'))
            return f;
    }
}

static void file_add(int folder, const char *name)
{
    struct file *f = file_find(name);
    struct stat st;
    f->fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    require(f->fd >= 0 && fstat(f->fd, &st) == 0, name);
    f->name = strdup(name);
    f->bytes_size = (size_t)snprintf(f->bytes, SMALL_SIZE, HEAD, (long long)st.st_size);
    f->size = st.st_size;
    if ((size_t)st.st_size <= SMALL_SIZE - f->bytes_size) {
        require(pread(f->fd, f->bytes + f->bytes_size, (size_t)st.st_size, 0) == st.st_size, name);
        f->bytes_size += (size_t)st.st_size;
        f->rest_begin = st.st_size;
    }
}

/* While a response is corked only full segments leave, also when an acknowledgement makes room: that saves a
 * fifth. */
static void viewer_cork(const struct viewer *v, int on)
{
    setsockopt(v->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* Sends until the socket is full; false at an error. */
static bool viewer_send(struct viewer *v)
{
    while (v->position < v->file->size) {
        ssize_t sent = sendfile(v->fd, v->file->fd, &v->position, (size_t)(v->file->size - v->position));
        if (sent <= 0)
            return sent < 0 && errno == EAGAIN;
    }
    if (v->file->rest_begin < v->file->size)
        viewer_cork(v, 0);
    v->file = NULL;
    return true;
}

static bool viewer_read(struct viewer *v)
{
    char request[4096];
    ssize_t size = recv(v->fd, request, sizeof(request) - 1, 0);
    if (size <= 0)
        return size < 0 && errno == EAGAIN;
    request[size] = '\0';
    v->file = file_find(request + 5); /* behind "GET /" */
    if (!v->file->name)
        return false;
    v->position = v->file->rest_begin;
    if (v->position < v->file->size)
        viewer_cork(v, 1);
    if (send(v->fd, v->file->bytes, v->file->bytes_size, MSG_NOSIGNAL) != (ssize_t)v->file->bytes_size)
        return false;
    return viewer_send(v);
}

static void viewer_pace(const struct viewer *v)
{
    unsigned unsent_max = (unsigned)rate / 4;
    setsockopt(v->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof(unsent_max));
    setsockopt(v->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

static void viewer_accept(int epoll, int listener)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    require(fd >= 0 && fd < VIEWERS_MAX, "accept");
    event.data.ptr = &viewers[fd];
    viewers[fd] = (struct viewer){.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (rate > 0)
        viewer_pace(&viewers[fd]);
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static int listen_on(int port, int epoll)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    require(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 4096) == 0, "listen");
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct rlimit files_max;
    DIR *folder = argc >= 3 ? opendir(argv[2]) : NULL;
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener, count = 0;
    require(folder != NULL, "bench_floor PORT FOLDER [RATE]");
    rate = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    getrlimit(RLIMIT_NOFILE, &files_max);
    files_max.rlim_cur = files_max.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files_max);
    signal(SIGPIPE, SIG_IGN);
    for (struct dirent *e; (e = readdir(folder)) && count < FILES_MAX / 2;)
        if (e->d_type == DT_REG) {
            file_add(dirfd(folder), e->d_name);
            count++;
        }
    listener = listen_on(atoi(argv[1]), epoll);
    for (;;) {
        count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct viewer *v = events[i].data.ptr;
            if (!v)
                viewer_accept(epoll, listener);
            else if (!(v->file ? viewer_send(v) : viewer_read(v)))
                close(v->fd);
        }
    }
}
