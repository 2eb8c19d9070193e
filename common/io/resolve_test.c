/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution: literals, a name that every system has, names that cannot exist, and what is kept of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "resolve.c" // NOLINT(bugprone-suspicious-include): to make entries old without waiting

struct question {
    struct resolve resolve;
    struct loop *loop;
    unsigned answers;
    int status;
    size_t count;
    struct addr first;
};

struct world {
    struct loop *loop;
    struct resolver *resolver;
    struct question questions[3];
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    assert_int_equal(loop_new(&w->loop), 0);
    assert_int_equal(resolver_new(w->loop, &w->resolver), 0);
    for (size_t i = 0; i < ARRAY_COUNT(w->questions); i++)
        w->questions[i].loop = w->loop;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    if (w->resolver)
        resolver_free(w->resolver);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void on_answer(struct resolve *r, int status, const struct addr *addresses, size_t count)
{
    struct question *q = container_of(r, struct question, resolve);

    q->answers++;
    q->status = status;
    q->count = count;
    if (count > 0)
        q->first = addresses[0];
    loop_stop(q->loop);
}

static int ask(struct world *w, size_t index, const char *name, uint16_t port)
{
    return resolve_start(w->resolver, &w->questions[index].resolve, name, port, on_answer);
}

static void assert_answer(const struct question *q, const char *address)
{
    char text[ADDR_TEXT_MAX];

    assert_int_equal(q->status, 0);
    addr_format(&q->first, text);
    assert_string_equal(text, address);
}

static void test_literals_answer_at_once(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, 0, "192.0.2.7", 80), 1);
    assert_answer(&w->questions[0], "192.0.2.7:80");
    assert_int_equal(ask(w, 0, "2001:db8::7", 443), 1);
    assert_answer(&w->questions[0], "[2001:db8::7]:443");
    assert_int_equal(w->questions[0].answers, 2);
}

static void test_what_is_no_name(void **state)
{
    struct world *w = *state;
    char long_name[400];

    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(ask(w, 0, "", 80), 1);
    assert_int_equal(w->questions[0].status, UV_EAI_NONAME);
    assert_int_equal(ask(w, 0, long_name, 80), 1);
    assert_int_equal(w->questions[0].status, UV_EAI_NONAME);
    assert_int_equal(w->questions[0].answers, 2);
}

/* An address with a port is no host; it must not pass for the address. */
static void test_port_in_the_name_is_refused(void **state)
{
    struct world *w = *state;

    if (ask(w, 0, "192.0.2.7:81", 80) == 0)
        loop_run(w->loop);
    assert_int_equal(w->questions[0].answers, 1);
    assert_true(w->questions[0].status < 0);
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t six[16] = {[15] = 1};

    return addr_is_ipv4(a) ? a->ip[12] == 127 : memcmp(a->ip, six, sizeof(six)) == 0;
}

static void test_name_is_asked_once_and_kept(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, 0, "localhost", 1), 0);
    assert_int_equal(ask(w, 1, "LocalHost", 2), 0);
    assert_int_equal(w->resolver->entry_count, 1);
    assert_int_equal(w->questions[0].answers, 0);
    loop_run(w->loop);
    for (uint16_t i = 0; i < 2; i++) {
        assert_int_equal(w->questions[i].answers, 1);
        assert_int_equal(w->questions[i].status, 0);
        assert_true(is_loopback(&w->questions[i].first));
        assert_int_equal(w->questions[i].first.port, i + 1);
    }
    assert_int_equal(ask(w, 2, "localhost", 3), 1);
    assert_int_equal(w->questions[2].first.port, 3);
    assert_null(LIST_FIRST(&w->resolver->entries, struct entry, node)->lookup);
}

static void test_name_that_does_not_exist(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, 0, "a.invalid", 80), 0);
    loop_run(w->loop);
    assert_int_equal(w->questions[0].answers, 1);
    assert_true(w->questions[0].status < 0);
    assert_int_equal(w->questions[0].count, 0);
    assert_int_equal(ask(w, 0, "a.invalid", 80), 0); /* a failure is not kept */
}

