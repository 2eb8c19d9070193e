/* SPDX-License-Identifier: Apache-2.0 */
/* See worker.h. */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "base/clock.h"
#include "base/log.h"
#include "machine.h"
#include "proxied.h"

#define LOOK_MS       100
#define LISTENERS_MAX 64

/* Connections ended without a response are logged at this rate: a flood of them is in the counters. */
#define SILENT_REFUSALS_PER_S 10
#define SILENT_REFUSALS_BURST 100

struct worker;

static void on_look(struct timer *t);

struct worker_listener {
    struct worker *worker;
    struct listener *listener;
    bool is_tls, is_proxied;
};

struct worker {
    unsigned index;
    pthread_t thread;
    bool is_started;
    struct loop *loop;
    struct mailbox *mailbox;
    struct ledger *ledger;
    struct worker_shared shared;
    struct http_server *server;
    struct proxied *proxied;
    struct request_env env;
    bool has_env;
    struct worker_listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct bucket silent_refusals;
    struct overload overload;
    struct timer look; /* at the load */
    uint64_t looked_ms, lag_us;
    struct message drain_message, halt_message, push_out_message;
    _Atomic unsigned push_outs; /* that others have asked for; the message is under way while there are any */
    sem_t *drained;
};

/* ---- set-up ---- */

int worker_new(unsigned index, size_t site_count, struct worker **ret_worker)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->index = index;
    w->ledger = ledger_new(site_count);
    int r = w->ledger ? loop_new(&w->loop) : -ENOMEM;
    if (r == 0)
        r = mailbox_new(w->loop, &w->mailbox);
    if (r < 0) {
        worker_free(w);
        return r;
    }
    *ret_worker = w;
    return 0;
}

static void on_request(struct exchange *x, void *user)
{
    struct worker *w = user;
    request_start(&w->env, x);
}

/* What never became a request is counted and logged all the same. */
static void on_refused(enum http_refusal refusal, const struct addr *peer, unsigned status,
                       uint64_t sent_bytes, void *user)
{
    struct worker *w = user;
    ledger_sent(w->ledger, LEDGER_NO_SITE, CLASS_OTHER, CAUSE_REFUSED, sent_bytes);
    if (status > 0) {
        struct ledger_request entry = {
            .content_class = CLASS_OTHER, .cause = CAUSE_REFUSED, .status = status};
        ledger_request(w->ledger, &entry);
    } else if (bucket_take(&w->silent_refusals, SILENT_REFUSALS_PER_S, SILENT_REFUSALS_BURST,
                           clock_monotonic_us() * 1000) > 0) {
        return;
    }
    struct access_record record = {
        .wall_ms = loop_wall_ms(w->loop),
        .viewer = peer,
        .country = "",
        .status = status,
        .sent_bytes = sent_bytes,
        .content_class = CLASS_OTHER,
        .cause = CAUSE_REFUSED,
        .reason = http_refusal_name(refusal),
    };
    access_log_write(w->shared.access_log, w->index, &record);
}

/* Another worker lets one go. */
static void on_push_out(struct message *m)
{
    struct worker *w = container_of(m, struct worker, push_out_message);
    for (unsigned left = atomic_exchange(&w->push_outs, 0); left > 0; left--)
        http_server_push_out(w->server);
}

static bool on_crowded(void *user)
{
    struct worker *w = user;
    size_t count = w->shared.worker_count;
    for (size_t i = 1; i < count; i++) {
        struct worker *other = w->shared.workers[(w->index + i) % count];
        if (!http_server_has_idle(other->server))
            continue;
        if (atomic_fetch_add(&other->push_outs, 1) == 0)
            mailbox_post(other->mailbox, &other->push_out_message);
        return true;
    }
    return false;
}

/* Only for what is passed to an origin. */
static bool takes_bodies(const struct config *c)
{
    for (size_t i = 0; i < c->site_count; i++)
        if (c->sites[i].pass_method_count > 0)
            return true;
    return false;
}

