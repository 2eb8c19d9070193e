/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of stats.c, metrics.c and the listener: the numbers of a known ledger come out under their documented
 * names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/page.h"
#include "admin/snapshot.h"

#define WORKERS 2

struct known {
    struct ledger *ledgers[WORKERS];
    struct http_server_stats servers[WORKERS];
    struct fetch_stats fetches[WORKERS];
    const struct http_server_stats *server_pointers[WORKERS];
    const struct fetch_stats *fetch_pointers[WORKERS];
    const char *site_names[2];
    struct admin_source source;
};

static struct known known;

static void add_request(unsigned worker, unsigned site, enum content_class c, enum cause cause,
                        unsigned status, uint64_t sent_bytes, uint64_t received_bytes)
{
    struct ledger_request r = {.site_id = site,
                               .content_class = c,
                               .cause = cause,
                               .status = status,
                               .first_byte_us = 300,
                               .refusal = cause == CAUSE_REFUSED ? REFUSAL_UNKNOWN_HOST : REFUSAL_NONE};

    ledger_request(known.ledgers[worker], &r);
    ledger_sent(known.ledgers[worker], site, c, cause, sent_bytes);
    ledger_received(known.ledgers[worker], site, c, cause, received_bytes);
}

static int make_known(void **state)
{
    (void)state;
    memset(&known, 0, sizeof(known));
    for (int i = 0; i < WORKERS; i++) {
        known.ledgers[i] = ledger_new(2);
        known.server_pointers[i] = &known.servers[i];
        known.fetch_pointers[i] = &known.fetches[i];
        counter_add(&known.servers[i].connections_opened, 5);
        counter_add(&known.servers[i].connections_closed, 3);
        counter_add(&known.servers[i].requests, 7 + (uint64_t)i);
        counter_add(&known.servers[i].refusals[HTTP_REFUSAL_BAD_REQUEST], 1);
        counter_add(&known.fetches[i].started, 4);
        counter_add(&known.fetches[i].results[FETCH_CONNECT_REFUSED], 2);
    }
    known.site_names[0] = "video";
    known.site_names[1] = "quoted \"site\"\n\\";
    known.source = (struct admin_source){.edge = "paris",
                                         .version = "1.2.3",
                                         .started_wall_ms = 1767225590000,
                                         .site_names = known.site_names,
                                         .site_count = 2,
                                         .worker_count = WORKERS,
                                         .ledgers = known.ledgers,
                                         .servers = known.server_pointers,
                                         .fetches = known.fetch_pointers};
    add_request(0, 1, CLASS_SEGMENT, CAUSE_MISS, 200, 1000, 1000);
    add_request(0, 1, CLASS_SEGMENT, CAUSE_HIT, 206, 2000, 0);
    add_request(1, 1, CLASS_SEGMENT, CAUSE_HIT, 200, 1000, 0);
    add_request(1, 2, CLASS_PLAYLIST, CAUSE_REVALIDATED, 200, 50, 10);
    add_request(1, LEDGER_NO_SITE, CLASS_OTHER, CAUSE_REFUSED, 421, 70, 0);
    counter_add(&ledger_flights(known.ledgers[0])->started, 3);
    counter_add(&ledger_flights(known.ledgers[0])->ended, 1);
    counter_add(&ledger_flights(known.ledgers[1])->readers_joined, 7);
    counter_add(&ledger_flights(known.ledgers[1])->readers_left, 8); /* read at another moment */
    return 0;
}

static int free_known(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        ledger_free(known.ledgers[i]);
    return 0;
}

static void write_document(bool (*write)(const struct snapshot *s, struct buf *out), struct buf *out)
{
    struct snapshot snapshot;

    buf_init(out, 1 << 20);
    assert_true(snapshot_take(&known.source, 1767225600000, &snapshot));
    assert_true(write(&snapshot, out));
    snapshot_release(&snapshot);
}

static json_t *read_stats(void)
{
    struct buf out;
    json_t *document;

    write_document(stats_write, &out);
    document = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    buf_fini(&out);
    return document;
}

/* "sites.video.requests" of the document. */
static const json_t *at(const json_t *document, const char *path)
{
    struct slice rest = slice_of(path), name;

    while (slice_split(&rest, '.', &name)) {
        document = json_object_getn(document, name.data, name.size);
        if (!document)
            fail_msg("%s is not in the document", path);
    }
    return document;
}

static json_int_t number(const json_t *document, const char *path)
{
    assert_true(json_is_integer(at(document, path)));
    return json_integer_value(at(document, path));
}

