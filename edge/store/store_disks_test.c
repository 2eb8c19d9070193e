/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/store.h with several disks: which objects go where, and what follows when one fails. */
#include "store/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "store/store_private.h"

#define DISKS   3u
#define OBJECTS 60u

struct several {
    struct fixture f;
    char paths[DISKS][160];
    struct store_disk disks[DISKS];
};

static void open_several(struct several *s)
{
    assert_int_equal(fixture_open(&s->f), 0);
}

static int set_up(void **state)
{
    struct several *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    fixture_init(&s->f);
    for (unsigned i = 0; i < DISKS; i++) {
        snprintf(s->paths[i], sizeof(s->paths[i]), "%s/disk-%u", s->f.path, i);
        s->disks[i] = (struct store_disk){s->paths[i], (i + 1ull) * 16 * FIXTURE_REGION_BYTES};
    }
    s->f.options.disks = s->disks;
    s->f.options.disk_count = DISKS;
    open_several(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct several *s = *state;
    fault_disarm_all();
    fixture_fini(&s->f);
    free(s);
    return 0;
}

static size_t size_of(unsigned number)
{
    return 1000 + number * 37;
}

static void put_all(struct several *s, unsigned seed)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(fixture_put(&s->f, i, seed + i, size_of(i)), 0);
}

static bool is_on(struct several *s, unsigned disk, unsigned number)
{
    struct store_object o;
    struct store_key key = fixture_key(&s->f, number);
    struct store_key own = disk_key(s->f.store->disks[disk], &key);
    bool is_found = disk_lookup(s->f.store->disks[disk], &own, &o);
    if (is_found)
        store_release(&o);
    return is_found;
}

static unsigned count_on(struct several *s, unsigned disk)
{
    unsigned count = 0;
    for (unsigned i = 0; i < OBJECTS; i++)
        count += is_on(s, disk, i);
    return count;
}

static enum store_disk_state state_of(struct several *s, unsigned disk)
{
    struct store_disk_stats stats;
    assert_true(store_disk_stats(s->f.store, disk, &stats));
    return stats.state;
}

static void test_each_object_is_on_its_disk(void **state)
{
    struct several *s = *state;
    put_all(s, 0);
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct store_key key = fixture_key(&s->f, i);
        size_t owner = store_owner(s->f.store, key.hash);
        for (unsigned disk = 0; disk < DISKS; disk++)
            assert_int_equal(is_on(s, disk, i), disk == owner);
        fixture_assert_found(&s->f, i, i, size_of(i));
    }
    assert_true(count_on(s, 0) > 0);
    assert_true(count_on(s, 2) > count_on(s, 0)); /* three times as large */
    assert_int_equal(fixture_stats(&s->f).objects, OBJECTS);
    fixture_reopen(&s->f);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, i, size_of(i));
}

static void test_one_secret_for_all(void **state)
{
    struct several *s = *state;
    for (unsigned i = 0; i < DISKS; i++)
        assert_false(s->f.store->disks[i]->is_other_secret);
}

/* Two arenas that were made apart are used together as they are. */
static void test_arenas_of_other_secrets(void **state)
{
    struct several *s = *state;
    store_close(s->f.store);
    s->f.store = NULL;
    s->f.options.disk_count = 1;
    char command[600];
    snprintf(command, sizeof(command), "rm -rf '%s' '%s' '%s'", s->paths[0], s->paths[1], s->paths[2]);
    assert_int_equal(system(command), 0);
    for (unsigned i = 0; i < 2; i++) { /* each alone */
        s->f.options.disks = &s->disks[i];
        open_several(s);
        for (unsigned number = i; number < OBJECTS; number += 2)
            assert_int_equal(fixture_put(&s->f, number, number, size_of(number)), 0);
        store_close(s->f.store);
    }
    s->f.options.disks = s->disks;
    s->f.options.disk_count = 2;
    open_several(s);
    assert_true(s->f.store->disks[1]->is_other_secret);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, i, size_of(i));
    put_all(s, 100);
    for (unsigned i = 0; i < OBJECTS; i++) {
        fixture_assert_found(&s->f, i, 100 + i, size_of(i));
        assert_int_equal(is_on(s, 0, i) + is_on(s, 1, i), 1);
    }
    fixture_reopen(&s->f);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, 100 + i, size_of(i));
}

