/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a configuration. docs/config.md says what each is for, and config_test.c compares the two.
 */
#include "config_schema.h"

#include <stddef.h>

#include "base/check.h"
#include "config.h"

#define TABLE(name, check_) \
    static const struct config_table name##_table = {name##_fields, ARRAY_COUNT(name##_fields), check_}

#define AT(member)               CONFIG_AT(struct ITEM, member)
#define LIST(member, item_count) CONFIG_LIST(struct ITEM, member, item_count)

/* A number: its name, type, member, default, least and most. */
#define NUMBER(name_, type_, member, preset_, min_, max_)                                                    \
    {                                                                                                        \
        (name_), .type = &config_type_##type_, AT(member), .preset = (preset_), .min = (min_), .max = (max_) \
    }
#define TIMEOUT(name_, member, preset_)   NUMBER(name_, duration, member, preset_, "1ms", "1h")
#define FRESHNESS(name_, member, preset_) NUMBER(name_, duration, member, preset_, "0s", "365d")

#define ITEM config_listener
static const struct config_field listener_fields[] = {
    {"address", .type = &config_type_socket_address, .required = true, AT(address)},
    {"tls", .type = &config_type_bool, AT(tls), .preset = "false"},
    {"proxy_protocol", .type = &config_type_bool, AT(proxy_protocol), .preset = "false"},
};
TABLE(listener, NULL);
#undef ITEM

#define ITEM config_disk
static const struct config_field disk_fields[] = {
    {"path", .type = &config_type_path, .required = true, AT(path)},
    NUMBER("size", size, size_bytes, "1GiB", "4MiB", "1024TiB"),
};
TABLE(disk, NULL);
#undef ITEM

#define ITEM config_arena
static const char *const eviction_words[] = {
    [EVICTION_VALUE] = "value",
    [EVICTION_LRU] = "lru",
    [EVICTION_S3FIFO] = "s3fifo",
    [EVICTION_FIFO] = "fifo",
    NULL,
};
static const struct config_field arena_fields[] = {
    {"path", .type = &config_type_path, .required = true, .unless = "disks", AT(path)},
    NUMBER("size", size, size_bytes, "1GiB", "4MiB", "1024TiB"),
    {"disks", .table = &disk_table, LIST(disks, disk_count), .count_min = 1, .count_max = CONFIG_DISKS_MAX},
    NUMBER("region_size", size, region_size_bytes, "64MiB", "1MiB", "1GiB"),
    NUMBER("slice_size", size, slice_size_bytes, "4MiB", "64KiB", "256MiB"),
    {"scrub_interval", .type = &config_type_duration, AT(scrub_interval_ms), .preset = "7d", .min = "1h",
     .max = "365d", .may_be_none = true},
    {"eviction", .type = &config_type_word, AT(eviction), .preset = "value", .words = eviction_words},
};
TABLE(arena, config_check_arena);
#undef ITEM

#define ITEM config_access_log
static const char *const viewer_address_words[] = {
    [VIEWER_ADDRESS_TRUNCATED] = "truncated",
    [VIEWER_ADDRESS_FULL] = "full",
    [VIEWER_ADDRESS_NONE] = "none",
    NULL,
};
static const struct config_field access_log_fields[] = {
    {"path", .type = &config_type_log_path, .required = true, AT(path)},
    {"viewer_address", .type = &config_type_word, AT(viewer_address), .preset = "truncated",
     .words = viewer_address_words},
};
TABLE(access_log, NULL);
#undef ITEM

#define ITEM config_geoip_override
static const struct config_field override_fields[] = {
    {"prefix", .type = &config_type_prefix, .required = true, AT(prefix)},
    {"country", .type = &config_type_country, AT(place.country)},
    {"latitude", .type = &config_type_latitude, AT(place.latitude),
     .given_offset = offsetof(struct ITEM, place.has_point)},
    {"longitude", .type = &config_type_longitude, AT(place.longitude),
     .given_offset = offsetof(struct ITEM, place.has_point)},
};
TABLE(override, config_check_override);
#undef ITEM

