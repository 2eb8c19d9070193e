/* SPDX-License-Identifier: Apache-2.0 */
/* The server over real sockets: raw clients on the test's thread, the loop on another. What goes over the
 * wire is compared byte by byte. */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "client_talk_test.h"
#include "io/mailbox.h"

#define LARGE_SIZE   ((size_t)8 << 20)
#define PIPELINE_MAX 10000
#define PACED_SIZE   ((size_t)200 << 10)
#define PACE         ((uint64_t)1 << 20)

/* --- The server's side: what is asked for says what the handler does. --- */

struct stage {
    struct http_server_options options;
    struct loop *loop;
    struct listener *listener;
    struct mailbox *mailbox;
    struct http_server *server;
    struct addr address;
    pthread_t thread;
    sem_t ready, event;

    int large_fd;
    char *large;
    struct span left; /* of a large response */
    struct exchange *waiting;
    uint64_t sent_bytes;
    char gone[64];
    char refused[64];
    unsigned refused_status;
};

static void on_gone(struct exchange *x, const char *reason)
{
    struct stage *stage = x->user;

    snprintf(stage->gone, sizeof(stage->gone), "%s", reason);
    sem_post(&stage->event);
}

static void send_left(struct exchange *x)
{
    struct stage *stage = x->user;

    while (stage->left.size > 0) {
        ssize_t taken = exchange_send(x, &stage->left);

        if (taken < 0)
            return;
        stage->left.offset_bytes += (uint64_t)taken;
        if (stage->left.data)
            stage->left.data += taken;
        stage->left.size -= (size_t)taken;
        if (taken == 0 || stage->left.size > 0)
            return;
    }
    stage->sent_bytes = exchange_sent_bytes(x);
    exchange_finish(x);
}

static const struct exchange_events events = {send_left, on_gone, NULL};

static void send_text(struct exchange *x, const char *text)
{
    struct span span = {.fd = -1, .data = text, .size = strlen(text)};

    assert_int_equal(exchange_send(x, &span), span.size);
}

static void send_large(struct stage *stage, struct exchange *x, bool mapped, uint64_t body_size)
{
    stage->left = (struct span){
        .fd = mapped ? -1 : stage->large_fd, .data = mapped ? stage->large : NULL, .size = LARGE_SIZE};
    exchange_respond(x, 200, SLICE_EMPTY, body_size);
    send_left(x);
}

static void send_paced(struct stage *stage, struct exchange *x, bool mapped, uint64_t body_size)
{
    stage->left = (struct span){
        .fd = mapped ? -1 : stage->large_fd, .data = mapped ? stage->large : NULL, .size = PACED_SIZE};
    exchange_respond(x, 200, SLICE_EMPTY, body_size);
    exchange_set_pace(x, PACE);
    send_left(x);
}

static void send_in_pieces(struct stage *stage, struct exchange *x)
{
    exchange_respond(x, 200, SLICE_LITERAL("X: y\r\n"), EXCHANGE_LENGTH_UNKNOWN);
    exchange_flush(x);
    send_text(x, "abc");
    send_text(x, "0123456789abcdef");
    stage->sent_bytes = exchange_sent_bytes(x);
    exchange_finish(x);
}

