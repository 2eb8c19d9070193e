/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the name a viewer asked for to the site it belongs to. Built once from a configuration and never
 * changed.
 */
#ifndef SITE_H
#define SITE_H

#include "config.h"

struct site {
    unsigned id; /* 1 .. count, the ledger's number */
    const struct config_site *config;
    struct config_query_rules key_rules;
    struct slice *key_drop; /* of key_rules: the configured ones, presets expanded, and the loop marker */
};

struct site_match {
    const struct site *site;
    bool is_edge_name; /* asked by the site's own name at one edge: the viewer was sent, or means this edge */
};

struct site_table;

/* Holds a reference to the configuration. NULL when memory is out. */
struct site_table *site_table_new(const struct config *config, const char *loop_marker);
void site_table_free(struct site_table *t);

/* `host`: without port and brackets, any case. False: no site has that name. */
bool site_find(const struct site_table *t, struct slice host, struct site_match *ret_match);
const struct site *site_named(const struct site_table *t, struct slice name); /* NULL: there is none */
const struct site *site_table_at(const struct site_table *t, size_t index);

/* Whether `host` is one of this site's names. */
bool site_has_host(const struct site_table *t, const struct site *site, struct slice host);

#endif
