/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams against each other on loopback, plain and TLS: both ends live on one loop. Each test says what its
 * two ends do when they open and what they do when they can read or write; the loop runs until a test stops
 * it.
 */
#include "io/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificate_test.h"

#define NOTHING_YET 1 /* of results that are 0 or negative */
#define FILE_SIZE   ((size_t)5 * 1000 * 1000 + 17)

struct end;
typedef void end_fn(struct end *e);

struct end {
    struct world *world;
    struct stream *stream;
    end_fn *opened, *readable, *writable; /* NULL: nothing; readable NULL: read_all */
    int open_status;                      /* NOTHING_YET */
    unsigned open_count, readable_count, writable_count;
    char *received;
    size_t received_size, received_max;
    ssize_t first_read_result; /* that was no data and not -EAGAIN, or NOTHING_YET */
    ssize_t read_result;       /* the last of those */
    ssize_t write_result;
    struct span span; /* what is left to send */
};

struct world {
    struct loop *loop;
    struct listener *listener;
    struct tls_server *tls_server; /* NULL: plain */
    struct tls_client *tls_client;
    struct test_certificate certificate;
    struct end server, client;
    struct timer alarm, watchdog;
    end_fn *on_alarm;
};

static void on_open(void *user, int status)
{
    struct end *e = user;

    e->open_count++;
    e->open_status = status;
    if (e->opened)
        e->opened(e);
}

/* Reads what is there; notes how it ended. */
static void read_all(struct end *e)
{
    ssize_t n;

    for (;;) {
        assert_true(e->received_size < e->received_max);
        n = stream_read(e->stream, e->received + e->received_size, e->received_max - e->received_size);
        if (n <= 0)
            break;
        e->received_size += (size_t)n;
    }
    if (n == -EAGAIN)
        return;
    e->read_result = n;
    if (e->first_read_result == NOTHING_YET)
        e->first_read_result = n;
}

static void on_readable(void *user)
{
    struct end *e = user;

    e->readable_count++;
    (e->readable ? e->readable : read_all)(e);
}

static void on_writable(void *user)
{
    struct end *e = user;

    e->writable_count++;
    if (e->writable)
        e->writable(e);
}

static const struct stream_events events = {
    .on_open = on_open, .on_readable = on_readable, .on_writable = on_writable};

static void on_connection(void *user, int fd, const struct addr *peer)
{
    struct world *w = user;
    struct addr loopback;

    assert_int_equal(addr_parse(slice_of("127.0.0.1"), &loopback), 0);
    assert_true(addr_equal_ip(peer, &loopback));
    assert_null(w->server.stream);
    assert_int_equal(stream_accept(w->loop, fd, peer, w->tls_server, &events, &w->server, &w->server.stream),
                     0);
    assert_int_equal(w->server.open_count, 0);
}

static void on_watchdog(struct timer *t)
{
    (void)t;
    fail_msg("the test hangs");
}

static void on_alarm(struct timer *t)
{
    struct world *w = container_of(t, struct world, alarm);

    w->on_alarm(&w->server);
}

static int choose_first(void *user, struct slice name, const char *local_ip)
{
    (void)user;
    assert_true(slice_equal(name, SLICE_LITERAL("a.example")));
    assert_string_equal(local_ip, ""); /* the name tells enough */
    return 0;
}

static void end_init(struct world *w, struct end *e)
{
    e->world = w;
    e->open_status = NOTHING_YET;
    e->read_result = e->first_read_result = NOTHING_YET;
    e->received_max = FILE_SIZE + 100000;
    e->received = malloc(e->received_max);
    assert_non_null(e->received);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    struct addr address;

    assert_non_null(w);
    assert_int_equal(loop_new(&w->loop), 0);
    assert_int_equal(addr_parse(slice_of("127.0.0.1:0"), &address), 0);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &w->listener), 0);
    end_init(w, &w->server);
    end_init(w, &w->client);
    timer_init(&w->alarm, on_alarm);
    timer_init(&w->watchdog, on_watchdog);
    timer_start(w->loop, &w->watchdog, 30000);
    return w;
}

