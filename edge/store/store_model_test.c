/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations against a plain table of what must be there. An object may be missed once its region has
 * been reclaimed, never before; one that is guaranteed to be kept, only after a region went in a hurry. What
 * is found is always the last that was stored, and never what was removed. References taken along the way are
 * checked to the byte when they are given back, whatever happened since.
 *
 * Prints its seed; SHOREBREAK_SEED runs one again, SHOREBREAK_ROUNDS makes it longer.
 */
#include "store/store_room_fixture.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/store_private.h"

#define REGIONS        13u
#define KEYS           300u
#define HELD           3u
#define WRITERS        3u
#define BODY_MAX       30000u
#define ROUNDS_DEFAULT 8000u
#define SITES          20000u

/* What stands under a key, as far as the model knows. */
struct entry {
    bool is_there;
    unsigned seed;
    size_t size;
    struct store_meta meta;
    struct arena_place place; /* where it was found last; sequence 0: it may be gone already */
    uint64_t hurried_before;  /* model_hurried when its room was taken */
};

struct held {
    struct store_object object;
    unsigned seed;
    size_t size;
};

struct writing {
    struct store_writer *writer;
    unsigned seed;
    size_t size;
    uint64_t hurried_before;
};

struct model {
    struct fixture *f;
    struct entry entries[KEYS];
    struct held held[HELD];
    struct writing writings[WRITERS];
    uint64_t random;
    uint64_t found, lost;
    uint64_t hurried_earlier, kept_earlier; /* before the store was opened last */
    bool has_guarantees;                    /* one object in four is written again when its region goes */
    unsigned next_seed;
};

/* Regions that went without a look at what is in them, since the beginning. */
static uint64_t model_hurried(struct model *m)
{
    return m->hurried_earlier + fixture_stats(m->f).hurried_regions;
}

static unsigned model_random(struct model *m, unsigned below)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->random >> 33) % below;
}

static size_t random_size(struct model *m)
{
    return model_random(m, 2) ? model_random(m, 3000) : model_random(m, BODY_MAX);
}

/* Asked after a miss. Where its region is still there now, it was then. */
static bool must_be_there(struct model *m, const struct entry *e)
{
    unsigned site = e->meta.site_id;
    if (!e->is_there)
        return false;
    if (m->has_guarantees && site > 0 && site % 4 == 0 && model_hurried(m) == e->hurried_before)
        return true;
    return e->place.sequence != 0 && arena_has(m->f->store->disks[0]->arena, &e->place);
}

static void note_place(struct model *m, struct entry *e, const struct store_object *o)
{
    uint64_t offset_bytes = (uint64_t)(o->key_text.data - o->region->map);
    e->place = arena_place_of(m->f->store->disks[0]->arena, o->region, offset_bytes);
}

static void check(struct model *m, unsigned number)
{
    struct entry *e = &m->entries[number];
    struct store_object o;
    if (!fixture_get(m->f, number, &o)) {
        assert_false(must_be_there(m, e));
        m->lost += e->is_there;
        e->is_there = false;
        return;
    }
    assert_true(e->is_there);
    assert_true(fixture_is(&o, e->seed, e->size));
    assert_true(fixture_meta_equal(&o.meta, &e->meta));
    note_place(m, e, &o);
    store_release(&o);
    m->found++;
}

static void model_begin(struct model *m)
{
    struct writing *w = &m->writings[model_random(m, WRITERS)];
    if (w->writer)
        return;
    if (m->has_guarantees)
        fixture_wait_for_room(m->f);
    *w = (struct writing){.seed = m->next_seed++, .size = random_size(m), .hurried_before = model_hurried(m)};
    size_t slack = model_random(m, 2) ? model_random(m, 5000) : 0;
    struct store_reservation want = {.head_size_max = 200, .body_size_bytes = w->size + slack};
    assert_int_equal(store_reserve(m->f->store, &want, &w->writer), 0);
    assert_true(store_writer_is_kept(w->writer));
    assert_int_equal(fixture_write(w->writer, w->seed, w->size), 0);
}

static void model_seal(struct model *m)
{
    struct writing *w = &m->writings[model_random(m, WRITERS)];
    if (!w->writer)
        return;
    unsigned number = model_random(m, KEYS);
    char text[32];
    struct store_key key = fixture_key(m->f, number);
    struct entry e = {true, w->seed, w->size, fixture_meta(w->seed), {.sequence = 0}, w->hurried_before};
    struct store_object o;
    assert_int_equal(store_seal(w->writer, &key, fixture_head(w->seed, text), &e.meta), 0);
    if (fixture_get(m->f, number, &o)) { /* mostly: its region may have been waiting for this writer to go */
        note_place(m, &e, &o);
        store_release(&o);
    }
    m->entries[number] = e;
    w->writer = NULL;
}

