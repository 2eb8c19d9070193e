/* SPDX-License-Identifier: Apache-2.0 */
/* The table of guarded maps, and the handler, which only loads, stores and calls mmap. */
#include "base/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/check.h"

struct guarded {
    _Atomic uintptr_t begin; /* 0: free. Stored last when taken, and first when given back */
    _Atomic size_t size;     /* looked at by who looks for another map, while this entry changes hands */
    bool is_writable;
    _Atomic bool *mark;
};

_Atomic unsigned guard_losses;

static struct guarded maps[GUARD_MAPS_MAX];
static _Atomic unsigned maps_used; /* entries behind were never taken */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction before;

/* A size counts for the map whose begin stands there before and after it was read. */
static bool holds(const struct guarded *g, uintptr_t address)
{
    uintptr_t begin = atomic_load_explicit(&g->begin, memory_order_acquire);
    if (begin == 0 || address < begin)
        return false;
    return address - begin < atomic_load_explicit(&g->size, memory_order_acquire) &&
           atomic_load_explicit(&g->begin, memory_order_relaxed) == begin;
}

/* Whoever asks holds the map, so its own entry does not change meanwhile; the others may. */
static struct guarded *find(uintptr_t address)
{
    unsigned used = atomic_load_explicit(&maps_used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++)
        if (holds(&maps[i], address))
            return &maps[i];
    return NULL;
}

static void lose(struct guarded *g)
{
    atomic_store_explicit(g->mark, true, memory_order_release);
    atomic_fetch_add_explicit(&guard_losses, 1, memory_order_release);
}

/* The mark is there before the zeros are: who sees zeros and looks sees the mark. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    struct guarded *g = find((uintptr_t)info->si_addr);
    if (!g) {
        sigaction(number, &before, NULL); /* raised again on return */
        return;
    }
    lose(g);
    int protection = g->is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
    /* A number, as find() compares it without a lock. NOLINTNEXTLINE(performance-no-int-to-ptr) */
    void *begin = (void *)atomic_load_explicit(&g->begin, memory_order_relaxed);
    if (mmap(begin, g->size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        sigaction(number, &before, NULL);
}

void guard_take_signal(void)
{
    struct sigaction now, action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(SIGBUS, &action, &now) == 0);
    if (now.sa_sigaction != on_bus_error)
        before = now;
}

bool guard_add(void *map, size_t size, bool is_writable, _Atomic bool *mark)
{
    unsigned i = 0;
    pthread_once(&once, guard_take_signal);
    pthread_mutex_lock(&mutex);
    while (i < GUARD_MAPS_MAX && atomic_load_explicit(&maps[i].begin, memory_order_relaxed) != 0)
        i++;
    if (i < GUARD_MAPS_MAX) {
        atomic_store_explicit(&maps[i].size, size, memory_order_release);
        maps[i].is_writable = is_writable;
        maps[i].mark = mark;
        atomic_store_explicit(&maps[i].begin, (uintptr_t)map, memory_order_release);
        if (i >= atomic_load_explicit(&maps_used, memory_order_relaxed))
            atomic_store_explicit(&maps_used, i + 1, memory_order_release);
    }
    pthread_mutex_unlock(&mutex);
    return i < GUARD_MAPS_MAX;
}

void guard_remove(void *map)
{
    pthread_mutex_lock(&mutex);
    struct guarded *g = find((uintptr_t)map);
    if (CHECK(g))
        atomic_store_explicit(&g->begin, 0, memory_order_release);
    pthread_mutex_unlock(&mutex);
}

void guard_lose(const void *data)
{
    struct guarded *g = find((uintptr_t)data);
    if (g)
        lose(g);
}

bool guard_search(const void *data)
{
    struct guarded *g = find((uintptr_t)data);
    return g && atomic_load_explicit(g->mark, memory_order_acquire);
}