static int set_up_plain(void **state)
{
    *state = world_new();
    return 0;
}

static int set_up_tls(void **state)
{
    struct world *w = world_new();
    const struct tls_identity identity = {
        .certificates = {{w->certificate.certificate_path, w->certificate.key_path, NULL}}, .count = 1};
    const struct tls_server_options options = {
        .identities = &identity, .identity_count = 1, .choose = choose_first};
    struct buf error;

    buf_init(&error, 1000);
    test_certificate_make(&w->certificate, "DNS:a.example");
    assert_int_equal(tls_server_new(&options, &error, &w->tls_server), 0);
    assert_int_equal(tls_client_new(w->certificate.certificate_path, true, &error, &w->tls_client), 0);
    buf_fini(&error);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    stream_close(w->server.stream);
    stream_close(w->client.stream);
    listener_close(w->listener);
    timer_stop(&w->watchdog);
    loop_free(w->loop);
    if (w->tls_server)
        test_certificate_remove(&w->certificate);
    tls_server_unref(w->tls_server);
    tls_client_free(w->tls_client);
    free(w->server.received);
    free(w->client.received);
    free(w);
    return 0;
}

static void connect_client(struct world *w)
{
    struct addr address;

    listener_address(w->listener, &address);
    assert_true(address.port > 0);
    assert_int_equal(
        stream_connect(w->loop, &address, w->tls_client, "a.example", &events, &w->client, &w->client.stream),
        0);
    assert_int_equal(w->client.open_count, 0);
}

static void run(struct world *w)
{
    connect_client(w);
    loop_run(w->loop);
}

static void stop(struct end *e)
{
    loop_stop(e->world->loop);
}

static void stop_at_end(struct end *e)
{
    read_all(e);
    if (e->read_result != NOTHING_YET)
        stop(e);
}

static void close_stream(struct end *e)
{
    stream_close(e->stream);
    e->stream = NULL;
}

static ssize_t send_text(struct end *e, const char *text)
{
    struct iovec part = {(void *)text, strlen(text)};

    return stream_writev(e->stream, &part, 1, false);
}

static void assert_received(const struct end *e, const char *text)
{
    assert_int_equal(e->received_size, strlen(text));
    assert_memory_equal(e->received, text, strlen(text));
}

/* --- echo
 * -------------------------------------------------------------------------------------------------------- */

static void send_in_parts(struct end *e)
{
    struct iovec parts[] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};

    assert_int_equal(e->open_status, 0);
    assert_int_equal(stream_writev(e->stream, parts, 1, true), 4);
    assert_int_equal(stream_writev(e->stream, parts + 1, 3, false), 9);
}

static void echo(struct end *e)
{
    read_all(e);
    if (e->received_size == 13)
        assert_int_equal(stream_writev(e->stream, &(struct iovec){e->received, 13}, 1, false), 13);
}

static void stop_at_13(struct end *e)
{
    read_all(e);
    if (e->received_size == 13)
        stop(e);
}

static void test_echo(void **state)
{
    struct world *w = *state;
    struct addr server_local, client_peer, client_local, server_peer;

    w->client.opened = send_in_parts;
    w->server.readable = echo;
    w->client.readable = stop_at_13;
    run(w);
    assert_received(&w->client, "one two three");
    assert_int_equal(w->server.open_count, 1);
    assert_int_equal(w->client.open_count, 1);
    assert_int_equal(w->client.writable_count + w->server.writable_count, 0);
    assert_true(stream_is_tls(w->server.stream) == (w->tls_server != NULL));
    assert_string_equal(stream_server_name(w->server.stream), w->tls_server ? "a.example" : "");
    stream_local(w->server.stream, &server_local);
    stream_peer(w->server.stream, &server_peer);
    stream_local(w->client.stream, &client_local);
    stream_peer(w->client.stream, &client_peer);
    assert_memory_equal(&server_local, &client_peer, sizeof(server_local));
    assert_memory_equal(&server_peer, &client_local, sizeof(server_peer));
}

