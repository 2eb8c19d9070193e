/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the edge would do with a URL now, and why: key, class, what is kept, its age and freshness and the
 * rule that gave it. Computed from store, catalog and configuration; nothing is asked and nothing changes.
 */
#ifndef ADMIN_EXPLAIN_H
#define ADMIN_EXPLAIN_H

#include "catalog.h"
#include "http/head.h"
#include "site.h"
#include "store/store.h"

struct explain_source {
    const struct site_table *sites;
    struct catalog *catalog;
    struct store *store;
    struct purge *purges; /* NULL: none */
};

/* Writes a JSON document about `url` ("scheme://host/path?query"). `request`: whose fields choose among
 * variants. False: it is no URL; "no_such_site" stands in the document where no site has that host. */
bool explain_write(const struct explain_source *source, struct slice url, const struct http_head *request,
                   int64_t now_ms, struct buf *out);

#endif
