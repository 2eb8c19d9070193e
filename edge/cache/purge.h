/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purges: what is kept, by URL, prefix, tag or site, is not to be served any more (hard), or not without
 * asking the origin (soft). A purge is a rule, not a walk over objects: each object says up to which purge it
 * has been judged, and is held against the newer ones when it is looked up. So a purge takes as long with ten
 * objects as with a billion, and what is on its way while it comes is judged like all else.
 *
 * GLOSSARY
 *   generation  the number of a purge. An object, or a flight, of generation g has been held against all
 *               purges up to g; those above it apply to it, if they match.
 *   stamp       the newest generation that is on the disk. No object gets a newer one, as the same number may
 *               come again after a crash, for another purge.
 *   floor       whatever has a lower generation is purged. It rises as old objects go, and takes with it the
 *               rules that no object is left for.
 *
 * The rules are bounded: beyond that the oldest of a site become one rule of the whole site. They stand in a
 * log of their own (purge_log.h); when that cannot be read, all that is kept counts as purged.
 *
 * Thread safe. `p` may be NULL everywhere but in purge_add and purge_sync: nothing was ever purged.
 */
#ifndef CACHE_PURGE_H
#define CACHE_PURGE_H

#include "base/list.h"
#include "io/mailbox.h"
#include "store/store.h"

#define PURGE_TEXT_MAX ((size_t)1024) /* of a tag, or of a prefix with its site's name */

struct purge;

struct purge_options {
    struct store *store;
    const char *path; /* a folder for the log; NULL: nothing outlives the process */
    size_t rules_max;
    uint32_t retire_interval_ms; /* how often old rules are looked for; 0: the default (10 min) */
};

/* Reads the log. Whether it could be, and can be written, is told in log messages: purges work in any case.
 * 0 or a negative errno, with a sentence in `error`: the folder cannot be used. */
int purge_open(const struct purge_options *options, struct buf *error, struct purge **ret_purge);
void purge_close(struct purge *p); /* with nobody waiting; NULL is fine */

enum purge_kind { PURGE_SITE = 1, PURGE_PREFIX, PURGE_URL, PURGE_TAG };
const char *purge_kind_name(enum purge_kind kind);

struct purge_order {
    enum purge_kind kind;
    bool is_soft;
    struct slice site; /* its name */
    struct slice text; /* PREFIX, URL: key text, site's name included (key.h); TAG: the tag */
};
struct purge_done {
    uint32_t generation; /* its number */
    enum purge_kind kind;
    size_t text_size; /* of the order's text that counts: prefixes may be cut to become wider */
    bool is_folded;   /* to make room for it, older rules became one of their whole site */
};

/* From its return on all lookups follow it. 0, or -EOVERFLOW (all numbers are used up; nothing is done). */
int purge_add(struct purge *p, const struct purge_order *orders, size_t count, int64_t now_ms,
              struct purge_done *ret_done);

/* `message` is posted to `mailbox` once purge_add's effect is on the disk, or could not be brought there
 * (is_durable; it is tried again and again then). */
struct purge_wait {
    struct message message; /* fn is the caller's */
    struct mailbox *mailbox;
    bool is_durable;
    struct list node;
    uint32_t generation;
};
void purge_sync(struct purge *p, struct purge_wait *wait);
bool purge_cancel(struct purge *p, struct purge_wait *wait); /* false: the message is on its way */

/* What begins now begins after all purges up to this generation. */
uint32_t purge_now(const struct purge *p);

enum purge_effect { PURGE_NONE, PURGE_SOFT, PURGE_HARD };

struct purge_subject {
    struct slice key_text; /* of an object, a variant or a slice */
    struct slice head;     /* stored form (reply.h); data NULL: not there yet, any tag may be in it */
    uint32_t generation;
};
struct purge_match {
    uint32_t generation;
    enum purge_kind kind; /* 0: of a rule that is no more */
    int64_t at_ms;        /* 0: not known any more */
    struct slice text;    /* what of the subject it matches */
};
/* *ret_match, unless NULL, is set with an effect other than NONE. */
enum purge_effect purge_judge(struct purge *p, const struct purge_subject *subject,
                              struct purge_match *ret_match);

/* store_lookup, with purges applied: what is hard purged is removed and missed; of what is soft purged the
 * freshness has ended. */
bool purge_lookup(struct purge *p, struct store *store, const struct store_key *key, int64_t now_ms,
                  struct store_object *ret_object, enum purge_effect *ret_effect);

/* The same for a slice, whose freshness is its head's. What was stored with the head or later goes with it:
 * so who began with a head that has been purged meanwhile can finish. */
bool purge_lookup_slice(struct purge *p, struct store *store, const struct store_key *key,
                        uint32_t head_generation, struct store_object *ret_object);

/* Both of what was looked up otherwise: false when it is not to be used, and then it has been released. */
bool purge_apply(struct purge *p, struct store *store, const struct store_key *key, int64_t now_ms,
                 struct store_object *o, enum purge_effect *ret_effect);
bool purge_apply_slice(struct purge *p, struct store *store, const struct store_key *key,
                       uint32_t head_generation, struct store_object *o);

/* For what is about to be stored, from what began at the subject's generation: sets that of `meta`. False: it
 * is hard purged, and would not be found. */
bool purge_settle(struct purge *p, const struct purge_subject *subject, struct store_meta *meta);

struct purge_stats {
    uint64_t rules, rules_max;
    uint64_t orders, folded, retired; /* since the start; folded: rules that became part of wider ones */
    uint32_t newest, floor;
    int64_t newest_at_ms; /* 0: none since the start */
    bool is_durable;      /* all of it is on the disk, as far as there is one */
};
void purge_stats(struct purge *p, struct purge_stats *ret_stats);

/* Looks for rules to retire now, as is done at an interval. Reads the whole index: never on a loop. */
void purge_retire(struct purge *p);

#endif
