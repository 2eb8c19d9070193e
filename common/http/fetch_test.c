/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching from this library's own server and from scripted origins that lie, break and hang. The loop runs
 * on the test's thread, a scripted origin on its own. */
#include "http/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "http/server.h"

#define LARGE_SIZE ((size_t)4 << 20)

/* --- A scripted origin: what it does, in order. --- */

enum act_kind { END, ACCEPT, READ, SAY, AWAIT, CLOSE, RESET, HOLD };

struct act {
    enum act_kind
        kind; /* READ: a request's head. AWAIT: until the test says so. HOLD: until the peer has closed. */
    const char *text; /* SAY */
};

struct origin {
    int listen_fd;
    uint16_t port;
    const struct act *acts;
    pthread_t thread;
    sem_t go;
};

static void read_request(int fd)
{
    char got[1024] = "";
    size_t filled = 0;

    while (filled < 4 || memcmp(got + filled - 4, "\r\n\r\n", 4) != 0) {
        assert_true(filled < sizeof(got));
        assert_int_equal(recv(fd, got + filled, 1, 0), 1);
        filled++;
    }
}

static void origin_act(struct origin *o, const struct act *act, int *fd)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    char waste[256];

    switch (act->kind) {
    case END: break;
    case ACCEPT: *fd = accept(o->listen_fd, NULL, NULL); break;
    case READ: read_request(*fd); break;
    case SAY: send(*fd, act->text, strlen(act->text), MSG_NOSIGNAL); break;
    case AWAIT: sem_wait(&o->go); break;
    case RESET: setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* fall through */
    case CLOSE: close(*fd); break;
    case HOLD:
        while (recv(*fd, waste, sizeof(waste), 0) > 0)
            ;
        close(*fd);
        break;
    }
}

static void *origin_run(void *user)
{
    struct origin *o = user;
    int fd = -1;

    for (const struct act *act = o->acts; act->kind != END; act++)
        origin_act(o, act, &fd);
    return NULL;
}

