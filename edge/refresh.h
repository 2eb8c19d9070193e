/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that has somebody look at files now and then, and at once when it is asked to: what was configured
 * by a file's name can be exchanged while the edge serves.
 */
#ifndef REFRESH_H
#define REFRESH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* On the thread of its own. is_asked: refresh_ask was called, else the interval has passed. */
typedef void refresh_fn(void *user, bool is_asked);

/* Embedded in its owner. */
struct refresh {
    refresh_fn *fn;
    void *user;
    uint64_t interval_ms;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t mutex; /* the two below */
    pthread_cond_t wake;
    bool is_ending, is_asked;
};

void refresh_init(struct refresh *r, uint64_t interval_ms, refresh_fn *fn, void *user);
int refresh_start(struct refresh *r); /* 0 or a negative errno */
void refresh_ask(struct refresh *r);  /* soon; several are one */
void refresh_fini(struct refresh *r); /* waits for a call that runs; started or not */

#endif
