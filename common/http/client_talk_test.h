/* SPDX-License-Identifier: Apache-2.0 */
/* A raw client over a real socket, for tests: what it says and hears, byte by byte, with patience for a slow
 * machine and no more. */
#ifndef HTTP_CLIENT_TALK_TEST_H
#define HTTP_CLIENT_TALK_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"

/* receive_buffer: 0 leaves it as it is. */
static inline int client_dial(const struct addr *to, int receive_buffer)
{
    struct sockaddr_storage sa;
    socklen_t size = addr_to_sockaddr(to, &sa);
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, size), 0);
    return fd;
}

static inline void say_bytes(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        assert_true(n > 0);
        data += n;
        size -= (size_t)n;
    }
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static inline void hear_bytes(int fd, const char *expected, size_t size)
{
    char *got = malloc(size + 1);
    size_t filled = 0;

    while (filled < size) {
        ssize_t n = recv(fd, got + filled, size - filled, 0);

        if (n <= 0)
            break;
        filled += (size_t)n;
    }
    got[filled] = '\0';
    if (size < 2000)
        assert_string_equal(got, expected);
    assert_int_equal(filled, size);
    assert_memory_equal(got, expected, size);
    free(got);
}

static inline void hear(int fd, const char *expected)
{
    hear_bytes(fd, expected, strlen(expected));
}

static inline void hear_end(int fd)
{
    char c;

    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
}

/* What was sent before may or may not arrive; the end must be a reset. */
static inline void hear_reset(int fd)
{
    char waste[4096];
    ssize_t n;

    do
        n = recv(fd, waste, sizeof(waste), 0);
    while (n > 0);
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
}

#endif
