/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of config.h: what a file becomes, and that each kind of mistake is reported at its line and field.
 * Also that docs/config.md says what the table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "config.h"
#include "config_schema.h"

#define HEAD       \
    "edge: east\n" \
    "listen: [{address: 127.0.0.1:8080}]\n"
#define SITE                           \
    "sites:\n"                         \
    "  - name: demo\n"                 \
    "    hosts: [video.example.com]\n" \
    "    origin: http://127.0.0.1:9000\n"

/* --- what is right -------------------------------------------------------------------------------------- */

static const struct config *parsed(const char *path, const char *text)
{
    const struct config *config = NULL;
    struct buf errors;
    int status;

    buf_init(&errors, 100000);
    status = config_parse(path, slice_of(text), &errors, &config);
    if (status < 0)
        print_error("%.*s", SLICE_ARG(buf_slice(&errors)));
    assert_int_equal(status, 0);
    assert_int_equal(errors.size, 0);
    buf_fini(&errors);
    return config;
}

static void assert_slice(struct slice s, const char *expected)
{
    assert_int_equal(s.size, strlen(expected));
    assert_string_equal(s.data, expected); /* terminated */
}

static void assert_addr(const struct addr *a, const char *expected)
{
    char text[ADDR_TEXT_MAX];

    addr_format(a, text);
    assert_string_equal(text, expected);
}

static void test_defaults(void **state)
{
    const struct config *c = parsed("c.yaml", HEAD SITE);
    const struct config_site *site = &c->sites[0];

    (void)state;
    assert_string_equal(c->edge, "east");
    assert_null(c->self);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->listener_count, 1);
    assert_addr(&c->listeners[0].address, "127.0.0.1:8080");
    assert_false(c->listeners[0].tls);
    assert_false(c->has_admin);
    assert_null(c->arena.path);
    assert_null(c->access_log.path);
    assert_null(c->geoip.database);
    assert_int_equal(c->trusted_proxy_count, 0);
    assert_int_equal(c->edge_count, 0);
    assert_int_equal(c->limits.header_timeout_ms, 10000);
    assert_int_equal(c->limits.idle_timeout_ms, 60000);
    assert_int_equal(c->limits.send_stall_timeout_ms, 30000);
    assert_int_equal(c->limits.connections_max, 100000);
    assert_int_equal(c->limits.request_head_max_bytes, 16 << 10);
    assert_int_equal(c->limits.uri_max_bytes, 8 << 10);
    assert_int_equal(c->limits.transient_bytes_max, 256 << 20);
    assert_int_equal(c->limits.purge_rules_max, 65536);
    assert_null(c->admin_token_file);
    assert_int_equal(c->site_count, 1);
    assert_int_equal(site->host_count, 1);
    assert_slice(site->hosts[0], "video.example.com");
    assert_slice(site->edge_host, "");
    assert_null(site->edge_hosts);
    assert_int_equal(site->origin_count, 1);
    assert_slice(site->origins[0].host, "127.0.0.1:9000");
    assert_null(site->tls.first.certificate);
    assert_int_equal(site->tls.more_count + c->tls.ticket_key_count, 0);
    assert_int_equal(c->tls.ticket_rotation_ms, 12 * 3600000);
    assert_int_equal(c->tls.reload_interval_ms, 30000);
    assert_true(c->tls.ktls);
    assert_int_equal(site->countries.allow_count + site->countries.deny_count, 0);
    assert_int_equal(site->query_drop_count, 1);
    assert_slice(site->query_drop[0], "CMCD");
    assert_int_equal(site->cors_origin_count, 1);
    assert_slice(site->cors_origins[0], "*");
    assert_true(site->freshness.playlist_live_max_ms == CONFIG_NONE);
    assert_int_equal(site->freshness.playlist_ended_ms, 3600000);
    assert_int_equal(site->freshness.playlist_multivariant_ms, 30000);
    assert_int_equal(site->freshness.segment_ms, 30 * 86400000ull);
    assert_int_equal(site->freshness.init_ms, 30 * 86400000ull);
    assert_int_equal(site->freshness.part_ms, 600000);
    assert_int_equal(site->freshness.key_ms, 3600000);
    assert_int_equal(site->freshness.other_ms, 3600000);
    assert_int_equal(site->freshness.not_found_ms, 1000);
    assert_int_equal(site->freshness.stale_if_error_ms, 86400000);
    assert_int_equal(site->freshness.stale_while_revalidate_ms, 0);
    assert_int_equal(site->query_keep_count + site->forward_header_count + site->pass_method_count, 0);
    assert_false(site->query_sort || site->store_set_cookie);
    assert_int_equal(site->tag_header_count, 1);
    assert_int_equal(site->tag_headers[0], TAG_CACHE_GROUPS);
    assert_int_equal(site->request_directives, REQUEST_DIRECTIVES_OTHER);
    assert_int_equal(c->limits.request_body_max_bytes, 1 << 20);
    assert_int_equal(site->origin_timeouts.connect_ms, 3000);
    assert_int_equal(site->origin_timeouts.first_byte_ms, 15000);
    assert_int_equal(site->origin_timeouts.idle_ms, 15000);
    config_unref(c);
}

