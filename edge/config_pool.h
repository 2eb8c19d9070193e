/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and dies together: everything a configuration points to. Small pieces are cut from
 * blocks, and all of them are freed at once.
 */
#ifndef CONFIG_POOL_H
#define CONFIG_POOL_H

#include "base/slice.h"

struct config_pool {
    struct config_pool_block *blocks; /* the first one is being cut */
    size_t used;                      /* bytes of it */
    bool failed;                      /* memory was out once: what was built on this pool is not whole */
};

void config_pool_init(struct config_pool *p);
void config_pool_fini(struct config_pool *p);

/* Zeroed, aligned for anything. NULL (and the failure is marked) when memory is out. */
void *config_pool_take(struct config_pool *p, size_t size);

/* A copy with a terminator behind it; data is NULL when memory is out. */
struct slice config_pool_copy(struct config_pool *p, struct slice text);

#endif