/* With one disk more, what is on the others is still found; stored anew, it is where it belongs alone. */
static void test_a_disk_that_is_added(void **state)
{
    struct several *s = *state;
    store_close(s->f.store);
    s->f.options.disk_count = 2;
    open_several(s);
    put_all(s, 0);
    store_close(s->f.store);
    s->f.options.disk_count = 3;
    open_several(s);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, i, size_of(i));
    assert_int_equal(count_on(s, 2), 0);
    put_all(s, 100);
    assert_true(count_on(s, 2) > 0);
    for (unsigned i = 0; i < OBJECTS; i++) {
        assert_int_equal(is_on(s, 0, i) + is_on(s, 1, i) + is_on(s, 2, i), 1);
        fixture_assert_found(&s->f, i, 100 + i, size_of(i));
    }
    struct store_object o;
    struct store_meta meta = fixture_meta(7);
    struct store_key key = fixture_key(&s->f, 5);
    assert_true(fixture_get(&s->f, 5, &o));
    assert_true(store_refresh(s->f.store, &key, &o, &meta));
    store_release(&o);
    assert_true(store_remove(s->f.store, &key));
    fixture_assert_missed(&s->f, 5);
}

/* ---- failing ---- */

static void fail_disk(struct several *s, unsigned disk)
{
    counter_add_shared(&s->f.store->disks[disk]->io_errors, HEALTH_ERRORS_MAX);
    log_set_level(LOG_ERROR + 1);
    store_look_after_disks(s->f.store, (int64_t)clock_monotonic_ms());
    log_set_level(LOG_INFO);
}

static void test_a_disk_that_fails_goes_alone(void **state)
{
    struct several *s = *state;
    bool was_on[OBJECTS];
    put_all(s, 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        was_on[i] = is_on(s, 1, i);
    fail_disk(s, 1);
    assert_int_equal(state_of(s, 0), STORE_DISK_USED);
    assert_int_equal(state_of(s, 1), STORE_DISK_ERRORS);
    assert_int_equal(fixture_stats(&s->f).disks_failed, 1);
    assert_false(store_sync(s->f.store));
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct store_key key = fixture_key(&s->f, i);
        assert_int_equal(store_is_disk_failed(s->f.store, key.hash), was_on[i]);
        if (was_on[i])
            fixture_assert_missed(&s->f, i);
        else
            fixture_assert_found(&s->f, i, i, size_of(i));
    }
    put_all(s, 100); /* on the others, what was on it too */
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, 100 + i, size_of(i));
}

/* What changed while it was away is found as it is, and what it alone has is to be validated first. */
static void test_a_disk_that_comes_back(void **state)
{
    struct several *s = *state;
    unsigned removed = 0, kept = 0;
    put_all(s, 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (is_on(s, 1, i))
            (kept ? removed = i : (kept = i));
    assert_true(kept != removed);
    fail_disk(s, 1);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i != kept && i != removed)
            assert_int_equal(fixture_put(&s->f, i, 100 + i, size_of(i)), 0);
    struct store_key key = fixture_key(&s->f, removed);
    store_remove(s->f.store, &key);
    log_set_level(LOG_ERROR + 1);
    fixture_reopen(&s->f);
    keeper_recover(s->f.store->disks[1]->keeper);
    log_set_level(LOG_INFO);
    assert_int_equal(state_of(s, 1), STORE_DISK_USED);
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct store_object o;
        assert_true(fixture_get(&s->f, i, &o));
        bool is_old = o.meta.stale_if_error_s == 0;
        assert_true(fixture_is(&o, is_old ? i : 100 + i, size_of(i)));
        if (is_old)
            assert_true(o.meta.fresh_until_ms <= o.meta.generated_at_ms);
        assert_true(is_old || (i != kept && i != removed));
        store_release(&o);
    }
}

static void test_with_none_left_all_is_transient(void **state)
{
    struct several *s = *state;
    put_all(s, 0);
    for (unsigned i = 0; i < DISKS; i++)
        fail_disk(s, i);
    fixture_assert_missed(&s->f, 1);
    assert_int_equal(fixture_put(&s->f, 1, 1, 100), 1); /* transient */
    assert_int_equal(fixture_stats(&s->f).disks_failed, DISKS);
    assert_int_equal(fixture_stats(&s->f).objects, 0);
}

/* Region files cut short under the running store: each is an error of the disk. */
static void test_a_disk_whose_files_go_bad(void **state)
{
    struct several *s = *state;
    char command[600];
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(fixture_put(&s->f, i, i, 60000), 0);
    assert_true(store_sync(s->f.store));
    snprintf(command, sizeof(command), "truncate -s 0 '%s'/region-*", s->paths[1]);
    assert_int_equal(system(command), 0);
    log_set_level(LOG_ERROR + 1);
    disk_sync(s->f.store->disks[1]); /* looks at the files */
    store_look_after_disks(s->f.store, (int64_t)clock_monotonic_ms());
    log_set_level(LOG_INFO);
    assert_int_equal(state_of(s, 1), STORE_DISK_ERRORS);
    assert_int_equal(state_of(s, 2), STORE_DISK_USED);
    for (unsigned i = 0; i < 300; i++) {
        struct store_object o;
        if (!fixture_get(&s->f, i, &o))
            continue;
        assert_true(fixture_is(&o, i, 60000));
        store_release(&o);
    }
}

