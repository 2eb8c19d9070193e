/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response heads: how one is kept in the store, and what a viewer gets. A stored head is "200\r\n" and then
 * complete field lines, without those that belong to a connection, to framing, or to the edge itself (Age,
 * CORS). So a hit copies it whole and adds a few lines. Fields that are kept but not shown (tags) stand
 * behind all others, so that leaving them out costs nothing. Pure.
 */
#ifndef REPLY_H
#define REPLY_H

#include "base/buf.h"
#include "config.h"
#include "http/head.h"
#include "ledger.h"

#define REPLY_HEAD_MAX ((size_t)32 * 1024)

/* The stored form of an origin's response. A missing Date is added (RFC 9110 section 6.6.1). `status` is what
 * is stored (a 206 that stands for a whole is 200). The site says which tags are shown. False: too large. */
bool reply_store_head(const struct http_head *head, unsigned status, const struct config_site *site,
                      int64_t now_ms, struct buf *out);

/* What a 304 makes of a stored head: its fields stand in place of those of the same name (RFC 9111 section
 * 3.2), Set-Cookie where the site has it stored. *ret_is_changed: more than Date is another now. False: too
 * large. */
bool reply_update_head(struct slice stored, const struct http_head *not_modified,
                       const struct config_site *site, int64_t now_ms, struct buf *out, bool *ret_is_changed);

/* Of a stored head no more than its tags: for a slice, whose head says the rest. Nothing without tags. */
void reply_store_tags(struct slice stored, struct buf *out);

struct reply_stored {
    unsigned status;
    struct slice fields; /* complete lines */
    struct slice hidden; /* the same, for the edge alone */
};
bool reply_parse_stored(struct slice stored, struct reply_stored *ret_stored);

/* Value of the first line of that name, or data NULL. */
struct slice reply_stored_get(struct slice fields, const char *name);

/* Takes the first line off *rest; false at the end. */
bool reply_stored_next(struct slice *rest, struct http_field *ret_field);

struct reply_cors {
    struct slice origin;         /* of the request; data NULL: none */
    const struct slice *allowed; /* of the site */
    size_t allowed_count;
    bool is_null_allowed; /* after a redirect between hosts browsers send "null" (Fetch, 4.4) */
};

struct reply_cache_status { /* RFC 9211 */
    const char *edge_name;
    enum cause cause;
    enum forward forward; /* only said of what is no hit */
    bool is_stored;       /* the same, and of what this request brought */
    bool is_purged;       /* the same: that is why */
    int64_t ttl_s;        /* only said of hits; negative: stale for so long */
    const char *detail;   /* the reason of a refusal or failure; NULL: none */
};

struct reply {
    struct slice fields; /* stored lines to copy; may be empty */
    int64_t age_s;       /* -1: none */
    int64_t date_s;      /* in place of the stored Date; -1: that one */
    struct reply_cache_status cache_status;
    struct reply_cors cors;
    bool has_ranges;            /* say Accept-Ranges */
    bool is_not_modified;       /* only what RFC 9110 section 15.4.5 asks for */
    struct slice content_range; /* of a 206 or 416; data NULL: none */
    const char *boundary;       /* of a 206 with several parts; NULL: none */
};
bool reply_write(const struct reply *r, struct buf *out);

/* Appends the value of Cache-Status. */
void reply_write_cache_status(const struct reply_cache_status *s, struct buf *out);

/* Lines of the answer to a preflight or plain OPTIONS request. */
bool reply_write_options(const struct reply_cors *cors, const struct http_head *request, struct buf *out);

#endif