static int listen_anywhere(int backlog, uint16_t *ret_port)
{
    struct sockaddr_storage sa;
    struct addr any = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size;

    addr_parse(slice_of("127.0.0.1:0"), &any);
    size = addr_to_sockaddr(&any, &sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    getsockname(fd, (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, &any);
    *ret_port = any.port;
    return fd;
}

static void origin_start(struct origin *o, const struct act *acts)
{
    o->acts = acts;
    o->listen_fd = listen_anywhere(10, &o->port);
    sem_init(&o->go, 0, 0);
    pthread_create(&o->thread, NULL, origin_run, o);
}

static void origin_stop(struct origin *o)
{
    pthread_join(o->thread, NULL);
    close(o->listen_fd);
    sem_destroy(&o->go);
}

/* --- The stage: a loop with a pool, and this library's server on the same loop. --- */

struct stage {
    struct loop *loop;
    struct resolver *resolver;
    struct fetch_pool *pool;
    struct fetch_pool_options options;
    struct http_server *server;
    struct listener *listener;
    uint16_t port;
    size_t running;                /* probes */
    struct tls_server *tls_server; /* NULL: plain */
    struct tls_client *tls_client;
    char server_name[64]; /* of the last request */
    char *large;
    uint64_t handed_bytes; /* by the server, for the last exchange */
    struct span left;
};

static void send_left(struct exchange *x)
{
    struct stage *stage = x->user;

    while (stage->left.size > 0) {
        ssize_t taken = exchange_send(x, &stage->left);

        if (taken <= 0)
            return;
        stage->left.data += taken;
        stage->left.size -= (size_t)taken;
    }
    stage->handed_bytes = exchange_sent_bytes(x);
    exchange_finish(x);
}

static void on_gone(struct exchange *x, const char *reason)
{
    (void)x;
    (void)reason;
}

static void on_request(struct exchange *x, void *user)
{
    static const struct exchange_events events = {send_left, on_gone, NULL};
    struct stage *stage = user;
    bool chunked = slice_equal(x->request->target, SLICE_LITERAL("/chunked"));

    x->user = stage;
    x->events = &events;
    snprintf(stage->server_name, sizeof(stage->server_name), "%s", x->server_name);
    assert_true(x->is_tls == (stage->tls_server != NULL));
    if (chunked || slice_equal(x->request->target, SLICE_LITERAL("/large"))) {
        stage->left = (struct span){.fd = -1, .data = stage->large, .size = LARGE_SIZE};
        exchange_respond(x, 200, SLICE_EMPTY, chunked ? EXCHANGE_LENGTH_UNKNOWN : LARGE_SIZE);
        send_left(x);
    } else if (slice_equal(x->request->target, SLICE_LITERAL("/304"))) {
        exchange_reply(x, 304, SLICE_LITERAL("ETag: \"a\"\r\n"), SLICE_LITERAL("12345"));
    } else {
        exchange_reply(x, 200, SLICE_LITERAL("X: y\r\n"), SLICE_LITERAL("hello"));
    }
}

static void on_accept(void *user, int fd, const struct addr *peer)
{
    struct stage *stage = user;

    http_server_accept(stage->server, fd, peer, stage->tls_server);
}

static void open_server(struct stage *stage)
{
    struct http_server_options options = {
        .head_size_max = 8192,
        .uri_size_max = 4096,
        .connections_max = 1000,
        .handshake_timeout_ms = 60000,
        .header_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .send_stall_timeout_ms = 60000,
        .on_request = on_request,
        .user = stage,
    };
    struct addr address = {0};

    addr_parse(slice_of("127.0.0.1:0"), &address);
    assert_int_equal(http_server_new(stage->loop, &options, &stage->server), 0);
    assert_int_equal(listener_open(stage->loop, &address, on_accept, stage, &stage->listener), 0);
    listener_address(stage->listener, &address);
    stage->port = address.port;
}

static struct stage *stage_open(size_t connections_max, size_t waiting_max)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->options = (struct fetch_pool_options){connections_max, waiting_max, 60000, 1024};
    stage->large = malloc(LARGE_SIZE);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        stage->large[i] = (char)('a' + (i ^ i >> 9) % 26);
    assert_int_equal(loop_new(&stage->loop), 0);
    assert_int_equal(resolver_new(stage->loop, &stage->resolver), 0);
    assert_int_equal(fetch_pool_new(stage->loop, stage->resolver, &stage->options, &stage->pool), 0);
    open_server(stage);
    return stage;
}

static void close_pool(struct stage *stage)
{
    if (stage->pool)
        fetch_pool_free(stage->pool);
    stage->pool = NULL;
}

static void stage_close(struct stage *stage)
{
    close_pool(stage);
    listener_close(stage->listener);
    http_server_free(stage->server);
    resolver_free(stage->resolver);
    loop_free(stage->loop);
    tls_server_unref(stage->tls_server);
    if (stage->tls_client)
        tls_client_free(stage->tls_client);
    free(stage->large);
    free(stage);
}

static const struct fetch_stats *stats(struct stage *stage)
{
    return fetch_pool_stats(stage->pool);
}

/* --- A probe: one fetch and what came of it. --- */

struct probe {
    struct stage *stage;
    struct fetch *fetch; /* NULL: over */
    enum fetch_result result;
    unsigned status;
    size_t heads, pieces;
    struct buf body;
    uint64_t received_bytes;
    bool done; /* on_done was called */

    /* What it does meanwhile. */
    bool cancel_in_head, cancel_in_body, pause_in_head, pause_in_body;
    sem_t *tell_head; /* the origin may go on */
    struct timer resume;
    struct later resume_soon, turn;
    unsigned cancel_after_turns;
};

static void probe_over(struct probe *p)
{
    p->fetch = NULL;
    if (--p->stage->running == 0)
        loop_stop(p->stage->loop);
}

static void probe_cancel(struct probe *p)
{
    fetch_cancel(p->fetch);
    probe_over(p);
}

static void on_head(struct fetch *f, const struct http_head *head)
{
    struct probe *p = fetch_user(f);

    assert_false(p->done);
    p->heads++;
    p->status = head->status;
    if (p->tell_head)
        sem_post(p->tell_head);
    if (p->pause_in_head) {
        fetch_pause(f, true);
        timer_start(p->stage->loop, &p->resume, 100);
    }
    if (p->cancel_in_head)
        probe_cancel(p);
}

static void on_body(struct fetch *f, const char *data, size_t size)
{
    struct probe *p = fetch_user(f);

    assert_non_null(p->fetch); /* else it was cancelled */
    assert_int_equal(p->heads, 1);
    p->pieces++;
    assert_true(buf_append(&p->body, data, size));
    if (p->pause_in_body) {
        fetch_pause(f, true);
        later_start(p->stage->loop, &p->resume_soon);
    }
    if (p->cancel_in_body)
        probe_cancel(p);
}

static void on_done(struct fetch *f, enum fetch_result result)
{
    struct probe *p = fetch_user(f);

    assert_non_null(p->fetch);
    assert_false(p->done);
    p->done = true;
    p->result = result;
    p->received_bytes = fetch_received_bytes(f);
    probe_over(p);
}

static void on_resume(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, resume);

    assert_int_equal(p->body.size, 0);
    fetch_pause(p->fetch, false);
}

