/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of access_log.h: lines are whole and true, a file that hangs or fails costs lines and never a wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access_log.h"

#define SMALL_BUFFER_SIZE 65536

static char folder[] = "/tmp/access_log_test.XXXXXX";
static char path[64], moved_path[64];

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/access.log", folder);
    snprintf(moved_path, sizeof(moved_path), "%s/access.log.1", folder);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(path);
    unlink(moved_path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static struct access_log *open_log(enum config_viewer_address mode, size_t workers, size_t buffer_size)
{
    struct access_log_options options = {path, "paris", workers, buffer_size, mode};
    struct access_log *log = NULL;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(access_log_open(&options, &error, &log), 0);
    buf_fini(&error);
    return log;
}

static struct addr viewer(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_of(text), &a), 0);
    return a;
}

static struct access_record record(const struct addr *from)
{
    return (struct access_record){.wall_ms = 1767225599007,
                                  .site = SLICE_LITERAL("video"),
                                  .viewer = from,
                                  .country = "FR",
                                  .method = SLICE_LITERAL("GET"),
                                  .host = SLICE_LITERAL("video.example.com"),
                                  .target = SLICE_LITERAL("/a/1.ts?t=1"),
                                  .status = 206,
                                  .sent_bytes = 5000000000,
                                  .content_class = CLASS_SEGMENT,
                                  .cause = CAUSE_HIT,
                                  .first_byte_us = 120,
                                  .duration_us = 34000,
                                  .range = SLICE_LITERAL("bytes=0-9"),
                                  .user_agent = SLICE_LITERAL("player \"x\"/1"),
                                  .is_tls = true};
}

/* The lines of a file, each as an object; all must be whole. */
static json_t *read_lines(const char *file_path)
{
    FILE *file = fopen(file_path, "r");
    json_t *lines = json_array();
    char *line = NULL;
    size_t capacity = 0;

    assert_non_null(file);
    while (getline(&line, &capacity, file) > 0) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

        if (!object)
            fail_msg("not JSON: %s", line);
        json_array_append_new(lines, object);
    }
    free(line);
    fclose(file);
    return lines;
}

static void assert_text(const json_t *line, const char *name, const char *expected)
{
    assert_non_null(json_object_get(line, name));
    assert_string_equal(json_string_value(json_object_get(line, name)), expected);
}

static void assert_number(const json_t *line, const char *name, json_int_t expected)
{
    assert_non_null(json_object_get(line, name));
    assert_int_equal(json_integer_value(json_object_get(line, name)), expected);
}

static void test_fields(void **state)
{
    struct access_log *log = open_log(VIEWER_ADDRESS_TRUNCATED, 1, 0);
    struct addr from = viewer("192.0.2.77:4711");
    struct access_record r = record(&from);
    json_t *lines, *line;

    (void)state;
    access_log_write(log, 0, &r);
    r.cause = CAUSE_REFUSED;
    r.reason = refusal_name(REFUSAL_COUNTRY_DENIED);
    r.cache_status = "fwd=miss";
    r.country = NULL;
    r.range = r.user_agent = slice_make(NULL, 0);
    access_log_write(log, 0, &r);
    access_log_close(log);

    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), 2);
    line = json_array_get(lines, 0);
    assert_text(line, "time", "2025-12-31T23:59:59.007Z");
    assert_text(line, "edge", "paris");
    assert_text(line, "site", "video");
    assert_text(line, "viewer", "192.0.2.0");
    assert_text(line, "country", "FR");
    assert_true(json_is_true(json_object_get(line, "tls")));
    assert_text(line, "method", "GET");
    assert_text(line, "host", "video.example.com");
    assert_text(line, "target", "/a/1.ts?t=1");
    assert_text(line, "range", "bytes=0-9");
    assert_number(line, "status", 206);
    assert_number(line, "bytes_sent", 5000000000);
    assert_text(line, "class", "segment");
    assert_text(line, "cause", "hit");
    assert_number(line, "first_byte_us", 120);
    assert_number(line, "duration_us", 34000);
    assert_text(line, "user_agent", "player \"x\"/1");
    assert_null(json_object_get(line, "reason"));
    assert_null(json_object_get(line, "cache_status"));
    line = json_array_get(lines, 1);
    assert_text(line, "reason", "country_denied");
    assert_text(line, "cache_status", "fwd=miss");
    assert_null(json_object_get(line, "country"));
    assert_null(json_object_get(line, "range"));
    assert_null(json_object_get(line, "user_agent"));
    json_decref(lines);
}

