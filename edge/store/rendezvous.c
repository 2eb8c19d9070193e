/* SPDX-License-Identifier: Apache-2.0 */
/* The lots of weighted rendezvous hashing: exponentially distributed, the weight their rate. */
#include "store/rendezvous.h"

#include <math.h>

/* In (0, 1), evenly: 53 bits, as many as a double holds, and a half to keep off both ends. */
static double lot(struct hash128 hash, uint64_t name)
{
    uint64_t drawn_from[] = {hash.high, hash.low, name};
    uint64_t drawn = hash_sum(drawn_from, sizeof(drawn_from));
    return ((double)(drawn >> 11) + 0.5) / 9007199254740992.0;
}

size_t rendezvous_choose(struct hash128 hash, const struct rendezvous_seat *seats, size_t count)
{
    size_t best = count;
    double best_time = INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (seats[i].weight == 0)
            continue;
        double time = -log(lot(hash, seats[i].name)) / (double)seats[i].weight;
        if (time < best_time) {
            best_time = time;
            best = i;
        }
    }
    return best;
}
