/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox: a queue under a mutex, and a uv_async that wakes its loop when the queue was empty. The wake-up
 * is sent with the mutex held, so that mailbox_free, which takes it too, never pulls the handle away under a
 * sender that has queued its message already.
 */
#include "io/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "loop_private.h"

struct mailbox {
    uv_async_t async;
    struct message *batch; /* taken from the queue, being called; the loop's thread only */

    pthread_mutex_t mutex; /* guards the queue */
    struct message *first, **end;
};

/* Takes what is queued at the end of what is being called. */
static void take(struct mailbox *m)
{
    struct message **end = &m->batch;

    while (*end)
        end = &(*end)->next;
    pthread_mutex_lock(&m->mutex);
    *end = m->first;
    m->first = NULL;
    m->end = &m->first;
    pthread_mutex_unlock(&m->mutex);
}

static void call_batch(struct mailbox *m)
{
    while (m->batch) {
        struct message *message = m->batch;

        m->batch = message->next;
        message->fn(message);
    }
}

static void on_async(uv_async_t *handle)
{
    struct mailbox *m = container_of(handle, struct mailbox, async);

    take(m);
    call_batch(m);
}

int mailbox_new(struct loop *l, struct mailbox **ret_mailbox)
{
    struct mailbox *m = calloc(1, sizeof(*m));
    int status;

    if (!m)
        return -ENOMEM;
    status = uv_async_init(loop_uv(l), &m->async, on_async);
    if (status < 0) {
        free(m);
        return status;
    }
    pthread_mutex_init(&m->mutex, NULL);
    m->end = &m->first;
    *ret_mailbox = m;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *m = container_of((uv_async_t *)handle, struct mailbox, async);

    pthread_mutex_destroy(&m->mutex);
    free(m);
}

void mailbox_free(struct mailbox *m)
{
    for (take(m); m->batch; take(m)) /* messages may post messages */
        call_batch(m);
    uv_close((uv_handle_t *)&m->async, on_closed);
}

void mailbox_post(struct mailbox *m, struct message *message)
{
    bool was_empty;

    message->next = NULL;
    pthread_mutex_lock(&m->mutex);
    was_empty = !m->first;
    *m->end = message;
    m->end = &message->next;
    if (was_empty)
        uv_async_send(&m->async);
    pthread_mutex_unlock(&m->mutex);
}