static struct http_server_options server_options(struct worker *w)
{
    const struct config_limits *limits = &w->shared.config->limits;
    return (struct http_server_options){
        .head_size_max = limits->request_head_max_bytes,
        .fields_max = limits->request_fields_max,
        .uri_size_max = limits->uri_max_bytes,
        .body_size_max = takes_bodies(w->shared.config) ? limits->request_body_max_bytes : 0,
        .connections_max = SIZE_MAX, /* the gate counts those of all workers */
        .gate = quota_gate(w->shared.quota),
        .handshake_timeout_ms = limits->handshake_timeout_ms,
        .handshakes_max = limits->handshakes_max,
        .header_timeout_ms = limits->header_timeout_ms,
        .idle_timeout_ms = limits->idle_timeout_ms,
        .send_stall_timeout_ms = limits->send_stall_timeout_ms,
        .send_rate_min_bytes_per_s = limits->send_rate_min_bytes_per_s,
        .send_rate_window_ms = limits->send_rate_window_ms,
        .on_request = on_request,
        .on_refused = on_refused,
        .on_crowded = on_crowded,
        .user = w,
    };
}

int worker_prepare(struct worker *w, const struct worker_shared *shared)
{
    w->shared = *shared;
    struct origin_options origin_options = {
        .loop = w->loop,
        .config = shared->config,
        .sites = shared->sites,
        .flights = shared->flights,
        .store = shared->store,
        .purges = shared->purges,
        .catalog = shared->catalog,
        .ledger = w->ledger,
        .upstreams = shared->upstreams,
        .admit = shared->admit,
        .hit_for_miss = shared->hit_for_miss,
        .is_checker = w->index == 0,
    };
    w->env = (struct request_env){
        .loop = w->loop,
        .worker = w->index,
        .config = shared->config,
        .sites = shared->sites,
        .site_routes = shared->site_routes,
        .places = shared->places,
        .edges = shared->edges,
        .edge_count = shared->edge_count,
        .self_index = shared->self_index,
        .store = shared->store,
        .purges = shared->purges,
        .disk = {.store = shared->store,
                 .loop = w->loop,
                 .mailbox = w->mailbox,
                 .timeout_ms = shared->config->limits.disk_timeout_ms},
        .flights = shared->flights,
        .catalog = shared->catalog,
        .ledger = w->ledger,
        .access_log = shared->access_log,
        .admit = shared->admit,
        .hit_for_miss = shared->hit_for_miss,
        .quota = shared->quota,
        .egress = shared->egress,
        .overload = &w->overload,
    };
    w->push_out_message.fn = on_push_out;
    overload_init(&w->overload, shared->config->limits.overload_recovery_ms);
    timer_init(&w->look, on_look);
    request_env_init(&w->env);
    w->has_env = true;
    int r = origin_new(&origin_options, &w->env.origin);
    if (r < 0)
        return r;
    struct http_server_options options = server_options(w);
    r = http_server_new(w->loop, &options, &w->server);
    if (r == 0) {
        w->proxied = proxied_new(w->loop, w->server, shared->config, options.header_timeout_ms);
        r = w->proxied ? 0 : -ENOMEM;
    }
    return r;
}

struct mailbox *worker_mailbox(const struct worker *w)
{
    return w->mailbox;
}

struct ledger *worker_ledger(const struct worker *w)
{
    return w->ledger;
}

const struct http_server_stats *worker_server_stats(const struct worker *w)
{
    return http_server_stats(w->server);
}

const struct fetch_stats *worker_fetch_stats(const struct worker *w)
{
    return origin_fetch_stats(w->env.origin);
}

const struct origin_stats *worker_origin_stats(const struct worker *w)
{
    return origin_stats(w->env.origin);
}

const struct overload *worker_overload(const struct worker *w)
{
    return &w->overload;
}

