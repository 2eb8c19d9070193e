/* SPDX-License-Identifier: Apache-2.0 */
/* See proxied.h. */
#include "proxied.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/proxy_protocol.h"

#define WAITING_MAX 4096 /* balancers say the header at once */

struct proxied {
    struct loop *loop;
    struct http_server *server;
    const struct config *config;
    uint64_t timeout_ms;
    struct list waiting;
    size_t waiting_count;
};

struct guest {
    struct list node;
    struct proxied *owner;
    struct proxy_reader *reader;
    struct addr peer;
    struct tls_server *tls;
};

struct proxied *proxied_new(struct loop *l, struct http_server *server, const struct config *config,
                            uint64_t timeout_ms)
{
    struct proxied *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->loop = l;
    p->server = server;
    p->config = config;
    p->timeout_ms = timeout_ms;
    list_init(&p->waiting);
    return p;
}

static void forget(struct guest *g)
{
    g->owner->waiting_count--;
    list_remove(&g->node);
    free(g);
}

void proxied_free(struct proxied *p)
{
    struct guest *g, *following;

    if (!p)
        return;
    LIST_FOR_EACH_SAFE (g, following, &p->waiting, node) {
        int fd = proxy_reader_fd(g->reader);

        proxy_reader_cancel(g->reader);
        close(fd);
        forget(g);
    }
    free(p);
}

static bool is_trusted(const struct proxied *p, const struct addr *peer)
{
    for (size_t i = 0; i < p->config->trusted_proxy_count; i++)
        if (addr_prefix_contains(&p->config->trusted_proxies[i], peer))
            return true;
    return false;
}

static void on_header(struct proxy_reader *r, int status, const struct proxy_header *header)
{
    struct guest *g = proxy_reader_user(r);
    struct http_server *server = g->owner->server;
    struct tls_server *tls = g->tls;
    struct addr peer = g->peer;
    int fd = proxy_reader_fd(r);

    forget(g);
    if (status == 0)
        http_server_accept(server, fd, header->has_source ? &header->source : &peer, tls);
    else
        http_server_turn_away(server, fd, &peer, true,
                              status == -ETIMEDOUT ? HTTP_REFUSAL_PROXY_TIMEOUT
                                                   : HTTP_REFUSAL_PROXY_MALFORMED);
}

void proxied_accept(struct proxied *p, int fd, const struct addr *peer, struct tls_server *tls)
{
    struct guest *g;

    if (!is_trusted(p, peer) || p->waiting_count == WAITING_MAX) {
        http_server_turn_away(p->server, fd, peer, true,
                              p->waiting_count == WAITING_MAX ? HTTP_REFUSAL_TOO_MANY_CONNECTIONS
                                                              : HTTP_REFUSAL_PROXY_UNTRUSTED);
        return;
    }
    g = calloc(1, sizeof(*g));
    if (g)
        g->reader = proxy_reader_start(p->loop, fd, p->timeout_ms, on_header, g);
    if (!g || !g->reader) {
        free(g);
        close(fd);
        return;
    }
    g->owner = p;
    g->peer = *peer;
    g->tls = tls;
    list_push_back(&p->waiting, &g->node);
    p->waiting_count++;
}