#define ITEM config_geoip
static const struct config_field geoip_fields[] = {
    {"database", .type = &config_type_path, AT(database)},
    {"country_field", .type = &config_type_text, AT(country_field), .preset = "country.iso_code"},
    NUMBER("reload_interval", duration, reload_interval_ms, "30s", "10ms", "1d"),
    {"overrides", .table = &override_table, LIST(overrides, override_count), .count_max = 4096},
};
TABLE(geoip, NULL);
#undef ITEM

#define ITEM config_edge
static const struct config_field edge_fields[] = {
    {"name", .type = &config_type_name, .required = true, AT(name)},
    {"address", .type = &config_type_ip, .required = true, AT(address)},
    {"country", .type = &config_type_country, AT(place.country)},
    {"latitude", .type = &config_type_latitude, AT(place.latitude),
     .given_offset = offsetof(struct ITEM, place.has_point)},
    {"longitude", .type = &config_type_longitude, AT(place.longitude),
     .given_offset = offsetof(struct ITEM, place.has_point)},
    {"serves", .type = &config_type_country, LIST(serves, serve_count), .count_max = 256},
    NUMBER("weight", integer, weight, "100", "0", "1000000"),
    NUMBER("http_port", integer, http_port, "80", "1", "65535"),
    NUMBER("https_port", integer, https_port, "443", "1", "65535"),
};
TABLE(edge, config_check_edge);
#undef ITEM

#define ITEM config_certificate
static const struct config_field certificate_fields[] = {
    {"certificate", .type = &config_type_path, .required = true, AT(certificate)},
    {"key", .type = &config_type_path, .required = true, AT(key)},
    {"ocsp_file", .type = &config_type_path, AT(ocsp_file)},
};
TABLE(certificate, NULL);
#undef ITEM

#define ITEM config_tls
static const struct config_field tls_fields[] = {
    {"certificate", .type = &config_type_path, .required = true, AT(first.certificate)},
    {"key", .type = &config_type_path, .required = true, AT(first.key)},
    {"ocsp_file", .type = &config_type_path, AT(first.ocsp_file)},
    {"more", .table = &certificate_table, LIST(more, more_count), .count_max = 3},
};
TABLE(tls, NULL);
#undef ITEM

#define ITEM config_tls_common
static const struct config_field tls_common_fields[] = {
    {"ticket_keys", .type = &config_type_path, LIST(ticket_keys, ticket_key_count), .count_max = 8},
    NUMBER("ticket_rotation", duration, ticket_rotation_ms, "12h", "1s", "7d"),
    NUMBER("reload_interval", duration, reload_interval_ms, "30s", "10ms", "1d"),
    {"ktls", .type = &config_type_bool, AT(ktls), .preset = "true"},
    {"early_data", .type = &config_type_bool, AT(early_data), .preset = "false"},
};
TABLE(tls_common, NULL);
#undef ITEM

#define ITEM config_countries
static const struct config_field countries_fields[] = {
    {"allow", .type = &config_type_country, LIST(allow, allow_count), .count_min = 1, .count_max = 256},
    {"deny", .type = &config_type_country, LIST(deny, deny_count), .count_min = 1, .count_max = 256},
};
TABLE(countries, config_check_countries);
#undef ITEM

#define ITEM config_freshness
static const struct config_field freshness_fields[] = {
    {"playlist_live_max", .type = &config_type_duration, AT(playlist_live_max_ms), .preset = "none",
     .min = "0s", .max = "365d", .may_be_none = true},
    FRESHNESS("playlist_ended", playlist_ended_ms, "1h"),
    FRESHNESS("playlist_multivariant", playlist_multivariant_ms, "30s"),
    FRESHNESS("segment", segment_ms, "30d"),
    FRESHNESS("init", init_ms, "30d"),
    FRESHNESS("part", part_ms, "10m"),
    FRESHNESS("key", key_ms, "1h"),
    FRESHNESS("other", other_ms, "1h"),
    FRESHNESS("not_found", not_found_ms, "1s"),
    FRESHNESS("not_found_playlist", not_found_playlist_ms, "1s"),
    FRESHNESS("not_found_other", not_found_other_ms, "10s"),
    FRESHNESS("gone", gone_ms, "1m"),
    FRESHNESS("server_error", server_error_ms, "0s"),
    FRESHNESS("stale_if_error", stale_if_error_ms, "1d"),
    FRESHNESS("stale_while_revalidate", stale_while_revalidate_ms, "0s"),
};
TABLE(freshness, NULL);
#undef ITEM

