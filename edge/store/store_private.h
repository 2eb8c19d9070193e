/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c and store_writer.c share. */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include "base/counter.h"
#include "store/folder.h"
#include "store/index.h"
#include "store/keeper.h"
#include "store/superblock.h"
#include "store/transient.h"

struct store {
    /* fixed */
    uint8_t hash_secret[HASH_SECRET_SIZE];
    struct store_options options;
    struct folder folder;
    struct superblock *superblock;
    enum superblock_left left;
    struct arena *arena; /* NULL: no disk, and none of those around it */
    struct index *index;
    struct keeper *keeper;

    struct transient_budget transient;
    counter_t written_bytes, wasted_bytes, io_errors; /* any thread adds */
};

#endif