static void on_request(struct exchange *x, void *user)
{
    struct stage *stage = user;
    struct slice target = x->request->target;

    x->user = stage;
    x->events = &events;
#define IS(path) slice_equal(target, SLICE_LITERAL(path))
    if (IS("/204"))
        exchange_reply(x, 204, SLICE_EMPTY, SLICE_EMPTY);
    else if (IS("/304"))
        exchange_reply(x, 304, SLICE_LITERAL("ETag: \"a\"\r\n"), SLICE_LITERAL("12345"));
    else if (IS("/pieces"))
        send_in_pieces(stage, x);
    else if (IS("/unknown-head")) {
        exchange_respond(x, 200, SLICE_EMPTY, EXCHANGE_LENGTH_UNKNOWN);
        exchange_finish(x);
    } else if (IS("/file"))
        send_large(stage, x, false, LARGE_SIZE);
    else if (IS("/map"))
        send_large(stage, x, true, LARGE_SIZE);
    else if (IS("/file-chunked"))
        send_large(stage, x, false, EXCHANGE_LENGTH_UNKNOWN);
    else if (IS("/paced-file"))
        send_paced(stage, x, false, PACED_SIZE);
    else if (IS("/paced-map"))
        send_paced(stage, x, true, PACED_SIZE);
    else if (IS("/paced-chunked"))
        send_paced(stage, x, false, EXCHANGE_LENGTH_UNKNOWN);
    else if (IS("/big-reply"))
        exchange_reply(x, 200, SLICE_EMPTY, slice_make(stage->large, EXCHANGE_REPLY_SIZE_MAX));
    else if (IS("/wait")) {
        stage->waiting = x;
        sem_post(&stage->event);
    } else if (IS("/echo"))
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), x->body);
    else if (IS("/abort"))
        exchange_abort(x);
    else if (IS("/abort-late")) {
        exchange_respond(x, 200, SLICE_EMPTY, 100);
        send_text(x, "abc");
        exchange_abort(x);
    } else
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), target);
#undef IS
}

static void on_refused(enum http_refusal refusal, const struct addr *peer, unsigned status,
                       uint64_t sent_bytes, void *user)
{
    struct stage *stage = user;

    assert_true(addr_is_ipv4(peer));
    assert_true((status == 0) == (sent_bytes == 0));
    snprintf(stage->refused, sizeof(stage->refused), "%s", http_refusal_name(refusal));
    stage->refused_status = status;
    sem_post(&stage->event);
}

static void on_accept(void *user, int fd, const struct addr *peer)
{
    struct stage *stage = user;

    http_server_accept(stage->server, fd, peer, NULL);
}

static void *run(void *user)
{
    struct stage *stage = user;
    struct addr any = {0};

    assert_int_equal(addr_parse(slice_of("127.0.0.1:0"), &any), 0);
    assert_int_equal(loop_new(&stage->loop), 0);
    assert_int_equal(mailbox_new(stage->loop, &stage->mailbox), 0);
    assert_int_equal(http_server_new(stage->loop, &stage->options, &stage->server), 0);
    assert_int_equal(listener_open(stage->loop, &any, on_accept, stage, &stage->listener), 0);
    listener_address(stage->listener, &stage->address);
    sem_post(&stage->ready);
    loop_run(stage->loop);
    listener_close(stage->listener);
    http_server_free(stage->server);
    mailbox_free(stage->mailbox);
    loop_free(stage->loop);
    return NULL;
}

static void make_large(struct stage *stage)
{
    stage->large_fd = memfd_create("large", 0);
    assert_int_equal(ftruncate(stage->large_fd, (off_t)LARGE_SIZE), 0);
    stage->large = mmap(NULL, LARGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, stage->large_fd, 0);
    assert_ptr_not_equal(stage->large, MAP_FAILED);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        stage->large[i] = (char)('a' + (i ^ i >> 11) % 26);
}

/* Deadlines so long that none passes, unless a test sets its own. */
static struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->options = (struct http_server_options){
        .head_size_max = 2048,
        .uri_size_max = 500,
        .connections_max = 10,
        .handshake_timeout_ms = 60000,
        .header_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .send_stall_timeout_ms = 60000,
        .on_request = on_request,
        .on_refused = on_refused,
        .user = stage,
    };
    sem_init(&stage->ready, 0, 0);
    sem_init(&stage->event, 0, 0);
    make_large(stage);
    return stage;
}

static void stage_start(struct stage *stage)
{
    pthread_create(&stage->thread, NULL, run, stage);
    sem_wait(&stage->ready);
}

static void stage_stop(struct stage *stage)
{
    loop_stop(stage->loop);
    pthread_join(stage->thread, NULL);
}

