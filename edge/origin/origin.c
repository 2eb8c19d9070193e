/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Set-up, and starting fills: origin_fill -> attempt.c (asks) -> fill.c (receives).
 */
#include "origin/origin.h"

#include <errno.h>
#include <stdlib.h>

#include "key.h"
#include "origin/origin_private.h"

#define ORIGIN_CONNECTIONS_MAX 1024 /* each target brings its own */
#define ORIGIN_WAITING_MAX     4096
#define ORIGIN_IDLE_MS         30000
#define ORIGIN_HEAD_MAX        ((size_t)16 * 1024)
#define ORIGIN_BUFFER_MAX      ((size_t)64 * 1024)

static const struct {
    const char *name;
    unsigned status;
} words[ORIGIN_WORD_COUNT] = {
#define W(name, word, status) {word, status},
    ORIGIN_WORDS(W)
#undef W
};

const char *origin_word_name(enum origin_word word)
{
    return words[word].name;
}

unsigned origin_word_status(enum origin_word word)
{
    return words[word].status;
}

/* ---- set-up ---- */

int origin_new(const struct origin_options *options, struct origin **ret_origin)
{
    static const struct fetch_pool_options pool_options = {
        .connections_max = ORIGIN_CONNECTIONS_MAX,
        .waiting_max = ORIGIN_WAITING_MAX,
        .keep_alive_idle_ms = ORIGIN_IDLE_MS,
        .head_size_max = ORIGIN_HEAD_MAX,
    };
    struct origin *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    o->options = *options;
    list_init(&o->fills);
    buf_init(&o->request_head, ORIGIN_BUFFER_MAX + options->config->limits.request_body_max_bytes);
    buf_init(&o->stored_head, ORIGIN_BUFFER_MAX);
    buf_init(&o->key_text, KEY_SIZE_MAX);
    buf_init(&o->resolved, KEY_SIZE_MAX);
    buf_init(&o->vary_names, 2 * KEY_VARY_NAMES_MAX);
    o->budgets = calloc(options->config->site_count, sizeof(*o->budgets));
    int r = o->budgets ? resolver_new(options->loop, &o->resolver) : -ENOMEM;
    if (r == 0)
        r = fetch_pool_new(options->loop, o->resolver, &pool_options, &o->pool);
    if (r == 0 && options->is_checker)
        r = checks_start(options->loop, o->resolver, options->config->edge, options->upstreams, &o->checks);
    if (r < 0) {
        origin_free(o);
        return r;
    }
    *ret_origin = o;
    return 0;
}

void origin_free(struct origin *o)
{
    struct fill *f, *next;
    LIST_FOR_EACH_SAFE (f, next, &o->fills, node) {
        if (f->fetch) {
            counter_add(&o->stats.words[ORIGIN_WORD_SHUTTING_DOWN], 1);
            fetch_cancel(f->fetch);
        }
        if (f->flight)
            flight_fail(f->flight, origin_word_name(ORIGIN_WORD_SHUTTING_DOWN),
                        origin_word_status(ORIGIN_WORD_SHUTTING_DOWN));
        fill_free(f);
    }
    checks_stop(o->checks);
    if (o->pool)
        fetch_pool_free(o->pool);
    if (o->resolver)
        resolver_free(o->resolver);
    buf_fini(&o->request_head);
    buf_fini(&o->stored_head);
    buf_fini(&o->key_text);
    buf_fini(&o->resolved);
    buf_fini(&o->vary_names);
    free(o->budgets);
    free(o);
}

const struct fetch_stats *origin_fetch_stats(const struct origin *o)
{
    return fetch_pool_stats(o->pool);
}

const struct origin_stats *origin_stats(const struct origin *o)
{
    return &o->stats;
}

/* ---- starting ---- */

static bool has_field_told(const struct ask_fields *told, const char *name)
{
    for (size_t i = 0; told && i < told->count; i++)
        if (slice_equal_nocase(told->fields[i].name, slice_of(name)))
            return true;
    return false;
}

/* What changes nothing at the origin, of the methods in IANA's registry. */
static bool is_safe(struct slice method)
{
    static const char *const names[] = {"GET",      "HEAD",   "OPTIONS", "TRACE",
                                        "PROPFIND", "REPORT", "SEARCH",  "QUERY"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal(method, slice_of(names[i])))
            return true;
    return false;
}

static char *copy_text(struct slice text)
{
    char *copy = malloc(text.size + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* NULL when memory is out. */
static struct fill *fill_new(struct origin *o, const struct origin_request *request)
{
    bool ok = false;
    struct fill *f = calloc(1, sizeof(*f));
    struct ask *ask = ask_new(o->options.config->edge, request, &o->request_head);
    struct ask_fields *told = ask_fields_copy(request, &ok);
    char *if_range = request->if_range.data ? copy_text(request->if_range) : NULL;
    if (!f || !ask || !ok || (request->if_range.data && !if_range)) {
        free(f);
        free(ask);
        free(told);
        free(if_range);
        return NULL;
    }
    *f = (struct fill){
        .origin = o,
        .ticket = request->ticket,
        .flight = request->flight,
        .site = request->site,
        .upstreams = upstreams_site(o->options.upstreams, request->site->id),
        .ask = ask,
        .target = ask->target,
        .key_hash = request->key_hash,
        .viewer_fields = told,
        .if_range = if_range,
        .asked = {.is_head = request->is_head,
                  .is_early = request->is_early,
                  .is_passed = request->is_passed,
                  .has_authorization = has_field_told(told, "authorization"),
                  .is_no_store = request->is_no_store,
                  .may_store_set_cookie = request->site->config->store_set_cookie,
                  .keeps_server_errors =
                      request->site->config->freshness.server_error_ms > 0 && !flight_stale(request->flight),
                  .time_ms = loop_wall_ms(o->options.loop)},
        .is_background = request->is_background,
        .is_safe = is_safe(request->viewer_head->method_text),
        .representation = request->representation,
        .total_bytes = request->total_bytes,
        .content_class = request->content_class,
        .cause = request->cause,
    };
    list_init(&f->retry.node);
    list_push_back(&o->fills, &f->node);
    return f;
}

void origin_fill(struct origin *o, const struct origin_request *request)
{
    struct fill *f = fill_new(o, request);
    budget_earn(&o->budgets[request->site->id - 1], &request->site->config->origin_retries);
    if (f) {
        struct flight_filler filler = fill_filler;
        filler.user = f;
        flight_set_filler(request->flight, &filler);
        if (attempt_start(f))
            return;
        fill_free(f);
    } else {
        struct admit_ticket ticket = request->ticket;
        admit_release(o->options.admit, &ticket);
    }
    flight_set_filler(request->flight, &(struct flight_filler){0});
    flight_fail(request->flight, fetch_result_name(FETCH_NO_MEMORY), fetch_result_status(FETCH_NO_MEMORY));
}

void origin_stored_policy(struct slice stored_head, int64_t now_ms, struct policy *ret_policy)
{
    struct judge_request request = {.time_ms = now_ms};
    judge_not_modified(stored_head, (struct slice){NULL, 0}, &request, now_ms, ret_policy);
}
