/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes config_parse: whatever the file holds, it becomes a configuration that keeps its promises, or errors
 * that are lines and name the file.
 */
#include <errno.h>

#include "base/check.h"
#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_site(const struct config *c, const struct config_site *site)
{
    REQUIRE(site->name && site->host_count > 0 && site->edge_host.data && site->origin_count > 0);
    for (size_t i = 0; i < site->origin_count; i++)
        REQUIRE(site->origins[i].url.host && site->origins[i].url.port > 0 && site->origins[i].host.size > 0);
    REQUIRE(site->countries.allow_count == 0 || site->countries.deny_count == 0);
    REQUIRE(!site->tls.first.certificate == !site->tls.first.key);
    for (size_t i = 0; i < site->host_count; i++)
        REQUIRE(site->hosts[i].size > 0 && strlen(site->hosts[i].data) == site->hosts[i].size);
    for (size_t i = 0; site->edge_hosts && i < c->edge_count; i++)
        REQUIRE(site->edge_hosts[i].size > 0);
}

static void check_config(const struct config *c)
{
    REQUIRE(c->edge && c->listener_count > 0 && c->site_count > 0);
    REQUIRE(!c->self == (c->edge_count == 0));
    REQUIRE(!c->arena.path || c->arena.size_bytes / 4 >= c->arena.region_size_bytes);
    REQUIRE(!c->arena.path || c->arena.region_size_bytes / 4 >= c->arena.slice_size_bytes);
    for (size_t i = 0; i < c->site_count; i++)
        check_site(c, &c->sites[i]);
}

static void check_errors(struct slice errors)
{
    struct slice line;
    size_t count = 0;

    REQUIRE(slice_ends_with(errors, SLICE_LITERAL("\n")));
    errors.size--;
    while (slice_split(&errors, '\n', &line)) {
        REQUIRE(slice_starts_with(line, SLICE_LITERAL("fuzz.yaml:")));
        count++;
    }
    REQUIRE(count <= CONFIG_ERRORS_MAX + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config *config = NULL;
    struct buf errors;
    int status;

    buf_init(&errors, 1 << 20);
    status = config_parse("fuzz.yaml", slice_make((const char *)data, size), &errors, &config);
    REQUIRE(status == 0 || status == -EINVAL);
    if (status == 0)
        check_config(config);
    else
        check_errors(buf_slice(&errors));
    config_unref(config);
    buf_fini(&errors);
    return 0;
}
