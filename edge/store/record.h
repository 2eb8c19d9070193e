/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is what stands in a region for one object: a header, the key's text and the head, then the body on
 * a boundary of its own. The header is written twice: when the room is taken, so that the records of a region
 * can be walked by their spans (and no bytes of a body be taken for a header), and when the object is sealed.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "store/arena.h"
#include "store/store.h"

#define RECORD_HEADER_BYTES 152u

enum record_state { RECORD_RESERVED = 1, RECORD_SEALED, RECORD_ABANDONED };

/* What is known of a record when it is written. */
struct record {
    enum record_state state;
    struct arena_extent extent;
    struct store_key key;
    struct slice head;
    struct store_meta meta;
    struct store_hint hint; /* what is not kept with an object is left out */
    uint64_t order;         /* of sealing (arena_next_order); a copy has that of the original */
    uint64_t body_size_bytes, body_sum;
};

/* The alignment that a body of this size begins on. */
uint64_t record_body_alignment(uint64_t body_size_bytes);

/* Writes header, key text and head. 0 or -EIO. */
int record_write(const struct record *r);

enum record_found { RECORD_OK, RECORD_OTHER_KEY, RECORD_DAMAGED };

/* Reads the sealed record at this place of a region that the caller holds. On RECORD_OK all of *ret_object is
 * set but its meta, which the index knows better; it takes over the reference. */
enum record_found record_read(struct store_region *region, const struct arena_place *place,
                              const struct store_key *key, struct store_object *ret_object);

/* A sealed record as a walk over its region finds it, without an index. */
struct record_seen {
    struct hash128 hash;
    struct store_meta meta; /* as it was when stored */
    struct store_hint hint;
    uint64_t order;
    struct slice key_text, head;     /* in the map */
    uint64_t span_bytes, body_bytes; /* span: to the next record */
    uint64_t body_offset_bytes, body_sum;
};

/* Judges what stands at this place, a multiple of 64, by its header, and by the keyed hash of its key, which
 * no body can hold without knowing the secret. False: no sealed record begins here; look 64 bytes on, as what
 * else stands here may say a span that is not true any more. */
bool record_examine(const struct store_region *region, const struct arena_place *place,
                    const uint8_t secret[HASH_SECRET_SIZE], struct record_seen *ret_seen);

/* When the record at this place was sealed, in comparison with others; 0: none is there. */
uint64_t record_order(const struct store_region *region, const struct arena_place *place);

/* How much at this place is read by a lookup, as its header says, believed or not: all before the body, and
 * the beginning of it. Bounded. */
uint64_t record_front_bytes(const struct store_region *region, const struct arena_place *place);

/* Whether key text, head and body of a record that was examined are what was stored: reads all of it. */
bool record_verify(const struct store_region *region, const struct arena_place *place);

/* The same by reading the file, through `buffer` of RECORD_READ_BYTES, so that a bad sector is an error and
 * no signal. 0, -EBADMSG, or -EIO. */
#define RECORD_READ_BYTES ((size_t)256 * 1024)
int record_verify_file(const struct store_region *region, const struct arena_place *place, char *buffer);

/* Writes over the header, so that the record is never found again. 0 or -EIO. */
int record_condemn(struct store_region *region, const struct arena_place *place, uint64_t span_bytes);

#endif
