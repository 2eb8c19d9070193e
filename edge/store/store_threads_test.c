/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/store.h with several threads, and with readers that the kernel still sends to. */
#include "store/store_room_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"

#define KEYS    64u
#define THREADS 4u

/* ---- hammering: seeds encode key and size, so that any object found under a key tells whether it is whole
 * ---- */

struct hammer {
    struct fixture fixture; /* of its own but for the store: a key text each */
    unsigned number, rounds;
    uint64_t found, missed;
};

static size_t size_of(unsigned seed)
{
    return (seed * 2654435761u >> 12) % 40000;
}

static void hammer_get(struct hammer *h, unsigned number)
{
    struct store_object o, copy;
    if (!fixture_get(&h->fixture, number, &o)) {
        h->missed++;
        return;
    }
    h->found++;
    unsigned seed = o.meta.stale_while_revalidate_s;
    store_object_copy(&o, &copy);
    store_release(&o);
    assert_int_equal(seed % KEYS, number);
    assert_true(fixture_is(&copy, seed, size_of(seed)));
    store_release(&copy);
}

static void hammer_refresh(struct hammer *h, unsigned number)
{
    struct store_object o;
    if (!fixture_get(&h->fixture, number, &o))
        return;
    struct store_key key = fixture_key(&h->fixture, number);
    struct store_meta meta = o.meta;
    meta.fresh_until_ms++;
    store_refresh(h->fixture.store, &key, &o, &meta);
    store_release(&o);
}

static void *hammer_run(void *argument)
{
    struct hammer *h = argument;
    uint64_t random = h->number + 1;
    for (unsigned i = 0; i < h->rounds; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned number = (unsigned)(random >> 40) % KEYS, seed = (i * THREADS + h->number) * KEYS + number;
        struct store_key key = fixture_key(&h->fixture, number);
        switch ((random >> 33) % 8) {
        case 0:
        case 1: assert_true(fixture_put(&h->fixture, number, seed, size_of(seed)) >= 0); break;
        case 2: hammer_refresh(h, number); break;
        case 3: store_remove(h->fixture.store, &key); break;
        default: hammer_get(h, number); break;
        }
    }
    return NULL;
}

static unsigned count_found(struct fixture *f)
{
    unsigned found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        struct store_object o;
        if (!fixture_get(f, i, &o))
            continue;
        found++;
        store_release(&o);
    }
    return found;
}

/* The count of objects, which all threads kept, is true. The arena's thread may still reclaim: then count
 * again. */
static void assert_objects_counted(struct fixture *f)
{
    struct store_stats before, after = fixture_stats(f);
    unsigned found;
    do {
        before = after;
        found = count_found(f);
        after = fixture_stats(f);
    } while (after.reclaimed_regions != before.reclaimed_regions || after.regions != before.regions);
    assert_int_equal(after.objects, found);
}

static void test_threads_see_whole_objects(void **state)
{
    struct fixture *f = *state;
    struct hammer hammers[THREADS];
    pthread_t threads[THREADS];
    uint64_t found = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.fixture = *f, .number = i, .rounds = 3000};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        found += hammers[i].found;
    }
    uint64_t since_ms = clock_monotonic_ms();
    while (fixture_stats(f).regions_held > 0) /* what is being evacuated is held as long */
        assert_true(clock_monotonic_ms() - since_ms < FIXTURE_PATIENCE_MS);
    struct store_stats stats = fixture_stats(f);
    assert_true(found > 1000);
    assert_true(stats.reclaimed_regions > FIXTURE_REGIONS);
    assert_int_equal(stats.transient_bytes, 0);
    assert_int_equal(stats.io_errors, 0);
    assert_objects_counted(f);
}

/* The same, while a quarter of the objects is written again whenever its region goes. */
static void test_threads_see_whole_objects_written_again(void **state)
{
    struct fixture *f = *state;
    struct store_site *sites = calloc(UINT16_MAX, sizeof(*sites));
    assert_non_null(sites);
    fixture_name_sites(sites, UINT16_MAX);
    for (unsigned i = 0; i < UINT16_MAX; i++) /* an object's site is its seed: keys that 4 divides */
        sites[i].guaranteed_bytes = (i + 1) % 4 == 0 ? 40000 : 0;
    store_close(f->store);
    f->options.site_count = UINT16_MAX;
    f->options.sites = sites;
    log_set_level(LOG_ERROR); /* they come to more than there is */
    assert_int_equal(fixture_open(f), 0);
    log_set_level(LOG_INFO);
    free(sites);
    test_threads_see_whole_objects(state);
    assert_true(fixture_stats(f).kept_bytes > 0);
}

