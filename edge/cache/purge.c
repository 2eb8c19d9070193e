/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules are read under a mutex of the reading thread's own, and changed under all of them: readers never
 * meet each other. A thread writes the log, so that whoever purges waits for the disk with a message; it also
 * looks now and then for rules that no object is left for.
 */
#include "cache/purge.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/log.h"
#include "cache/purge_log.h"

#define STRIPES                    32u   /* ThreadSanitizer follows a thread with fewer than 64 locks */
#define PENDING_MAX                1024u /* records waiting for the log; beyond it the log is written anew */
#define RETIRE_INTERVAL_MS_DEFAULT 600000u
#define RETRY_MS                   1000u
#define FIRST_GENERATION           1u         /* 0 is of objects older than the first log */
#define LOST_MARGIN                (1u << 20) /* more than a lost log may have given out since the newest object */

struct stripe {
    _Alignas(64) pthread_mutex_t mutex;
};

struct purge {
    struct purge_options options;
    _Atomic uint32_t newest, stamp;
    struct stripe stripes[STRIPES];
    struct purge_rules *rules; /* read under one stripe, changed under `writer` and all stripes */

    pthread_mutex_t writer; /* taken before stripes; guards all below */
    pthread_cond_t wake;
    pthread_t thread;
    bool has_log, is_stopping, is_failing;
    bool must_rewrite;    /* what the log holds is not what is in force */
    struct purge_log log; /* the thread's, once it runs */
    struct purge_rule pending[PENDING_MAX];
    size_t pending_count;
    struct list waits;
    counter_t orders, folded, retired;
    int64_t newest_at_ms;
};

const char *purge_kind_name(enum purge_kind kind)
{
    static const char *const names[] = {
        [0] = "forgotten",   [PURGE_SITE] = "site", [PURGE_PREFIX] = "prefix",
        [PURGE_URL] = "url", [PURGE_TAG] = "tag",
    };
    REQUIRE((size_t)kind < ARRAY_COUNT(names));
    return names[kind];
}

/* ---- locks ---- */

static struct stripe *own_stripe(struct purge *p)
{
    static atomic_uint threads;
    static _Thread_local unsigned number; /* 0: not yet given out */
    if (number == 0)
        number = 1 + atomic_fetch_add(&threads, 1) % STRIPES;
    return &p->stripes[number - 1];
}

static void lock_rules(struct purge *p)
{
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_lock(&p->stripes[i].mutex);
}

static void unlock_rules(struct purge *p)
{
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_unlock(&p->stripes[i].mutex);
}

/* ---- the log, under `writer` ---- */

static void record(struct purge *p, const struct purge_rule *r)
{
    if (!p->has_log)
        return;
    if (p->pending_count == PENDING_MAX)
        p->must_rewrite = true; /* that brings all */
    else
        p->pending[p->pending_count++] = *r;
}

static struct purge_rule mark(uint8_t kind, uint32_t generation)
{
    return (struct purge_rule){.kind = kind, .hard = generation};
}

/* All that is in force, as records. NULL when memory is out. */
static struct purge_rule *snapshot(const struct purge *p, size_t *ret_count)
{
    size_t count = 0;
    const struct purge_rule *r;
    struct purge_rule *records = malloc((purge_rules_count(p->rules) + 2) * sizeof(*records));
    if (!records)
        return NULL;
    records[count++] = mark(PURGE_LOG_CLOCK, atomic_load(&p->newest));
    records[count++] = mark(PURGE_LOG_FLOOR, purge_rules_floor(p->rules));
    for (size_t at = 0; (r = purge_rules_next(p->rules, &at)) != NULL;)
        records[count++] = *r;
    *ret_count = count;
    return records;
}

/* Gives `writer` back while it waits for the disk. *ret_is_sealed: the log itself says that all in it was
 * on the disk. */
static int write_out(struct purge *p, bool *ret_is_sealed)
{
    bool is_rewrite = p->must_rewrite || p->log.count > 2 * purge_rules_count(p->rules) + PENDING_MAX;
    size_t count = p->pending_count;
    struct purge_rule *records = is_rewrite ? snapshot(p, &count) : malloc(count * sizeof(*records));
    if (!records)
        return -ENOMEM;
    if (!is_rewrite)
        memcpy(records, p->pending, count * sizeof(*records));
    *ret_is_sealed = is_rewrite || records[count - 1].kind == PURGE_LOG_CLOCK;
    p->pending_count = 0;
    p->must_rewrite = false;
    pthread_mutex_unlock(&p->writer);
    int r =
        is_rewrite ? purge_log_rewrite(&p->log, records, count) : purge_log_append(&p->log, records, count);
    free(records);
    pthread_mutex_lock(&p->writer);
    return r;
}

