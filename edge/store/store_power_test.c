/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of a power loss under a real kernel, for tests/test_store_power.py: one stores without end
 * and says what has been synced, until the machine goes; the other opens what is left, and compares every
 * byte. As a plain test it runs both halves one after the other, with a kill between them.
 *
 *   store_power write FOLDER        prints "synced N": all up to N cannot be lost
 *   store_power check FOLDER N      exits with 0 when what is found is whole and nothing synced is missed
 */
#include "store/store_fixture.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "store/store_private.h"

#define KEYS        300u
#define NEWEST      60u /* so many of the last that were synced cannot have been reclaimed */
#define PUTS_A_SYNC 10u
#define REGIONS     24u

static size_t size_of(unsigned seed)
{
    return (seed * 2654435761u >> 12) % 60000;
}

static bool open_at(struct fixture *f, const char *path)
{
    *f = (struct fixture){.store = NULL};
    snprintf(f->path, sizeof(f->path), "%s", path);
    f->disk = (struct store_disk){f->path, REGIONS * FIXTURE_REGION_BYTES};
    f->options = (struct store_options){.disks = &f->disk,
                                        .disk_count = 1,
                                        .region_bytes = FIXTURE_REGION_BYTES,
                                        .object_bytes_avg = 4096,
                                        .eviction = STORE_EVICT_FIFO, /* what is old goes first */
                                        .sync_interval_ms = 100};
    buf_init(&f->error, 1000);
    if (fixture_open(f) == 0)
        return true;
    fprintf(stderr, "%.*s\n", SLICE_ARG(buf_slice(&f->error)));
    return false;
}

static int write_without_end(const char *path)
{
    struct fixture f;
    if (!open_at(&f, path))
        return 1;
    for (unsigned seed = 1;; seed++) {
        if (fixture_put(&f, seed % KEYS, seed, size_of(seed)) < 0)
            return 1;
        if (seed % PUTS_A_SYNC == 0 && store_sync(f.store)) {
            printf("synced %u\n", seed);
            fflush(stdout);
        }
    }
}

/* What stands under a key is of a seed that belongs to it. */
static bool is_right(const struct store_object *o, unsigned number)
{
    unsigned seed = o->meta.stale_while_revalidate_s;
    if (seed == 0) /* as walking restores it: no time to be stale, but the rest is as it was */
        seed = (unsigned)(o->meta.generated_at_ms - fixture_meta(0).generated_at_ms);
    return seed % KEYS == number && fixture_is(o, seed, size_of(seed));
}

static int check(const char *path, unsigned synced)
{
    struct fixture f;
    unsigned found = 0, wrong = 0, missed = 0;
    if (!open_at(&f, path))
        return 1;
    keeper_recover(f.store->disks[0]->keeper);
    for (unsigned number = 0; number < KEYS; number++) {
        unsigned newest = synced / KEYS * KEYS + number;
        newest = newest > synced ? newest - KEYS : newest; /* of this key, of what was synced */
        struct store_object o;
        if (fixture_get(&f, number, &o)) {
            found++;
            wrong += !is_right(&o, number) || o.meta.generated_at_ms < fixture_meta(newest).generated_at_ms;
            store_release(&o);
        } else {
            missed += newest + NEWEST > synced && newest <= synced && newest > 0;
        }
    }
    printf("%u found, %u of them wrong, %u missed that were synced\n", found, wrong, missed);
    for (unsigned i = 0; i < 3 * REGIONS; i++) /* it goes on storing */
        wrong += fixture_put(&f, KEYS + i, i, 100000) != 0;
    store_close(f.store);
    buf_fini(&f.error);
    return found > 0 && wrong == 0 && missed == 0 ? 0 : 1;
}

/* ---- as a plain test ---- */

static unsigned run_and_kill(const char *path, unsigned after)
{
    int pipes[2];
    char line[64];
    unsigned synced = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        _exit(write_without_end(path));
    }
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    while (fgets(line, sizeof(line), out))
        if (sscanf(line, "synced %u", &synced) == 1 && synced >= after)
            kill(child, SIGKILL);
    fclose(out);
    waitpid(child, NULL, 0);
    return synced;
}

static void test_both_halves(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    unsigned synced = run_and_kill(f.path, 500);
    assert_true(synced >= 500);
    assert_int_equal(check(f.path, synced), 0);
    assert_int_equal(check(f.path, synced + KEYS), 1); /* it can fail: so many were never stored */
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_halves),
    };
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return write_without_end(argv[2]);
    if (argc == 4 && strcmp(argv[1], "check") == 0)
        return check(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
