/* SPDX-License-Identifier: Apache-2.0 */
/* Flights with one filler and readers on one worker or two: what each reader gets, what the store keeps, what
 * is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "cache/flight_filler.h"

#define SLICE_BYTES ((size_t)64 * 1024)
#define WORKERS     2

struct stage {
    char path[64];
    struct store *store;
    struct purge *purges;
    struct flight_table *table;
    struct loop *loops[WORKERS];
    struct mailbox *mailboxes[WORKERS];
    struct ledger *ledgers[WORKERS];
    char body[5 * SLICE_BYTES];
};

static int set_up(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    struct buf error;
    buf_init(&error, 4096);
    strcpy(s->path, "/tmp/flight-test-XXXXXX");
    assert_non_null(mkdtemp(s->path));
    struct store_disk disk = {s->path, 16u << 20};
    struct store_options options = {
        .disks = &disk, .disk_count = 1, .region_bytes = 1u << 20, .transient_bytes = 8u << 20};
    assert_int_equal(store_open(&options, &error, &s->store), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(loop_new(&s->loops[i]), 0);
        assert_int_equal(mailbox_new(s->loops[i], &s->mailboxes[i]), 0);
        s->ledgers[i] = ledger_new(1);
    }
    struct purge_options purges = {.store = s->store, .rules_max = 16};
    assert_int_equal(purge_open(&purges, &error, &s->purges), 0);
    struct flight_table_options table = {s->store, SLICE_BYTES, WORKERS, s->mailboxes, s->ledgers, s->purges};
    s->table = flight_table_new(&table);
    for (size_t i = 0; i < sizeof(s->body); i++)
        s->body[i] = (char)(i * 31 + i / 251);
    buf_fini(&error);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *s = *state;
    char command[128];
    for (size_t i = 0; i < WORKERS; i++)
        mailbox_free(s->mailboxes[i]);
    flight_table_free(s->table);
    purge_close(s->purges);
    store_close(s->store);
    uint64_t balance = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        struct ledger_flights *f = ledger_flights(s->ledgers[i]);
        balance += counter_read(&f->started) - counter_read(&f->ended);
        balance += counter_read(&f->readers_joined) - counter_read(&f->readers_left);
        ledger_free(s->ledgers[i]);
        loop_free(s->loops[i]);
    }
    assert_int_equal(balance, 0); /* nothing is in the air, nobody waits */
    snprintf(command, sizeof(command), "rm -rf %s", s->path);
    assert_int_equal(system(command), 0);
    free(s);
    return 0;
}

/* ---- actors ---- */

static void stop_when_told(struct flight_reader *reader)
{
    (void)reader;
}

static struct store_key key_of(struct stage *s, const char *text)
{
    struct store_key key = {.text = slice_of(text)};
    key.hash = hash_key(store_hash_secret(s->store), key.text);
    return key;
}

static void reader_init(struct flight_reader *r, unsigned worker)
{
    *r = (struct flight_reader){.on_progress = stop_when_told, .worker = worker};
    list_init(&r->node);
}

static struct store_meta meta_fresh(void)
{
    int64_t now_ms = clock_wall_ms();
    return (struct store_meta){.generated_at_ms = now_ms, .fresh_until_ms = now_ms + 60000, .site_id = 1};
}

static struct flight_head head_of(uint64_t total)
{
    return (struct flight_head){.status = 200,
                                .stored = slice_of("200\r\nETag: \"a\"\r\n"),
                                .total_size_bytes = total,
                                .representation = 7};
}

static enum flight_joined join(struct stage *s, const struct store_key *key, struct flight_reader *r,
                               struct flight **ret_flight, struct store_object *ret_object)
{
    struct flight_want want = {.key = key, .limit_bytes = FLIGHT_NO_LIMIT, .now_ms = clock_wall_ms()};
    return flight_join(s->table, &want, key, r, r->worker, ret_flight, ret_object);
}

