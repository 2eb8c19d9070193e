/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration says of one site: its names, its origins and how they are asked, what is kept of it.
 * Part of config.h, which says how long all of it lives.
 */
#ifndef CONFIG_SITE_H
#define CONFIG_SITE_H

#include "base/addr.h"
#include "base/buf.h"

#define CONFIG_ORIGINS_MAX 16 /* of one site */

/* A site's part of the arena. While it is being read, also CONFIG_PERCENT and so many per cent. */
#define CONFIG_PERCENT (UINT64_C(1) << 63)
struct config_share {
    uint64_t guaranteed_bytes;
    uint64_t max_bytes; /* 0: no bound */
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

#endif
