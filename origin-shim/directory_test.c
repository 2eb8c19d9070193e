/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of directory.h: what is beneath the root is there, all else is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "base/check.h"
#include "directory.h"

static const char *const entries[] = {/* in the order of their making */
                                      "root",           "root/folder", "root/file",     "outside",
                                      "root/inner",     "root/deep",   "root/absolute", "root/up",
                                      "root/folder/up", "root/loop",   "root/fifo"};

static char base[64];

static const char *at(const char *path)
{
    static char full[128];
    snprintf(full, sizeof(full), "%s/%s", base, path);
    return full;
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(at(path), "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    char target[128];

    strcpy(base, "/tmp/directory_test.XXXXXX");
    assert_non_null(mkdtemp(base));
    assert_int_equal(mkdir(at("root"), 0755), 0);
    assert_int_equal(mkdir(at("root/folder"), 0755), 0);
    write_file("root/file", "hello");
    write_file("outside", "secret");
    assert_int_equal(symlink("file", at("root/inner")), 0);
    assert_int_equal(symlink("folder/../file", at("root/deep")), 0);
    snprintf(target, sizeof(target), "%s", at("root/file"));
    assert_int_equal(symlink(target, at("root/absolute")), 0);
    assert_int_equal(symlink("../outside", at("root/up")), 0);
    assert_int_equal(symlink("../file", at("root/folder/up")), 0);
    assert_int_equal(symlink("loop", at("root/loop")), 0);
    assert_int_equal(mkfifo(at("root/fifo"), 0644), 0);
    return directory_open(at("root"), (struct directory **)state);
}

static int teardown(void **state)
{
    directory_close(*state);
    for (size_t i = ARRAY_COUNT(entries); i > 0; i--)
        assert_int_equal(remove(at(entries[i - 1])), 0);
    return rmdir(base);
}

static void assert_file(const struct directory *d, const char *path)
{
    struct directory_file file;
    struct stat status;
    struct buf text;

    assert_int_equal(directory_file_open(d, path, &file), 0);
    assert_int_equal(stat(at("root/file"), &status), 0);
    assert_int_equal(file.size_bytes, 5);
    assert_int_equal(file.inode, status.st_ino);
    assert_int_equal(file.modified_ns / 1000000000, status.st_mtim.tv_sec);
    assert_int_equal(file.modified_ns % 1000000000, status.st_mtim.tv_nsec);
    buf_init(&text, 5);
    assert_int_equal(directory_file_read(&file, &text), 0);
    assert_true(slice_equal(buf_slice(&text), SLICE_LITERAL("hello")));
    buf_fini(&text);
    close(file.fd);
}

static void test_beneath(void **state)
{
    assert_file(*state, "file");
    assert_file(*state, "inner");
    assert_file(*state, "deep");
    assert_file(*state, "folder/up");
}

static void test_not_beneath(void **state)
{
    static const char *const paths[] = {
        "",     "none",     "file/", "file/x",        "folder", "../outside",          "up",
        "loop", "absolute", "fifo",  "/etc/hostname", ".",      "folder/../../outside"};
    struct directory_file file;

    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        assert_int_equal(directory_file_open(*state, paths[i], &file), -ENOENT);
}

static void test_reading_is_bounded(void **state)
{
    struct directory_file file;
    struct buf text;

    assert_int_equal(directory_file_open(*state, "file", &file), 0);
    buf_init(&text, 4);
    assert_int_equal(directory_file_read(&file, &text), -EFBIG);
    buf_fini(&text);
    buf_init(&text, 100);
    file.size_bytes = 6; /* it became shorter after it was opened */
    assert_int_equal(directory_file_read(&file, &text), -EIO);
    buf_fini(&text);
    close(file.fd);
}

static void test_root_must_be_a_folder(void **state)
{
    struct directory *d;

    (void)state;
    assert_int_equal(directory_open(at("none"), &d), -ENOENT);
    assert_int_equal(directory_open(at("root/file"), &d), -ENOTDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beneath, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_beneath, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_must_be_a_folder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
