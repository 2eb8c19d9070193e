/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/store.h: one object's life, and what openings find. */
#include "store/store_room_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/guard.h"
#include "base/log.h"
#include "store/store_private.h"

static struct store_writer *reserve(struct fixture *f, uint64_t body_size)
{
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = body_size};
    struct store_writer *w = NULL;
    assert_int_equal(store_reserve(f->store, &want, &w), 0);
    return w;
}

static int seal(struct fixture *f, struct store_writer *w, unsigned number, unsigned seed)
{
    char text[32];
    struct store_key key = fixture_key(f, number);
    struct store_meta meta = fixture_meta(seed);
    return store_seal(w, &key, fixture_head(seed, text), &meta);
}

static void test_stored_is_found(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 63, 64, 200, 1400, 65535, 65536, 100000, 126000};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fixture_assert_missed(f, i);
        assert_int_equal(fixture_put(f, i, i + 100, sizes[i]), 0);
        fixture_assert_found(f, i, i + 100, sizes[i]);
    }
    assert_int_equal(fixture_stats(f).objects, 10);
    assert_true(fixture_stats(f).regions >= 2);
}

static void test_large_bodies_begin_on_pages(void **state)
{
    struct fixture *f = *state;
    struct store_object o;
    assert_int_equal(fixture_put(f, 1, 1, 100), 0);
    assert_int_equal(fixture_put(f, 2, 2, 65536), 0);
    assert_true(fixture_get(f, 2, &o));
    assert_int_equal(o.body_offset_bytes % 4096, 0);
    store_release(&o);
}

static void test_release_is_idempotent(void **state)
{
    struct fixture *f = *state;
    struct store_object o, copy;
    assert_int_equal(fixture_put(f, 1, 1, 100), 0);
    assert_true(fixture_get(f, 1, &o));
    store_object_copy(&o, &copy);
    store_release(&o);
    store_release(&o);
    assert_true(fixture_is(&copy, 1, 100));
    store_release(&copy);
}

static void test_unsealed_is_not_found_but_viewed(void **state)
{
    struct fixture *f = *state;
    struct store_writer *w = reserve(f, 1000);
    struct store_object view;
    assert_true(store_writer_is_kept(w));
    assert_int_equal(store_write(w, "abcdef", 6), 0);
    store_writer_view(w, &view);
    assert_int_equal(view.body_size_bytes, 1000);
    assert_memory_equal(view.body, "abcdef", 6);
    fixture_assert_missed(f, 1);
    assert_int_equal(store_write(w, "ghi", 3), 0);
    assert_memory_equal(view.body, "abcdefghi", 9);
    assert_int_equal(seal(f, w, 1, 1), 0);

    struct store_object o;
    assert_true(fixture_get(f, 1, &o));
    assert_int_equal(o.body_size_bytes, 9);
    assert_ptr_equal(o.body, view.body);
    store_release(&o);
    store_release(&view);
}

static void test_same_key_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct store_object before;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    assert_true(fixture_get(f, 1, &before));
    assert_int_equal(fixture_put(f, 1, 2, 500), 0);
    fixture_assert_found(f, 1, 2, 500);
    assert_int_equal(fixture_stats(f).objects, 1);
    assert_true(fixture_is(&before, 1, 1000));
    struct store_meta meta = fixture_meta(9);
    struct store_key key = fixture_key(f, 1);
    assert_false(store_refresh(f->store, &key, &before, &meta));
    store_release(&before);
    fixture_assert_found(f, 1, 2, 500);
}

static void test_refresh_changes_the_meta_only(void **state)
{
    struct fixture *f = *state;
    struct store_object o, after;
    struct store_meta meta = fixture_meta(77);
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    assert_true(fixture_get(f, 1, &o));
    struct store_key key = fixture_key(f, 1);
    assert_true(store_refresh(f->store, &key, &o, &meta));
    assert_true(fixture_get(f, 1, &after));
    assert_true(fixture_meta_equal(&after.meta, &meta));
    assert_true(fixture_is(&after, 1, 1000));
    store_release(&after);
    store_release(&o);
    assert_int_equal(fixture_stats(f).objects, 1);
}

