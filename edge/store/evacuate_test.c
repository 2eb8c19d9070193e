/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of what is written again before its region goes, by what sites are guaranteed, and of bytes by site.
 */
#include "store/store_room_fixture.h"

#include <sched.h>

#include "store/store_private.h"

#define REGIONS ((uint64_t)32)
#define SIZE    ((size_t)10000)
#define OURS    100u     /* objects of the site that is guaranteed room for them */
#define OTHERS  1000000u /* where the numbers of the other site's objects begin */
#define SITES   2u
#define HELD    5u

struct test {
    struct fixture f;
    struct store_site sites[SITES];
    unsigned next;
};

static unsigned seed_of(unsigned number)
{
    return number % 200 << 16 | (number < OTHERS ? 1 : 2); /* the low half is the site */
}

static int set_up(void **state)
{
    struct test *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    fixture_init(&t->f);
    t->f.disk.size_bytes = REGIONS * FIXTURE_REGION_BYTES;
    fixture_name_sites(t->sites, SITES);
    t->sites[0].guaranteed_bytes = t->f.disk.size_bytes / 4;
    t->f.options.sites = t->sites;
    t->f.options.site_count = SITES;
    assert_int_equal(fixture_open(&t->f), 0);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct test *t = *state;
    fixture_fini(&t->f);
    free(t);
    return 0;
}

static void put(struct test *t, unsigned number, size_t size)
{
    assert_int_equal(fixture_put(&t->f, number, seed_of(number), size), 0);
}

static bool is_there(struct test *t, unsigned number, size_t size)
{
    struct store_object o;
    if (!fixture_get(&t->f, number, &o))
        return false;
    assert_true(fixture_is(&o, seed_of(number), size));
    store_release(&o);
    return true;
}

static void flood(struct test *t, uint64_t regions)
{
    uint64_t until = fixture_stats(&t->f).reclaimed_regions + regions;
    while (fixture_stats(&t->f).reclaimed_regions < until) {
        fixture_wait_for_room(&t->f);
        put(t, OTHERS + t->next++ % 5000, 20000);
    }
    assert_int_equal(fixture_stats(&t->f).hurried_regions, 0);
}

/* Among others, so that no region is full of them. */
static void put_ours(struct test *t)
{
    for (unsigned i = 0; i < OURS; i++) {
        put(t, i, SIZE);
        put(t, OTHERS + t->next++ % 5000, 20000);
    }
}

static void test_guaranteed_objects_outlive_a_flood(void **state)
{
    struct test *t = *state;
    put_ours(t);
    flood(t, 4 * REGIONS);
    for (unsigned i = 0; i < OURS; i++)
        assert_true(is_there(t, i, SIZE));
    struct store_stats stats = fixture_stats(&t->f);
    assert_true(stats.kept_bytes >= OURS * SIZE);
    assert_true(stats.dropped_bytes > 0);
    assert_int_equal(stats.io_errors, 0);
    assert_int_equal(stats.damaged_objects, 0);
}

static void test_without_a_guarantee_they_go(void **state)
{
    struct test *t = *state;
    store_close(t->f.store);
    t->sites[0].guaranteed_bytes = 0;
    assert_int_equal(fixture_open(&t->f), 0);
    put_ours(t);
    flood(t, 2 * REGIONS);
    for (unsigned i = 0; i < OURS; i++)
        assert_false(is_there(t, i, SIZE));
    assert_int_equal(fixture_stats(&t->f).kept_bytes, 0);
}

/* Regions full of what is guaranteed are put off: to copy them would make no room. */
static void test_whole_regions_of_guaranteed_objects_stay(void **state)
{
    struct test *t = *state;
    store_close(t->f.store);
    t->sites[0].guaranteed_bytes = t->f.disk.size_bytes * 6 / 10;
    assert_int_equal(fixture_open(&t->f), 0);
    unsigned count = (unsigned)(t->f.disk.size_bytes / 2 / 11000);
    for (unsigned i = 0; i < count; i++)
        put(t, i, SIZE);
    flood(t, 4 * REGIONS);
    for (unsigned i = 0; i < count; i++)
        assert_true(is_there(t, i, SIZE));
}

