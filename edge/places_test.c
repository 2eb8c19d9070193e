/* SPDX-License-Identifier: Apache-2.0 */
/* A database that is exchanged, for good and bad, alone and under lookups of several threads. */
#include "places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "route/geo_fixture.h"

#define WORKERS   4
#define EXCHANGES 200

struct fixture {
    char folder[64], german[96], french[96], used[96];
    struct config config;
    struct places *places;
    atomic_bool is_over;
};

static void copy(const char *from, const char *to)
{
    char data[65536], fresh[128];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(in, data, sizeof(data));
    snprintf(fresh, sizeof(fresh), "%s.new", to);
    int out = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(size > 0 && write(out, data, (size_t)size) == size);
    close(in);
    close(out);
    assert_int_equal(rename(fresh, to), 0);
}

static int setup(void **state)
{
    static struct fixture f;
    struct buf error;
    f = (struct fixture){.folder = "/tmp/places_test.XXXXXX"};
    assert_non_null(mkdtemp(f.folder));
    snprintf(f.german, sizeof(f.german), "%s/german", f.folder);
    snprintf(f.french, sizeof(f.french), "%s/french", f.folder);
    snprintf(f.used, sizeof(f.used), "%s/used", f.folder);
    write_database(f.german, "{\"192.0.2.0/24\": {\"country\": {\"iso_code\": \"DE\"}}}");
    write_database(f.french, "{\"192.0.2.0/24\": {\"country\": {\"iso_code\": \"FR\"}}}");
    copy(f.german, f.used);
    f.config.geoip = (struct config_geoip){
        .database = f.used, .country_field = "country.iso_code", .reload_interval_ms = 86400000};
    buf_init(&error, 1000);
    assert_int_equal(places_new(&f.config, WORKERS, &error, &f.places), 0);
    buf_fini(&error);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    places_free(f->places);
    unlink(f->german);
    unlink(f->french);
    unlink(f->used);
    return rmdir(f->folder);
}

static void look_up(struct places *p, unsigned worker, char ret_country[3])
{
    struct addr viewer;
    struct place place;
    assert_int_equal(addr_parse(slice_of("192.0.2.7"), &viewer), 0);
    assert_true(places_lookup(p, worker, &viewer, &place));
    memcpy(ret_country, place.country, sizeof(place.country));
}

static void assert_country(struct fixture *f, const char *country)
{
    char found[3];
    look_up(f->places, 0, found);
    assert_string_equal(found, country);
}

static void assert_counted(struct fixture *f, uint64_t reloads, uint64_t failures)
{
    struct places_stats stats;
    places_stats(f->places, &stats);
    assert_int_equal(stats.reloads, reloads);
    assert_int_equal(stats.reload_failures, failures);
    assert_true(stats.built_s > 0);
}

static void test_what_has_changed_is_read(void **state)
{
    struct fixture *f = *state;
    places_refresh(f->places, false);
    assert_counted(f, 0, 0);
    copy(f->french, f->used);
    assert_country(f, "DE"); /* not before somebody looks */
    places_refresh(f->places, false);
    assert_country(f, "FR");
    places_refresh(f->places, false);
    assert_counted(f, 1, 0);
    places_refresh(f->places, true); /* asked for: in any case */
    assert_counted(f, 2, 0);
    assert_country(f, "FR");
}

static void test_what_cannot_be_used_changes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(truncate(f->used, 100), 0);
    places_refresh(f->places, false);
    assert_counted(f, 0, 1);
    places_refresh(f->places, false); /* told once, not at each look */
    assert_counted(f, 0, 1);
    assert_int_equal(unlink(f->used), 0);
    places_refresh(f->places, false);
    places_refresh(f->places, false);
    assert_counted(f, 0, 2);
    assert_country(f, "DE");
    copy(f->french, f->used);
    places_refresh(f->places, false);
    assert_counted(f, 1, 2);
    assert_country(f, "FR");
}

struct reader {
    struct fixture *f;
    unsigned worker;
    bool was_wrong;
};

static void *read_on(void *user)
{
    struct reader *r = user;
    char found[3];
    while (!atomic_load(&r->f->is_over)) {
        look_up(r->f->places, r->worker, found);
        r->was_wrong |= strcmp(found, "DE") != 0 && strcmp(found, "FR") != 0;
    }
    return NULL;
}

static void test_exchanged_under_lookups(void **state)
{
    struct fixture *f = *state;
    struct reader readers[WORKERS];
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        readers[i] = (struct reader){f, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int i = 0; i < EXCHANGES; i++) {
        copy(i % 2 ? f->german : f->french, f->used);
        places_refresh(f->places, true);
    }
    atomic_store(&f->is_over, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(readers[i].was_wrong);
    }
    assert_counted(f, EXCHANGES, 0);
    assert_country(f, "DE");
}

static void test_by_a_thread_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct places_stats stats = {0};
    assert_int_equal(places_start(f->places), 0);
    copy(f->french, f->used);
    places_reload(f->places);
    while (stats.reloads == 0)
        places_stats(f->places, &stats);
    assert_country(f, "FR");
}

static void test_no_places(void **state)
{
    struct config config = {0};
    struct places *places = NULL;
    struct buf error;
    (void)state;
    buf_init(&error, 1000);
    assert_int_equal(places_new(&config, WORKERS, &error, &places), 0);
    assert_null(places);
    places_free(places);
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_has_changed_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_used_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exchanged_under_lookups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_a_thread_of_its_own, setup, teardown),
        cmocka_unit_test(test_no_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