static void stage_free(struct stage *stage)
{
    munmap(stage->large, LARGE_SIZE);
    close(stage->large_fd);
    sem_destroy(&stage->ready);
    sem_destroy(&stage->event);
    free(stage);
}

static struct stage *stage_open(void)
{
    struct stage *stage = stage_new();

    stage_start(stage);
    return stage;
}

static void stage_close(struct stage *stage)
{
    stage_stop(stage);
    stage_free(stage);
}

struct order {
    struct message message;
    struct stage *stage;
    void (*fn)(struct stage *stage);
};

static void on_order(struct message *m)
{
    struct order *order = container_of(m, struct order, message);

    order->fn(order->stage);
    free(order);
}

static void on_loop(struct stage *stage, void (*fn)(struct stage *stage))
{
    struct order *order = malloc(sizeof(*order));

    *order = (struct order){.message.fn = on_order, .stage = stage, .fn = fn};
    mailbox_post(stage->mailbox, &order->message);
}

/* --- The client's side. --- */

static int dial(struct stage *stage, int receive_buffer)
{
    return client_dial(&stage->address, receive_buffer);
}

static void await_event(struct stage *stage)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    assert_int_equal(sem_timedwait(&stage->event, &until), 0);
}

static uint64_t refusals(struct stage *stage, enum http_refusal refusal)
{
    return counter_read(&http_server_stats(stage->server)->refusals[refusal]);
}

/* --- The tests. --- */

#define GET(path)       "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK_A            "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n/a"
#define REFUSAL(status) "HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"

static void test_one_connection_serves_many(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/a"));
    hear(fd, OK_A);
    say(fd, GET("/a") GET("/bcd") "\r\n" GET("/a"));
    hear(fd, OK_A "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\n/bcd" OK_A);
    say(fd, GET("/a"));
    hear(fd, OK_A);
    close(fd);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 5);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->connections_opened), 1);
    stage_close(stage);
}

/* An idle connection is asked one request and answers it with one read and one write. */
static void test_a_small_response_is_two_system_calls(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);
    uint64_t before;

    (void)state;
    say(fd, GET("/a"));
    hear(fd, OK_A);
    before = counter_read(&http_server_stats(stage->server)->system_calls);
    for (int i = 0; i < 10; i++) {
        say(fd, GET("/a"));
        hear(fd, OK_A);
    }
    /* A response can be here before its write is counted. */
    assert_in_range(counter_read(&http_server_stats(stage->server)->system_calls) - before, 19, 21);
    close(fd);
    stage_close(stage);
}

static void test_requests_split_anywhere(void **state)
{
    static const char text[] = GET("/a") GET("/a");
    struct stage *stage = stage_open();
    int fd = dial(stage, 0), one = 1;

    (void)state;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    for (size_t at = 1; at < sizeof(text) - 1; at++) {
        say_bytes(fd, text, at);
        if (at < sizeof(text) / 2)
            sched_yield(); /* else the first response shows that the first part has arrived */
        else
            hear(fd, OK_A);
        say(fd, text + at);
        hear(fd, at < sizeof(text) / 2 ? OK_A OK_A : OK_A);
    }
    close(fd);
    stage_close(stage);
}

static void test_statuses_without_body(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/204") GET("/304") "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"
                                    "HEAD /unknown-head HTTP/1.1\r\nHost: x\r\n\r\n" GET("/a"));
    hear(fd, "HTTP/1.1 204 No Content\r\n\r\n"
             "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n"
             "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n"
             "HTTP/1.1 200 OK\r\n\r\n" OK_A);
    close(fd);
    stage_close(stage);
}

