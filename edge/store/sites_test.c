/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to whom, when the configuration of the next start says the sites in another order, leaves some
 * out or brings some back. */
#include "store/sites.h"

#include "base/clock.h"
#include "store/store_fixture.h"
#include "store/store_private.h"
#include "store/store_room_fixture.h"

#define REGIONS ((uint64_t)24)
#define OURS    100u            /* objects of the site that has a guarantee */
#define OTHERS  1000u           /* numbers of the others' objects begin here */
#define SIZE    ((size_t)10000) /* of its objects */

struct test {
    struct fixture f;
    struct store_site sites[3];
    unsigned next; /* of the others' objects */
};

static const struct store_site a = {.name = "a", .guaranteed_bytes = REGIONS * FIXTURE_REGION_BYTES / 4};
static const struct store_site b = {.name = "b"}, c = {.name = "c"};

/* Opens the arena for these sites, NULL for none more; the store that is open is closed before. */
static void configure(struct test *t, const struct store_site *first, const struct store_site *second)
{
    if (t->f.store)
        store_close(t->f.store);
    t->f.store = NULL;
    t->sites[0] = *first;
    if (second)
        t->sites[1] = *second;
    t->f.options.sites = t->sites;
    t->f.options.site_count = second ? 2 : 1;
    assert_int_equal(fixture_open(&t->f), 0);
}

