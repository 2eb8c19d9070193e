/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c, store_disks.c and store_writer.c share. */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include <pthread.h>

#include "store/disk.h"
#include "store/health.h"
#include "store/transient.h"
#include "store/warden.h"

struct store_seat {
    const char *path; /* fixed */
    uint64_t size_bytes;
    uint64_t name;                       /* for rendezvous hashing */
    _Atomic enum store_disk_state state; /* written at the opening, and by who looks after the disks */
    struct health health;                /* guarded by warden_mutex */
};

struct store {
    /* fixed */
    uint8_t hash_secret[HASH_SECRET_SIZE];
    struct disk *disks[STORE_DISKS_MAX]; /* NULL: not opened */
    struct store_seat seats[STORE_DISKS_MAX];
    size_t disk_count;
    struct warden *warden;

    pthread_mutex_t warden_mutex;
    uint64_t epoch; /* guarded by warden_mutex once it is open */

    struct transient_budget transient;
};

/* The disk in this place if it is used, else NULL. */
static inline struct disk *store_disk_at(const struct store *s, size_t i)
{
    bool is_used = atomic_load_explicit(&s->seats[i].state, memory_order_acquire) == STORE_DISK_USED;
    return is_used ? s->disks[i] : NULL;
}

/* Its place in the list where an object under this hash is put, of those that are used; disk_count: nowhere.
 */
size_t store_owner(const struct store *s, struct hash128 hash);

/* Removes what stands under the key on any disk but this one. */
void store_forget_elsewhere(struct store *s, const struct disk *d, const struct store_key *key);

/* Opens all that can be, and looks after them from then on. 0 or a negative errno, with sentences. */
int store_open_disks(struct store *s, const struct store_options *options, struct buf *error);
void store_close_disks(struct store *s);

/* Gives up each disk that does not answer, or not well. Called once a second. */
void store_look_after_disks(struct store *s, int64_t now_ms);

#endif
