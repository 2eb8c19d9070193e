/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purges as the rest of the edge sees them: objects are held against them, what was answered outlives a
 * restart, a kill and a power loss, and where the log does not tell, everything is purged. The last test is
 * for ThreadSanitizer.
 */
#include "cache/purge.h"
#include "cache/purge_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/fault.h"

#define NOW_MS 1700000000000

struct stage {
    char path[64], log_path[128];
    struct store *store;
    struct purge *purge;
    struct loop *loop;
    struct mailbox *mailbox;
};

static void open_all(struct stage *s, size_t rules_max)
{
    struct buf error;
    struct store_disk disk = {s->path, 16u << 20};
    struct store_options options = {
        .disks = &disk, .disk_count = 1, .region_bytes = 1u << 20, .transient_bytes = 8u << 20};
    struct purge_options purge_options = {
        .store = NULL, .path = s->path, .rules_max = rules_max, .retire_interval_ms = 3600000};
    buf_init(&error, 4096);
    assert_int_equal(store_open(&options, &error, &s->store), 0);
    purge_options.store = s->store;
    assert_int_equal(purge_open(&purge_options, &error, &s->purge), 0);
    buf_fini(&error);
}

static void close_all(struct stage *s)
{
    purge_close(s->purge);
    store_close(s->store);
}

static int set_up(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    strcpy(s->path, "/tmp/purge-test-XXXXXX");
    assert_non_null(mkdtemp(s->path));
    snprintf(s->log_path, sizeof(s->log_path), "%s/" PURGE_LOG_NAME, s->path);
    assert_int_equal(loop_new(&s->loop), 0);
    assert_int_equal(mailbox_new(s->loop, &s->mailbox), 0);
    open_all(s, 64);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *s = *state;
    char command[128];
    fault_disarm_all();
    close_all(s);
    mailbox_free(s->mailbox);
    loop_free(s->loop);
    snprintf(command, sizeof(command), "rm -rf %s", s->path);
    assert_int_equal(system(command), 0);
    free(s);
    return 0;
}

/* ---- actors ---- */

struct waiting {
    struct purge_wait wait;
    struct loop *loop;
};

static void on_synced(struct message *m)
{
    struct waiting *w = container_of(m, struct waiting, wait.message);
    loop_stop(w->loop);
}

/* As an admin call does it: the answer says whether it is on the disk. */
static bool purge(struct stage *s, enum purge_kind kind, const char *text, bool is_soft)
{
    struct purge_order order = {kind, is_soft, slice_of("demo"), slice_of(text)};
    struct purge_done done;
    struct waiting w = {.wait = {.message = {.fn = on_synced}, .mailbox = s->mailbox}, .loop = s->loop};
    assert_int_equal(purge_add(s->purge, &order, 1, NOW_MS, &done), 0);
    purge_sync(s->purge, &w.wait);
    loop_run(s->loop);
    return w.wait.is_durable;
}

static struct store_key key_of(struct stage *s, const char *text)
{
    return (struct store_key){hash_key(store_hash_secret(s->store), slice_of(text)), slice_of(text)};
}

/* Stores an object whose fill began at `generation`; what it is refused for is left out. */
static void put_since(struct stage *s, const char *text, const char *head, uint32_t generation)
{
    struct store_key key = key_of(s, text);
    struct store_meta meta = {.generated_at_ms = NOW_MS - 1000, .fresh_until_ms = NOW_MS + 60000};
    struct store_reservation want = {.head_size_max = 1024, .body_size_bytes = 4};
    struct purge_subject subject = {key.text, slice_of(head), generation};
    struct store_writer *writer;
    purge_settle(s->purge, &subject, &meta);
    assert_int_equal(store_reserve(s->store, &want, &writer), 0);
    assert_int_equal(store_write(writer, "body", 4), 0);
    assert_int_equal(store_seal(writer, &key, slice_of(head), &meta), 0);
}

static void put(struct stage *s, const char *text, const char *head)
{
    put_since(s, text, head, purge_now(s->purge));
}

/* PURGE_HARD: it is not found. */
static enum purge_effect look(struct stage *s, const char *text)
{
    struct store_key key = key_of(s, text);
    struct store_object o;
    enum purge_effect effect;
    if (!purge_lookup(s->purge, s->store, &key, NOW_MS + 10, &o, &effect))
        return PURGE_HARD;
    assert_int_equal(o.meta.fresh_until_ms, effect == PURGE_SOFT ? NOW_MS : NOW_MS + 60000);
    store_release(&o);
    return effect;
}

