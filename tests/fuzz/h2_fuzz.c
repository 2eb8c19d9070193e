/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 from the wire to the handler and back: a server's connection is given the frames, behind a good
 * preface, and must come to its end. What reaches the handler must be a request that HTTP/1 could carry.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "http/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 8192 /* a socket's buffer takes it at once */

static const char body[100000];

static void on_writable(struct exchange *x)
{
    struct span *left = x->user;
    ssize_t taken = exchange_send(x, left);

    if (taken < 0)
        return;
    left->data += taken;
    left->size -= (size_t)taken;
    if (left->size > 0)
        return;
    free(left);
    exchange_finish(x);
}

static void on_gone(struct exchange *x, const char *reason)
{
    REQUIRE(reason[0] != '\0');
    free(x->user);
}

static bool is_text(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] == '\r' || s.data[i] == '\n' || s.data[i] == '\0')
            return false;
    return true;
}

static void on_request(struct exchange *x, void *user)
{
    static const struct exchange_events events = {on_writable, on_gone, NULL};
    const struct http_head *head = x->request;
    struct span *left;

    (void)user;
    REQUIRE(http_head_count(head, "host") == 1 && http_head_count(head, "content-length") <= 1);
    REQUIRE(http_head_get(head, "transfer-encoding").data == NULL &&
            http_head_get(head, "connection").data == NULL);
    REQUIRE(head->content_length < 0 || (uint64_t)head->content_length == x->body.size);
    REQUIRE(is_text(head->method_text) && is_text(head->target) && head->target.size > 0);
    for (size_t i = 0; i < head->field_count; i++)
        REQUIRE(is_text(head->fields[i].name) && is_text(head->fields[i].value) &&
                head->fields[i].name.data[0] != ':');
    if (head->method == HTTP_HEAD || head->target.size % 3 == 0) {
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), slice_make(body, head->target.size));
        return;
    }
    left = malloc(sizeof(*left));
    REQUIRE(left != NULL);
    *left = (struct span){.fd = -1, .data = body, .size = sizeof(body)};
    x->events = &events;
    x->user = left;
    exchange_respond(x, 200, SLICE_LITERAL("Content-Type: a\r\n"),
                     head->target.size % 3 == 1 ? sizeof(body) : EXCHANGE_LENGTH_UNKNOWN);
    on_writable(x);
}

/* --- The client's end: it reads all, and the loop ends with it. --- */

struct end {
    struct loop *loop;
    struct stream *stream;
};

static void on_open(void *user, int status)
{
    (void)user;
    REQUIRE(status == 0);
}

static void on_readable(void *user)
{
    struct end *client = user;
    char waste[65536];
    ssize_t n;

    do
        n = stream_read(client->stream, waste, sizeof(waste));
    while (n > 0);
    if (n != -EAGAIN)
        loop_stop(client->loop);
}

static int make_sockets(const uint8_t *data, size_t size, int *ret_client)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    int fds[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(write(fds[1], hello, sizeof(hello) - 1) == (ssize_t)sizeof(hello) - 1);
    REQUIRE(write(fds[1], data, size) == (ssize_t)size && shutdown(fds[1], SHUT_WR) == 0);
    *ret_client = fds[1];
    return fds[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stream_events events = {.on_open = on_open, .on_readable = on_readable};
    const struct http_server_options options = {
        .head_size_max = 4096,
        .body_size_max = 1000,
        .uri_size_max = 1000,
        .connections_max = 1,
        .handshake_timeout_ms = 60000,
        .header_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .send_stall_timeout_ms = 60000,
        .on_request = on_request,
    };
    struct http_server *server;
    struct end client;
    struct addr peer;
    int fd, client_fd;

    if (size > INPUT_MAX)
        return 0;
    fd = make_sockets(data, size, &client_fd);
    REQUIRE(addr_parse(slice_of("127.0.0.1:1"), &peer) == 0);
    REQUIRE(loop_new(&client.loop) == 0 && http_server_new(client.loop, &options, &server) == 0);
    REQUIRE(stream_accept(client.loop, client_fd, &peer, NULL, &events, &client, &client.stream) == 0);
    http_server_accept(server, fd, &peer, NULL);
    loop_run(client.loop);
    stream_close(client.stream);
    http_server_free(server);
    loop_free(client.loop);
    return 0;
}
