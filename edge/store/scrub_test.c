/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/scrub.h: when it reads, and what it does about what it finds. */
#include "store/scrub.h"

#include <fcntl.h>

#include "base/log.h"
#include "store/store_fixture.h"
#include "store/store_private.h"

#define WEEK_MS ((uint64_t)7 * 24 * 3600 * 1000)
#define GIB     ((uint64_t)1 << 30)
#define OBJECTS 12u
#define SIZE    60000u

static void test_a_pass_is_spread_over_its_interval(void **state)
{
    (void)state;
    struct scrub_pass p = {.begin_ms = 1000, .interval_ms = WEEK_MS, .total_bytes = 1000 * GIB};
    assert_int_equal(scrub_due_ms(&p, GIB, 0), 1000 + (int64_t)WEEK_MS / 1000);
    p.done_bytes = 499 * GIB;
    assert_int_equal(scrub_due_ms(&p, GIB, 0), 1000 + (int64_t)WEEK_MS / 2);
    p.done_bytes = 2000 * GIB; /* it was more than was thought */
    assert_int_equal(scrub_due_ms(&p, GIB, 0), 1000 + (int64_t)WEEK_MS);
}

static void test_a_pass_that_is_behind_does_not_hurry(void **state)
{
    (void)state;
    struct scrub_pass p = {.begin_ms = 0, .interval_ms = 1000, .total_bytes = 1000 * GIB};
    assert_int_equal(scrub_due_ms(&p, SCRUB_BYTES_PER_S_MAX * 2, 50000), 52000);
}

static int set_up(void **state)
{
    struct fixture *f;
    fixture_set_up(state);
    f = *state;
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(fixture_put(f, i, i, SIZE), 0);
    assert_int_equal(fixture_put(f, 3, 13, SIZE), 0); /* the old one is passed over */
    return 0;
}

/* A pass over what is finished. */
static struct scrub_stats scrub_once(struct fixture *f)
{
    struct disk *d = f->store->disks[0];
    struct scrub_options options = {.arena = d->arena,
                                    .index = d->index,
                                    .superblock = d->superblock,
                                    .path = f->path,
                                    .interval_ms = WEEK_MS};
    struct scrub *s;
    struct scrub_stats stats;
    bool is_over = false;
    assert_int_equal(scrub_new(&options, &s), 0);
    while (!is_over)
        scrub_step(s, &is_over);
    scrub_stats(s, &stats);
    scrub_stop(s);
    return stats;
}

/* How many of the objects stand in regions that are finished, before which number. */
static unsigned count_finished(struct fixture *f)
{
    struct arena *arena = f->store->disks[0]->arena;
    unsigned count = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct store_object o;
        struct arena_place begin;
        assert_true(fixture_get(f, i, &o));
        struct arena_place place = arena_place_of(arena, o.region, 0);
        struct store_region *finished = arena_ref_finished(arena, place.slot, &begin);
        count += finished != NULL;
        if (finished)
            region_unref(finished);
        store_release(&o);
    }
    return count;
}

static void test_what_is_whole_stays(void **state)
{
    struct fixture *f = *state;
    struct scrub_stats stats = scrub_once(f);
    assert_int_equal(stats.passes, 1);
    assert_int_equal(stats.objects, count_finished(f));
    assert_true(stats.objects > 0 && stats.bytes >= stats.objects * SIZE);
    assert_int_equal(stats.damaged, 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        fixture_assert_found(f, i, i == 3 ? 13 : i, SIZE);
}

/* Changes a byte in the middle of the body. */
static void damage(struct fixture *f, unsigned number)
{
    struct store_object o;
    char path[64], byte;
    assert_true(fixture_get(f, number, &o));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", o.fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at = (off_t)(o.body_offset_bytes + SIZE / 2);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    store_release(&o);
}

static void test_what_is_damaged_goes(void **state)
{
    struct fixture *f = *state;
    damage(f, 0);
    log_set_level(LOG_ERROR + 1);
    struct scrub_stats stats = scrub_once(f);
    log_set_level(LOG_INFO);
    assert_int_equal(stats.damaged, 1);
    assert_int_equal(stats.io_errors, 0);
    fixture_assert_missed(f, 0);
    for (unsigned i = 1; i < OBJECTS; i++)
        fixture_assert_found(f, i, i == 3 ? 13 : i, SIZE);
    assert_int_equal(scrub_once(f).damaged, 0);
}

/* A bad sector costs the object that it is in. */
static void test_what_cannot_be_read_goes(void **state)
{
    struct fixture *f = *state;
    fault_arm("store.scrub_read", 1, false);
    log_set_level(LOG_ERROR + 1);
    struct scrub_stats stats = scrub_once(f);
    log_set_level(LOG_INFO);
    assert_int_equal(stats.damaged, 1);
    assert_int_equal(stats.io_errors, 1);
    assert_int_equal(fixture_stats(f).objects, OBJECTS - 1);
}

static void test_a_pass_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct disk *d = f->store->disks[0];
    struct scrub_options options = {
        .arena = d->arena, .index = d->index, .superblock = d->superblock, .path = f->path};
    struct scrub *s;
    bool is_over = false;
    assert_int_equal(scrub_new(&options, &s), 0);
    uint32_t begin = d->superblock->scrub_slot;
    while (d->superblock->scrub_slot == begin)
        scrub_step(s, &is_over);
    uint32_t reached = d->superblock->scrub_slot;
    scrub_stop(s);
    fixture_reopen(f);
    assert_int_equal(f->store->disks[0]->superblock->scrub_slot, reached);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pass_is_spread_over_its_interval),
        cmocka_unit_test(test_a_pass_that_is_behind_does_not_hurry),
        TEST(test_what_is_whole_stays),
        TEST(test_what_is_damaged_goes),
        TEST(test_what_cannot_be_read_goes),
        TEST(test_a_pass_goes_on_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