static bool is_hanging(struct several *s, unsigned disk)
{
    int64_t later_ms = (int64_t)clock_monotonic_ms() + HEALTH_HANG_MS;
    return disk_waited_ms(s->f.store->disks[disk], later_ms) >= HEALTH_HANG_MS;
}

/* Longer than the others, whose threads may have something to do just now. */
static bool hangs_longest(struct several *s, unsigned disk)
{
    int64_t now_ms = (int64_t)clock_monotonic_ms();
    for (unsigned i = 0; i < DISKS; i++)
        if (i != disk &&
            disk_waited_ms(s->f.store->disks[i], now_ms) >= disk_waited_ms(s->f.store->disks[disk], now_ms))
            return false;
    return true;
}

static void *sync_one(void *argument)
{
    struct several *s = argument;
    return disk_sync(s->f.store->disks[1]) ? s : NULL;
}

/* All have their spares, and the next sync is far. */
static void settle(struct several *s)
{
    for (unsigned i = 0; i < DISKS; i++) {
        struct store_disk_stats stats;
        do {
            usleep(1000);
            store_disk_stats(s->f.store, i, &stats);
        } while (stats.stats.regions_spare < 2 || is_hanging(s, i));
    }
}

/* One disk does not answer: the others store and find, and its threads hold up nobody. */
static void test_a_disk_that_hangs(void **state)
{
    struct several *s = *state;
    pthread_t thread;
    void *is_synced;
    s->f.options.sync_interval_ms = 3600 * 1000;
    fixture_reopen(&s->f);
    put_all(s, 0);
    settle(s);
    fault_arm("store.fdatasync_hangs", 1, false);
    assert_int_equal(pthread_create(&thread, NULL, sync_one, s), 0);
    while (!hangs_longest(s, 1))
        usleep(1000);
    log_set_level(LOG_ERROR + 1);
    int64_t now_ms = (int64_t)clock_monotonic_ms();
    store_look_after_disks(s->f.store,
                           now_ms + HEALTH_HANG_MS - disk_waited_ms(s->f.store->disks[1], now_ms));
    log_set_level(LOG_INFO);
    assert_int_equal(pthread_join(thread, &is_synced), 0); /* who waits for it is let go */
    assert_null(is_synced);
    assert_int_equal(state_of(s, 0), STORE_DISK_USED);
    assert_int_equal(state_of(s, 1), STORE_DISK_HANGS);
    assert_int_equal(state_of(s, 2), STORE_DISK_USED);
    put_all(s, 100);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(&s->f, i, 100 + i, size_of(i));
    fault_disarm_all(); /* so that it can be closed */
}

static void test_a_disk_that_cannot_be_opened(void **state)
{
    struct several *s = *state;
    put_all(s, 0);
    store_close(s->f.store);
    log_set_level(LOG_ERROR + 1);
    fault_arm("store.open", 1, false); /* of the first */
    open_several(s);
    log_set_level(LOG_INFO);
    assert_int_equal(state_of(s, 0), STORE_DISK_NOT_OPENED);
    assert_int_equal(state_of(s, 1), STORE_DISK_USED);
    unsigned found = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct store_object o;
        if (!fixture_get(&s->f, i, &o))
            continue;
        assert_true(fixture_is(&o, i, size_of(i)));
        store_release(&o);
        found++;
    }
    assert_true(found > 0 && found < OBJECTS);
    store_close(s->f.store);
    s->f.store = NULL;
    fault_arm("store.open", 1, true); /* none can */
    log_set_level(LOG_ERROR + 1);
    assert_int_equal(fixture_open(&s->f), -EIO);
    log_set_level(LOG_INFO);
    assert_non_null(strstr(s->f.error.data, "cannot be opened"));
}

/* Of what the operator must change nothing is passed over. */
static void test_no_room_on_one_is_told(void **state)
{
    struct several *s = *state;
    store_close(s->f.store);
    s->f.store = NULL;
    s->disks[2].size_bytes = FIXTURE_REGION_BYTES * SUPERBLOCK_REGIONS_MAX;
    fault_arm("store.fallocate", 1, true);
    assert_true(fixture_open(&s->f) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_each_object_is_on_its_disk),
        TEST(test_one_secret_for_all),
        TEST(test_arenas_of_other_secrets),
        TEST(test_a_disk_that_is_added),
        TEST(test_a_disk_that_fails_goes_alone),
        TEST(test_a_disk_that_comes_back),
        TEST(test_with_none_left_all_is_transient),
        TEST(test_a_disk_whose_files_go_bad),
        TEST(test_a_disk_that_hangs),
        TEST(test_a_disk_that_cannot_be_opened),
        TEST(test_no_room_on_one_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
