/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a store: opening them together, giving up those that fail, and choosing among the rest.
 *
 * All keep the same secret, so that a key has one hash, and an epoch that grows at each start and whenever
 * one of them is given up: who comes back with an old one was away while others were changed.
 */
#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "store/rendezvous.h"
#include "store/store_private.h"

const char *store_disk_state_name(enum store_disk_state state)
{
    static const char *const words[] = {[STORE_DISK_USED] = "used",
                                        [STORE_DISK_NOT_OPENED] = "not_opened",
                                        [STORE_DISK_ERRORS] = "errors",
                                        [STORE_DISK_HANGS] = "hangs"};
    REQUIRE((size_t)state < ARRAY_COUNT(words));
    return words[state];
}

/* ---- which disk ---- */

size_t store_owner(const struct store *s, struct hash128 hash)
{
    struct rendezvous_seat seats[STORE_DISKS_MAX];
    if (s->disk_count == 1)
        return store_disk_at(s, 0) ? 0 : 1;
    for (size_t i = 0; i < s->disk_count; i++)
        seats[i] =
            (struct rendezvous_seat){s->seats[i].name, store_disk_at(s, i) ? s->seats[i].size_bytes : 0};
    return rendezvous_choose(hash, seats, s->disk_count);
}

bool store_is_disk_failed(const struct store *s, struct hash128 hash)
{
    struct rendezvous_seat seats[STORE_DISKS_MAX];
    bool has_failed = false;
    for (size_t i = 0; i < s->disk_count; i++) {
        seats[i] = (struct rendezvous_seat){s->seats[i].name, s->seats[i].size_bytes};
        has_failed = has_failed || !store_disk_at(s, i);
    }
    return has_failed && !store_disk_at(s, rendezvous_choose(hash, seats, s->disk_count));
}

/* ---- opening ---- */

/* The secret of an arena that is there, so that new ones get the same, else a new one; and the last epoch. */
static void peek_all(struct store *s, const struct store_options *o)
{
    struct disk_peek peek;
    hash_secret_new(s->hash_secret);
    for (size_t i = o->disk_count; i-- > 0;)
        if (disk_peek(o->disks[i].path, &peek)) {
            memcpy(s->hash_secret, peek.hash_secret, HASH_SECRET_SIZE);
            s->epoch = peek.epoch > s->epoch ? peek.epoch : s->epoch;
        }
}

static int open_disk(struct store *s, const struct store_options *o, size_t number, struct buf *error)
{
    struct disk_options options = {.path = o->disks[number].path,
                                   .size_bytes = o->disks[number].size_bytes,
                                   .region_bytes = o->region_bytes,
                                   .object_bytes_avg = o->object_bytes_avg,
                                   .sync_interval_ms = o->sync_interval_ms,
                                   .scrub_interval_ms = o->scrub_interval_ms,
                                   .hash_secret = s->hash_secret,
                                   .epoch = s->epoch,
                                   .eviction = o->eviction,
                                   .site_count = o->site_count,
                                   .sites = o->sites};
    for (size_t i = 0; i < o->disk_count; i++)
        options.total_bytes += o->disks[i].size_bytes;
    return disk_open(&options, error, &s->disks[number]);
}

/* Of the disk, and not of how it was configured. */
static bool is_disk_error(int rv)
{
    return rv == -EIO || rv == -ENXIO || rv == -ENODEV || rv == -EROFS || rv == -EUCLEAN ||
           rv == -ENOMEDIUM || rv == -ESTALE || rv == -ETIMEDOUT;
}

static void raise_epoch(struct store *s)
{
    s->epoch++;
    for (size_t i = 0; i < s->disk_count; i++)
        if (store_disk_at(s, i))
            disk_set_epoch(s->disks[i], s->epoch);
}

static void look(void *context, int64_t now_ms)
{
    store_look_after_disks(context, now_ms);
}

int store_open_disks(struct store *s, const struct store_options *o, struct buf *error)
{
    size_t used = 0;
    int rv = 0;
    peek_all(s, o);
    s->disk_count = o->disk_count;
    for (size_t i = 0; i < o->disk_count; i++)
        s->seats[i] = (struct store_seat){.path = o->disks[i].path,
                                          .size_bytes = o->disks[i].size_bytes,
                                          .name = hash_sum(o->disks[i].path, strlen(o->disks[i].path)),
                                          .state = STORE_DISK_NOT_OPENED};
    for (size_t i = 0; i < o->disk_count; i++) {
        size_t error_begin = error->size;
        int disk_rv = open_disk(s, o, i, error);
        if (disk_rv == 0) {
            s->seats[i].state = STORE_DISK_USED;
            used++;
            continue;
        }
        if (!is_disk_error(disk_rv))
            return disk_rv;
        log_error("disk_failed: %.*s", (int)(error->size - error_begin), error->data + error_begin);
        rv = disk_rv;
    }
    if (o->disk_count > 0 && used == 0)
        return rv;
    if (used < o->disk_count)
        log_error("the store goes on with %zu of %zu disks", used, o->disk_count);
    buf_clear(error);
    raise_epoch(s);
    return o->disk_count ? warden_start(look, s, &s->warden) : 0;
}

void store_close_disks(struct store *s)
{
    warden_stop(s->warden);
    for (size_t i = 0; i < s->disk_count; i++)
        if (s->disks[i])
            disk_close(s->disks[i]);
}

/* ---- looking after them ---- */

static size_t count_used(const struct store *s)
{
    size_t used = 0;
    for (size_t i = 0; i < s->disk_count; i++)
        used += store_disk_at(s, i) != NULL;
    return used;
}

static void give_up(struct store *s, size_t i, enum store_disk_state state) /* under warden_mutex */
{
    atomic_store_explicit(&s->seats[i].state, state, memory_order_release);
    disk_let_go(s->disks[i]);
    raise_epoch(s);
    log_error("disk_failed: arena %s is not used any more until the next start: %s; the store goes on with "
              "%zu of %zu disks",
              s->seats[i].path,
              state == STORE_DISK_HANGS ? "its disk does not answer" : "its disk has failed too often",
              count_used(s), s->disk_count);
}

void store_look_after_disks(struct store *s, int64_t now_ms)
{
    pthread_mutex_lock(&s->warden_mutex);
    for (size_t i = 0; i < s->disk_count; i++) {
        struct disk *d = store_disk_at(s, i);
        if (!d)
            continue;
        enum health_verdict verdict =
            health_judge(&s->seats[i].health, disk_errors(d), disk_waited_ms(d, now_ms), now_ms);
        if (verdict != HEALTH_GOOD)
            give_up(s, i, verdict == HEALTH_HANGS ? STORE_DISK_HANGS : STORE_DISK_ERRORS);
    }
    pthread_mutex_unlock(&s->warden_mutex);
}
