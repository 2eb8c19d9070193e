/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power losses, by a fault layer that knows what was synced. The files of an arena are read twice: when
 * store_sync has returned, and later, when the power goes. Of what changed in between any part may have
 * reached the disk, sector by sector and in any order: old, new, torn in its middle, or garbage; a file made
 * since may be missing or hold zeros, a file unlinked since may be back. An arena made of such a mix is
 * opened as by another boot. What is found must be, to the byte, what stood under its key at the sync or
 * later; and what stood there at the sync, unchanged until the end, must be found, but for regions that the
 * opening reclaims because it needs a spare.
 *
 * Prints its seed; SHOREBREAK_SEED runs one again, SHOREBREAK_ROUNDS makes it longer.
 */
#include "store/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/store_private.h"

#define KEYS             80u
#define WRITERS          3u
#define FILES_MAX        64u
#define VERSIONS_MAX     2000u
#define SECTOR           512u
#define ROUNDS_DEFAULT   40u
#define IMAGES_PER_ROUND 6u

/* ---- what stood under which key, and when ---- */

struct version {
    unsigned key, seed; /* seed 0: removed */
    size_t size;
};

struct history {
    struct version versions[VERSIONS_MAX];
    unsigned count, synced;            /* how many there were at the sync */
    struct arena_place required[KEYS]; /* where what must be found stands; sequence 0: it need not be */
};

static const struct version *current(const struct history *h, unsigned key, unsigned count)
{
    for (unsigned i = count; i-- > 0;)
        if (h->versions[i].key == key)
            return &h->versions[i];
    return NULL;
}

/* ---- files ---- */

struct file {
    char name[64];
    char *data;
    size_t size;
};

struct image {
    struct file files[FILES_MAX];
    unsigned count;
};

static void image_read(const char *path, struct image *ret_image)
{
    struct image image = {.count = 0};
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lock") == 0 || fd < 0) {
            close(fd); /* gone already: the arena's thread goes on */
            continue;
        }
        assert_true(image.count < FILES_MAX);
        struct file *file = &image.files[image.count++];
        snprintf(file->name, sizeof(file->name), "%.60s", entry->d_name);
        file->size = (size_t)lseek(fd, 0, SEEK_END);
        file->data = malloc(file->size + 1);
        assert_non_null(file->data);
        assert_int_equal(pread(fd, file->data, file->size, 0), file->size);
        close(fd);
    }
    closedir(dir);
    *ret_image = image;
}

static void image_free(struct image *image)
{
    for (unsigned i = 0; i < image->count; i++)
        free(image->files[i].data);
}

static const struct file *image_find(const struct image *image, const char *name)
{
    for (unsigned i = 0; i < image->count; i++)
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    return NULL;
}

/* ---- the fault layer ---- */

struct layer {
    uint64_t random;
    unsigned new_percent; /* of the sectors that changed, how many reached the disk */
};

static unsigned layer_random(struct layer *l, unsigned below)
{
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(l->random >> 33) % below;
}

/* `data` holds the old sector. */
static void mix_sector(struct layer *l, char *data, const char *fresh, size_t size, bool may_be_garbage)
{
    if (memcmp(data, fresh, size) == 0)
        return;
    unsigned what = layer_random(l, 100);
    if (what < 5)
        memcpy(data, fresh, layer_random(l, (unsigned)size)); /* torn */
    else if (what < 7 && may_be_garbage)
        for (size_t i = 0; i < size; i++) /* never of what was synced */
            data[i] = data[i] == fresh[i] ? data[i] : (char)layer_random(l, 256);
    else if (layer_random(l, 100) < l->new_percent)
        memcpy(data, fresh, size);
}

