/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps of files that may go away: a file that is truncated underneath, or that its disk cannot read, raises
 * SIGBUS in whoever looks at its map. For maps that are guarded the handler sets the owner's mark, then puts
 * zero pages in their place, and the thread goes on. So nothing that was copied from a guarded map may be
 * used before guard_is_lost has said, after the copy, that it is still what it was.
 *
 * Any thread that does not block SIGBUS: the kernel ends a process that blocks what it must deliver. A signal
 * of any other address goes where it would have gone.
 */
#ifndef BASE_GUARD_H
#define BASE_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define GUARD_MAPS_MAX 65536u

/* `map` with whole pages; nobody may touch it any more at guard_remove, which precedes munmap. False: there
 * are too many. `mark` may be set already. */
bool guard_add(void *map, size_t size, bool is_writable, _Atomic bool *mark);
void guard_remove(void *map);

/* Takes the signal, as the first guard_add does by itself: for whom somebody else has taken it since (a
 * test's framework before each test). */
void guard_take_signal(void);

/* Sets the mark of the map that holds `data`, as when a system call could not read it. */
void guard_lose(const void *data);

extern _Atomic unsigned guard_losses; /* marks set so far */
bool guard_search(const void *data);

/* Whether `data` stands in a map whose mark is set. Costs one load until the first is. */
static inline bool guard_is_lost(const void *data)
{
    return atomic_load_explicit(&guard_losses, memory_order_acquire) != 0 && guard_search(data);
}

#endif