static int set_up(void **state)
{
    struct test *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    fixture_init(&t->f);
    t->f.disk.size_bytes = REGIONS * FIXTURE_REGION_BYTES;
    configure(t, &a, &b);
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

/* The low half of a seed is the site's id. */
static void put(struct test *t, unsigned number, unsigned id, size_t size)
{
    fixture_wait_for_room(&t->f);
    assert_int_equal(fixture_put(&t->f, number, number % 200 << 16 | id, size), 0);
}

static bool is_there(struct test *t, unsigned number, unsigned id)
{
    struct store_object o;
    if (!fixture_get(&t->f, number, &o))
        return false;
    assert_int_equal(o.meta.site_id, id);
    store_release(&o);
    return true;
}

/* Of site 1 and of site 2, mixed. */
static void put_both(struct test *t)
{
    for (unsigned i = 0; i < OURS; i++) {
        put(t, i, 1, SIZE);
        if (i % 4 == 0)
            put(t, OTHERS + t->next++, 2, 2 * SIZE);
    }
}

static void flood(struct test *t, unsigned id, uint64_t regions)
{
    uint64_t until = fixture_stats(&t->f).reclaimed_regions + regions;
    while (fixture_stats(&t->f).reclaimed_regions < until)
        put(t, OTHERS + t->next++ % 5000, id, 2 * SIZE);
    assert_int_equal(fixture_stats(&t->f).hurried_regions, 0);
}

/* They are counted bit by bit after an opening. */
static void await_bytes(struct test *t, unsigned id, uint64_t bytes)
{
    uint64_t since_ms = clock_monotonic_ms();
    while (store_site_bytes(t->f.store, id) != bytes) {
        assert_true(clock_monotonic_ms() - since_ms < FIXTURE_PATIENCE_MS);
        sched_yield();
    }
}

static void test_bytes_belong_to_the_name(void **state)
{
    struct test *t = *state;
    put_both(t);
    uint64_t ours = store_site_bytes(t->f.store, 1), others = store_site_bytes(t->f.store, 2);
    assert_true(ours > OURS * SIZE && others > 2 * SIZE * (OURS / 4) && others < ours);
    configure(t, &b, &a);
    await_bytes(t, 1, others);
    await_bytes(t, 2, ours);
    assert_true(is_there(t, 7, 2) && is_there(t, OTHERS, 1));
    configure(t, &b, NULL);
    await_bytes(t, 1, others);
    await_bytes(t, 0, ours); /* of no configured site */
    assert_true(is_there(t, 7, 0));
    configure(t, &c, &b);
    await_bytes(t, 2, others);
    assert_int_equal(store_site_bytes(t->f.store, 1), 0);
    await_bytes(t, 0, ours);
    configure(t, &a, &b); /* as if nothing had been */
    await_bytes(t, 1, ours);
    await_bytes(t, 2, others);
    assert_int_equal(store_site_bytes(t->f.store, 0), 0);
}

static void test_guarantees_belong_to_the_name(void **state)
{
    struct test *t = *state;
    put_both(t);
    configure(t, &b, &a);
    flood(t, 1, 3 * REGIONS);
    for (unsigned i = 0; i < OURS; i++)
        assert_true(is_there(t, i, 2));
}

static void test_what_is_of_no_site_goes(void **state)
{
    struct test *t = *state;
    static const struct store_site all = {.name = "b", .guaranteed_bytes = REGIONS * FIXTURE_REGION_BYTES};
    put_both(t);
    configure(t, &all, NULL); /* it would be kept if it were of this one */
    flood(t, 1, 2 * REGIONS);
    for (unsigned i = 0; i < OURS; i++)
        assert_false(is_there(t, i, 0));
    assert_int_equal(store_site_bytes(t->f.store, 0), 0);
}

/* Of a region that is full of it: before older ones. */
static void test_what_is_of_no_site_goes_first(void **state)
{
    struct test *t = *state;
    configure(t, &c, &b);
    for (unsigned i = 0; i < OURS; i++)
        put(t, OTHERS + t->next++, 2, 2 * SIZE);
    for (unsigned i = 0; i < OURS; i++)
        put(t, i, 1, 2 * SIZE);
    uint64_t of_c = store_site_bytes(t->f.store, 1), of_b = store_site_bytes(t->f.store, 2);
    configure(t, &b, NULL);
    await_bytes(t, 1, of_b); /* c's may never all be counted: a region of them may go before */
    flood(t, 1, 4);
    assert_true(store_site_bytes(t->f.store, 0) <= of_c - 3 * FIXTURE_REGION_BYTES);
    for (unsigned i = 0; i < OURS; i++)
        assert_true(is_there(t, OTHERS + i, 1));
}

/* The index is made again from the records. */
static void test_records_say_it_too(void **state)
{
    struct test *t = *state;
    char path[200];
    put_both(t);
    uint64_t ours = store_site_bytes(t->f.store, 1), others = store_site_bytes(t->f.store, 2);
    store_close(t->f.store);
    t->f.store = NULL;
    snprintf(path, sizeof(path), "%s/index", t->f.path);
    assert_int_equal(unlink(path), 0);
    configure(t, &b, &a);
    keeper_recover(t->f.store->disks[0]->keeper);
    assert_int_equal(store_site_bytes(t->f.store, 1), others);
    assert_int_equal(store_site_bytes(t->f.store, 2), ours);
}

static void test_a_refreshed_one_stays_its_sites(void **state)
{
    struct test *t = *state;
    struct store_object o;
    put(t, 7, 1, SIZE);
    uint64_t bytes = store_site_bytes(t->f.store, 1);
    configure(t, &b, &a);
    await_bytes(t, 2, bytes);
    assert_true(fixture_get(&t->f, 7, &o));
    struct store_meta meta = o.meta;
    meta.fresh_until_ms++;
    struct store_key key = fixture_key(&t->f, 7);
    assert_true(store_refresh(t->f.store, &key, &o, &meta));
    store_release(&o);
    assert_int_equal(store_site_bytes(t->f.store, 2), bytes);
    configure(t, &a, &b);
    await_bytes(t, 1, bytes);
}

/* ---- the table ---- */

static struct superblock *table(void **state)
{
    struct test *t = *state;
    return t->f.store->disks[0]->superblock;
}

static void test_numbers_are_unique_and_stay(void **state)
{
    static struct store_site many[SITES_MAX];
    static bool is_taken[SUPERBLOCK_SITES_MAX];
    struct sites *s, *again;
    fixture_name_sites(many, 1000);
    assert_int_equal(sites_open(table(state), many, 1000, &s), 0);
    assert_int_equal(sites_open(table(state), many + 500, 500, &again), 0);
    for (unsigned id = 1; id <= 1000; id++) {
        uint16_t number = sites_number(s, id);
        assert_true(number != 0 && !is_taken[number]);
        is_taken[number] = true;
        assert_int_equal(sites_id(s, number), id);
        assert_int_equal(sites_id(again, number), id > 500 ? id - 500 : 0);
    }
    assert_int_equal(sites_number(s, 0), 0);
    assert_int_equal(sites_number(s, 1001), 0);
    assert_int_equal(sites_id(s, 0), 0);
    sites_free(again);
    sites_free(s);
}

/* Then a new one takes the number of one that has left, and of none that is there. */
static void test_all_numbers_given_out(void **state)
{
    static struct store_site many[SITES_MAX];
    struct sites *full, *s;
    fixture_name_sites(many, SITES_MAX);
    assert_int_equal(sites_open(table(state), many, SITES_MAX, &full), 0);
    many[0].name = "a new one";
    assert_int_equal(sites_open(table(state), many, SITES_MAX, &s), 0);
    for (unsigned id = 2; id <= SITES_MAX; id++)
        assert_int_equal(sites_number(s, id), sites_number(full, id));
    assert_int_equal(sites_number(s, 1), sites_number(full, 1)); /* the only one that is left */
    sites_free(s);
    sites_free(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_belong_to_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guarantees_belong_to_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_of_no_site_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_of_no_site_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_records_say_it_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refreshed_one_stays_its_sites, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_are_unique_and_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_numbers_given_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