static void read_one_byte(struct end *e)
{
    if (stream_read(e->stream, e->received + e->received_size, 1) == 1)
        e->received_size++;
    if (e->received_size == 13)
        stop(e);
}

/* What is left of a TLS record lies where no poll can see it. */
static void test_reader_is_told_again_of_what_it_left(void **state)
{
    struct world *w = *state;

    w->client.opened = send_in_parts;
    w->server.readable = read_one_byte;
    run(w);
    assert_received(&w->server, "one two three");
    assert_int_equal(w->server.readable_count, 13);
}

/* --- large transfers
 * --------------------------------------------------------------------------------------------- */

static void send_rest(struct end *e)
{
    while (e->span.size > 0) {
        e->write_result = stream_send_span(e->stream, &e->span, false);
        if (e->write_result < 0)
            break;
        assert_true((size_t)e->write_result <= e->span.size);
        e->span.offset_bytes += (uint64_t)e->write_result;
        e->span.data = e->span.data ? e->span.data + e->write_result : NULL;
        e->span.size -= (size_t)e->write_result;
    }
    if (e->span.size == 0)
        assert_int_equal(stream_shutdown(e->stream), 0);
    else
        assert_int_equal(e->write_result, -EAGAIN);
}

static void read_little(struct end *e)
{
    ssize_t n = stream_read(e->stream, e->received + e->received_size, 20000);

    if (n > 0)
        e->received_size += (size_t)n;
    else if (n != -EAGAIN)
        e->read_result = n;
    if (n <= 0 && n != -EAGAIN)
        stop(e);
}

/* An unlinked file of FILE_SIZE bytes that do not repeat within a record, and its map. */
static int make_file(char **ret_map)
{
    char path[] = "/tmp/stream-test.XXXXXX";
    int fd = mkstemp(path);
    uint32_t random = 1, *words;
    char *map;

    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, (off_t)FILE_SIZE), 0);
    map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    words = (uint32_t *)(void *)map;
    for (size_t i = 0; i < FILE_SIZE / sizeof(*words); i++)
        words[i] = random = random * 1664525 + 1013904223;
    *ret_map = map;
    return fd;
}

enum source { FROM_FILE, FROM_MEMORY, FROM_BOTH };

static void transfer(struct world *w, enum source source)
{
    char *map;
    int fd = make_file(&map);
    size_t start = 333;

    w->server.span.fd = source == FROM_MEMORY ? -1 : fd;
    w->server.span.data = source == FROM_FILE ? NULL : map + start;
    w->server.span.offset_bytes = start;
    w->server.span.size = FILE_SIZE - start;
    w->server.opened = w->server.writable = send_rest;
    w->client.readable = read_little;
    run(w);
    assert_int_equal(w->client.read_result, 0);
    assert_true(w->server.writable_count > 0);
    assert_int_equal(w->client.received_size, FILE_SIZE - start);
    assert_memory_equal(w->client.received, map + start, FILE_SIZE - start);
    munmap(map, FILE_SIZE);
    close(fd);
}

static void test_span_of_a_file(void **state)
{
    transfer(*state, FROM_FILE);
}

static void test_span_of_memory(void **state)
{
    transfer(*state, FROM_MEMORY);
}

static void test_span_of_a_mapped_file(void **state)
{
    transfer(*state, FROM_BOTH);
}

