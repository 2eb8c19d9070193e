/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tls_fold.h. Connections' objects lie in slots of whole pages in one large range of addresses, which
 * take memory only where they are written to. OpenSSL's allocator is ours for that, and is malloc for all
 * else. Objects are told from the rest by being the first thing that SSL_new allocates; should that change,
 * they are not in slots, and are not folded.
 */
#include "tls_fold.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "io/tls.h"

#define PAGE       ((size_t)4096)
#define RANGE_SIZE ((size_t)2 << 30) /* of addresses: 262,144 connections of OpenSSL 3.0 */
#define OBJECT_MAX (4 * PAGE)        /* one that takes more is none of those that are meant */
#define WARM_MAX   256u              /* free slots that keep their memory, for those who come next */
#define WORD       sizeof(uint64_t)

static struct {
    char *range;           /* NULL: there are no slots; does not change once there are threads */
    pthread_mutex_t mutex; /* all below */
    size_t object_size;    /* 0: not known yet */
    uint32_t made_count;
    uint32_t warm[WARM_MAX], warm_count;
    uint32_t cold_count,
        cold[RANGE_SIZE / PAGE]; /* without memory, as the pages of this array are at first */
} slots = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The next allocation of this thread is a connection's object. */
static _Thread_local bool is_object_next;

/* --- slots --- */

static bool is_in_slot(const void *pointer)
{
    return slots.range && (uintptr_t)pointer - (uintptr_t)slots.range < RANGE_SIZE;
}

static size_t slot_size(void)
{
    return (slots.object_size + PAGE - 1) / PAGE * PAGE;
}

/* Under the mutex. */
static void *slot_take(size_t size)
{
    uint32_t index;

    if (slots.object_size == 0 && size > PAGE && size <= OBJECT_MAX)
        slots.object_size = size;
    if (slots.object_size == 0 || size != slots.object_size)
        return NULL;
    if (slots.warm_count > 0)
        index = slots.warm[--slots.warm_count];
    else if (slots.cold_count > 0)
        index = slots.cold[--slots.cold_count];
    else if (slots.made_count < RANGE_SIZE / slot_size())
        index = slots.made_count++;
    else
        return NULL;
    return slots.range + index * slot_size();
}

/* Under the mutex. */
static void slot_give(char *slot)
{
    uint32_t index = (uint32_t)((size_t)(slot - slots.range) / slot_size());

    if (slots.warm_count < WARM_MAX) {
        slots.warm[slots.warm_count++] = index;
        return;
    }
    madvise(slot, slot_size(), MADV_DONTNEED);
    slots.cold[slots.cold_count++] = index;
}

/* --- OpenSSL's allocator --- */

static void *allocate(size_t size, const char *file, int line)
{
    void *slot = NULL;

    (void)file, (void)line;
    if (is_object_next) {
        is_object_next = false;
        pthread_mutex_lock(&slots.mutex);
        slot = slot_take(size);
        pthread_mutex_unlock(&slots.mutex);
    }
    return slot ? slot : size > 0 ? malloc(size) : NULL;
}

static void release(void *pointer, const char *file, int line)
{
    (void)file, (void)line;
    if (!pointer) /* as nearly half of all that OpenSSL frees */
        return;
    if (!is_in_slot(pointer)) {
        free(pointer);
        return;
    }
    pthread_mutex_lock(&slots.mutex);
    slot_give(pointer);
    pthread_mutex_unlock(&slots.mutex);
}

static void *reallocate(void *pointer, size_t size, const char *file, int line)
{
    REQUIRE(!is_in_slot(pointer)); /* an object has one size */
    if (size > 0)
        return realloc(pointer, size);
    release(pointer, file, line);
    return NULL;
}

void tls_manage_memory(void)
{
    void *range;

    if (slots.range || sysconf(_SC_PAGESIZE) != (long)PAGE)
        return;
    range =
        mmap(NULL, RANGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return;
    madvise(range, RANGE_SIZE, MADV_NOHUGEPAGE); /* one would take the memory of 256 slots at once */
    if (CRYPTO_set_mem_functions(allocate, reallocate, release) == 1)
        slots.range = range;
    else
        munmap(range, RANGE_SIZE);
}

/* --- folding ---
 *
 * Folded are runs of words: first (where << 32 | how many), then the words. A single zero between two others
 * is part of their run: another run's first word would take as much. */

struct tls_folded {
    size_t word_count;
    uint64_t words[];
};

static uint64_t word_at(const char *object, size_t index)
{
    uint64_t word;

    memcpy(&word, object + index * WORD, WORD);
    return word;
}

/* The first word of the next run; `count` where there is none. */
static size_t run_begin(const char *object, size_t from, size_t count)
{
    while (from < count && word_at(object, from) == 0)
        from++;
    return from;
}

static size_t run_end(const char *object, size_t from, size_t count)
{
    size_t end = from;

    for (size_t i = from; i < count && i <= end + 2; i++)
        if (word_at(object, i) != 0)
            end = i;
    return end + 1;
}

/* How many words it takes; `to` NULL: only counts. */
static size_t fold(const char *object, size_t count, uint64_t *to)
{
    size_t filled = 0;

    for (size_t begin = run_begin(object, 0, count), end; begin < count;
         begin = run_begin(object, end, count)) {
        end = run_end(object, begin, count);
        if (to) {
            to[filled] = (uint64_t)begin << 32 | (end - begin);
            memcpy(to + filled + 1, object + begin * WORD, (end - begin) * WORD);
        }
        filled += 1 + end - begin;
    }
    return filled;
}

SSL *tls_fold_new(SSL_CTX *context)
{
    SSL *ssl;

    is_object_next = slots.range != NULL;
    ssl = SSL_new(context);
    is_object_next = false;
    return ssl;
}

struct tls_folded *tls_fold(SSL *ssl)
{
    const char *object = (const char *)ssl;
    size_t count = (slots.object_size + WORD - 1) / WORD, size;
    struct tls_folded *folded;

    if (!is_in_slot(ssl) || (size_t)(object - slots.range) % slot_size() != 0)
        return NULL;
    size = fold(object, count, NULL);
    folded = malloc(sizeof(*folded) + size * WORD);
    if (!folded)
        return NULL;
    folded->word_count = fold(object, count, folded->words);
    madvise(ssl, slot_size(), MADV_DONTNEED);
    return folded;
}

void tls_unfold(SSL *ssl, struct tls_folded *folded)
{
    size_t length;

    for (size_t i = 0; i < folded->word_count; i += 1 + length) {
        length = (uint32_t)folded->words[i];
        memcpy((char *)ssl + (folded->words[i] >> 32) * WORD, folded->words + i + 1, length * WORD);
    }
    OPENSSL_cleanse(folded, sizeof(*folded) + folded->word_count * WORD); /* it has had keys */
    free(folded);
}