static void test_edge_fields(void **state)
{
    const struct config *c =
        parsed("/etc/shorebreak/edge.yaml", //
               "edge: west\n"
               "workers: 4\n"
               "listen:\n"
               "  - address: '[::]:8080'\n"
               "  - {address: '127.0.0.1:8443', tls: true}\n"
               "admin: 127.0.0.1:8081\n"
               "arena: {path: cache, size: 10GiB, region_size: 1MiB}\n"
               "access_log: {path: \"-\", viewer_address: none}\n"
               "trusted_proxies: [127.0.0.0/8, '::1']\n"
               "geoip:\n"
               "  database: /var/lib/place.mmdb\n"
               "  country_field: country_code\n"
               "  reload_interval: 1h\n"
               "  overrides:\n"
               "    - {prefix: 127.0.1.0/24, country: de, latitude: 52.5, longitude: -13.4}\n"
               "    - {prefix: 127.0.2.0/24, country: NO}\n"
               "edges:\n"
               "  - {name: east, address: 127.0.0.2}\n"
               "  - {name: west, address: '2001:DB8::2', country: US, latitude: 0, longitude: 0,\n"
               "     serves: [US, ca], weight: 7, http_port: 8080, https_port: 8443}\n"
               "sites:\n"
               "  - name: demo\n"
               "    hosts: [video.example.com]\n"
               "    origin: http://127.0.0.1:9000\n"
               "    tls: {certificate: cert.pem, key: ../key.pem, ocsp_file: cert.ocsp,\n"
               "          more: [{certificate: rsa.pem, key: rsa.key}]}\n"
               "tls: {ticket_keys: [a, /b], ticket_rotation: 1h, reload_interval: 1s, ktls: false}\n"
               "limits: {uri_max: 512, request_head_max: 2KiB, idle_timeout: 2m}\n");

    (void)state;
    assert_int_equal(c->workers, 4);
    assert_int_equal(c->listener_count, 2);
    assert_addr(&c->listeners[0].address, "[::]:8080");
    assert_true(c->listeners[1].tls);
    assert_true(c->has_admin);
    assert_addr(&c->admin, "127.0.0.1:8081");
    assert_string_equal(c->arena.path, "/etc/shorebreak/cache");
    assert_int_equal(c->arena.size_bytes, 10ull << 30);
    assert_int_equal(c->arena.disk_count, 1);
    assert_string_equal(c->arena.disks[0].path, "/etc/shorebreak/cache");
    assert_int_equal(c->arena.disks[0].size_bytes, 10ull << 30);
    assert_int_equal(c->arena.scrub_interval_ms, 7 * 86400000ull);
    assert_int_equal(c->arena.region_size_bytes, 1 << 20);
    assert_int_equal(c->arena.slice_size_bytes, 256 << 10); /* the default gives way */
    assert_string_equal(c->access_log.path, "-");
    assert_int_equal(c->access_log.viewer_address, VIEWER_ADDRESS_NONE);
    assert_int_equal(c->trusted_proxy_count, 2);
    assert_int_equal(c->trusted_proxies[0].bits, 104);
    assert_int_equal(c->trusted_proxies[1].bits, 128);
    assert_string_equal(c->geoip.database, "/var/lib/place.mmdb");
    assert_string_equal(c->geoip.country_field, "country_code");
    assert_int_equal(c->geoip.reload_interval_ms, 3600000);
    assert_int_equal(c->geoip.override_count, 2);
    assert_string_equal(c->geoip.overrides[0].place.country, "DE");
    assert_true(c->geoip.overrides[0].place.has_point);
    assert_true(c->geoip.overrides[0].place.longitude == -13.4);
    assert_string_equal(c->geoip.overrides[1].place.country, "NO"); /* a country, not a boolean */
    assert_false(c->geoip.overrides[1].place.has_point);
    assert_int_equal(c->edge_count, 2);
    assert_ptr_equal(c->self, &c->edges[1]);
    assert_string_equal(c->edges[0].place.country, "");
    assert_false(c->edges[0].place.has_point);
    assert_int_equal(c->edges[0].weight, 100);
    assert_int_equal(c->edges[0].http_port, 80);
    assert_int_equal(c->edges[0].https_port, 443);
    assert_addr(&c->edges[1].address, "[2001:db8::2]:0");
    assert_true(c->edges[1].place.has_point);
    assert_int_equal(c->edges[1].serve_count, 2);
    assert_string_equal(c->edges[1].serves[1], "CA");
    assert_int_equal(c->edges[1].weight, 7);
    assert_int_equal(c->edges[1].http_port, 8080);
    assert_int_equal(c->edges[1].https_port, 8443);
    assert_string_equal(c->sites[0].tls.first.certificate, "/etc/shorebreak/cert.pem");
    assert_string_equal(c->sites[0].tls.first.key, "/etc/shorebreak/../key.pem");
    assert_string_equal(c->sites[0].tls.first.ocsp_file, "/etc/shorebreak/cert.ocsp");
    assert_int_equal(c->sites[0].tls.more_count, 1);
    assert_string_equal(c->sites[0].tls.more[0].key, "/etc/shorebreak/rsa.key");
    assert_null(c->sites[0].tls.more[0].ocsp_file);
    assert_int_equal(c->tls.ticket_key_count, 2);
    assert_string_equal(c->tls.ticket_keys[0], "/etc/shorebreak/a");
    assert_string_equal(c->tls.ticket_keys[1], "/b");
    assert_int_equal(c->tls.ticket_rotation_ms, 3600000);
    assert_int_equal(c->tls.reload_interval_ms, 1000);
    assert_false(c->tls.ktls);
    assert_int_equal(c->limits.uri_max_bytes, 512);
    assert_int_equal(c->limits.idle_timeout_ms, 120000);
    config_unref(c);
}