static void test_drop_removes_that_very_object(void **state)
{
    struct fixture *f = *state;
    struct store_object before, after;
    struct store_key key = fixture_key(f, 1);
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    assert_true(fixture_get(f, 1, &before));
    assert_int_equal(fixture_put(f, 1, 2, 500), 0);
    assert_false(store_drop(f->store, &key, &before)); /* it has been replaced */
    assert_true(fixture_get(f, 1, &after));
    assert_true(store_drop(f->store, &key, &after));
    store_release(&before);
    store_release(&after);
    assert_false(fixture_get(f, 1, &after));
    assert_int_equal(fixture_stats(f).objects, 0);
}

static void test_purge_generations_of_what_is_there(void **state)
{
    struct fixture *f = *state;
    uint32_t least, greatest;
    assert_false(store_purge_generations(f->store, &least, &greatest));
    for (unsigned i = 3; i < 8; i++)
        assert_int_equal(fixture_put(f, i, i, 1000), 0);
    struct store_key key = fixture_key(f, 7);
    assert_true(store_remove(f->store, &key));
    assert_true(store_purge_generations(f->store, &least, &greatest));
    assert_int_equal(least, fixture_meta(3).purge_generation);
    assert_int_equal(greatest, fixture_meta(6).purge_generation);
}

static void test_removed_is_missed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    struct store_key key = fixture_key(f, 1);
    assert_true(store_remove(f->store, &key));
    assert_false(store_remove(f->store, &key));
    fixture_assert_missed(f, 1);
    assert_int_equal(fixture_stats(f).objects, 0);
}

static void test_colliding_hash_is_a_miss(void **state)
{
    struct fixture *f = *state;
    struct store_object o;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    struct store_key other = fixture_key(f, 1);
    other.text = SLICE_LITERAL("https://site/object-2");
    assert_false(store_lookup(f->store, &other, &o));
    assert_false(store_remove(f->store, &other));
    fixture_assert_found(f, 1, 1, 1000);
}

static void test_abandon_gives_the_tail_back(void **state)
{
    struct fixture *f = *state;
    struct store_object first, second;
    struct store_writer *w = reserve(f, 100000);
    store_writer_view(w, &first);
    store_abandon(w);
    w = reserve(f, 100000);
    store_writer_view(w, &second);
    assert_int_equal(first.body_offset_bytes, second.body_offset_bytes);
    assert_int_equal(fixture_stats(f).wasted_bytes, 0);
    store_release(&first);

    /* What was written may have been served: it is not written over. */
    assert_int_equal(store_write(w, "abc", 3), 0);
    store_abandon(w);
    w = reserve(f, 100000);
    store_writer_view(w, &first);
    assert_true(first.body_offset_bytes >= second.body_offset_bytes + 64);
    assert_true(first.body_offset_bytes < second.body_offset_bytes + 10000);
    assert_int_equal(store_write(w, "xyz", 3), 0);
    assert_memory_equal(second.body, "abc", 3);
    store_abandon(w);
    store_abandon(NULL);
    store_release(&first);
    store_release(&second);
    assert_true(fixture_stats(f).wasted_bytes >= 6);
}

static void test_seal_gives_the_rest_back(void **state)
{
    struct fixture *f = *state;
    struct store_object o, view;
    struct store_writer *w = reserve(f, 100000);
    assert_int_equal(fixture_write(w, 1, 300), 0);
    assert_int_equal(seal(f, w, 1, 1), 0);
    assert_true(fixture_get(f, 1, &o));
    w = reserve(f, 100);
    store_writer_view(w, &view);
    assert_true(view.body_offset_bytes < o.body_offset_bytes + 2000);
    store_abandon(w);
    store_release(&view);
    store_release(&o);
    fixture_assert_found(f, 1, 1, 300);
}

static void test_writing_beyond_the_reservation_fails(void **state)
{
    struct fixture *f = *state;
    struct store_writer *w = reserve(f, 10);
    assert_int_equal(store_write(w, "0123456789", 10), 0);
    assert_int_equal(store_write(w, "", 0), 0);
    assert_int_equal(store_write(w, "x", 1), -ENOSPC);
    store_abandon(w);
}

static void test_too_large_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = FIXTURE_REGION_BYTES / 2};
    struct store_writer *w;
    assert_int_equal(store_reserve(f->store, &want, &w), -EFBIG);
    want.body_size_bytes = UINT64_MAX;
    assert_int_equal(store_reserve(f->store, &want, &w), -EFBIG);
}

