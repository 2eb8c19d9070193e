/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: an arena in a folder of its own, and objects whose bytes follow from a
 * number. */
#ifndef STORE_STORE_FIXTURE_H
#define STORE_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fault.h"
#include "store/store.h"
#include "store/store_fixture_data.h"

#define FIXTURE_REGION_BYTES ((uint64_t)256 * 1024)
#define FIXTURE_REGIONS      ((uint64_t)8)

struct fixture {
    char path[128];
    struct store_disk disk;
    struct store_options options;
    struct store *store;
    struct buf error;
    char key_text[64];
};

/* Names for sites: "s1" is the first. For the process. */
static inline void fixture_name_sites(struct store_site *sites, uint32_t count)
{
    static char names[UINT16_MAX][12];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "s%u", (unsigned)i + 1);
        sites[i].name = names[i];
    }
}

static inline int fixture_open(struct fixture *f)
{
    buf_clear(&f->error);
    return store_open(&f->options, &f->error, &f->store);
}

static inline void fixture_reopen(struct fixture *f)
{
    store_close(f->store);
    assert_int_equal(fixture_open(f), 0);
}

static inline void fixture_init(struct fixture *f)
{
    const char *folder = getenv("TMPDIR");
    *f = (struct fixture){.store = NULL};
    snprintf(f->path, sizeof(f->path), "%.100s/store-test-XXXXXX", folder ? folder : "/tmp");
    assert_non_null(mkdtemp(f->path));
    f->disk = (struct store_disk){f->path, FIXTURE_REGIONS * FIXTURE_REGION_BYTES};
    f->options = (struct store_options){.disks = &f->disk,
                                        .disk_count = 1,
                                        .region_bytes = FIXTURE_REGION_BYTES,
                                        .transient_bytes = 1024 * 1024,
                                        .object_bytes_avg = 1024,
                                        .eviction = STORE_EVICT_FIFO};
    buf_init(&f->error, 1000);
}

static inline void fixture_fini(struct fixture *f)
{
    char command[160];
    if (f->store)
        store_close(f->store);
    buf_fini(&f->error);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
    assert_int_equal(system(command), 0);
}

/* For cmocka: *state is an open fixture. */
static inline int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fixture_init(f);
    assert_int_equal(fixture_open(f), 0);
    *state = f;
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    fault_disarm_all();
    fixture_fini(*state);
    free(*state);
    return 0;
}

/* Valid until the next call. */
static inline struct store_key fixture_key(struct fixture *f, unsigned number)
{
    int size = snprintf(f->key_text, sizeof(f->key_text), "https://site/object-%u", number);
    struct slice text = {f->key_text, (size_t)size};
    return (struct store_key){hash_key(store_hash_secret(f->store), text), text};
}

/* Writes the body made from `seed` in two pieces. */
static inline int fixture_write(struct store_writer *w, unsigned seed, size_t size)
{
    char *data = malloc(size + 1);
    assert_non_null(data);
    fixture_fill(data, size, seed);
    int rv = store_write(w, data, size / 3);
    if (rv == 0)
        rv = store_write(w, data + size / 3, size - size / 3);
    free(data);
    return rv;
}

/* Stores the object made from `seed` under the key of `number`. */
static inline int fixture_put(struct fixture *f, unsigned number, unsigned seed, size_t size)
{
    struct store_reservation want = {
        .head_size_max = 200, .body_size_bytes = size, .hash = fixture_key(f, number).hash};
    struct store_writer *w;
    int rv = store_reserve(f->store, &want, &w);
    if (rv < 0)
        return rv;
    rv = fixture_write(w, seed, size);
    if (rv < 0) {
        store_abandon(w);
        return rv;
    }
    char text[32];
    struct store_key key = fixture_key(f, number);
    struct store_meta meta = fixture_meta(seed);
    bool is_kept = store_writer_is_kept(w);
    rv = store_seal(w, &key, fixture_head(seed, text), &meta);
    return rv < 0 || is_kept ? rv : 1;
}

/* Body by the map and by the file, head, sizes. */
static inline bool fixture_is(const struct store_object *o, unsigned seed, size_t size)
{
    char text[32];
    struct slice head = fixture_head(seed, text);
    char *expected = malloc(size + 1), *read = malloc(size + 1);
    assert_true(expected && read);
    fixture_fill(expected, size, seed);
    bool is_same = o->body_size_bytes == size && memcmp(o->body, expected, size) == 0 &&
                   pread(o->fd, read, size, (off_t)o->body_offset_bytes) == (ssize_t)size &&
                   memcmp(read, expected, size) == 0 && slice_equal(o->head, head);
    free(expected);
    free(read);
    return is_same;
}

static inline bool fixture_get(struct fixture *f, unsigned number, struct store_object *ret_object)
{
    struct store_key key = fixture_key(f, number);
    return store_lookup(f->store, &key, ret_object);
}

/* The object made from `seed` is found under the key of `number`, as it was stored. */
static inline void fixture_assert_found(struct fixture *f, unsigned number, unsigned seed, size_t size)
{
    struct store_object o;
    struct store_meta meta = fixture_meta(seed);
    assert_true(fixture_get(f, number, &o));
    assert_true(fixture_is(&o, seed, size));
    assert_true(fixture_meta_equal(&o.meta, &meta));
    assert_true(slice_equal(o.key_text, slice_of(f->key_text)));
    store_release(&o);
}

static inline void fixture_assert_missed(struct fixture *f, unsigned number)
{
    struct store_object o;
    assert_false(fixture_get(f, number, &o));
}

static inline struct store_stats fixture_stats(struct fixture *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats;
}

/* Puts filler until `regions` more regions have been reclaimed. */
static inline void fixture_turn_over(struct fixture *f, uint64_t regions)
{
    uint64_t until = fixture_stats(f).reclaimed_regions + regions;
    for (unsigned i = 0; fixture_stats(f).reclaimed_regions < until; i++)
        assert_int_equal(fixture_put(f, 1000000 + i % 4, i, 50000), 0);
}

#endif