static void on_resume_soon(struct later *later)
{
    struct probe *p = container_of(later, struct probe, resume_soon);

    if (p->fetch)
        fetch_pause(p->fetch, false);
}

static void on_turn(struct later *later)
{
    struct probe *p = container_of(later, struct probe, turn);

    if (!p->fetch)
        return;
    if (p->cancel_after_turns-- == 0)
        probe_cancel(p);
    else
        later_start(p->stage->loop, &p->turn);
}

static const struct fetch_timeouts patient = {20000, 20000, 20000, 20000};

static void probe_init(struct probe *p, struct stage *stage)
{
    *p = (struct probe){.stage = stage};
    buf_init(&p->body, LARGE_SIZE);
    timer_init(&p->resume, on_resume);
    later_init(&p->resume_soon, on_resume_soon);
    later_init(&p->turn, on_turn);
}

static void probe_start(struct probe *p, const char *host, uint16_t port, const char *path,
                        const struct fetch_timeouts *timeouts)
{
    static const struct fetch_events events = {.on_head = on_head, .on_body = on_body, .on_done = on_done};
    struct fetch_target target = {.host = host, .port = port, .tls = p->stage->tls_client};
    bool is_head = strncmp(path, "HEAD ", 5) == 0;
    char head[200];
    int size = snprintf(head, sizeof(head), "%s%s HTTP/1.1\r\nHost: %s\r\n\r\n",
                        strchr(path, ' ') ? "" : "GET ", path, host);

    p->stage->running++;
    assert_int_equal(fetch_start(p->stage->pool, &target, timeouts, slice_make(head, (size_t)size), is_head,
                                 &events, p, &p->fetch),
                     0);
}

static void probe_run(struct probe *p, uint16_t port, const char *path, const struct fetch_timeouts *timeouts)
{
    probe_start(p, "127.0.0.1", port, path, timeouts);
    loop_run(p->stage->loop);
}

static void assert_probe(struct probe *p, enum fetch_result result, unsigned status, const char *body)
{
    assert_true(p->done);
    assert_string_equal(fetch_result_name(p->result), fetch_result_name(result));
    assert_int_equal(p->status, status);
    assert_int_equal(p->heads, status > 0);
    assert_int_equal(p->body.size, strlen(body));
    assert_memory_equal(buf_slice(&p->body).data, body, p->body.size);
    buf_fini(&p->body);
}

/* --- Against our own server. --- */

static void test_get_reuses_the_connection(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct probe p;

    (void)state;
    for (int i = 0; i < 3; i++) {
        probe_init(&p, stage);
        probe_run(&p, stage->port, "/", &patient);
        assert_probe(&p, FETCH_OK, 200, "hello");
        assert_int_equal(p.received_bytes,
                         strlen("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello"));
    }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 1);
    assert_int_equal(counter_read(&stats(stage)->connections_reused), 2);
    assert_int_equal(counter_read(&stats(stage)->results[FETCH_OK]), 3);
    stage_close(stage);
}

static void test_responses_without_body_keep_the_connection(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct probe p;

    (void)state;
    probe_init(&p, stage);
    probe_run(&p, stage->port, "HEAD /", &patient);
    assert_probe(&p, FETCH_OK, 200, "");
    probe_init(&p, stage);
    probe_run(&p, stage->port, "/304", &patient);
    assert_probe(&p, FETCH_OK, 304, "");
    probe_init(&p, stage);
    probe_run(&p, stage->port, "/", &patient);
    assert_probe(&p, FETCH_OK, 200, "hello");
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 1);
    stage_close(stage);
}

