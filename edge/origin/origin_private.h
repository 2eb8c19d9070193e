/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What origin.c (set-up, starting fills), attempt.c (which origin is asked, again or for the rest), fill.c (a
 * response, from its head to its end) and place.c (keys: variants, playlists, what a method has changed)
 * share. Nobody else includes this.
 */
#ifndef ORIGIN_ORIGIN_PRIVATE_H
#define ORIGIN_ORIGIN_PRIVATE_H

#include "cache/policy.h"
#include "http/digest.h"
#include "key_vary.h"
#include "origin/ask.h"
#include "origin/budget.h"
#include "origin/check.h"
#include "origin/judge.h"
#include "origin/origin.h"

struct origin {
    struct origin_options options;
    struct resolver *resolver;
    struct fetch_pool *pool;
    struct checks *checks; /* NULL: somebody else's, or nobody wants any */
    struct list fills;
    struct budget *budgets; /* of retries; by site id - 1 */
    struct origin_stats stats;
    struct buf request_head, stored_head, key_text, resolved, vary_names; /* scratch */
};

struct fill {
    struct list node;
    struct origin *origin;
    struct admit_ticket ticket;
    struct flight *flight; /* NULL after a 304: only the end of the exchange is waited for */
    struct fetch *fetch;   /* NULL: `retry` is waited for */
    struct timer retry;
    const struct site *site;
    struct upstream_site *upstreams;
    struct ask *ask;
    struct slice target; /* in `ask` */
    struct hash128 key_hash;
    struct ask_fields *viewer_fields; /* that the origin was told; NULL: none */
    bool is_background, is_safe;      /* safe: the method (RFC 9110 section 9.2.1) */
    struct judge_request asked;
    uint64_t representation, total_bytes; /* that it must be of; 0: any */
    char *if_range;                       /* its validator; NULL: none */
    enum content_class content_class;
    enum cause cause;
    struct policy policy;
    bool is_kept;

    unsigned upstream;      /* that is asked now */
    uint32_t tried;         /* a bit for each that was, since the last break */
    bool has_head;          /* a response is being received: what is asked for now is its rest */
    unsigned head_upstream; /* who sent it */
    struct judge_rest rest; /* of the response that began; validator owned, data NULL: it cannot be resumed */
    unsigned resumes;       /* since a slice's worth of progress */
    uint64_t resumed_at_bytes; /* how much there was at the last break */
    const char *failure;       /* the first one, NULL: none yet */
    unsigned failure_status;

    struct digest *digest;         /* of what was received; NULL: there is nothing to compare it with */
    uint8_t expected[DIGEST_SIZE]; /* what it must be */
    char held;                     /* then: the last byte, which readers get when it is */
    bool is_holding;
    uint64_t booked_bytes;   /* of what was received for this attempt, so far in the ledger */
    uint64_t orphaned_bytes; /* received since the last reader left */
};

/* ---- attempt.c ---- */

bool attempt_start(struct fill *f);   /* asks an origin; false: memory is out */
bool attempt_another(struct fill *f); /* before the head: false, and nothing done, when none may be asked */
bool attempt_rest(struct fill *f);    /* after a break: false when that is not possible */
void attempt_report(struct fill *f,
                    bool is_good); /* what the origin that was asked has shown of its health */
bool attempt_is_origins_fault(enum fetch_result result);

/* ---- fill.c ---- */

extern const struct fetch_events fill_events;
extern const struct flight_filler fill_filler; /* but for `user` */
void fill_free(struct fill *f);
void fill_note_failure(struct fill *f, const char *reason, unsigned status);
void fill_fail(struct fill *f);               /* with the failure noted; ends it */
uint64_t fill_position(const struct fill *f); /* in the representation, of the next byte to receive */

/* ---- place.c ---- */

struct store_key
place_base_key(struct fill *f); /* the URL's own, in scratch: the flight's may be a variant's */
bool place_variant(struct fill *f, enum key_vary vary);
void place_invalidate(struct fill *f, const struct http_head *head);
bool place_read_playlist(struct fill *f, struct slice body, struct hls_playlist *ret_playlist);

#endif