static void test_site_fields(void **state)
{
    const struct config *c =
        parsed("c.yaml",
               HEAD "edges:\n"
                    "  - {name: east, address: 127.0.0.2}\n"
                    "  - {name: west, address: 127.0.0.3}\n"
                    "sites:\n"
                    "  - name: demo\n"
                    "    hosts: [Video.Example.COM, '*.live.example.com', east.video.example.com, '[::1]']\n"
                    "    edge_host: '{edge}.Video.example.com'\n"
                    "    origin: HTTPS://Origin.Example.com:443/a/b//\n"
                    "    origin_host: other.example.com:81\n"
                    "    tls: {certificate: cert.pem, key: key.pem}\n"
                    "    countries: {allow: [de, FR]}\n"
                    "    query_drop: [CMCD, utm_*]\n"
                    "    cors_origins: [https://Player.example.com:8443, capacitor://localhost]\n"
                    "    freshness: {playlist_live_max: 2s, not_found: 0s}\n"
                    "    origin_timeouts: {connect: 500ms}\n"
                    "  - name: other\n"
                    "    hosts: [other.example.com]\n"
                    "    edge_host: '{address}'\n"
                    "    origin: http://[2001:DB8::1]\n"
                    "    query_drop: []\n"
                    "    countries: {deny: [US]}\n");
    const struct config_site *demo = &c->sites[0], *other = &c->sites[1];

    (void)state;
    assert_int_equal(demo->host_count, 5);
    assert_slice(demo->hosts[0], "video.example.com");
    assert_slice(demo->hosts[1], "*.live.example.com");
    assert_slice(demo->hosts[2], "east.video.example.com");
    assert_slice(demo->hosts[3], "::1");
    assert_slice(demo->hosts[4], "west.video.example.com");
    assert_slice(demo->edge_host, "{edge}.video.example.com");
    assert_slice(demo->edge_hosts[0], "east.video.example.com");
    assert_slice(demo->edge_hosts[1], "west.video.example.com");
    assert_true(demo->origin.tls);
    assert_string_equal(demo->origin.host, "origin.example.com");
    assert_int_equal(demo->origin.port, 443);
    assert_slice(demo->origin.authority, "origin.example.com");
    assert_slice(demo->origin.path_prefix, "/a/b");
    assert_slice(demo->origins[0].host, "other.example.com:81");
    assert_string_equal(demo->tls.first.certificate, "cert.pem");
    assert_int_equal(demo->countries.allow_count, 2);
    assert_string_equal(demo->countries.allow[0], "DE");
    assert_int_equal(demo->query_drop_count, 2);
    assert_slice(demo->query_drop[1], "utm_*");
    assert_slice(demo->cors_origins[0], "https://player.example.com:8443");
    assert_slice(demo->cors_origins[1], "capacitor://localhost");
    assert_int_equal(demo->freshness.playlist_live_max_ms, 2000);
    assert_int_equal(demo->freshness.not_found_ms, 0);
    assert_int_equal(demo->freshness.segment_ms, 30 * 86400000ull);
    assert_int_equal(demo->origin_timeouts.connect_ms, 500);
    assert_int_equal(demo->origin_timeouts.idle_ms, 15000);
    assert_slice(other->hosts[1], "127.0.0.2");
    assert_slice(other->edge_hosts[1], "127.0.0.3");
    assert_false(other->origin.tls);
    assert_string_equal(other->origin.host, "2001:db8::1");
    assert_int_equal(other->origin.port, 80);
    assert_slice(other->origins[0].host, "[2001:db8::1]");
    assert_slice(other->origin.path_prefix, "");
    assert_int_equal(other->query_drop_count, 0);
    assert_string_equal(other->countries.deny[0], "US");
    config_unref(c);
}

/* Port 0 is another one each time. */
/* One origin given alone is what a list of it would be. */
static void test_origins(void **state)
{
    const struct config *c =
        parsed("c.yaml", HEAD
               "sites:\n"
               "  - {name: one, hosts: [one.test], origin: 'https://a.test/x'}\n"
               "  - name: several\n"
               "    hosts: [several.test]\n"
               "    origin_host: common.test\n"
               "    origins:\n"
               "      - {url: 'https://a.test/x'}\n"
               "      - {url: 'http://[::1]:81', host: own.test, weight: 3, priority: 1,\n"
               "         connections_max: 7, secret_header: X-Secret, secret_file: s, bearer_file: /b,\n"
               "         tls: {ca: ca.pem, server_name: Name.test, certificate: c, key: k, verify: false}}\n"
               "    origin_check: {path: /health}\n");
    const struct config_upstream *alone = &c->sites[0].origins[0], *listed = &c->sites[1].origins[0],
                                 *full = &c->sites[1].origins[1];

    (void)state;
    assert_int_equal(c->sites[0].origin_count, 1);
    assert_slice(alone->host, "a.test");
    assert_int_equal(alone->weight, listed->weight);
    assert_int_equal(alone->priority, listed->priority);
    assert_int_equal(alone->connections_max, listed->connections_max);
    assert_true(alone->tls.verify && listed->tls.verify);
    assert_slice(alone->url.path_prefix, "/x");
    assert_null(c->sites[0].origin_check.path.data);

    assert_int_equal(c->sites[1].origin_count, 2);
    assert_slice(listed->host, "common.test");
    assert_slice(full->host, "own.test");
    assert_string_equal(full->url.host, "::1");
    assert_int_equal(full->weight, 3);
    assert_int_equal(full->priority, 1);
    assert_int_equal(full->connections_max, 7);
    assert_slice(full->secret_header, "X-Secret");
    assert_string_equal(full->bearer_file, "/b");
    assert_string_equal(full->tls.server_name, "name.test");
    assert_false(full->tls.verify);
    assert_slice(c->sites[1].origin_check.path, "/health");
    assert_int_equal(c->sites[1].origin_check.interval_ms, 5000);
    assert_int_equal(c->sites[1].misses.exempt_count, 1);
    config_unref(c);
}

static void test_chosen_ports(void **state)
{
    const struct config *c = parsed("c.yaml", "edge: east\n"
                                              "listen: [{address: 127.0.0.1:0}, {address: 127.0.0.1:0}]\n"
                                              "admin: 127.0.0.1:0\n" SITE);

    (void)state;
    assert_int_equal(c->listener_count, 2);
    assert_addr(&c->listeners[1].address, "127.0.0.1:0");
    assert_addr(&c->admin, "127.0.0.1:0");
    config_unref(c);
}

static void test_references(void **state)
{
    const struct config *c = parsed("c.yaml", HEAD SITE), *shared = config_ref(c);

    (void)state;
    assert_ptr_equal(shared, c);
    config_unref(c);
    assert_string_equal(shared->edge, "east"); /* the sanitizer sees when it is gone */
    config_unref(shared);
    config_unref(NULL);
}