static void test_large_bodies(void **state)
{
    static const char *const paths[] = {"/large", "/chunked"};
    struct stage *stage = stage_open(4, 4);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        for (int pause = 0; pause < 2; pause++) {
            struct probe p;

            probe_init(&p, stage);
            p.pause_in_body = pause;
            probe_run(&p, stage->port, paths[i], &patient);
            later_stop(&p.resume_soon);
            assert_int_equal(p.result, FETCH_OK);
            assert_int_equal(p.body.size, LARGE_SIZE);
            assert_memory_equal(p.body.data, stage->large, LARGE_SIZE);
            assert_int_equal(p.received_bytes, stage->handed_bytes);
            buf_fini(&p.body);
        }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 1);
    stage_close(stage);
}

static void test_the_line(void **state)
{
    struct stage *stage = stage_open(1, 2);
    struct probe p[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(p); i++) {
        probe_init(&p[i], stage);
        probe_start(&p[i], "127.0.0.1", stage->port, "/", &patient);
    }
    loop_run(stage->loop);
    for (size_t i = 0; i < ARRAY_COUNT(p); i++) {
        assert_int_equal(p[i].result, i < 3 ? FETCH_OK : FETCH_OVERLOADED); /* who came first goes first */
        buf_fini(&p[i].body);
    }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 1);
    stage_close(stage);
}

/* All wait for their heads at the same time: what one response says is not taken for another's. */
static void test_several_at_once(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct probe p[4];

    (void)state;
    for (int round = 0; round < 2; round++) { /* on fresh connections, then on kept ones */
        for (size_t i = 0; i < ARRAY_COUNT(p); i++) {
            probe_init(&p[i], stage);
            probe_start(&p[i], "127.0.0.1", stage->port, i % 2 ? "/" : "/304", &patient);
        }
        loop_run(stage->loop);
        for (size_t i = 0; i < ARRAY_COUNT(p); i++)
            assert_probe(&p[i], FETCH_OK, i % 2 ? 200 : 304, i % 2 ? "hello" : "");
    }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 4);
    stage_close(stage);
}

/* Cancelled after each number of turns until it is too late: whatever state it is in, nothing leaks and the
 * pool goes on. */
static void test_cancel_at_any_turn(void **state)
{
    struct stage *stage = stage_open(2, 2);
    bool finished = false;

    (void)state;
    for (unsigned turns = 0; !finished; turns++) {
        struct probe p;

        probe_init(&p, stage);
        p.cancel_after_turns = turns;
        probe_start(&p, "127.0.0.1", stage->port, "/chunked", &patient);
        later_start(stage->loop, &p.turn);
        loop_run(stage->loop);
        later_stop(&p.turn);
        finished = p.done;
        buf_fini(&p.body);
        assert_true(turns < 100000);
    }
    struct probe p;
    probe_init(&p, stage);
    probe_run(&p, stage->port, "/", &patient);
    assert_probe(&p, FETCH_OK, 200, "hello");
    stage_close(stage);
}

static void test_cancel_inside_callbacks(void **state)
{
    struct stage *stage = stage_open(2, 2);

    (void)state;
    for (int in_body = 0; in_body < 2; in_body++) {
        struct probe p;

        probe_init(&p, stage);
        p.cancel_in_head = !in_body;
        p.cancel_in_body = in_body;
        probe_run(&p, stage->port, "/chunked", &patient);
        assert_false(p.done);
        assert_int_equal(p.pieces, in_body);
        buf_fini(&p.body);
    }
    stage_close(stage);
}

static void test_freeing_the_pool_cancels(void **state)
{
    struct stage *stage = stage_open(1, 2);
    struct probe p[3];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(p); i++) {
        probe_init(&p[i], stage);
        p[i].cancel_in_head = i == 0; /* stops the loop in the midst of it */
        probe_start(&p[i], "127.0.0.1", stage->port, "/chunked", &patient);
    }
    stage->running = 1;
    loop_run(stage->loop);
    close_pool(stage);
    for (size_t i = 0; i < ARRAY_COUNT(p); i++) {
        assert_false(p[i].done);
        buf_fini(&p[i].body);
    }
    stage_close(stage);
}

/* --- Against scripted origins. --- */

#define HEAD_200 "HTTP/1.1 200 OK\r\n"

struct hostility {
    const char *says;
    enum act_kind ends;
    enum fetch_result result;
    unsigned status;
    const char *body;
};

