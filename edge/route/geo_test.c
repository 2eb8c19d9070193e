/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of geo.c on databases that tests/harness/mmdb.py writes, whole and damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "route/geo_fixture.h"
#include "route/route.h"

#define DATABASE_SIZE_MAX 65536

static char folder[] = "/tmp/geo_test.XXXXXX";
static char city_path[64], flat_path[64], damaged_path[64];

static int write_databases(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(city_path, sizeof(city_path), "%s/city.mmdb", folder);
    snprintf(flat_path, sizeof(flat_path), "%s/flat.mmdb", folder);
    snprintf(damaged_path, sizeof(damaged_path), "%s/damaged.mmdb", folder);
    write_database(city_path,
                   "{\"192.0.2.0/24\": {\"country\": {\"iso_code\": \"DE\"},"
                   "                    \"location\": {\"latitude\": 52.5, \"longitude\": 13.4}},"
                   " \"198.51.100.0/24\": {\"country\": {\"iso_code\": \"FR\"}},"
                   " \"198.51.100.128/25\": {\"country\": {\"iso_code\": \"ZZ\"}},"
                   " \"203.0.113.0/24\": {\"location\": {\"latitude\": 91.0, \"longitude\": 13.4}},"
                   " \"2001:db8::/32\": {\"country\": {\"iso_code\": \"jp\"}},"
                   " \"2001:db9::/32\": {\"country\": {\"iso_code\": \"long\"}}}");
    write_database(flat_path, "{\"192.0.2.0/24\": {\"country_code\": \"DE\"}}");
    return 0;
}

static int remove_databases(void **state)
{
    (void)state;
    unlink(city_path);
    unlink(flat_path);
    unlink(damaged_path);
    return rmdir(folder);
}

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_of(text), &a), 0);
    return a;
}

static struct geo *open_geo(const char *path, const char *field, const struct geo_override *overrides,
                            size_t count)
{
    struct geo *geo = NULL;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(geo_open(path, field, overrides, count, &error, &geo), 0);
    assert_int_equal(error.size, 0);
    buf_fini(&error);
    return geo;
}

static void assert_country(const struct geo *geo, const char *ip, const char *country)
{
    struct addr a = address(ip);
    struct place place;

    assert_int_equal(geo_lookup(geo, &a, &place), country[0] != '\0');
    assert_string_equal(place.country, country);
}

static void test_country_and_point(void **state)
{
    struct geo *geo = open_geo(city_path, "country.iso_code", NULL, 0);
    struct addr berlin = address("192.0.2.7");
    struct place place;

    (void)state;
    assert_true(geo_lookup(geo, &berlin, &place));
    assert_string_equal(place.country, "DE");
    assert_true(place.has_coordinates);
    assert_true(fabs(place.latitude - 52.5) < 1e-9 && fabs(place.longitude - 13.4) < 1e-9);
    assert_country(geo, "198.51.100.1", "FR");
    assert_country(geo, "2001:db8::1", "JP");
    geo_close(geo);
}

static void test_unknown_places(void **state)
{
    struct geo *geo = open_geo(city_path, "country.iso_code", NULL, 0);

    (void)state;
    assert_country(geo, "10.0.0.1", "");       /* not in it */
    assert_country(geo, "fd00::1", "");        /* not in it */
    assert_country(geo, "198.51.100.200", ""); /* "ZZ": they say that they do not know */
    assert_country(geo, "203.0.113.1", "");    /* a latitude beyond the pole */
    assert_country(geo, "2001:db9::1", "");    /* no code of two letters */
    geo_close(geo);
}

static void test_field_of_flat_database(void **state)
{
    struct geo *geo = open_geo(flat_path, "country_code", NULL, 0);

    (void)state;
    assert_country(geo, "192.0.2.7", "DE");
    geo_close(geo);
}

static struct geo_override override(const char *prefix, const char *country)
{
    struct geo_override o = {.place = {.country = ""}};

    assert_int_equal(addr_prefix_parse(slice_of(prefix), &o.prefix), 0);
    snprintf(o.place.country, sizeof(o.place.country), "%s", country);
    return o;
}

static void test_overrides(void **state)
{
    struct geo_override overrides[] = {
        override("192.0.0.0/8", "AT"),
        override("192.0.2.128/25", "CH"),
        override("192.0.2.0/24", ""), /* "we do not know" overrides, too */
        override("fd00::/8", "IS"),
    };
    struct geo *geo = open_geo(city_path, "country.iso_code", overrides, 4);

    (void)state;
    assert_country(geo, "192.0.2.200", "CH"); /* the longest prefix, not the first */
    assert_country(geo, "192.0.2.7", "");
    assert_country(geo, "192.9.9.9", "AT");
    assert_country(geo, "fd00::1", "IS");
    assert_country(geo, "198.51.100.1", "FR"); /* not overridden */
    geo_close(geo);
}

static void test_overrides_alone(void **state)
{
    struct geo_override overrides[] = {override("127.0.0.2", "DE")};
    struct geo *geo = open_geo(NULL, NULL, overrides, 1);

    (void)state;
    overrides[0] = override("127.0.0.2", "XX"); /* they were copied */
    assert_country(geo, "127.0.0.2", "DE");
    assert_country(geo, "127.0.0.3", "");
    assert_country(geo, "127.0.0.2", "DE");
    geo_close(geo);
}

