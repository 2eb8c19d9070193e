/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validators and preconditions (RFC 9110 sections 8.8 and 13): what a conditional request gets, given what is
 * stored. Field values are slices, with data NULL for an absent field; several lines of one field are joined
 * with a comma beforehand.
 */
#ifndef HTTP_VALIDATE_H
#define HTTP_VALIDATE_H

#include "http/head.h"

struct etag {
    struct slice opaque; /* between the quotes */
    bool weak;
};

/* The whole value is one entity-tag: "x" or W/"x". */
bool http_etag_parse(struct slice value, struct etag *ret_tag);
bool http_etag_equal_strong(const struct etag *a, const struct etag *b); /* RFC 9110 section 8.8.3.2 */
bool http_etag_equal_weak(const struct etag *a, const struct etag *b);

/* Whether a member of `list` equals `tag`. A list that is not one matches up to where it breaks. Not for "*".
 */
bool http_etag_list_has(struct slice list, const struct etag *tag, bool strong);

/* What the request says. If-Match and If-Unmodified-Since are the origin's to judge (RFC 9111 section 4.3.2):
 * a cache leaves them out here. */
struct condition_request {
    enum http_method method;
    bool has_range;
    struct slice if_match, if_unmodified_since, if_none_match, if_modified_since, if_range;
};

/* The representation that would be sent; there is one. */
struct condition_stored {
    struct slice etag;       /* data NULL when there is none */
    int64_t last_modified_s; /* HTTP_DATE_NONE when there is none */
    int64_t date_s;          /* its Date, or when it was received: stands in for Last-Modified in a cache */
};

enum condition_outcome {
    CONDITION_PROCEED,      /* answer as if there were no precondition */
    CONDITION_NOT_MODIFIED, /* 304 */
    CONDITION_FAILED,       /* 412 */
};

/* Evaluates in the order of RFC 9110 section 13.2.2. *ret_range_applies: a Range field, if any, is to be
 * obeyed; false whenever the outcome is not CONDITION_PROCEED. `now_s` is for dates with two-digit years. */
enum condition_outcome http_condition_evaluate(const struct condition_request *request,
                                               const struct condition_stored *stored, int64_t now_s,
                                               bool *ret_range_applies);

#endif
