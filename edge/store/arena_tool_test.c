/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of store/arena_tool.h. */
#include "store/arena_tool.h"

#include <fcntl.h>

#include "store/store_fixture.h"

#define OBJECTS 10u

struct said {
    char *out, *err;
    size_t out_size, err_size;
    int status;
};

static struct said run(const struct fixture *f, const char *what)
{
    struct said s = {.out = NULL};
    FILE *out = open_memstream(&s.out, &s.out_size), *err = open_memstream(&s.err, &s.err_size);
    assert_true(out && err);
    s.status = arena_tool(what, f->path, out, err);
    fclose(out);
    fclose(err);
    return s;
}

static void said_free(struct said *s)
{
    free(s->out);
    free(s->err);
}

/* Runs it and looks for one phrase; returns the status. */
static int run_expecting(const struct fixture *f, const char *what, const char *on_out, const char *on_err)
{
    struct said s = run(f, what);
    assert_non_null(strstr(s.out, on_out));
    assert_non_null(strstr(s.err, on_err));
    assert_true(on_err[0] || s.err_size == 0);
    said_free(&s);
    return s.status;
}

/* An arena with OBJECTS objects of 1000 bytes, closed. ret_body: where the last one's body stands. */
static void make_arena(struct fixture *f, char ret_path[256], off_t *ret_body)
{
    struct store_object o;
    char link[64];
    fixture_init(f);
    assert_int_equal(fixture_open(f), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(fixture_put(f, i, i, 1000), 0);
    assert_true(fixture_get(f, OBJECTS - 1, &o));
    snprintf(link, sizeof(link), "/proc/self/fd/%d", o.fd);
    ssize_t size = readlink(link, ret_path, 255);
    assert_true(size > 0);
    ret_path[size] = '\0';
    *ret_body = (off_t)o.body_offset_bytes;
    store_release(&o);
}

static void test_whole_arena(void **state)
{
    (void)state;
    struct fixture f;
    char path[256];
    off_t body;
    make_arena(&f, path, &body);
    assert_int_equal(run_expecting(&f, "stat", "", "in use by another process"), 1);
    store_close(f.store);
    f.store = NULL;
    assert_int_equal(run_expecting(&f, "stat", "10 with 10000 bytes of bodies", ""), 0);
    assert_int_equal(run_expecting(&f, "stat", "left             clean", ""), 0);
    assert_int_equal(run_expecting(&f, "check", "10 records, 0 damaged", ""), 0);
    assert_int_equal(
        run_expecting(&f, "dump", " 1000 1700000000003 1700000060003 https://site/object-3\n", ""), 0);
    assert_int_equal(run_expecting(&f, "other", "", ""), 2);
    assert_int_equal(fixture_open(&f), 0); /* nothing was changed */
    fixture_assert_found(&f, 3, 3, 1000);
    fixture_fini(&f);
}

static void test_damage_is_told(void **state)
{
    (void)state;
    struct fixture f;
    char path[256];
    off_t body;
    make_arena(&f, path, &body);
    store_close(f.store);
    f.store = NULL;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "?", 1, body + 500), 1);
    close(fd);
    assert_int_equal(run_expecting(&f, "check", "10 records, 1 damaged", "damaged: https://site/object-9\n"),
                     1);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(run_expecting(&f, "check", "1 cannot be read", "its file is of another size"), 1);
    fixture_fini(&f);
}

static void test_no_arena(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(run_expecting(&f, "stat", "", "arena /"), 1);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_arena),
        cmocka_unit_test(test_damage_is_told),
        cmocka_unit_test(test_no_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