static void answer_waits(struct purge *p, uint32_t generation, bool is_durable)
{
    struct purge_wait *w, *next;
    LIST_FOR_EACH_SAFE (w, next, &p->waits, node) {
        if (w->generation > generation)
            continue;
        list_remove(&w->node);
        w->is_durable = is_durable;
        mailbox_post(w->mailbox, &w->message);
    }
}

static bool save(struct purge *p)
{
    uint32_t generation = atomic_load(&p->newest);
    bool is_sealed = false;
    int r = write_out(p, &is_sealed);
    if (r < 0) {
        p->must_rewrite = true;
        if (!p->is_failing)
            log_error("purges: the log in %s cannot be written: %s; purges work, but would not outlive a "
                      "restart",
                      p->options.path, strerror(-r));
    } else {
        atomic_store(&p->stamp, generation);
        if (p->is_failing)
            log_info("purges: the log in %s can be written again", p->options.path);
    }
    p->is_failing = r < 0;
    answer_waits(p, generation, r == 0);
    if (r == 0 && !is_sealed) { /* behind the answer */
        struct purge_rule clock = mark(PURGE_LOG_CLOCK, generation);
        record(p, &clock);
    }
    return r == 0;
}

/* ---- retiring ---- */

static void raise_floor(struct purge *p, uint32_t floor)
{
    pthread_mutex_lock(&p->writer);
    if (floor > purge_rules_floor(p->rules)) {
        struct purge_rule r = mark(PURGE_LOG_FLOOR, floor);
        lock_rules(p);
        counter_add_shared(&p->retired, purge_rules_raise_floor(p->rules, floor));
        unlock_rules(p);
        record(p, &r);
    }
    pthread_mutex_unlock(&p->writer);
}

/* What has a generation that no purge had was stored under a log whose end is lost: so is what that said. */
static void forget_all(struct purge *p, uint32_t greatest)
{
    uint32_t floor = greatest + LOST_MARGIN;
    pthread_mutex_lock(&p->writer);
    if (floor > atomic_load(&p->newest)) {
        log_error("purges: the log in %s has lost its end: all that is kept counts as purged",
                  p->options.path);
        lock_rules(p);
        purge_rules_raise_floor(p->rules, floor);
        atomic_store(&p->newest, floor);
        unlock_rules(p);
        p->must_rewrite = true;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->writer);
}

void purge_retire(struct purge *p)
{
    uint32_t least, greatest, stamp = atomic_load(&p->stamp), known;
    if (!store_purge_generations(p->options.store, &least, &greatest))
        return;
    known = atomic_load(&p->newest); /* after: objects get no newer generations than there are */
    if (greatest > known && greatest < UINT32_MAX - LOST_MARGIN)
        forget_all(p, greatest);
    else
        raise_floor(p, least < stamp ? least : stamp);
}

/* ---- the thread ---- */

static void wait_ms(struct purge *p, uint32_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&p->wake, &p->writer, &until);
}

static bool is_dirty(const struct purge *p)
{
    return p->has_log && (p->pending_count > 0 || p->must_rewrite);
}

static void *run(void *user)
{
    struct purge *p = user;
    bool is_due = true;
    pthread_mutex_lock(&p->writer);
    while (!p->is_stopping || (is_dirty(p) && !p->is_failing)) {
        if (is_dirty(p)) {
            if (!save(p) && !p->is_stopping)
                wait_ms(p, RETRY_MS);
            continue;
        }
        if (is_due) {
            pthread_mutex_unlock(&p->writer);
            purge_retire(p);
            pthread_mutex_lock(&p->writer);
            is_due = false;
            continue;
        }
        uint32_t interval_ms = p->options.retire_interval_ms;
        wait_ms(p, interval_ms ? interval_ms : RETIRE_INTERVAL_MS_DEFAULT);
        is_due = !is_dirty(p) && !p->is_stopping;
    }
    pthread_mutex_unlock(&p->writer);
    return NULL;
}

/* ---- opening ---- */

static void on_record(void *user, const struct purge_rule *r)
{
    struct purge *p = user;
    uint32_t newest = r->hard > r->soft ? r->hard : r->soft;
    if (newest > atomic_load(&p->newest))
        atomic_store(&p->newest, newest);
    if (r->kind == PURGE_LOG_FLOOR)
        purge_rules_raise_floor(p->rules, r->hard);
    else if (r->kind >= PURGE_SITE && r->kind <= PURGE_TAG)
        purge_rules_put(p->rules, r);
}

/* The log is not there: was there ever one? Objects of a time before it have no generation. */
static bool was_there_a_log(const struct purge *p)
{
    struct store_stats stats;
    uint32_t least, greatest;
    store_stats(p->options.store, &stats);
    return stats.regions_pending > 0 ||
           (store_purge_generations(p->options.store, &least, &greatest) && greatest > 0);
}