static void test_reader_keeps_its_bytes(void **state)
{
    struct fixture *f = *state;
    struct store_object o;
    assert_int_equal(fixture_put(f, 1, 1, 100000), 0);
    assert_true(fixture_get(f, 1, &o));
    fixture_turn_over(f, 3 * FIXTURE_REGIONS);
    fixture_assert_missed(f, 1);
    assert_true(fixture_is(&o, 1, 100000));
    assert_int_equal(fixture_stats(f).regions_held, 1);
    store_release(&o);
    assert_int_equal(fixture_stats(f).regions_held, 0);
    fixture_turn_over(f, FIXTURE_REGIONS);
}

static void test_disk_use_stays_within_the_budget(void **state)
{
    struct fixture *f = *state;
    struct store_object o[40];
    unsigned held = 0, kept = 0;
    for (unsigned i = 0; i < 40; i++) {
        int rv = fixture_put(f, i, i, 100000);
        assert_true(rv == 0 || rv == 1 || rv == -ENOBUFS);
        if (rv != 0)
            continue;
        kept++;
        if (fixture_get(f, i, &o[held]))
            held++;
    }
    assert_int_equal(held, kept);
    assert_true(held >= 8 && held <= 2 * FIXTURE_REGIONS);
    struct store_stats stats = fixture_stats(f);
    assert_true(stats.regions + stats.regions_held <= FIXTURE_REGIONS);
    for (unsigned i = 0; i < held; i++)
        store_release(&o[i]);
    assert_int_equal(fixture_put(f, 100, 100, 100000), 0);
    fixture_assert_found(f, 100, 100, 100000);
}

#define TRANSIENT_SIZE ((size_t)600 * 1024)

static void test_transient_has_a_budget(void **state)
{
    struct fixture *f = *state;
    struct store_reservation want = {.body_size_bytes = TRANSIENT_SIZE, .transient = true};
    struct store_writer *w, *other;
    struct store_object view;
    assert_int_equal(store_reserve(f->store, &want, &w), 0);
    assert_false(store_writer_is_kept(w));
    assert_int_equal(fixture_write(w, 5, TRANSIENT_SIZE), 0);
    store_writer_view(w, &view);
    assert_int_equal(store_reserve(f->store, &want, &other), -ENOBUFS);
    want.body_size_bytes = (uint64_t)2 * 1024 * 1024;
    assert_int_equal(store_reserve(f->store, &want, &other), -EFBIG);
    assert_int_equal(seal(f, w, 1, 5), 0);
    fixture_assert_missed(f, 1);
    char head[32];
    view.head = fixture_head(5, head);
    assert_true(fixture_is(&view, 5, TRANSIENT_SIZE));
    assert_int_equal(fixture_stats(f).transient_bytes, TRANSIENT_SIZE);
    store_release(&view);
    assert_int_equal(fixture_stats(f).transient_bytes, 0);
}

static void test_without_a_disk_all_is_transient(void **state)
{
    struct fixture g = {.path = ""};
    (void)state;
    buf_init(&g.error, 100);
    g.options = (struct store_options){.transient_bytes = 100000};
    assert_int_equal(fixture_open(&g), 0);
    struct store_writer *w = reserve(&g, 1000);
    assert_false(store_writer_is_kept(w));
    assert_int_equal(fixture_write(w, 1, 1000), 0);
    assert_int_equal(seal(&g, w, 1, 1), 0);
    fixture_assert_missed(&g, 1);
    assert_int_equal(fixture_stats(&g).transient_bytes, 0);
    store_close(g.store);
    buf_fini(&g.error);
}

static void test_all_is_there_after_a_clean_stop(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(fixture_put(f, i, i, (size_t)100 * i), 0);
    uint64_t objects = fixture_stats(f).objects, regions = fixture_stats(f).regions;
    for (unsigned round = 0; round < 3; round++) {
        fixture_reopen(f);
        assert_int_equal(fixture_stats(f).objects, objects);
        assert_int_equal(fixture_stats(f).regions, regions);
        for (unsigned i = 0; i < 100; i++)
            fixture_assert_found(f, i, i, (size_t)100 * i);
    }
    assert_int_equal(fixture_put(f, 200, 200, 300), 0);
    assert_int_equal(fixture_stats(f).regions, regions); /* the last one is filled on */
}

