/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator wants purged: from a JSON document (docs/purge.md) to orders for the cache, by the same
 * rules that make keys of requests. Internal to admin/. Pure.
 */
#ifndef ADMIN_PURGE_ORDER_H
#define ADMIN_PURGE_ORDER_H

#include "cache/purge.h"
#include "site.h"

#define PURGE_ORDERS_MAX ((size_t)256)       /* of one call */
#define PURGE_BODY_MAX   ((size_t)256 << 10) /* of its document */

struct purge_orders {
    bool is_soft;
    size_t count;
    struct purge_order orders[PURGE_ORDERS_MAX]; /* they point into `text` */
    struct buf text;
    const char *error; /* a word; NULL: none */
    unsigned status;   /* then */
    char detail[256];  /* then: a sentence */
};

/* False: error, status and detail say why. In both cases purge_orders_fini follows. */
bool purge_orders_read(const struct site_table *sites, struct slice document, struct purge_orders *ret);
void purge_orders_fini(struct purge_orders *o);

#endif
