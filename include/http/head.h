/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP message, whatever version brought it: slices into the buffer it arrived in. Valid as
 * long as that buffer stands.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/slice.h"

#define HTTP_FIELDS_MAX 100

enum http_method {
    HTTP_OTHER,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_OPTIONS,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH
};

struct http_field {
    struct slice name, value; /* value without surrounding white space */
};

struct http_head {
    enum http_method method;  /* requests */
    struct slice method_text; /* requests */
    struct slice target;      /* requests: as it was sent */
    unsigned status;          /* responses */
    unsigned version;         /* 10, 11, 20 */
    bool keep_alive;          /* the connection may be used again after this message */
    bool chunked;             /* framed by chunks */
    int64_t content_length;   /* -1: not given */
    size_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* The first field of that name (ASCII case folded), or a slice with data NULL. */
struct slice http_head_get(const struct http_head *h, const char *name);

/* How many fields have that name. */
size_t http_head_count(const struct http_head *h, const char *name);

/* True when a field of that name lists the token (comma separated, ASCII case folded: RFC 9110
 * section 5.6.1). */
bool http_head_lists(const struct http_head *h, const char *name, const char *token);

/* True for Connection and what only concerns one connection (RFC 9110 section 7.6.1), and for the fields that
 * Connection names in this head. */
bool http_head_is_hop_by_hop(const struct http_head *h, struct slice name);

const char *http_status_reason(unsigned status); /* "OK", "" when unknown */

#endif