/* Reads what the flight has from `position` on, comparing; returns where it stopped and why. */
static uint64_t read_on(struct stage *s, struct flight_reader *r, uint64_t position,
                        enum flight_state *ret_state)
{
    struct span span;
    while ((*ret_state = flight_look(r, position, 0, &span)) == FLIGHT_BYTES) {
        assert_memory_equal(span.data, s->body + position, span.size);
        position += span.size;
    }
    return position;
}

static void assert_stored(struct stage *s, const struct store_key *key, uint64_t offset, uint64_t size)
{
    struct store_object o;
    assert_true(store_lookup(s->store, key, &o));
    assert_int_equal(o.body_size_bytes, size);
    assert_memory_equal(o.body, s->body + offset, size);
    store_release(&o);
}

static void assert_slice_stored(struct stage *s, const struct store_key *key, uint64_t index, uint64_t size)
{
    struct buf text;
    struct store_key slice_key;
    buf_init(&text, STORE_KEY_TEXT_MAX);
    assert_true(flight_slice_key(s->table, key->text, 7, index, &text, &slice_key));
    assert_stored(s, &slice_key, index * SLICE_BYTES, size);
    buf_fini(&text);
}

/* ---- stories ---- */

static void one_leads_others_follow_and_the_store_keeps_it(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/a.ts");
    struct flight_reader first, second, late;
    struct flight *f, *same;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(1000);
    enum flight_state st;
    reader_init(&first, 0);
    reader_init(&second, 1);
    reader_init(&late, 1);
    assert_int_equal(join(s, &key, &first, &f, &o), FLIGHT_LEADING);
    assert_int_equal(join(s, &key, &second, &same, &o), FLIGHT_FOLLOWING);
    assert_ptr_equal(f, same);
    assert_null(flight_head(&second, &st));
    assert_int_equal(st, FLIGHT_WAIT);
    assert_int_equal(flight_set_head(f, &head, true, 0, 1000, &meta), 0);
    assert_non_null(flight_head(&second, &st));
    assert_int_equal(flight_write(f, s->body, 400), 0);
    assert_int_equal(read_on(s, &second, 0, &st), 400);
    assert_int_equal(st, FLIGHT_WAIT);
    assert_int_equal(join(s, &key, &late, &same, &o), FLIGHT_FOLLOWING);
    assert_int_equal(flight_write(f, s->body + 400, 600), 0);
    assert_int_equal(read_on(s, &late, 0, &st), 1000);
    assert_int_equal(st, FLIGHT_WAIT); /* all bytes, but the filler has not said that it is whole */
    flight_finish(f, &meta);
    assert_int_equal(read_on(s, &first, 0, &st), 1000);
    assert_int_equal(st, FLIGHT_END);
    flight_leave(&first);
    flight_leave(&second);
    flight_leave(&late);
    assert_stored(s, &key, 0, 1000);
    reader_init(&first, 0);
    assert_int_equal(join(s, &key, &first, &f, &o), FLIGHT_STORED);
    store_release(&o);
}

static void a_large_body_is_stored_slice_by_slice(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/large.mp4");
    struct flight_reader reader;
    struct flight *f;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    uint64_t total = 4 * SLICE_BYTES + 5;
    struct flight_head head = head_of(total);
    enum flight_state st;
    uint64_t position = 0;
    reader_init(&reader, 0);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(flight_set_head(f, &head, true, 0, total, &meta), 0);
    assert_true(store_lookup(s->store, &key, &o)); /* the head is there before the body */
    assert_int_equal(o.meta.flags & FLIGHT_META_SLICED, FLIGHT_META_SLICED);
    assert_int_equal(o.meta.total_size_bytes, total);
    store_release(&o);
    for (uint64_t at = 0; at < total;) {
        size_t part = size_min(50000, total - at);
        assert_int_equal(flight_write(f, s->body + at, part), 0);
        at += part;
        position = read_on(s, &reader, position, &st);
    }
    flight_finish(f, &meta);
    assert_int_equal(read_on(s, &reader, position, &st), total);
    assert_int_equal(st, FLIGHT_END);
    assert_int_equal(read_on(s, &reader, 0, &st), 0); /* let go of: it stands in the store */
    assert_int_equal(st, FLIGHT_ELSEWHERE);
    flight_leave(&reader);
    for (uint64_t i = 0; i < 4; i++)
        assert_slice_stored(s, &key, i, SLICE_BYTES);
    assert_slice_stored(s, &key, 4, 5);
}

