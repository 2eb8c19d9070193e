/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what is written again: waiting until there is room for it. */
#ifndef STORE_STORE_ROOM_FIXTURE_H
#define STORE_STORE_ROOM_FIXTURE_H

#include <time.h>

#include "base/clock.h"
#include "store/store_fixture.h"

#define FIXTURE_PATIENCE_MS 30000u /* what the store's threads may take at most */

/* Until the arena's thread has made room ahead of need: a fill that finds none takes a region as it is,
 * whatever is guaranteed. It then reclaims no more by itself. */
static inline void fixture_wait_for_room(struct fixture *f)
{
    struct timespec moment = {.tv_nsec = 200000};
    uint64_t since_ms = clock_monotonic_ms();
    while (fixture_stats(f).regions_spare < 2) {
        assert_true(clock_monotonic_ms() - since_ms < FIXTURE_PATIENCE_MS);
        nanosleep(&moment, NULL);
    }
}

#endif