/* ---- followers: readers of a body that is being written ---- */

struct follower {
    struct store_object view;
    unsigned seed;
    _Atomic uint64_t *filled_bytes;
};

static void *follow(void *argument)
{
    struct follower *f = argument;
    uint64_t size = f->view.body_size_bytes, seen = 0;
    char *expected = malloc(size);
    assert_non_null(expected);
    fixture_fill(expected, size, f->seed);
    while (seen < size) {
        uint64_t filled = atomic_load_explicit(f->filled_bytes, memory_order_acquire);
        assert_memory_equal(f->view.body + seen, expected + seen, filled - seen);
        seen = filled;
    }
    free(expected);
    store_release(&f->view);
    return NULL;
}

static void test_followers_see_what_is_written(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 120000, STEP = 1200 };
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = SIZE};
    struct store_writer *w;
    _Atomic uint64_t filled_bytes = 0;
    struct follower followers[2];
    pthread_t threads[2];
    char *data = malloc(SIZE);
    assert_non_null(data);
    fixture_fill(data, SIZE, 7);
    assert_int_equal(store_reserve(f->store, &want, &w), 0);
    for (unsigned i = 0; i < 2; i++) {
        followers[i] = (struct follower){.seed = 7, .filled_bytes = &filled_bytes};
        store_writer_view(w, &followers[i].view);
        assert_int_equal(pthread_create(&threads[i], NULL, follow, &followers[i]), 0);
    }
    for (unsigned at = 0; at < SIZE; at += STEP) {
        assert_int_equal(store_write(w, data + at, STEP), 0);
        atomic_store_explicit(&filled_bytes, at + STEP, memory_order_release);
    }
    store_abandon(w);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    free(data);
}

/* ---- sendfile to readers that do not read ---- */

/* Queues as much of the body as the socket takes; how much. */
static size_t queue_body(const struct store_object *o, int socket)
{
    off_t at = (off_t)o->body_offset_bytes, end = at + (off_t)o->body_size_bytes;
    while (at < end && sendfile(socket, o->fd, &at, (size_t)(end - at)) > 0)
        ;
    return (size_t)at - o->body_offset_bytes;
}

static void read_all(int socket, char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(socket, data + done, size - done, 0);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

static void test_bytes_in_sockets_outlive_the_region(void **state)
{
    struct fixture *f = *state;
    enum { READERS = 12, SIZE = 100000 };
    int pairs[READERS][2];
    size_t queued[READERS];
    char *data = malloc(SIZE), *expected = malloc(SIZE);
    assert_true(data && expected);
    for (unsigned i = 0; i < READERS; i++) {
        struct store_object o;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]), 0);
        assert_int_equal(fixture_put(f, i, i, SIZE), 0);
        assert_true(fixture_get(f, i, &o));
        queued[i] = queue_body(&o, pairs[i][0]);
        assert_true(queued[i] > 0);
        store_release(&o); /* what is queued is the kernel's now: no reference keeps the region */
    }
    fixture_turn_over(f, 3 * FIXTURE_REGIONS);
    for (unsigned i = 0; i < READERS; i++) {
        fixture_assert_missed(f, i);
        fixture_fill(expected, SIZE, i);
        read_all(pairs[i][1], data, queued[i]);
        assert_memory_equal(data, expected, queued[i]);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    free(data);
    free(expected);
}

/* The same with what an abandoned fill has shown to those who followed it. */
static void test_bytes_of_an_abandoned_fill_stay(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 100000, SHOWN = 50001 };
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = SIZE};
    struct store_writer *w;
    struct store_object view;
    int pair[2];
    char *data = malloc(SIZE), *expected = malloc(SIZE);
    assert_true(data && expected);
    fixture_fill(expected, SIZE, 9);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(store_reserve(f->store, &want, &w), 0);
    assert_int_equal(store_write(w, expected, SHOWN), 0);
    store_writer_view(w, &view);
    view.body_size_bytes = SHOWN;
    size_t queued = queue_body(&view, pair[0]);
    store_release(&view);
    store_abandon(w);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(fixture_put(f, i, i, 7000), 0);
    read_all(pair[1], data, queued);
    assert_memory_equal(data, expected, queued);
    close(pair[0]);
    close(pair[1]);
    free(data);
    free(expected);
}