static void write_unsized(struct stage *s, const char *name, uint64_t total)
{
    struct store_key key = key_of(s, name);
    struct flight_reader reader;
    struct flight *f;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(FLIGHT_SIZE_UNKNOWN);
    enum flight_state st;
    uint64_t position = 0;
    reader_init(&reader, 1);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(flight_set_head(f, &head, true, 0, FLIGHT_NO_LIMIT, &meta), 0);
    for (uint64_t at = 0; at < total;) {
        size_t part = size_min(10007, total - at);
        assert_int_equal(flight_write(f, s->body + at, part), 0);
        at += part;
        position = read_on(s, &reader, position, &st);
        assert_int_equal(position, at);
        assert_int_equal(st, FLIGHT_WAIT);
    }
    flight_finish(f, &meta);
    assert_int_equal(flight_total_size(&reader), total);
    assert_int_equal(read_on(s, &reader, position, &st), total);
    assert_int_equal(st, FLIGHT_END);
    flight_leave(&reader);
    if (total <= SLICE_BYTES) {
        assert_stored(s, &key, 0, total);
        return;
    }
    assert_true(store_lookup(s->store, &key, &o));
    assert_int_equal(o.meta.total_size_bytes, total);
    store_release(&o);
    for (uint64_t i = 0; i * SLICE_BYTES < total; i++)
        assert_slice_stored(s, &key, i, size_min(SLICE_BYTES, total - i * SLICE_BYTES));
}

static void bodies_of_unknown_length_are_stored_whatever_they_become(void **state)
{
    struct stage *s = *state;
    static const uint64_t sizes[] = {
        0, 1, 1000, FLIGHT_UNSIZED_PIECE, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES, 3 * SLICE_BYTES + 9};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char name[64];
        snprintf(name, sizeof(name), "site/unsized-%zu", i);
        write_unsized(s, name, sizes[i]);
    }
}

static void a_broken_fill_fails_its_readers_and_leaves_nothing(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/broken.ts");
    struct flight_reader reader;
    struct flight *f;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(1000);
    enum flight_state st;
    unsigned status;
    reader_init(&reader, 0);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(flight_set_head(f, &head, true, 0, 1000, &meta), 0);
    assert_int_equal(flight_write(f, s->body, 999), 0);
    flight_fail(f, "origin_body_truncated", 502);
    assert_int_equal(read_on(s, &reader, 0, &st), 999);
    assert_int_equal(st, FLIGHT_FAILED);
    assert_string_equal(flight_failure(&reader, &status), "origin_body_truncated");
    assert_int_equal(status, 502);
    flight_leave(&reader);
    assert_false(store_lookup(s->store, &key, &o));
}

static void more_than_was_promised_is_refused(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/long.ts");
    struct flight_reader reader;
    struct flight *f;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(10);
    reader_init(&reader, 0);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(flight_set_head(f, &head, true, 0, 10, &meta), 0);
    assert_true(flight_write(f, s->body, 11) < 0);
    flight_fail(f, "origin_bad_response", 502);
    flight_leave(&reader);
}