/* Runs in a child that kills itself: 50 sealed, one not. */
static void die_writing(struct fixture *f)
{
    assert_int_equal(fixture_open(f), 0);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(fixture_put(f, i, i, (size_t)3000 * (i % 7)), 0);
    struct store_writer *w = reserve(f, 5000);
    assert_int_equal(fixture_write(w, 50, 5000), 0);
    kill(getpid(), SIGKILL);
}

static void test_what_was_sealed_survives_a_kill(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    for (unsigned round = 0; round < 3; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            die_writing(f);
            _exit(1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(fixture_open(f), 0);
        for (unsigned i = 0; i < 50; i++)
            fixture_assert_found(f, i, i, (size_t)3000 * (i % 7));
        fixture_assert_missed(f, 50);
        assert_int_equal(fixture_stats(f).objects, 50);
        if (round < 2)
            store_close(f->store);
    }
    fixture_turn_over(f, FIXTURE_REGIONS);
}

static void test_second_process_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *second;
    assert_int_equal(store_open(&f->options, &f->error, &second), -EBUSY);
    assert_true(buf_append_char(&f->error, '\0'));
    assert_non_null(strstr(f->error.data, "in use by another process"));
}

static void test_no_room_is_told(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    f->options.region_bytes = UINT64_C(1) << 40;
    f->disk.size_bytes = UINT64_C(1) << 50;
    assert_int_equal(fixture_open(f), -ENOSPC);
    assert_true(buf_append_char(&f->error, '\0'));
    assert_non_null(strstr(f->error.data, "of 1073741824 MiB needs"));
    assert_non_null(strstr(f->error.data, "MiB free"));
}

static void test_bad_sizes_are_told(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    static const uint64_t bad[][2] = {{1 << 20, 100000}, {1 << 20, 4096}, {1 << 20, 1 << 19}, {1 << 20, 0}};
    for (unsigned i = 0; i < 4; i++) {
        f->disk.size_bytes = bad[i][0];
        f->options.region_bytes = bad[i][1];
        assert_int_equal(fixture_open(f), -EINVAL);
        assert_true(f->error.size > 20);
    }
}

/* Changes bytes of a file of the arena while it is closed. */
static void scribble(struct fixture *f, const char *name, off_t offset, const void *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, offset), size);
    close(fd);
}

static void assert_starts_empty(struct fixture *f)
{
    log_set_level(LOG_ERROR);
    assert_int_equal(fixture_open(f), 0);
    log_set_level(LOG_INFO);
    fixture_assert_missed(f, 1);
    assert_int_equal(fixture_stats(f).objects, 0);
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    fixture_assert_found(f, 1, 1, 1000);
    store_close(f->store);
    f->store = NULL;
}

static void test_what_cannot_be_used_is_discarded(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    store_close(f->store);
    f->store = NULL;
    scribble(f, "superblock", offsetof(struct superblock, version), "\x63", 1);
    assert_starts_empty(f);
    char path[256];
    snprintf(path, sizeof(path), "%s/set-aside/superblock", f->path); /* whole, for a program that knows it */
    assert_int_equal(access(path, F_OK), 0);
    scribble(f, "superblock", offsetof(struct superblock, byte_order), "\x01\x02\x03\x04", 4);
    assert_starts_empty(f);
    scribble(f, "superblock", offsetof(struct superblock, arena_id), "\0\0\0", 3);
    assert_starts_empty(f);
    scribble(f, "superblock", 0, "X", 1);
    assert_starts_empty(f);
    f->options.region_bytes /= 2;
    assert_starts_empty(f);
}

static void test_another_boot_verifies_what_was_not_synced(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    store_close(f->store);
    f->store = NULL;
    scribble(f, "superblock", offsetof(struct superblock, boot_id), "another-boot", 12);
    assert_int_equal(fixture_open(f), 0); /* closed cleanly: the other boot does not matter */
    fixture_assert_found(f, 1, 1, 1000);
    store_close(f->store);
    f->store = NULL;
    scribble(f, "superblock", offsetof(struct superblock, boot_id), "another-boot", 12);
    scribble(f, "superblock", offsetof(struct superblock, clean), "\0\0\0", 4);
    assert_int_equal(fixture_open(f), 0);
    keeper_recover(f->store->disks[0]->keeper);
    fixture_assert_found(f, 1, 1, 1000);
    assert_int_equal(fixture_stats(f).regions_pending, 0);
}