/* Frames and their heads, heads and bodies: what fills a record of TLS, and what does not. */
static void send_in_many_parts(struct end *e)
{
    static const size_t sizes[] = {300, 65536, 9, 16375, 9, 16375, 1, 16384, 0, 16383, 2, 40000, 100000};

    while (e->span.size > 0) {
        struct iovec parts[ARRAY_COUNT(sizes)];
        size_t at = 0;

        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            parts[i] = (struct iovec){(char *)e->span.data + at, size_min(sizes[i], e->span.size - at)};
            at += parts[i].iov_len;
        }
        assert_true(stream_room(e->stream) <= FILE_SIZE);
        e->write_result = stream_writev(e->stream, parts, ARRAY_COUNT(sizes), false);
        if (e->write_result < 0)
            break;
        e->span.data += e->write_result;
        e->span.size -= (size_t)e->write_result;
    }
    if (e->span.size == 0)
        assert_int_equal(stream_shutdown(e->stream), 0);
}

static void test_parts_of_any_size(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    w->server.span = (struct span){.fd = -1, .data = map, .size = FILE_SIZE};
    w->server.opened = w->server.writable = send_in_many_parts;
    w->client.readable = read_little;
    run(w);
    assert_true(w->server.writable_count > 0);
    assert_int_equal(w->client.received_size, FILE_SIZE);
    assert_memory_equal(w->client.received, map, FILE_SIZE);
    munmap(map, FILE_SIZE);
    close(fd);
}

static void send_beyond_the_file(struct end *e)
{
    do
        e->write_result = stream_send_span(e->stream, &e->span, false);
    while (e->write_result > 0 && (e->span.offset_bytes += (uint64_t)e->write_result));
    if (e->write_result != -EAGAIN)
        stop(e);
}

static void test_file_ends_before_the_span(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    munmap(map, FILE_SIZE);
    w->server.span = (struct span){.fd = fd, .offset_bytes = FILE_SIZE - 100000, .size = 200000};
    w->server.opened = w->server.writable = send_beyond_the_file;
    run(w);
    assert_int_equal(w->server.write_result, -EIO);
    close(fd);
}

/* --- ends
 * -------------------------------------------------------------------------------------------------------- */

static void say_bye_and_reset(struct end *e)
{
    assert_int_equal(send_text(e, "bye"), 3);
    stream_reset(e->stream);
    e->stream = NULL;
}

static void say_bye_and_close(struct end *e)
{
    assert_int_equal(send_text(e, "bye"), 3);
    close_stream(e);
}

static void say_bye_and_end(struct end *e)
{
    assert_int_equal(send_text(e, "bye"), 3);
    assert_int_equal(stream_shutdown(e->stream), 0);
    assert_int_equal(send_text(e, "more"), -EPIPE);
}

static void test_reset_is_seen_as_one(void **state)
{
    struct world *w = *state;

    w->server.opened = say_bye_and_reset;
    w->client.readable = stop_at_end;
    run(w);
    assert_int_equal(w->client.read_result, -ECONNRESET);
}

/* TLS: without close_notify the end may be an attacker's. */
static void test_close_is_seen_as_end(void **state)
{
    struct world *w = *state;

    w->server.opened = say_bye_and_close;
    w->client.readable = stop_at_end;
    run(w);
    assert_received(&w->client, "bye");
    assert_int_equal(w->client.read_result, w->tls_server ? -ECONNRESET : 0);
}

static void test_shutdown_is_seen_as_end(void **state)
{
    struct world *w = *state;

    w->server.opened = say_bye_and_end;
    w->client.readable = stop_at_end;
    run(w);
    assert_received(&w->client, "bye");
    assert_int_equal(w->client.read_result, 0);
}

static void answer_at_end(struct end *e)
{
    read_all(e);
    if (e->read_result == 0)
        say_bye_and_end(e);
}

static void test_answer_after_the_peer_has_ended(void **state)
{
    struct world *w = *state;

    w->client.opened = say_bye_and_end;
    w->server.readable = answer_at_end;
    w->client.readable = stop_at_end;
    run(w);
    assert_received(&w->server, "bye");
    assert_received(&w->client, "bye");
    assert_int_equal(w->client.read_result, 0);
}

/* A browser that goes away without close_notify, and before it has read the session tickets: its system
 * follows the end with a reset. */
