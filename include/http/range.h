/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte ranges (RFC 9110 section 14): the Range field of a request, and Content-Range of a 206 or 416.
 * Positions are bytes, first and last inclusive as on the wire.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "base/slice.h"

#define HTTP_RANGE_MAX          16         /* ranges in one request; more are ignored as an attack */
#define HTTP_RANGE_OPEN         UINT64_MAX /* `last` of "500-" */
#define HTTP_RANGE_UNKNOWN      UINT64_MAX /* total size "*" */
#define HTTP_CONTENT_RANGE_SIZE 80         /* "bytes " and three numbers of 20 digits, terminated */

struct range_spec {
    bool suffix;    /* "-500": the last `last` bytes, `first` is 0 */
    uint64_t first; /* may lie beyond the end: see http_range_resolve */
    uint64_t last;  /* HTTP_RANGE_OPEN for "500-"; numbers above 64 bits are held at the maximum */
};

enum range_outcome {
    RANGE_NONE, /* ignore the field and answer 200: not bytes, malformed, too many, or overlapping ranges */
    RANGE_OK,
};

/* At most `max` (and never more than HTTP_RANGE_MAX) specs. `value.data` may be NULL: RANGE_NONE. */
enum range_outcome http_range_parse(struct slice value, struct range_spec *ret_specs, size_t max,
                                    size_t *ret_count);

/* The bytes that a spec means in a representation of `total_size`; false when not satisfiable (416 if none
 * is). */
bool http_range_resolve(const struct range_spec *spec, uint64_t total_size, uint64_t *ret_first,
                        uint64_t *ret_last);

struct content_range {
    bool unsatisfied;     /* the form of 416: first and last are 0 */
    uint64_t first, last; /* last < total where the total is known */
    uint64_t total;       /* HTTP_RANGE_UNKNOWN for "*" (never with `unsatisfied`) */
};

bool http_content_range_parse(struct slice value, struct content_range *ret_range);
void http_content_range_format(const struct content_range *range, char ret_text[HTTP_CONTENT_RANGE_SIZE]);

#endif