#define ITEM config_share
static const struct config_field share_fields[] = {
    NUMBER("guaranteed", share, guaranteed_bytes, "0", "0", "100%"),
    NUMBER("max", share, max_bytes, "0", "0", "100%"),
};
TABLE(share, NULL);
#undef ITEM

#define ITEM config_origin_timeouts
static const struct config_field origin_timeouts_fields[] = {
    TIMEOUT("queue", queue_ms, "3s"),
    TIMEOUT("connect", connect_ms, "3s"),
    TIMEOUT("first_byte", first_byte_ms, "15s"),
    TIMEOUT("idle", idle_ms, "15s"),
};
TABLE(origin_timeouts, NULL);
#undef ITEM

#define ITEM config_upstream
static const struct config_field upstream_tls_fields[] = {
    {"ca", .type = &config_type_path, AT(tls.ca)},
    {"server_name", .type = &config_type_server_name, AT(tls.server_name)},
    {"certificate", .type = &config_type_path, AT(tls.certificate)},
    {"key", .type = &config_type_path, AT(tls.key)},
    {"verify", .type = &config_type_bool, AT(tls.verify), .preset = "true"},
};
TABLE(upstream_tls, config_check_upstream_tls);
static const struct config_field upstream_fields[] = {
    {"url", .type = &config_type_origin, .required = true, AT(url)},
    {"host", .type = &config_type_authority, AT(host)},
    NUMBER("weight", integer, weight, "100", "1", "1000000"),
    NUMBER("priority", integer, priority, "0", "0", "100"),
    NUMBER("connections_max", integer, connections_max, "1024", "1", "1000000"),
    {"tls", .table = &upstream_tls_table, .offset = 0, .size = sizeof(struct ITEM)},
    {"secret_header", .type = &config_type_field_name, AT(secret_header)},
    {"secret_file", .type = &config_type_path, AT(secret_file)},
    {"bearer_file", .type = &config_type_path, AT(bearer_file)},
};
TABLE(upstream, config_check_upstream);
#undef ITEM

#define ITEM config_origin_retries
static const struct config_field origin_retries_fields[] = {
    NUMBER("percent", integer, percent, "20", "0", "100"),
    NUMBER("floor", integer, floor_per_s, "10", "0", "1000000"),
};
TABLE(origin_retries, NULL);
#undef ITEM

#define ITEM config_origin_ejection
static const struct config_field origin_ejection_fields[] = {
    NUMBER("consecutive_errors", integer, consecutive_errors, "5", "1", "1000000"),
    TIMEOUT("first", first_ms, "5s"),
    TIMEOUT("longest", longest_ms, "5m"),
};
TABLE(origin_ejection, NULL);
#undef ITEM

#define ITEM config_origin_check
static const struct config_field origin_check_fields[] = {
    {"path", .type = &config_type_target, .required = true, AT(path)},
    NUMBER("interval", duration, interval_ms, "5s", "50ms", "1h"),
    TIMEOUT("timeout", timeout_ms, "2s"),
    NUMBER("healthy", integer, healthy, "2", "1", "100"),
    NUMBER("unhealthy", integer, unhealthy, "3", "1", "100"),
};
TABLE(origin_check, NULL);
#undef ITEM

#define ITEM config_misses
static const struct config_field misses_fields[] = {
    NUMBER("client_rate", integer, client_rate_per_s, "200", "1", "1000000"),
    NUMBER("client_burst", integer, client_burst, "1000", "1", "1000000"),
    NUMBER("client_fills", integer, client_fills, "256", "1", "1000000"),
    NUMBER("site_fills", integer, site_fills, "4096", "1", "1000000"),
    TIMEOUT("wait", wait_ms, "2s"),
    {"exempt", .type = &config_type_prefix, LIST(exempt, exempt_count), .preset = "127.0.0.0/8",
     .count_max = 1024},
};
TABLE(misses, NULL);
#undef ITEM