static void test_client_closes(void **state)
{
    struct world *w = *state;

    w->client.opened = say_bye_and_close;
    w->server.readable = stop_at_end;
    run(w);
    assert_received(&w->server, "bye");
    assert_int_equal(w->server.first_read_result, 0);
}

static void fill_and_close(struct end *e)
{
    size_t size = e->span.size;

    while (e->span.size > 0) {
        ssize_t n = stream_send_span(e->stream, &e->span, false);

        if (n < 0)
            break;
        e->span.data += n;
        e->span.size -= (size_t)n;
    }
    assert_true(e->span.size > 0 && e->span.size < size);
    e->span.size = size - e->span.size; /* what was taken */
    assert_int_equal(stream_shutdown(e->stream), 0);
    close_stream(e);
}

/* What a write took arrives, also when much of it is still unsent at the close. */
static void test_taken_bytes_outlive_the_close(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    w->server.span = (struct span){.fd = -1, .data = map, .size = FILE_SIZE};
    w->server.opened = fill_and_close;
    w->client.readable = read_little;
    run(w);
    assert_int_equal(w->client.read_result, 0);
    assert_int_equal(w->client.received_size, w->server.span.size);
    assert_memory_equal(w->client.received, map, w->server.span.size);
    munmap(map, FILE_SIZE);
    close(fd);
}

static void fill_and_close_and_stop(struct end *e)
{
    fill_and_close(e);
    stop(e);
}

/* The loop ends while the closed stream still has records to send: nothing may leak. */
static void test_loop_ends_before_the_last_bytes(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    w->server.span = (struct span){.fd = -1, .data = map, .size = FILE_SIZE};
    w->server.opened = fill_and_close_and_stop;
    w->client.readable = stop;
    run(w);
    assert_null(w->server.stream);
    munmap(map, FILE_SIZE);
    close(fd);
}

/* --- the peer leaves while nobody reads
 * -------------------------------------------------------------------------- */

static void stop_reading(struct end *e)
{
    stream_want_read(e->stream, false);
}

static void say_bye_and_end_soon(struct end *e)
{
    say_bye_and_end(e);
    timer_start(e->world->loop, &e->world->alarm, 100);
}

/* Told once, and then quiet: 100 ms would be thousands of turns if the loop span. */
static void test_end_is_told_once_when_reading_is_not_wanted(void **state)
{
    struct world *w = *state;

    w->server.opened = stop_reading;
    w->client.opened = say_bye_and_end_soon;
    w->on_alarm = stop;
    run(w);
    assert_int_equal(w->server.readable_count, 1);
    assert_received(&w->server, "bye");
    assert_int_equal(w->server.read_result, 0);
    assert_int_equal(send_text(&w->server, "still there"), 11);
}

static void leave_unread(struct end *e)
{
    (void)e;
}

static void reset_client(struct end *e)
{
    struct world *w = e->world;

    assert_int_equal(w->server.readable_count, 1);
    stream_reset(w->client.stream);
    w->client.stream = NULL;
    w->on_alarm = stop;
    timer_start(w->loop, &w->alarm, 100);
}

static void read_second_time(struct end *e)
{
    if (e->readable_count == 2)
        read_all(e);
}

static void test_reset_is_told_after_the_end(void **state)
{
    struct world *w = *state;

    w->server.opened = stop_reading;
    w->server.readable = read_second_time;
    w->client.opened = say_bye_and_end_soon;
    w->on_alarm = reset_client;
    run(w);
    assert_int_equal(w->server.readable_count, 2);
    assert_int_equal(w->server.read_result, -ECONNRESET);
}

static void want_read_again(struct end *e)
{
    assert_int_equal(e->readable_count, 0);
    stream_want_read(e->stream, true);
}

static void say_bye_and_wait(struct end *e)
{
    assert_int_equal(send_text(e, "bye"), 3);
    timer_start(e->world->loop, &e->world->alarm, 50);
}

static void stop_when_read(struct end *e)
{
    read_all(e);
    stop(e);
}