static void assert_refused(const char *path, const char *field, int result, const char *sentence)
{
    struct geo *geo = NULL;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(geo_open(path, field, NULL, 0, &error, &geo), result);
    assert_null(geo);
    buf_append_char(&error, '\0');
    if (!strstr(error.data, sentence) || !strstr(error.data, path))
        fail_msg("'%s' does not say '%s'", error.data, sentence);
    buf_fini(&error);
}

static void test_errors_say_what_is_wrong(void **state)
{
    (void)state;
    assert_refused("/nowhere/geo.mmdb", "country.iso_code", -ENOENT, "No such file");
    assert_refused("/dev/null", "country.iso_code", -ENODEV, "not a file");
    assert_refused(folder, "country.iso_code", -ENODEV, "not a file");
    assert_refused(flat_path, "country.iso_code", -EINVAL,
                   "no record has a country code in the field 'country.iso_code'");
    assert_refused(city_path, "country", -EINVAL, "no record has a country code in the field 'country'");
    assert_refused(city_path, "", -EINVAL, "no dotted path");
    assert_refused(city_path, "a..b", -EINVAL, "no dotted path");
    assert_refused(city_path, "a.b.c.d.e.f.g.h.i", -EINVAL, "no dotted path");
}

static size_t read_database(const char *path, uint8_t data[DATABASE_SIZE_MAX])
{
    FILE *file = fopen(path, "rb");
    size_t size;

    assert_non_null(file);
    size = fread(data, 1, DATABASE_SIZE_MAX, file);
    assert_true(size > 0 && size < DATABASE_SIZE_MAX);
    fclose(file);
    return size;
}

static void write_damaged(const uint8_t *data, size_t size)
{
    FILE *file = fopen(damaged_path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void test_truncated_and_garbage(void **state)
{
    static uint8_t data[DATABASE_SIZE_MAX];
    size_t size = read_database(city_path, data);

    (void)state;
    write_damaged(data, 0);
    assert_refused(damaged_path, "country.iso_code", -EINVAL, "attempt to read data");
    write_damaged(data, size / 2);
    assert_refused(damaged_path, "country.iso_code", -EINVAL, "metadata");
    write_damaged(data + size / 2, size - size / 2); /* metadata without the tree that it speaks of */
    assert_refused(damaged_path, "country.iso_code", -EINVAL, "metadata");
    memset(data, 'x', size);
    write_damaged(data, size);
    assert_refused(damaged_path, "country.iso_code", -EINVAL, "metadata");
}

/* Opens the damaged database and, when that works, looks up all kinds of addresses. */
static bool is_opened(void)
{
    static const char *const addresses[] = {"192.0.2.7", "198.51.100.200", "10.0.0.1", "2001:db8::1",
                                            "2001:db9::1"};
    struct geo *geo = NULL;
    struct buf error;
    int result;

    buf_init(&error, 1000);
    result = geo_open(damaged_path, "country.iso_code", NULL, 0, &error, &geo);
    assert_int_equal(result<0, error.size> 0);
    buf_fini(&error);
    for (size_t i = 0; result == 0 && i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct addr a = address(addresses[i]);
        struct place place;

        geo_lookup(geo, &a, &place);
        assert_true(strlen(place.country) == 0 || strlen(place.country) == 2);
    }
    geo_close(geo);
    return result == 0;
}

/* Whatever byte is damaged: it is refused with a sentence, or lookups answer something; nothing is read that
 * is not there. */
static void test_damage_anywhere(void **state)
{
    static uint8_t data[DATABASE_SIZE_MAX];
    size_t size = read_database(city_path, data), opened = 0;
    int fd;

    (void)state;
    write_damaged(data, size);
    fd = open(damaged_path, O_WRONLY);
    for (size_t i = 0; i < size; i++) {
        uint8_t damaged = data[i] ^ 0xff;

        assert_int_equal(pwrite(fd, &damaged, 1, (off_t)i), 1);
        opened += is_opened();
        assert_int_equal(pwrite(fd, &data[i], 1, (off_t)i), 1);
    }
    close(fd);
    assert_true(opened > 0 && opened < size);
}

/* An updater that writes over the file in place, even to nothing, changes nothing for who has it open. */
static void test_file_may_be_overwritten(void **state)
{
    static uint8_t data[DATABASE_SIZE_MAX];
    size_t size = read_database(city_path, data);
    struct geo *geo;

    (void)state;
    write_damaged(data, size);
    geo = open_geo(damaged_path, "country.iso_code", NULL, 0);
    assert_int_equal(truncate(damaged_path, 0), 0);
    assert_country(geo, "192.0.2.7", "DE");
    geo_close(geo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_country_and_point),       cmocka_unit_test(test_unknown_places),
        cmocka_unit_test(test_field_of_flat_database),  cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_overrides_alone),         cmocka_unit_test(test_errors_say_what_is_wrong),
        cmocka_unit_test(test_truncated_and_garbage),   cmocka_unit_test(test_damage_anywhere),
        cmocka_unit_test(test_file_may_be_overwritten),
    };

    return cmocka_run_group_tests(tests, write_databases, remove_databases);
}