static void test_cancelled_question(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, 0, "localhost", 1), 0);
    assert_int_equal(ask(w, 1, "localhost", 1), 0);
    resolve_cancel(&w->questions[0].resolve);
    resolve_cancel(&w->questions[0].resolve);
    resolve_cancel(&w->questions[2].resolve);
    loop_run(w->loop);
    assert_int_equal(w->questions[0].answers, 0);
    assert_int_equal(w->questions[1].answers, 1);
}

static struct entry *answered_and_old(struct world *w)
{
    struct entry *e;

    assert_int_equal(ask(w, 0, "localhost", 1), 0);
    loop_run(w->loop);
    e = LIST_FIRST(&w->resolver->entries, struct entry, node);
    e->asked_ms -= RESOLVE_TTL_MS;
    return e;
}

static void run_until_looked_up(struct world *w, const struct entry *e)
{
    while (e->lookup)
        uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

static void test_old_answer_is_used_while_it_is_asked_again(void **state)
{
    struct world *w = *state;
    struct entry *e = answered_and_old(w);

    assert_int_equal(ask(w, 1, "localhost", 1), 1);
    assert_int_equal(w->questions[1].status, 0);
    assert_non_null(e->lookup);
    assert_int_equal(ask(w, 1, "localhost", 1), 1);
    run_until_looked_up(w, e);
    assert_int_equal(ask(w, 1, "localhost", 1), 1);
    assert_null(e->lookup);
    assert_int_equal(w->questions[1].answers, 3);
}

static void test_old_answer_is_kept_when_asking_again_fails(void **state)
{
    struct world *w = *state;
    struct entry *e = answered_and_old(w);

    memcpy(e->name, "a.invalid", sizeof("a.invalid"));
    assert_int_equal(ask(w, 1, "a.invalid", 1), 1);
    run_until_looked_up(w, e);
    assert_int_equal(ask(w, 1, "a.invalid", 1), 1);
    assert_int_equal(w->questions[1].status, 0);
    assert_true(is_loopback(&w->questions[1].first));
    assert_null(e->lookup); /* it is not asked again before its time */
}

static void test_least_recently_used_name_goes(void **state)
{
    struct world *w = *state;
    char name[32];

    assert_int_equal(ask(w, 0, "localhost", 1), 0);
    loop_run(w->loop);
    for (size_t i = 0; i < RESOLVE_NAMES_MAX - 1; i++) {
        snprintf(name, sizeof(name), "n%zu.invalid", i);
        assert_int_equal(ask(w, 1, name, 1), 0);
        resolve_cancel(&w->questions[1].resolve);
    }
    assert_int_equal(w->resolver->entry_count, RESOLVE_NAMES_MAX);
    assert_int_equal(ask(w, 2, "localhost", 1), 1);
    assert_int_equal(ask(w, 1, "one.more.invalid", 1), 0);
    assert_int_equal(w->resolver->entry_count, RESOLVE_NAMES_MAX);
    assert_int_equal(ask(w, 2, "localhost", 1), 1);
    assert_null(find(w->resolver, SLICE_LITERAL("n0.invalid")));
    assert_non_null(find(w->resolver, SLICE_LITERAL("n1.invalid")));
}

static void test_freed_while_a_lookup_runs(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, 0, "localhost", 1), 0);
    resolver_free(w->resolver);
    w->resolver = NULL;
    resolve_cancel(&w->questions[0].resolve);
    assert_int_equal(w->questions[0].answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_literals_answer_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_port_in_the_name_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_is_asked_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_that_does_not_exist, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled_question, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_answer_is_used_while_it_is_asked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_answer_is_kept_when_asking_again_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_least_recently_used_name_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freed_while_a_lookup_runs, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