static void model_abandon(struct model *m)
{
    struct writing *w = &m->writings[model_random(m, WRITERS)];
    store_abandon(w->writer);
    w->writer = NULL;
}

static void model_remove(struct model *m)
{
    unsigned number = model_random(m, KEYS);
    struct entry *e = &m->entries[number];
    struct store_key key = fixture_key(m->f, number);
    bool removed = store_remove(m->f->store, &key);
    assert_true(removed ? e->is_there : !must_be_there(m, e));
    e->is_there = false;
}

static void model_refresh(struct model *m)
{
    unsigned number = model_random(m, KEYS);
    struct entry *e = &m->entries[number];
    struct store_object o;
    if (!fixture_get(m->f, number, &o))
        return;
    struct store_meta meta = fixture_meta(m->next_seed++);
    struct store_key key = fixture_key(m->f, number);
    if (store_refresh(m->f->store, &key, &o, &meta))
        e->meta = meta;
    else
        assert_false(must_be_there(m, e)); /* reclaimed since the line above */
    store_release(&o);
}

static void held_give_back(struct held *h)
{
    if (h->object.region)
        assert_true(fixture_is(&h->object, h->seed, h->size));
    store_release(&h->object);
}

static void model_hold(struct model *m)
{
    unsigned number = model_random(m, KEYS);
    struct held *h = &m->held[model_random(m, HELD)];
    held_give_back(h);
    if (fixture_get(m->f, number, &h->object)) {
        h->seed = m->entries[number].seed;
        h->size = m->entries[number].size;
    }
}

static void model_let_go(struct model *m)
{
    for (unsigned i = 0; i < HELD; i++)
        held_give_back(&m->held[i]);
    for (unsigned i = 0; i < WRITERS; i++) {
        store_abandon(m->writings[i].writer);
        m->writings[i].writer = NULL;
    }
}

static void check_all(struct model *m)
{
    for (unsigned i = 0; i < KEYS; i++)
        check(m, i);
}

static void model_reopen(struct model *m)
{
    check_all(m);
    model_let_go(m);
    m->hurried_earlier = model_hurried(m);
    m->kept_earlier += fixture_stats(m->f).kept_bytes;
    fixture_reopen(m->f);
    check_all(m);
}

static void model_step(struct model *m)
{
    unsigned what = model_random(m, 1000);
    if (what < 300)
        model_begin(m);
    else if (what < 550)
        model_seal(m);
    else if (what < 600)
        model_abandon(m);
    else if (what < 640)
        model_remove(m);
    else if (what < 700)
        model_refresh(m);
    else if (what < 760)
        model_hold(m);
    else if (what < 765)
        model_reopen(m);
    else
        check(m, model_random(m, KEYS));
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void run(bool has_guarantees)
{
    struct fixture f;
    struct store_site *sites = calloc(SITES, sizeof(*sites));
    assert_non_null(sites);
    fixture_name_sites(sites, SITES);
    for (unsigned i = 0; i < SITES && has_guarantees; i++) /* an object's site is its seed */
        sites[i].guaranteed_bytes = (i + 1) % 4 == 0 ? BODY_MAX : 0;
    uint64_t seed = number_from("SHOREBREAK_SEED", clock_monotonic_us());
    uint64_t rounds = number_from("SHOREBREAK_ROUNDS", ROUNDS_DEFAULT);
    printf("SHOREBREAK_SEED=%" PRIu64 "\n", seed);
    fixture_init(&f);
    f.disk.size_bytes = REGIONS * FIXTURE_REGION_BYTES;
    f.options.site_count = SITES;
    f.options.sites = sites;
    log_set_level(LOG_ERROR); /* the shares are more than there is */
    assert_int_equal(fixture_open(&f), 0);
    struct model m = {.f = &f, .random = seed, .has_guarantees = has_guarantees};
    for (uint64_t i = 0; i < rounds; i++)
        model_step(&m);
    printf("%" PRIu64 " found, %" PRIu64 " lost to reclaim\n", m.found, m.lost);
    assert_true(m.found > rounds / 10);
    assert_true(m.lost > 0 || rounds < ROUNDS_DEFAULT);
    model_let_go(&m);
    assert_int_equal(fixture_stats(&f).regions_held, 0);
    assert_int_equal(fixture_stats(&f).io_errors, 0);
    printf("%" PRIu64 " bytes written again, %" PRIu64 " regions went in a hurry\n",
           m.kept_earlier + fixture_stats(&f).kept_bytes, model_hurried(&m));
    assert_true(has_guarantees == (m.kept_earlier + fixture_stats(&f).kept_bytes > 0) ||
                rounds < ROUNDS_DEFAULT);
    fixture_fini(&f);
    free(sites);
}

static void test_random_operations(void **state)
{
    (void)state;
    run(false);
}

static void test_random_operations_with_guarantees(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_random_operations_with_guarantees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
