/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets how much of an uplink that is full. The operator states what it carries; a few times a second the
 * main thread tells how much each site has sent, and a controller finds the pace of a response of each site:
 * none while there is room, and for sites that want more than their share (max-min fair, by weight) one that
 * brings them down to it. Sites that want less never notice.
 */
#ifndef EGRESS_H
#define EGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/counter.h"

/* Max-min fair: nobody gets more than he demands, and what some leave goes to the others by their weights.
 * Pure. `work`: room for `count` flags. */
void egress_share(const uint64_t *demands, const uint64_t *weights, size_t count, uint64_t capacity,
                  bool *work, uint64_t *ret_shares);

struct egress;

/* Of sites 0 .. count - 1. NULL when memory is out. */
struct egress *egress_new(uint64_t capacity_bytes_per_s, const uint64_t *weights, size_t count);
void egress_free(struct egress *e); /* NULL is fine */

/* What each site has sent since the last step. One thread. */
void egress_step(struct egress *e, const uint64_t *sent_bytes, uint64_t elapsed_ms);

/* The pace of each response of a site; 0: none. Any thread, as what follows. e NULL: 0. */
uint64_t egress_pace(const struct egress *e, size_t site);
uint64_t egress_rate(const struct egress *e, size_t site); /* bytes a second, smoothed */
uint64_t egress_capacity(const struct egress *e);
uint64_t
egress_pressure(const struct egress *e); /* of all together: thousandths of the capacity; e NULL: 0 */

#endif
