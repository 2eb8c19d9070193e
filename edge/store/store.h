/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store keeps objects on disk and hands out references to them. This header is all that others see:
 * nothing here says how bytes are laid out (docs/arena.md does).
 *
 * START HERE
 *   writing: store_reserve -> store_write ... -> store_seal | store_abandon
 *   reading: store_lookup -> (fd, offset, size) or (map, size) of the body -> store_release
 *
 * GLOSSARY
 *   object     what is stored under one key: a meta, a head and one contiguous body. A representation longer
 * than a slice is several objects (its head alone, and one per slice); the cache layer knows that, the store
 *              does not.
 *   head       opaque bytes kept with the body (the stored response head).
 *   key        hash: 128 bits, keyed; text: the printable form, stored and compared, so that a collision of
 * hashes is a miss and never a wrong object. transient  memory that has no name and no index entry: for what
 * is shared but not kept. Freed with its last reference, within a budget.
 *
 * LIFE OF AN OBJECT
 *   reserved   store_write, store_writer_view, then seal or abandon. Nobody finds it.
 *   sealed     found by store_lookup; bytes never change. Only its meta may (store_refresh).
 *   gone       removed or reclaimed: lookups miss, holders of references still read the same bytes.
 *
 * Thread safe, except that one writer is used by one thread at a time.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/hash.h"
#include "store/hint.h"
#include "store/store_stats.h"

struct store;
struct store_writer;
struct store_region;

#define STORE_DISKS_MAX 16u

/* What goes when room is needed, and what is not stored at all. */
enum store_eviction {
    STORE_EVICT_VALUE, /* what is worth least, as the traffic teaches */
    STORE_EVICT_LRU,   /* these for comparison */
    STORE_EVICT_S3FIFO,
    STORE_EVICT_FIFO,
};

/* A site by the name that it keeps, wherever it stands in the configuration; what it is sure of, and what it
 * may have at most (0: no bound), of the bytes on disk. */
struct store_site {
    const char *name;
    uint64_t guaranteed_bytes, max_bytes;
};

struct store_disk {
    const char *path;    /* the folder of its arena */
    uint64_t size_bytes; /* the arena's budget: all region files, spares included */
};

struct store_options {
    const struct store_disk *disks; /* each with an arena of its own; texts outlive the store */
    size_t disk_count;              /* 0: no disk, everything is transient */
    uint64_t region_bytes;          /* power of two */
    uint64_t transient_bytes;       /* budget of transient memory */
    uint64_t
        object_bytes_avg; /* expected size of an object: sizes the index. 0: 256 KiB, less on a small disk */
    uint32_t sync_interval_ms; /* how long what was stored may not be on the disk yet; 0: the default (3 s) */
    uint64_t scrub_interval_ms; /* in which all that is kept is read once to verify it; 0: never */
    enum store_eviction eviction;
    uint32_t site_count;            /* their ids are 1 to this; at most 65535 */
    const struct store_site *sites; /* by site id - 1. For store_open only */
};

struct store_key {
    struct hash128 hash;
    struct slice text; /* at most STORE_KEY_TEXT_MAX */
};

/* What may change while the object stays. Times are wall clock, milliseconds since the epoch, kept with 48
 * bits: beyond the year 6429 they become that year. So are sizes: beyond 256 TiB they become that. */
struct store_meta {
    int64_t generated_at_ms; /* when the origin made it, as far as is known: now - this is its Age */
    int64_t fresh_until_ms;
    uint32_t stale_while_revalidate_s;
    uint32_t stale_if_error_s;
    uint64_t total_size_bytes; /* of the whole representation, of which this object may be a slice */
    uint32_t purge_generation; /* the cache layer's: purges up to this one have been applied to it */
    uint16_t site_id;          /* 0: of no site, or of one that is not configured */
    uint8_t content_class;     /* enum content_class */
    uint8_t flags;             /* the cache layer's; the store keeps them */
};

#define STORE_KEY_TEXT_MAX ((size_t)16 * 1024)
#define STORE_HEAD_MAX     ((size_t)32 * 1024)

/* A reference to an object (or to one being written): by value, no heap. Copy with store_object_copy only. */
struct store_object {
    struct store_region *region; /* held; NULL: holds nothing */
    int fd;                      /* of the region: sendfile(2) from here */
    uint64_t body_offset_bytes;  /* in fd */
    uint64_t body_size_bytes;
    const char *body;            /* the same bytes in the map: for small writes and TLS */
    struct slice key_text, head; /* in the map */
    struct store_meta meta;      /* as it was at the lookup */
};