static void test_connection_is_kept_or_closed_as_asked(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n/a");
    say(fd, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/b"));
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    hear_end(fd);
    fd = dial(stage, 0);
    say(fd, "GET /a HTTP/1.0\r\n\r\n");
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    hear_end(fd);
    stage_close(stage);
}

#define PIECES                                                                  \
    "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" \
    "10\r\n0123456789abcdef\r\n0\r\n\r\n"

static void test_unknown_length(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/pieces") GET("/a"));
    hear(fd, PIECES OK_A);
    close(fd);
    fd = dial(stage, 0);
    say(fd, "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nabc0123456789abcdef");
    hear_end(fd);
    stage_close(stage);
}

static void test_sent_bytes_are_what_went_over_the_wire(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/pieces"));
    hear(fd, PIECES);
    close(fd);
    stage_stop(stage);
    assert_int_equal(stage->sent_bytes, strlen(PIECES));
    stage_free(stage);
}

static void hear_length(struct stage *stage, int fd, size_t body_size)
{
    char head[100];

    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body_size);
    hear(fd, head);
    hear_bytes(fd, stage->large, body_size);
}

static void hear_chunks(struct stage *stage, int fd, size_t body_size)
{
    char line[32];

    hear(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, size; at < body_size; at += size) {
        size_t filled = 0;

        do
            assert_int_equal(recv(fd, line + filled, 1, 0), 1);
        while (line[filled++] != '\n' && filled < sizeof(line) - 1);
        line[filled] = '\0';
        size = strtoul(line, NULL, 16);
        assert_in_range(size, 1, body_size - at);
        hear_bytes(fd, stage->large + at, size);
        hear(fd, "\r\n");
    }
    hear(fd, "0\r\n\r\n");
}

/* The reader's small buffer makes for many partial writes. */
static void test_large_bodies_from_file_and_map(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 20000);

    (void)state;
    say(fd, GET("/file") GET("/map") GET("/file-chunked") GET("/a"));
    hear_length(stage, fd, LARGE_SIZE);
    hear_length(stage, fd, LARGE_SIZE);
    hear_chunks(stage, fd, LARGE_SIZE);
    hear(fd, OK_A);
    close(fd);
    stage_close(stage);
}

static void test_paced_bodies_come_in_portions_and_whole(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0), narrow = dial(stage, 4096);

    (void)state;
    say(fd, GET("/paced-file") GET("/a"));
    hear_length(stage, fd, PACED_SIZE);
    hear(fd, OK_A);
    say(fd, GET("/paced-map") GET("/paced-chunked") GET("/a"));
    hear_length(stage, fd, PACED_SIZE);
    hear_chunks(stage, fd, PACED_SIZE);
    hear(fd, OK_A);
    say(narrow, GET("/paced-file") GET("/a"));
    hear_length(stage, narrow, PACED_SIZE);
    hear(narrow, OK_A);
    close(fd);
    close(narrow);
    stage_close(stage);
}

static void test_a_paced_response_may_end_in_the_middle(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0), other;

    (void)state;
    say(fd, GET("/paced-file"));
    hear(fd, "HTTP/1.1 200 OK\r\n");
    close(fd);
    await_event(stage);
    other = dial(stage, 0);
    say(other, GET("/paced-file"));
    hear(other, "HTTP/1.1 200 OK\r\n");
    stage_close(stage);
    close(other);
}

static void test_a_reply_larger_than_the_socket_buffer(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 4096);
    char head[100];

    (void)state;
    say(fd, GET("/big-reply") GET("/a"));
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", EXCHANGE_REPLY_SIZE_MAX);
    hear(fd, head);
    hear_bytes(fd, stage->large, EXCHANGE_REPLY_SIZE_MAX);
    hear(fd, OK_A);
    close(fd);
    stage_close(stage);
}

static void *write_pipeline(void *user)
{
    for (int i = 0; i < PIPELINE_MAX; i++)
        say(*(int *)user, GET("/a"));
    return NULL;
}