static void test_what_was_learned_of_an_object_goes_with_it(void **state)
{
    struct test *t = *state;
    struct store_object before, after;
    put_ours(t);
    assert_true(fixture_get(&t->f, 7, &before));
    struct store_key key = fixture_key(&t->f, 7);
    struct store_meta meta = before.meta;
    meta.fresh_until_ms += 1000;
    assert_true(store_refresh(t->f.store, &key, &before, &meta));
    flood(t, 2 * REGIONS);
    assert_true(fixture_get(&t->f, 7, &after));
    assert_true(after.region != before.region);
    assert_int_equal(after.meta.fresh_until_ms, meta.fresh_until_ms);
    assert_true(fixture_is(&before, seed_of(7), SIZE)); /* who had it has it still */

    /* What comes back from the origin for the old copy is true of the new one. */
    meta.fresh_until_ms += 1000;
    key = fixture_key(&t->f, 7);
    assert_true(store_refresh(t->f.store, &key, &before, &meta));
    store_release(&after);
    assert_true(fixture_get(&t->f, 7, &after));
    assert_int_equal(after.meta.fresh_until_ms, meta.fresh_until_ms);
    store_release(&after);
    assert_true(store_drop(t->f.store, &key, &before));
    assert_false(is_there(t, 7, SIZE));
    store_release(&before);
}

static void test_removed_and_replaced_objects_do_not_come_back(void **state)
{
    struct test *t = *state;
    put_ours(t);
    struct store_key key = fixture_key(&t->f, 3);
    assert_true(store_remove(t->f.store, &key));
    assert_int_equal(fixture_put(&t->f, 4, seed_of(5), SIZE), 0);
    flood(t, 3 * REGIONS);
    assert_false(is_there(t, 3, SIZE));
    fixture_reopen(&t->f);
    assert_false(is_there(t, 3, SIZE));
    struct store_object o;
    assert_true(fixture_get(&t->f, 4, &o));
    assert_true(fixture_is(&o, seed_of(5), SIZE));
    store_release(&o);
}

static void test_damaged_objects_become_misses(void **state)
{
    struct test *t = *state;
    struct store_object o;
    put_ours(t);
    assert_true(fixture_get(&t->f, 50, &o));
    assert_int_equal(pwrite(o.fd, "?", 1, (off_t)o.body_offset_bytes + 5000), 1);
    store_release(&o);
    flood(t, 2 * REGIONS);
    assert_false(is_there(t, 50, SIZE));
    assert_true(is_there(t, 49, SIZE) && is_there(t, 51, SIZE));
    assert_int_equal(fixture_stats(&t->f).damaged_objects, 1);
}

/* After the loss of the index it is told by its order which of two records is the newer one, not by its
 * place: here an old copy stands in a region made later than the newer record's. */
static void test_copies_are_no_newer_than_originals(void **state)
{
    struct test *t = *state;
    put_ours(t);
    flood(t, 2 * REGIONS);
    for (unsigned i = 0; i < OURS; i += 2) {
        fixture_wait_for_room(&t->f);
        assert_int_equal(fixture_put(&t->f, i, seed_of(i + 1), SIZE), 0);
    }
    store_close(t->f.store);
    char path[200];
    snprintf(path, sizeof(path), "%s/index", t->f.path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_open(&t->f), 0);
    keeper_recover(t->f.store->disks[0]->keeper);
    for (unsigned i = 0; i < OURS; i++) {
        struct store_object o;
        assert_true(fixture_get(&t->f, i, &o));
        bool is_newest = fixture_is(&o, seed_of(i % 2 ? i : i + 1), SIZE);
        store_release(&o);
        assert_true(is_newest);
    }
}

static uint64_t bytes_found(struct test *t, unsigned first, unsigned count, size_t size)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += is_there(t, first + i, size) ? size : 0;
    return bytes;
}

/* Headers, keys and boundaries come on top of the bodies: less than a tenth here. */
static void assert_about(uint64_t counted, uint64_t bodies)
{
    assert_true(counted >= bodies && counted <= bodies + bodies / 10 + 1000);
}

