/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A response, from its head to its end:
 *   on_head (judge) -> on_body ... -> on_done (read the playlist, seal)
 * and at any point: a failure of the fetch, after which attempt.c may ask for the rest, or the last reader
 * leaving (on_orphaned).
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "origin/origin_private.h"
#include "origin/orphan.h"
#include "reply.h"

void fill_free(struct fill *f)
{
    timer_stop(&f->retry);
    admit_release(f->origin->options.admit, &f->ticket);
    list_remove(&f->node);
    free(f->ask);
    free(f->if_range);
    free((char *)f->rest.validator.data);
    free(f->viewer_fields);
    digest_free(f->digest);
    free(f);
}

uint64_t fill_position(const struct fill *f)
{
    return f->rest.first_bytes + flight_filled_bytes(f->flight) + (f->is_holding ? 1 : 0);
}

static void book(struct fill *f)
{
    uint64_t received = fetch_received_bytes(f->fetch), fresh = received - f->booked_bytes;
    bool is_orphan = flight_is_orphaned(f->flight) && !f->is_background;
    f->booked_bytes = received;
    f->orphaned_bytes = is_orphan ? f->orphaned_bytes + fresh : 0;
    ledger_received(f->origin->options.ledger, f->site->id, f->content_class,
                    is_orphan ? CAUSE_ORPHAN : f->cause, fresh);
}

/* ---- ends that are not the fetch's ---- */

void fill_note_failure(struct fill *f, const char *reason, unsigned status)
{
    if (f->failure)
        return;
    f->failure = reason;
    f->failure_status = status;
}

void fill_fail(struct fill *f)
{
    fill_note_failure(f, fetch_result_name(FETCH_NO_MEMORY), fetch_result_status(FETCH_NO_MEMORY));
    flight_fail(f->flight, f->failure, f->failure_status);
    fill_free(f);
}

/* What the origin sends is not wanted any more. */
static void cancel_fetch(struct fill *f, enum origin_word word)
{
    counter_add(&f->origin->stats.words[word], 1);
    fetch_cancel(f->fetch);
    f->fetch = NULL;
}

/* Ends the fill because of us, not of the origin. */
static void fill_cancel(struct fill *f, enum origin_word word)
{
    cancel_fetch(f, word);
    flight_fail(f->flight, origin_word_name(word), origin_word_status(word));
    fill_free(f);
}

static void fill_drop(struct fill *f)
{
    struct ledger_flights *flights = ledger_flights(f->origin->options.ledger);
    uint64_t received_bytes = flight_filled_bytes(f->flight);
    if (!flight_drop(f->flight))
        return;
    counter_add(&flights->orphans_dropped_bytes, received_bytes);
    if (f->fetch)
        cancel_fetch(f, ORIGIN_WORD_DROPPED);
    fill_free(f);
}

/* ---- judging ---- */

static struct policy_content content_of(struct fill *f, const struct hls_playlist *playlist)
{
    struct catalog_entry entry = {0};
    catalog_find(f->origin->options.catalog, f->key_hash, &entry);
    return (struct policy_content){f->content_class, playlist, entry.target_duration_ms};
}

static void classify(struct fill *f, const struct http_head *head)
{
    struct catalog_entry entry;
    bool is_known = catalog_find(f->origin->options.catalog, f->key_hash, &entry);
    struct slice path = slice_make(f->target.data, slice_find(f->target, '?'));
    f->content_class = catalog_class(is_known ? &entry : NULL, path, http_head_get(head, "content-type"));
}

/* The stored head is of a version that the origin has no more: the next request starts afresh. */
static void forget(struct fill *f)
{
    struct store_key key = flight_key(f->flight);
    store_remove(f->origin->options.store, &key);
}