static void test_ten_thousand_pipelined_requests(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);
    pthread_t writer;

    (void)state;
    pthread_create(&writer, NULL, write_pipeline, &fd);
    for (int i = 0; i < PIPELINE_MAX; i++)
        hear(fd, OK_A);
    pthread_join(writer, NULL);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), PIPELINE_MAX);
    close(fd);
    stage_close(stage);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *request, *response, *word;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n",
         REFUSAL("400 Bad Request") "Content-Length: 11\r\nConnection: close\r\n\r\nbad_request",
         "bad_request"},
        {"\x16\x03\x01 hello",
         REFUSAL("400 Bad Request") "Content-Length: 11\r\nConnection: close\r\n\r\nbad_request",
         "bad_request"},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
         REFUSAL("505 HTTP Version Not Supported") "Content-Length: 26\r\nConnection: close\r\n\r\n"
                                                   "http_version_not_supported",
         "http_version_not_supported"},
        {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
         REFUSAL("413 Content Too Large") "Content-Length: 25\r\nConnection: "
                                          "close\r\n\r\nrequest_body_not_accepted",
         "request_body_not_accepted"},
        {"HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         REFUSAL("413 Content Too Large") "Content-Length: 25\r\nConnection: close\r\n\r\n",
         "request_body_not_accepted"},
    };
    struct stage *stage = stage_open();

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int fd = dial(stage, 0);

        say(fd, cases[i].request);
        hear(fd, cases[i].response);
        hear_end(fd);
        await_event(stage);
        assert_string_equal(stage->refused, cases[i].word);
    }
    assert_int_equal(refusals(stage, HTTP_REFUSAL_BAD_REQUEST), 2);
    assert_int_equal(refusals(stage, HTTP_REFUSAL_BODY_NOT_ACCEPTED), 2);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 0);
    stage_close(stage);
}

static void test_long_heads_are_refused(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);
    char text[4000];

    (void)state;
    /* The longest target that is accepted, then one more byte. */
    snprintf(text, sizeof(text),
             "GET /%0499d HTTP/1.1\r\nHost: x\r\n\r\nGET /%0500d HTTP/1.1\r\nHost: x\r\n\r\n", 0, 0);
    say(fd, text);
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 500\r\n\r\n/%0499d", 0);
    hear(fd, text);
    hear(fd, REFUSAL("414 URI Too Long") "Content-Length: 12\r\nConnection: close\r\n\r\nuri_too_long");
    hear_end(fd);

    fd = dial(stage, 0);
    snprintf(text, sizeof(text), "GET /%03000d", 0);
    say(fd, text);
    hear(fd, REFUSAL("414 URI Too Long") "Content-Length: 12\r\nConnection: close\r\n\r\nuri_too_long");
    hear_end(fd);

    fd = dial(stage, 0);
    snprintf(text, sizeof(text), "GET /a HTTP/1.1\r\nHost: x\r\nA: %0*d\r\n\r\n", 2048 - 33, 0);
    assert_int_equal(strlen(text), 2048);
    say(fd, text);
    hear(fd, OK_A);
    snprintf(text, sizeof(text), "GET /a HTTP/1.1\r\nHost: x\r\nA: %0*d\r\n\r\n", 2048 - 32, 0);
    say(fd, text);
    hear(fd, REFUSAL("431 Request Header Fields Too Large") "Content-Length: 22\r\nConnection: close\r\n\r\n"
                                                            "request_head_too_large");
    hear_end(fd);
    stage_close(stage);
}

/* The client sends its body before it reads: the refusal must survive that. */
static void test_a_refusal_survives_an_unread_body(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    say_bytes(fd, stage->large, 100000);
    hear(fd, REFUSAL("413 Content Too Large") "Content-Length: 25\r\nConnection: close\r\n\r\n"
                                              "request_body_not_accepted");
    hear_end(fd);
    stage_close(stage);
}

/* A request with a body that may be 1000 bytes is handed over whole, however it comes, and what follows it is
 * the next request. */
