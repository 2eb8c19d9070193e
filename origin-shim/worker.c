/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's life:
 *
 *   new ─► start ─► serving ─stop (by mailbox)─► draining ─all responses done, or deadline─► ended ─► free
 */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "http/server.h"
#include "io/mailbox.h"
#include "options.h"

struct worker {
    struct loop *loop;
    struct mailbox *mailbox;
    struct http_server *server;
    struct listener *listeners[OPTIONS_LISTENERS_MAX];
    size_t listener_count;
    struct message stop;
    struct timer drain_deadline;
    pthread_t thread;
    bool started;
};

static void on_refused(enum http_refusal refusal, const struct addr *peer, unsigned status,
                       uint64_t sent_bytes, void *user)
{
    char text[ADDR_TEXT_MAX];

    (void)status;
    (void)sent_bytes;
    (void)user;
    addr_format(peer, text);
    log_debug("%s: %s", text, http_refusal_name(refusal));
}

static void on_accepted(void *user, int fd, const struct addr *peer)
{
    struct worker *w = user;
    http_server_accept(w->server, fd, peer, NULL);
}

static int listen_on(struct worker *w, struct addr *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[ADDR_TEXT_MAX];
        int status = listener_open(w->loop, &addresses[i], on_accepted, w, &w->listeners[i]);
        if (status < 0) {
            addr_format(&addresses[i], text);
            log_error("cannot listen on %s: %s", text, strerror(-status));
            return status;
        }
        w->listener_count++;
        listener_address(w->listeners[i], &addresses[i]);
    }
    return 0;
}

static int open_all(struct worker *w, const struct service *service, struct addr *addresses, size_t count,
                    size_t connections_max)
{
    const struct http_server_options options = {
        .head_size_max = 16384,
        .uri_size_max = 8192,
        .connections_max = connections_max,
        .handshake_timeout_ms = 10000,
        .header_timeout_ms = 10000,
        .idle_timeout_ms = 75000, /* longer than proxies keep idle connections: they close first */
        .send_stall_timeout_ms = 60000,
        .on_request = service_handle,
        .on_refused = on_refused,
        .user = (void *)service,
    };
    int status = loop_new(&w->loop);

    if (status == 0)
        status = mailbox_new(w->loop, &w->mailbox);
    if (status == 0)
        status = http_server_new(w->loop, &options, &w->server);
    if (status == 0)
        status = listen_on(w, addresses, count);
    return status;
}

static void close_listeners(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++)
        listener_close(w->listeners[i]);
    w->listener_count = 0;
}

static void close_all(struct worker *w)
{
    close_listeners(w);
    timer_stop(&w->drain_deadline);
    if (w->server != NULL)
        http_server_free(w->server);
    if (w->mailbox != NULL)
        mailbox_free(w->mailbox);
    if (w->loop != NULL)
        loop_free(w->loop);
}

static void on_drained(void *user)
{
    struct worker *w = user;
    loop_stop(w->loop);
}

static void on_drain_deadline(struct timer *t)
{
    loop_stop(container_of(t, struct worker, drain_deadline)->loop);
}

static void on_stop(struct message *m)
{
    struct worker *w = container_of(m, struct worker, stop);

    close_listeners(w);
    timer_start(w->loop, &w->drain_deadline, WORKER_DRAIN_MS);
    http_server_drain(w->server, on_drained, w);
}

int worker_new(const struct service *service, struct addr *addresses, size_t count, size_t connections_max,
               struct worker **ret_worker)
{
    struct worker *w = calloc(1, sizeof(*w));
    int status;

    if (w == NULL)
        return -ENOMEM;
    REQUIRE(count <= OPTIONS_LISTENERS_MAX);
    timer_init(&w->drain_deadline, on_drain_deadline);
    w->stop.fn = on_stop;
    status = open_all(w, service, addresses, count, connections_max);
    if (status < 0) {
        worker_free(w);
        return status;
    }
    *ret_worker = w;
    return 0;
}

static void *run(void *user)
{
    struct worker *w = user;

    loop_run(w->loop);
    return NULL;
}

int worker_start(struct worker *w)
{
    int status = -pthread_create(&w->thread, NULL, run, w);

    w->started = status == 0;
    return status;
}

void worker_stop(struct worker *w)
{
    if (w->started)
        mailbox_post(w->mailbox, &w->stop);
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    if (w->started)
        pthread_join(w->thread, NULL);
    close_all(w);
    free(w);
}