static void on_not_modified(struct fill *f, const struct http_head *head)
{
    const struct store_object *stale = flight_stale(f->flight);
    struct store_meta meta = stale->meta;
    struct hls_playlist playlist;
    struct buf *updated = &f->origin->stored_head;
    bool is_playlist = false, is_changed;
    int64_t now_ms = loop_wall_ms(f->origin->options.loop);
    if (!judge_is_same(head, stale->head)) {
        forget(f);
        fill_cancel(f, ORIGIN_WORD_CHANGED);
        return;
    }
    buf_clear(updated);
    if (!reply_update_head(stale->head, head, f->site->config, now_ms, updated, &is_changed)) {
        fill_cancel(f, ORIGIN_WORD_HEAD_TOO_LARGE);
        return;
    }
    judge_not_modified(buf_slice(updated), http_head_get(head, "age"), &f->asked, now_ms, &f->policy);
    if (f->content_class == CLASS_PLAYLIST)
        is_playlist = place_read_playlist(f, slice_make(stale->body, stale->body_size_bytes), &playlist);
    struct policy_content content = content_of(f, is_playlist ? &playlist : NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    if (f->policy.verdict != STORE_OK) /* from now on; asked again, the origin will send it anew */
        meta.fresh_until_ms = meta.generated_at_ms;
    f->cause = CAUSE_REVALIDATED;
    book(f);
    flight_revalidate(f->flight, &meta, is_changed ? buf_slice(updated) : (struct slice){NULL, 0});
    f->flight = NULL; /* the exchange comes to its own end, so that its connection is used again */
}

/* Whether these are slices of the version that was begun: those of two are never mixed. If not the fill is
 * over, and the version forgotten unless the origin only had no answer (it is busy, or does not know us). */
static bool continues(struct fill *f, unsigned status, const struct judgement *j)
{
    bool is_answer = status < 400 || status == 404 || status == 410 || status == 416;
    bool is_same_size = f->total_bytes == FLIGHT_SIZE_UNKNOWN || j->total_bytes == FLIGHT_SIZE_UNKNOWN ||
                        f->total_bytes == j->total_bytes;
    if (j->stored_status == 200 && f->representation == j->representation && is_same_size)
        return true;
    if (is_answer)
        forget(f);
    fill_cancel(f, is_answer ? ORIGIN_WORD_CHANGED : ORIGIN_WORD_ERROR_RESPONSE);
    return false;
}

/* What the body must be (RFC 9530), where all of it comes: of a part of it nothing can be said. */
static void expect_digest(struct fill *f, const struct http_head *head)
{
    if (head->status != 200 || f->asked.is_head)
        return;
    for (size_t i = 0; i < head->field_count && !f->digest; i++)
        if (slice_equal_nocase(head->fields[i].name, SLICE_LITERAL("repr-digest")) &&
            http_digest_sha256(head->fields[i].value, f->expected))
            f->digest = digest_new();
}

static void on_informational(struct fetch *fetch, const struct http_head *head)
{
    struct fill *f = fetch_user(fetch);
    struct buf *fields = &f->origin->stored_head;
    buf_clear(fields);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!http_head_is_hop_by_hop(head, field->name))
            buf_printf(fields, "%.*s: %.*s\r\n", SLICE_ARG(field->name), SLICE_ARG(field->value));
    }
    if (!fields->failed)
        flight_inform(f->flight, head->status, buf_slice(fields));
}

/* True: another origin is being asked. */
static bool try_another_instead(struct fill *f)
{
    if (!attempt_another(f))
        return false;
    counter_add(&f->origin->stats.words[ORIGIN_WORD_ERROR_RESPONSE], 1);
    return true;
}

/* How the rest can be asked for, should this break. */
static void begin_rest(struct fill *f, const struct http_head *head, const struct judgement *j)
{
    struct slice validator = judge_strong_validator(head);
    bool is_resumable = j->stored_status == 200 && j->total_bytes != FLIGHT_SIZE_UNKNOWN && validator.data &&
                        f->ask->is_repeatable && !f->asked.is_head;
    char *copy = is_resumable ? malloc(validator.size + 1) : NULL;
    f->has_head = true;
    f->head_upstream = f->upstream;
    f->rest = (struct judge_rest){{NULL, 0}, j->first_bytes, j->limit_bytes, j->total_bytes};
    if (copy) {
        memcpy(copy, validator.data, validator.size);
        f->rest.validator = slice_make(copy, validator.size);
    }
}

static void on_head_of_rest(struct fill *f, const struct http_head *head)
{
    struct judge_rest wanted = f->rest;
    wanted.first_bytes = fill_position(f);
    enum judge_rest_verdict verdict = judge_rest(head, &wanted);
    attempt_report(f, !policy_is_server_error(head->status));
    book(f);
    if (verdict == JUDGE_REST)
        return;
    bool is_changed = verdict == JUDGE_REST_CHANGED;
    cancel_fetch(f, is_changed           ? ORIGIN_WORD_CHANGED
                    : head->status < 400 ? ORIGIN_WORD_BAD_RANGE
                                         : ORIGIN_WORD_ERROR_RESPONSE);
    bool is_final = is_changed && f->upstream == f->head_upstream;
    if (!is_final && attempt_rest(f))
        return;
    if (is_final) {
        forget(f);
        f->failure = ORIGIN_CHANGED;
    }
    fill_fail(f);
}