static void test_input_waits_until_it_is_wanted(void **state)
{
    struct world *w = *state;

    w->server.opened = stop_reading;
    w->server.readable = stop_when_read;
    w->client.opened = say_bye_and_wait;
    w->on_alarm = want_read_again;
    run(w);
    assert_received(&w->server, "bye");
}

static void reset_soon(struct end *e)
{
    timer_start(e->world->loop, &e->world->alarm, 30);
}

static void write_until_broken(struct end *e)
{
    do
        e->write_result = stream_send_span(e->stream, &e->span, false);
    while (e->write_result > 0);
    if (e->write_result != -EAGAIN)
        stop(e);
}

static void reset_the_reader(struct end *e)
{
    stream_reset(e->world->client.stream);
    e->world->client.stream = NULL;
}

static void test_writer_hears_of_a_reset(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    w->server.span = (struct span){.fd = -1, .data = map, .size = FILE_SIZE};
    w->server.opened = w->server.writable = write_until_broken;
    w->server.readable = leave_unread;
    w->client.opened = reset_soon;
    w->client.readable = leave_unread;
    w->on_alarm = reset_the_reader;
    run(w);
    assert_true(w->server.write_result == -EPIPE || w->server.write_result == -ECONNRESET);
    assert_int_equal(send_text(&w->server, "x"), w->server.write_result);
    munmap(map, FILE_SIZE);
    close(fd);
}

/* --- closing inside callbacks
 * ------------------------------------------------------------------------------------ */

static void close_and_stop(struct end *e)
{
    close_stream(e);
    stop(e);
}

static void test_close_when_opened(void **state)
{
    struct world *w = *state;

    w->client.opened = close_and_stop;
    run(w);
    assert_int_equal(w->client.open_status, 0);
}

static void test_close_when_readable(void **state)
{
    struct world *w = *state;

    w->client.opened = send_in_parts;
    w->server.readable = close_and_stop;
    run(w);
    assert_int_equal(w->server.readable_count, 1);
}

static void test_close_when_writable(void **state)
{
    struct world *w = *state;
    char *map;
    int fd = make_file(&map);

    w->server.span = (struct span){.fd = -1, .data = map, .size = FILE_SIZE};
    w->server.opened = send_rest;
    w->server.writable = close_and_stop;
    run(w);
    assert_int_equal(w->server.writable_count, 1);
    munmap(map, FILE_SIZE);
    close(fd);
}

static void close_both(struct end *e)
{
    close_stream(&e->world->client);
    if (e->world->server.stream)
        close_stream(&e->world->server);
    stop(e);
}

static void test_close_both_in_one_callback(void **state)
{
    struct world *w = *state;

    w->server.readable = leave_unread;
    w->client.opened = close_both;
    run(w);
    assert_null(w->server.stream);
}

static void test_close_before_anything_happened(void **state)
{
    struct world *w = *state;

    connect_client(w);
    close_stream(&w->client);
    assert_int_equal(w->client.open_count, 0);
}

/* --- connecting and listening
 * ------------------------------------------------------------------------------------ */

static void test_connection_refused(void **state)
{
    struct world *w = *state;
    struct addr address;

    listener_address(w->listener, &address);
    listener_close(w->listener);
    w->listener = NULL;
    w->client.opened = stop;
    assert_int_equal(
        stream_connect(w->loop, &address, w->tls_client, "a.example", &events, &w->client, &w->client.stream),
        0);
    loop_run(w->loop);
    assert_int_equal(w->client.open_count, 1);
    assert_int_equal(w->client.open_status, -ECONNREFUSED);
}

static void test_pace_does_not_break_sending(void **state)
{
    struct world *w = *state;

    w->client.opened = send_in_parts;
    w->server.readable = echo;
    w->client.readable = stop_at_13;
    run(w);
    stream_set_pace(w->server.stream, 100000000);
    assert_int_equal(send_text(&w->server, "paced"), 5);
    stream_set_pace(w->server.stream, 0);
    assert_int_equal(send_text(&w->server, "not paced"), 9);
}