static void assert_viewer(enum config_viewer_address mode, const char *address, const char *expected)
{
    struct access_log *log = open_log(mode, 1, 0);
    struct addr from = viewer(address);
    struct access_record r = record(&from);
    json_t *lines, *shown;

    access_log_write(log, 0, &r);
    access_log_close(log);
    lines = read_lines(path);
    shown = json_object_get(json_array_get(lines, 0), "viewer");
    if (expected)
        assert_string_equal(json_string_value(shown), expected);
    else
        assert_null(shown);
    json_decref(lines);
    unlink(path);
}

static void test_viewer_modes(void **state)
{
    (void)state;
    assert_viewer(VIEWER_ADDRESS_TRUNCATED, "2001:db8:1:2::3", "2001:db8:1::");
    assert_viewer(VIEWER_ADDRESS_FULL, "192.0.2.77:4711", "192.0.2.77");
    assert_viewer(VIEWER_ADDRESS_NONE, "192.0.2.77", NULL);
}

/* What a viewer sends is bounded, and the worst of it fits. */
static void test_long_and_ugly_values(void **state)
{
    static char ugly[10000];
    struct access_log *log = open_log(VIEWER_ADDRESS_FULL, 1, 0);
    struct addr from = viewer("192.0.2.77");
    struct access_record r = record(&from);
    struct access_log_stats stats;
    json_t *lines;

    (void)state;
    memset(ugly, 1, sizeof(ugly));
    r.host = r.target = r.range = r.user_agent = r.site = r.method = slice_make(ugly, sizeof(ugly));
    access_log_write(log, 0, &r);
    access_log_stats(log, &stats);
    assert_int_equal(stats.records, 1);
    assert_int_equal(stats.dropped, 0);
    access_log_close(log);
    lines = read_lines(path);
    assert_int_equal(json_string_length(json_object_get(json_array_get(lines, 0), "target")), 4096);
    assert_int_equal(json_string_length(json_object_get(json_array_get(lines, 0), "user_agent")), 256);
    json_decref(lines);
}

static void test_no_log(void **state)
{
    struct access_record r = record(NULL);

    (void)state;
    access_log_write(NULL, 3, &r);
    access_log_close(NULL);
}

struct producer {
    struct access_log *log;
    size_t worker;
    pthread_t thread;
};

#define LINES_PER_PRODUCER 20000

static void *produce(void *user)
{
    struct producer *p = user;
    struct access_record r = record(NULL);

    r.status = (unsigned)p->worker;
    for (unsigned i = 0; i < LINES_PER_PRODUCER; i++) {
        r.sent_bytes = i;
        access_log_write(p->log, p->worker, &r);
    }
    return NULL;
}

/* Through rings that wrap around many times: every line is whole, in its worker's order, written or counted.
 */
static void test_workers_beside_each_other(void **state)
{
    struct producer producers[3];
    struct access_log_stats stats;
    json_int_t next[3] = {0};
    json_t *lines, *line;
    size_t i;

    (void)state;
    producers[0].log = open_log(VIEWER_ADDRESS_NONE, 3, SMALL_BUFFER_SIZE);
    for (i = 0; i < 3; i++) {
        producers[i].log = producers[0].log;
        producers[i].worker = i;
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (i = 0; i < 3; i++)
        pthread_join(producers[i].thread, NULL);
    access_log_stats(producers[0].log, &stats);
    access_log_close(producers[0].log);

    assert_int_equal(stats.records + stats.dropped, 3 * LINES_PER_PRODUCER);
    assert_int_equal(stats.failed, 0);
    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), stats.records);
    json_array_foreach(lines, i, line)
    {
        size_t worker = (size_t)json_integer_value(json_object_get(line, "status"));
        json_int_t number = json_integer_value(json_object_get(line, "bytes_sent"));

        assert_true(worker < 3 && number >= next[worker]);
        next[worker] = number + 1;
    }
    json_decref(lines);
}

