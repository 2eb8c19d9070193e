/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of sites in a hash table, exact ones first, then "*.rest" for each rest of the name. Names are
 * public, so the hash needs no secret: the table is built from the configuration and its load is known.
 */
#include "site.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "config_preset.h"

#define HOST_SIZE_MAX 255 /* RFC 1035 section 2.3.4 */

struct site_name {
    struct slice name; /* data NULL: a free slot */
    struct site_match match;
};

struct site_table {
    const struct config *config;
    struct site *sites;
    struct site_name *names; /* open addressing; at most half full */
    size_t name_mask;
};

static struct site_name *slot_of(const struct site_table *t, struct slice name)
{
    size_t i = hash_sum(name.data, name.size) & t->name_mask;
    while (t->names[i].name.data && !slice_equal(t->names[i].name, name))
        i = (i + 1) & t->name_mask;
    return &t->names[i];
}

static bool is_edge_name(const struct config *c, const struct config_site *site, struct slice name)
{
    for (size_t i = 0; site->edge_hosts && i < c->edge_count; i++)
        if (slice_equal_nocase(site->edge_hosts[i], name))
            return true;
    return false;
}

/* Presets expanded. */
static size_t drop_count(const struct config_site *config)
{
    size_t count = 0, preset_count;
    for (size_t i = 0; i < config->query_drop_count; i++)
        count += config_preset_find(config->query_drop[i], &preset_count) ? preset_count : 1;
    return count;
}

static bool site_init(struct site *site, const struct config_site *config, unsigned id,
                      const char *loop_marker)
{
    site->id = id;
    site->config = config;
    site->key_drop = calloc(drop_count(config) + 1, sizeof(*site->key_drop));
    if (!site->key_drop)
        return false;
    size_t count = 0, preset_count;
    for (size_t i = 0; i < config->query_drop_count; i++) {
        const struct slice *preset = config_preset_find(config->query_drop[i], &preset_count);
        if (!preset)
            site->key_drop[count++] = config->query_drop[i];
        for (size_t j = 0; preset && j < preset_count; j++)
            site->key_drop[count++] = preset[j];
    }
    site->key_drop[count++] = slice_of(loop_marker);
    site->key_rules = (struct config_query_rules){
        .drop = site->key_drop,
        .drop_count = count,
        .keep = config->query_keep,
        .keep_count = config->query_keep_count,
        .sort = config->query_sort,
    };
    return true;
}

static size_t name_count(const struct config *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->site_count; i++)
        count += c->sites[i].host_count;
    return count;
}

struct site_table *site_table_new(const struct config *config, const char *loop_marker)
{
    struct site_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    size_t slots = 16;
    while (slots < 2 * name_count(config))
        slots *= 2;
    t->config = config_ref(config);
    t->name_mask = slots - 1;
    t->names = calloc(slots, sizeof(*t->names));
    t->sites = calloc(config->site_count, sizeof(*t->sites));
    bool ok = t->names && t->sites;
    for (size_t i = 0; ok && i < config->site_count; i++) {
        const struct config_site *site = &config->sites[i];
        ok = site_init(&t->sites[i], site, (unsigned)i + 1, loop_marker);
        for (size_t j = 0; ok && j < site->host_count; j++)
            *slot_of(t, site->hosts[j]) = (struct site_name){
                site->hosts[j], {&t->sites[i], is_edge_name(config, site, site->hosts[j])}};
    }
    if (ok)
        return t;
    site_table_free(t);
    return NULL;
}

void site_table_free(struct site_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->sites && i < t->config->site_count; i++)
        free(t->sites[i].key_drop);
    free(t->sites);
    free(t->names);
    config_unref(t->config);
    free(t);
}

const struct site *site_named(const struct site_table *t, struct slice name)
{
    for (size_t i = 0; i < t->config->site_count; i++)
        if (slice_equal(slice_of(t->config->sites[i].name), name))
            return &t->sites[i];
    return NULL;
}

const struct site *site_table_at(const struct site_table *t, size_t index)
{
    REQUIRE(index < t->config->site_count);
    return &t->sites[index];
}

static bool find_wildcard(const struct site_table *t, char *name, size_t size, struct site_match *ret_match)
{
    for (size_t i = 1; i < size; i++) {
        if (name[i] != '.')
            continue;
        name[i - 1] = '*'; /* "a.b.c" -> "*.b.c" -> "*.c" */
        const struct site_name *slot = slot_of(t, slice_make(name + i - 1, size - i + 1));
        if (slot->name.data) {
            *ret_match = slot->match;
            return true;
        }
    }
    return false;
}

bool site_find(const struct site_table *t, struct slice host, struct site_match *ret_match)
{
    char name[HOST_SIZE_MAX];
    if (host.size > 0 && host.data[host.size - 1] == '.') /* a rooted name is the same name */
        host.size--;
    if (host.size == 0 || host.size > sizeof(name))
        return false;
    if (memchr(host.data, '*', host.size)) /* a pattern's own text is no name */
        return false;
    for (size_t i = 0; i < host.size; i++)
        name[i] = host.data[i] >= 'A' && host.data[i] <= 'Z' ? (char)(host.data[i] + 32) : host.data[i];
    const struct site_name *slot = slot_of(t, slice_make(name, host.size));
    if (slot->name.data) {
        *ret_match = slot->match;
        return true;
    }
    return find_wildcard(t, name, host.size, ret_match);
}

bool site_has_host(const struct site_table *t, const struct site *site, struct slice host)
{
    struct site_match match;
    return site_find(t, host, &match) && match.site == site;
}
