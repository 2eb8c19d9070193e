/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: order of timers and of put-off work, stopping from outside, signals. */
#include "io/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

struct script {
    struct loop *loop;
    char events[32];
    size_t count;
    struct timer a, b, c;
    struct later x, y;
};

static void note(struct script *s, char event)
{
    assert_true(s->count < sizeof(s->events) - 1);
    s->events[s->count++] = event;
}

static int set_up(void **state)
{
    static struct script script;

    script = (struct script){0};
    *state = &script;
    return loop_new(&script.loop);
}

static int tear_down(void **state)
{
    struct script *s = *state;

    loop_free(s->loop);
    return 0;
}

static struct script *script; /* of the running test: timers carry no user pointer, and a test has one loop */

static void on_a(struct timer *t)
{
    (void)t;
    note(script, 'a');
}

static void on_b(struct timer *t)
{
    (void)t;
    note(script, 'b');
}

static void on_last(struct timer *t)
{
    (void)t;
    note(script, '.');
    loop_stop(script->loop);
}

static void on_stopper(struct timer *t)
{
    (void)t;
    note(script, 's');
    timer_stop(&script->b);
}

static void test_timers_in_order(void **state)
{
    struct script *s = script = *state;
    uint64_t start_ms = loop_now_ms(s->loop);

    timer_init(&s->a, on_a);
    timer_init(&s->b, on_b);
    timer_init(&s->c, on_last);
    timer_start(s->loop, &s->c, 80);
    timer_start(s->loop, &s->a, 40);
    timer_start(s->loop, &s->b, 1);
    loop_run(s->loop);
    assert_string_equal(s->events, "ba.");
    assert_true(loop_now_ms(s->loop) >= start_ms + 80);
    assert_false(timer_is_running(&s->a));
}

static void test_timer_moved_and_stopped(void **state)
{
    struct script *s = script = *state;

    timer_init(&s->a, on_a);
    timer_init(&s->b, on_b);
    timer_init(&s->c, on_last);
    timer_start(s->loop, &s->a, 1);
    timer_start(s->loop, &s->b, 20);
    timer_start(s->loop, &s->c, 100);
    timer_start(s->loop, &s->a, 60);
    timer_stop(&s->b);
    timer_stop(&s->b);
    loop_run(s->loop);
    assert_string_equal(s->events, "a.");
}

/* Both are due in the same wake-up, and the first stops the second. */
static void test_timer_stops_another_that_is_due(void **state)
{
    struct script *s = script = *state;

    timer_init(&s->a, on_stopper);
    timer_init(&s->b, on_b);
    timer_init(&s->c, on_last);
    timer_start(s->loop, &s->a, 10);
    timer_start(s->loop, &s->b, 10);
    timer_start(s->loop, &s->c, 60);
    loop_run(s->loop);
    assert_string_equal(s->events, "s.");
}

static void on_later_x(struct later *later)
{
    (void)later;
    note(script, 'x');
    later_start(script->loop, &script->y);
    later_start(script->loop, &script->y);
    note(script, 'o');
}

static void on_later_y(struct later *later)
{
    (void)later;
    note(script, 'y');
    loop_stop(script->loop);
}

static void on_timer_puts_off(struct timer *t)
{
    (void)t;
    later_start(script->loop, &script->x);
    note(script, 't');
}

/* No timer runs when x puts off y: were the loop to wait then, this test would never end. */
static void test_later_runs_after_its_starter_and_before_waiting(void **state)
{
    struct script *s = script = *state;

    timer_init(&s->a, on_timer_puts_off);
    later_init(&s->x, on_later_x);
    later_init(&s->y, on_later_y);
    timer_start(s->loop, &s->a, 1);
    loop_run(s->loop);
    assert_string_equal(s->events, "txoy");
}

static void on_later_stops_y(struct later *later)
{
    (void)later;
    note(script, 'x');
    later_stop(&script->y);
    loop_stop(script->loop);
}

static void test_later_stopped_by_an_earlier_one(void **state)
{
    struct script *s = script = *state;

    later_init(&s->x, on_later_stops_y);
    later_init(&s->y, on_later_y);
    later_start(s->loop, &s->x);
    later_start(s->loop, &s->y);
    loop_run(s->loop);
    assert_string_equal(s->events, "x");
}

/* What was put off may be the last that knows of something. */
static void test_free_runs_what_was_put_off(void **state)
{
    struct script *s = script = *state;

    later_init(&s->x, on_later_x);
    later_init(&s->y, on_later_y);
    later_start(s->loop, &s->x);
    loop_free(s->loop);
    assert_string_equal(s->events, "xoy");
    assert_int_equal(loop_new(&s->loop), 0); /* for the tear-down */
}

static void *stop_from_outside(void *loop)
{
    loop_stop(loop);
    return NULL;
}

static void test_stop_from_another_thread(void **state)
{
    struct script *s = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, s->loop), 0);
    loop_run(s->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void on_signal(int signal_number, void *user)
{
    struct script *s = user;

    assert_int_equal(signal_number, SIGUSR1);
    note(s, 'u');
    loop_stop(s->loop);
}

static void test_signal(void **state)
{
    struct script *s = *state;

    assert_int_equal(loop_on_signal(s->loop, SIGUSR1, on_signal, s), 0);
    raise(SIGUSR1);
    loop_run(s->loop);
    raise(SIGUSR1);
    loop_run(s->loop);
    assert_string_equal(s->events, "uu");
    assert_true(loop_on_signal(s->loop, SIGKILL, on_signal, s) < 0);
}

static void on_timer_reads_clock(struct timer *t)
{
    (void)t;
    assert_true(loop_wall_ms(script->loop) > INT64_C(1700000000000));
    assert_int_equal(loop_wall_ms(script->loop), loop_wall_ms(script->loop));
    loop_stop(script->loop);
}

static void test_wall_clock(void **state)
{
    struct script *s = script = *state;

    timer_init(&s->a, on_timer_reads_clock);
    timer_start(s->loop, &s->a, 1);
    loop_run(s->loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timer_moved_and_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timer_stops_another_that_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later_runs_after_its_starter_and_before_waiting, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_later_stopped_by_an_earlier_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_runs_what_was_put_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_from_another_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_signal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wall_clock, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