static const struct hostility hostilities[] = {
    {"garbage\r\n\r\n", HOLD, FETCH_BAD_RESPONSE, 0, ""},
    {"", CLOSE, FETCH_CLOSED_BEFORE_HEAD, 0, ""},
    {"", RESET, FETCH_CLOSED_BEFORE_HEAD, 0, ""},
    {HEAD_200 "Content-", CLOSE, FETCH_CLOSED_BEFORE_HEAD, 0, ""},
    {HEAD_200 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HOLD, FETCH_BAD_RESPONSE, 0, ""},
    {"HTTP/2.0 200 OK\r\n\r\n", HOLD, FETCH_BAD_RESPONSE, 0, ""},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", HOLD,
     FETCH_BAD_RESPONSE, 0, ""},
    {HEAD_200 "Content-Length: 5\r\n\r\nabc", CLOSE, FETCH_TRUNCATED, 200, "abc"},
    {HEAD_200 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", CLOSE, FETCH_TRUNCATED, 200, "abc"},
    {HEAD_200 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", CLOSE, FETCH_TRUNCATED, 200, "abc"},
    {HEAD_200 "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd", HOLD, FETCH_BAD_RESPONSE, 200, "abc"},
    {HEAD_200 "\r\nabc", CLOSE, FETCH_OK, 200, "abc"},
    {HEAD_200 "\r\n", CLOSE, FETCH_OK, 200, ""},
    {"HTTP/1.0 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", HOLD, FETCH_OK, 404, "abc"},
    {HEAD_200 "Content-Length: 0\r\n\r\n", HOLD, FETCH_OK, 200, ""},
    {HEAD_200 "Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", HOLD, FETCH_OK, 200, "abc"},
    {HEAD_200 "Connection: close\r\nContent-Length: 3\r\n\r\nabc", HOLD, FETCH_OK, 200, "abc"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204\r\n\r\n", HOLD,
     FETCH_OK, 204, ""},
#define HINT "HTTP/1.1 103 Early Hints\r\n\r\n"
    {HINT HINT HINT HINT HINT HINT HINT HINT HINT, HOLD, FETCH_BAD_RESPONSE, 0, ""},
};

static void test_hostile_responses(void **state)
{
    struct stage *stage = stage_open(4, 4);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(hostilities); i++) {
        const struct hostility *h = &hostilities[i];
        struct act acts[] = {{ACCEPT, NULL}, {READ, NULL}, {SAY, h->says}, {h->ends, NULL}, {END, NULL}};
        struct origin origin;
        struct probe p;

        origin_start(&origin, acts);
        probe_init(&p, stage);
        probe_run(&p, origin.port, "/", &patient);
        assert_probe(&p, h->result, h->status, h->body);
        if (h->ends == HOLD && h->result == FETCH_OK) { /* a kept connection goes with its pool */
            close_pool(stage);
            assert_int_equal(fetch_pool_new(stage->loop, stage->resolver, &stage->options, &stage->pool), 0);
        }
        origin_stop(&origin);
    }
    stage_close(stage);
}

/* The reset comes when the head is known to have been read: else it might overtake it. */
static void test_a_reset_in_the_body_is_a_truncation(void **state)
{
    static const char *const heads[] = {HEAD_200 "\r\nabc", HEAD_200 "Content-Length: 5\r\n\r\nabc"};
    struct stage *stage = stage_open(4, 4);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        struct act acts[] = {{ACCEPT, NULL}, {READ, NULL},  {SAY, heads[i]},
                             {AWAIT, NULL},  {RESET, NULL}, {END, NULL}};
        struct origin origin;
        struct probe p;

        origin_start(&origin, acts);
        probe_init(&p, stage);
        p.tell_head = &origin.go;
        probe_run(&p, origin.port, "/", &patient);
        assert_probe(&p, FETCH_TRUNCATED, 200, "abc");
        origin_stop(&origin);
    }
    stage_close(stage);
}

static void test_heads_too_large(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct buf heads[3];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        buf_init(&heads[i], 8192);
        buf_append_text(&heads[i], HEAD_200 "Content-Length: 0\r\nA: ");
    }
    buf_printf(&heads[0], "%0*d\r\n\r\n", (int)(1024 - heads[0].size - 4), 0);
    buf_printf(&heads[1], "%0*d\r\n\r\n", (int)(1025 - heads[1].size - 4), 0);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        buf_append_text(&heads[2], "\r\na:b");
    buf_append_text(&heads[2], "\r\n\r\n");
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        buf_append_char(&heads[i], '\0');
        struct act acts[] = {{ACCEPT, NULL}, {READ, NULL}, {SAY, heads[i].data}, {CLOSE, NULL}, {END, NULL}};
        struct origin origin;
        struct probe p;

        origin_start(&origin, acts);
        probe_init(&p, stage);
        probe_run(&p, origin.port, "/", &patient);
        assert_probe(&p, i == 0 ? FETCH_OK : FETCH_HEAD_TOO_LARGE, i == 0 ? 200 : 0, "");
        origin_stop(&origin);
        buf_fini(&heads[i]);
    }
    stage_close(stage);
}