static void look_at_load(struct worker *w)
{
    const struct config_limits *limits = &w->shared.config->limits;
    uint64_t now_ms = loop_now_ms(w->loop), due_ms = w->looked_ms + LOOK_MS + TIMER_GRANULARITY_MS;
    uint64_t pressure[OVERLOAD_RESOURCE_COUNT] = {
        [OVERLOAD_MEMORY] = machine_memory_pressure(w->shared.machine),
        [OVERLOAD_DESCRIPTORS] = machine_descriptor_pressure(w->shared.machine),
    };
    w->lag_us = overload_smooth(w->lag_us, now_ms > due_ms ? (now_ms - due_ms) * 1000 : 0);
    pressure[OVERLOAD_UPLINK] = egress_pressure(w->shared.egress);
    pressure[OVERLOAD_CPU] = w->lag_us / limits->loop_lag_max_ms;
    enum overload_level before = overload_level(&w->overload);
    overload_step(&w->overload, pressure, now_ms);
    enum overload_level level = overload_level(&w->overload);
    if (level != before)
        log_warn("worker %u: overload level %s, after %s (%s)", w->index, overload_level_name(level),
                 overload_level_name(before),
                 overload_resource_name((enum overload_resource)counter_read(&w->overload.cause)));
    w->looked_ms = now_ms;
    timer_start(w->loop, &w->look, LOOK_MS);
    request_env_relieve(&w->env);
}

static void on_look(struct timer *t)
{
    look_at_load(container_of(t, struct worker, look));
}

static void on_accept(void *user, int fd, const struct addr *peer)
{
    struct worker_listener *l = user;
    if (overload_level(&l->worker->overload) >= OVERLOAD_CONNECTIONS) {
        http_server_turn_away(l->worker->server, fd, peer, l->is_tls, HTTP_REFUSAL_OVERLOADED_CONNECTION);
        return;
    }
    struct tls_server *tls = l->is_tls ? l->worker->shared.tls_server : NULL;
    if (l->is_proxied)
        proxied_accept(l->worker->proxied, fd, peer, tls);
    else
        http_server_accept(l->worker->server, fd, peer, tls);
}

int worker_listen(struct worker *w, const struct addr *address, const struct config_listener *listener,
                  struct addr *ret_bound)
{
    if (w->listener_count == LISTENERS_MAX)
        return -ENOSPC;
    struct worker_listener *l = &w->listeners[w->listener_count];
    *l = (struct worker_listener){
        .worker = w, .is_tls = listener->tls, .is_proxied = listener->proxy_protocol};
    int r = listener_open(w->loop, address, on_accept, l, &l->listener);
    if (r < 0)
        return r;
    w->listener_count++;
    listener_address(l->listener, ret_bound);
    return 0;
}

static void *run(void *user)
{
    struct worker *w = user;
    w->looked_ms = clock_monotonic_ms();
    timer_start(w->loop, &w->look, LOOK_MS);
    loop_run(w->loop);
    timer_stop(&w->look);
    return NULL;
}

int worker_start(struct worker *w)
{
    int r = pthread_create(&w->thread, NULL, run, w);
    w->is_started = r == 0;
    return -r;
}

/* ---- the end ---- */

static void close_listeners(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++)
        listener_close(w->listeners[i].listener);
    w->listener_count = 0;
}

static void on_drained(void *user)
{
    struct worker *w = user;
    sem_post(w->drained);
}

static void on_drain(struct message *m)
{
    struct worker *w = container_of(m, struct worker, drain_message);
    close_listeners(w);
    http_server_drain(w->server, on_drained, w);
}

static void on_halt(struct message *m)
{
    struct worker *w = container_of(m, struct worker, halt_message);
    loop_stop(w->loop);
}

void worker_drain(struct worker *w, sem_t *drained)
{
    w->drained = drained;
    w->drain_message.fn = on_drain;
    mailbox_post(w->mailbox, &w->drain_message);
}

void worker_halt(struct worker *w)
{
    w->halt_message.fn = on_halt;
    mailbox_post(w->mailbox, &w->halt_message);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    w->is_started = false;
}

bool worker_is_started(const struct worker *w)
{
    return w->is_started;
}

void worker_end(struct worker *w)
{
    REQUIRE(!w->is_started);
    close_listeners(w);
    proxied_free(w->proxied);
    w->proxied = NULL;
    if (w->server)
        http_server_free(w->server); /* what still runs is aborted and leaves its flights */
    w->server = NULL;
    if (w->env.origin)
        origin_free(w->env.origin);
    w->env.origin = NULL;
    if (w->has_env)
        request_env_fini(&w->env);
    w->has_env = false;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    if (w->mailbox)
        mailbox_free(w->mailbox); /* runs what other workers' flights still had to say */
    if (w->loop)
        loop_free(w->loop);
    if (w->ledger)
        ledger_free(w->ledger);
    free(w);
}