static void test_totals(void **state)
{
    json_t *stats = read_stats();

    (void)state;
    assert_string_equal(json_string_value(at(stats, "edge")), "paris");
    assert_string_equal(json_string_value(at(stats, "version")), "1.2.3");
    assert_string_equal(json_string_value(at(stats, "time")), "2026-01-01T00:00:00Z");
    assert_int_equal(number(stats, "uptime_ms"), 10000);
    assert_int_equal(number(stats, "workers"), WORKERS);
    assert_int_equal(number(stats, "requests"), 5);
    assert_int_equal(number(stats, "requests_aborted"), 0);
    assert_int_equal(number(stats, "bytes_out"), 4120);
    assert_int_equal(number(stats, "bytes_origin"), 1010);
    assert_int_equal(number(stats, "by_class.segment.requests"), 3);
    assert_int_equal(number(stats, "by_class.segment.bytes_out"), 4000);
    assert_int_equal(number(stats, "by_class.init.requests"), 0);
    assert_int_equal(number(stats, "by_cause.hit.bytes_out"), 3000);
    assert_int_equal(number(stats, "by_cause.miss.bytes_origin"), 1000);
    assert_int_equal(number(stats, "statuses.200"), 3);
    assert_int_equal(number(stats, "statuses.206"), 1);
    assert_int_equal(number(stats, "statuses.421"), 1);
    assert_int_equal(number(stats, "checks_failed"), 0);
    json_decref(stats);
}

static void test_sites(void **state)
{
    json_t *stats = read_stats();
    const json_t *quoted = json_object_get(json_object_get(stats, "sites"), known.site_names[1]);

    (void)state;
    assert_int_equal(json_object_size(at(stats, "sites")), 2);
    assert_int_equal(number(stats, "sites.video.requests"), 3);
    assert_int_equal(number(stats, "sites.video.by_class_and_cause.segment.hit.bytes_out"), 3000);
    assert_int_equal(number(stats, "sites.video.statuses.200"), 2);
    assert_null(json_object_get(at(stats, "sites.video.by_class_and_cause.segment"), "stale")); /* zero */
    assert_int_equal(number(quoted, "by_class.playlist.bytes_origin"), 10);
    assert_int_equal(number(stats, "no_site.by_cause.refused.requests"), 1);
    json_decref(stats);
}

/* Of deliveries only: 4050 bytes of objects went out, 1010 came in; the refusal's 70 are no delivery. */
static void test_byte_hit_ratio(void **state)
{
    json_t *stats = read_stats();

    (void)state;
    assert_true(fabs(json_real_value(at(stats, "byte_hit_ratio")) - (1.0 - 1010.0 / 4050.0)) < 1e-9);
    assert_true(fabs(json_real_value(at(stats, "sites.video.byte_hit_ratio")) - 0.75) < 1e-9);
    assert_true(json_is_null(at(stats, "no_site.byte_hit_ratio"))); /* nothing was delivered */
    json_decref(stats);

    add_request(0, 1, CLASS_SEGMENT, CAUSE_ORPHAN, 0, 0, 8000);
    stats = read_stats();
    assert_true(fabs(json_real_value(at(stats, "sites.video.byte_hit_ratio")) - (1.0 - 9000.0 / 4000.0)) <
                1e-9);
    json_decref(stats);
}

static void test_the_rest(void **state)
{
    json_t *stats = read_stats();

    (void)state;
    assert_int_equal(number(stats, "flights.active"), 2);
    assert_int_equal(number(stats, "flights.readers"), 0); /* never below zero */
    assert_int_equal(number(stats, "flights.started"), 3);
    assert_int_equal(number(stats, "refusals.unknown_host"), 1);
    assert_int_equal(number(stats, "refusals.bad_request"), 2);
    assert_int_equal(number(stats, "refusals.country_denied"), 0);
    assert_int_equal(json_object_size(at(stats, "refusals")), REFUSAL_COUNT - 1 + HTTP_REFUSAL_COUNT);
    assert_int_equal(number(stats, "origin.requests"), 8);
    assert_int_equal(number(stats, "origin.results.origin_connect_refused"), 4);
    assert_int_equal(number(stats, "connections.active"), 4);
    assert_int_equal(number(stats, "connections.opened"), 10);
    assert_int_equal(number(stats, "connections.requests"), 15);
    assert_int_equal(json_integer_value(json_array_get(at(stats, "connections.requests_by_worker"), 1)), 8);
    assert_int_equal(number(stats, "arena.size_bytes"), 0);
    assert_int_equal(number(stats, "access_log.records"), 0);
    json_decref(stats);
}

