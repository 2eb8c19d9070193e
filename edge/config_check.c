/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What single fields of a configuration cannot say: what must fit together, be unique, or follows from
 * something else. Called by the reader of the tables for maps whose fields are all right, the innermost
 * first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "config.h"
#include "config_schema.h"

#define REGIONS_MIN       4 /* of an arena: the one being filled, a spare, and two that are kept */
#define SLICES_PER_REGION 4
#define PATH_TEXT_MAX     64

static bool is_power_of_two(uint64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static void check_disk(struct config_reader *r, const struct config_arena *arena, size_t number)
{
    const struct config_disk *disk = &arena->disks[number];
    char path[PATH_TEXT_MAX];

    snprintf(path, sizeof(path), "disks[%zu].size", number);
    if (disk->size_bytes / REGIONS_MIN < arena->region_size_bytes)
        config_table_error(
            r, config_table_has(r, "disks") ? path : "size",
            "holds less than %d regions, expected at least %llu bytes or a smaller region_size", REGIONS_MIN,
            (unsigned long long)arena->region_size_bytes * REGIONS_MIN);
    snprintf(path, sizeof(path), "disks[%zu].path", number);
    for (size_t i = 0; i < number; i++)
        if (strcmp(arena->disks[i].path, disk->path) == 0)
            config_table_error(r, path, "is that of disks[%zu] too, expected a folder for each disk", i);
}

/* `path` and `size` are another way to write a list of one disk. */
static void check_disks(struct config_reader *r, struct config_arena *arena)
{
    if (!config_table_has(r, "disks")) {
        arena->disks = config_pool_take(config_table_pool(r), sizeof(*arena->disks));
        if (!arena->disks)
            return;
        arena->disks[0] = (struct config_disk){arena->path, arena->size_bytes};
        arena->disk_count = 1;
    } else if (config_table_has(r, "path") || config_table_has(r, "size")) {
        config_table_error(r, config_table_has(r, "path") ? "path" : "size",
                           "stands beside disks, expected it in the entry of a disk");
        return;
    }
    for (size_t i = 0; i < arena->disk_count; i++)
        check_disk(r, arena, i);
}

void config_check_arena(struct config_reader *r, void *object)
{
    struct config_arena *arena = object;
    uint64_t slice_max = arena->region_size_bytes / SLICES_PER_REGION;

    if (!is_power_of_two(arena->region_size_bytes))
        config_table_error(r, "region_size", "is not a power of two, expected 1MiB, 2MiB, ... 1GiB");
    else
        check_disks(r, arena);
    if (!config_table_has(r, "slice_size")) {
        if (arena->slice_size_bytes > slice_max)
            arena->slice_size_bytes = slice_max;
    } else if (!is_power_of_two(arena->slice_size_bytes)) {
        config_table_error(r, "slice_size",
                           "is not a power of two, expected 64KiB, 128KiB, ... a quarter of region_size");
    } else if (arena->slice_size_bytes > slice_max) {
        config_table_error(r, "slice_size",
                           "is more than a quarter of region_size, expected at most %llu bytes",
                           (unsigned long long)slice_max);
    }
}

static void check_point(struct config_reader *r)
{
    bool has_latitude = config_table_has(r, "latitude");

    if (has_latitude != config_table_has(r, "longitude"))
        config_table_error(r, has_latitude ? "latitude" : "longitude", "stands alone, expected %s beside it",
                           has_latitude ? "longitude" : "latitude");
}

void config_check_override(struct config_reader *r, void *object)
{
    struct config_geoip_override *override = object;

    check_point(r);
    if (override->place.country[0] == '\0' && !override->place.has_point)
        config_table_error(r, "prefix",
                           "has no place, expected country, or latitude and longitude, beside it");
}

void config_check_edge(struct config_reader *r, void *object)
{
    (void)object;
    check_point(r);
}

void config_check_countries(struct config_reader *r, void *object)
{
    struct config_countries *countries = object;

    if (countries->allow_count > 0 && countries->deny_count > 0)
        config_table_error(r, "deny", "is given together with allow, expected one of the two");
}

void config_check_limits(struct config_reader *r, void *object)
{
    struct config_limits *limits = object;

    if (limits->uri_max_bytes >= limits->request_head_max_bytes)
        config_table_error(r, config_table_has(r, "uri_max") ? "uri_max" : "request_head_max",
                           "leaves no room for fields, expected uri_max (%llu) below request_head_max (%llu)",
                           (unsigned long long)limits->uri_max_bytes,
                           (unsigned long long)limits->request_head_max_bytes);
}

/* --- the site's names at each edge ---------------------------------------------------------------------- */

/* Writes the pattern with its placeholders replaced; false when there is none, or an unknown one. */
static bool expand(struct slice pattern, const char *edge, const char *address, struct buf *out)
{
    bool replaced = false;

    buf_clear(out);
    while (pattern.size > 0) {
        const char *value = NULL;
        struct slice word = SLICE_EMPTY;

        if (slice_starts_with(pattern, SLICE_LITERAL("{edge}"))) {
            word = SLICE_LITERAL("{edge}");
            value = edge;
        } else if (slice_starts_with(pattern, SLICE_LITERAL("{address}"))) {
            word = SLICE_LITERAL("{address}");
            value = address;
        }
        if (value)
            buf_append_text(out, value);
        else
            buf_append_char(out, pattern.data[0]);
        replaced = replaced || value;
        pattern = slice_skip(pattern, value ? word.size : 1);
    }
    return replaced && !out->failed;
}

/* The name of a site at an edge, as a host is kept; data NULL when the pattern makes no host of it. */
static struct slice host_at_edge(struct config_pool *pool, struct slice pattern, const char *edge,
                                 const char *address)
{
    const struct config_value value = {.pool = pool, .folder = ""};
    struct slice host = {NULL, 0};
    struct buf text;

    buf_init(&text, 1024);
    if (!expand(pattern, edge, address, &text) ||
        config_type_host.read(&value, buf_slice(&text), &host) < 0 || slice_find(host, '*') < host.size)
        host = slice_make(NULL, 0);
    buf_fini(&text);
    return host;
}

/* --- origins -------------------------------------------------------------------------------------------- */

void config_check_upstream_tls(struct config_reader *r, void *object)
{
    const struct config_upstream *upstream = object;

    if (!upstream->tls.certificate != !upstream->tls.key)
        config_table_error(r, upstream->tls.key ? "key" : "certificate",
                           "stands alone, expected %s beside it", upstream->tls.key ? "certificate" : "key");
}

/* Fields that say something else already. */
static bool is_reserved(struct slice name)
{
    static const char *const names[] = {"host",           "content-length",    "transfer-encoding",
                                        "connection",     "keep-alive",        "te",
                                        "trailer",        "upgrade",           "range",
                                        "if-range",       "if-none-match",     "expect",
                                        "if-match",       "if-modified-since", "via",
                                        "cdn-loop",       "early-data",        "if-unmodified-since",
                                        "accept-encoding"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

void config_check_upstream(struct config_reader *r, void *object)
{
    const struct config_upstream *upstream = object;

    if (!upstream->secret_header.data != !upstream->secret_file)
        config_table_error(r, upstream->secret_file ? "secret_file" : "secret_header",
                           "stands alone, expected %s beside it",
                           upstream->secret_file ? "secret_header" : "secret_file");
    else if (upstream->secret_header.data && is_reserved(upstream->secret_header))
        config_table_error(r, "secret_header",
                           "\"%.*s\" is a field that the edge writes itself, expected another",
                           SLICE_ARG(upstream->secret_header));
}

/* One list of origins, however they were given. */
static void gather_origins(struct config_reader *r, struct config_site *site)
{
    bool has_one = config_table_has(r, "origin");

    if (has_one && site->origin_count > 0) {
        config_table_error(r, "origins", "is given together with origin, expected one of the two");
    } else if (!has_one && site->origin_count == 0) {
        config_table_error(r, "origin", "is missing, expected %s", config_type_origin.expected);
    } else if (has_one) {
        site->origins = config_pool_take(config_table_pool(r), sizeof(*site->origins));
        if (!site->origins)
            return;
        *site->origins = (struct config_upstream){.url = site->origin,
                                                  .weight = 100,
                                                  .connections_max = 1024,
                                                  .tls.verify = true}; /* as `origins` has them unless told */
        site->origin_count = 1;
    }
    for (size_t i = 0; i < site->origin_count; i++) {
        struct config_upstream *upstream = &site->origins[i];
        if (!upstream->host.data)
            upstream->host = site->origin_host.data ? site->origin_host : upstream->url.authority;
    }
}

void config_check_site(struct config_reader *r, void *object)
{
    struct config_site *site = object;

    gather_origins(r, site);
    if (!site->edge_host.data)
        site->edge_host = SLICE_EMPTY;
    else if (!host_at_edge(config_table_pool(r), site->edge_host, "edge", "192.0.2.1").data)
        config_table_error(r, "edge_host", "\"%.*s\" is not valid, expected %s", SLICE_ARG(site->edge_host),
                           config_type_pattern.expected);
}

static bool has_host(const struct config_site *site, struct slice host)
{
    for (size_t i = 0; i < site->host_count; i++)
        if (slice_equal(site->hosts[i], host))
            return true;
    return false;
}

/* Derives edge_hosts, and puts them behind the hosts. */
static void add_edge_hosts(struct config_reader *r, struct config *c, size_t site_index)
{
    struct config_site *site = &c->sites[site_index];
    struct config_pool *pool = config_table_pool(r);
    struct slice *hosts = config_pool_take(pool, (site->host_count + c->edge_count) * sizeof(*hosts));
    struct slice *edge_hosts = config_pool_take(pool, c->edge_count * sizeof(*edge_hosts));
    char path[PATH_TEXT_MAX], address[ADDR_TEXT_MAX];

    if (!hosts || !edge_hosts)
        return;
    memcpy(hosts, site->hosts, site->host_count * sizeof(*hosts));
    site->hosts = hosts;
    site->edge_hosts = edge_hosts;
    for (size_t i = 0; i < c->edge_count; i++) {
        addr_format_ip(&c->edges[i].address, address);
        edge_hosts[i] = host_at_edge(pool, site->edge_host, c->edges[i].name, address);
        if (!edge_hosts[i].data) {
            snprintf(path, sizeof(path), "sites[%zu].edge_host", site_index);
            config_table_error(r, path, "makes no host name for the edge \"%s\" (%s), expected %s",
                               c->edges[i].name, address, config_type_pattern.expected);
            return;
        }
        if (!has_host(site, edge_hosts[i]))
            hosts[site->host_count++] = edge_hosts[i];
    }
}

/* --- what must be unique -------------------------------------------------------------------------------- */

struct named_host {
    struct slice host;
    size_t site_index, host_index;
};

static int compare_hosts(const void *left, const void *right)
{
    const struct named_host *a = left, *b = right;
    int order = memcmp(a->host.data, b->host.data, size_min(a->host.size, b->host.size));

    if (order != 0)
        return order;
    if (a->host.size != b->host.size)
        return a->host.size < b->host.size ? -1 : 1;
    if (a->site_index != b->site_index)
        return a->site_index < b->site_index ? -1 : 1;
    return a->host_index < b->host_index ? -1 : a->host_index > b->host_index;
}

static void report_host(struct config_reader *r, const struct config *c, const struct named_host *first,
                        const struct named_host *again)
{
    char path[PATH_TEXT_MAX];

    snprintf(path, sizeof(path), "sites[%zu].hosts[%zu]", again->site_index, again->host_index);
    if (!config_table_has(r, path)) /* it was not listed but derived */
        snprintf(path, sizeof(path), "sites[%zu].edge_host", again->site_index);
    config_table_error(r, path, "\"%.*s\" is a host of the site \"%s\" already, expected each host once",
                       SLICE_ARG(again->host), c->sites[first->site_index].name);
}

static void check_hosts_unique(struct config_reader *r, const struct config *c)
{
    struct named_host *all;
    size_t count = 0;

    for (size_t i = 0; i < c->site_count; i++)
        count += c->sites[i].host_count;
    REQUIRE(count > 0); /* no site, and none without a host, gets this far */
    all = calloc(count, sizeof(*all));
    if (!all) {
        config_table_pool(r)->failed = true;
        return;
    }
    count = 0;
    for (size_t i = 0; i < c->site_count; i++)
        for (size_t k = 0; k < c->sites[i].host_count; k++)
            all[count++] = (struct named_host){c->sites[i].hosts[k], i, k};
    qsort(all, count, sizeof(*all), compare_hosts);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (slice_equal(all[i].host, all[first].host))
            report_host(r, c, &all[first], &all[i]);
        else
            first = i;
    }
    free(all);
}

/* --- parts of the arena --------------------------------------------------------------------------------- */

static uint64_t share_bytes(uint64_t share, uint64_t arena_bytes)
{
    return share & CONFIG_PERCENT ? arena_bytes / 100 * (share & ~CONFIG_PERCENT) : share;
}

static void check_shares(struct config_reader *r, struct config *c)
{
    char path[PATH_TEXT_MAX];
    uint64_t arena_bytes = 0;

    for (size_t i = 0; i < c->arena.disk_count; i++)
        arena_bytes += c->arena.disks[i].size_bytes;
    uint64_t left_bytes = arena_bytes;
    for (size_t i = 0; i < c->site_count; i++) {
        struct config_share *share = &c->sites[i].cache;
        share->guaranteed_bytes = share_bytes(share->guaranteed_bytes, arena_bytes);
        share->max_bytes = share_bytes(share->max_bytes, arena_bytes);
        snprintf(path, sizeof(path), "sites[%zu].cache.guaranteed", i);
        if (share->max_bytes > 0 && share->guaranteed_bytes > share->max_bytes) {
            config_table_error(r, path, "is more than max, expected at most %llu bytes",
                               (unsigned long long)share->max_bytes);
        } else if (share->guaranteed_bytes > left_bytes) {
            config_table_error(r, path,
                               "is more than other sites leave of the arena, expected at most %llu bytes",
                               (unsigned long long)left_bytes);
            return;
        }
        left_bytes -= share->guaranteed_bytes;
    }
}

static void check_sites(struct config_reader *r, struct config *c)
{
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < c->site_count; i++) {
        struct config_site *site = &c->sites[i];
        if (site->edge_host.size > 0 && c->edge_count > 0)
            add_edge_hosts(r, c, i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->sites[k].name, site->name) == 0) {
                snprintf(path, sizeof(path), "sites[%zu].name", i);
                config_table_error(r, path,
                                   "\"%s\" is the name of sites[%zu] already, expected each name once",
                                   site->name, k);
                break;
            }
    }
    check_hosts_unique(r, c);
}

