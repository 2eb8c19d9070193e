/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches before they have a connection: the pool, its origins, and the line in front of each. Every fetch
 * goes through the line, which is served at the end of the turn: so no callback runs inside fetch_start or
 * fetch_cancel.
 */
#include "http/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "fetch_private.h"

static const struct {
    const char *name;
    unsigned status;
} results[FETCH_RESULT_COUNT] = {
#define F(name, word, status) {word, status},
    FETCH_RESULTS(F)
#undef F
};

const char *fetch_result_name(enum fetch_result result)
{
    return results[result].name;
}

unsigned fetch_result_status(enum fetch_result result)
{
    return results[result].status;
}

/* --- Origins. --- */

static void origin_free(struct fetch_origin *o)
{
    later_stop(&o->serve);
    list_remove(&o->node);
    free(o);
}

static void leave_line(struct fetch *f)
{
    timer_stop(&f->wait_deadline);
    list_remove(&f->wait_node);
    f->origin->waiting_count--;
}

static void on_serve(struct later *later)
{
    struct fetch_origin *o = container_of(later, struct fetch_origin, serve);
    const struct fetch_pool_options *options = &o->pool->options;

    /* Only those who wait now: who is started by a callback in here gets the next turn. */
    for (size_t left = o->waiting_count; left > 0 && !list_is_empty(&o->waiting); left--) {
        struct fetch_connection *idle = fetch_connection_first_idle(o);
        struct fetch *f = LIST_FIRST(&o->waiting, struct fetch, wait_node);

        if (!idle && o->connection_count >= o->connections_max)
            break;
        leave_line(f);
        if (idle)
            fetch_connection_reuse(idle, f);
        else
            fetch_connection_open(f);
    }
    while (o->waiting_count > options->waiting_max) {
        struct fetch *f = LIST_ENTRY(o->waiting.prev, struct fetch, wait_node);

        leave_line(f);
        fetch_done(f, FETCH_OVERLOADED);
    }
    if (o->connection_count == 0 && o->waiting_count == 0)
        origin_free(o);
}

static struct fetch_origin *origin_new(struct fetch_pool *p, const struct fetch_target *target)
{
    size_t host_size = strlen(target->host) + 1;
    size_t name_size = target->server_name ? strlen(target->server_name) + 1 : 0;
    struct fetch_origin *o = calloc(1, sizeof(*o) + host_size + name_size);

    if (!o)
        return NULL;
    o->pool = p;
    o->tls = target->tls;
    o->port = target->port;
    memcpy(o->host, target->host, host_size);
    o->server_name = o->host;
    if (target->server_name)
        o->server_name = memcpy(o->host + host_size, target->server_name, name_size);
    list_init(&o->idle);
    list_init(&o->waiting);
    later_init(&o->serve, on_serve);
    list_push_front(&p->origins, &o->node);
    return o;
}

static struct fetch_origin *origin_get(struct fetch_pool *p, const struct fetch_target *target)
{
    const char *server_name = target->server_name ? target->server_name : target->host;
    struct fetch_origin *o;

    LIST_FOR_EACH (o, &p->origins, node)
        if (o->port == target->port && o->tls == target->tls && strcmp(o->host, target->host) == 0 &&
            strcmp(o->server_name, server_name) == 0)
            return o;
    return origin_new(p, target);
}

/* --- Fetches. --- */

static void on_waited_too_long(struct timer *t)
{
    struct fetch *f = container_of(t, struct fetch, wait_deadline);

    leave_line(f);
    later_start(f->origin->pool->loop, &f->origin->serve); /* it may go now */
    fetch_done(f, FETCH_OVERLOADED);
}

int fetch_start(struct fetch_pool *p, const struct fetch_target *target,
                const struct fetch_timeouts *timeouts, struct slice head, bool is_head,
                const struct fetch_events *events, void *user, struct fetch **ret_fetch)
{
    struct fetch_origin *o = origin_get(p, target);
    struct fetch *f = o ? malloc(sizeof(*f) + head.size) : NULL;

    if (o) { /* also when it is of no use after all */
        o->connections_max = target->connections_max ? target->connections_max : p->options.connections_max;
        later_start(p->loop, &o->serve);
    }
    if (!f)
        return -ENOMEM;
    *f = (struct fetch){.origin = o,
                        .timeouts = *timeouts,
                        .events = events,
                        .user = user,
                        .is_head = is_head,
                        .head_size = head.size};
    memcpy(f->head, head.data, head.size);
    timer_init(&f->wait_deadline, on_waited_too_long);
    timer_start(p->loop, &f->wait_deadline, timeouts->queue_ms);
    list_push_back(&p->fetches, &f->node);
    list_push_back(&o->waiting, &f->wait_node);
    o->waiting_count++;
    counter_add(&p->stats.started, 1);
    *ret_fetch = f;
    return 0;
}

void fetch_cancel(struct fetch *f)
{
    struct fetch_origin *o = f->origin;

    if (f->connection)
        fetch_connection_close(f->connection);
    else
        leave_line(f);
    later_start(o->pool->loop, &o->serve); /* it may go now */
    list_remove(&f->node);
    free(f);
}

void *fetch_user(const struct fetch *f)
{
    return f->user;
}

void fetch_pause(struct fetch *f, bool pause)
{
    if (f->paused == pause)
        return;
    f->paused = pause;
    if (f->connection)
        fetch_connection_apply_pause(f->connection);
}

void fetch_limit_next_read(struct fetch *f, size_t size)
{
    f->next_read_max = size;
}

uint64_t fetch_received_bytes(const struct fetch *f)
{
    return f->received_bytes;
}

/* --- The pool. --- */

int fetch_pool_new(struct loop *l, struct resolver *resolver, const struct fetch_pool_options *options,
                   struct fetch_pool **ret_pool)
{
    struct fetch_pool *p = calloc(1, sizeof(*p));
    char *buffer = malloc(FETCH_BUFFER_SIZE);

    if (!p || !buffer) {
        free(p);
        free(buffer);
        return -ENOMEM;
    }
    REQUIRE(options->head_size_max <= FETCH_BUFFER_SIZE && options->connections_max > 0);
    p->loop = l;
    p->resolver = resolver;
    p->options = *options;
    p->buffer = buffer;
    list_init(&p->origins);
    list_init(&p->fetches);
    *ret_pool = p;
    return 0;
}

void fetch_pool_free(struct fetch_pool *p)
{
    struct fetch_origin *o, *following_origin;
    struct fetch *f, *following;

    LIST_FOR_EACH_SAFE (f, following, &p->fetches, node)
        fetch_cancel(f);
    LIST_FOR_EACH_SAFE (o, following_origin, &p->origins, node) {
        fetch_connection_close_idle(o);
        origin_free(o);
    }
    free(p->buffer);
    free(p);
}

const struct fetch_stats *fetch_pool_stats(const struct fetch_pool *p)
{
    return &p->stats;
}
