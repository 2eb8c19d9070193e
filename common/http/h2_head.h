/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the fields of an HTTP/2 header block to a struct http_head, so that nobody above needs to know which
 * version brought a request. Stricter than nghttp2, and not relying on it: what is malformed by RFC 9113
 * sections 8.1.1 to 8.3, and what our HTTP/1 parser would refuse, gets no further. So a head that leaves here
 * can be written as HTTP/1 without meaning something else.
 *
 *   h2_head_init -> h2_head_add for each field -> h2_head_end: GOOD -> h2_head_copy
 */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H

#include "http/head.h"

#define H2_HEAD_FIELD_COST 32 /* what each field counts beyond its bytes: RFC 9113 section 6.5.2 */

enum h2_head_verdict { H2_HEAD_GOOD, H2_HEAD_MALFORMED, H2_HEAD_TOO_LARGE, H2_HEAD_URI_TOO_LONG };

struct h2_head {
    struct http_head *head;
    char *data;
    size_t size_max, filled; /* of data */
    size_t list_size, fields_seen;
    struct slice scheme, authority, host;
    bool in_fields; /* behind the pseudo fields */
    bool is_malformed, is_too_large;
};

/* `head` and `data` are the caller's and must stand until the copy is made. size_max: of the header list. */
void h2_head_init(struct h2_head *h, struct http_head *head, char *data, size_t size_max);
void h2_head_add(struct h2_head *h, struct slice name, struct slice value);

/* The head's method is known unless it is malformed. */
enum h2_head_verdict h2_head_end(struct h2_head *h, size_t uri_size_max);

/* A head that stands by itself, in one piece of memory (free). Cookie fields are joined (RFC 9113 section
 * 8.2.3). NULL when memory is out. */
struct http_head *h2_head_copy(const struct h2_head *h, size_t *ret_size);

#endif