/* ---- killed at any moment ---- */

struct ack {
    unsigned ticket; /* drawn before it was stored: others began after it, by one thread or another */
    unsigned number, seed;
};

struct victim {
    struct fixture fixture;
    unsigned number;
    int pipe;
    _Atomic unsigned *tickets;
};

static void *victim_run(void *argument)
{
    struct victim *v = argument;
    for (unsigned i = 0;; i++) {
        struct ack ack = {.ticket = atomic_fetch_add(v->tickets, 1) + 1,
                          .number = i * THREADS % KEYS + v->number,
                          .seed = i * THREADS + v->number};
        if (fixture_put(&v->fixture, ack.number, ack.seed, size_of(ack.seed)) != 0 ||
            write(v->pipe, &ack, sizeof(ack)) != (ssize_t)sizeof(ack))
            abort();
    }
}

/* Stores without end, telling of each object that was sealed, until it is killed. */
static void victims_run(struct fixture *f, int pipe)
{
    struct victim victims[THREADS];
    pthread_t threads[THREADS];
    _Atomic unsigned tickets = 0;
    if (fixture_open(f) != 0)
        _exit(1);
    for (unsigned i = 0; i < THREADS; i++) {
        victims[i] = (struct victim){.fixture = *f, .number = i, .pipe = pipe, .tickets = &tickets};
        pthread_create(&threads[i], NULL, victim_run, &victims[i]);
    }
    pthread_join(threads[0], NULL);
}

/* Kills after so many were told of; returns how many were told of in the end, and the last of each key. */
static unsigned kill_after(struct fixture *f, unsigned count, struct ack last[KEYS])
{
    int pipes[2];
    unsigned told = 0;
    struct ack ack;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        victims_run(f, pipes[1]);
    }
    close(pipes[1]);
    while (read(pipes[0], &ack, sizeof(ack)) == (ssize_t)sizeof(ack)) {
        last[ack.number] = ack;
        if (++told == count)
            kill(child, SIGKILL);
    }
    close(pipes[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return told;
}

static unsigned count_regions(const struct fixture *f)
{
    unsigned count = 0;
    DIR *dir = opendir(f->path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strncmp(entry->d_name, "region-", 7) == 0;
    closedir(dir);
    return count;
}

/* What is found is whole, and at least as new as what was told of; the newest told of are found: few enough
 * have been begun since one of them was that its region cannot have been reclaimed. */
static void assert_whole(struct fixture *f, const struct ack last[KEYS], unsigned newest_ticket)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct store_object o;
        if (!fixture_get(f, i, &o)) {
            assert_true(last[i].ticket + 8 < newest_ticket);
            continue;
        }
        unsigned seed = o.meta.stale_while_revalidate_s;
        assert_true(seed >= last[i].seed);
        assert_true(fixture_is(&o, seed, size_of(seed)));
        store_release(&o);
    }
}

static void test_killed_at_any_moment(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 8; round++) {
        struct ack last[KEYS] = {{0}};
        unsigned newest_ticket = 0;
        store_close(f->store);
        f->store = NULL;
        unsigned told = kill_after(f, 30 + round * 67, last);
        assert_true(told >= 30 + round * 67);
        for (unsigned i = 0; i < KEYS; i++)
            newest_ticket = last[i].ticket > newest_ticket ? last[i].ticket : newest_ticket;
        assert_int_equal(fixture_open(f), 0);
        assert_true(count_regions(f) <= FIXTURE_REGIONS);
        assert_whole(f, last, newest_ticket);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_threads_see_whole_objects),       TEST(test_threads_see_whole_objects_written_again),
        TEST(test_followers_see_what_is_written),   TEST(test_bytes_in_sockets_outlive_the_region),
        TEST(test_bytes_of_an_abandoned_fill_stay), TEST(test_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