/* Objects 0 to 9, two to a region, and no index any more. */
static void lose_index(struct fixture *f)
{
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    assert_int_equal(fixture_put(f, 3, 13, 500), 0); /* the newer one is found again */
    store_close(f->store);
    f->store = NULL;
    scribble(f, "index", 0, "X", 1);
    log_set_level(LOG_ERROR);
    assert_int_equal(fixture_open(f), 0);
    log_set_level(LOG_INFO);
}

static void assert_found_again(struct fixture *f, unsigned number, unsigned seed, size_t size)
{
    struct store_object o;
    assert_true(fixture_get(f, number, &o));
    assert_true(fixture_is(&o, seed, size));
    assert_true(o.meta.fresh_until_ms <= o.meta.generated_at_ms); /* it is revalidated first */
    store_release(&o);
}

static void test_lost_index_is_made_again(void **state)
{
    struct fixture *f = *state;
    struct keeper_stats stats;
    lose_index(f);
    keeper_recover(f->store->disks[0]->keeper);
    keeper_stats(f->store->disks[0]->keeper, &stats);
    assert_int_equal(stats.restored, 10); /* the newest of each */
    assert_int_equal(fixture_stats(f).objects, 10);
    for (unsigned i = 0; i < 10; i++)
        assert_found_again(f, i, i == 3 ? 13 : i, i == 3 ? 500 : 100000);
    fixture_reopen(f);
    keeper_stats(f->store->disks[0]->keeper, &stats);
    assert_int_equal(stats.restored, 0);
    assert_found_again(f, 9, 9, 100000);
}

static void test_interrupted_recovery_goes_on(void **state)
{
    struct fixture *f = *state;
    lose_index(f);
    for (unsigned i = 0; i < 5; i++) /* at any moment of it */
        fixture_reopen(f);
    assert_int_equal(fixture_put(f, 4, 14, 700), 0); /* newer than what is still to be found */
    keeper_recover(f->store->disks[0]->keeper);
    fixture_assert_found(f, 4, 14, 700);
    for (unsigned i = 5; i < 10; i++)
        assert_found_again(f, i, i, 100000);
}

static void test_damaged_record_is_a_miss(void **state)
{
    struct fixture *f = *state;
    struct store_object o;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    assert_int_equal(fixture_put(f, 2, 2, 1000), 0);
    assert_true(fixture_get(f, 1, &o));
    off_t header = (off_t)(o.body_offset_bytes - (size_t)(o.body - o.key_text.data)) - 152;
    assert_int_equal(pwrite(o.fd, "?", 1, header + 50), 1);
    store_release(&o);
    fixture_assert_missed(f, 1);
    assert_int_equal(fixture_stats(f).io_errors, 1);
    assert_int_equal(fixture_stats(f).objects, 1);
    fixture_assert_found(f, 2, 2, 1000);
    assert_true(fixture_get(f, 2, &o));
    assert_int_equal(pwrite(o.fd, "?", 1, (off_t)(o.head.data - o.body) + (off_t)o.body_offset_bytes), 1);
    store_release(&o);
    fixture_assert_missed(f, 2);
    assert_int_equal(fixture_stats(f).io_errors, 2);
}

/* The path of the file that an object stands in. */
static void region_path(const struct store_object *o, char path[256])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", o->fd);
    ssize_t size = readlink(link, path, 255);
    assert_true(size > 0);
    path[size] = '\0';
}

static void test_lost_region_file_loses_only_its_objects(void **state)
{
    struct fixture *f = *state;
    struct store_object o;
    char path[256];
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    assert_int_equal(fixture_stats(f).objects, 10);
    assert_true(fixture_get(f, 5, &o));
    region_path(&o, path);
    store_release(&o);
    store_close(f->store);
    assert_int_equal(truncate(path, 100000), 0);
    log_set_level(LOG_ERROR);
    assert_int_equal(fixture_open(f), 0);
    log_set_level(LOG_INFO);
    assert_int_equal(fixture_stats(f).objects, 8); /* two to a region */
    for (unsigned i = 0; i < 10; i++)
        if (i == 4 || i == 5)
            fixture_assert_missed(f, i);
        else
            fixture_assert_found(f, i, i, 100000);
    fixture_turn_over(f, FIXTURE_REGIONS);
}

