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

#define CONFIG_DISKS_MAX   16
#define CONFIG_ORIGINS_MAX 16         /* of one site */
#define CONFIG_NONE        UINT64_MAX /* a duration that was given as "none" */

struct config_listener {
    struct addr address; /* port 0: the system chooses one, and the ready line says which */
    bool tls;
    bool proxy_protocol; /* a trusted proxy says first whose connection it is */
};

enum config_eviction { EVICTION_VALUE, EVICTION_LRU, EVICTION_S3FIFO, EVICTION_FIFO };

/* A site's part of the arena. While it is being read, also CONFIG_PERCENT and so many per cent. */
#define CONFIG_PERCENT (UINT64_C(1) << 63)
struct config_share {
    uint64_t guaranteed_bytes;
    uint64_t max_bytes; /* 0: no bound */
};

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

struct config_origin {
    bool tls;
    const char *host; /* name or address, IPv6 without brackets */
    uint16_t port;
    struct slice authority;   /* "host" or "host:port", as in the URL */
    struct slice path_prefix; /* "" or "/a/b", without a slash at the end */
};

/* One of a site's origins. What goes into a request as a secret is read from its file at the start. */
struct config_upstream {
    struct config_origin url;
    struct slice host; /* the Host field */
    unsigned weight;
    unsigned priority; /* the lowest that can be used is asked */
    uint64_t connections_max;
    struct {
        const char *ca;                /* PEM; NULL: the system's authorities */
        const char *server_name;       /* that its certificate must have; NULL: the URL's */
        const char *certificate, *key; /* PEM, to show it; NULL: none */
        bool verify;
    } tls;
    struct slice secret_header; /* data NULL: none */
    const char *secret_file, *bearer_file;
};

struct config_countries { /* at most one of the two lists is not empty */
    char (*allow)[3];
    size_t allow_count;
    char (*deny)[3];
    size_t deny_count;
};

/* Whose Cache-Control of a request is obeyed. */
enum config_request_directives { REQUEST_DIRECTIVES_NONE, REQUEST_DIRECTIVES_OTHER, REQUEST_DIRECTIVES_ALL };

struct config_freshness {          /* for how long a response is fresh when it does not say so itself */
    uint64_t playlist_live_max_ms; /* CONFIG_NONE: only the playlist's own durations count */
    uint64_t playlist_ended_ms, playlist_multivariant_ms;
    uint64_t segment_ms, init_ms, part_ms, key_ms, other_ms;
    uint64_t not_found_ms, not_found_playlist_ms, not_found_other_ms, gone_ms, server_error_ms;
    uint64_t stale_if_error_ms, stale_while_revalidate_ms;
};

struct config_origin_timeouts {
    uint64_t queue_ms, connect_ms, first_byte_ms, idle_ms;
};

struct config_origin_retries { /* so many may be asked once more */
    unsigned percent, floor_per_s;
};

struct config_origin_ejection {
    unsigned consecutive_errors;
    uint64_t first_ms, longest_ms;
};

struct config_origin_check {
    struct slice path; /* data NULL: no checks */
    uint64_t interval_ms, timeout_ms;
    unsigned healthy, unhealthy; /* so many in a row change the mind */
};

/* What may be asked of the origins, so that who asks for what nobody has cannot take all of it. */
struct config_misses {
    unsigned client_rate_per_s, client_burst, client_fills; /* of one address, or IPv6 /56 */
    unsigned site_fills;
    uint64_t wait_ms; /* in line, then refused */
    struct addr_prefix *exempt;
    size_t exempt_count;
};

struct config_certificate {
    const char *certificate, *key; /* paths of PEM files */
    const char *ocsp_file;         /* DER; NULL: nothing is stapled */
};

struct config_pacing { /* of media segments and parts */
    uint64_t multiple; /* of the bitrate that their playlist says; 0: none */
    uint64_t start_ms; /* so much of their playing time is sent unpaced */
    bool cmcd;         /* a player that asks for a rate (rtp) gets it */
};

struct config_tls {                  /* of a site */
    struct config_certificate first; /* paths NULL: the site has no certificate */
    struct config_certificate *more; /* with other types of keys */
    size_t more_count;
};

struct config_tls_common { /* of all sites */
    const char **ticket_keys;
    size_t ticket_key_count;
    uint64_t ticket_rotation_ms, reload_interval_ms;
    bool ktls;
};

/* What of a query counts. Names match exactly, or as a prefix where the pattern ends with '*'. */
struct config_query_rules {
    const struct slice *drop; /* parameters that are left out */
    size_t drop_count;
    const struct slice *keep; /* of the others, only these; none given: all */
    size_t keep_count;
    bool sort; /* by name; those of one name stay in their order */
};

/* Fields of responses that name tags, by which they can be purged. */
enum config_tag_header { TAG_SURROGATE_KEY, TAG_CACHE_TAG, TAG_CACHE_GROUPS };

struct config_site {
    const char *name;
    /* Lower case, without port; IPv6 in its shortest form, without brackets; "*.example.com" stands for any
     * one or more labels. The site's names at each edge are among them. */
    struct slice *hosts;
    size_t host_count;
    struct slice edge_host; /* the pattern, or "" */
    struct slice
        *edge_hosts; /* the site's name at config->edges[i]; NULL without a pattern or without edges */
    struct config_origin origin;     /* host NULL: `origins` were given */
    struct slice origin_host;        /* the Host field for the origins; data NULL: as in their URLs */
    struct config_upstream *origins; /* at least one: that of `origin`, if nothing else */
    size_t origin_count;
    struct config_tls tls;
    struct config_countries countries;
    struct slice *query_drop; /* names of parameters; one that ends with '*' is a prefix; "preset:name" */
    size_t query_drop_count;
    struct slice *query_keep; /* the same; empty: all that are not dropped */
    size_t query_keep_count;
    bool query_sort;
    struct slice *forward_headers; /* names of fields, in lower case; one that ends with '*' is a prefix */
    size_t forward_header_count;
    struct slice *pass_methods; /* beyond GET, HEAD and OPTIONS; "*": any */
    size_t pass_method_count;
    enum config_request_directives request_directives;
    bool store_set_cookie;
    enum config_tag_header *tag_headers; /* those that viewers get */
    size_t tag_header_count;
    struct slice *cors_origins; /* "*", or lower-case "scheme://host[:port]" */
    size_t cors_origin_count;
    struct config_freshness freshness;
    struct config_share cache;
    struct config_origin_timeouts origin_timeouts;
    uint64_t requests_max_per_s; /* 0: no limit */
    struct config_pacing pacing;
    const char *congestion_control; /* NULL: the system's */
    uint64_t uplink_weight;
    struct config_origin_retries origin_retries;
    struct config_origin_ejection origin_ejection;
    struct config_origin_check origin_check;
    struct config_misses misses;
};

struct config_limits {
    uint64_t header_timeout_ms, idle_timeout_ms, send_stall_timeout_ms;
    uint64_t disk_timeout_ms;
    uint64_t connections_max;
    uint64_t connections_per_client_max, connections_per_prefix_max; /* 0: no such limit */
    uint64_t requests_per_client;                                    /* a second; 0: no limit */
    uint64_t handshakes_per_client;                                  /* the same */
    uint64_t handshakes_max, handshake_timeout_ms;
    uint64_t request_burst_ms; /* so many of a second's requests may come at once */
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
