/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted rendezvous hashing: which of several disks an object goes to. Each disk draws a lot from the
 * object's hash and its own name; the best lot wins. A disk gets objects in proportion to its weight, and
 * when one joins or leaves, only what goes to it or was on it moves. Pure.
 */
#ifndef STORE_RENDEZVOUS_H
#define STORE_RENDEZVOUS_H

#include "base/hash.h"

struct rendezvous_seat {
    uint64_t name;   /* random, and the same for ever */
    uint64_t weight; /* 0: gets nothing */
};

/* The place of the winner in `seats`, or `count` when all weights are 0. */
size_t rendezvous_choose(struct hash128 hash, const struct rendezvous_seat *seats, size_t count);

#endif
