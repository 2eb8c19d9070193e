/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flight is one upstream response being received: bytes [first, filled) of a representation, for any number
 * of readers on any worker. One flight a key and place in it, however many viewers ask.
 *
 * START HERE
 *   reader: flight_join -> flight_look (and again at each on_progress) -> flight_leave
 *   filler: flight_filler.h
 * The one who gets FLIGHT_LEADING from flight_join must see to it that a filler runs on its worker. The
 * filler needs no reader: it goes on when all have left, unless on_orphaned decides otherwise.
 *
 * LIFE            joinable  what readers get
 *   HEAD_PENDING  yes       FLIGHT_WAIT
 *   FILLING       yes       spans up to `filled`; FLIGHT_RELEASED for followers of a private response
 *   DONE          no        spans, then FLIGHT_END (or FLIGHT_REVALIDATED: the stale object is good again)
 *   FAILED        no        FLIGHT_FAILED with a reason; never a short body that looks whole
 *
 * A purge that comes while it flies is not told to it: who comes afterwards asks whether it applies, and does
 * not join; what it stores is judged then, and at each lookup.
 *
 * Bytes go into the store as they come, a slice at a time, so that a reader far behind finds them there when
 * the flight has let go of them (FLIGHT_ELSEWHERE). A private response stands in a small window of memory
 * instead, has the leader as its only reader, and the filler waits for it.
 */
#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

#include "cache/purge.h"
#include "io/mailbox.h"
#include "io/stream.h"
#include "ledger.h"
#include "store/store.h"

#define FLIGHT_SIZE_UNKNOWN   UINT64_MAX
#define FLIGHT_NO_LIMIT       UINT64_MAX
#define FLIGHT_PRIVATE_WINDOW ((size_t)256 * 1024) /* the filler is asked to pause above it */
#define FLIGHT_UNSIZED_PIECE \
    ((size_t)64 * 1024) /* a body of unknown length is collected up to here before it takes a slice */
#define FLIGHT_WORKERS_MAX 64

/* store_meta.flags */
#define FLIGHT_META_SLICED 0x01 /* the object is a head; its body is in slices */
#define FLIGHT_META_VARIES \
    0x04 /* a marker: what its URL means depends on fields of the request (key_vary.h) */
#define FLIGHT_META_VALIDATED \
    0x02 /* generated_at_ms says more than the stored Date: of the last validation */

struct flight;
struct flight_table;

struct flight_table_options {
    struct store *store;
    uint64_t slice_bytes;
    size_t worker_count;
    struct mailbox *const *mailboxes; /* one per worker; both arrays outlive the table */
    struct ledger *const *ledgers;
    struct purge *purges; /* NULL: none */
};
struct flight_table *
flight_table_new(const struct flight_table_options *options); /* NULL when memory is out */
void flight_table_free(struct flight_table *t);               /* no flight may be left */

struct flight_reader {
    struct list node;
    struct flight *flight; /* NULL: not joined */
    unsigned worker;
    unsigned moves;                                    /* of the flight, when it was joined */
    void (*on_progress)(struct flight_reader *reader); /* on its worker; may leave */
    /* For the leader, before the head: an interim response has come. NULL: it is not told. */
    void (*on_informational)(struct flight_reader *reader, unsigned status, struct slice fields);
    struct store_object held; /* the piece it reads from */
    uint64_t held_start_bytes, held_filled_bytes;
};

/* What a reader wants of a key. */
struct flight_want {
    const struct store_key *key;
    uint64_t first_bytes;             /* where it starts */
    uint64_t limit_bytes;             /* where it ends, exclusive; FLIGHT_NO_LIMIT: at the end */
    bool ranged;                      /* a new flight asks for just the slices of [first, limit) */
    uint64_t representation;          /* 0: any; else bytes of another one are of no use */
    const struct store_object *stale; /* what a new flight may revalidate; copied. NULL: nothing */
    bool validate;                    /* what is stored will not do, fresh or not */
    const struct store_hint *hint;    /* what is known of the object; copied. NULL: nothing */
    uint32_t generation;              /* of purges: that the stale object was held against before it was
                                         looked up; of the head, when it wants a slice */
    int64_t now_ms;
};