static void lose_all(struct purge *p)
{
    uint32_t least, greatest = 0;
    store_purge_generations(p->options.store, &least, &greatest);
    if (greatest > UINT32_MAX - 2 * LOST_MARGIN)
        greatest = UINT32_MAX - 2 * LOST_MARGIN;
    purge_rules_raise_floor(p->rules, greatest + LOST_MARGIN);
    atomic_store(&p->newest, greatest + LOST_MARGIN);
}

static int open_log(struct purge *p, struct buf *error)
{
    enum purge_log_found found;
    int r = purge_log_open(&p->log, p->options.path, on_record, p, &found);
    if (r < 0) {
        buf_printf(error, "purges: the folder %s cannot be used: %s", p->options.path, strerror(-r));
        return r;
    }
    if (found == PURGE_LOG_DAMAGED || (found == PURGE_LOG_MISSING && was_there_a_log(p))) {
        log_error("purges: the log in %s %s: all that is kept counts as purged", p->options.path,
                  found == PURGE_LOG_DAMAGED ? "cannot be read" : "is gone");
        lose_all(p);
    }
    p->has_log = p->must_rewrite = true;
    pthread_mutex_lock(&p->writer);
    save(p);
    pthread_mutex_unlock(&p->writer);
    return 0;
}

static void purge_free(struct purge *p)
{
    purge_log_close(&p->log);
    purge_rules_free(p->rules);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&p->stripes[i].mutex);
    pthread_mutex_destroy(&p->writer);
    pthread_cond_destroy(&p->wake);
    free(p);
}

int purge_open(const struct purge_options *options, struct buf *error, struct purge **ret_purge)
{
    pthread_condattr_t attributes;
    struct purge *p = aligned_alloc(64, sizeof(*p));
    if (!p)
        return -ENOMEM;
    memset(p, 0, sizeof(*p));
    p->options = *options;
    p->log = (struct purge_log){.folder_fd = -1, .fd = -1};
    list_init(&p->waits);
    pthread_mutex_init(&p->writer, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&p->stripes[i].mutex, NULL);
    atomic_store(&p->newest, FIRST_GENERATION);
    p->rules = purge_rules_new(options->rules_max);
    int r = p->rules ? 0 : -ENOMEM;
    if (r == 0 && options->path)
        r = open_log(p, error);
    if (r == 0) {
        atomic_store(&p->stamp, atomic_load(&p->newest)); /* of a log that is there it came from the disk */
        r = options->path ? -pthread_create(&p->thread, NULL, run, p) : 0;
    }
    if (r < 0) {
        purge_free(p);
        return r;
    }
    *ret_purge = p;
    return 0;
}

void purge_close(struct purge *p)
{
    if (!p)
        return;
    CHECK(list_is_empty(&p->waits));
    pthread_mutex_lock(&p->writer);
    p->is_stopping = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->writer);
    if (p->has_log)
        pthread_join(p->thread, NULL);
    purge_free(p);
}

/* ---- purging ---- */

int purge_add(struct purge *p, const struct purge_order *orders, size_t count, int64_t now_ms,
              struct purge_done *ret_done)
{
    pthread_mutex_lock(&p->writer);
    uint32_t generation = atomic_load(&p->newest);
    if (count > UINT32_MAX - LOST_MARGIN - (uint64_t)generation) {
        pthread_mutex_unlock(&p->writer);
        return -EOVERFLOW;
    }
    lock_rules(p);
    for (size_t i = 0; i < count; i++) {
        struct purge_rule r;
        generation++;
        purge_rules_make(p->rules, &orders[i], generation, now_ms, &r);
        size_t folded = purge_rules_put(p->rules, &r);
        size_t size = r.kind == PURGE_SITE ? orders[i].site.size : orders[i].text.size;
        ret_done[i] = (struct purge_done){.generation = generation,
                                          .kind = (enum purge_kind)r.kind,
                                          .text_size = r.kind == PURGE_PREFIX ? r.text_size : size,
                                          .is_folded = folded > 0};
        counter_add_shared(&p->folded, folded);
        record(p, &r);
    }
    atomic_store(&p->newest, generation);
    if (!p->has_log)
        atomic_store(&p->stamp, generation);
    unlock_rules(p);
    counter_add_shared(&p->orders, count);
    p->newest_at_ms = now_ms;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->writer);
    return 0;
}