static void test_bodies_are_collected(void **state)
{
    static const char chunked[] = "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n" GET("/a");
    struct stage *stage = stage_new();
    int fd;

    (void)state;
    stage->options.body_size_max = 1000;
    stage_start(stage);
    fd = dial(stage, 0);
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" GET("/a"));
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello" OK_A);
    for (size_t i = 0; i < sizeof(chunked) - 1; i++)
        say_bytes(fd, chunked + i, 1);
    hear(fd, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nabcde" OK_A);
    say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    hear(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "abc");
    hear(fd, OK_A);
    say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n");
    say_bytes(fd, stage->large, 1001);
    hear(fd, REFUSAL("413 Content Too Large") "Content-Length: 25\r\nConnection: close\r\n\r\n"
                                              "request_body_not_accepted");
    hear_end(fd);
    stage_close(stage);
}

/* A body that does not come whole is never handed over. */
static void test_a_broken_body_is_refused(void **state)
{
    struct stage *stage = stage_new();
    int fd;

    (void)state;
    stage->options.body_size_max = 1000;
    stage_start(stage);
    fd = dial(stage, 0);
    say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n");
    hear(fd, REFUSAL("400 Bad Request") "Content-Length: 11\r\nConnection: close\r\n\r\nbad_request");
    hear_end(fd);
    fd = dial(stage, 0);
    say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    stage_close(stage);
}

static void test_too_many_connections(void **state)
{
    struct stage *stage = stage_new();
    int first, second;

    (void)state;
    stage->options.connections_max = 1;
    stage_start(stage);
    first = dial(stage, 0);
    say(first, GET("/a"));
    hear(first, OK_A);
    second = dial(stage, 0);
    await_event(stage);
    hear_end(second);
    assert_string_equal(stage->refused, "too_many_connections");
    say(first, GET("/a"));
    hear(first, OK_A);
    close(first);
    stage_close(stage);
}

static void test_deadline_of_a_head(void **state)
{
    struct stage *stage = stage_new();
    int fd;

    (void)state;
    stage->options.header_timeout_ms = 40;
    stage_start(stage);
    fd = dial(stage, 0);
    say(fd, "GET / HT");
    hear(fd, REFUSAL("408 Request Timeout") "Content-Length: 14\r\nConnection: close\r\n\r\nheader_timeout");
    hear_end(fd);
    await_event(stage);
    fd = dial(stage, 0);
    hear_end(fd); /* said nothing: is told nothing */
    await_event(stage);
    assert_int_equal(stage->refused_status, 0);
    assert_int_equal(refusals(stage, HTTP_REFUSAL_HEADER_TIMEOUT), 2);
    stage_close(stage);
}

static void test_deadline_between_requests(void **state)
{
    struct stage *stage = stage_new();
    int fd;

    (void)state;
    stage->options.idle_timeout_ms = 40;
    stage_start(stage);
    fd = dial(stage, 0);
    say(fd, GET("/a"));
    hear(fd, OK_A);
    hear_end(fd);
    await_event(stage);
    assert_string_equal(stage->refused, "idle_timeout");
    stage_close(stage);
}

static void test_deadline_of_a_reader_that_stops(void **state)
{
    struct stage *stage = stage_new();
    int fd;

    (void)state;
    stage->options.send_stall_timeout_ms = 40;
    stage_start(stage);
    fd = dial(stage, 4096);
    say(fd, GET("/file"));
    await_event(stage);
    assert_string_equal(stage->gone, "send_timeout");
    assert_int_equal(refusals(stage, HTTP_REFUSAL_SEND_TIMEOUT), 1);
    hear_reset(fd);
    stage_close(stage);
}

static void test_an_abort_is_a_reset(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/abort") GET("/a"));
    hear_reset(fd);
    fd = dial(stage, 0);
    say(fd, GET("/a") GET("/abort-late"));
    hear_reset(fd);
    stage_stop(stage);
    assert_string_equal(stage->gone, "");
    stage_free(stage);
}

static void reply_to_waiting(struct stage *stage)
{
    exchange_reply(stage->waiting, 200, SLICE_LITERAL("X: y\r\n"), SLICE_LITERAL("/a"));
}

static void test_a_client_that_ends_its_side_is_answered(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/wait") GET("/a"));
    shutdown(fd, SHUT_WR);
    await_event(stage);
    on_loop(stage, reply_to_waiting);
    hear(fd, OK_A OK_A);
    hear_end(fd);
    stage_stop(stage);
    assert_string_equal(stage->gone, "");
    stage_free(stage);
}

static void test_a_client_that_resets_is_gone(void **state)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/wait") GET("/a"));
    await_event(stage);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    await_event(stage);
    assert_string_equal(stage->gone, "client_closed");
    stage_close(stage);
}

