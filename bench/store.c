/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store costs: storing small objects, finding and letting go of them (the hit path), and missing; by
 * one thread and by two at once, and what opening costs after a clean stop. Prints nanoseconds an operation
 * and thread.
 *
 *   bench_store [FOLDER [OBJECTS]]        FOLDER is made and left empty of objects; default /tmp/bench-store
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"

#define BODY_BYTES    1000u
#define REGION_BYTES  ((uint64_t)64 * 1024 * 1024)
#define LOOKUPS       3000000u
#define THREADS_MAX   2u
#define KEY_TEXT_SIZE 40u

struct bench {
    struct store *store;
    unsigned count;
    struct store_key *keys;
    char (*texts)[KEY_TEXT_SIZE];
};

/* What one thread does. */
struct run {
    struct bench *bench;
    unsigned seed;       /* of look-ups */
    unsigned first, end; /* of the objects that are stored */
    uint64_t found;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static void keys_make(struct bench *b)
{
    b->keys = calloc(b->count, sizeof(*b->keys));
    b->texts = calloc(b->count, KEY_TEXT_SIZE);
    if (!b->keys || !b->texts)
        die("out of memory");
    for (unsigned i = 0; i < b->count; i++) {
        int size = snprintf(b->texts[i], KEY_TEXT_SIZE, "https://video/title/%u.m4s", i);
        b->keys[i].text = (struct slice){b->texts[i], (size_t)size};
        b->keys[i].hash = hash_key(store_hash_secret(b->store), b->keys[i].text);
    }
}

static void *put(void *argument)
{
    static const char body[BODY_BYTES];
    struct run *r = argument;
    struct store_meta meta = {.site_id = 1};
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = BODY_BYTES};
    for (unsigned i = r->first; i < r->end; i++) {
        struct store_writer *w;
        if (store_reserve(r->bench->store, &want, &w) < 0 || store_write(w, body, BODY_BYTES) < 0 ||
            store_seal(w, &r->bench->keys[i], SLICE_LITERAL("head"), &meta) < 0)
            die("an object could not be stored");
    }
    return NULL;
}

static void *look_up(void *argument)
{
    struct run *r = argument;
    uint64_t random = r->seed;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct store_object o;
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (store_lookup(r->bench->store, &r->bench->keys[(random >> 33) % r->bench->count], &o)) {
            r->found++;
            store_release(&o);
        }
    }
    return NULL;
}

/* Runs `work` on that many threads at once; nanoseconds until the last has ended. */
static double run_all(void *(*work)(void *), struct run *runs, unsigned threads)
{
    pthread_t ids[THREADS_MAX];
    uint64_t before_us = clock_monotonic_us();
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, &runs[i]) != 0)
            die("no thread");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (double)(clock_monotonic_us() - before_us) * 1000;
}

/* Nanoseconds a look-up and thread. */
static double look_up_with(struct bench *b, unsigned threads, uint64_t *ret_found)
{
    struct run runs[THREADS_MAX] = {{.bench = b, .seed = 1}, {.bench = b, .seed = 2}};
    double ns = run_all(look_up, runs, threads);
    *ret_found = 0;
    for (unsigned i = 0; i < threads; i++)
        *ret_found += runs[i].found;
    return ns / LOOKUPS;
}

/* Stores `share` objects by each thread, the first of them `first`; nanoseconds an object and thread. */
static double put_with(struct bench *b, unsigned threads, unsigned first, unsigned share)
{
    struct run runs[THREADS_MAX];
    for (unsigned i = 0; i < threads; i++, first += share)
        runs[i] = (struct run){.bench = b, .first = first, .end = first + share};
    return run_all(put, runs, threads) / share;
}

/* A third of the objects by one thread, two thirds by two. */
static void put_all(struct bench *b)
{
    unsigned share = b->count / (1 + THREADS_MAX);
    printf("  store %u bytes, 1 thread        %8.0f ns\n", BODY_BYTES, put_with(b, 1, 0, share));
    printf("  store %u bytes, %u threads       %8.0f ns\n", BODY_BYTES, THREADS_MAX,
           put_with(b, THREADS_MAX, share, share));
}

static void bench_run(struct bench *b)
{
    uint64_t found;
    put_all(b);
    for (unsigned threads = 1; threads <= THREADS_MAX; threads++) {
        double ns = look_up_with(b, threads, &found);
        printf("  look up and release, %u thread%s %10.0f ns  (%.0f %% found)\n", threads,
               threads > 1 ? "s" : " ", ns, 100.0 * (double)found / LOOKUPS / threads);
    }
    for (unsigned i = 0; i < b->count; i++)
        b->keys[i].hash.high ^= 1;
    printf("  miss, 1 thread                    %8.0f ns\n", look_up_with(b, 1, &found));
    for (unsigned i = 0; i < b->count; i++)
        b->keys[i].hash.high ^= 1;
}

int main(int argc, char **argv)
{
    struct buf error;
    struct bench b = {.count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000};
    b.count -= b.count % (1 + THREADS_MAX); /* equal shares */
    uint64_t size_bytes = (uint64_t)b.count * 1400 + 5 * REGION_BYTES;
    struct store_disk disk = {argc > 1 ? argv[1] : "/tmp/bench-store", size_bytes};
    struct store_options options = {.disks = &disk,
                                    .disk_count = 1,
                                    .region_bytes = REGION_BYTES,
                                    .object_bytes_avg = size_bytes / (b.count + 1)};
    buf_init(&error, 1000);
    if (b.count == 0 || store_open(&options, &error, &b.store) < 0)
        die(error.size ? error.data : "no objects");
    keys_make(&b);
    printf("%u objects\n", b.count);
    bench_run(&b);
    store_close(b.store);
    uint64_t before_us = clock_monotonic_us();
    if (store_open(&options, &error, &b.store) < 0)
        die("reopening failed");
    printf("  opening after a clean stop        %8.1f ms\n",
           (double)(clock_monotonic_us() - before_us) / 1000);
    for (unsigned i = 0; i < b.count; i++)
        store_remove(b.store, &b.keys[i]);
    store_close(b.store);
    free(b.keys);
    free(b.texts);
    buf_fini(&error);
    return 0;
}