static void test_both_families_on_one_port(void **state)
{
    struct world *w = *state;
    struct listener *four, *six, *twin;
    struct addr address;

    assert_int_equal(addr_parse(slice_of("0.0.0.0:0"), &address), 0);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &four), 0);
    listener_address(four, &address);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &twin), 0);
    memset(address.ip, 0, sizeof(address.ip));
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &six), 0);
    listener_close(four);
    listener_close(six);
    listener_close(twin);
    listener_close(NULL);
    assert_int_equal(addr_parse(slice_of("203.0.113.1:1"), &address), 0);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &four), -EADDRNOTAVAIL);
}

static void test_probe_tells_who_listens_already(void **state)
{
    struct world *w = *state;
    struct listener *first;
    struct addr address;

    assert_int_equal(addr_parse(slice_of("127.0.0.1:0"), &address), 0);
    assert_int_equal(listener_probe(&address), 0);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &first), 0);
    listener_address(first, &address);
    assert_int_equal(listener_probe(&address), -EADDRINUSE);
    memset(&address.ip[12], 0, 4); /* what listens there would be part of 0.0.0.0 */
    assert_int_equal(listener_probe(&address), -EADDRINUSE);
    listener_close(first);
    assert_int_equal(listener_probe(&address), 0);
}

static struct rlimit descriptor_limit;

static void raise_limit(struct end *e)
{
    assert_null(e->stream);
    setrlimit(RLIMIT_NOFILE, &descriptor_limit);
}

static void test_no_descriptors_left(void **state)
{
    struct world *w = *state;
    struct rlimit none;
    int next_fd = dup(0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptor_limit), 0);
    close(next_fd);
    connect_client(w); /* takes next_fd */
    none = (struct rlimit){.rlim_cur = (rlim_t)next_fd + 1, .rlim_max = descriptor_limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    w->on_alarm = raise_limit;
    timer_start(w->loop, &w->alarm, 50);
    w->server.opened = stop;
    loop_run(w->loop);
    assert_int_equal(w->server.open_status, 0);
}

#define BOTH(test)                                           \
    {#test " (plain)", test, set_up_plain, tear_down, NULL}, \
    {                                                        \
#test " (TLS)", test, set_up_tls, tear_down, NULL    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_echo),
        BOTH(test_reader_is_told_again_of_what_it_left),
        BOTH(test_span_of_a_file),
        BOTH(test_span_of_memory),
        BOTH(test_span_of_a_mapped_file),
        BOTH(test_parts_of_any_size),
        BOTH(test_file_ends_before_the_span),
        BOTH(test_reset_is_seen_as_one),
        BOTH(test_close_is_seen_as_end),
        BOTH(test_shutdown_is_seen_as_end),
        BOTH(test_answer_after_the_peer_has_ended),
        BOTH(test_client_closes),
        BOTH(test_taken_bytes_outlive_the_close),
        BOTH(test_loop_ends_before_the_last_bytes),
        BOTH(test_end_is_told_once_when_reading_is_not_wanted),
        BOTH(test_reset_is_told_after_the_end),
        BOTH(test_input_waits_until_it_is_wanted),
        BOTH(test_writer_hears_of_a_reset),
        BOTH(test_close_when_opened),
        BOTH(test_close_when_readable),
        BOTH(test_close_when_writable),
        BOTH(test_close_both_in_one_callback),
        BOTH(test_close_before_anything_happened),
        BOTH(test_connection_refused),
        BOTH(test_pace_does_not_break_sending),
        {"test_both_families_on_one_port", test_both_families_on_one_port, set_up_plain, tear_down, NULL},
        {"test_probe_tells_who_listens_already", test_probe_tells_who_listens_already, set_up_plain,
         tear_down, NULL},
        {"test_no_descriptors_left", test_no_descriptors_left, set_up_plain, tear_down, NULL},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