static void write_file(const char *folder, const char *name, const char *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* `old` NULL: made since, of zeros at first. */
static void mix_file(struct layer *l, const struct file *old, const struct file *fresh, const char *folder)
{
    bool is_region = strncmp(fresh->name, "region-", 7) == 0;
    char *data = calloc(1, fresh->size);
    assert_non_null(data);
    if (old && old->size == fresh->size) /* it may just have been made at the sync */
        memcpy(data, old->data, old->size);
    unsigned kind = layer_random(l, 4); /* all old, all new, or mixed */
    for (size_t at = 0; at < fresh->size && kind != 0; at += SECTOR)
        if (kind == 1)
            memcpy(data + at, fresh->data + at, SECTOR);
        else
            mix_sector(l, data + at, fresh->data + at, SECTOR, is_region);
    if (strcmp(fresh->name, "superblock") == 0) {
        struct superblock *sb = (struct superblock *)data;
        snprintf(sb->boot_id, sizeof(sb->boot_id), "another-boot");
    }
    write_file(folder, fresh->name, data, fresh->size);
    free(data);
}

static void mix(struct layer *l, const struct image *synced, const struct image *last, const char *folder)
{
    l->new_percent = layer_random(l, 101);
    for (unsigned i = 0; i < last->count; i++) {
        const struct file *old = image_find(synced, last->files[i].name);
        if (old || layer_random(l, 2))
            mix_file(l, old, &last->files[i], folder);
    }
    for (unsigned i = 0; i < synced->count; i++) {
        const struct file *old = &synced->files[i];
        if (!image_find(last, old->name) && layer_random(l, 2))
            write_file(folder, old->name, old->data, old->size);
    }
}

/* ---- operations ---- */

struct run {
    struct fixture f;
    struct layer layer;
    struct history history;
    struct store_writer *writers[WRITERS];
    unsigned next_seed;
    unsigned found, missed, required;
};

static void add_version(struct run *r, unsigned key, unsigned seed, size_t size)
{
    assert_true(r->history.count < VERSIONS_MAX);
    r->history.versions[r->history.count++] = (struct version){key, seed, size};
}

static void put(struct run *r)
{
    unsigned key = layer_random(&r->layer, KEYS), seed = ++r->next_seed;
    size_t size = layer_random(&r->layer, 4) ? layer_random(&r->layer, 6000) : layer_random(&r->layer, 70000);
    assert_int_equal(fixture_put(&r->f, key, seed, size), 0);
    add_version(r, key, seed, size);
}

static void take_away(struct run *r)
{
    unsigned key = layer_random(&r->layer, KEYS);
    struct store_key k = fixture_key(&r->f, key);
    if (store_remove(r->f.store, &k))
        add_version(r, key, 0, 0);
}

/* Fills that are under way for long: begun, written to, and given up. */
static void write_on(struct run *r)
{
    struct store_writer **w = &r->writers[layer_random(&r->layer, WRITERS)];
    struct store_reservation want = {.head_size_max = 100, .body_size_bytes = 20000};
    if (!*w)
        assert_int_equal(store_reserve(r->f.store, &want, w), 0);
    if (fixture_write(*w, 7, layer_random(&r->layer, 9000)) < 0 || layer_random(&r->layer, 3) == 0) {
        store_abandon(*w);
        *w = NULL;
    }
}

static void operate(struct run *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned what = layer_random(&r->layer, 10);
        if (what < 7)
            put(r);
        else if (what < 8)
            take_away(r);
        else
            write_on(r);
    }
}

/* ---- checking ---- */

static bool is_version(const struct store_object *o, const struct version *v)
{
    struct store_meta meta = fixture_meta(v->seed);
    return v->seed && fixture_is(o, v->seed, v->size) && fixture_meta_equal(&o->meta, &meta);
}

/* What stood under the key at the sync, or at any time since. */
static bool is_allowed(const struct history *h, unsigned key, const struct store_object *o)
{
    const struct version *at_sync = current(h, key, h->synced);
    if (at_sync && is_version(o, at_sync))
        return true;
    for (unsigned i = h->synced; i < h->count; i++)
        if (h->versions[i].key == key && is_version(o, &h->versions[i]))
            return true;
    return false;
}

/* Regions that are gone since the power went, of what must be found. */
struct gone {
    unsigned count;
    uint32_t sequences[KEYS];
};

static void gone_add(struct gone *g, uint32_t sequence)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->sequences[i] == sequence)
            return;
    g->sequences[g->count++] = sequence;
}

/* What must be found is missed only when its region was reclaimed: in this opening, or one of so many before.
 */
static void check(struct run *r, struct fixture *f, bool is_recovered, uint64_t reclaimed_before)
{
    struct gone gone = {.count = 0};
    for (unsigned key = 0; key < KEYS; key++) {
        const struct arena_place *place = &r->history.required[key];
        bool is_required = is_recovered && place->sequence != 0;
        struct store_object o;
        r->required += is_required;
        if (fixture_get(f, key, &o)) {
            assert_true(is_allowed(&r->history, key, &o));
            store_release(&o);
            r->found++;
            continue;
        }
        r->missed++;
        if (is_required) {
            assert_false(arena_has(f->store->disks[0]->arena, place));
            gone_add(&gone, place->sequence);
        }
    }
    assert_true(gone.count <= reclaimed_before + fixture_stats(f).reclaimed_regions);
}

