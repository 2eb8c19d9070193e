/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening an arena costs, by how many objects are in it: the time to the first hit, and resident memory
 * for each object once all of them have been looked up in the index. A child fills the arena with objects of
 * 64 bytes and closes it, or kills itself; the parent opens it.
 *
 *   bench_open [FOLDER [OBJECTS...]]      default: /tmp/bench-open, 100000 and 1000000
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"

#define REGION_BYTES  ((uint64_t)64 * 1024 * 1024)
#define RECORD_BYTES  320u /* about what such an object takes */
#define KEY_TEXT_SIZE 40u

static void die(const char *what)
{
    fprintf(stderr, "bench_open: %s\n", what);
    exit(1);
}

static struct store *open_arena(const char *path, uint64_t count)
{
    struct store *store;
    struct buf error;
    uint64_t regions = count * RECORD_BYTES / REGION_BYTES + 6;
    struct store_disk disk = {path, regions * REGION_BYTES};
    struct store_options options = {.disks = &disk,
                                    .disk_count = 1,
                                    .region_bytes = REGION_BYTES,
                                    .object_bytes_avg = regions * REGION_BYTES / count};
    buf_init(&error, 1000);
    if (store_open(&options, &error, &store) < 0) {
        fprintf(stderr, "%.*s\n", SLICE_ARG(buf_slice(&error)));
        exit(1);
    }
    buf_fini(&error);
    return store;
}

static struct store_key key_of(const struct store *s, uint64_t number, char text[KEY_TEXT_SIZE])
{
    int size = snprintf(text, KEY_TEXT_SIZE, "https://site/title/segment-%" PRIu64, number);
    struct slice slice = slice_make(text, (size_t)size);
    return (struct store_key){hash_key(store_hash_secret(s), slice), slice};
}

static void put(struct store *s, uint64_t number)
{
    static const char body[64] = "body";
    char text[KEY_TEXT_SIZE];
    struct store_key key = key_of(s, number, text);
    struct store_meta meta = {.total_size_bytes = sizeof(body)};
    struct store_reservation want = {.head_size_max = KEY_TEXT_SIZE, .body_size_bytes = sizeof(body)};
    struct store_writer *w;
    if (store_reserve(s, &want, &w) < 0 || store_write(w, body, sizeof(body)) < 0 ||
        store_seal(w, &key, SLICE_EMPTY, &meta) < 0)
        die("an object cannot be stored");
}

static void fill(const char *path, uint64_t count, bool kills)
{
    pid_t child = fork();
    if (child < 0)
        die("no child");
    if (child > 0) {
        waitpid(child, NULL, 0);
        return;
    }
    struct store *s = open_arena(path, count);
    for (uint64_t i = 0; i < count; i++)
        put(s, i);
    if (kills)
        kill(getpid(), SIGKILL);
    store_close(s);
    _exit(0);
}

static bool hit(struct store *s, uint64_t number)
{
    char text[KEY_TEXT_SIZE];
    struct store_key key = key_of(s, number, text);
    struct store_object o;
    if (!store_lookup(s, &key, &o))
        return false;
    store_release(&o);
    return true;
}

/* A key that is not there, with the hash's index line touched all the same. */
static void touch_index(struct store *s, uint64_t number)
{
    char text[KEY_TEXT_SIZE];
    struct store_key key = key_of(s, number, text);
    struct store_object o;
    key.hash.high ^= (uint64_t)1 << 63; /* the same buckets, another object */
    if (store_lookup(s, &key, &o))
        store_release(&o);
}

static uint64_t resident_bytes(void)
{
    uint64_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
        die("no /proc/self/statm");
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure(const char *path, uint64_t count, bool kills)
{
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    if (system(command) != 0)
        die("the folder cannot be removed");
    fill(path, count, kills);
    uint64_t before_bytes = resident_bytes();
    uint64_t begin_us = clock_monotonic_us();
    struct store *s = open_arena(path, count);
    uint64_t opened_us = clock_monotonic_us();
    bool is_hit = hit(s, count - 1);
    uint64_t hit_us = clock_monotonic_us();
    for (uint64_t i = 0; i < count; i++)
        touch_index(s, i);
    uint64_t bytes = resident_bytes() - before_bytes;
    struct store_stats stats;
    store_stats(s, &stats);
    printf("%9" PRIu64
           " objects, %s: open %7.1f ms, first %s after %7.1f ms, %6.1f resident bytes an object, "
           "%" PRIu64 " displaced\n",
           stats.objects, kills ? "killed" : "closed", (double)(opened_us - begin_us) / 1000,
           is_hit ? "hit" : "MISS", (double)(hit_us - begin_us) / 1000, (double)bytes / (double)count,
           count - stats.objects);
    store_close(s);
    if (system(command) != 0)
        die("the folder cannot be removed");
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/tmp/bench-open";
    static const char *const defaults[] = {"100000", "1000000"};
    int count = argc > 2 ? argc - 2 : 2;
    setvbuf(stdout, NULL, _IONBF, 0); /* the child must not print it again */
    for (int i = 0; i < count; i++) {
        uint64_t objects = strtoull(argc > 2 ? argv[i + 2] : defaults[i], NULL, 10);
        if (objects == 0)
            die("how many objects?");
        measure(path, objects, false);
        measure(path, objects, true);
    }
    return 0;
}
