/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to leave undone when something runs out. Each resource says how far it is used, in thousandths of what
 * there should be at most; the worst of them decides. At 800 the edge does nothing that nobody waits for, at
 * 900 nothing that needs an origin, at 1000 it takes no new connections. What is kept is served always.
 *
 * It goes up at once, and down one step at a time, each after a while in which the pressure was clearly
 * lower: shedding lowers the pressure, and would otherwise flap.
 */
#ifndef OVERLOAD_H
#define OVERLOAD_H

#include <stdbool.h>

#include "base/counter.h"
#include "ledger_words.h"

#define OVERLOAD_LEVELS(L)                                                \
    L(NONE, "none", 0)                                                    \
    L(BACKGROUND, "background", 800)    /* sheds what nobody waits for */ \
    L(MISSES, "misses", 900)            /* and what needs an origin */    \
    L(CONNECTIONS, "connections", 1000) /* and new connections */

enum overload_level {
#define L(name, word, from) OVERLOAD_##name,
    OVERLOAD_LEVELS(L)
#undef L
        OVERLOAD_LEVEL_COUNT
};
const char *overload_level_name(enum overload_level level);

#define OVERLOAD_RESOURCES(R)                                                                 \
    R(CPU, "cpu")                 /* how late the worker's loop comes to its work */          \
    R(MEMORY, "memory")           /* of the process, without what the system can take back */ \
    R(DESCRIPTORS, "descriptors") /* open ones */                                             \
    R(UPLINK, "uplink")           /* bytes a second to viewers; sheds background work only */

enum overload_resource {
#define R(name, word) OVERLOAD_##name,
    OVERLOAD_RESOURCES(R)
#undef R
        OVERLOAD_RESOURCE_COUNT
};
const char *overload_resource_name(enum overload_resource resource);

/* The controller of one worker. One writer; any thread may read `level`, `cause` and `pressure`. */
struct overload {
    counter_t level, cause; /* as numbers of the enums; the cause holds while the level is above NONE */
    counter_t pressure[OVERLOAD_RESOURCE_COUNT]; /* thousandths */
    uint64_t lower_since_ms; /* the pressure calls for a lower level since then; 0: it does not */
    uint64_t recovery_ms;
};

void overload_init(struct overload *o, uint64_t recovery_ms); /* for each step down */
void overload_step(struct overload *o, const uint64_t pressure[OVERLOAD_RESOURCE_COUNT], uint64_t now_ms);

/* How late a loop is, smoothed, so that one long turn is no overload. */
uint64_t overload_smooth(uint64_t before, uint64_t sample);

static inline enum overload_level overload_level(const struct overload *o)
{
    return (enum overload_level)counter_read(&o->level);
}

/* What a request is refused with. */
enum refusal overload_refusal(const struct overload *o);

#endif