static void check_edges(struct config_reader *r, struct config *c)
{
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < c->edge_count; i++) {
        if (strcmp(c->edges[i].name, c->edge) == 0)
            c->self = &c->edges[i];
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->edges[k].name, c->edges[i].name) == 0) {
                snprintf(path, sizeof(path), "edges[%zu].name", i);
                config_table_error(r, path,
                                   "\"%s\" is the name of edges[%zu] already, expected each name once",
                                   c->edges[i].name, k);
                break;
            }
    }
    if (c->edge_count > 0 && !c->self)
        config_table_error(r, "edge", "\"%s\" is not in edges, expected the name of one of them", c->edge);
}

/* With port 0 the system chooses one, each time another. */
static bool is_same_address(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && a->port != 0 && addr_equal_ip(a, b);
}

static void check_listeners(struct config_reader *r, const struct config *c)
{
    size_t certificates = 0;
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < c->site_count; i++)
        certificates += c->sites[i].tls.first.certificate != NULL;
    for (size_t i = 0; i < c->listener_count; i++) {
        snprintf(path, sizeof(path), "listen[%zu].tls", i);
        if (c->listeners[i].tls && certificates == 0)
            config_table_error(r, path,
                               "has no certificate to show, expected tls in at least one of the sites");
        snprintf(path, sizeof(path), "listen[%zu].proxy_protocol", i);
        if (c->listeners[i].proxy_protocol && c->trusted_proxy_count == 0)
            config_table_error(r, path, "believes nobody, expected trusted_proxies");
        snprintf(path, sizeof(path), "listen[%zu].address", i);
        for (size_t k = 0; k < i; k++)
            if (is_same_address(&c->listeners[k].address, &c->listeners[i].address)) {
                config_table_error(r, path,
                                   "is the address of listen[%zu] already, expected each address once", k);
                break;
            }
        if (c->has_admin && is_same_address(&c->admin, &c->listeners[i].address))
            config_table_error(r, "admin", "is the address of listen[%zu] already, expected one of its own",
                               i);
    }
}

void config_check(struct config_reader *r, void *object)
{
    struct config *c = object;

    check_listeners(r, c);
    check_edges(r, c);
    check_sites(r, c);
    check_shares(r, c);
}
