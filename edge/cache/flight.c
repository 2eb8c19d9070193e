/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flights as readers see them: the table in which they are found, joining, looking and leaving, and how
 * progress reaches the workers. The filling is in flight_fill.c.
 */
#include "cache/flight_private.h"

#include <errno.h>
#include <stdlib.h>

#define PROBES_MAX 1024 /* slices looked for ahead of a fill */

struct flight_table *flight_table_new(const struct flight_table_options *options)
{
    REQUIRE(options->worker_count > 0 && options->worker_count <= FLIGHT_WORKERS_MAX);
    struct flight_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->store = options->store;
    t->slice_bytes = options->slice_bytes;
    t->worker_count = options->worker_count;
    t->mailboxes = options->mailboxes;
    t->ledgers = options->ledgers;
    t->purges = options->purges;
    for (size_t i = 0; i < FLIGHT_SHARDS; i++) {
        pthread_mutex_init(&t->shards[i].mutex, NULL);
        list_init(&t->shards[i].flights);
    }
    return t;
}

void flight_table_free(struct flight_table *t)
{
    for (size_t i = 0; i < FLIGHT_SHARDS; i++) {
        CHECK(list_is_empty(&t->shards[i].flights));
        pthread_mutex_destroy(&t->shards[i].mutex);
    }
    free(t);
}

uint64_t flight_table_slice_bytes(const struct flight_table *t)
{
    return t->slice_bytes;
}

bool flight_slice_key(const struct flight_table *t, struct slice key_text, uint64_t representation,
                      uint64_t index, struct buf *text, struct store_key *ret_key)
{
    buf_clear(text);
    /* A space cannot stand in a URL's path or query, so no object's own key looks like this. */
    if (!buf_append_slice(text, key_text) ||
        !buf_printf(text, " %016llx/%llu", (unsigned long long)representation, (unsigned long long)index))
        return false;
    ret_key->text = buf_slice(text);
    ret_key->hash = hash_key(store_hash_secret(t->store), ret_key->text);
    return true;
}

struct store_hint flight_slice_hint(struct hash128 key_hash, uint64_t index, uint64_t session)
{
    return (struct store_hint){
        .title = key_hash.low, .segment = (uint32_t)index, .kind = STORE_VOD, .session = session};
}

uint64_t flight_missing_until(const struct flight_table *t, struct slice key_text, uint64_t representation,
                              uint64_t first, uint64_t limit)
{
    struct buf text;
    struct store_key key;
    bool is_found = false;
    uint64_t index = first / t->slice_bytes + 1, end = index + PROBES_MAX;
    buf_init(&text, STORE_KEY_TEXT_MAX + 64);
    while (index < end && index * t->slice_bytes < limit &&
           flight_slice_key(t, key_text, representation, index, &text, &key) &&
           !(is_found = store_has(t->store, &key)))
        index++;
    if (is_found)
        limit = index * t->slice_bytes;
    buf_fini(&text);
    return limit;
}

/* ---- life ---- */

void flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