static void test_a_client_that_closes_while_it_is_sent_to_is_gone(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 4096);

    (void)state;
    say(fd, GET("/file"));
    hear(fd, "HTTP/1.1 200 OK\r\n");
    close(fd);
    await_event(stage);
    assert_string_equal(stage->gone, "client_closed");
    stage_close(stage);
}

static void test_requests_behind_a_long_wait_are_served_after_it(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/wait"));
    await_event(stage);
    for (int i = 0; i < 200; i++) /* more than the inbox holds */
        say(fd, GET("/a"));
    on_loop(stage, reply_to_waiting);
    for (int i = 0; i < 201; i++)
        hear(fd, OK_A);
    close(fd);
    stage_close(stage);
}

static void on_drained(void *user)
{
    struct stage *stage = user;

    sem_post(&stage->event);
}

static void drain(struct stage *stage)
{
    http_server_drain(stage->server, on_drained, stage);
    sem_post(&stage->ready);
}

static void test_drain(void **state)
{
    struct stage *stage = stage_open();
    int idle = dial(stage, 0), busy = dial(stage, 0);

    (void)state;
    say(idle, GET("/a"));
    hear(idle, OK_A);
    say(busy, GET("/wait"));
    await_event(stage);
    on_loop(stage, drain);
    sem_wait(&stage->ready);
    hear_end(idle);
    assert_int_equal(sem_trywait(&stage->event), -1); /* one is left */
    on_loop(stage, reply_to_waiting);
    hear(busy, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    hear_end(busy);
    await_event(stage);
    assert_int_equal(counter_read(&http_server_stats(stage->server)->connections_closed), 2);
    stage_close(stage);
}

static void test_free_tells_those_who_wait(void **state)
{
    struct stage *stage = stage_open();
    int fd = dial(stage, 0);

    (void)state;
    say(fd, GET("/wait"));
    await_event(stage);
    stage_stop(stage);
    assert_string_equal(stage->gone, "server_stopped");
    hear_reset(fd);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_connection_serves_many),
        cmocka_unit_test(test_a_small_response_is_two_system_calls),
        cmocka_unit_test(test_requests_split_anywhere),
        cmocka_unit_test(test_statuses_without_body),
        cmocka_unit_test(test_connection_is_kept_or_closed_as_asked),
        cmocka_unit_test(test_unknown_length),
        cmocka_unit_test(test_sent_bytes_are_what_went_over_the_wire),
        cmocka_unit_test(test_large_bodies_from_file_and_map),
        cmocka_unit_test(test_paced_bodies_come_in_portions_and_whole),
        cmocka_unit_test(test_a_paced_response_may_end_in_the_middle),
        cmocka_unit_test(test_a_reply_larger_than_the_socket_buffer),
        cmocka_unit_test(test_ten_thousand_pipelined_requests),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_heads_are_refused),
        cmocka_unit_test(test_a_refusal_survives_an_unread_body),
        cmocka_unit_test(test_bodies_are_collected),
        cmocka_unit_test(test_a_broken_body_is_refused),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_deadline_of_a_head),
        cmocka_unit_test(test_deadline_between_requests),
        cmocka_unit_test(test_deadline_of_a_reader_that_stops),
        cmocka_unit_test(test_an_abort_is_a_reset),
        cmocka_unit_test(test_a_client_that_ends_its_side_is_answered),
        cmocka_unit_test(test_a_client_that_resets_is_gone),
        cmocka_unit_test(test_a_client_that_closes_while_it_is_sent_to_is_gone),
        cmocka_unit_test(test_requests_behind_a_long_wait_are_served_after_it),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_free_tells_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
