/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes with several senders: all arrive, each sender's in order. */
#include "io/mailbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SENDERS = 4, MESSAGES = 5000 };

struct receiver {
    struct loop *loop;
    struct mailbox *mailbox;
    unsigned next[SENDERS];
    unsigned total;
};

struct numbered {
    struct message message;
    struct receiver *receiver;
    unsigned sender, number;
};

struct sender {
    pthread_t thread;
    struct receiver *receiver;
    unsigned index;
};

static void on_numbered(struct message *m)
{
    struct numbered *n = container_of(m, struct numbered, message);
    struct receiver *r = n->receiver;

    assert_int_equal(n->number, r->next[n->sender]++);
    free(n);
    if (++r->total == SENDERS * MESSAGES)
        loop_stop(r->loop);
}

static void post(struct receiver *r, unsigned sender, unsigned number)
{
    struct numbered *n = malloc(sizeof(*n));

    if (!n)
        abort();
    *n = (struct numbered){.message.fn = on_numbered, .receiver = r, .sender = sender, .number = number};
    mailbox_post(r->mailbox, &n->message);
}

static void *send_all(void *user)
{
    struct sender *s = user;

    for (unsigned i = 0; i < MESSAGES; i++)
        post(s->receiver, s->index, i);
    return NULL;
}

static int set_up(void **state)
{
    struct receiver *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    assert_int_equal(loop_new(&r->loop), 0);
    assert_int_equal(mailbox_new(r->loop, &r->mailbox), 0);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct receiver *r = *state;

    if (r->mailbox)
        mailbox_free(r->mailbox);
    loop_free(r->loop);
    free(r);
    return 0;
}

static void test_many_senders(void **state)
{
    struct receiver *r = *state;
    struct sender senders[SENDERS];

    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].receiver = r;
        senders[i].index = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    loop_run(r->loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        assert_int_equal(r->next[i], MESSAGES);
    }
}

static void test_free_runs_what_is_queued(void **state)
{
    struct receiver *r = *state;

    post(r, 0, 0);
    post(r, 0, 1);
    mailbox_free(r->mailbox);
    r->mailbox = NULL;
    assert_int_equal(r->next[0], 2);
}

static void on_ending(struct message *m)
{
    struct numbered *n = container_of(m, struct numbered, message);
    struct receiver *r = n->receiver;

    free(n);
    mailbox_free(r->mailbox);
    r->mailbox = NULL;
    assert_int_equal(r->next[0], 1);
    loop_stop(r->loop);
}

/* The message that ends the mailbox is followed by one in the same batch. */
static void test_freed_by_a_message(void **state)
{
    struct receiver *r = *state;
    struct numbered *ending = malloc(sizeof(*ending));

    assert_non_null(ending);
    *ending = (struct numbered){.message.fn = on_ending, .receiver = r};
    mailbox_post(r->mailbox, &ending->message);
    post(r, 0, 0);
    loop_run(r->loop);
    assert_null(r->mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_senders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_runs_what_is_queued, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freed_by_a_message, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
