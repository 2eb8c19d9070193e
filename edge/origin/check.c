/* SPDX-License-Identifier: Apache-2.0 */
/* See check.h. */
#include "origin/check.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

#define HEAD_MAX ((size_t)16 * 1024)

struct check {
    struct checks *all;
    const struct upstream_site *site;
    struct upstream *upstream;
    struct timer due;
    struct timer deadline; /* of the one that runs */
    struct fetch *fetch;   /* NULL: none runs */
};

struct checks {
    struct loop *loop;
    struct fetch_pool *pool;
    const char *edge_name;
    size_t count;
    struct check checks[];
};

static void conclude(struct check *c, bool is_good)
{
    const struct config_origin_check *rules = &c->site->config->origin_check;
    c->fetch = NULL;
    timer_stop(&c->deadline);
    timer_start(c->all->loop, &c->due, rules->interval_ms);
    if (health_report_check(&c->upstream->health, rules, is_good))
        log_warn("site %s: the origin %.*s is %s, say its checks", c->site->config->name,
                 SLICE_ARG(c->upstream->config->url.authority), is_good ? "well" : "ill");
}

/* The head says it all: the body is left alone, with its connection. */
static void on_head(struct fetch *fetch, const struct http_head *head)
{
    struct check *c = fetch_user(fetch);
    bool is_good = head->status >= 200 && head->status < 400;
    fetch_cancel(fetch);
    conclude(c, is_good);
}

static void on_body(struct fetch *fetch, const char *data, size_t size)
{
    (void)fetch, (void)data, (void)size;
}

static void on_done(struct fetch *fetch, enum fetch_result result)
{
    (void)result; /* a good one has ended at its head */
    conclude(fetch_user(fetch), false);
}

static void on_deadline(struct timer *t)
{
    struct check *c = container_of(t, struct check, deadline);
    fetch_cancel(c->fetch);
    conclude(c, false);
}

static void write_request(const struct check *c, struct buf *out)
{
    buf_append_text(out, "GET ");
    buf_append_slice(out, c->site->config->origin_check.path);
    buf_append_text(out, " HTTP/1.1\r\n");
    buf_append_slice(out, c->upstream->fields);
    buf_append_text(out, "Accept: */*\r\nConnection: close\r\nUser-Agent: shorebreak-check/");
    buf_append_text(out, c->all->edge_name);
    buf_append_text(out, "\r\n\r\n");
}

static void on_due(struct timer *t)
{
    static const struct fetch_events events = {NULL, on_head, on_body, on_done};
    struct check *c = container_of(t, struct check, due);
    uint64_t timeout_ms = c->site->config->origin_check.timeout_ms;
    struct fetch_timeouts timeouts = {timeout_ms, timeout_ms, timeout_ms, timeout_ms};
    struct buf head;
    buf_init(&head, HEAD_MAX);
    write_request(c, &head);
    bool is_started = !head.failed && fetch_start(c->all->pool, &c->upstream->target, &timeouts,
                                                  buf_slice(&head), false, &events, c, &c->fetch) == 0;
    if (head.size > 0)
        explicit_bzero(head.data, head.size); /* it may hold a secret */
    buf_fini(&head);
    if (is_started)
        timer_start(c->all->loop, &c->deadline, timeout_ms);
    else
        timer_start(c->all->loop, &c->due, c->site->config->origin_check.interval_ms);
}

static size_t count_checked(struct upstreams *upstreams)
{
    size_t count = 0;
    for (unsigned id = 1; id <= upstreams_site_count(upstreams); id++) {
        const struct upstream_site *site = upstreams_site(upstreams, id);
        count += site->config->origin_check.path.data ? site->count : 0;
    }
    return count;
}

static void add_site(struct checks *all, const struct upstream_site *site)
{
    for (size_t i = 0; site->config->origin_check.path.data && i < site->count; i++) {
        struct check *c = &all->checks[all->count++];
        *c = (struct check){.all = all, .site = site, .upstream = &site->upstreams[i]};
        timer_init(&c->due, on_due);
        timer_init(&c->deadline, on_deadline);
        timer_start(all->loop, &c->due, 0);
    }
}

int checks_start(struct loop *l, struct resolver *resolver, const char *edge_name,
                 struct upstreams *upstreams, struct checks **ret_checks)
{
    static const struct fetch_pool_options options = {
        .connections_max = 1, .waiting_max = 1, .keep_alive_idle_ms = 1000, .head_size_max = HEAD_MAX};
    size_t count = count_checked(upstreams);
    *ret_checks = NULL;
    if (count == 0)
        return 0;
    struct checks *c = calloc(1, sizeof(*c) + count * sizeof(c->checks[0]));
    int r = c ? fetch_pool_new(l, resolver, &options, &c->pool) : -ENOMEM;
    if (r < 0) {
        free(c);
        return r;
    }
    c->loop = l;
    c->edge_name = edge_name;
    for (unsigned id = 1; id <= upstreams_site_count(upstreams); id++)
        add_site(c, upstreams_site(upstreams, id));
    *ret_checks = c;
    return 0;
}

void checks_stop(struct checks *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        timer_stop(&c->checks[i].due);
        timer_stop(&c->checks[i].deadline);
    }
    fetch_pool_free(c->pool);
    free(c);
}