/* Where each of them stands. */
static void note_places(struct run *r, struct arena_place ret_places[KEYS])
{
    struct arena *arena = r->f.store->disks[0]->arena;
    for (unsigned key = 0; key < KEYS; key++) {
        struct store_object o;
        ret_places[key] = (struct arena_place){.sequence = 0};
        if (!fixture_get(&r->f, key, &o))
            continue;
        ret_places[key] = arena_place_of(arena, o.region, (uint64_t)(o.key_text.data - o.region->map));
        store_release(&o);
    }
}

/* What stands where it stood at the sync already. */
static void note_what_must_be_found(struct run *r, const struct arena_place synced[KEYS])
{
    struct history *h = &r->history;
    note_places(r, h->required);
    for (unsigned key = 0; key < KEYS; key++) {
        struct arena_place *place = &h->required[key];
        if (place->sequence != synced[key].sequence || place->offset_bytes != synced[key].offset_bytes)
            place->sequence = 0;
    }
}

/* Returns how many regions were reclaimed while it was open. */
static uint64_t reopen(struct fixture *f)
{
    uint64_t reclaimed = fixture_stats(f).reclaimed_regions;
    fixture_reopen(f);
    return reclaimed;
}

static void open_after_power_loss(struct run *r, const struct image *synced, const struct image *last)
{
    struct fixture g;
    fixture_init(&g);
    g.disk.size_bytes = r->f.disk.size_bytes;
    mix(&r->layer, synced, last, g.path);
    assert_int_equal(fixture_open(&g), 0);
    check(r, &g, false, 0);
    uint64_t reclaimed = 0;
    if (layer_random(&r->layer, 3) == 0)
        reclaimed += reopen(&g); /* in the middle of it */
    keeper_recover(g.store->disks[0]->keeper);
    check(r, &g, true, reclaimed);
    reclaimed += reopen(&g);
    assert_int_equal(fixture_stats(&g).regions_pending, 0);
    check(r, &g, true, reclaimed);
    fixture_turn_over(&g, FIXTURE_REGIONS);
    fixture_fini(&g);
}

static void one_round(struct run *r)
{
    struct image synced, last;
    struct arena_place places[KEYS];
    fixture_init(&r->f);
    r->f.disk.size_bytes = 12 * FIXTURE_REGION_BYTES;
    r->f.options.sync_interval_ms = 3600 * 1000;
    assert_int_equal(fixture_open(&r->f), 0);
    r->history.count = 0;
    operate(r, layer_random(&r->layer, 200));
    assert_true(store_sync(r->f.store));
    r->history.synced = r->history.count;
    image_read(r->f.path, &synced);
    note_places(r, places);
    operate(r, layer_random(&r->layer, 3) ? layer_random(&r->layer, 20) : layer_random(&r->layer, 200));
    image_read(r->f.path, &last);
    note_what_must_be_found(r, places); /* after it: the arena's thread may have reclaimed more meanwhile */
    for (unsigned i = 0; i < IMAGES_PER_ROUND; i++)
        open_after_power_loss(r, &synced, &last);
    image_free(&synced);
    image_free(&last);
    for (unsigned i = 0; i < WRITERS; i++) {
        store_abandon(r->writers[i]);
        r->writers[i] = NULL;
    }
    fixture_fini(&r->f);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_power_losses(void **state)
{
    (void)state;
    uint64_t seed = number_from("SHOREBREAK_SEED", clock_monotonic_us());
    uint64_t rounds = number_from("SHOREBREAK_ROUNDS", ROUNDS_DEFAULT);
    printf("SHOREBREAK_SEED=%" PRIu64 "\n", seed);
    struct run *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->layer.random = seed;
    log_set_level(LOG_ERROR + 1);
    for (uint64_t i = 0; i < rounds; i++)
        one_round(r);
    log_set_level(LOG_INFO);
    printf("%u found, %u missed; %u had to be found\n", r->found, r->missed, r->required);
    assert_true(r->required > 0);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_losses),
    };
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0); /* the layer decides what is synced: no need to wait for a disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