/* An object that is asked for. */
struct store_asked {
    const struct store_key *key;
    uint64_t size_bytes;           /* about what it takes on the disk; 0: not known */
    const struct store_hint *hint; /* what is known of it, and who asks */
};

struct store_reservation {
    size_t head_size_max;     /* of key text and head together */
    uint64_t body_size_bytes; /* room for the body: exact, or the most it may get */
    struct store_hint hint;   /* what is known of the object */
    struct hash128 hash;      /* of its key, as far as that is known yet: chooses the disk */
    bool transient;
};

/* Creates the arenas or opens what is there, whole at once. One disk of several that cannot be read or
 * written is left out, with a line in the log. On failure a sentence for the operator stands in `error` (what
 * was needed, what was found). -ENOSPC, -EBUSY (another process has it), -EINVAL, or what the system said. */
int store_open(const struct store_options *options, struct buf *error, struct store **ret_store);

/* Ends it; what was sealed is there at the next open. All references and writers must have been given back.
 */
void store_close(struct store *s);

/* All that was sealed, refreshed and removed before this is found again, removed still, after a power loss;
 * false when it could not be brought to the disk. Waits for the disk: never on a loop. */
bool store_sync(struct store *s);

/* Secret of the keyed hash: random, made with the first arena and kept in all. */
const uint8_t *store_hash_secret(const struct store *s);

/* The object under this key, or false. *ret_object must be given back with store_release. */
bool store_lookup(struct store *s, const struct store_key *key, struct store_object *ret_object);
/* Whether something stands under this key's hash: reads nothing of the object. */
bool store_has(struct store *s, const struct store_key *key);
void store_object_copy(const struct store_object *from, struct store_object *ret_object);
void store_release(struct store_object *o); /* idempotent */

/* True once the file under it turned out to be cut short or unreadable: what was copied from its map before
 * this was asked may be zeros, and must not be used. Streams ask by themselves before bytes leave
 * (base/guard.h). */
bool store_object_is_bad(const struct store_object *o);

/* Room for one object. 0; -EFBIG (header, head and body take more than half a region; transient: more than
 * the whole budget), -ENOBUFS (transient budget used up, or no region free: all are held by readers),
 * -ENOMEM, -EIO. Where there is no disk, or none of its regions can be had now, it is transient by itself:
 * store_writer_is_kept tells. */
int store_reserve(struct store *s, const struct store_reservation *want, struct store_writer **ret_writer);
bool store_writer_is_kept(const struct store_writer *w);

/* A request for an object, found or not: from these is learned what is worth keeping. Each request once. */
void store_ask(struct store *s, const struct store_asked *asked, bool is_found);

/* Whether an object is worth storing: to be asked before room is reserved for it, and after store_ask for the
 * request that wants it. Until the disk is full everything is. */
bool store_admits(struct store *s, const struct store_asked *asked, uint16_t site_id);

/* Appends to the body; 256 KiB at a time cost least. 0, -ENOSPC beyond the reservation, or -EIO; after an
 * error only abandon is legal. */
int store_write(struct store_writer *w, const void *data, size_t size);

/* A reference to the body as far as it is written, for those who follow the fill. `head`, `key_text` and
 * `meta` are empty; body_size_bytes is the reserved size, of which the first bytes written so far may be
 * read. */
void store_writer_view(struct store_writer *w, struct store_object *ret_object);

/* Makes it an object, found from now on; replaces what stood under the key. The body is what was written
 * (less than reserved is fine). Frees the writer in every case. For a transient writer it only frees the
 * writer. */
int store_seal(struct store_writer *w, const struct store_key *key, struct slice head,
               const struct store_meta *meta);
void store_abandon(struct store_writer *w); /* NULL is fine */

/* Replaces the meta of the object `o` refers to, if it still stands under that key (a 304 arrived). */
bool store_refresh(struct store *s, const struct store_key *key, const struct store_object *o,
                   const struct store_meta *meta);
bool store_remove(struct store *s, const struct store_key *key);

/* Removes the object `o` refers to, if it still stands under that key. */
bool store_drop(struct store *s, const struct store_key *key, const struct store_object *o);

/* The least and the greatest purge_generation of all that can be found. False: nothing can, or not all of it
 * is known yet (regions are still to be walked). Reads the whole index: never on a loop. */
bool store_purge_generations(struct store *s, uint32_t *ret_least, uint32_t *ret_greatest);

/* True when the disk that this object would be on has failed: why it may not be found. */
bool store_is_disk_failed(const struct store *s, struct hash128 hash);

#endif
