/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot, six pages:
 *
 *   0        3 KiB                            5 pages       6 pages
 *   | front  | the frame that is being made    | a table     |
 *
 * The front holds what is small and comes first, the session itself; it shares its page with the beginning of
 * the frame, which for nearly every frame that does not go its own way is all of it. Free slots are zeros.
 */
#include "h2_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"

#define PAGE        ((size_t)4096) /* where pages are larger there are no slots */
#define FRONT_SIZE  ((size_t)3072)
#define FRAME_MIN   ((size_t)8 << 10)
#define TABLE_AT    (5 * PAGE)
#define TABLE_MIN   ((size_t)2 << 10)
#define SLOT_SIZE   (6 * PAGE)
#define CHUNK_SLOTS 64u
#define CHUNK_SIZE  (CHUNK_SLOTS * SLOT_SIZE)
#define ALIGNMENT   ((size_t)16)

struct h2_pool {
    struct list roomy, full; /* chunks */
    size_t used;             /* slots */
    bool is_over;            /* nothing new is asked of it */
};

struct h2_chunk {
    struct list node;
    char *slots;
    uint64_t used; /* a bit for each */
};

/* --- Slots. --- */

struct h2_pool *h2_pool_new(void)
{
    struct h2_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    list_init(&pool->roomy);
    list_init(&pool->full);
    return pool;
}

static void free_chunk(struct h2_chunk *chunk)
{
    list_remove(&chunk->node);
    munmap(chunk->slots, CHUNK_SIZE);
    free(chunk);
}

static void free_pool(struct h2_pool *pool)
{
    struct h2_chunk *chunk, *following;

    LIST_FOR_EACH_SAFE (chunk, following, &pool->roomy, node)
        free_chunk(chunk);
    free(pool);
}

void h2_pool_free(struct h2_pool *pool)
{
    if (!pool)
        return;
    pool->is_over = true;
    if (pool->used == 0)
        free_pool(pool);
}

static struct h2_chunk *add_chunk(struct h2_pool *pool)
{
    struct h2_chunk *chunk = calloc(1, sizeof(*chunk));
    void *slots = MAP_FAILED;

    if (chunk)
        slots = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) {
        free(chunk);
        return NULL;
    }
    madvise(slots, CHUNK_SIZE, MADV_NOHUGEPAGE); /* one of those would be touched as a whole */
    chunk->slots = slots;
    list_push_front(&pool->roomy, &chunk->node);
    return chunk;
}

static void take_slot(struct h2_memory *m)
{
    struct h2_pool *pool = m->pool;
    struct h2_chunk *chunk = NULL;
    unsigned number;

    if (sysconf(_SC_PAGESIZE) != (long)PAGE)
        return;
    chunk = list_is_empty(&pool->roomy) ? add_chunk(pool) : LIST_FIRST(&pool->roomy, struct h2_chunk, node);
    if (!chunk)
        return;
    number = (unsigned)__builtin_ctzll(~chunk->used);
    chunk->used |= UINT64_C(1) << number;
    pool->used++;
    m->chunk = chunk;
    m->slot = chunk->slots + number * SLOT_SIZE;
    if (chunk->used == UINT64_MAX) {
        list_remove(&chunk->node);
        list_push_back(&pool->full, &chunk->node);
    }
}

/* Pages that hold nothing of use become zeros that cost nothing. */
static void drop(char *pages, size_t size)
{
    if (madvise(pages, size, MADV_DONTNEED) != 0) /* they are locked */
        memset(pages, 0, size);
}

/* An empty chunk stays only where it is the only one with room. */
static void give_slot_back(struct h2_memory *m)
{
    struct h2_chunk *chunk = m->chunk;

    drop(m->slot, SLOT_SIZE);
    list_remove(&chunk->node);
    list_push_front(&m->pool->roomy, &chunk->node);
    chunk->used &= ~(UINT64_C(1) << (size_t)(m->slot - chunk->slots) / SLOT_SIZE);
    if (chunk->used == 0 && chunk->node.next != &m->pool->roomy)
        free_chunk(chunk);
    m->chunk = NULL;
    if (--m->pool->used == 0 && m->pool->is_over)
        free_pool(m->pool);
}

/* --- What nghttp2 calls. --- */

/* Zeros in the slot, or NULL: it has no place for these. */
static void *place(struct h2_memory *m, size_t size, bool is_zeroed)
{
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (!m->is_making || !m->chunk || size == 0)
        return NULL;
    if (size <= FRONT_SIZE && rounded <= FRONT_SIZE - m->front_filled) {
        m->front_filled += rounded;
        return m->slot + m->front_filled - rounded;
    }
    if (!m->has_frame && size >= FRAME_MIN && size <= TABLE_AT - FRONT_SIZE) {
        m->has_frame = true;
        return m->slot + FRONT_SIZE;
    }
    if (!m->has_table && is_zeroed && size >= TABLE_MIN && size <= SLOT_SIZE - TABLE_AT) {
        m->has_table = true;
        return m->slot + TABLE_AT;
    }
    return NULL;
}

static bool is_in_slot(const struct h2_memory *m, const void *at)
{
    return m->chunk && (uintptr_t)at - (uintptr_t)m->slot < SLOT_SIZE;
}

static void *on_malloc(size_t size, void *user)
{
    void *at = place(user, size, false);

    return at ? at : malloc(size);
}

static void *on_calloc(size_t count, size_t size, void *user)
{
    void *at = count > 0 && size <= SLOT_SIZE / count ? place(user, count * size, true) : NULL;

    // NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): nothing may be asked for, too
    return at ? at : calloc(count, size);
}

/* What leaves its place in a slot leaves it unused. */
static void on_free(void *at, void *user)
{
    if (!is_in_slot(user, at))
        free(at);
}

/* How much was asked for is not known: as much may be copied as its part of the slot has behind it. */
static void *on_realloc(void *at, size_t size, void *user)
{
    const struct h2_memory *m = user;
    size_t offset, end;
    void *moved;

    if (!at)
        return on_malloc(size, user);
    if (!is_in_slot(m, at))
        return realloc(at, size);
    offset = (size_t)((char *)at - m->slot);
    end = offset < FRONT_SIZE ? FRONT_SIZE : offset < TABLE_AT ? TABLE_AT : SLOT_SIZE;
    moved = malloc(size);
    if (moved)
        memcpy(moved, at, size_min(size, end - offset));
    return moved;
}

nghttp2_mem h2_memory_init(struct h2_memory *m, struct h2_pool *pool)
{
    *m = (struct h2_memory){.pool = pool, .is_making = true};
    take_slot(m);
    return (nghttp2_mem){m, on_malloc, on_free, on_calloc, on_realloc};
}

void h2_memory_made(struct h2_memory *m)
{
    m->is_making = false;
}

void h2_memory_fini(struct h2_memory *m)
{
    if (m->chunk)
        give_slot_back(m);
}

static bool is_zero(const char *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* A page of zeros may go whatever it is used for: it is read as zeros when it comes back. */
void h2_memory_rest(struct h2_memory *m)
{
    if (m->has_table && is_zero(m->slot + TABLE_AT, PAGE))
        drop(m->slot + TABLE_AT, PAGE);
}