static void flight_free(struct flight *f)
{
    REQUIRE(!f->writer);
    for (size_t i = 0; i < f->piece_count; i++)
        store_release(&f->pieces[i].view);
    free(f->pieces);
    if (f->has_stale)
        store_release(&f->stale);
    buf_fini(&f->private_body);
    free((char *)f->head.stored.data);
    free((char *)f->key_text.data);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

void flight_unref(struct flight *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
        flight_free(f);
}

static void on_port_message(struct message *m)
{
    struct flight_port *port = container_of(m, struct flight_port, message);
    struct flight *f = port->flight;
    /* Cleared before looking: progress made from now on posts again. */
    atomic_store(&port->is_notified, false);
    struct flight_reader *reader, *next;
    LIST_FOR_EACH_SAFE (reader, next, &port->readers, node)
        reader->on_progress(reader);
    flight_unref(f);
}

static void on_orphan_message(struct message *m)
{
    struct flight *f = container_of(m, struct flight, orphan_message);
    atomic_store(&f->is_orphan_posted, false);
    if (f->is_filling && f->filler.on_orphaned && flight_is_orphaned(f))
        f->filler.on_orphaned(f, f->filler.user);
    flight_unref(f);
}

static struct flight *flight_new(struct flight_table *t, const struct flight_want *want, unsigned owner)
{
    struct flight *f = calloc(1, sizeof(*f) + t->worker_count * sizeof(f->ports[0]));
    char *key_text = malloc(size_max(want->key->text.size, 1));
    if (!f || !key_text) {
        free(f);
        free(key_text);
        return NULL;
    }
    memcpy(key_text, want->key->text.data, want->key->text.size);
    f->table = t;
    f->owner = owner;
    /* Between the lookup and now a purge may have come: then what is stale is not to be made good again. */
    f->generation = want->stale ? want->generation : purge_now(t->purges);
    f->hash = want->key->hash;
    f->key_text = slice_make(key_text, want->key->text.size);
    f->shard = &t->shards[f->hash.low % FLIGHT_SHARDS];
    f->is_ranged = want->ranged;
    if (want->hint)
        f->hint = *want->hint;
    f->first_wanted_bytes = want->ranged ? want->first_bytes / t->slice_bytes * t->slice_bytes : 0;
    f->limit_wanted_bytes = FLIGHT_NO_LIMIT;
    if (want->ranged && want->limit_bytes < FLIGHT_NO_LIMIT - t->slice_bytes)
        f->limit_wanted_bytes = (want->limit_bytes + t->slice_bytes - 1) / t->slice_bytes * t->slice_bytes;
    if (want->stale) {
        store_object_copy(want->stale, &f->stale);
        f->has_stale = true;
    }
    list_init(&f->node);
    atomic_init(&f->refs, 1); /* the filler's */
    f->is_filling = true;
    f->orphan_message.fn = on_orphan_message;
    pthread_mutex_init(&f->mutex, NULL);
    buf_init(&f->private_body, 4 * FLIGHT_PRIVATE_WINDOW);
    for (size_t i = 0; i < t->worker_count; i++) {
        list_init(&f->ports[i].readers);
        f->ports[i].message.fn = on_port_message;
        f->ports[i].flight = f;
    }
    counter_add(&ledger_flights(t->ledgers[owner])->started, 1);
    return f;
}

void flight_notify(struct flight *f)
{
    for (size_t i = 0; i < f->table->worker_count; i++) {
        struct flight_port *port = &f->ports[i];
        if (atomic_load(&port->reader_count) > 0 && !atomic_exchange(&port->is_notified, true)) {
            flight_ref(f);
            mailbox_post(f->table->mailboxes[i], &port->message);
        }
    }
}

static bool unlist(struct flight *f, bool only_unread)
{
    pthread_mutex_lock(&f->shard->mutex); /* as in flight_join: who is not there yet does not come any more */
    bool goes = !only_unread || atomic_load(&f->reader_count) == 0;
    bool was_listed = list_is_linked(&f->node);
    if (goes)
        list_remove(&f->node);
    pthread_mutex_unlock(&f->shard->mutex);
    if (goes && was_listed)
        flight_unref(f);
    return goes;
}

void flight_unlist(struct flight *f)
{
    unlist(f, false);
}

bool flight_unlist_unread(struct flight *f)
{
    return unlist(f, true);
}

bool flight_move(struct flight *f, const struct store_key *key)
{
    char *key_text = malloc(size_max(key->text.size, 1)), *old = (char *)f->key_text.data;
    if (!key_text)
        return false;
    memcpy(key_text, key->text.data, key->text.size);
    pthread_mutex_lock(&f->shard->mutex);
    bool was_listed = list_is_linked(&f->node);
    list_remove(&f->node);
    pthread_mutex_unlock(&f->shard->mutex);
    f->hash = key->hash;
    f->key_text = slice_make(key_text, key->text.size);
    f->shard = &f->table->shards[f->hash.low % FLIGHT_SHARDS];
    atomic_fetch_add(&f->moves, 1);
    pthread_mutex_lock(&f->shard->mutex);
    if (was_listed)
        list_push_back(&f->shard->flights, &f->node);
    pthread_mutex_unlock(&f->shard->mutex);
    free(old);
    return true;
}

/* A variant's key goes on behind the URL's with a space, which no URL has. */
static bool is_under(struct slice key_text, struct slice base)
{
    return slice_starts_with(key_text, base) &&
           (key_text.size == base.size || key_text.data[base.size] == ' ');
}

void flight_doom(struct flight_table *t, struct slice key_text)
{
    for (size_t i = 0; i < FLIGHT_SHARDS; i++) {
        struct flight *f, *next;
        pthread_mutex_lock(&t->shards[i].mutex);
        LIST_FOR_EACH_SAFE (f, next, &t->shards[i].flights, node) {
            if (!is_under(f->key_text, key_text))
                continue;
            atomic_store(&f->is_doomed, true);
            list_remove(&f->node);
            flight_unref(f); /* the list's hold; the filler has its own as long as it is listed */
        }
        pthread_mutex_unlock(&t->shards[i].mutex);
    }
}

unsigned flight_moves(const struct flight *f)
{
    return atomic_load(&f->moves);
}

struct store_key flight_key(const struct flight *f)
{
    return (struct store_key){f->hash, f->key_text};
}

/* ---- joining ---- */

/* A reader this far ahead of the fill had better ask the origin for itself. */
static bool is_within_reach(const struct flight *f, uint64_t first, uint64_t filled)
{
    return first <= filled || first - filled <= f->table->slice_bytes;
}

/* No purge has come since it began that applies to it, or may when its head is there. */
static bool is_current(struct flight *f)
{
    bool has_head = f->phase == PHASE_FILLING;
    struct purge_subject subject = {f->key_text, has_head ? f->head.stored : (struct slice){NULL, 0},
                                    f->generation};
    return purge_judge(f->table->purges, &subject, NULL) == PURGE_NONE;
}

static bool flight_covers(struct flight *f, const struct flight_want *want)
{
    bool covers = false;
    pthread_mutex_lock(&f->mutex);
    if (!is_current(f)) {
        covers = false;
    } else if (f->phase == PHASE_HEAD_PENDING) {
        covers = f->first_wanted_bytes <= want->first_bytes && want->first_bytes < f->limit_wanted_bytes &&
                 is_within_reach(f, want->first_bytes, f->first_wanted_bytes);
    } else if (f->phase == PHASE_FILLING && !f->head.is_private) {
        uint64_t held = f->piece_count ? f->pieces[0].start_bytes : f->first_bytes;
        covers = (!want->representation || want->representation == f->head.representation) &&
                 held <= want->first_bytes && (want->first_bytes < f->limit_bytes || f->limit_bytes == 0) &&
                 is_within_reach(f, want->first_bytes, f->filled_bytes);
    }
    pthread_mutex_unlock(&f->mutex);
    return covers;
}

static struct flight *find(struct flight_shard *shard, const struct flight_want *want)
{
    struct flight *f;
    LIST_FOR_EACH (f, &shard->flights, node)
        if (hash128_equal(f->hash, want->key->hash) && slice_equal(f->key_text, want->key->text) &&
            flight_covers(f, want))
            return f;
    return NULL;
}

static void attach(struct flight *f, struct flight_reader *reader)
{
    struct flight_port *port = &f->ports[reader->worker];
    reader->flight = f;
    reader->moves = atomic_load(&f->moves);
    list_push_back(&port->readers, &reader->node);
    atomic_fetch_add(&port->reader_count, 1);
    atomic_fetch_add(&f->reader_count, 1);
    atomic_fetch_add_explicit(&f->readers_ever, 1, memory_order_relaxed);
    flight_ref(f);
    counter_add(&ledger_flights(f->table->ledgers[reader->worker])->readers_joined, 1);
}

static bool is_stored(struct flight_table *t, const struct flight_want *want, const struct store_key *probe,
                      struct store_object *ret_object)
{
    enum purge_effect unused;
    if (probe != want->key)
        return purge_lookup_slice(t->purges, t->store, probe, want->generation, ret_object);
    if (!purge_lookup(t->purges, t->store, probe, want->now_ms, ret_object, &unused))
        return false;
    if (ret_object->meta.fresh_until_ms > want->now_ms && !want->validate)
        return true;
    store_release(ret_object);
    return false;
}

enum flight_joined flight_join(struct flight_table *t, const struct flight_want *want,
                               const struct store_key *probe, struct flight_reader *reader, unsigned worker,
                               struct flight **ret_flight, struct store_object *ret_object)
{
    struct flight_shard *shard = &t->shards[want->key->hash.low % FLIGHT_SHARDS];
    enum flight_joined joined = FLIGHT_LEADING;
    pthread_mutex_lock(&shard->mutex);
    struct flight *f = find(shard, want);
    if (f) {
        joined = FLIGHT_FOLLOWING;
    } else if (is_stored(t, want, probe, ret_object)) {
        /* It was sealed between the caller's look and the lock: a flight is unlisted only after its seal. */
        joined = FLIGHT_STORED;
    } else if (!(f = flight_new(t, want, worker))) {
        joined = FLIGHT_NO_MEMORY;
    } else {
        list_push_back(&shard->flights, &f->node);
        flight_ref(f);
        f->leader = reader;
    }
    if (f && reader)
        attach(f, reader);
    pthread_mutex_unlock(&shard->mutex);
    *ret_flight = f;
    if (joined == FLIGHT_FOLLOWING && reader)
        counter_add(&ledger_flights(t->ledgers[worker])->coalesced, 1);
    return joined;
}

bool flight_would_follow(struct flight_table *t, const struct flight_want *want)
{
    struct flight_shard *shard = &t->shards[want->key->hash.low % FLIGHT_SHARDS];
    pthread_mutex_lock(&shard->mutex);
    bool is_there = find(shard, want) != NULL;
    pthread_mutex_unlock(&shard->mutex);
    return is_there;
}

struct flight *flight_new_private(struct flight_table *t, const struct flight_want *want,
                                  struct flight_reader *reader, unsigned worker)
{
    struct flight *f = flight_new(t, want, worker);
    if (!f)
        return NULL;
    f->leader = reader;
    attach(f, reader);
    return f;
}

void flight_leave(struct flight_reader *reader)
{
    struct flight *f = reader->flight;
    store_release(&reader->held);
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    if (f->leader == reader)
        f->leader = NULL;
    pthread_mutex_unlock(&f->mutex);
    reader->flight = NULL;
    list_remove(&reader->node);
    atomic_fetch_sub(&f->ports[reader->worker].reader_count, 1);
    counter_add(&ledger_flights(f->table->ledgers[reader->worker])->readers_left, 1);
    if (atomic_fetch_sub(&f->reader_count, 1) == 1 && !atomic_exchange(&f->is_orphan_posted, true)) {
        flight_ref(f);
        mailbox_post(f->table->mailboxes[f->owner], &f->orphan_message);
    }
    flight_unref(f);
}

/* ---- looking ---- */

static enum flight_state state_of(const struct flight *f)
{
    switch (f->phase) {
    case PHASE_HEAD_PENDING: return FLIGHT_WAIT;
    case PHASE_FILLING: return FLIGHT_BYTES;
    case PHASE_DONE: return FLIGHT_END;
    case PHASE_REVALIDATED: return FLIGHT_REVALIDATED;
    case PHASE_FAILED: return FLIGHT_FAILED;
    }
    UNREACHABLE();
}

const struct flight_head *flight_head(struct flight_reader *reader, enum flight_state *ret_state)
{
    struct flight *f = reader->flight;
    pthread_mutex_lock(&f->mutex);
    *ret_state = state_of(f);
    bool has_head = f->head.status != 0 && f->phase != PHASE_FAILED;
    if (has_head && f->head.is_private && f->leader != reader) {
        *ret_state = FLIGHT_RELEASED;
        has_head = false;
    } else if (f->phase != PHASE_HEAD_PENDING && atomic_load(&f->moves) != reader->moves &&
               f->leader != reader) {
        *ret_state = FLIGHT_MOVED;
        has_head = false;
    }
    pthread_mutex_unlock(&f->mutex);
    return has_head ? &f->head : NULL;
}

static void span_of(const struct flight_reader *reader, uint64_t position, struct span *ret_span)
{
    uint64_t skip = position - reader->held_start_bytes;
    *ret_span = (struct span){
        .fd = reader->held.fd,
        .offset_bytes = reader->held.body_offset_bytes + skip,
        .data = reader->held.body ? reader->held.body + skip : NULL,
        .size = reader->held_filled_bytes - skip,
    };
}

/* Takes hold of the piece in which `position` stands. */
static bool hold_piece(struct flight *f, struct flight_reader *reader, uint64_t position)
{
    for (size_t i = f->piece_count; i-- > 0;) {
        struct flight_piece *piece = &f->pieces[i];
        if (position < piece->start_bytes || position >= piece->start_bytes + piece->size_bytes)
            continue;
        uint64_t filled = f->filled_bytes - piece->start_bytes;
        store_release(&reader->held);
        store_object_copy(&piece->view, &reader->held);
        reader->held_start_bytes = piece->start_bytes;
        reader->held_filled_bytes = filled < piece->size_bytes ? filled : piece->size_bytes;
        return true;
    }
    return false;
}

static enum flight_state look_private(struct flight *f, struct flight_reader *reader, uint64_t position,
                                      struct span *ret_span)
{
    if (f->leader != reader)
        return FLIGHT_RELEASED;
    if (!CHECK(position >= f->private_start_bytes))
        return FLIGHT_FAILED;
    size_t skipped =
        size_min(position - f->private_start_bytes, f->private_body.size); /* asked for in whole slices */
    buf_consume(&f->private_body, skipped);
    f->private_start_bytes += skipped;
    if (f->private_body.size == 0)
        return f->phase == PHASE_FILLING ? FLIGHT_WAIT : state_of(f);
    *ret_span = (struct span){.fd = -1, .data = f->private_body.data, .size = f->private_body.size};
    return FLIGHT_BYTES;
}

static enum flight_state look_locked(struct flight *f, struct flight_reader *reader, uint64_t position,
                                     uint64_t representation, struct span *ret_span)
{
    if (f->phase == PHASE_HEAD_PENDING || f->phase == PHASE_REVALIDATED)
        return state_of(f);
    if (f->head.status == 0)
        return FLIGHT_FAILED;
    if (f->head.is_private)
        return look_private(f, reader, position, ret_span);
    if (representation && representation != f->head.representation)
        return FLIGHT_CHANGED;
    if (position < f->filled_bytes && position >= f->first_bytes) {
        if (!hold_piece(f, reader, position))
            return FLIGHT_ELSEWHERE;
        span_of(reader, position, ret_span);
        return FLIGHT_BYTES;
    }
    if (position < f->first_bytes)
        return FLIGHT_ELSEWHERE;
    if (f->phase == PHASE_FAILED)
        return FLIGHT_FAILED;
    if (f->head.total_size_bytes != FLIGHT_SIZE_UNKNOWN && position >= f->head.total_size_bytes)
        return f->phase == PHASE_DONE ? FLIGHT_END : FLIGHT_WAIT; /* whole only when the filler says so */
    if (position >= f->limit_bytes)
        return FLIGHT_ELSEWHERE;
    return f->phase == PHASE_DONE ? FLIGHT_END : FLIGHT_WAIT;
}

enum flight_state flight_look(struct flight_reader *reader, uint64_t position, uint64_t representation,
                              struct span *ret_span)
{
    struct flight *f = reader->flight;
    if (reader->held.region && position >= reader->held_start_bytes &&
        position < reader->held_start_bytes + reader->held_filled_bytes) {
        span_of(reader, position, ret_span);
        return FLIGHT_BYTES;
    }
    pthread_mutex_lock(&f->mutex);
    enum flight_state state = look_locked(f, reader, position, representation, ret_span);
    pthread_mutex_unlock(&f->mutex);
    return state;
}

bool flight_can_serve(struct flight_reader *reader, uint64_t first, uint64_t limit)
{
    struct flight *f = reader->flight;
    pthread_mutex_lock(&f->mutex);
    bool is_here = f->first_bytes <= first && limit <= f->limit_bytes;
    bool can_serve = is_here || (f->head.is_named && !f->head.is_private);
    pthread_mutex_unlock(&f->mutex);
    return can_serve;
}

uint64_t flight_total_size(struct flight_reader *reader)
{
    struct flight *f = reader->flight;
    pthread_mutex_lock(&f->mutex);
    uint64_t size = f->head.total_size_bytes;
    pthread_mutex_unlock(&f->mutex);
    return size;
}

uint32_t flight_purge_generation(const struct flight *f)
{
    return f->generation;
}

const char *flight_failure(struct flight_reader *reader, unsigned *ret_status)
{
    struct flight *f = reader->flight;
    pthread_mutex_lock(&f->mutex);
    const char *reason = f->failure;
    *ret_status = f->failure_status;
    pthread_mutex_unlock(&f->mutex);
    return reason ? reason : "internal";
}

void flight_revalidated_object(struct flight_reader *reader, struct store_object *ret_object)
{
    struct flight *f = reader->flight;
    REQUIRE(f->has_stale);
    pthread_mutex_lock(&f->mutex);
    store_object_copy(&f->stale, ret_object);
    pthread_mutex_unlock(&f->mutex);
}

void flight_consumed(struct flight_reader *reader, size_t bytes)
{
    struct flight *f = reader->flight;
    pthread_mutex_lock(&f->mutex);
    bool is_private = f->head.is_private && f->leader == reader;
    if (is_private) {
        buf_consume(&f->private_body, bytes);
        f->private_start_bytes += bytes;
    }
    bool has_room =
        is_private && f->phase == PHASE_FILLING && f->private_body.size < FLIGHT_PRIVATE_WINDOW / 2;
    pthread_mutex_unlock(&f->mutex);
    if (has_room && f->filler.on_room) /* a private flight's reader is on the filler's worker */
        f->filler.on_room(f, f->filler.user);
}
