/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: a chain of blocks. What is larger than a block gets one of its own, behind the one that is being
 * cut.
 */
#include "config_pool.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/check.h"

#define BLOCK_SIZE 16384

struct config_pool_block {
    struct config_pool_block *next;
    alignas(max_align_t) char data[];
};

void config_pool_init(struct config_pool *p)
{
    *p = (struct config_pool){.used = BLOCK_SIZE};
}

void config_pool_fini(struct config_pool *p)
{
    while (p->blocks) {
        struct config_pool_block *next = p->blocks->next;
        free(p->blocks);
        p->blocks = next;
    }
    config_pool_init(p);
}

static struct config_pool_block *block_new(struct config_pool *p, size_t size)
{
    struct config_pool_block *block = calloc(1, sizeof(*block) + size);

    if (!block)
        p->failed = true;
    return block;
}

void *config_pool_take(struct config_pool *p, size_t size)
{
    size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct config_pool_block *block;
    void *taken;

    REQUIRE(rounded >= size);
    if (rounded > BLOCK_SIZE - p->used) {
        block = block_new(p, size_max(rounded, BLOCK_SIZE));
        if (!block)
            return NULL;
        if (rounded > BLOCK_SIZE / 2 && p->blocks) {
            block->next = p->blocks->next;
            p->blocks->next = block;
            return block->data;
        }
        block->next = p->blocks;
        p->blocks = block;
        p->used = 0;
    }
    taken = p->blocks->data + p->used;
    p->used = size_min(p->used + rounded, BLOCK_SIZE);
    return taken;
}

struct slice config_pool_copy(struct config_pool *p, struct slice text)
{
    char *copy = config_pool_take(p, text.size + 1);

    if (!copy)
        return slice_make(NULL, 0);
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    return slice_make(copy, text.size);
}