enum flight_joined {
    FLIGHT_STORED,    /* in the store meanwhile: *ret_object */
    FLIGHT_FOLLOWING, /* reader->flight is set */
    FLIGHT_LEADING,   /* reader->flight is set, and is new */
    FLIGHT_NO_MEMORY,
};

/* `reader` is zeroed but for on_progress and worker. `probe` is the key under which the bytes would be stored
 * now: the object's, or a slice's. reader NULL: start a flight without a reader, only when none runs
 * (background validation); *ret_flight is then the new flight. */
enum flight_joined flight_join(struct flight_table *t, const struct flight_want *want,
                               const struct store_key *probe, struct flight_reader *reader, unsigned worker,
                               struct flight **ret_flight, struct store_object *ret_object);

/* Whether a reader who joins now would follow. */
bool flight_would_follow(struct flight_table *t, const struct flight_want *want);

/* A flight nobody else can find, for a response known to be for one viewer. */
struct flight *flight_new_private(struct flight_table *t, const struct flight_want *want,
                                  struct flight_reader *reader, unsigned worker);
void flight_leave(struct flight_reader *reader); /* harmless when not joined */

enum flight_state {
    FLIGHT_WAIT,        /* nothing new yet */
    FLIGHT_BYTES,       /* *ret_span */
    FLIGHT_END,         /* all of the representation, or of the range that the flight covers, was given */
    FLIGHT_ELSEWHERE,   /* this place is not in the flight (any more): look in the store, or join another */
    FLIGHT_CHANGED,     /* the origin has another representation now */
    FLIGHT_RELEASED,    /* the response is private, and not for this reader */
    FLIGHT_MOVED,       /* the response is a variant, maybe not this reader's: the store tells by now */
    FLIGHT_REVALIDATED, /* the stale object is fresh: flight_revalidated_object */
    FLIGHT_FAILED,      /* flight_failure */
};

struct flight_head {
    unsigned status;
    struct slice stored;       /* reply.h's form of the response head */
    uint64_t total_size_bytes; /* of the representation; FLIGHT_SIZE_UNKNOWN until the end */
    uint64_t representation;   /* identity of these bytes: from validators and size, or random */
    bool is_named;             /* by validators: other responses can be told to be of the same bytes */
    int64_t generated_at_ms;   /* wall clock: its age counts from here */
    bool is_private, is_kept;
    enum content_class content_class;
};

/* The head, once it is there and unless the flight failed or revalidated: then NULL. Valid while joined. */
const struct flight_head *flight_head(struct flight_reader *reader, enum flight_state *ret_state);

/* Bytes at `position`, as many as stand in one piece. `representation` 0: any. */
enum flight_state flight_look(struct flight_reader *reader, uint64_t position, uint64_t representation,
                              struct span *ret_span);
/* Whether [first, limit) can be had: all of it from this flight, or the rest from others, which can be told
 * to be of the same representation. */
bool flight_can_serve(struct flight_reader *reader, uint64_t first, uint64_t limit);
uint64_t flight_total_size(struct flight_reader *reader); /* FLIGHT_SIZE_UNKNOWN while it is */
uint32_t flight_purge_generation(const struct flight *f); /* it has begun after the purges up to this one */
const char *flight_failure(struct flight_reader *reader, unsigned *ret_status);
void flight_revalidated_object(struct flight_reader *reader, struct store_object *ret_object);

/* What is on its way under this key, or a variant's of it, is no longer what the key stands for: who reads it
 * goes on, who comes from now on asks anew, and it is not kept. Call it before store_remove. */
void flight_doom(struct flight_table *t, struct slice key_text);

/* A private response's reader has sent so much. */
void flight_consumed(struct flight_reader *reader, size_t bytes);

/* Key text of slice `index` of a representation, and its key. `text` is cleared first. */
bool flight_slice_key(const struct flight_table *t, struct slice key_text, uint64_t representation,
                      uint64_t index, struct buf *text, struct store_key *ret_key);

/* Of [first, limit), whose first slice is missing: where the next slice begins that is in the store; or
 * limit. So what is there is not asked for again. */
uint64_t flight_missing_until(const struct flight_table *t, struct slice key_text, uint64_t representation,
                              uint64_t first, uint64_t limit);
uint64_t flight_table_slice_bytes(const struct flight_table *t);

#endif