/* Every byte a segment of its own: 1xx and the head come in many pieces. */
static void test_a_response_byte_by_byte(void **state)
{
    static const char text[] =
        HINT HEAD_200 "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n";
    char bytes[sizeof(text)][2] = {{0}};
    struct act acts[2 + 2 * sizeof(text)] = {{ACCEPT, NULL}, {READ, NULL}};
    struct stage *stage = stage_open(4, 4);
    struct origin origin;
    struct probe p;

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        bytes[i][0] = text[i];
        acts[2 + i] = (struct act){SAY, bytes[i]};
    }
    acts[2 + sizeof(text) - 1].kind = CLOSE;
    origin_start(&origin, acts);
    probe_init(&p, stage);
    probe_run(&p, origin.port, "/", &patient);
    assert_probe(&p, FETCH_OK, 200, "hello");
    assert_int_equal(p.received_bytes, strlen(text));
    origin_stop(&origin);
    stage_close(stage);
}

static void test_deadlines(void **state)
{
    static const struct hostility hangs[] = {
        {"", HOLD, FETCH_FIRST_BYTE_TIMEOUT, 0, ""},
        {HEAD_200 "Content", HOLD, FETCH_FIRST_BYTE_TIMEOUT, 0, ""},
        {HINT, HOLD, FETCH_FIRST_BYTE_TIMEOUT, 0, ""},
        {HEAD_200 "Content-Length: 5\r\n\r\nabc", HOLD, FETCH_IDLE_TIMEOUT, 200, "abc"},
        {HEAD_200 "\r\n", HOLD, FETCH_IDLE_TIMEOUT, 200, ""},
    };
    struct stage *stage = stage_open(4, 4);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(hangs); i++) {
        struct fetch_timeouts timeouts = {20000, hangs[i].status ? 20000 : 50, 50, 20000};
        struct act acts[] = {{ACCEPT, NULL}, {READ, NULL}, {SAY, hangs[i].says}, {HOLD, NULL}, {END, NULL}};
        struct origin origin;
        struct probe p;

        origin_start(&origin, acts);
        probe_init(&p, stage);
        probe_run(&p, origin.port, "/", &timeouts);
        assert_probe(&p, hangs[i].result, hangs[i].status, hangs[i].body);
        origin_stop(&origin);
    }
    stage_close(stage);
}

/* The origin falls silent for longer than the idle deadline while nobody reads: that is not its fault. */
static void test_no_deadline_runs_while_paused(void **state)
{
    static const struct act acts[] = {
        {ACCEPT, NULL}, {READ, NULL},   {SAY, HEAD_200 "Content-Length: 5\r\n\r\n"},
        {AWAIT, NULL},  {SAY, "hello"}, {HOLD, NULL},
        {END, NULL}};
    struct fetch_timeouts timeouts = {20000, 20000, 50, 20000};
    struct stage *stage = stage_open(4, 4);
    struct origin origin;
    struct probe p;

    (void)state;
    origin_start(&origin, acts);
    probe_init(&p, stage);
    p.pause_in_head = true;
    p.tell_head = &origin.go;
    probe_run(&p, origin.port, "/", &timeouts);
    assert_probe(&p, FETCH_OK, 200, "hello");
    close_pool(stage);
    origin_stop(&origin);
    stage_close(stage);
}

#define HELLO HEAD_200 "Content-Length: 5\r\n\r\nhello"

