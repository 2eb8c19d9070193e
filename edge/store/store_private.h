/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c and store_writer.c share. */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include "store/disk.h"
#include "store/transient.h"

struct store {
    /* fixed */
    uint8_t hash_secret[HASH_SECRET_SIZE];
    struct disk *disks[STORE_DISKS_MAX];
    size_t disk_count;

    struct transient_budget transient;
};

/* Where an object under this hash is put, or NULL: nowhere. */
struct disk *store_disk_for(const struct store *s, struct hash128 hash);

/* Removes what stands under the key on any disk but this one. */
void store_forget_elsewhere(struct store *s, const struct disk *d, const struct store_key *key);

#endif
