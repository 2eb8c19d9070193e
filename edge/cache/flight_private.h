/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a flight is made of: shared by flight.c (table, readers) and flight_fill.c (the filler's side). Nobody
 * else includes this.
 */
#ifndef CACHE_FLIGHT_PRIVATE_H
#define CACHE_FLIGHT_PRIVATE_H

#include <pthread.h>

#include "cache/flight_filler.h"

#define FLIGHT_SHARDS 64

struct flight_shard {
    pthread_mutex_t mutex; /* guards the list; taken before a flight's own */
    struct list flights;
};

struct flight_table {
    struct store *store;
    uint64_t slice_bytes;
    size_t worker_count;
    struct mailbox *const *mailboxes;
    struct ledger *const *ledgers;
    struct purge *purges;
    struct flight_shard shards[FLIGHT_SHARDS];
};

enum flight_phase {
    PHASE_HEAD_PENDING,
    PHASE_FILLING,
    PHASE_DONE,
    PHASE_REVALIDATED,
    PHASE_FAILED,
};

/* A part of the body as it stands in the store or in transient memory. */
struct flight_piece {
    uint64_t start_bytes, size_bytes;
    struct store_object view;
    bool is_sealed; /* found in the store by its own key: the flight may let go of it */
};

/* One worker's part of a flight. `readers` is touched by that worker only. */
struct flight_port {
    struct list readers;
    atomic_uint reader_count;
    atomic_bool is_notified; /* `message` is on its way */
    struct message message;
    struct flight *flight;
};

struct flight {
    /* fixed from the start; shard and key move with flight_move, while nobody can find it */
    struct flight_table *table;
    struct flight_shard *shard;
    unsigned owner; /* the worker that fills it */
    struct hash128 hash;
    struct slice key_text; /* owned */
    atomic_uint moves;
    uint64_t first_wanted_bytes, limit_wanted_bytes;
    uint32_t generation; /* of purges, at its start */
    bool is_ranged, has_stale;
    struct store_object stale; /* revalidate moves its meta, under the mutex */

    struct list node; /* in the shard's list; guarded by the shard's mutex */
    atomic_uint refs; /* list, filler, readers, messages on their way */
    atomic_uint reader_count;
    atomic_uint readers_ever;
    atomic_bool is_orphan_posted;
    atomic_bool is_doomed; /* by flight_doom, on any worker */
    struct message orphan_message;

    /* the filler's alone */
    struct flight_filler filler;
    bool is_filling;  /* the filler has its hold */
    bool is_kept;     /* to be stored */
    bool is_admitted; /* and worth it: else it is only shared */
    struct store_hint hint;
    bool is_stored;     /* what stands for the whole is found in the store */
    bool is_collecting; /* unknown length, still in the first small piece */
    struct store_writer *writer;
    uint64_t writer_start_bytes, writer_room_bytes;
    struct store_meta meta;

    pthread_mutex_t mutex; /* guards all below */
    enum flight_phase phase;
    struct flight_head head; /* head.stored is owned; fixed once FILLING, but for total_size_bytes */
    uint64_t first_bytes, filled_bytes, limit_bytes;
    struct flight_piece *pieces;
    size_t piece_count, piece_capacity;
    const char *failure;
    unsigned failure_status;
    struct flight_reader *leader; /* NULL when it has left */
    struct buf private_body;
    uint64_t private_start_bytes;

    struct flight_port ports[]; /* one per worker */
};

void flight_ref(struct flight *f);
void flight_unref(struct flight *f);
void flight_notify(struct flight *f);        /* wakes each worker that has readers, once */
void flight_unlist(struct flight *f);        /* nobody finds it any more */
bool flight_unlist_unread(struct flight *f); /* the same, unless it has readers: then false */

#endif
