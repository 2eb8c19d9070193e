/* SPDX-License-Identifier: Apache-2.0 */
/* FIFO, LRU, SIEVE, S3-FIFO and Belady's, as their authors describe them, on bytes instead of pages. */
#include "classics.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* ---- queues of objects ---- */

enum place { NOWHERE, MAIN, SMALL, GHOST };

struct item {
    uint32_t newer, older;
    uint8_t place, uses;
};

struct queue {
    uint32_t newest, oldest;
    uint64_t bytes;
};

struct sim {
    const struct trace *trace;
    uint64_t capacity_bytes;
    struct item *items; /* by object */
    struct queue queues[GHOST + 1];
    struct trace_result result;
};

static bool sim_init(struct sim *s, const struct trace *t, uint64_t capacity_bytes)
{
    *s = (struct sim){.trace = t, .capacity_bytes = capacity_bytes};
    s->items = calloc(t->object_count, sizeof(*s->items));
    for (unsigned i = 0; i <= GHOST; i++)
        s->queues[i] = (struct queue){NONE, NONE, 0};
    return s->items != NULL;
}

static bool sim_end(struct sim *s, struct trace_result *ret_result)
{
    free(s->items);
    *ret_result = s->result;
    return true;
}

static uint64_t size_of(const struct sim *s, uint32_t object)
{
    return s->trace->objects[object].size_bytes;
}

static void miss(struct sim *s, uint32_t object)
{
    s->result.missed_requests++;
    s->result.missed_bytes += size_of(s, object);
}

static void push(struct sim *s, enum place place, uint32_t object)
{
    struct queue *q = &s->queues[place];
    struct item *item = &s->items[object];
    *item = (struct item){.newer = NONE, .older = q->newest, .place = place, .uses = item->uses};
    if (q->newest != NONE)
        s->items[q->newest].newer = object;
    else
        q->oldest = object;
    q->newest = object;
    q->bytes += size_of(s, object);
}

static void take(struct sim *s, uint32_t object)
{
    struct item *item = &s->items[object];
    struct queue *q = &s->queues[item->place];
    if (item->newer != NONE)
        s->items[item->newer].older = item->older;
    else
        q->newest = item->older;
    if (item->older != NONE)
        s->items[item->older].newer = item->newer;
    else
        q->oldest = item->newer;
    q->bytes -= size_of(s, object);
    item->place = NOWHERE;
}

static bool fits(const struct sim *s, uint32_t object)
{
    return size_of(s, object) <= s->capacity_bytes;
}

static void store(struct sim *s, enum place place, uint32_t object)
{
    push(s, place, object);
    s->items[object].uses = 0;
    s->result.written_bytes += size_of(s, object);
}

/* ---- FIFO and LRU ---- */

static bool queue_run(const struct trace *t, uint64_t capacity_bytes, bool moves_on_hit,
                      struct trace_result *ret_result)
{
    struct sim s;
    if (!sim_init(&s, t, capacity_bytes))
        return false;
    for (uint32_t i = 0; i < t->request_count; i++) {
        uint32_t object = t->requests[i].object;
        if (s.items[object].place == MAIN) {
            if (moves_on_hit) {
                take(&s, object);
                push(&s, MAIN, object);
            }
            continue;
        }
        miss(&s, object);
        if (!fits(&s, object))
            continue;
        while (s.queues[MAIN].bytes + size_of(&s, object) > capacity_bytes)
            take(&s, s.queues[MAIN].oldest);
        store(&s, MAIN, object);
    }
    return sim_end(&s, ret_result);
}

bool trace_fifo(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result)
{
    return queue_run(t, capacity_bytes, false, ret_result);
}

bool trace_lru(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result)
{
    return queue_run(t, capacity_bytes, true, ret_result);
}

/* ---- SIEVE (Zhang et al., NSDI 2024) ---- */

static void sieve_evict(struct sim *s, uint32_t *hand)
{
    uint32_t object = *hand != NONE ? *hand : s->queues[MAIN].oldest;
    while (s->items[object].uses) {
        s->items[object].uses = 0;
        object = s->items[object].newer != NONE ? s->items[object].newer : s->queues[MAIN].oldest;
    }
    *hand = s->items[object].newer;
    take(s, object);
}

bool trace_sieve(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result)
{
    struct sim s;
    uint32_t hand = NONE;
    if (!sim_init(&s, t, capacity_bytes))
        return false;
    for (uint32_t i = 0; i < t->request_count; i++) {
        uint32_t object = t->requests[i].object;
        if (s.items[object].place == MAIN) {
            s.items[object].uses = 1;
            continue;
        }
        miss(&s, object);
        if (!fits(&s, object))
            continue;
        while (s.queues[MAIN].bytes + size_of(&s, object) > capacity_bytes)
            sieve_evict(&s, &hand);
        store(&s, MAIN, object);
    }
    return sim_end(&s, ret_result);
}

/* ---- S3-FIFO (Yang et al., SOSP 2023): a tenth is small, as many ghosts as main has bytes ---- */

#define S3_USES_MAX      3
#define S3_USES_TO_MAIN  2
#define S3_SMALL_PERCENT 10

static void s3fifo_remember(struct sim *s, uint32_t object)
{
    uint64_t ghost_bytes_max = s->capacity_bytes - s->capacity_bytes * S3_SMALL_PERCENT / 100;
    push(s, GHOST, object);
    while (s->queues[GHOST].bytes > ghost_bytes_max)
        take(s, s->queues[GHOST].oldest);
}