static void test_latencies(void **state)
{
    json_t *stats = read_stats();
    const json_t *hit = at(stats, "first_byte.by_cause.hit");

    (void)state;
    assert_int_equal(json_array_size(at(stats, "first_byte.bounds_us")), LEDGER_LATENCY_BUCKETS - 1);
    assert_int_equal(json_array_size(at(hit, "buckets")), LEDGER_LATENCY_BUCKETS);
    assert_int_equal(json_integer_value(json_array_get(at(hit, "buckets"), 2)), 2); /* 250 < 300 <= 500 */
    assert_int_equal(number(hit, "count"), 2);
    assert_int_equal(number(hit, "sum_us"), 600);
    assert_int_equal(number(stats, "first_byte.by_cause.stale.count"), 0);
    json_decref(stats);
}

static char *read_documentation(void)
{
    static char text[65536];
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s", __FILE__);
    snprintf(strrchr(path, '/'), 32, "/../../docs/stats.md");
    file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void assert_names_are_in(const char *documentation, json_t *object)
{
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        if (!strstr(documentation, json_object_iter_key(i)))
            fail_msg("docs/stats.md does not know %s", json_object_iter_key(i));
}

/* Names are promises, so they stand in the documentation. */
static void test_names_are_documented(void **state)
{
    static const char *const parts[] = {"flights",    "arena",    "origin",   "connections",
                                        "access_log", "by_cause", "by_class", "purges"};
    const char *documentation = read_documentation();
    json_t *stats = read_stats();

    (void)state;
    assert_names_are_in(documentation, stats);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_names_are_in(documentation, json_object_get(stats, parts[i]));
    json_decref(stats);
}

static void assert_contains(const struct buf *text, const char *line)
{
    if (!memmem(text->data, text->size, line, strlen(line)))
        fail_msg("no line '%s' in:\n%.*s", line, SLICE_ARG(buf_slice(text)));
}

static void test_metrics(void **state)
{
    struct buf out;

    (void)state;
    write_document(metrics_write, &out);
    assert_contains(&out, "shorebreak_build_info{edge=\"paris\",version=\"1.2.3\"} 1\n");
    assert_contains(&out, "shorebreak_requests_total{site=\"video\",class=\"segment\",cause=\"hit\"} 2\n");
    assert_contains(&out,
                    "shorebreak_sent_bytes_total{site=\"video\",class=\"segment\",cause=\"hit\"} 3000\n");
    assert_contains(
        &out, "shorebreak_origin_received_bytes_total{site=\"quoted \\\"site\\\"\\n\\\\\",class=\"playlist\","
              "cause=\"revalidated\"} 10\n");
    assert_contains(&out, "shorebreak_responses_total{site=\"\",status=\"421\"} 1\n");
    assert_contains(&out, "shorebreak_refusals_total{reason=\"unknown_host\"} 1\n");
    assert_contains(&out, "shorebreak_refusals_total{reason=\"bad_request\"} 2\n");
    assert_contains(&out, "shorebreak_flights 2\n");
    assert_contains(&out, "shorebreak_origin_results_total{result=\"origin_connect_refused\"} 4\n");
    assert_contains(&out, "shorebreak_first_byte_seconds_bucket{cause=\"hit\",le=\"0.00025\"} 0\n");
    assert_contains(&out, "shorebreak_first_byte_seconds_bucket{cause=\"hit\",le=\"0.0005\"} 2\n");
    assert_contains(&out, "shorebreak_first_byte_seconds_bucket{cause=\"hit\",le=\"+Inf\"} 2\n");
    assert_contains(&out, "shorebreak_first_byte_seconds_sum{cause=\"hit\"} 0.000600\n");
    assert_contains(&out, "shorebreak_first_byte_seconds_count{cause=\"hit\"} 2\n");
    buf_fini(&out);
}

/* What Prometheus itself says of it, where it is installed. */
static void test_promtool_has_no_complaint(void **state)
{
    struct buf out;
    FILE *promtool;

    (void)state;
    if (system("command -v promtool >/dev/null") != 0)
        skip();
    write_document(metrics_write, &out);
    promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    assert_int_equal(fwrite(out.data, 1, out.size, promtool), out.size);
    assert_int_equal(pclose(promtool), 0);
    buf_fini(&out);
}

/* --- the listener --- */

struct served {
    struct loop *loop;
    struct admin *admin;
    struct addr address;
    pthread_t thread;
};

static void *serve(void *user)
{
    struct served *s = user;

    loop_run(s->loop);
    admin_close(s->admin);
    loop_free(s->loop);
    return NULL;
}

static void serve_start(struct served *s)
{
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(addr_parse(SLICE_LITERAL("127.0.0.1:0"), &s->address), 0);
    assert_int_equal(loop_new(&s->loop), 0);
    assert_int_equal(admin_open(s->loop, &s->address, &known.source, &error, &s->admin), 0);
    admin_address(s->admin, &s->address);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    buf_fini(&error);
}

static void serve_stop(struct served *s)
{
    loop_stop(s->loop);
    pthread_join(s->thread, NULL);
}

/* One request on a connection of its own; the whole response. */
static struct buf ask(const struct served *s, const char *method, const char *target)
{
    struct sockaddr_storage sa;
    socklen_t size = addr_to_sockaddr(&s->address, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct buf response;
    char bytes[4096];
    ssize_t got;

    buf_init(&response, 1 << 20);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, size), 0);
    assert_true(dprintf(fd, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, target) > 0);
    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        buf_append(&response, bytes, (size_t)got);
    assert_int_equal(got, 0);
    close(fd);
    return response;
}