static void test_truncated_region_is_dropped(void **state)
{
    struct fixture *f = *state;
    guard_take_signal();
    struct store_object o;
    char path[256];
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    assert_true(fixture_get(f, 5, &o));
    region_path(&o, path);
    assert_int_equal(truncate(path, 110000), 0);
    assert_false(fixture_is(&o, 5, 100000)); /* and no SIGBUS */
    assert_true(store_object_is_bad(&o));
    struct store_object none = {.fd = -7};
    assert_false(fixture_get(f, 5, &none));
    assert_true(none.fd == -7 && !none.region); /* untouched: it would be given back twice */
    fixture_assert_missed(f, 4);
    log_set_level(LOG_ERROR + 1);
    store_sync(f->store);
    log_set_level(LOG_INFO);
    store_release(&o);
    assert_int_equal(fixture_stats(f).objects, 8);
    assert_int_equal(fixture_stats(f).regions_held, 0);
    assert_int_equal(fixture_put(f, 5, 15, 100000), 0);
    fixture_assert_found(f, 5, 15, 100000);
    fixture_turn_over(f, FIXTURE_REGIONS);
}

/* While it is written in, and before anybody looked: the next record makes it grow again, over a hole. */
static void test_truncated_current_region_is_dropped(void **state)
{
    struct fixture *f = *state;
    guard_take_signal();
    struct store_object o;
    char path[256];
    assert_int_equal(fixture_put(f, 1, 1, 100000), 0);
    assert_true(fixture_get(f, 1, &o));
    region_path(&o, path);
    store_release(&o);
    assert_int_equal(truncate(path, 0), 0);
    struct store_writer *w = reserve(f, 5000);
    assert_int_equal(fixture_write(w, 2, 5000), 0);
    log_set_level(LOG_ERROR + 1);
    store_sync(f->store);
    log_set_level(LOG_INFO);
    int rv = seal(f, w, 2, 2);
    assert_true(rv == 0 || rv == -EIO);
    fixture_assert_missed(f, 1);
    fixture_assert_missed(f, 2);
    assert_int_equal(fixture_put(f, 1, 3, 100000), 0);
    fixture_assert_found(f, 1, 3, 100000);
}

static void test_truncated_index_is_made_again(void **state)
{
    struct fixture *f = *state;
    guard_take_signal();
    char path[256];
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    snprintf(path, sizeof(path), "%s/index", f->path);
    assert_int_equal(truncate(path, 0), 0);
    fixture_assert_missed(f, 1);
    log_set_level(LOG_ERROR + 1);
    store_sync(f->store);
    keeper_recover(f->store->disks[0]->keeper);
    assert_found_again(f, 1, 1, 100000);
    assert_int_equal(fixture_put(f, 2, 12, 1000), 0);
    fixture_reopen(f); /* the file is gone: it is made once more */
    log_set_level(LOG_INFO);
    keeper_recover(f->store->disks[0]->keeper);
    assert_found_again(f, 2, 12, 1000);
    assert_found_again(f, 9, 9, 100000);
}

static void test_truncated_superblock_starts_empty_the_next_time(void **state)
{
    struct fixture *f = *state;
    guard_take_signal();
    char path[256];
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    snprintf(path, sizeof(path), "%s/superblock", f->path);
    assert_int_equal(truncate(path, 0), 0);
    log_set_level(LOG_ERROR + 1);
    fixture_assert_found(f, 1, 1, 1000);
    fixture_turn_over(f, 2 * FIXTURE_REGIONS);
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    fixture_assert_found(f, 1, 1, 1000);
    store_close(f->store);
    assert_starts_empty(f);
}

static void test_failed_sync_drops_the_region(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    assert_true(store_sync(f->store));
    assert_int_equal(fixture_put(f, 4, 4, 100000), 0);
    log_set_level(LOG_ERROR + 1);
    fault_arm("store.fdatasync", 1, true);
    assert_false(store_sync(f->store));
    fault_disarm_all();
    log_set_level(LOG_INFO);
    fixture_assert_missed(f, 4);
    fixture_assert_found(f, 1, 1, 100000);
    assert_in_range(fixture_stats(f).io_errors, 1, 2); /* the one that was just full has a mark to get */
    assert_int_equal(fixture_put(f, 4, 14, 100000), 0);
    assert_true(store_sync(f->store));
    fixture_assert_found(f, 4, 14, 100000);
}