#define ITEM config_pacing
static const struct config_field pacing_fields[] = {
    NUMBER("multiple", integer, multiple, "0", "0", "100"),
    NUMBER("start", duration, start_ms, "2s", "0s", "1h"),
    {"cmcd", .type = &config_type_bool, AT(cmcd), .preset = "true"},
};
TABLE(pacing, NULL);
#undef ITEM

#define ITEM config_site
static const char *const request_directives_words[] = {
    [REQUEST_DIRECTIVES_NONE] = "none",
    [REQUEST_DIRECTIVES_OTHER] = "other",
    [REQUEST_DIRECTIVES_ALL] = "all",
    NULL,
};
static const char *const tag_header_words[] = {
    [TAG_SURROGATE_KEY] = "Surrogate-Key",
    [TAG_CACHE_TAG] = "Cache-Tag",
    [TAG_CACHE_GROUPS] = "Cache-Groups",
    NULL,
};
static const struct config_field site_fields[] = {
    {"name", .type = &config_type_name, .required = true, AT(name)},
    {"hosts", .type = &config_type_host, .required = true, LIST(hosts, host_count), .count_min = 1,
     .count_max = 256},
    {"edge_host", .type = &config_type_pattern, AT(edge_host)},
    {"origin", .type = &config_type_origin, AT(origin)},
    {"origins", .table = &upstream_table, LIST(origins, origin_count), .count_min = 1,
     .count_max = CONFIG_ORIGINS_MAX},
    {"origin_host", .type = &config_type_authority, AT(origin_host)},
    {"tls", .table = &tls_table, AT(tls)},
    {"countries", .table = &countries_table, AT(countries)},
    {"query_drop", .type = &config_type_query_name, LIST(query_drop, query_drop_count), .preset = "CMCD",
     .count_max = 64},
    {"query_keep", .type = &config_type_query_name, LIST(query_keep, query_keep_count), .count_max = 64},
    {"query_sort", .type = &config_type_bool, AT(query_sort), .preset = "false"},
    {"forward_headers", .type = &config_type_header, LIST(forward_headers, forward_header_count),
     .count_max = 64},
    {"pass_methods", .type = &config_type_method, LIST(pass_methods, pass_method_count), .count_max = 64},
    {"request_directives", .type = &config_type_word, AT(request_directives), .preset = "other",
     .words = request_directives_words},
    {"store_set_cookie", .type = &config_type_bool, AT(store_set_cookie), .preset = "false"},
    {"tag_headers", .type = &config_type_word, LIST(tag_headers, tag_header_count), .preset = "Cache-Groups",
     .count_max = 3, .words = tag_header_words},
    {"cors_origins", .type = &config_type_cors_origin, LIST(cors_origins, cors_origin_count), .preset = "*",
     .count_max = 256},
    {"freshness", .table = &freshness_table, AT(freshness)},
    {"cache", .table = &share_table, AT(cache)},
    {"origin_timeouts", .table = &origin_timeouts_table, AT(origin_timeouts)},
    {"pacing", .table = &pacing_table, AT(pacing)},
    {"congestion_control", .type = &config_type_text, AT(congestion_control)},
    NUMBER("uplink_weight", integer, uplink_weight, "1", "1", "1000"),
    NUMBER("requests_max", integer, requests_max_per_s, "0", "0", "10000000"),
    {"origin_retries", .table = &origin_retries_table, AT(origin_retries)},
    {"origin_ejection", .table = &origin_ejection_table, AT(origin_ejection)},
    {"origin_check", .table = &origin_check_table, AT(origin_check)},
    {"misses", .table = &misses_table, AT(misses)},
};
TABLE(site, config_check_site);
#undef ITEM