void purge_sync(struct purge *p, struct purge_wait *wait)
{
    pthread_mutex_lock(&p->writer);
    wait->generation = atomic_load(&p->newest);
    if (wait->generation <= atomic_load(&p->stamp)) {
        wait->is_durable = true;
        list_init(&wait->node);
        mailbox_post(wait->mailbox, &wait->message);
    } else {
        list_push_back(&p->waits, &wait->node);
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->writer);
}

bool purge_cancel(struct purge *p, struct purge_wait *wait)
{
    pthread_mutex_lock(&p->writer);
    bool was_waiting = list_is_linked(&wait->node);
    list_remove(&wait->node);
    pthread_mutex_unlock(&p->writer);
    return was_waiting;
}

/* ---- asking ---- */

uint32_t purge_now(const struct purge *p)
{
    return p ? atomic_load_explicit(&p->newest, memory_order_acquire) : 0;
}

enum purge_effect purge_judge(struct purge *p, const struct purge_subject *subject,
                              struct purge_match *ret_match)
{
    uint32_t newest = p ? atomic_load_explicit(&p->newest, memory_order_acquire) : subject->generation;
    if (subject->generation == newest)
        return PURGE_NONE;
    if (subject->generation > newest) { /* of a log that was lost since */
        if (ret_match)
            *ret_match = (struct purge_match){.generation = newest};
        return PURGE_HARD;
    }
    struct stripe *stripe = own_stripe(p);
    pthread_mutex_lock(&stripe->mutex);
    enum purge_effect effect = purge_rules_judge(p->rules, subject, ret_match);
    pthread_mutex_unlock(&stripe->mutex);
    return effect;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static enum purge_effect judge_object(struct purge *p, const struct store_object *o,
                                      struct purge_match *match)
{
    struct purge_subject subject = {o->key_text, o->head, o->meta.purge_generation};
    return purge_judge(p, &subject, match);
}

bool purge_apply(struct purge *p, struct store *store, const struct store_key *key, int64_t now_ms,
                 struct store_object *o, enum purge_effect *ret_effect)
{
    struct purge_match match;
    *ret_effect = judge_object(p, o, &match);
    if (*ret_effect == PURGE_HARD) {
        store_drop(store, key, o);
        store_release(o);
        return false;
    }
    if (*ret_effect == PURGE_SOFT) /* now: the wall clock may have been set back */
        o->meta.fresh_until_ms = least(o->meta.fresh_until_ms, least(match.at_ms, now_ms));
    return true;
}

bool purge_lookup(struct purge *p, struct store *store, const struct store_key *key, int64_t now_ms,
                  struct store_object *ret_object, enum purge_effect *ret_effect)
{
    struct store_object o;
    *ret_effect = PURGE_NONE;
    if (!store_lookup(store, key, &o) || !purge_apply(p, store, key, now_ms, &o, ret_effect))
        return false;
    *ret_object = o;
    return true;
}

bool purge_apply_slice(struct purge *p, struct store *store, const struct store_key *key,
                       uint32_t head_generation, struct store_object *o)
{
    if (o->meta.purge_generation >= head_generation || judge_object(p, o, NULL) != PURGE_HARD)
        return true;
    store_drop(store, key, o);
    store_release(o);
    return false;
}

bool purge_lookup_slice(struct purge *p, struct store *store, const struct store_key *key,
                        uint32_t head_generation, struct store_object *ret_object)
{
    struct store_object o;
    if (!store_lookup(store, key, &o) || !purge_apply_slice(p, store, key, head_generation, &o))
        return false;
    *ret_object = o;
    return true;
}

bool purge_settle(struct purge *p, const struct purge_subject *subject, struct store_meta *meta)
{
    uint32_t stamp = p ? atomic_load_explicit(&p->stamp, memory_order_acquire) : 0; /* before judging */
    enum purge_effect effect = purge_judge(p, subject, NULL);
    bool is_newest = effect == PURGE_NONE || stamp < subject->generation;
    meta->purge_generation = is_newest ? stamp : subject->generation;
    return effect != PURGE_HARD;
}

void purge_stats(struct purge *p, struct purge_stats *ret_stats)
{
    if (!p) {
        *ret_stats = (struct purge_stats){.is_durable = true};
        return;
    }
    pthread_mutex_lock(&p->writer);
    *ret_stats = (struct purge_stats){.rules = purge_rules_count(p->rules),
                                      .rules_max = p->options.rules_max,
                                      .orders = counter_read(&p->orders),
                                      .folded = counter_read(&p->folded),
                                      .retired = counter_read(&p->retired),
                                      .newest = atomic_load(&p->newest),
                                      .floor = purge_rules_floor(p->rules),
                                      .newest_at_ms = p->newest_at_ms,
                                      .is_durable = atomic_load(&p->stamp) == atomic_load(&p->newest)};
    pthread_mutex_unlock(&p->writer);
}
