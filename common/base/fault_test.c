/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/fault.h: the functions behind FAULT, which are there in every build.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"

static int disarm(void **state)
{
    (void)state;
    fault_disarm_all();
    return 0;
}

static void test_nth(void **state)
{
    (void)state;
    assert_false(fault_fires("a"));
    fault_arm("a", 3, false);
    assert_false(fault_fires("a"));
    assert_false(fault_fires("b"));
    assert_false(fault_fires("a"));
    assert_true(fault_fires("a"));
    assert_false(fault_fires("a"));
}

static void test_repeat(void **state)
{
    (void)state;
    fault_arm("a", 2, true);
    fault_arm("b", 1, false);
    assert_false(fault_fires("a"));
    for (int i = 0; i < 5; i++)
        assert_true(fault_fires("a"));
    fault_arm("a", 2, false); /* again: the new wish counts */
    assert_false(fault_fires("a"));
    assert_true(fault_fires("a"));
    assert_false(fault_fires("a"));
    fault_disarm_all();
    assert_false(fault_fires("b"));
}

static void test_text(void **state)
{
    (void)state;
    fault_arm_from_text("a:1,store.pwrite:2:repeat,,no-number:,x,y:0,z:1:often,w:1:repeat:1,:1,b:1");
    assert_true(fault_fires("a"));
    assert_false(fault_fires("a"));
    assert_false(fault_fires("store.pwrite"));
    assert_true(fault_fires("store.pwrite"));
    assert_true(fault_fires("store.pwrite"));
    assert_true(fault_fires("b"));
    for (const char *name = "xyzw"; *name; name++)
        assert_false(fault_fires((const char[]){*name, '\0'}));
    assert_false(fault_fires("no-number"));
    assert_false(fault_fires(""));
}

static void test_places_are_reused(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        fault_arm(name, 1, false);
        assert_true(fault_fires(name));
    }
}

static void *pass_often(void *fired)
{
    for (int i = 0; i < 1000; i++)
        if (fault_fires("shared"))
            atomic_fetch_add((atomic_int *)fired, 1);
    return NULL;
}

static void test_fires_once_over_all_threads(void **state)
{
    atomic_int fired = 0;
    pthread_t threads[4];

    (void)state;
    fault_arm("shared", 2000, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass_often, &fired), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fired, 1);
}

static void test_gate(void **state)
{
    char folder[] = "fault_test.XXXXXX", path[64];
    FILE *file;

    (void)state;
    unsetenv("SHOREBREAK_FAULT_GATES");
    assert_false(fault_gate_is_shut("gate"));
    assert_non_null(mkdtemp(folder));
    setenv("SHOREBREAK_FAULT_GATES", folder, 1);
    assert_false(fault_gate_is_shut("gate"));
    snprintf(path, sizeof(path), "%s/gate", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_true(fault_gate_is_shut("gate"));
    assert_false(fault_gate_is_shut("another"));
    unlink(path);
    assert_false(fault_gate_is_shut("gate"));
    rmdir(folder);
    unsetenv("SHOREBREAK_FAULT_GATES");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nth, disarm),
        cmocka_unit_test_teardown(test_repeat, disarm),
        cmocka_unit_test_teardown(test_text, disarm),
        cmocka_unit_test_teardown(test_places_are_reused, disarm),
        cmocka_unit_test_teardown(test_fires_once_over_all_threads, disarm),
        cmocka_unit_test(test_gate),
    };
    log_set_level(LOG_ERROR + 1); /* what is refused on purpose need not be read */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