#define ITEM config_limits
static const struct config_field limits_fields[] = {
    TIMEOUT("header_timeout", header_timeout_ms, "10s"),
    TIMEOUT("idle_timeout", idle_timeout_ms, "60s"),
    TIMEOUT("send_stall_timeout", send_stall_timeout_ms, "30s"),
    NUMBER("send_rate_min", size, send_rate_min_bytes_per_s, "1KiB", "0", "1GiB"),
    TIMEOUT("send_rate_window", send_rate_window_ms, "60s"),
    TIMEOUT("disk_timeout", disk_timeout_ms, "10s"),
    NUMBER("connections_max", integer, connections_max, "100000", "1", "10000000"),
    NUMBER("connections_per_client_max", integer, connections_per_client_max, "0", "0", "10000000"),
    NUMBER("connections_per_prefix_max", integer, connections_per_prefix_max, "0", "0", "10000000"),
    NUMBER("requests_per_client", integer, requests_per_client, "0", "0", "1000000"),
    NUMBER("request_burst", duration, request_burst_ms, "5s", "1ms", "1h"),
    NUMBER("handshakes_per_client", integer, handshakes_per_client, "100", "0", "1000000"),
    NUMBER("handshakes_max", integer, handshakes_max, "1024", "1", "1000000"),
    TIMEOUT("handshake_timeout", handshake_timeout_ms, "10s"),
    NUMBER("loop_lag_max", duration, loop_lag_max_ms, "500ms", "10ms", "1h"),
    NUMBER("memory_max", size, memory_max_bytes, "0", "0", "1024TiB"),
    NUMBER("overload_recovery", duration, overload_recovery_ms, "5s", "10ms", "1h"),
    NUMBER("request_head_max", size, request_head_max_bytes, "16KiB", "1KiB", "1MiB"),
    NUMBER("request_fields_max", integer, request_fields_max, "100", "8", "100"),
    NUMBER("ranges_max", integer, ranges_max, "16", "1", "16"),
    NUMBER("uri_max", size, uri_max_bytes, "8KiB", "256", "64KiB"),
    NUMBER("request_body_max", size, request_body_max_bytes, "1MiB", "1", "64MiB"),
    NUMBER("transient_bytes_max", size, transient_bytes_max, "256MiB", "1MiB", "1TiB"),
    NUMBER("purge_rules_max", integer, purge_rules_max, "65536", "16", "1048576"),
};
TABLE(limits, config_check_limits);
#undef ITEM

#define ITEM config
static const struct config_field config_fields[] = {
    {"edge", .type = &config_type_name, .required = true, AT(edge)},
    NUMBER("workers", integer, workers, "0", "0", "64"),
    {"user", .type = &config_type_text, AT(user)},
    {"sandbox", .type = &config_type_bool, AT(sandbox), .preset = "true"},
    {"listen", .table = &listener_table, .required = true, LIST(listeners, listener_count), .count_min = 1,
     .count_max = 64},
    {"admin", .type = &config_type_socket_address, AT(admin),
     .given_offset = offsetof(struct ITEM, has_admin)},
    {"admin_token_file", .type = &config_type_path, AT(admin_token_file)},
    {"state", .type = &config_type_path, AT(state)},
    {"arena", .table = &arena_table, AT(arena)},
    {"access_log", .table = &access_log_table, AT(access_log)},
    {"tls", .table = &tls_common_table, AT(tls)},
    {"trusted_proxies", .type = &config_type_prefix, LIST(trusted_proxies, trusted_proxy_count),
     .count_max = 1024},
    {"geoip", .table = &geoip_table, AT(geoip)},
    {"edges", .table = &edge_table, LIST(edges, edge_count), .count_min = 1, .count_max = 128},
    {"sites", .table = &site_table, .required = true, LIST(sites, site_count), .count_min = 1,
     .count_max = 1000},
    {"limits", .table = &limits_table, AT(limits)},
    NUMBER("uplink_bytes_per_s", size, uplink_bytes_per_s, "0", "0", "1TiB"),
};
const struct config_table config_schema = {config_fields, ARRAY_COUNT(config_fields), config_check};
#undef ITEM