static void s3fifo_evict_small(struct sim *s)
{
    uint32_t object = s->queues[SMALL].oldest;
    take(s, object);
    if (s->items[object].uses >= S3_USES_TO_MAIN) {
        s->items[object].uses = 0;
        push(s, MAIN, object);
        s->result.written_bytes += size_of(s, object); /* on a disk, a move is a write */
    } else {
        s3fifo_remember(s, object);
    }
}

static void s3fifo_evict_main(struct sim *s)
{
    uint32_t object = s->queues[MAIN].oldest;
    take(s, object);
    if (s->items[object].uses) {
        s->items[object].uses--;
        push(s, MAIN, object);
    }
}

static void s3fifo_evict(struct sim *s)
{
    bool small_is_full = s->queues[SMALL].bytes > s->capacity_bytes * S3_SMALL_PERCENT / 100;
    if (s->queues[SMALL].oldest != NONE && (small_is_full || s->queues[MAIN].oldest == NONE))
        s3fifo_evict_small(s);
    else
        s3fifo_evict_main(s);
}

bool trace_s3fifo(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result)
{
    struct sim s;
    if (!sim_init(&s, t, capacity_bytes))
        return false;
    for (uint32_t i = 0; i < t->request_count; i++) {
        uint32_t object = t->requests[i].object;
        struct item *item = &s.items[object];
        if (item->place == MAIN || item->place == SMALL) {
            item->uses += item->uses < S3_USES_MAX;
            continue;
        }
        miss(&s, object);
        if (!fits(&s, object))
            continue;
        bool is_known = item->place == GHOST;
        if (is_known)
            take(&s, object);
        while (s.queues[MAIN].bytes + s.queues[SMALL].bytes + size_of(&s, object) > capacity_bytes)
            s3fifo_evict(&s);
        store(&s, is_known ? MAIN : SMALL, object);
    }
    return sim_end(&s, ret_result);
}

/* ---- Belady: evict what is asked for last, or do not store it ---- */

struct belady {
    struct sim sim;
    uint32_t *next;            /* by object: its next use, or TRACE_NEVER */
    struct belady_entry *heap; /* latest next use on top; entries that `next` contradicts are stale */
    size_t heap_count, heap_max;
};

struct belady_entry {
    uint32_t next, object;
};

static void heap_swap(struct belady_entry *a, struct belady_entry *b)
{
    struct belady_entry c = *a;
    *a = *b;
    *b = c;
}

static void heap_pop(struct belady *b)
{
    b->heap[0] = b->heap[--b->heap_count];
    for (size_t i = 0, child; (child = 2 * i + 1) < b->heap_count; i = child) {
        if (child + 1 < b->heap_count && b->heap[child + 1].next > b->heap[child].next)
            child++;
        if (b->heap[i].next >= b->heap[child].next)
            break;
        heap_swap(&b->heap[i], &b->heap[child]);
    }
}

static bool heap_push(struct belady *b, struct belady_entry entry)
{
    if (b->heap_count == b->heap_max) {
        size_t wanted = b->heap_max ? 2 * b->heap_max : 1024;
        void *bigger = realloc(b->heap, wanted * sizeof(*b->heap));
        if (!bigger)
            return false;
        b->heap = bigger;
        b->heap_max = wanted;
    }
    size_t i = b->heap_count++;
    b->heap[i] = entry;
    for (; i > 0 && b->heap[(i - 1) / 2].next < b->heap[i].next; i = (i - 1) / 2)
        heap_swap(&b->heap[i], &b->heap[(i - 1) / 2]);
    return true;
}

static bool is_stale(const struct belady *b, const struct belady_entry *e)
{
    return b->sim.items[e->object].place != MAIN || b->next[e->object] != e->next;
}

/* Makes room by dropping what is needed later than `next`. False: there is not enough of that. */
static bool belady_make_room(struct belady *b, uint64_t size, uint32_t next)
{
    while (b->sim.queues[MAIN].bytes + size > b->sim.capacity_bytes) {
        while (is_stale(b, &b->heap[0]))
            heap_pop(b);
        if (b->heap[0].next <= next)
            return false;
        take(&b->sim, b->heap[0].object);
        heap_pop(b);
    }
    return true;
}

static bool belady_request(struct belady *b, uint32_t object, uint32_t next)
{
    struct sim *s = &b->sim;
    bool is_hit = s->items[object].place == MAIN;
    if (!is_hit) {
        miss(s, object);
        if (next == TRACE_NEVER || !fits(s, object) || !belady_make_room(b, size_of(s, object), next))
            return true;
        store(s, MAIN, object);
    }
    b->next[object] = next;
    return heap_push(b, (struct belady_entry){next, object});
}

bool trace_belady(const struct trace *t, uint64_t capacity_bytes, struct trace_result *ret_result)
{
    struct belady b = {.heap_count = 0};
    uint32_t *next_uses = trace_next_uses(t);
    b.next = malloc(t->object_count * sizeof(*b.next));
    bool is_done = sim_init(&b.sim, t, capacity_bytes) && next_uses && b.next;
    for (uint32_t i = 0; is_done && i < t->request_count; i++)
        is_done = belady_request(&b, t->requests[i].object, next_uses[i]);
    free(next_uses);
    free(b.next);
    free(b.heap);
    return sim_end(&b.sim, ret_result) && is_done;
}
