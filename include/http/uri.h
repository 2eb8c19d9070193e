/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs (RFC 3986) as requests and playlists carry them: strict parsing of what clients send, normalisation
 * for keys, resolution of a playlist's references, and the parameters of a query. No scheme is known here but
 * by its syntax. Slices point into the text given; data is NULL where a part is absent (an empty query is not
 * absent).
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include "base/buf.h"

#define URI_SIZE_MAX 65536 /* longer ones are refused */

struct uri {
    struct slice scheme;    /* without ':' */
    struct slice authority; /* without "//" */
    struct slice path;      /* never NULL, may be empty in absolute-form */
    struct slice query;     /* without '?' */
};

/*
 * A request-target (RFC 9112 section 3.2) in origin-form, absolute-form ("scheme://authority...") or "*"
 * (path "*"). False for anything else: bytes that RFC 3986 does not allow, broken percent-encodings, a
 * fragment, authority-form.
 */
bool uri_parse_target(struct slice target, struct uri *ret_uri);

struct uri_authority {
    struct slice host; /* as written; IPv6 without its brackets. Compare with slice_equal_nocase */
    bool is_ipv6;
    uint16_t port; /* 0 when not given */
};

/* Host or Host field "host[:port]". Userinfo, an empty host, IPvFuture and port 0 are refused. */
bool uri_parse_authority(struct slice authority, struct uri_authority *ret_authority);

/* Appends `text` with percent-encodings of unreserved characters decoded and the hex digits of all others in
 * upper case (RFC 3986 section 6.2.2): %2F and the like stay. */
bool uri_append_normalized(struct buf *out, struct slice text);

/* The same for a path, and dot segments removed afterwards, so that "/a/%2e%2E/b" is "/b". An empty path is
 * "/". */
bool uri_append_normalized_path(struct buf *out, struct slice path);

/* RFC 3986 section 5.2.4, in place; returns the new size. Never climbs above the root. */
size_t uri_remove_dot_segments(char *path, size_t size);

/*
 * Appends what `reference` means in a document fetched from `base` (RFC 3986 section 5.2), as it would be
 * requested: without fragment, and with bytes that no URI may hold (spaces, non-ASCII) percent-encoded as
 * players do. `base` is absolute, or origin-form: then so is the result, unless the reference names an
 * authority. False when either is malformed (control bytes, broken percent-encoding) or `out` is full; `out`
 * then has the size it had.
 */
bool uri_resolve(struct slice base, struct slice reference, struct buf *out);

struct uri_param {
    struct slice name;
    struct slice value; /* data NULL without '=' */
    struct slice whole; /* "name=value" as written */
};

/* Takes the first parameter off *rest; false at the end. Bytes are as written: nothing is decoded. */
bool uri_query_next(struct slice *rest, struct uri_param *ret_param);

/* Whether a parameter's name is one of the patterns: exact bytes, or a prefix where the pattern ends with
 * '*'. */
bool uri_query_matches(struct slice name, const struct slice *patterns, size_t count);

/* Appends the query without the parameters that match, the others in their order and with their bytes.
 * Returns how many were kept: with none there is no query, not an empty one. */
size_t uri_query_filter(struct slice query, const struct slice *patterns, size_t count, struct buf *out);

#endif
