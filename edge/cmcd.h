/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Common Media Client Data (CTA-5004): what a player says of itself, in request fields or in the query
 * parameter CMCD.
 */
#ifndef CMCD_H
#define CMCD_H

#include "http/head.h"

/* A whole number by its key, such as "rtp"; 0: it is not said, or is none. `query`: as it was sent. */
uint64_t cmcd_number(const struct http_head *head, struct slice query, const char *key);

#endif