static void test_retry_on_a_stale_connection(void **state)
{
    static const struct act acts[] = {{ACCEPT, NULL}, {READ, NULL},   {SAY, HELLO}, {READ, NULL},
                                      {CLOSE, NULL},  {ACCEPT, NULL}, {READ, NULL}, {SAY, HELLO},
                                      {CLOSE, NULL},  {END, NULL}};
    struct stage *stage = stage_open(4, 4);
    struct origin origin;
    struct probe p;

    (void)state;
    origin_start(&origin, acts);
    for (int i = 0; i < 2; i++) {
        probe_init(&p, stage);
        probe_run(&p, origin.port, "/", &patient);
        assert_probe(&p, FETCH_OK, 200, "hello");
    }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 2);
    assert_int_equal(counter_read(&stats(stage)->connections_reused), 1);
    origin_stop(&origin);
    stage_close(stage);
}

/* On a fresh connection the same is the origin's fault, and a retry happens once; a POST is never sent again;
 * nor is what was answered in part. */
static void test_no_second_retry(void **state)
{
    static const struct act twice[] = {{ACCEPT, NULL}, {READ, NULL},  {SAY, HELLO},
                                       {READ, NULL},   {CLOSE, NULL}, {ACCEPT, NULL},
                                       {READ, NULL},   {CLOSE, NULL}, {END, NULL}};
    static const struct act post[] = {{ACCEPT, NULL}, {READ, NULL},  {SAY, HELLO},
                                      {READ, NULL},   {CLOSE, NULL}, {END, NULL}};
    static const struct act part[] = {{ACCEPT, NULL}, {READ, NULL},  {SAY, HELLO}, {READ, NULL},
                                      {SAY, "HTTP"},  {CLOSE, NULL}, {END, NULL}};
    static const struct act *const scripts[] = {twice, post, part};
    struct stage *stage = stage_open(4, 4);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
        struct origin origin;
        struct probe p;

        origin_start(&origin, scripts[i]);
        probe_init(&p, stage);
        probe_run(&p, origin.port, "/", &patient);
        assert_probe(&p, FETCH_OK, 200, "hello");
        probe_init(&p, stage);
        probe_run(&p, origin.port, scripts[i] == post ? "POST /" : "/", &patient);
        assert_probe(&p, FETCH_CLOSED_BEFORE_HEAD, 0, "");
        origin_stop(&origin);
    }
    stage_close(stage);
}

static void test_refused_and_unresolved(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct fetch_timeouts timeouts = {5000, 1000, 1000, 5000};
    struct probe p;
    uint16_t port;

    (void)state;
    close(listen_anywhere(1, &port));
    probe_init(&p, stage);
    probe_run(&p, port, "/", &patient);
    assert_probe(&p, FETCH_CONNECT_REFUSED, 0, "");
    probe_init(&p, stage);
    probe_start(&p, "does-not-exist.invalid", 80, "/", &timeouts);
    loop_run(stage->loop);
    assert_probe(&p, FETCH_RESOLVE_FAILED, 0, "");
    probe_init(&p, stage);
    probe_start(&p, "localhost", stage->port, "/", &patient); /* only one of its addresses may answer */
    loop_run(stage->loop);
    assert_probe(&p, FETCH_OK, 200, "hello");
    stage_close(stage);
}

/* A full backlog answers nobody. */
static void test_connect_timeout(void **state)
{
    struct stage *stage = stage_open(1, 4);
    struct fetch_timeouts timeouts = {100, 20000, 20000, 100};
    struct sockaddr_storage sa;
    struct addr address = {0};
    struct probe first, second;
    uint16_t port;
    int listen_fd = listen_anywhere(0, &port), fds[4];

    (void)state;
    addr_parse(slice_of("127.0.0.1:0"), &address);
    address.port = port;
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&sa, addr_to_sockaddr(&address, &sa));
    }
    probe_init(&first, stage);
    probe_start(&first, "127.0.0.1", port, "/", &timeouts);
    probe_init(&second, stage); /* in line behind it, just as long */
    probe_start(&second, "127.0.0.1", port, "/", &timeouts);
    loop_run(stage->loop);
    assert_probe(&first, FETCH_CONNECT_TIMEOUT, 0, "");
    assert_true(second.result == FETCH_OVERLOADED || second.result == FETCH_CONNECT_TIMEOUT);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        close(fds[i]);
    close(listen_fd);
    stage_close(stage);
}

/* --- Over TLS. --- */

static int choose_first(void *user, struct slice name, const char *local_ip)
{
    (void)user, (void)name, (void)local_ip;
    return 0;
}

