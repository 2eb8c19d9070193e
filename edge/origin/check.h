/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Active checks: each origin of a site that wants them is asked regularly how it is, by one worker, over
 * connections of their own. What comes of it goes into its health, which all workers read.
 */
#ifndef ORIGIN_CHECK_H
#define ORIGIN_CHECK_H

#include "io/resolve.h"
#include "origin/upstream.h"

struct checks;

/* *ret_checks NULL: no site wants any. The resolver outlives them. */
int checks_start(struct loop *l, struct resolver *resolver, const char *edge_name,
                 struct upstreams *upstreams, struct checks **ret_checks);
void checks_stop(struct checks *c); /* NULL is fine */

#endif
