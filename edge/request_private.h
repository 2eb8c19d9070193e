/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request is made of: shared by request.c (pool, routing, small replies, end), request_lookup.c
 * (object or flight, head of the response) and request_body.c. Nobody else includes this.
 */
#ifndef REQUEST_PRIVATE_H
#define REQUEST_PRIVATE_H

#include "http/range.h"
#include "http/uri.h"
#include "pace.h"
#include "reply.h"
#include "request.h"

enum request_state { REQUEST_ROUTE, REQUEST_LOOKUP, REQUEST_AWAIT_HEAD, REQUEST_SEND, REQUEST_ENDED };
enum step { STEP_NEXT, STEP_WAIT, STEP_DONE };

#define REQUEST_DISK_TIMEOUT "disk_timeout" /* the disk did not bring in time what is not in memory */

struct request {
    struct list node; /* in the pool */
    struct request_env *env;
    struct exchange *x; /* NULL once finished, aborted or gone */
    enum request_state state;
    bool is_running, run_again;
    struct later resume; /* the send budget was used up */
    struct timer turn_due;
    struct admit_turn turn;     /* in line for asking an origin */
    struct admit_ticket ticket; /* for the fill that is about to be started */
    bool is_turned_away;        /* a slice was to be fetched, but may not: turned_step is what follows */
    enum step turned_step;

    struct site_match site;
    struct addr viewer;
    struct place place;
    struct uri uri;
    struct buf key_text;
    struct store_key key;
    struct slice target; /* in key_text: what the origin is asked for */
    struct catalog_entry catalog;
    struct store_hint hint;
    bool is_asked;            /* store_ask: of the object, */
    uint64_t asked_slice;     /* and of this slice - 1 */
    struct hash128 base_hash; /* of the URL's own key: `key` may be a variant's */
    size_t base_size;
    bool is_in_catalog, is_head, has_range, is_private;
    bool is_passed;     /* a method that the site passes to the origin */
    bool is_no_store;   /* the viewer said so, and is obeyed */
    bool is_purged;     /* what is kept, or was, has been purged */
    bool must_validate; /* the same: what is stored will not do */
    bool is_too_early;  /* so the origin has said (425): it is asked again once the handshake is complete */
    bool has_ranges;    /* several of them */
    struct range_spec range;
    struct request_parts *parts; /* of a multipart response; else NULL */
    unsigned retries;

    struct flight_reader reader;
    struct store_reader disk;
    struct store_object object; /* the whole, or the slice being sent */
    uint64_t object_start_bytes;
    struct store_object stale; /* to fall back on */
    struct buf stored_head;    /* a sliced object's head, when its object was let go */

    uint64_t position_bytes,
        end_bytes; /* of the representation; end FLIGHT_SIZE_UNKNOWN: until the flight ends */
    uint64_t total_bytes, representation;
    uint32_t generation;        /* of purges: the head has been held against those up to it */
    uint32_t lookup_generation; /* those that there were before the last lookup */

    struct pace pace;
    uint64_t pace_bytes_per_s; /* as the exchange was told */

    uint64_t started_us, first_byte_us, booked_bytes;
    unsigned status;
    enum content_class content_class;
    enum cause cause, byte_cause; /* of the request; of the bytes that move now */
    enum forward forward;         /* why it was no hit */
    bool is_stored;               /* what the origin sent for it is kept */
    enum refusal refusal;
    unsigned retry_after_s; /* with a refusal of 429 or 503 */
    const char *reason;
    struct reply_cache_status cache_status; /* as it was said; edge_name NULL: it was not */
    bool is_aborted, is_validated;          /* FLIGHT_META_VALIDATED of what is sent */
};

/* ---- request.c: each ends the request, but for the last three ---- */

enum step request_finish(struct request *r);
enum step request_abort(struct request *r, const char *reason);
enum step request_refuse(struct request *r, enum refusal refusal);
enum step request_fail(struct request *r, const char *reason, unsigned status);
void request_book_bytes(struct request *r, uint64_t bytes, enum cause cause);
void request_note_first_byte(struct request *r);
struct reply_cors request_cors(const struct request *r);

/* ---- request_lookup.c ---- */

enum step request_lookup(struct request *r);
enum step request_await_head(struct request *r);

/* Tells the store of the request for what stands, or not, under the key: `o` NULL: it does not. */
void request_ask(struct request *r, const struct store_key *key, const struct store_hint *hint,
                 const struct store_object *o);

/* Whether the request may have an origin asked for what it wants, or need not as it will follow a flight
 * (want NULL: it will not). False: *ret_step is what to do instead: wait and look again, or it has ended. */
bool request_may_lead(struct request *r, const struct flight_want *want, enum step *ret_step);

/* Has the origin fill a flight that this request leads. */
/* What a miss of this key is booked as. */
enum cause request_miss(const struct request *r, const struct store_key *key);
void request_lead(struct request *r, struct flight *flight, enum cause cause, struct slice if_range);

/* ---- request_parts.c ---- */

enum request_extent { EXTENT_WHOLE, EXTENT_ONE, EXTENT_PARTS, EXTENT_NONE };

/* What several ranges come to: nothing that could be obeyed, one (r->range), parts, or none satisfiable. With
 * parts *ret_size is that of the body, and position and end are those of the first. `fields`: stored lines.
 */
enum request_extent request_parts_choose(struct request *r, struct slice fields, uint64_t *ret_size);
const char *request_parts_boundary(const struct request *r);
bool request_parts_send(struct request *r); /* the lines before the bytes; false: on_writable follows */
bool request_parts_next(struct request *r); /* moves on to the next part, or the end; false: it was the end */
void request_parts_free(struct request *r);

/* ---- request_body.c ---- */

enum step request_send(struct request *r);

/* The slice at the request's position: r->object, or joins a flight. FLIGHT_BYTES: one of the two. */
enum flight_state request_find_slice(struct request *r);

#endif
