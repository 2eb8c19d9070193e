/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that purges have left, and what they mean for an object. A table of hashes of what was purged,
 * never of objects: asking it costs a few probes, one for the URL, one for each length that a purged prefix
 * of the site has, one for each tag. Time and threads are the caller's. Internal to cache/.
 *
 * Hashes are not keyed: who makes two texts of one hash makes his own URL count as purged, no more.
 */
#ifndef CACHE_PURGE_RULES_H
#define CACHE_PURGE_RULES_H

#include "cache/purge.h"

#define PURGE_PREFIX_SIZES_MAX 16 /* lengths of a site's purged prefixes; others are cut to one of these */
#define PURGE_SITES_MAX        2048
#define PURGE_TAGS_MAX         256 /* of an object; one with more has every tag */

struct purge_rule {
    uint64_t site, scope; /* hashes: of the site's name; of kind, site and text */
    uint32_t hard, soft;  /* the newest purge of each sort; 0: none */
    int64_t hard_at_ms, soft_at_ms;
    uint16_t text_size; /* of a prefix */
    uint8_t kind;       /* enum purge_kind; 0: no rule */
};

struct purge_rules;

struct purge_rules *purge_rules_new(size_t max); /* all memory is taken here; NULL: there is none */
void purge_rules_free(struct purge_rules *rules);

/* The rule that an order makes, to be given to purge_rules_put. A prefix whose length is one too many is cut,
 * in the end to the whole site. */
void purge_rules_make(const struct purge_rules *rules, const struct purge_order *order, uint32_t generation,
                      int64_t at_ms, struct purge_rule *ret_rule);

/* Where there is no room, older rules become one of their site, or the floor rises. Returns how many did. */
size_t purge_rules_put(struct purge_rules *rules, const struct purge_rule *rule);

/* What was judged by less is purged from now on; rules that say no more than that go. Returns how many. */
size_t purge_rules_raise_floor(struct purge_rules *rules, uint32_t floor);

enum purge_effect purge_rules_judge(const struct purge_rules *rules, const struct purge_subject *subject,
                                    struct purge_match *ret_match);

uint32_t purge_rules_floor(const struct purge_rules *rules);
uint32_t purge_rules_newest(const struct purge_rules *rules); /* of the rules and the floor */
size_t purge_rules_count(const struct purge_rules *rules);

/* All of them, in no order; `at` starts with 0. NULL at the end. */
const struct purge_rule *purge_rules_next(const struct purge_rules *rules, size_t *at);

#endif
