/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h. */
#include "origin/upstream.h"

#include <errno.h>
#include <stdlib.h>

#include "secret.h"

#define SECRET_SIZE_MAX ((size_t)4096)

struct upstreams {
    struct tls_client *tls; /* of those without settings of their own; NULL: not needed */
    size_t site_count;
    struct upstream_site sites[];
};

/* ---- secrets ---- */

static bool is_field_value(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return text.size > 0;
}

/* The first line of a file. Neither errors nor anything else say a word of it. */
static int append_secret(const char *path, struct buf *out, struct buf *error)
{
    char data[SECRET_SIZE_MAX + 1];
    struct slice text;
    int r = secret_read(path, data, sizeof(data), &text);
    if (r < 0) {
        buf_printf(error, "cannot read the secret %s: %s", path, strerror(-r));
        return r;
    }
    text = slice_trim(text);
    if (!is_field_value(text) || text.size > SECRET_SIZE_MAX) {
        buf_printf(error, "the first line of the secret %s is empty, too long or no text", path);
        return -EINVAL;
    }
    buf_append_slice(out, text);
    explicit_bzero(data, sizeof(data));
    return 0;
}

static int write_fields(const struct config_upstream *c, struct buf *out, struct buf *error)
{
    int r = 0;
    buf_append_text(out, "Host: ");
    buf_append_slice(out, c->host);
    buf_append_text(out, "\r\n");
    if (c->secret_file) {
        buf_append_slice(out, c->secret_header);
        buf_append_text(out, ": ");
        r = append_secret(c->secret_file, out, error);
        buf_append_text(out, "\r\n");
    }
    if (r == 0 && c->bearer_file) {
        buf_append_text(out, "Authorization: Bearer ");
        r = append_secret(c->bearer_file, out, error);
        buf_append_text(out, "\r\n");
    }
    return r == 0 && out->failed ? -ENOMEM : r;
}

static int keep_fields(struct upstream *u, struct buf *error)
{
    struct buf fields;
    buf_init(&fields, 4 * SECRET_SIZE_MAX);
    int r = write_fields(u->config, &fields, error);
    char *copy = r == 0 ? malloc(fields.size) : NULL;
    if (r == 0 && !copy)
        r = -ENOMEM;
    if (r == 0) {
        memcpy(copy, fields.data, fields.size);
        u->fields = slice_make(copy, fields.size);
    }
    if (fields.size > 0)
        explicit_bzero(fields.data, fields.size);
    buf_fini(&fields);
    return r;
}

/* ---- TLS ---- */

static int choose_tls(struct upstreams *all, struct upstream *u, struct buf *error)
{
    const struct config_upstream *c = u->config;
    bool is_own = c->tls.ca || c->tls.certificate || !c->tls.verify;
    struct tls_client *client = NULL;
    int r = 0;
    if (!c->url.tls)
        return 0;
    if (is_own || !all->tls)
        r = tls_client_new(c->tls.ca, c->tls.verify, error, &client);
    if (r < 0)
        return r;
    if (!is_own && !all->tls)
        all->tls = client;
    u->target.tls = is_own ? client : all->tls;
    return c->tls.certificate ? tls_client_show(client, c->tls.certificate, c->tls.key, error) : 0;
}

/* ---- all of them ---- */

static int upstream_init(struct upstreams *all, const struct config_upstream *c, size_t worker_count,
                         struct upstream *u, struct buf *error)
{
    u->config = c;
    u->target = (struct fetch_target){
        .host = c->url.host,
        .port = c->url.port,
        .server_name = c->tls.server_name,
        .connections_max = (size_t)((c->connections_max + worker_count - 1) / worker_count),
    };
    int r = choose_tls(all, u, error);
    return r < 0 ? r : keep_fields(u, error);
}

static int site_init(struct upstreams *all, const struct config_site *c, size_t worker_count,
                     struct upstream_site *site, struct buf *error)
{
    int r = 0;
    site->config = c;
    site->upstreams = calloc(c->origin_count, sizeof(*site->upstreams));
    if (!site->upstreams)
        return -ENOMEM;
    site->count = c->origin_count;
    for (size_t i = 0; r == 0 && i < site->count; i++)
        r = upstream_init(all, &c->origins[i], worker_count, &site->upstreams[i], error);
    return r;
}

int upstreams_new(const struct config *config, size_t worker_count, struct buf *error,
                  struct upstreams **ret_upstreams)
{
    struct upstreams *u = calloc(1, sizeof(*u) + config->site_count * sizeof(u->sites[0]));
    int r = 0;
    if (!u)
        return -ENOMEM;
    u->site_count = config->site_count;
    for (size_t i = 0; r == 0 && i < u->site_count; i++)
        r = site_init(u, &config->sites[i], worker_count, &u->sites[i], error);
    if (r < 0) {
        upstreams_free(u);
        return r;
    }
    *ret_upstreams = u;
    return 0;
}

static void upstream_fini(const struct upstreams *all, struct upstream *u)
{
    if (u->target.tls && u->target.tls != all->tls)
        tls_client_free(u->target.tls);
    if (u->fields.data)
        explicit_bzero((char *)u->fields.data, u->fields.size);
    free((char *)u->fields.data);
}

void upstreams_free(struct upstreams *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < u->site_count; i++) {
        for (size_t k = 0; k < u->sites[i].count; k++)
            upstream_fini(u, &u->sites[i].upstreams[k]);
        free(u->sites[i].upstreams);
    }
    tls_client_free(u->tls);
    free(u);
}

struct upstream_site *upstreams_site(struct upstreams *u, unsigned site_id)
{
    REQUIRE(site_id > 0 && site_id <= u->site_count);
    return &u->sites[site_id - 1];
}

size_t upstreams_site_count(const struct upstreams *u)
{
    return u->site_count;
}
