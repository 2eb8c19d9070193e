/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one origin's health: from what becomes of viewers' requests (passive: after so many errors
 * in a row it is left alone for a while, longer each time), and from checks of its own, where the site asks
 * for them (active). All workers report and ask; the state is a handful of atomics, and what a race between
 * two of them costs is an error more or less until it is ejected.
 *
 * Whether an origin that is not well is asked in the end is not decided here: the last one always is.
 */
#ifndef ORIGIN_HEALTH_H
#define ORIGIN_HEALTH_H

#include <stdatomic.h>

#include "config.h"

struct health {            /* zeroes: well */
    atomic_uint errors;    /* in a row */
    atomic_uint ejections; /* in a row: each lasts twice as long as the one before */
    _Atomic uint64_t ejected_until_ms;
    atomic_bool is_ill;               /* so say the checks */
    unsigned checks_good, checks_bad; /* in a row; of the one who checks */
};

/* Times are of the monotonic clock. */
bool health_is_usable(const struct health *h, uint64_t now_ms);

/* A request has shown something of it. True: it has just been ejected for that. */
bool health_report(struct health *h, const struct config_origin_ejection *rules, bool is_good,
                   uint64_t now_ms);

/* A check has; by one thread only. True: it has changed its mind. */
bool health_report_check(struct health *h, const struct config_origin_check *rules, bool is_good);

#endif
