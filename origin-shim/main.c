/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin-shim: from the options to running workers, and back at SIGINT or SIGTERM. The main thread has a loop
 * for signals only.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/log.h"
#include "io/stream.h"
#include "options.h"
#include "service.h"
#include "worker.h"

#define FILES_PER_CONNECTION 2 /* its socket, and the file being sent */
#define FILES_OTHERWISE      64

struct program {
    struct options options;
    struct service service;
    struct loop *loop;
    struct worker **workers;
    size_t worker_count;
};

/* How many connections each worker may have: what the limit of open files allows, raised as far as it goes.
 */
static size_t connections_per_worker(size_t workers)
{
    struct rlimit limit = {1024, 1024};

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur > 1000000)
        limit.rlim_cur = 1000000;
    return size_max(1, (limit.rlim_cur - size_min(FILES_OTHERWISE, limit.rlim_cur)) / FILES_PER_CONNECTION /
                           workers);
}

static bool open_channels(struct program *p)
{
    struct service *s = &p->service;
    struct buf error;
    bool ok = true;

    s->channels = calloc(OPTIONS_CHANNELS_MAX, sizeof(struct channel *));
    buf_init(&error, 1024);
    for (size_t i = 0; s->channels != NULL && ok && i < p->options.channel_count; i++) {
        int status = channel_open(s->root, &p->options.channels[i], &error, &s->channels[i]);
        ok = status == 0;
        s->channel_count += ok ? 1 : 0;
        if (!ok)
            log_error("live channel '%s': %.*s", p->options.channels[i].name,
                      SLICE_ARG(error.size > 0 ? buf_slice(&error) : slice_of(strerror(-status))));
    }
    buf_fini(&error);
    return ok && s->channels != NULL;
}

static bool open_service(struct program *p)
{
    int status = directory_open(p->options.root, &p->service.root);

    if (status < 0) {
        log_error("cannot open the root %s: %s", p->options.root, strerror(-status));
        return false;
    }
    for (size_t i = 0; i < MEDIA_CLASS_COUNT; i++)
        p->service.cache_control[i] = p->options.cache_control[i];
    return open_channels(p);
}

/* Before anything of ours listens: our own sockets share addresses, and so would those of a second shim. */
static bool are_addresses_free(const struct program *p)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < p->options.listener_count; i++) {
        int status = listener_probe(&p->options.listeners[i]);
        if (status < 0) {
            addr_format(&p->options.listeners[i], text);
            log_error("cannot listen on %s: %s", text, strerror(-status));
            return false;
        }
    }
    return true;
}

static bool open_workers(struct program *p)
{
    size_t connections_max = connections_per_worker(p->options.workers);

    p->workers = calloc(p->options.workers, sizeof(struct worker *));
    if (p->workers == NULL)
        return false;
    for (size_t i = 0; i < p->options.workers; i++) {
        if (worker_new(&p->service, p->options.listeners, p->options.listener_count, connections_max,
                       &p->workers[i]) < 0)
            return false;
        p->worker_count++;
    }
    return true;
}

static bool start_workers(struct program *p)
{
    for (size_t i = 0; i < p->worker_count; i++) {
        int status = worker_start(p->workers[i]);
        if (status < 0) {
            log_error("cannot start a thread: %s", strerror(-status));
            return false;
        }
    }
    return true;
}

static void announce(const struct program *p)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < p->options.listener_count; i++) {
        addr_format(&p->options.listeners[i], text);
        printf("origin-shim ready http://%s\n", text);
    }
    fflush(stdout);
}

static void on_signal(int signal_number, void *user)
{
    struct program *p = user;

    (void)signal_number;
    loop_stop(p->loop);
}

static bool run(struct program *p)
{
    if (!open_service(p) || !are_addresses_free(p) || !open_workers(p) || loop_new(&p->loop) < 0 ||
        loop_on_signal(p->loop, SIGINT, on_signal, p) < 0 ||
        loop_on_signal(p->loop, SIGTERM, on_signal, p) < 0 || !start_workers(p))
        return false;
    announce(p);
    loop_run(p->loop);
    return true;
}

static void close_all(struct program *p)
{
    for (size_t i = 0; i < p->worker_count; i++)
        worker_stop(p->workers[i]);
    for (size_t i = 0; i < p->worker_count; i++)
        worker_free(p->workers[i]);
    free(p->workers);
    if (p->loop != NULL)
        loop_free(p->loop);
    for (size_t i = 0; i < p->service.channel_count; i++)
        channel_close(p->service.channels[i]);
    free(p->service.channels);
    directory_close(p->service.root);
    options_fini(&p->options);
}

int main(int argc, char *argv[])
{
    struct program p = {0};
    enum options_outcome outcome;
    struct buf text;
    bool ok;

    log_set_name("origin-shim");
    signal(SIGPIPE, SIG_IGN);
    buf_init(&text, 8192);
    outcome = options_parse(argc, argv, &text, &p.options);
    if (text.size > 0)
        fprintf(outcome == OPTIONS_HELP ? stdout : stderr, "%.*s%s", SLICE_ARG(buf_slice(&text)),
                outcome == OPTIONS_INVALID ? "\n" : "");
    buf_fini(&text);
    ok = outcome == OPTIONS_HELP || (outcome == OPTIONS_RUN && run(&p));
    close_all(&p);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