static void assert_counted(struct test *t)
{
    assert_about(store_site_bytes(t->f.store, 1), bytes_found(t, 0, OURS, SIZE));
    assert_about(store_site_bytes(t->f.store, 2), bytes_found(t, OTHERS, 5000, 20000));
}

static void test_bytes_are_counted_by_site(void **state)
{
    struct test *t = *state;
    put_ours(t);
    assert_counted(t);
    for (unsigned i = 0; i < OURS; i += 3)
        put(t, i, SIZE);
    for (unsigned i = 1; i < OURS; i += 5) {
        struct store_key key = fixture_key(&t->f, i);
        store_remove(t->f.store, &key);
    }
    assert_counted(t);
    flood(t, 2 * REGIONS);
    assert_counted(t);
    uint64_t ours = store_site_bytes(t->f.store, 1), others = store_site_bytes(t->f.store, 2);
    fixture_reopen(&t->f); /* they are counted again, bit by bit */
    uint64_t since_ms = clock_monotonic_ms();
    while (store_site_bytes(t->f.store, 1) != ours || store_site_bytes(t->f.store, 2) != others) {
        assert_true(clock_monotonic_ms() - since_ms < FIXTURE_PATIENCE_MS);
        sched_yield();
    }
}

static bool admits(struct test *t, unsigned number, uint16_t site)
{
    struct store_key key = fixture_key(&t->f, number);
    struct store_hint hint = {.title = 0};
    return store_admits(t->f.store, &(struct store_asked){&key, 20000, &hint}, site);
}

static void test_a_bound_holds(void **state)
{
    struct test *t = *state;
    store_close(t->f.store);
    t->sites[1].max_bytes = t->f.disk.size_bytes / 4;
    assert_int_equal(fixture_open(&t->f), 0);
    assert_true(admits(t, OTHERS, 2)); /* nothing had to go yet */
    flood(t, REGIONS);
    assert_false(admits(t, OTHERS, 2));
    assert_true(admits(t, 1, 1));
    assert_true(fixture_stats(&t->f).refused_bytes > 0);
    for (unsigned i = 0; i < 30000 && !admits(t, OTHERS, 2); i++) { /* its objects go, others come */
        fixture_wait_for_room(&t->f);
        put(t, i % 400, SIZE);
    }
    assert_true(store_site_bytes(t->f.store, 2) <= t->f.disk.size_bytes / 4 + 20000);
}

static void test_a_reader_keeps_the_old_copy(void **state)
{
    struct test *t = *state;
    struct store_object held[HELD], now;
    put_ours(t);
    for (unsigned i = 0; i < HELD; i++)
        assert_true(fixture_get(&t->f, 10 * i, &held[i]));
    flood(t, 2 * REGIONS);
    for (unsigned i = 0; i < HELD; i++) {
        bool is_same = fixture_is(&held[i], seed_of(10 * i), SIZE);
        bool has_moved = fixture_get(&t->f, 10 * i, &now) && now.region != held[i].region;
        store_release(&now);
        store_release(&held[i]);
        assert_true(is_same && has_moved);
        assert_true(is_there(t, 10 * i, SIZE));
    }
}

/* An arena that has become smaller is full at its opening, and one region short of what is wanted ahead. */
static void test_what_goes_at_the_opening_is_looked_at(void **state)
{
    struct test *t = *state;
    put_ours(t);
    flood(t, 2); /* the oldest regions have some of ours */
    store_close(t->f.store);
    t->f.disk.size_bytes -= 2 * FIXTURE_REGION_BYTES;
    assert_int_equal(fixture_open(&t->f), 0);
    fixture_wait_for_room(&t->f);
    assert_true(fixture_stats(&t->f).kept_bytes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guaranteed_objects_outlive_a_flood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_guarantee_they_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whole_regions_of_guaranteed_objects_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_learned_of_an_object_goes_with_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removed_and_replaced_objects_do_not_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_objects_become_misses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies_are_no_newer_than_originals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_are_counted_by_site, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_bound_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reader_keeps_the_old_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_goes_at_the_opening_is_looked_at, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
