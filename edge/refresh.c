/* SPDX-License-Identifier: Apache-2.0 */
/* See refresh.h. */
#include "refresh.h"

#include <time.h>

void refresh_init(struct refresh *r, uint64_t interval_ms, refresh_fn *fn, void *user)
{
    pthread_condattr_t attributes;
    *r = (struct refresh){.fn = fn, .user = user, .interval_ms = interval_ms};
    pthread_mutex_init(&r->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct timespec later(uint64_t delay_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + delay_ms % 1000 * 1000000;
    return (struct timespec){t.tv_sec + (time_t)(delay_ms / 1000 + ns / 1000000000), (long)(ns % 1000000000)};
}

static void *run(void *user)
{
    struct refresh *r = user;
    pthread_mutex_lock(&r->mutex);
    while (!r->is_ending) {
        struct timespec until = later(r->interval_ms);
        while (!r->is_ending && !r->is_asked && pthread_cond_timedwait(&r->wake, &r->mutex, &until) == 0)
            ;
        bool is_asked = r->is_asked, is_ending = r->is_ending;
        r->is_asked = false;
        pthread_mutex_unlock(&r->mutex);
        if (!is_ending)
            r->fn(r->user, is_asked);
        pthread_mutex_lock(&r->mutex);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

int refresh_start(struct refresh *r)
{
    int status = pthread_create(&r->thread, NULL, run, r);
    r->is_started = status == 0;
    return -status;
}

static void tell(struct refresh *r, bool *flag)
{
    pthread_mutex_lock(&r->mutex);
    *flag = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->mutex);
}

void refresh_ask(struct refresh *r)
{
    tell(r, &r->is_asked);
}

void refresh_fini(struct refresh *r)
{
    if (r->is_started) {
        tell(r, &r->is_ending);
        pthread_join(r->thread, NULL);
    }
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->mutex);
}
