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

/* The session's id, cut where it is longer than players may make it; its size, 0: none. */
#define CMCD_SESSION_MAX 64
size_t cmcd_session(const struct http_head *head, struct slice query, char ret_id[CMCD_SESSION_MAX]);

#endif
