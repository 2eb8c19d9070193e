/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How threads talk: a queue of messages per loop, and one wake-up per batch. The receiver gets the messages
 * in the order in which each sender posted them.
 */
#ifndef IO_MAILBOX_H
#define IO_MAILBOX_H

#include "io/loop.h"

struct mailbox;

/* Embedded in what is sent. Its memory belongs to the sender until it is posted, then to the receiver's fn.
 */
struct message;
typedef void message_fn(struct message *m);
struct message {
    struct message *next;
    message_fn *fn; /* called on the receiver's thread */
};

int mailbox_new(struct loop *l, struct mailbox **ret_mailbox);
void mailbox_free(struct mailbox *m); /* on the loop's thread; runs what is still queued first */

/* From any thread. Never fails and never blocks longer than a queue's mutex. Wakes the loop only when its
 * queue was empty. */
void mailbox_post(struct mailbox *m, struct message *message);

#endif
