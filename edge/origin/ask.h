/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an origin is asked: the head of the request for it, from what the viewer asked and what the flight
 * needs. Internal to origin/.
 */
#ifndef ORIGIN_ASK_H
#define ORIGIN_ASK_H

#include "origin/origin.h"

/* Request line, fields, the empty line, and the body of a request that is passed through. `out` is cleared
 * first. False: too large. */
bool ask_write(const char *edge_name, const struct origin_request *request, struct buf *out);

/* The viewer's fields that the origin is told, by value: the viewer may be gone when the response says by
 * which of them it varies. One piece of memory, the caller's to free. NULL: there are none, or memory is out
 * (then *ret_ok is false). */
struct ask_fields {
    size_t count;
    struct http_field fields[];
};
struct ask_fields *ask_fields_copy(const struct origin_request *request, bool *ret_ok);

#endif