/* A FIFO that nobody reads: the thread hangs in its write, the worker goes on and drops. */
static void test_file_that_hangs(void **state)
{
    struct access_record r = record(NULL);
    struct access_log_stats stats;
    struct access_log *log;
    char bytes[4096];
    uint64_t lines = 0, failures;
    ssize_t got;
    int reader;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    log = open_log(VIEWER_ADDRESS_NONE, 1, SMALL_BUFFER_SIZE);
    do {
        access_log_write(log, 0, &r);
        access_log_stats(log, &stats);
    } while (stats.dropped < 1000); /* the pipe and the ring are full, and this thread still runs */
    failures = stats.failed;

    fcntl(reader, F_SETFL, 0);
    while (lines < stats.records) { /* what was taken comes out, nothing else */
        got = read(reader, bytes, sizeof(bytes));
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            lines += bytes[i] == '\n';
    }
    access_log_close(log);
    assert_int_equal(read(reader, bytes, sizeof(bytes)), 0);
    assert_int_equal(failures, 0);
    close(reader);
}

/* The disk is full in the middle of a line, then it is not: only that line is lost. */
static void test_file_that_fails(void **state)
{
    struct access_record r = record(NULL);
    struct access_log_stats stats = {0};
    struct access_log *log = open_log(VIEWER_ADDRESS_NONE, 1, 0);
    struct rlimit limit;
    rlim_t before;
    char text[4096] = "";
    FILE *file;

    (void)state;
    getrlimit(RLIMIT_FSIZE, &limit);
    before = limit.rlim_cur;
    limit.rlim_cur = 100;
    setrlimit(RLIMIT_FSIZE, &limit);
    access_log_write(log, 0, &r);
    while (stats.failed == 0) {
        sched_yield();
        access_log_stats(log, &stats);
    }
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    access_log_write(log, 0, &r);
    access_log_close(log);

    assert_int_equal(stats.failed, 1);
    file = fopen(path, "r");
    assert_int_equal(fread(text, 1, 101, file), 101);
    assert_int_equal(text[100], '\n'); /* what is torn is ended, so that the next line stands alone */
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_memory_equal(text, "{\"time\":", 8);
    assert_memory_equal(text + strlen(text) - 2, "}\n", 2);
}

static void test_reopen(void **state)
{
    struct access_record r = record(NULL);
    struct access_log *log = open_log(VIEWER_ADDRESS_NONE, 1, 0);
    struct stat status;
    json_t *lines;

    (void)state;
    access_log_write(log, 0, &r);
    while (stat(path, &status) < 0 || status.st_size == 0)
        sched_yield();
    assert_int_equal(rename(path, moved_path), 0);
    access_log_reopen(log);
    while (stat(path, &status) < 0)
        sched_yield();
    access_log_write(log, 0, &r);
    access_log_write(log, 0, &r);
    access_log_close(log);
    lines = read_lines(moved_path);
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
}

static void test_path_that_cannot_be_opened(void **state)
{
    struct access_log_options options = {"/nowhere/access.log", "paris", 1, 0, VIEWER_ADDRESS_NONE};
    struct access_log *log = NULL;
    struct buf error;

    (void)state;
    buf_init(&error, 1000);
    assert_int_equal(access_log_open(&options, &error, &log), -ENOENT);
    assert_null(log);
    buf_append_char(&error, '\0');
    assert_non_null(strstr(error.data, "/nowhere/access.log"));
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_fields, remove_files),
        cmocka_unit_test_teardown(test_viewer_modes, remove_files),
        cmocka_unit_test_teardown(test_long_and_ugly_values, remove_files),
        cmocka_unit_test_teardown(test_no_log, remove_files),
        cmocka_unit_test_teardown(test_workers_beside_each_other, remove_files),
        cmocka_unit_test_teardown(test_file_that_hangs, remove_files),
        cmocka_unit_test_teardown(test_file_that_fails, remove_files),
        cmocka_unit_test_teardown(test_reopen, remove_files),
        cmocka_unit_test_teardown(test_path_that_cannot_be_opened, remove_files),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
