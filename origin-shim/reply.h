/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers an exchange: a representation with its validators, ranges and conditions (RFC 9110 sections 13 and
 * 14), or an error by its name. Each answers exactly once and ends the exchange.
 */
#ifndef REPLY_H
#define REPLY_H

#include "base/hash.h"
#include "http/exchange.h"

/* Every "no" has a name: the response's body. */
#define REPLY_ERRORS(E)                               \
    E(BAD_TARGET, "bad_request_target", 400)          \
    E(NOT_FOUND, "file_not_found", 404)               \
    E(NO_CHANNEL, "no_such_channel", 404)             \
    E(SEGMENT_NOT_YET, "segment_not_yet_there", 404)  \
    E(SEGMENT_GONE, "segment_behind_the_window", 404) \
    E(METHOD, "method_not_allowed", 405)              \
    E(PRECONDITION, "precondition_failed", 412)       \
    E(RANGE, "range_not_satisfiable", 416)            \
    E(UNREADABLE, "file_unreadable", 500)             \
    E(OVERLOADED, "out_of_files_or_memory", 503)

enum reply_error {
#define E(name, word, status) REPLY_##name,
    REPLY_ERRORS(E)
#undef E
};

#define REPLY_CACHE_CONTROL_MAX 256

struct representation {
    const char *media_type;
    uint64_t etag;                               /* the strong entity-tag, before it is written in hex */
    int64_t modified_s;                          /* Last-Modified, since the epoch */
    char cache_control[REPLY_CACHE_CONTROL_MAX]; /* "" for none */

    int fd; /* the bytes stand in this file, from `offset_bytes`; -1: they are `body` */
    uint64_t offset_bytes, size_bytes;
    struct slice body;
};

/* Takes r->fd; of `body` nothing is kept. */
void reply_representation(struct exchange *x, const struct representation *r);

void reply_error(struct exchange *x, enum reply_error error);

/* To OPTIONS, a preflight request's too. */
void reply_options(struct exchange *x);

#endif