static struct slice body_of(const struct buf *response)
{
    const char *end = memmem(response->data, response->size, "\r\n\r\n", 4);

    assert_non_null(end);
    return slice_skip(buf_slice(response), (size_t)(end - response->data) + 4);
}

static void assert_response(const struct served *s, const char *method, const char *target, const char *start,
                            const char *field, const char *body)
{
    struct buf response = ask(s, method, target);

    assert_true(slice_starts_with(buf_slice(&response), slice_of(start)));
    assert_contains(&response, "Cache-Control: no-store\r\n");
    assert_contains(&response, field);
    if (body)
        assert_true(slice_equal(body_of(&response), slice_of(body)));
    buf_fini(&response);
}

static void test_resources(void **state)
{
    struct served s;
    struct buf response;
    json_t *stats;

    (void)state;
    serve_start(&s);
    assert_response(&s, "GET", "/healthz", "HTTP/1.1 200 ", "text/plain", "ok\n");
    assert_response(&s, "HEAD", "/healthz", "HTTP/1.1 200 ", "text/plain", "");
    assert_response(&s, "GET", "/metrics", "HTTP/1.1 200 ", "version=0.0.4", NULL);
    assert_response(&s, "HEAD", "/stats", "HTTP/1.1 200 ", "application/json", "");
    assert_response(&s, "GET", "/nothing", "HTTP/1.1 404 ", "text/plain", "not_found\n");
    assert_response(&s, "DELETE", "/stats", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n", "method_not_allowed\n");

    response = ask(&s, "GET", "/stats?x=1");
    stats = json_loadb(body_of(&response).data, body_of(&response).size, 0, NULL);
    assert_int_equal(number(stats, "requests"), 5);
    json_decref(stats);
    buf_fini(&response);

    response = ask(&s, "GET", "/");
    assert_contains(&response, "Content-Security-Policy: default-src 'none'");
    assert_true(slice_equal(body_of(&response), page_html()));
    assert_true(slice_starts_with(page_html(), SLICE_LITERAL("<!doctype html>")));
    assert_true(slice_ends_with(page_html(), SLICE_LITERAL("</html>\n")));
    buf_fini(&response);
    serve_stop(&s);
}

static void test_address_in_use(void **state)
{
    struct served s;
    struct admin *second = NULL;
    struct buf error;
    struct sockaddr_storage sa;
    socklen_t size;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    buf_init(&error, 1000);
    assert_int_equal(addr_parse(SLICE_LITERAL("127.0.0.1:0"), &s.address), 0);
    size = addr_to_sockaddr(&s.address, &sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    addr_from_sockaddr((struct sockaddr *)&sa, &s.address);
    assert_int_equal(loop_new(&s.loop), 0);
    assert_int_equal(admin_open(s.loop, &s.address, &known.source, &error, &second), -EADDRINUSE);
    assert_null(second);
    assert_contains(&error, "cannot listen at 127.0.0.1:");
    loop_free(s.loop);
    buf_fini(&error);
    close(fd);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_known, free_known)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_totals),         TEST(test_sites),
        TEST(test_byte_hit_ratio), TEST(test_the_rest),
        TEST(test_latencies),      TEST(test_names_are_documented),
        TEST(test_metrics),        TEST(test_promtool_has_no_complaint),
        TEST(test_resources),      TEST(test_address_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
