/* SPDX-License-Identifier: Apache-2.0 */
/* The thread, and how it is told to end. */
#include "store/warden.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define INTERVAL_S 1

struct warden {
    warden_fn look; /* fixed */
    void *context;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool is_stopping; /* guarded by mutex */
};

/* False when it was told to end. */
static bool wait_a_second(struct warden *w)
{
    struct timespec until;
    int rv = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += INTERVAL_S;
    pthread_mutex_lock(&w->mutex);
    while (!w->is_stopping && rv != ETIMEDOUT)
        rv = pthread_cond_timedwait(&w->wake, &w->mutex, &until);
    bool goes_on = !w->is_stopping;
    pthread_mutex_unlock(&w->mutex);
    return goes_on;
}

static void *warden_thread(void *argument)
{
    struct warden *w = argument;
    while (wait_a_second(w))
        w->look(w->context, (int64_t)clock_monotonic_ms());
    return NULL;
}

static void warden_free(struct warden *w)
{
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

int warden_start(warden_fn look, void *context, struct warden **ret_warden)
{
    sigset_t all, before;
    pthread_condattr_t attributes;
    struct warden *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->look = look;
    w->context = context;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a map: base/guard.h */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rv = -pthread_create(&w->thread, NULL, warden_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv < 0)
        warden_free(w);
    else
        *ret_warden = w;
    return rv;
}

void warden_stop(struct warden *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->is_stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    warden_free(w);
}