static unsigned count_regions(struct fixture *f)
{
    char command[256];
    unsigned count = 0;
    snprintf(command, sizeof(command), "ls %s | grep -c region-", f->path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

static void test_size_can_be_changed(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 14; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    fixture_wait_for_room(f);
    uint64_t capacity = fixture_stats(f).index_capacity, objects = fixture_stats(f).objects;
    store_close(f->store);
    f->disk.size_bytes *= 8;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(fixture_stats(f).objects, objects);
    assert_true(fixture_stats(f).index_capacity > capacity);
    fixture_assert_found(f, 13, 13, 100000);
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    assert_int_equal(fixture_stats(f).objects, 60);
    store_close(f->store);
    f->disk.size_bytes /= 8;
    assert_int_equal(fixture_open(f), 0);
    assert_true(count_regions(f) <= FIXTURE_REGIONS);
    assert_true(fixture_stats(f).objects >= 10);
    fixture_assert_found(f, 59, 59, 100000);
    fixture_assert_missed(f, 0);
    fixture_turn_over(f, 2 * FIXTURE_REGIONS);
    assert_true(count_regions(f) <= FIXTURE_REGIONS);
}

static void test_failed_write_stores_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    for (unsigned nth = 1; nth <= 4; nth++) {
        /* reservation (falls back to transient), first piece, second piece, seal */
        fault_arm("store.pwrite", nth, false);
        assert_int_equal(fixture_put(f, 1, 2, 1000), nth == 1 ? 1 : -EIO);
        fixture_assert_found(f, 1, 1, 1000);
    }
    assert_int_equal(fixture_stats(f).io_errors, 4);
    assert_int_equal(fixture_stats(f).transient_bytes, 0);
}

static void test_full_index_loses_the_oldest(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 2000 };
    store_close(f->store);
    f->options.object_bytes_avg = 1 << 20;
    assert_int_equal(fixture_open(f), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(fixture_put(f, i, i, 100), 0);
    struct store_stats stats = fixture_stats(f);
    assert_int_equal(stats.reclaimed_regions, 0);
    assert_true(stats.objects <= stats.index_capacity && stats.objects > stats.index_capacity * 9 / 10);
    assert_int_equal(stats.objects + stats.index_displaced, COUNT);
    unsigned found_old = 0, found_new = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        struct store_object o;
        if (!fixture_get(f, i, &o))
            continue;
        assert_true(fixture_is(&o, i, 100));
        store_release(&o);
        found_old += i < COUNT / 2;
        found_new += i >= COUNT / 2;
    }
    assert_int_equal(found_old + found_new, stats.objects);
    assert_true(found_old < found_new / 4);
}

/* As a power loss or a bad disk may leave the index: one byte of each entry is wrong. */
static void test_torn_entries_are_free(void **state)
{
    struct fixture *f = *state;
    char path[256], entry[64];
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    store_close(f->store);
    snprintf(path, sizeof(path), "%s/index", f->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    unsigned changed = 0;
    for (off_t at = 4096; pread(fd, entry, sizeof(entry), at) == sizeof(entry); at += sizeof(entry)) {
        if (entry[0] == 0 && memcmp(entry, entry + 1, sizeof(entry) - 1) == 0)
            continue;
        entry[40] ^= 4; /* in fresh_until_ms: nothing but the sum can tell */
        assert_int_equal(pwrite(fd, entry, sizeof(entry), at), sizeof(entry));
        changed++;
    }
    close(fd);
    assert_int_equal(changed, 1);
    assert_int_equal(fixture_open(f), 0);
    fixture_assert_missed(f, 1);
    assert_int_equal(fixture_put(f, 1, 2, 500), 0);
    fixture_assert_found(f, 1, 2, 500);
}

static void test_full_disk_makes_the_arena_smaller(void **state)
{
    struct fixture *f = *state;
    log_set_level(LOG_ERROR + 1);
    fixture_turn_over(f, 1); /* from here on all of its files are there */
    fault_arm("store.fallocate", 1, false);
    fixture_turn_over(f, FIXTURE_REGIONS);
    assert_int_equal(fixture_stats(f).budget_bytes, (FIXTURE_REGIONS - 1) * FIXTURE_REGION_BYTES);
    assert_int_equal(fixture_stats(f).io_errors, 1);

    /* Nothing can be created any more: what is stored last is found until the end, then all is transient. The
     * first one is stored before: by then the spares may have been used up already. */
    assert_int_equal(fixture_put(f, 0, 0, 100000), 0);
    fault_arm("store.fallocate", 1, true);
    unsigned kept = 1;
    while (fixture_put(f, kept, kept, 100000) == 0)
        kept++;
    log_set_level(LOG_INFO);
    fixture_assert_found(f, kept - 1, kept - 1, 100000);
    assert_int_equal(fixture_put(f, kept, kept, 100000), 1);
    /* Of the last four, this thread and the arena's may each have given one up for a spare that never came.
     */
    assert_true(count_regions(f) >= 2);
}

static void test_failed_opening_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const points[] = {"store.open", "store.fallocate", "store.mmap"};
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
    store_close(f->store);
    f->store = NULL;
    for (unsigned p = 0; p < 3; p++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            fault_arm(points[p], nth, false);
            log_set_level(LOG_ERROR + 1);
            int rv = fixture_open(f);
            log_set_level(LOG_INFO);
            fault_disarm_all();
            if (rv == 0)
                store_close(f->store);
            else
                assert_true(f->error.size > 20);
            f->store = NULL;
        }
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(fixture_put(f, 2, 2, 1000), 0);
    fixture_assert_found(f, 2, 2, 1000);
}

