/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a site's origins is asked. Pure.
 *
 * Among those that can be used the lowest priority number counts; among equals it is weighted rendezvous
 * hashing on the content, and not chance: each origin then sees the same part of the content always, so that
 * its own caches are used well, and all slices of one file come from one origin, whose validators they share.
 */
#ifndef ORIGIN_CHOICE_H
#define ORIGIN_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct choice_candidate {
    unsigned weight; /* > 0 */
    unsigned priority;
    bool is_usable; /* neither ejected nor found ill */
    bool is_tried;  /* for this very request */
};

/* The index of the one to ask, or -1 when all have been tried. When none that is left can be used, one that
 * cannot is asked all the same: it may have come back, and there is nothing to lose. */
int choice_next(const struct choice_candidate *candidates, size_t count, uint64_t content_hash);

#endif
