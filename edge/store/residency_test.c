/* SPDX-License-Identifier: Apache-2.0 */
/* What of a region counts as in memory: with a real file, whose pages are really dropped, and time as a
 * parameter. Where the folder is in memory itself, only what was asked is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "io/mailbox.h"
#include "store/prefetch.h"
#include "store/residency.h"

#define KIB         ((uint64_t)1024)
#define GRANULE     RESIDENCY_GRANULE_BYTES
#define REGION_SIZE (16 * GRANULE)
#define NOW         UINT64_C(1000000)

struct bench {
    char path[64];
    struct store_region region;
    struct prefetch *prefetch;
    struct loop *loop;
    struct mailbox *mailbox;
    bool has_disk; /* pages can be dropped */
    unsigned told;
    int error;
};

static void on_unused(struct store_region *r)
{
    (void)r;
}

static void drop_pages(struct bench *b)
{
    assert_int_equal(fdatasync(b->region.fd), 0);
    assert_int_equal(posix_fadvise(b->region.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    char *data = malloc(REGION_SIZE);
    strcpy(b->path, "residency_test.XXXXXX");
    int fd = mkstemp(b->path);
    assert_true(fd >= 0);
    memset(data, 'x', REGION_SIZE);
    assert_int_equal(pwrite(fd, data, REGION_SIZE, 0), REGION_SIZE);
    free(data);
    b->has_disk = residency_is_of_use(fd);
    assert_int_equal(region_map(&b->region, fd, REGION_SIZE, true), 0);
    b->region.on_unused = on_unused;
    atomic_store(&b->region.refs, 1);
    assert_int_equal(prefetch_open(&b->prefetch), 0);
    residency_attach(&b->region, b->prefetch);
    assert_non_null(b->region.residency);
    assert_int_equal(loop_new(&b->loop), 0);
    assert_int_equal(mailbox_new(b->loop, &b->mailbox), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    fault_disarm_all();
    mailbox_free(b->mailbox);
    prefetch_close(b->prefetch);
    loop_free(b->loop);
    region_unref(&b->region);
    region_unmap(&b->region);
    unlink(b->path);
    free(b);
    return 0;
}

static uint64_t ready(const struct bench *b, uint64_t offset, uint64_t size, uint64_t now_ms)
{
    return residency_ready(&b->region, offset, size, now_ms);
}

static void what_was_written_is_there(void **state)
{
    struct bench *b = *state;
    assert_int_equal(ready(b, 0, REGION_SIZE, NOW), REGION_SIZE);
    assert_int_equal(ready(b, 5, 1, NOW), 1);
    assert_int_equal(ready(b, 5, 0, NOW), 0);
}

static void what_was_seen_is_trusted_for_a_while(void **state)
{
    struct bench *b = *state;
    assert_int_equal(ready(b, 0, GRANULE, NOW), GRANULE);
    fault_arm("store.cold", 1, true); /* whoever asks the kernel now hears no */
    assert_int_equal(ready(b, 0, GRANULE, NOW), GRANULE);
    assert_int_equal(ready(b, 100, GRANULE, NOW), GRANULE - 100); /* the next one was never asked about */
    assert_int_equal(ready(b, 0, GRANULE, NOW + RESIDENCY_TRUST_MS / 2), GRANULE);
    assert_int_equal(ready(b, 0, GRANULE, NOW + RESIDENCY_TRUST_MS + 1), 0);
    assert_int_equal(ready(b, 0, GRANULE, NOW - RESIDENCY_TRUST_MS), 0);
}

static void what_is_dropped_is_missed(void **state)
{
    struct bench *b = *state;
    if (!b->has_disk)
        skip();
    drop_pages(b);
    assert_int_equal(ready(b, 0, REGION_SIZE, NOW), 0);
    char byte;
    posix_fadvise(b->region.fd, 0, 0, POSIX_FADV_RANDOM);
    assert_int_equal(pread(b->region.fd, &byte, 1, 0), 1);
    assert_int_equal(ready(b, 10, 20, NOW), 20); /* its page is there, its neighbours are not */
    assert_int_equal(ready(b, 0, GRANULE, NOW), 0);
    assert_int_equal(ready(b, 2 * GRANULE - 1, 2, NOW), 0);
}

static void what_is_on_its_way_is_not_there(void **state)
{
    struct bench *b = *state;
    residency_loading(&b->region, GRANULE, 2 * GRANULE);
    assert_int_equal(ready(b, 0, REGION_SIZE, NOW), GRANULE);
    assert_int_equal(ready(b, GRANULE + 5, 10, NOW), 0);
    residency_written(&b->region, GRANULE, GRANULE, NOW);
    assert_int_equal(ready(b, GRANULE, GRANULE, NOW), 0);
    residency_loaded(&b->region, GRANULE, GRANULE, NOW);
    assert_int_equal(ready(b, 0, REGION_SIZE, NOW), 2 * GRANULE);
}

/* What stood in the granule before, nobody knows. */
static void writing_vouches_for_what_it_began(void **state)
{
    struct bench *b = *state;
    fault_arm("store.cold", 1, true);
    residency_written(&b->region, 100, GRANULE, NOW); /* from within the first into the second */
    assert_int_equal(ready(b, 0, GRANULE, NOW), 0);
    assert_int_equal(ready(b, GRANULE, GRANULE, NOW), GRANULE);
    residency_written(&b->region, GRANULE + 100, 10, NOW + RESIDENCY_TRUST_MS / 2); /* and once more */
    assert_int_equal(ready(b, GRANULE, GRANULE, NOW + RESIDENCY_TRUST_MS), GRANULE);
}

static void a_region_that_is_not_watched_is_there(void **state)
{
    struct bench *b = *state;
    struct store_region plain = {.size_bytes = REGION_SIZE};
    (void)b;
    fault_arm("store.cold", 1, true);
    assert_int_equal(residency_ready(&plain, 0, REGION_SIZE, NOW), REGION_SIZE);
}

/* ---- the threads ---- */

static void on_job(struct message *m)
{
    struct prefetch_job *job = container_of(m, struct prefetch_job, message);
    struct bench *b = job->user;
    if (b) {
        b->told++;
        b->error = job->error;
        loop_stop(b->loop);
    }
    prefetch_free(job);
}

static struct prefetch_job *start(struct bench *b, uint64_t offset, uint64_t size)
{
    struct prefetch_job *job = prefetch_start(b->prefetch, &b->region, offset, size, b->mailbox, on_job, b);
    assert_non_null(job);
    return job;
}

static void what_is_brought_is_there(void **state)
{
    struct bench *b = *state;
    struct prefetch_stats stats;
    if (b->has_disk)
        drop_pages(b);
    uint64_t now_ms = loop_now_ms(b->loop);
    start(b, GRANULE + 10, 2 * GRANULE);
    loop_run(b->loop);
    assert_int_equal(b->error, 0);
    fault_arm("store.cold", 1, true);
    assert_int_equal(ready(b, GRANULE, 3 * GRANULE, now_ms), 3 * GRANULE); /* whole granules */
    prefetch_stats(b->prefetch, &stats);
    assert_int_equal(stats.jobs, 1);
    assert_int_equal(stats.bytes, 3 * GRANULE);
    assert_int_equal(stats.waiting, 0);
}

static void what_cannot_be_read_is_said(void **state)
{
    struct bench *b = *state;
    fault_arm("store.read", 1, false);
    start(b, 0, GRANULE);
    loop_run(b->loop);
    assert_int_equal(b->error, -EIO);
    assert_true(region_is_bad(&b->region));
    assert_int_equal(ready(b, 0, GRANULE, NOW), 0);
}

static void who_lets_go_is_not_told(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 200; i++)
        prefetch_drop(b->prefetch, start(b, 0, REGION_SIZE));
    start(b, 0, 1);
    loop_run(b->loop);
    assert_int_equal(b->told, 1);
}

static void a_map_is_kept(void **state)
{
    struct bench *b = *state;
    assert_false(prefetch_has_kept(b->prefetch));
    prefetch_keep(b->prefetch, (struct iovec){(void *)b->region.map, REGION_SIZE});
    while (!prefetch_has_kept(b->prefetch)) /* or the test's own deadline ends it */
        sched_yield();
    assert_true(residency_of_map(b->region.map, REGION_SIZE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_there),         TEST(what_was_seen_is_trusted_for_a_while),
        TEST(what_is_dropped_is_missed),         TEST(what_is_on_its_way_is_not_there),
        TEST(writing_vouches_for_what_it_began), TEST(a_region_that_is_not_watched_is_there),
        TEST(what_is_brought_is_there),          TEST(what_cannot_be_read_is_said),
        TEST(who_lets_go_is_not_told),           TEST(a_map_is_kept),
    };
    log_set_level(LOG_ERROR + 1); /* what fails here fails on purpose */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