static void make_certificate(const char *folder, char key_path[100], char certificate_path[100])
{
    char command[500];

    snprintf(key_path, 100, "%s/key.pem", folder);
    snprintf(certificate_path, 100, "%s/certificate.pem", folder);
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
             " -addext subjectAltName=DNS:localhost -keyout %s -out %s 2>/dev/null",
             key_path, certificate_path);
    assert_int_equal(system(command), 0);
}

static void stage_add_tls(struct stage *stage)
{
    char folder[] = "/tmp/fetch_test.XXXXXX", key_path[100], certificate_path[100];
    const struct tls_identity identity = {.certificates = {{certificate_path, key_path, NULL}}, .count = 1};
    const struct tls_server_options options = {
        .identities = &identity, .identity_count = 1, .choose = choose_first};
    struct buf error;

    buf_init(&error, 1000);
    assert_non_null(mkdtemp(folder));
    make_certificate(folder, key_path, certificate_path);
    assert_int_equal(tls_server_new(&options, &error, &stage->tls_server), 0);
    assert_int_equal(tls_client_new(certificate_path, true, &error, &stage->tls_client), 0);
    buf_fini(&error);
    unlink(key_path);
    unlink(certificate_path);
    rmdir(folder);
}

static void test_over_tls(void **state)
{
    static const char *const paths[] = {"/large", "/chunked"};
    struct stage *stage = stage_open(4, 4);
    struct probe p;

    (void)state;
    stage_add_tls(stage);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        probe_init(&p, stage);
        probe_start(&p, "localhost", stage->port, paths[i], &patient);
        loop_run(stage->loop);
        assert_int_equal(p.result, FETCH_OK);
        assert_int_equal(p.body.size, LARGE_SIZE);
        assert_memory_equal(p.body.data, stage->large, LARGE_SIZE);
        assert_string_equal(stage->server_name, "localhost");
        buf_fini(&p.body);
    }
    assert_int_equal(counter_read(&stats(stage)->connections_opened), 1);
    assert_int_equal(counter_read(&stats(stage)->connections_reused), 1);
    stage_close(stage);
}

static void test_tls_failures_have_names(void **state)
{
    struct stage *stage = stage_open(4, 4);
    struct tls_server *server;
    struct tls_client *client;
    struct probe p;

    (void)state;
    stage_add_tls(stage);
    probe_init(&p, stage); /* the certificate is for another name */
    probe_run(&p, stage->port, "/", &patient);
    assert_probe(&p, FETCH_TLS_FAILED, 0, "");
    assert_int_equal(counter_read(&http_server_stats(stage->server)->requests), 0);

    server = stage->tls_server; /* TLS to a plain server */
    stage->tls_server = NULL;
    probe_init(&p, stage);
    probe_run(&p, stage->port, "/", &patient);
    assert_probe(&p, FETCH_TLS_FAILED, 0, "");
    stage->tls_server = server;

    client = stage->tls_client; /* plain to a TLS server */
    stage->tls_client = NULL;
    probe_init(&p, stage);
    probe_run(&p, stage->port, "/", &patient);
    stage->tls_client = client;
    assert_true(p.result != FETCH_OK);
    assert_true(counter_read(&http_server_stats(stage->server)->refusals[HTTP_REFUSAL_HANDSHAKE_FAILED]) > 0);
    buf_fini(&p.body);
    stage_close(stage);
}

static void test_results_have_words(void **state)
{
    (void)state;
    assert_string_equal(fetch_result_name(FETCH_IDLE_TIMEOUT), "origin_idle_timeout");
    assert_int_equal(fetch_result_status(FETCH_IDLE_TIMEOUT), 504);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_reuses_the_connection),
        cmocka_unit_test(test_responses_without_body_keep_the_connection),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_the_line),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_cancel_at_any_turn),
        cmocka_unit_test(test_cancel_inside_callbacks),
        cmocka_unit_test(test_freeing_the_pool_cancels),
        cmocka_unit_test(test_hostile_responses),
        cmocka_unit_test(test_a_reset_in_the_body_is_a_truncation),
        cmocka_unit_test(test_heads_too_large),
        cmocka_unit_test(test_a_response_byte_by_byte),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_no_deadline_runs_while_paused),
        cmocka_unit_test(test_retry_on_a_stale_connection),
        cmocka_unit_test(test_no_second_retry),
        cmocka_unit_test(test_refused_and_unresolved),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_over_tls),
        cmocka_unit_test(test_tls_failures_have_names),
        cmocka_unit_test(test_results_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
