/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator wants, read from one YAML file and checked whole (docs/config.md has every field). A
 * configuration never changes once loaded: threads share it by reference counts, and a new one replaces it as
 * a whole. All texts are terminated, slices too, and live as long as the configuration.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "base/addr.h"
#include "base/buf.h"
#include "config_site.h"

#define CONFIG_DISKS_MAX 16
#define CONFIG_NONE      UINT64_MAX /* a duration that was given as "none" */

struct config_listener {
    struct addr address; /* port 0: the system chooses one, and the ready line says which */
    bool tls;
    bool proxy_protocol; /* a trusted proxy says first whose connection it is */
};

enum config_eviction { EVICTION_VALUE, EVICTION_LRU, EVICTION_S3FIFO, EVICTION_FIFO };

struct config_disk {
    const char *path;
    uint64_t size_bytes;
};

struct config_arena {
    struct config_disk *disks; /* `path` and `size` are the first of one */
    size_t disk_count;         /* 0: nothing is kept */
    const char *path;          /* as given, or NULL */
    uint64_t size_bytes;
    uint64_t region_size_bytes; /* a power of two */
    uint64_t slice_size_bytes;  /* a power of two, at most a quarter of a region */
    uint64_t scrub_interval_ms; /* for one pass; CONFIG_NONE: never */
    enum config_eviction eviction;
};

enum config_viewer_address { VIEWER_ADDRESS_TRUNCATED, VIEWER_ADDRESS_FULL, VIEWER_ADDRESS_NONE };

struct config_access_log {
    const char *path; /* NULL: no access log; "-": standard output */
    enum config_viewer_address viewer_address;
};

struct config_place {
    char country[3]; /* ISO 3166-1 alpha-2, or "" */
    bool has_point;
    double latitude, longitude; /* degrees, when has_point */
};

struct config_geoip_override {
    struct addr_prefix prefix;
    struct config_place place;
};

struct config_geoip {
    const char *database; /* NULL: none */
    const char *country_field;
    uint64_t reload_interval_ms;
    struct config_geoip_override *overrides; /* the longest prefix that contains an address counts */
    size_t override_count;
};

struct config_edge {
    const char *name;
    struct addr address; /* without a port */
    struct config_place place;
    char (*serves)[3]; /* countries whose viewers prefer this edge */
    size_t serve_count;
    unsigned weight;
    uint16_t http_port, https_port;
};

struct config_tls_common { /* of all sites */
    const char **ticket_keys;
    size_t ticket_key_count;
    uint64_t ticket_rotation_ms, reload_interval_ms;
    bool ktls, early_data;
};

struct config_limits {
    uint64_t header_timeout_ms, idle_timeout_ms, send_stall_timeout_ms;
    uint64_t send_rate_min_bytes_per_s, send_rate_window_ms;
    uint64_t disk_timeout_ms;
    uint64_t connections_max;
    uint64_t connections_per_client_max, connections_per_prefix_max; /* 0: no such limit */
    uint64_t requests_per_client;                                    /* a second; 0: no limit */
    uint64_t handshakes_per_client;                                  /* the same */
    uint64_t handshakes_max, handshake_timeout_ms;
    uint64_t request_burst_ms; /* so many of a second's requests may come at once */
    uint64_t request_fields_max, ranges_max;
    uint64_t loop_lag_max_ms, memory_max_bytes, overload_recovery_ms;
    uint64_t request_head_max_bytes, uri_max_bytes;
    uint64_t request_body_max_bytes;
    uint64_t transient_bytes_max;
    uint64_t purge_rules_max;
};

struct config {
    const char *edge;               /* this edge's name */
    const struct config_edge *self; /* this edge in `edges`, or NULL when there is no map */
    unsigned workers;               /* 0: one per core */
    const char *user;               /* to become after the start; NULL: stays who it is */
    bool sandbox;
    struct config_listener *listeners;
    size_t listener_count;
    struct addr admin;
    bool has_admin;
    const char *admin_token_file; /* NULL: only who is on this machine may change something */
    const char *state;            /* a folder; NULL: the arena's */
    struct config_arena arena;
    struct config_access_log access_log;
    struct config_tls_common tls;
    struct addr_prefix *trusted_proxies;
    size_t trusted_proxy_count;
    struct config_geoip geoip;
    struct config_edge *edges;
    size_t edge_count;
    struct config_site *sites;
    size_t site_count;
    struct config_limits limits;
    uint64_t uplink_bytes_per_s; /* to viewers; 0: not stated */
};

/*
 * Reads a file. Relative paths in it are relative to its folder. On failure `errors` holds a line for each
 * error (at most CONFIG_ERRORS_MAX), "FILE:LINE:COLUMN: sites[0].origin: what is wrong, what is expected",
 * and a negative errno is returned: -EINVAL when the content is wrong. The caller owns one reference of
 * *ret_config.
 */
#define CONFIG_ERRORS_MAX 20
int config_load(const char *path, struct buf *errors, const struct config **ret_config);

/* The same of a text that came from `path`. */
int config_parse(const char *path, struct slice text, struct buf *errors, const struct config **ret_config);

/* Every path in it that is set: what the process may have to open. */
typedef void config_path_fn(void *user, const char *path);
void config_each_path(const struct config *c, config_path_fn *fn, void *user);

/* Any thread. */
const struct config *config_ref(const struct config *c);
void config_unref(const struct config *c); /* NULL is fine */

#endif