/* Whether those who come next had better wait for a response of their own. What this one viewer's request
 * said (no-store, credentials) is no reason for others, nor is an error that passes. */
static void remember(struct fill *f, const struct judgement *j)
{
    struct hit_for_miss *table = f->origin->options.hit_for_miss;
    bool is_special =
        f->asked.is_head || f->asked.is_passed || f->asked.is_no_store || f->asked.has_authorization;
    if (j->is_private && !is_special && j->stored_status < 500)
        hit_for_miss_add(table, f->key_hash, loop_now_ms(f->origin->options.loop));
    else if (j->is_kept)
        hit_for_miss_remove(table, f->key_hash);
}

static void on_head(struct fetch *fetch, const struct http_head *head)
{
    struct fill *f = fetch_user(fetch);
    struct origin *o = f->origin;
    int64_t now_ms = loop_wall_ms(o->options.loop);
    struct judgement j;
    if (f->has_head) {
        on_head_of_rest(f, head);
        return;
    }
    attempt_report(f, !policy_is_server_error(head->status));
    if (policy_is_server_error(head->status) && try_another_instead(f))
        return;
    if (head->status == 425 && f->asked.is_early) {
        fill_cancel(f, ORIGIN_WORD_TOO_EARLY);
        return;
    }
    if (head->status == 304 && flight_stale(f->flight)) {
        on_not_modified(f, head);
        return;
    }
    classify(f, head);
    if (f->asked.is_passed)
        place_invalidate(f, head);
    enum key_vary vary = key_vary_of(head, f->site->config, &o->vary_names);
    judge_response(head, f->flight, &f->asked, vary, now_ms, &j);
    if (j.failure) {
        fill_cancel(f, ORIGIN_WORD_BAD_RANGE);
        return;
    }
    if (f->representation && !continues(f, head->status, &j))
        return;
    if (j.is_kept && !place_variant(f, vary)) {
        j.is_private = true;
        j.is_kept = false;
    }
    f->policy = j.policy;
    f->is_kept = j.is_kept;
    remember(f, &j);
    buf_clear(&o->stored_head);
    if (!reply_store_head(head, j.stored_status, f->site->config, now_ms, &o->stored_head)) {
        fill_cancel(f, ORIGIN_WORD_HEAD_TOO_LARGE);
        return;
    }
    struct store_meta meta = {.site_id = (uint16_t)f->site->id};
    struct policy_content content = content_of(f, NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    struct flight_head flight_head = {
        .status = j.stored_status,
        .stored = buf_slice(&o->stored_head),
        .total_size_bytes = j.total_bytes,
        .representation = j.representation,
        .is_named = j.is_named,
        .generated_at_ms = meta.generated_at_ms,
        .is_private = j.is_private,
        .is_kept = j.is_kept,
        .content_class = f->content_class,
    };
    if (flight_set_head(f->flight, &flight_head, j.is_kept, j.first_bytes, j.limit_bytes, &meta) < 0) {
        fill_cancel(f, ORIGIN_WORD_NO_MEMORY);
        return;
    }
    expect_digest(f, head);
    begin_rest(f, head, &j);
    book(f);
    if (j.is_private && flight_is_orphaned(f->flight))
        fill_drop(f);
}

/* ---- body ---- */

static bool is_worth_finishing(struct fill *f, bool is_private)
{
    struct orphan orphan = {
        .is_kept = f->is_kept && !is_private,
        .is_sized = flight_extent_bytes(f->flight) != FLIGHT_SIZE_UNKNOWN,
        .filled_bytes = flight_filled_bytes(f->flight),
        .extent_bytes = flight_extent_bytes(f->flight),
        .slice_bytes = flight_table_slice_bytes(f->origin->options.flights),
        .orphaned_bytes = f->orphaned_bytes,
        .readers = flight_readers(f->flight),
    };
    return f->fetch && orphan_is_worth_finishing(&orphan); /* what is broken is not resumed for nobody */
}

static void drop_if_worthless(struct fill *f)
{
    struct flight_reader probe = {.flight = f->flight, .moves = flight_moves(f->flight)};
    enum flight_state state;
    const struct flight_head *head = flight_head(&probe, &state);
    if (!flight_is_orphaned(f->flight))
        return;
    if (head && is_worth_finishing(f, head->is_private))
        return;
    if (!head && state == FLIGHT_WAIT &&
        !f->asked.is_head) /* what it will be is not known yet: decide at the head */
        return;
    fill_drop(f);
}

/* With a digest to come, the last byte so far stays here: nobody has all before all is known to be right. */
static int write_body(struct fill *f, const char *data, size_t size)
{
    int r = 0;
    if (!f->digest || size == 0)
        return flight_write(f->flight, data, size);
    digest_add(f->digest, data, size);
    if (f->is_holding)
        r = flight_write(f->flight, &f->held, 1);
    if (r == 0 && size > 1)
        r = flight_write(f->flight, data, size - 1);
    f->held = data[size - 1];
    f->is_holding = true;
    return r;
}

/* True: it is what it must be, and all given out. */
static bool release_held(struct fill *f)
{
    uint8_t value[DIGEST_SIZE];
    if (!f->digest)
        return true;
    digest_value(f->digest, value);
    if (memcmp(value, f->expected, sizeof(value)) == 0)
        return !f->is_holding || flight_write(f->flight, &f->held, 1) == 0;
    counter_add(&ledger_flights(f->origin->options.ledger)->corrupt, 1);
    log_warn("%s%.*s is not what its digest says", f->site->config->name, SLICE_ARG(f->target));
    flight_forget(f->flight);
    return false;
}

static void on_body(struct fetch *fetch, const char *data, size_t size)
{
    struct fill *f = fetch_user(fetch);
    book(f);
    int r = write_body(f, data, size);
    if (r < 0) {
        log_warn("fill of %s%.*s failed: %s", f->site->config->name, SLICE_ARG(f->target), strerror(-r));
        fill_cancel(f, r == -ENOBUFS    ? ORIGIN_WORD_STORE_FULL
                       : r == -EMSGSIZE ? ORIGIN_WORD_BODY_TOO_LONG
                                        : ORIGIN_WORD_STORE_FAILED);
        return;
    }
    fetch_limit_next_read(fetch, flight_write_size_hint(f->flight));
    if (flight_is_full(f->flight))
        fetch_pause(fetch, true);
    else if (flight_is_orphaned(f->flight))
        drop_if_worthless(f);
}

static void on_room(struct flight *flight, void *user)
{
    struct fill *f = user;
    (void)flight;
    if (f->fetch)
        fetch_pause(f->fetch, false);
}

static void on_orphaned(struct flight *flight, void *user)
{
    (void)flight;
    drop_if_worthless(user);
}

/* ---- ends ---- */

static void finish(struct fill *f)
{
    struct store_meta meta = {.site_id = (uint16_t)f->site->id};
    struct hls_playlist playlist;
    bool is_good = f->policy.status == 200 || f->policy.status == 206; /* some players ask for bytes=0- */
    bool is_playlist = f->content_class == CLASS_PLAYLIST && is_good &&
                       place_read_playlist(f, flight_body(f->flight), &playlist);
    struct policy_content content = content_of(f, is_playlist ? &playlist : NULL);
    policy_apply(&f->policy, &content, &f->site->config->freshness, &meta);
    if (flight_is_orphaned(f->flight) && !f->is_background) {
        struct ledger_flights *flights = ledger_flights(f->origin->options.ledger);
        counter_add(&flights->orphans_finished, 1);
        counter_add(&flights->orphans_finished_bytes, f->orphaned_bytes);
    }
    flight_finish(f->flight, &meta);
}

/* A body without a length of its own (chunks) may end before what it promised: that is a break too. */
static bool is_short(const struct fill *f)
{
    return f->has_head && f->rest.total_bytes != FLIGHT_SIZE_UNKNOWN && !f->asked.is_head &&
           fill_position(f) < f->rest.limit_bytes;
}

static void on_done(struct fetch *fetch, enum fetch_result result)
{
    struct fill *f = fetch_user(fetch);
    if (!f->flight) { /* a 304 has been booked and nothing follows it */
        fill_free(f);
        return;
    }
    book(f);
    f->fetch = NULL;
    if (result == FETCH_OK && is_short(f))
        result = FETCH_TRUNCATED;
    if (result == FETCH_OK) {
        if (release_held(f))
            finish(f);
        else
            flight_fail(f->flight, "origin_digest_mismatch", 502);
        fill_free(f);
        return;
    }
    if (attempt_is_origins_fault(result))
        attempt_report(f, false);
    fill_note_failure(f, fetch_result_name(result), fetch_result_status(result));
    if (f->has_head ? !attempt_rest(f) : !attempt_another(f))
        fill_fail(f);
}

const struct fetch_events fill_events = {on_informational, on_head, on_body, on_done};
const struct flight_filler fill_filler = {on_orphaned, on_room, NULL};