static void a_private_response_is_the_leaders_alone(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/private");
    struct flight_reader leader, follower;
    struct flight *f, *same;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(1000);
    struct span span;
    enum flight_state st;
    head.is_private = true;
    reader_init(&leader, 0);
    reader_init(&follower, 1);
    assert_int_equal(join(s, &key, &leader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(join(s, &key, &follower, &same, &o), FLIGHT_FOLLOWING);
    assert_int_equal(flight_set_head(f, &head, true, 0, 1000, &meta), 0);
    assert_null(flight_head(&follower, &st));
    assert_int_equal(st, FLIGHT_RELEASED);
    flight_leave(&follower);
    assert_int_equal(flight_write(f, s->body, 1000), 0);
    assert_int_equal(flight_look(&leader, 0, 0, &span), FLIGHT_BYTES);
    assert_memory_equal(span.data, s->body, 1000);
    flight_consumed(&leader, 1000);
    flight_finish(f, &meta);
    assert_int_equal(flight_look(&leader, 1000, 0, &span), FLIGHT_END);
    flight_leave(&leader);
    assert_false(store_lookup(s->store, &key, &o));
    reader_init(&follower, 1);
    assert_int_equal(join(s, &key, &follower, &f, &o), FLIGHT_LEADING); /* nobody finds a private flight */
    flight_fail(f, "test", 502);
    flight_leave(&follower);
}

static void a_reader_far_ahead_asks_for_itself(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/seek.mp4");
    struct flight_reader start, seeker;
    struct flight *f, *other;
    struct store_object o;
    reader_init(&start, 0);
    reader_init(&seeker, 1);
    assert_int_equal(join(s, &key, &start, &f, &o), FLIGHT_LEADING);
    struct flight_want want = {.key = &key,
                               .first_bytes = 10 * SLICE_BYTES + 3,
                               .limit_bytes = 10 * SLICE_BYTES + 9,
                               .ranged = true,
                               .now_ms = clock_wall_ms()};
    assert_int_equal(flight_join(s->table, &want, &key, &seeker, 1, &other, &o), FLIGHT_LEADING);
    bool is_ranged;
    uint64_t first, limit;
    flight_range(other, &is_ranged, &first, &limit);
    assert_true(is_ranged);
    assert_int_equal(first, 10 * SLICE_BYTES); /* whole slices are asked for */
    assert_int_equal(limit, 11 * SLICE_BYTES);
    flight_fail(f, "test", 502);
    flight_fail(other, "test", 502);
    flight_leave(&start);
    flight_leave(&seeker);
}

static void the_last_to_leave_tells_the_filler(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/orphan.ts");
    struct flight_reader reader;
    struct flight *f;
    struct store_object o;
    reader_init(&reader, 1);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING);
    assert_false(flight_is_orphaned(f));
    assert_false(flight_drop(f)); /* somebody reads it */
    flight_leave(&reader);
    assert_true(flight_is_orphaned(f));
    assert_true(flight_drop(f));
    assert_int_equal(counter_read(&ledger_flights(s->ledgers[0])->dropped) +
                         counter_read(&ledger_flights(s->ledgers[1])->dropped),
                     1);
    assert_int_equal(join(s, &key, &reader, &f, &o), FLIGHT_LEADING); /* the dropped one is not found */
    flight_leave(&reader);
    assert_true(flight_drop(f));
}

/* ---- two threads ---- */

struct follower {
    struct stage *stage;
    struct flight_reader reader;
    uint64_t position;
    enum flight_state state;
    struct loop *loop;
};

static void on_follow(struct flight_reader *reader)
{
    struct follower *f = container_of(reader, struct follower, reader);
    f->position = read_on(f->stage, reader, f->position, &f->state);
    if (f->state == FLIGHT_END) {
        flight_leave(reader);
        loop_stop(f->loop);
    }
}

static void *follow(void *user)
{
    struct follower *f = user;
    loop_run(f->loop);
    return NULL;
}

static void a_reader_on_another_worker_gets_every_byte(void **state)
{
    struct stage *s = *state;
    struct store_key key = key_of(s, "site/threads.mp4");
    struct flight_reader leader;
    struct flight *f;
    struct store_object o;
    struct store_meta meta = meta_fresh();
    struct follower follower = {.stage = s, .loop = s->loops[1]};
    struct flight_head head = head_of(sizeof(s->body));
    pthread_t thread;
    reader_init(&leader, 0);
    reader_init(&follower.reader, 1);
    follower.reader.on_progress = on_follow;
    assert_int_equal(join(s, &key, &leader, &f, &o), FLIGHT_LEADING);
    assert_int_equal(join(s, &key, &follower.reader, &f, &o), FLIGHT_FOLLOWING);
    assert_int_equal(pthread_create(&thread, NULL, follow, &follower), 0);
    assert_int_equal(flight_set_head(f, &head, false, 0, sizeof(s->body), &meta), 0);
    for (size_t at = 0; at < sizeof(s->body); at += 1024)
        assert_int_equal(flight_write(f, s->body + at, 1024), 0);
    flight_finish(f, &meta);
    pthread_join(thread, NULL);
    assert_int_equal(follower.position, sizeof(s->body));
    flight_leave(&leader);
}

/* Who joined before the flight moved is sent away, but for the leader; who joins where it is now is not. */
static void a_flight_that_moves_takes_its_leader_along(void **state)
{
    struct stage *s = *state;
    struct flight_reader leader, follower, late;
    struct flight *flight, *other;
    struct store_object object;
    enum flight_state now;
    struct store_key key = key_of(s, "site/a"), variant = key_of(s, "site/a vary 1");
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(5);
    reader_init(&leader, 0);
    reader_init(&follower, 1);
    reader_init(&late, 0);
    assert_int_equal(join(s, &key, &leader, &flight, &object), FLIGHT_LEADING);
    assert_int_equal(join(s, &key, &follower, &other, &object), FLIGHT_FOLLOWING);
    assert_true(flight_move(flight, &variant));
    assert_null(flight_head(&follower, &now));
    assert_int_equal(now, FLIGHT_WAIT); /* not before there is a head */
    assert_int_equal(flight_set_head(flight, &head, true, 0, 5, &meta), 0);
    assert_non_null(flight_head(&leader, &now));
    assert_null(flight_head(&follower, &now));
    assert_int_equal(now, FLIGHT_MOVED);
    flight_leave(&follower);
    assert_int_equal(join(s, &variant, &late, &other, &object), FLIGHT_FOLLOWING);
    assert_ptr_equal(other, flight);
    assert_non_null(flight_head(&late, &now));
    assert_int_equal(flight_write(flight, s->body, 5), 0);
    flight_finish(flight, &meta);
    assert_false(store_lookup(s->store, &key, &object));
    assert_true(store_lookup(s->store, &variant, &object));
    store_release(&object);
    flight_leave(&leader);
    flight_leave(&late);
}

/* What is doomed is read to its end by those who do, found by nobody, and not kept; nor are its variants. */
static void a_doomed_flight_is_not_kept(void **state)
{
    static const char *const texts[] = {"site/a", "site/a vary 1", "site/ab"};
    struct stage *s = *state;
    struct flight_reader readers[3], late;
    struct flight *flights[3], *other;
    struct store_object object;
    struct store_meta meta = meta_fresh();
    struct flight_head head = head_of(5);
    for (size_t i = 0; i < 3; i++) {
        struct store_key key = key_of(s, texts[i]);
        reader_init(&readers[i], 0);
        assert_int_equal(join(s, &key, &readers[i], &flights[i], &object), FLIGHT_LEADING);
        assert_int_equal(flight_set_head(flights[i], &head, true, 0, 5, &meta), 0);
    }
    flight_doom(s->table, slice_of("site/a"));
    struct store_key key = key_of(s, "site/a");
    reader_init(&late, 0);
    assert_int_equal(join(s, &key, &late, &other, &object), FLIGHT_LEADING);
    flight_fail(other, "enough", 502);
    flight_leave(&late);
    for (size_t i = 0; i < 3; i++) {
        struct span span;
        struct store_key each = key_of(s, texts[i]);
        assert_int_equal(flight_write(flights[i], s->body, 5), 0);
        flight_finish(flights[i], &meta);
        assert_int_equal(flight_look(&readers[i], 0, 0, &span), FLIGHT_BYTES);
        assert_int_equal(span.size, 5);
        flight_leave(&readers[i]);
        bool is_kept = store_lookup(s->store, &each, &object);
        assert_int_equal(is_kept, i == 2); /* another URL's */
        if (is_kept)
            store_release(&object);
    }
}

static void purge_url(struct stage *s, const char *text, bool is_soft)
{
    struct purge_order order = {PURGE_URL, is_soft, slice_of("site"), slice_of(text)};
    struct purge_done done;
    assert_int_equal(purge_add(s->purges, &order, 1, clock_wall_ms(), &done), 0);
}

static enum purge_effect effect_on(struct stage *s, const struct store_key *key)
{
    struct store_object o;
    enum purge_effect effect;
    if (!purge_lookup(s->purges, s->store, key, clock_wall_ms(), &o, &effect))
        return PURGE_HARD;
    store_release(&o);
    return effect;
}

/* A purge between the lookup of what is stale and the flight that asks for it: whoever comes then does not
 * join that flight, and its 304 makes nothing good again. */
static void what_was_purged_is_not_revalidated(void **state)
{
    struct stage *s = *state;
    for (int is_soft = 0; is_soft < 2; is_soft++) {
        struct store_key key = key_of(s, "site/a");
        struct flight_want want = {.key = &key, .limit_bytes = FLIGHT_NO_LIMIT, .now_ms = clock_wall_ms()};
        struct store_meta meta = meta_fresh();
        struct flight_head head = head_of(5);
        struct flight_reader first, before, after;
        struct flight *flight, *other;
        struct store_object stale, object;
        enum purge_effect effect;
        reader_init(&first, 0);
        reader_init(&before, 0);
        reader_init(&after, 0);
        assert_int_equal(join(s, &key, &first, &flight, &object), FLIGHT_LEADING);
        assert_int_equal(flight_set_head(flight, &head, true, 0, 5, &meta), 0);
        assert_int_equal(flight_write(flight, s->body, 5), 0);
        flight_finish(flight, &meta);
        flight_leave(&first);
        want.validate = true;
        want.generation = purge_now(s->purges);
        assert_true(purge_lookup(s->purges, s->store, &key, want.now_ms, &stale, &effect));
        want.stale = &stale;
        purge_url(s, "site/a", is_soft);
        assert_int_equal(flight_join(s->table, &want, &key, &before, 0, &flight, &object), FLIGHT_LEADING);
        want.stale = NULL;
        assert_int_equal(flight_join(s->table, &want, &key, &after, 0, &other, &object), FLIGHT_LEADING);
        flight_revalidate(flight, &meta, (struct slice){NULL, 0});
        flight_revalidated_object(&before, &object); /* who had begun may have it */
        assert_int_equal(object.body_size_bytes, 5);
        store_release(&object);
        flight_leave(&before);
        assert_int_equal(effect_on(s, &key), is_soft ? PURGE_SOFT : PURGE_HARD);
        flight_fail(other, "enough", 502);
        flight_leave(&after);
        store_release(&stale);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_leads_others_follow_and_the_store_keeps_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_body_is_stored_slice_by_slice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bodies_of_unknown_length_are_stored_whatever_they_become, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_broken_fill_fails_its_readers_and_leaves_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_than_was_promised_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_private_response_is_the_leaders_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_far_ahead_asks_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_to_leave_tells_the_filler, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_on_another_worker_gets_every_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flight_that_moves_takes_its_leader_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_doomed_flight_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_purged_is_not_revalidated, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
