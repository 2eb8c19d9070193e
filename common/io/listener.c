/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket on a loop. It accepts a bounded number of connections a turn, and when descriptors or
 * memory run out it rests a moment instead of spinning on a socket that stays readable.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/stream.h"
#include "loop_private.h"

#define BACKLOG         4096
#define ACCEPT_PER_TURN 128 /* connections that are open already get their turn too */
#define REST_MS         100

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    int fd;
    struct addr address;
    listener_fn *fn;
    void *user;
    struct timer rest;
    bool exhausted; /* said so in the log; until the next success */
    bool closed;
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void start(struct listener *listener)
{
    REQUIRE(uv_poll_start(&listener->poll, UV_READABLE, on_poll) == 0);
}

static void on_rested(struct timer *t)
{
    start(container_of(t, struct listener, rest));
}

static void take_rest(struct listener *listener, int error)
{
    if (!listener->exhausted)
        log_error("cannot accept connections: %s; trying again every %d ms", strerror(error), REST_MS);
    listener->exhausted = true;
    uv_poll_stop(&listener->poll);
    timer_start(listener->loop, &listener->rest, REST_MS);
}

/* Returns 0 or why there is none. */
static int accept_one(struct listener *listener)
{
    struct sockaddr_storage sa;
    socklen_t size = sizeof(sa);
    struct addr peer;
    int fd = accept4(listener->fd, (struct sockaddr *)&sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return errno;
    listener->exhausted = false;
    addr_from_sockaddr((struct sockaddr *)&sa, &peer);
    listener->fn(listener->user, fd, &peer);
    return 0;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct listener *listener = container_of(handle, struct listener, poll);

    (void)events;
    if (status < 0) { /* not known to happen to a listening socket; libuv has stopped polling */
        take_rest(listener, -status);
        return;
    }
    for (int i = 0; i < ACCEPT_PER_TURN && !listener->closed; i++) {
        switch (status = accept_one(listener)) {
        case EAGAIN: return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: take_rest(listener, status); return;
        default:
            break; /* accepted, or one connection that broke while it waited: accept(2) hands out its error */
        }
    }
}

/* A bound socket. Shared: further ones may be bound to the same address. */
static int bind_socket(const struct addr *address, bool shared)
{
    struct sockaddr_storage sa;
    socklen_t sa_size = addr_to_sockaddr(address, &sa);
    int fd, error, one = 1, share = shared;

    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &share, sizeof(share)) < 0 ||
        (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        bind(fd, (struct sockaddr *)&sa, sa_size) < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int open_socket(const struct addr *address)
{
    int fd = bind_socket(address, true), error;

    if (fd >= 0 && listen(fd, BACKLOG) < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int listener_probe(const struct addr *address)
{
    int fd = bind_socket(address, false);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int listener_open(struct loop *l, const struct addr *address, listener_fn *fn, void *user,
                  struct listener **ret_listener)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(sa);
    int status;

    if (!listener)
        return -ENOMEM;
    listener->loop = l;
    listener->fn = fn;
    listener->user = user;
    timer_init(&listener->rest, on_rested);
    status = listener->fd = open_socket(address);
    if (status >= 0)
        status = uv_poll_init(loop_uv(l), &listener->poll, listener->fd);
    if (status < 0) {
        if (listener->fd >= 0)
            close(listener->fd);
        free(listener);
        return status;
    }
    getsockname(listener->fd, (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, &listener->address);
    start(listener);
    *ret_listener = listener;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct listener, poll));
}

void listener_close(struct listener *listener)
{
    if (!listener)
        return;
    listener->closed = true;
    timer_stop(&listener->rest);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    close(listener->fd);
}

void listener_address(const struct listener *listener, struct addr *ret_addr)
{
    *ret_addr = listener->address;
}