/* --- what is wrong -------------------------------------------------------------------------------------- */

/* "c.yaml:LINE:COLUMN: FIELD: message", the message given up to where it matters. */
static const struct mistake {
    const char *text, *error;
} mistakes[] = {
    /* the document */
    {"", "1:1: is empty, expected a map"},
    {"# nothing\n", "1:1: is empty, expected a map"},
    {"- a\n", "1:3: is a list, expected a map"},
    {"edge\n", "1:1: is a single value, expected a map"},
    {HEAD "sites: [\n", "4:1: this is not YAML: "},
    {HEAD "\tsites: 1\n", "3:1: this is not YAML: tab"},
    {HEAD SITE "---\nedge: b\n", "8:1: a second document begins, expected one"},
    {HEAD SITE "? [a]\n: 1\n", "7:4: is a list, expected the name of a field"},
    {HEAD SITE "*x : 1\n", "7:2: is an alias, which is not supported, expected the name of a field"},

    {HEAD SITE "# \xc3\xa4\xc3\x28\n", "7:4: there is a byte that is no text (0xc3), expected UTF-8"},
    {HEAD SITE "workers: \x1b\n", "7:10: there is a byte that is no text (0x1b), expected UTF-8"},
    {HEAD SITE "'\t''\xe2\x82\xac': 1\n",
     "7:2: ?'\xe2\x82\xac: there is no such field, expected one of edge"},
    {"%YAML 1.2\n---\n" HEAD SITE, "1:1: a directive begins, which is not supported"},

    /* fields */
    {HEAD SITE "limit: {}\n", "7:1: limit: there is no such field, did you mean \"limits\"?"},
    {HEAD SITE "Workers: 2\n", "7:1: Workers: there is no such field, did you mean \"workers\"?"},
    {HEAD SITE "    orgin_host: x\n",
     "7:5: sites[0].orgin_host: there is no such field, did you mean \"origin_host\"?"},
    {HEAD SITE "colour: red\n",
     "7:1: colour: there is no such field, expected one of edge, workers, user, sandbox, listen, admin, "},
    {HEAD SITE "\"a\\nb\": red\n", "7:2: a...: there is no such field, expected one of edge"},
    {HEAD SITE "workers: 1\nworkers: 1\n", "8:1: workers: is given twice, first in line 7"},
    {HEAD SITE "    name: demo\n", "7:5: sites[0].name: is given twice, first in line 4"},
    {"listen: [{address: 127.0.0.1:8080}]\n" SITE,
     "1:1: edge: is missing, expected a name of a-z, 0-9 and -"},
    {"edge: east\n" SITE, "1:1: listen: is missing, expected a list"},
    {HEAD, "1:1: sites: is missing, expected a list"},
    {HEAD "sites:\n  - hosts: [a]\n    origin: http://a\n",
     "4:5: sites[0].name: is missing, expected a name"},
    {HEAD "sites:\n  - name: a\n    origin: http://a\n", "4:5: sites[0].hosts: is missing, expected a list"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n", "4:5: sites[0].origin: is missing, expected a URL"},
    {HEAD SITE "arena: {size: 1GiB}\n", "7:9: arena.path: is missing, expected a path"},
    {HEAD SITE "arena: {}\n", "7:1: arena.path: is missing, expected a path"},
    {HEAD SITE "    tls: {certificate: a}\n", "7:11: sites[0].tls.key: is missing, expected a path"},
    {"edge: east\nlisten:\n  - tls: false\n" SITE,
     "3:5: listen[0].address: is missing, expected an IP address and a port"},

    /* kinds */
    {HEAD SITE "workers:\n", "7:1: workers: is empty, expected a whole number"},
    {HEAD SITE "workers: ''\n", "7:11: workers: is empty, expected a whole number"},
    {HEAD SITE "arena:\n", "7:1: arena: is empty, expected a map"},
    {HEAD SITE "arena: /var/cache\n", "7:8: arena: is a single value, expected a map"},
    {HEAD SITE "arena: [1]\n", "7:9: arena: is a list, expected a map"},
    {HEAD SITE "workers: [1]\n", "7:11: workers: is a list, expected a whole number"},
    {HEAD SITE "workers: {a: 1}\n", "7:11: workers: is a map, expected a whole number"},
    {HEAD SITE "workers: *a\n",
     "7:11: workers: is an alias, which is not supported, expected a whole number"},
    {HEAD SITE "trusted_proxies: 127.0.0.1\n", "7:18: trusted_proxies: is a single value, expected a list"},
    {HEAD SITE "trusted_proxies: {a: b}\n", "7:19: trusted_proxies: is a map, expected a list"},
    {HEAD SITE "trusted_proxies: [127.0.0.1, [a]]\n", "7:31: trusted_proxies[1]: is a list, expected an IP"},
    {HEAD SITE "  - demo\n", "7:5: sites[1]: is a single value, expected a map"},
    {HEAD SITE "  -\n", "4:5: sites[1]: is empty, expected a map"},
    {"edge: east\nlisten: []\n" SITE, "2:1: listen: has 0 items, expected 1 to 64"},
    {HEAD SITE "    countries: {allow: []}\n",
     "7:17: sites[0].countries.allow: has 0 items, expected 1 to 256"},

    /* values */
    {HEAD SITE "workers: many\n", "7:10: workers: \"many\" is not valid, expected a whole number"},
    {HEAD SITE "workers: -1\n", "7:10: workers: \"-1\" is not valid, expected a whole number"},
    {HEAD SITE "workers: 65\n", "7:10: workers: \"65\" is out of range, expected 0 to 64"},
    {HEAD SITE "workers: 99999999999999999999\n",
     "7:10: workers: \"99999999999999999999\" is out of range, expected 0 to 64"},
    {HEAD SITE "arena:\n  path: a\n  size: 10GB\n",
     "9:9: arena.size: \"10GB\" is not valid, expected a size such as"},
    {HEAD SITE "arena:\n  path: a\n  size: 1 GiB\n",
     "9:9: arena.size: \"1 GiB\" is not valid, expected a size"},
    {HEAD SITE "arena:\n  path: a\n  size: 99999999TiB\n",
     "9:9: arena.size: \"99999999TiB\" is out of range, expected 4MiB to 1024TiB"},
    {HEAD SITE "arena: {path: a, region_size: 512KiB}\n",
     "7:31: arena.region_size: \"512KiB\" is out of range, expected 1MiB to 1GiB"},
    {HEAD SITE "arena: {path: a, slice_size: 32KiB}\n",
     "7:30: arena.slice_size: \"32KiB\" is out of range, expected 64KiB to 256MiB"},
    {HEAD SITE "limits: {idle_timeout: 30}\n",
     "7:24: limits.idle_timeout: \"30\" is not valid, expected a duration such as"},
    {HEAD SITE "limits: {idle_timeout: 0s}\n",
     "7:24: limits.idle_timeout: \"0s\" is out of range, expected 1ms to 1h"},
    {HEAD SITE "limits: {idle_timeout: none}\n",
     "7:24: limits.idle_timeout: \"none\" is not valid, expected a duration"},
    {HEAD SITE "    freshness: {playlist_live_max: never}\n",
     "7:36: sites[0].freshness.playlist_live_max: \"never\" is not valid, expected a duration such as 500ms, "
     "5s, 2m, "
     "1h or 30d, or none"},
    {HEAD SITE "    freshness: {playlist_live_max: 366d}\n",
     "7:36: sites[0].freshness.playlist_live_max: \"366d\" is out of range, expected 0s to 365d, or none"},
    {HEAD SITE "access_log: {path: a, viewer_address: trunkated}\n",
     "7:39: access_log.viewer_address: \"trunkated\" is not valid, did you mean \"truncated\"?"},
    {HEAD SITE "access_log: {path: a, viewer_address: yes}\n",
     "7:39: access_log.viewer_address: \"yes\" is not valid, expected one of truncated, full, none"},
    {"edge: east\nlisten:\n  - {address: 127.0.0.1:8080, tls: yes}\n" SITE,
     "3:36: listen[0].tls: \"yes\" is not valid, expected true or false"},
    {"edge: East\nlisten: [{address: 127.0.0.1:8080}]\n" SITE,
     "1:7: edge: \"East\" is not valid, expected a name"},
    {"edge: a_b\nlisten: [{address: 127.0.0.1:8080}]\n" SITE,
     "1:7: edge: \"a_b\" is not valid, expected a name"},
    {"edge: a-\nlisten: [{address: 127.0.0.1:8080}]\n" SITE,
     "1:7: edge: \"a-\" is not valid, expected a name"},
    {"edge: east\nlisten:\n  - address: localhost:8080\n" SITE,
     "3:14: listen[0].address: \"localhost:8080\" is not valid, expected an IP address and a port"},
    {"edge: east\nlisten:\n  - address: 127.0.0.1\n" SITE,
     "3:14: listen[0].address: \"127.0.0.1\" is not valid"},
    {"edge: east\nlisten:\n  - address: '::0'\n" SITE, "3:15: listen[0].address: \"::0\" is not valid"},
    {"edge: east\nlisten:\n  - address: '[::1]'\n" SITE, "3:15: listen[0].address: \"[::1]\" is not valid"},
    {HEAD SITE "admin: 8081\n", "7:8: admin: \"8081\" is not valid, expected an IP address and a port"},
    {HEAD SITE "trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n",
     "9:5: trusted_proxies[1]: \"10.0.0.0/33\" is not valid, expected an IP address or prefix"},
    {HEAD SITE "geoip: {overrides: [{prefix: x, country: DE}]}\n",
     "7:30: geoip.overrides[0].prefix: \"x\" is not valid, expected an IP address or prefix"},
    {HEAD SITE "geoip: {overrides: [{prefix: '::', country: UK}]}\n",
     "7:45: geoip.overrides[0].country: \"UK\" is not valid, expected a country's two letters of ISO 3166-1"},
    {HEAD SITE "edges: [{name: east, address: '127.0.0.1:80'}]\n",
     "7:32: edges[0].address: \"127.0.0.1:80\" is not valid, expected an IP address without a port"},
    {HEAD SITE "edges: [{name: east, address: 127.0.0.1, latitude: 91, longitude: 0}]\n",
     "7:52: edges[0].latitude: \"91\" is out of range, expected degrees from -90 to 90"},
    {HEAD SITE "edges: [{name: east, address: 127.0.0.1, latitude: 1, longitude: 0x1}]\n",
     "7:66: edges[0].longitude: \"0x1\" is not valid, expected degrees from -180 to 180"},
    {HEAD SITE "edges: [{name: east, address: 127.0.0.1, http_port: 65536}]\n",
     "7:53: edges[0].http_port: \"65536\" is out of range, expected 1 to 65535"},
    {HEAD "sites:\n  - name: a\n    hosts: [a.example.com, 'http://b']\n    origin: http://a\n",
     "5:29: sites[0].hosts[1]: \"http://b\" is not valid, expected a host name or an IP address without a "
     "port"},
    {HEAD "sites:\n  - name: a\n    hosts: ['a.example.com:80']\n    origin: http://a\n",
     "5:14: sites[0].hosts[0]: \"a.example.com:80\" is not valid"},
    {HEAD "sites:\n  - name: a\n    hosts: ['a.*.com']\n    origin: http://a\n",
     "5:14: sites[0].hosts[0]: \"a.*.com\" is not"},
    {HEAD "sites:\n  - name: a\n    hosts: [a.example.com.]\n    origin: http://a\n",
     "5:13: sites[0].hosts[0]: "},
    {HEAD "sites:\n  - name: a\n    hosts: [127.0.0.256]\n    origin: http://a\n",
     "5:13: sites[0].hosts[0]: "},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: ftp://a\n",
     "6:13: sites[0].origin: is not valid, expected a URL of http or https"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: a.example.com\n",
     "6:13: sites[0].origin: is not valid"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: http://a:65536\n",
     "6:13: sites[0].origin: is not valid"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: http://a/b?c\n",
     "6:13: sites[0].origin: is not valid"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: http://*.a\n",
     "6:13: sites[0].origin: is not valid"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origin: http://u:secret@a\n",
     "6:13: sites[0].origin: is not valid"},
    {HEAD SITE "    origins: [{url: 'http://a'}]\n", "7:16: sites[0].origins: is given together with origin"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origins: [{weight: 1}]\n",
     "6:16: sites[0].origins[0].url: is missing"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origins: [{url: 'http://a', secret_file: b}]\n",
     "6:46: sites[0].origins[0].secret_file: stands alone, expected secret_header beside it"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origins: [{url: 'http://a', secret_header: Host, "
          "secret_file: b}]\n",
     "6:48: sites[0].origins[0].secret_header: \"Host\" is a field that the edge writes itself"},
    {HEAD "sites:\n  - name: a\n    hosts: [a]\n    origins: [{url: 'http://a', tls: {key: k}}]\n",
     "6:44: sites[0].origins[0].tls.key: stands alone, expected certificate beside it"},
    {HEAD SITE "    origin_check: {path: health}\n",
     "7:26: sites[0].origin_check.path: \"health\" is not valid, expected a path"},
    {HEAD SITE "    origin_host: http://a\n",
     "7:18: sites[0].origin_host: \"http://a\" is not valid, expected a host"},
    {HEAD SITE "    edge_host: video.example.com\n",
     "7:16: sites[0].edge_host: \"video.example.com\" is not valid, expected a host name with {edge} or "
     "{address} in it"},
    {HEAD SITE "    edge_host: '{edge}.{site}.example.com'\n",
     "7:17: sites[0].edge_host: \"{edge}.{site}.example.com\" is not"},
    {HEAD SITE "    edge_host: '*.{edge}.example.com'\n",
     "7:17: sites[0].edge_host: \"*.{edge}.example.com\" is not"},
    {HEAD SITE "    query_drop: [a*b]\n",
     "7:18: sites[0].query_drop[0]: \"a*b\" is not valid, expected the name of a query"},
    {HEAD SITE "    query_drop: [a=b]\n", "7:18: sites[0].query_drop[0]: \"a=b\" is not valid"},
    {HEAD SITE "    query_drop: ['preset:mediamtz']\n",
     "7:19: sites[0].query_drop[0]: \"preset:mediamtz\" is not valid, expected"},
    {HEAD SITE "    forward_headers: [a b]\n", "7:23: sites[0].forward_headers[0]: \"a b\" is not valid"},
    {HEAD SITE "    pass_methods: [post]\n",
     "7:20: sites[0].pass_methods[0]: \"post\" is not valid, expected a"},
    {HEAD SITE "    request_directives: sometimes\n",
     "7:25: sites[0].request_directives: \"sometimes\" is not valid, expected one of none, other, all"},
    {HEAD SITE "    cors_origins: [https://a/b]\n",
     "7:20: sites[0].cors_origins[0]: \"https://a/b\" is not valid, expected *"},
    {HEAD SITE "    cors_origins: [a.example.com]\n",
     "7:20: sites[0].cors_origins[0]: \"a.example.com\" is not valid"},
    {HEAD SITE "    countries: {deny: [XX]}\n",
     "7:24: sites[0].countries.deny[0]: \"XX\" is not valid, expected a country"},
    {HEAD SITE "geoip: {database: \"a\\0b\"}\n",
     "7:20: geoip.database: \"a?b\" is not valid, expected a path"},

    /* what must fit together */
    {HEAD SITE "    cache: {guaranteed: 60%, max: 50%}\narena: {path: a}\n",
     "7:25: sites[0].cache.guaranteed: is more than max, expected at most 536870900 bytes"},
    {HEAD SITE "    cache: {guaranteed: 2GiB}\narena: {path: a}\n",
     "7:25: sites[0].cache.guaranteed: is more than other sites leave of the arena, expected at most "
     "1073741824 bytes"},
    {HEAD SITE "    cache: {max: 101%}\n",
     "7:18: sites[0].cache.max: \"101%\" is out of range, expected 0 to 100%"},
    {HEAD SITE "    cache: {max: 7%%}\n", "7:18: sites[0].cache.max: \"7%%\" is not valid, expected a size"},
    {HEAD SITE "arena: {path: a, size: 255MiB}\n", "7:24: arena.size: holds less than 4 regions, expected at "
                                                   "least 268435456 bytes or a smaller region_size"},
    {HEAD SITE "arena: {path: a, disks: [{path: b}]}\n",
     "7:15: arena.path: stands beside disks, expected it in the entry of a disk"},
    {HEAD SITE "arena: {size: 1GiB, disks: [{path: b}]}\n",
     "7:15: arena.size: stands beside disks, expected it in the entry of a disk"},
    {HEAD SITE "arena:\n  disks:\n    - {path: a}\n    - {path: b, size: 8MiB}\n",
     "10:23: arena.disks[1].size: holds less than 4 regions"},
    {HEAD SITE "arena:\n  disks: [{path: a}, {path: b}, {path: a}]\n",
     "8:40: arena.disks[2].path: is that of disks[0] too"},
    {HEAD SITE "arena: {disks: [{size: 1GiB}]}\n", "7:18: arena.disks[0].path: is missing, expected a path"},
    {HEAD SITE "arena: {disks: []}\n", "7:9: arena.disks: has 0 items, expected 1 to 16"},
    {HEAD SITE "arena: {path: a, scrub_interval: 1m}\n", "7:34: arena.scrub_interval: "},
    {HEAD SITE "arena: {path: a, region_size: 1GiB}\n", "7:9: arena.size: holds less than 4 regions"},
    {HEAD SITE "arena: {path: a, region_size: 3MiB}\n", "7:31: arena.region_size: is not a power of two"},
    {HEAD SITE "arena: {path: a, slice_size: 65KiB}\n", "7:30: arena.slice_size: is not a power of two"},
    {HEAD SITE "arena: {path: a, slice_size: 32MiB}\n",
     "7:30: arena.slice_size: is more than a quarter of region_size, expected at most 16777216 bytes"},
    {HEAD SITE "limits: {uri_max: 16KiB}\n", "7:19: limits.uri_max: leaves no room for fields, expected "
                                             "uri_max (16384) below request_head_max (16384)"},
    {HEAD SITE "limits: {request_head_max: 8KiB}\n",
     "7:28: limits.request_head_max: leaves no room for fields"},
    {HEAD SITE "    countries:\n      allow: [DE]\n      deny: [FR]\n",
     "9:14: sites[0].countries.deny: is given together with allow, expected one of the two"},
    {HEAD SITE "edges: [{name: east, address: 127.0.0.1, latitude: 1}]\n",
     "7:52: edges[0].latitude: stands alone, expected longitude beside it"},
    {HEAD SITE "geoip: {overrides: [{prefix: '::', longitude: 1}]}\n",
     "7:47: geoip.overrides[0].longitude: stands alone, expected latitude beside it"},
    {HEAD SITE "geoip: {overrides: [{prefix: '::'}]}\n",
     "7:31: geoip.overrides[0].prefix: has no place, expected country"},
    {HEAD SITE "edges: [{name: west, address: 127.0.0.1}]\n",
     "1:7: edge: \"east\" is not in edges, expected the name of"},
    {HEAD SITE "edges:\n  - {name: east, address: 127.0.0.1}\n  - {name: east, address: 127.0.0.2}\n",
     "9:12: edges[1].name: \"east\" is the name of edges[0] already, expected each name once"},
    {HEAD SITE "  - {name: demo, hosts: [other.example.com], origin: http://a}\n",
     "7:12: sites[1].name: \"demo\" is the name of sites[0] already, expected each name once"},
    {HEAD SITE "  - {name: b, hosts: [b.example.com, VIDEO.example.com], origin: http://a}\n",
     "7:38: sites[1].hosts[1]: \"video.example.com\" is a host of the site \"demo\" already, expected each "
     "host once"},
    {HEAD "sites:\n  - name: a\n    hosts: [a, b, a]\n    origin: http://a\n",
     "5:19: sites[0].hosts[2]: \"a\" is a host of the site \"a\" already"},
    {HEAD SITE "  - {name: b, hosts: [example.com], edge_host: '{edge}.example.com', origin: http://a}\n"
               "edges: [{name: east, address: 127.0.0.1}, {name: video, address: 127.0.0.1}]\n",
     "7:49: sites[1].edge_host: \"video.example.com\" is a host of the site \"demo\" already"},
    {HEAD SITE "    edge_host: '{address}.example.com'\nedges: [{name: east, address: '2001:db8::1'}]\n",
     "7:17: sites[0].edge_host: makes no host name for the edge \"east\" (2001:db8::1), expected a host "
     "name"},
    {"edge: east\nlisten:\n  - address: 127.0.0.1:80\n  - address: 127.0.0.1:80\n" SITE,
     "4:14: listen[1].address: is the address of listen[0] already, expected each address once"},
    {HEAD SITE "admin: 127.0.0.1:8080\n",
     "7:8: admin: is the address of listen[0] already, expected one of its own"},
    {"edge: east\nlisten:\n  - {address: 127.0.0.1:80, tls: true}\n" SITE,
     "3:34: listen[0].tls: has no certificate to show, expected tls in at least one of the sites"},
};

static void test_mistakes(void **state)
{
    size_t wrong_count = 0;
    struct buf errors;

    (void)state;
    buf_init(&errors, 100000);
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        const struct config *config = NULL;
        struct slice text = slice_of(mistakes[i].text), line;
        char expected[400];

        buf_clear(&errors);
        if (config_parse("c.yaml", text, &errors, &config) != -EINVAL || config)
            fail_msg("taken as right:\n%s", mistakes[i].text);
        snprintf(expected, sizeof(expected), "c.yaml:%s", mistakes[i].error);
        line = buf_slice(&errors);
        if (!slice_starts_with(line, slice_of(expected)) || slice_find(line, '\n') != line.size - 1) {
            print_error("%s\nexpected: %s\ngot:      %.*s", mistakes[i].text, expected, SLICE_ARG(line));
            wrong_count++;
        }
    }
    buf_fini(&errors);
    assert_int_equal(wrong_count, 0);
}

static size_t line_count(struct slice text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    return count;
}

static void test_all_mistakes_at_once(void **state)
{
    static const char text[] = "edge: East\n"
                               "listen: [{address: 127.0.0.1:8080}]\n"
                               "worker: 1\n"
                               "arena: {size: 1GB}\n"
                               "sites: [{name: a, hosts: [b c], origin: http://a}]\n";
    static const char expected[] =
        "c.yaml:1:7: edge: \"East\" is not valid, expected a name of a-z, 0-9 and - (at most 63)\n"
        "c.yaml:3:1: worker: there is no such field, did you mean \"workers\"?\n"
        "c.yaml:4:15: arena.size: \"1GB\" is not valid, expected a size such as 64KiB, 10MiB or 1GiB\n"
        "c.yaml:4:9: arena.path: is missing, expected a path\n"
        "c.yaml:5:27: sites[0].hosts[0]: \"b c\" is not valid, expected a host name or an IP address without "
        "a port, "
        "such as video.example.com or *.example.com\n";
    const struct config *config = NULL;
    struct buf errors;

    (void)state;
    buf_init(&errors, 100000);
    assert_int_equal(config_parse("c.yaml", slice_of(text), &errors, &config), -EINVAL);
    buf_append_char(&errors, '\0');
    assert_string_equal(errors.data, expected);
    buf_fini(&errors);
}

static void test_mistakes_are_bounded(void **state)
{
    const struct config *config = NULL;
    struct buf text, errors;

    (void)state;
    buf_init(&text, 100000);
    buf_init(&errors, 100000);
    buf_append_text(&text, HEAD SITE "trusted_proxies:\n");
    for (int i = 0; i < 1000; i++)
        buf_append_text(&text, "  - x\n");
    assert_int_equal(config_parse("c.yaml", buf_slice(&text), &errors, &config), -EINVAL);
    assert_int_equal(line_count(buf_slice(&errors)), CONFIG_ERRORS_MAX + 1);
    assert_true(slice_ends_with(buf_slice(&errors), SLICE_LITERAL("\nc.yaml: and 980 more errors\n")));
    buf_fini(&text);
    buf_fini(&errors);
}

/* A key pasted where a path belongs, and a password in a URL, stay out of the log. */
static void test_secrets_are_not_quoted(void **state)
{
    static const char text[] = HEAD "sites:\n"
                                    "  - name: a\n"
                                    "    hosts: [a]\n"
                                    "    origin: http://user:Hunter2@a\n"
                                    "    tls:\n"
                                    "      certificate: a.pem\n"
                                    "      key: |\n"
                                    "        -----BEGIN PRIVATE KEY-----\n"
                                    "        MIIEvQIBADANBgkq\n";
    const struct config *config = NULL;
    struct buf errors;

    (void)state;
    buf_init(&errors, 100000);
    assert_int_equal(config_parse("c.yaml", slice_of(text), &errors, &config), -EINVAL);
    buf_append_char(&errors, '\0');
    assert_non_null(strstr(errors.data, "sites[0].tls.key: \"-----BEGIN PRIVATE KEY-----...\" is not valid"));
    assert_null(strstr(errors.data, "MII"));
    assert_null(strstr(errors.data, "Hunter2"));
    assert_int_equal(line_count(buf_slice(&errors)), 2);
    buf_fini(&errors);
}

/* --- files ---------------------------------------------------------------------------------------------- */

static void test_load(void **state)
{
    char folder[] = "/tmp/config_test.XXXXXX", path[64], expected[128];
    const struct config *config = NULL;
    struct buf errors;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/edge.yaml", folder);
    buf_init(&errors, 10000);
    assert_int_equal(config_load(path, &errors, &config), -ENOENT);
    snprintf(expected, sizeof(expected), "%s: No such file or directory\n", path);
    buf_append_char(&errors, '\0');
    assert_string_equal(errors.data, expected);
    buf_clear(&errors);
    assert_int_equal(config_load(folder, &errors, &config), -EISDIR);

    file = fopen(path, "w");
    assert_non_null(file);
    fputs(HEAD SITE "arena: {path: cache}\n", file);
    fclose(file);
    buf_clear(&errors);
    assert_int_equal(config_load(path, &errors, &config), 0);
    snprintf(expected, sizeof(expected), "%s/cache", folder);
    assert_string_equal(config->arena.path, expected);
    config_unref(config);
    buf_fini(&errors);
    unlink(path);
    rmdir(folder);
}

/* --- docs/config.md ------------------------------------------------------------------------------------- */

static void read_documentation(struct buf *text)
{
    char path[1000], part[4096];
    size_t count;
    FILE *file;

    snprintf(path, sizeof(path), "%.*s/../docs/config.md", (int)(strrchr(__FILE__, '/') - __FILE__),
             __FILE__);
    file = fopen(path, "r");
    assert_non_null(file);
    buf_init(text, 1 << 20);
    while ((count = fread(part, 1, sizeof(part), file)) > 0)
        buf_append(text, part, count);
    fclose(file);
    buf_append_char(text, '\0');
    assert_false(text->failed);
}

/* Each field has a row "| `path` | type | default | ...". */
static void assert_documented(const char *documentation, const struct config_table *table, const char *prefix)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_field *field = &table->fields[i];
        const char *type = field->table ? "map" : field->type->name;
        char inner[200], row[400], preset[100] = "";

        if (field->required)
            snprintf(preset, sizeof(preset), " required");
        else if (field->preset)
            snprintf(preset, sizeof(preset), field->is_list ? " `[%s]`" : " `%s`", field->preset);
        snprintf(row, sizeof(row), field->is_list ? "\n| `%s%s` | [%s] |%s |" : "\n| `%s%s` | %s |%s |",
                 prefix, field->name, type, preset);
        if (!strstr(documentation, row))
            fail_msg("docs/config.md has no row that begins with: %s", row + 1);
        snprintf(inner, sizeof(inner), "%s%s%s.", prefix, field->name, field->is_list ? "[]" : "");
        if (field->table)
            assert_documented(documentation, field->table, inner);
    }
}

static void test_every_field_is_documented(void **state)
{
    struct buf text;

    (void)state;
    read_documentation(&text);
    assert_documented(text.data, &config_schema, "");
    buf_fini(&text);
}

static void test_documented_examples_are_right(void **state)
{
    const char *begin, *end;
    struct buf text;
    int count = 0;

    (void)state;
    read_documentation(&text);
    for (begin = text.data; (begin = strstr(begin, "```yaml\n")); begin = end) {
        begin += strlen("```yaml\n");
        end = strstr(begin, "```");
        assert_non_null(end);
        text.data[end - text.data] = '\0';
        config_unref(parsed("docs/config.md", begin));
        end++;
        count++;
    }
    assert_true(count >= 2);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_edge_fields),
        cmocka_unit_test(test_site_fields),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_chosen_ports),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_all_mistakes_at_once),
        cmocka_unit_test(test_mistakes_are_bounded),
        cmocka_unit_test(test_secrets_are_not_quoted),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_every_field_is_documented),
        cmocka_unit_test(test_documented_examples_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