static const char plain[] = "200\r\nDate: x\r\n", red[] = "200\r\nCache-Tag: red\r\n";

/* ---- lookups ---- */

static void test_what_is_purged_is_missed(void **state)
{
    struct stage *s = *state;
    put(s, "demo/a", plain);
    put(s, "demo/b", plain);
    assert_int_equal(look(s, "demo/a"), PURGE_NONE);
    assert_true(purge(s, PURGE_URL, "demo/a", false));
    assert_int_equal(look(s, "demo/a"), PURGE_HARD);
    assert_int_equal(look(s, "demo/b"), PURGE_NONE);
    put(s, "demo/a", plain);
    assert_int_equal(look(s, "demo/a"), PURGE_NONE);
    assert_true(purge(s, PURGE_SITE, "", true));
    assert_int_equal(look(s, "demo/a"), PURGE_SOFT);
    assert_int_equal(look(s, "demo/a"), PURGE_SOFT);
}

static void test_a_fill_that_began_before_brings_nothing_back(void **state)
{
    struct stage *s = *state;
    uint32_t before = purge_now(s->purge);
    assert_true(purge(s, PURGE_TAG, "red", false));
    assert_true(purge(s, PURGE_PREFIX, "demo/live/", true));
    put_since(s, "demo/a", red, before);
    put_since(s, "demo/b", plain, before);
    put_since(s, "demo/live/c", plain, before);
    assert_int_equal(look(s, "demo/a"), PURGE_HARD);
    assert_int_equal(look(s, "demo/b"), PURGE_NONE);
    assert_int_equal(look(s, "demo/live/c"), PURGE_SOFT);
}

/* Slices go with the head that was there when they were stored, for who had begun with it. */
static void test_slices_of_a_head_that_is_in_use(void **state)
{
    struct stage *s = *state;
    struct store_object o;
    struct store_key key = key_of(s, "demo/a 0000000000000001/1");
    uint32_t head = purge_now(s->purge);
    put(s, "demo/a 0000000000000001/1", plain);
    assert_true(purge(s, PURGE_URL, "demo/a", false));
    assert_true(purge_lookup_slice(s->purge, s->store, &key, head, &o));
    store_release(&o);
    assert_false(purge_lookup_slice(s->purge, s->store, &key, purge_now(s->purge), &o));
    assert_false(purge_lookup_slice(s->purge, s->store, &key, head, &o)); /* it is gone now */
}

/* ---- what outlives what ---- */

static void reopen(struct stage *s)
{
    close_all(s);
    open_all(s, 64);
}

static void test_purges_outlive_a_restart(void **state)
{
    struct stage *s = *state;
    put(s, "demo/a", plain);
    put(s, "demo/b", red);
    put(s, "demo/c", plain);
    assert_true(purge(s, PURGE_URL, "demo/a", false));
    assert_true(purge(s, PURGE_TAG, "red", true));
    put(s, "demo/d", red);
    for (int i = 0; i < 3; i++) {
        reopen(s);
        if (i == 0)
            assert_int_equal(look(s, "demo/a"), PURGE_HARD);
        assert_int_equal(look(s, "demo/b"), PURGE_SOFT);
        assert_int_equal(look(s, "demo/c"), PURGE_NONE);
        assert_int_equal(look(s, "demo/d"), PURGE_NONE);
    }
    assert_true(purge(s, PURGE_URL, "demo/d", false)); /* its number is new */
    assert_int_equal(look(s, "demo/d"), PURGE_HARD);
}

