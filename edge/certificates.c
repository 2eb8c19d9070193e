/* SPDX-License-Identifier: Apache-2.0 */
/* See certificates.h. */
#include "certificates.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "refresh.h"

struct certificates {
    const struct config *config;
    const struct site_table *sites;
    struct tls_server *server;
    int *identity_of_site; /* by site id */
    struct refresh refresh;
};

/* Called by OpenSSL, on any worker. */
static int choose(void *user, struct slice name, const char *local_ip)
{
    const struct certificates *c = user;
    struct site_match match;
    struct slice asked =
        name.data ? name : slice_of(local_ip); /* no SNI for addresses (RFC 6066 section 3) */
    return site_find(c->sites, asked, &match) ? c->identity_of_site[match.site->id] : -1;
}

static struct tls_certificate certificate_of(const struct config_certificate *c)
{
    return (struct tls_certificate){c->certificate, c->key, c->ocsp_file};
}

static size_t gather(struct certificates *c, struct tls_identity *identities)
{
    size_t count = 0;
    for (size_t i = 0; i < c->config->site_count; i++) {
        const struct config_tls *tls = &c->config->sites[i].tls;
        c->identity_of_site[i + 1] = tls->first.certificate ? (int)count : -1;
        if (!tls->first.certificate)
            continue;
        struct tls_identity *identity = &identities[count++];
        identity->certificates[identity->count++] = certificate_of(&tls->first);
        for (size_t k = 0; k < tls->more_count; k++)
            identity->certificates[identity->count++] = certificate_of(&tls->more[k]);
    }
    return count;
}

static int open_server(struct certificates *c, struct buf *error)
{
    const struct config_tls_common *common = &c->config->tls;
    struct tls_identity *identities = calloc(c->config->site_count, sizeof(*identities));
    c->identity_of_site = calloc(c->config->site_count + 1, sizeof(*c->identity_of_site));
    int r = identities && c->identity_of_site ? 0 : -ENOMEM;
    if (r == 0) {
        struct tls_server_options options = {
            .identities = identities,
            .identity_count = gather(c, identities),
            .choose = choose,
            .user = c,
            .ticket_secret_paths = common->ticket_keys,
            .ticket_secret_count = common->ticket_key_count,
            .ticket_rotation_ms = common->ticket_rotation_ms,
            .without_ktls = !common->ktls,
            .early_data = common->early_data,
        };
        r = tls_server_new(&options, error, &c->server);
    }
    free(identities);
    return r;
}

static bool is_needed(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].tls)
            return true;
    return false;
}

static void look(void *user, bool is_asked)
{
    struct certificates *c = user;
    tls_server_refresh(c->server, is_asked);
}

int certificates_new(const struct config *config, const struct site_table *sites, struct buf *error,
                     struct certificates **ret_certificates)
{
    if (!is_needed(config)) {
        *ret_certificates = NULL;
        return 0;
    }
    struct certificates *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->config = config;
    c->sites = sites;
    refresh_init(&c->refresh, config->tls.reload_interval_ms, look, c);
    int r = open_server(c, error);
    if (r < 0) {
        certificates_free(c);
        return r;
    }
    *ret_certificates = c;
    return 0;
}

int certificates_start(struct certificates *c)
{
    return refresh_start(&c->refresh);
}

void certificates_reload(struct certificates *c)
{
    refresh_ask(&c->refresh);
}

void certificates_free(struct certificates *c)
{
    if (!c)
        return;
    refresh_fini(&c->refresh);
    tls_server_unref(c->server);
    free(c->identity_of_site);
    free(c);
}

/* ---- for others ---- */

struct tls_server *certificates_server(const struct certificates *c)
{
    return c ? c->server : NULL;
}

int certificates_of_site(const struct certificates *c, unsigned site_id)
{
    REQUIRE(site_id >= 1 && site_id <= c->config->site_count);
    return c->identity_of_site[site_id];
}
