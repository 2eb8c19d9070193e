/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points. Passing one costs a relaxed load while none is armed; the table is behind a mutex, for a test
 * may arm from one thread what another passes.
 */
#include "base/fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/slice.h"

#define POINTS_MAX     16
#define NAME_MAX_BYTES 48

struct point {
    char name[NAME_MAX_BYTES]; /* empty: this place is free */
    unsigned passes_left;      /* until it fires; 1 is the next */
    bool repeat;
};

static pthread_mutex_t points_lock = PTHREAD_MUTEX_INITIALIZER;
static struct point points[POINTS_MAX];
static atomic_uint armed_count;
static atomic_uint disarmed_count; /* times that all were */

/* Under the lock. */
static struct point *find_point(struct slice name)
{
    for (size_t i = 0; i < POINTS_MAX; i++)
        if (points[i].name[0] && slice_equal(slice_of(points[i].name), name))
            return &points[i];
    return NULL;
}

static struct point *find_free(void)
{
    for (size_t i = 0; i < POINTS_MAX; i++)
        if (!points[i].name[0])
            return &points[i];
    return NULL;
}

static void release_point(struct point *p)
{
    p->name[0] = '\0';
    atomic_fetch_sub(&armed_count, 1);
}

static bool arm(struct slice name, unsigned nth, bool repeat)
{
    struct point *p;

    if (name.size == 0 || name.size >= NAME_MAX_BYTES || nth == 0)
        return false;
    pthread_mutex_lock(&points_lock);
    p = find_point(name);
    if (!p && (p = find_free())) {
        snprintf(p->name, sizeof(p->name), "%.*s", SLICE_ARG(name));
        atomic_fetch_add(&armed_count, 1);
    }
    if (p) {
        p->passes_left = nth;
        p->repeat = repeat;
    }
    pthread_mutex_unlock(&points_lock);
    return p != NULL;
}

void fault_arm(const char *name, unsigned nth, bool repeat)
{
    CHECK(arm(slice_of(name), nth, repeat));
}

void fault_disarm_all(void)
{
    pthread_mutex_lock(&points_lock);
    for (size_t i = 0; i < POINTS_MAX; i++)
        if (points[i].name[0])
            release_point(&points[i]);
    pthread_mutex_unlock(&points_lock);
    atomic_fetch_add(&disarmed_count, 1);
}

static bool arm_from_entry(struct slice entry)
{
    struct slice rest = entry, name, nth_text, word = SLICE_EMPTY;
    bool repeat;
    uint64_t nth;

    if (!slice_split(&rest, ':', &name) || !slice_split(&rest, ':', &nth_text))
        return false;
    repeat = slice_split(&rest, ':', &word);
    if (rest.data || (repeat && !slice_equal(word, SLICE_LITERAL("repeat"))))
        return false;
    return slice_to_u64(nth_text, &nth) && nth <= UINT32_MAX && arm(name, (unsigned)nth, repeat);
}

void fault_arm_from_text(const char *text)
{
    struct slice rest = slice_of(text), entry;

    while (slice_split(&rest, ',', &entry))
        if (entry.size > 0 && !arm_from_entry(entry))
            log_error("fault point not armed: \"%.*s\" is not name:nth[:repeat], or too many are armed",
                      SLICE_ARG(entry));
}

bool fault_fires(const char *name)
{
    struct point *p;
    bool fires = false;

    if (atomic_load_explicit(&armed_count, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&points_lock);
    p = find_point(slice_of(name));
    if (p && p->passes_left > 1) {
        p->passes_left--;
    } else if (p) {
        fires = true;
        if (!p->repeat)
            release_point(p);
    }
    pthread_mutex_unlock(&points_lock);
    if (fires)
        log_info("fault point %s fires", name);
    return fires;
}

bool fault_gate_is_shut(const char *name)
{
    const char *folder = getenv("SHOREBREAK_FAULT_GATES");
    char path[512];
    int size = folder ? snprintf(path, sizeof(path), "%s/%s", folder, name) : -1;

    return size > 0 && (size_t)size < sizeof(path) && access(path, F_OK) == 0;
}

void fault_hang(const char *name)
{
    unsigned before = atomic_load(&disarmed_count);
    if (!fault_fires(name))
        return;
    while (atomic_load(&disarmed_count) == before)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}