static char *read_log(struct stage *s, size_t *ret_size)
{
    struct stat st = {.st_size = 0};
    int fd = open(s->log_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    char *data = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_size = (size_t)st.st_size;
    return data;
}

static void write_log(struct stage *s, const char *data, size_t size)
{
    int fd = open(s->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void test_without_its_log_everything_is_purged(void **state)
{
    struct stage *s = *state;
    put(s, "demo/a", plain);
    close_all(s);
    assert_int_equal(unlink(s->log_path), 0);
    open_all(s, 64);
    assert_int_equal(look(s, "demo/a"), PURGE_HARD);
    put(s, "demo/a", plain);
    reopen(s);
    assert_int_equal(look(s, "demo/a"), PURGE_NONE);
}

/* Whatever byte is damaged and wherever the file is cut: what was answered is in force, or everything is
 * purged. */
static void test_a_damaged_log_forgets_nothing(void **state)
{
    struct stage *s = *state;
    size_t size;
    put(s, "demo/a", plain);
    put(s, "demo/b", plain);
    assert_true(purge(s, PURGE_URL, "demo/a", false));
    reopen(s); /* a snapshot, and one more behind it */
    put(s, "demo/b", plain);
    assert_true(purge(s, PURGE_URL, "demo/b", true));
    close_all(s);
    char *log = read_log(s, &size), *copy = malloc(size);
    for (size_t at = 0; at < 2 * size; at += 29) {
        memcpy(copy, log, size);
        copy[at % size] ^= (char)(1 + at % 255);
        write_log(s, copy, at < size ? size : at - size);
        open_all(s, 64);
        /* the store's objects tell nothing of the last purge when the file ends before it */
        struct purge_subject a = {slice_of("demo/a"), slice_of(plain), 1},
                             b = {slice_of("demo/b"), slice_of(plain), 2};
        assert_int_equal(purge_judge(s->purge, &a, NULL), PURGE_HARD);
        if (at < size)
            assert_int_not_equal(purge_judge(s->purge, &b, NULL), PURGE_NONE);
        close_all(s);
    }
    write_log(s, log, size);
    free(log);
    free(copy);
    open_all(s, 64);
    assert_int_equal(look(s, "demo/a"), PURGE_HARD);
    assert_int_equal(look(s, "demo/b"), PURGE_SOFT);
}

/* Of what was not answered yet any part may be on the disk, torn: that is no damage. */
static void test_a_torn_end_is_no_damage(void **state)
{
    struct stage *s = *state;
    size_t size;
    assert_true(purge(s, PURGE_URL, "demo/a", false));
    put(s, "demo/b", plain);
    close_all(s);
    char *log = read_log(s, &size), *copy = malloc(size + 64);
    for (size_t extra = 1; extra <= 64; extra += 9) {
        memcpy(copy, log, size);
        memset(copy + size, (int)extra, extra);
        write_log(s, copy, size + extra);
        open_all(s, 64);
        assert_int_equal(look(s, "demo/b"), PURGE_NONE);
        struct purge_subject a = {slice_of("demo/a"), slice_of(plain), 1};
        assert_int_equal(purge_judge(s->purge, &a, NULL), PURGE_HARD);
        close_all(s);
    }
    free(log);
    free(copy);
    open_all(s, 64);
}

/* A log that lost its end, but not to be seen in it: objects know of later purges. */
static void test_objects_betray_a_lost_end(void **state)
{
    struct stage *s = *state;
    size_t size;
    put(s, "demo/old", plain);
    char *log = read_log(s, &size);
    assert_true(purge(s, PURGE_URL, "demo/old", false));
    put(s, "demo/new", plain);
    close_all(s);
    write_log(s, log, size);
    free(log);
    open_all(s, 64);
    purge_retire(s->purge);
    assert_int_equal(look(s, "demo/old"), PURGE_HARD);
    assert_int_equal(look(s, "demo/new"), PURGE_HARD);
    assert_true(purge(s, PURGE_URL, "demo/other", false)); /* by then what was found is on the disk */
    put(s, "demo/new", plain);
    assert_int_equal(look(s, "demo/new"), PURGE_NONE);
}

/* ---- a disk that fails ---- */

static void test_a_purge_that_cannot_be_written_is_told(void **state)
{
    static const char *const faults[] = {"purge.write", "purge.sync", "purge.rename"};
    struct stage *s = *state;
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        struct purge_stats stats;
        put(s, "demo/a", plain);
        assert_int_equal(look(s, "demo/a"), PURGE_NONE);
        if (strcmp(faults[i], "purge.rename") == 0) /* a file is only renamed after an append has failed */
            fault_arm("purge.write", 1, false);
        fault_arm(faults[i], 1, true);
        assert_false(purge(s, PURGE_URL, "demo/a", false));
        purge_stats(s->purge, &stats);
        assert_false(stats.is_durable);
        assert_int_equal(look(s, "demo/a"), PURGE_HARD); /* in force all the same */
        put(s, "demo/a", plain);
        assert_int_equal(look(s, "demo/a"), PURGE_HARD); /* of a number that may come again */
        fault_disarm_all();
        assert_true(purge(s, PURGE_URL, "demo/b", false));
        put(s, "demo/a", plain);
        assert_int_equal(look(s, "demo/a"), PURGE_NONE);
        reopen(s);
        assert_int_equal(look(s, "demo/a"), PURGE_NONE);
    }
}

/* ---- bounds ---- */

static void test_the_log_is_compacted(void **state)
{
    struct stage *s = *state;
    struct stat st;
    char text[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof(text), "demo/%d", i % 7);
        struct purge_order order = {PURGE_URL, false, slice_of("demo"), slice_of(text)};
        struct purge_done done;
        assert_int_equal(purge_add(s->purge, &order, 1, NOW_MS, &done), 0);
    }
    assert_true(purge(s, PURGE_URL, "demo/x", false));
    for (int i = 0; i < 2000 / 2; i++)
        assert_true(purge(s, PURGE_URL, "demo/y", false));
    assert_int_equal(stat(s->log_path, &st), 0);
    assert_true(st.st_size < (off_t)64 * 1200);
    reopen(s);
    assert_int_equal(stat(s->log_path, &st), 0);
    assert_int_equal(st.st_size, 64 * (2 + 9));
}

static void test_rules_retire_when_no_older_object_is_left(void **state)
{
    struct stage *s = *state;
    struct purge_stats stats;
    struct store_key key = key_of(s, "demo/a");
    put(s, "demo/a", plain);
    assert_true(purge(s, PURGE_URL, "demo/x", false));
    put(s, "demo/b", plain);
    assert_true(purge(s, PURGE_URL, "demo/y", false));
    purge_retire(s->purge);
    purge_stats(s->purge, &stats);
    assert_int_equal(stats.rules, 2);
    assert_true(store_remove(s->store, &key));
    purge_retire(s->purge);
    purge_stats(s->purge, &stats);
    assert_int_equal(stats.rules, 1);
    assert_int_equal(stats.retired, 1);
    assert_int_equal(look(s, "demo/b"), PURGE_NONE);
    reopen(s);
    purge_stats(s->purge, &stats);
    assert_int_equal(stats.rules, 1);
    put_since(s, "demo/a", plain, 1); /* as old as one whose rules may have retired */
    assert_int_equal(look(s, "demo/a"), PURGE_HARD);
}

/* ---- threads ---- */

struct crowd {
    struct stage *stage;
    atomic_uint purged; /* all below it have been */
    atomic_bool is_over;
};

static void *read_on(void *user)
{
    struct crowd *c = user;
    char text[32];
    while (!atomic_load(&c->is_over)) {
        unsigned purged = atomic_load(&c->purged);
        for (unsigned i = 0; i < 400; i++) {
            snprintf(text, sizeof(text), "demo/%u", i);
            struct purge_subject subject = {slice_of(text), slice_of(red), 1};
            if (i < purged)
                assert_int_not_equal(purge_judge(c->stage->purge, &subject, NULL), PURGE_NONE);
            subject.generation = purge_now(c->stage->purge);
            struct store_meta meta;
            purge_settle(c->stage->purge, &subject, &meta);
        }
    }
    return NULL;
}

static void test_readers_and_purges_on_several_threads(void **state)
{
    struct crowd crowd = {.stage = *state};
    pthread_t threads[3];
    char text[32];
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &crowd), 0);
    for (unsigned i = 0; i < 400; i++) { /* more than there is room for */
        snprintf(text, sizeof(text), "demo/%u", i);
        struct purge_order order = {PURGE_URL, i % 2, slice_of("demo"), slice_of(text)};
        struct purge_done done;
        assert_int_equal(purge_add(crowd.stage->purge, &order, 1, NOW_MS, &done), 0);
        atomic_store(&crowd.purged, i + 1);
        if (i % 50 == 0)
            assert_true(purge(crowd.stage, PURGE_TAG, "red", true));
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    struct purge_stats stats;
    purge_stats(crowd.stage->purge, &stats);
    assert_true(stats.rules <= 64 && stats.folded > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_purged_is_missed),
        TEST(test_a_fill_that_began_before_brings_nothing_back),
        TEST(test_slices_of_a_head_that_is_in_use),
        TEST(test_purges_outlive_a_restart),
        TEST(test_without_its_log_everything_is_purged),
        TEST(test_a_damaged_log_forgets_nothing),
        TEST(test_a_torn_end_is_no_damage),
        TEST(test_objects_betray_a_lost_end),
        TEST(test_a_purge_that_cannot_be_written_is_told),
        TEST(test_the_log_is_compacted),
        TEST(test_rules_retire_when_no_older_object_is_left),
        TEST(test_readers_and_purges_on_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