/* What the process has run out of says nothing about the arena: it is all there when there is more again. */
static void test_too_few_files_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, fewer;
    unsigned failures = 0;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(fixture_put(f, i, i, 100000), 0);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    fewer = before;
    for (fewer.rlim_cur = 3; fewer.rlim_cur < 30; fewer.rlim_cur++) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &fewer), 0);
        int rv = fixture_open(f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(rv == 0 || (rv == -EMFILE && f->error.size > 20));
        if (rv == 0)
            store_close(f->store);
        failures += rv != 0;
        f->store = NULL;
    }
    assert_in_range(failures, 5, 26);
    assert_int_equal(fixture_open(f), 0);
    for (unsigned i = 0; i < 10; i++)
        fixture_assert_found(f, i, i, 100000);
}

static void test_memory_out_is_told(void **state)
{
    struct fixture *f = *state;
    fault_arm("memory", 1, false);
    assert_int_equal(fixture_put(f, 1, 1, 1000), -ENOMEM);
    assert_int_equal(fixture_put(f, 1, 1, 1000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_stored_is_found),
        TEST(test_large_bodies_begin_on_pages),
        TEST(test_release_is_idempotent),
        TEST(test_unsealed_is_not_found_but_viewed),
        TEST(test_same_key_is_replaced),
        TEST(test_refresh_changes_the_meta_only),
        TEST(test_drop_removes_that_very_object),
        TEST(test_purge_generations_of_what_is_there),
        TEST(test_removed_is_missed),
        TEST(test_colliding_hash_is_a_miss),
        TEST(test_abandon_gives_the_tail_back),
        TEST(test_seal_gives_the_rest_back),
        TEST(test_writing_beyond_the_reservation_fails),
        TEST(test_too_large_is_refused),
        TEST(test_reader_keeps_its_bytes),
        TEST(test_disk_use_stays_within_the_budget),
        TEST(test_transient_has_a_budget),
        TEST(test_without_a_disk_all_is_transient),
        TEST(test_all_is_there_after_a_clean_stop),
        TEST(test_what_was_sealed_survives_a_kill),
        TEST(test_second_process_is_refused),
        TEST(test_no_room_is_told),
        TEST(test_bad_sizes_are_told),
        TEST(test_what_cannot_be_used_is_discarded),
        TEST(test_another_boot_verifies_what_was_not_synced),
        TEST(test_lost_index_is_made_again),
        TEST(test_interrupted_recovery_goes_on),
        TEST(test_damaged_record_is_a_miss),
        TEST(test_lost_region_file_loses_only_its_objects),
        TEST(test_truncated_region_is_dropped),
        TEST(test_truncated_current_region_is_dropped),
        TEST(test_truncated_index_is_made_again),
        TEST(test_truncated_superblock_starts_empty_the_next_time),
        TEST(test_failed_sync_drops_the_region),
        TEST(test_size_can_be_changed),
        TEST(test_failed_write_stores_nothing),
        TEST(test_full_index_loses_the_oldest),
        TEST(test_torn_entries_are_free),
        TEST(test_full_disk_makes_the_arena_smaller),
        TEST(test_failed_opening_leaves_nothing),
        TEST(test_too_few_files_lose_nothing),
        TEST(test_memory_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
