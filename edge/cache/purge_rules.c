/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, at most half full, so that nothing is ever allocated for a purge: it
 * cannot fail for want of memory. Beside it what sites have, so that objects of sites without newer purges
 * are told after one search; and a bit for each of many hashes, since most of what is asked for is not there,
 * and the bits stand in a processor's cache where the table does not.
 */
#include "cache/purge_rules.h"

#include <stdlib.h>

#include "base/check.h"
#include "cache/purge_tags.h"

struct site_rules {
    uint64_t site;
    uint32_t newest, newest_tag;
    size_t count; /* of rules narrower than the site */
    uint16_t prefix_sizes[PURGE_PREFIX_SIZES_MAX];
    size_t prefix_size_count;
};

#define FILTER_BITS ((size_t)1 << 17)

struct purge_rules {
    size_t max, count, capacity; /* capacity: a power of two */
    struct purge_rule *slots;
    uint64_t filter[FILTER_BITS / 64]; /* a bit is set where a rule's scope has it */
    uint32_t floor;
    size_t site_count;
    struct site_rules sites[PURGE_SITES_MAX]; /* by hash */
};

struct purge_rules *purge_rules_new(size_t max)
{
    struct purge_rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return NULL;
    rules->max = max;
    rules->capacity = 64;
    while (rules->capacity < 2 * max)
        rules->capacity *= 2;
    rules->slots = calloc(rules->capacity, sizeof(rules->slots[0]));
    if (!rules->slots) {
        free(rules);
        return NULL;
    }
    return rules;
}

void purge_rules_free(struct purge_rules *rules)
{
    if (rules)
        free(rules->slots);
    free(rules);
}

uint32_t purge_rules_floor(const struct purge_rules *rules)
{
    return rules->floor;
}

size_t purge_rules_count(const struct purge_rules *rules)
{
    return rules->count;
}

const struct purge_rule *purge_rules_next(const struct purge_rules *rules, size_t *at)
{
    while (*at < rules->capacity) {
        const struct purge_rule *r = &rules->slots[(*at)++];
        if (r->kind)
            return r;
    }
    return NULL;
}

static uint32_t newest_of(const struct purge_rule *r)
{
    return r->hard > r->soft ? r->hard : r->soft;
}

uint32_t purge_rules_newest(const struct purge_rules *rules)
{
    uint32_t newest = rules->floor;
    for (size_t i = 0; i < rules->site_count; i++)
        newest = rules->sites[i].newest > newest ? rules->sites[i].newest : newest;
    return newest;
}

/* ---- hashes ---- */

static uint64_t scope_of(enum purge_kind kind, uint64_t site, struct slice text)
{
    uint64_t parts[] = {hash_sum(text.data, text.size), site, kind};
    return hash_sum(parts, sizeof(parts));
}

static uint64_t site_scope(uint64_t site)
{
    return scope_of(PURGE_SITE, site, SLICE_EMPTY);
}

/* ---- sites ---- */

/* Where it stands, or would. */
static size_t site_place(const struct purge_rules *rules, uint64_t site)
{
    size_t low = 0, high = rules->site_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rules->sites[middle].site < site)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct site_rules *site_find(const struct purge_rules *rules, uint64_t site)
{
    size_t at = site_place(rules, site);
    bool is_there = at < rules->site_count && rules->sites[at].site == site;
    return is_there ? (struct site_rules *)&rules->sites[at] : NULL;
}

/* NULL: there is no room. */
static struct site_rules *site_make(struct purge_rules *rules, uint64_t site)
{
    size_t at = site_place(rules, site);
    if (at < rules->site_count && rules->sites[at].site == site)
        return &rules->sites[at];
    if (rules->site_count == PURGE_SITES_MAX)
        return NULL;
    memmove(&rules->sites[at + 1], &rules->sites[at], (rules->site_count - at) * sizeof(rules->sites[0]));
    rules->site_count++;
    rules->sites[at] = (struct site_rules){.site = site};
    return &rules->sites[at];
}

static bool has_prefix_size(const struct site_rules *s, uint16_t size)
{
    for (size_t i = 0; i < s->prefix_size_count; i++)
        if (s->prefix_sizes[i] == size)
            return true;
    return false;
}

static void site_note(struct site_rules *s, const struct purge_rule *r)
{
    uint32_t newest = newest_of(r);
    s->newest = newest > s->newest ? newest : s->newest;
    if (r->kind == PURGE_TAG)
        s->newest_tag = newest > s->newest_tag ? newest : s->newest_tag;
    if (r->kind == PURGE_PREFIX && !has_prefix_size(s, r->text_size) &&
        CHECK(s->prefix_size_count < PURGE_PREFIX_SIZES_MAX))
        s->prefix_sizes[s->prefix_size_count++] = r->text_size;
}

static void filter_add(struct purge_rules *rules, uint64_t scope)
{
    size_t bit = (scope >> 32) % FILTER_BITS;
    rules->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static bool filter_has(const struct purge_rules *rules, uint64_t scope)
{
    size_t bit = (scope >> 32) % FILTER_BITS;
    return rules->filter[bit / 64] >> (bit % 64) & 1;
}

/* Sites and filter, after rules have gone. */
static void rebuild(struct purge_rules *rules)
{
    const struct purge_rule *r;
    rules->site_count = 0;
    memset(rules->filter, 0, sizeof(rules->filter));
    for (size_t at = 0; (r = purge_rules_next(rules, &at)) != NULL;) {
        struct site_rules *s = site_make(rules, r->site);
        if (!CHECK(s)) /* there are less than before */
            continue;
        site_note(s, r);
        s->count += r->kind != PURGE_SITE;
        filter_add(rules, r->scope);
    }
}

/* ---- the table ---- */

static struct purge_rule *slot_of(const struct purge_rules *rules, uint64_t scope)
{
    size_t at = scope & (rules->capacity - 1);
    while (rules->slots[at].kind && rules->slots[at].scope != scope)
        at = (at + 1) & (rules->capacity - 1);
    return &rules->slots[at];
}

/* Empties a slot and moves back into it what would not be found any more. */
static void slot_clear(struct purge_rules *rules, size_t hole)
{
    size_t mask = rules->capacity - 1;
    for (size_t at = (hole + 1) & mask; rules->slots[at].kind; at = (at + 1) & mask) {
        size_t home = rules->slots[at].scope & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home lies behind the hole */
        rules->slots[hole] = rules->slots[at];
        hole = at;
    }
    rules->slots[hole] = (struct purge_rule){0};
    rules->count--;
}

static void merge(struct purge_rule *into, const struct purge_rule *r)
{
    if (r->hard > into->hard) {
        into->hard = r->hard;
        into->hard_at_ms = r->hard_at_ms;
    }
    if (r->soft > into->soft) {
        into->soft = r->soft;
        into->soft_at_ms = r->soft_at_ms;
    }
    if (into->soft < into->hard) /* it says nothing more */
        into->soft = 0;
}

/* Takes out the rules that `is_gone` names; returns how many. What moves into a hole is asked too. */
static size_t remove_if(struct purge_rules *rules, bool (*is_gone)(struct purge_rule *r, void *user),
                        void *user)
{
    size_t removed = 0;
    for (size_t at = 0; at < rules->capacity; at++)
        while (rules->slots[at].kind && is_gone(&rules->slots[at], user)) {
            slot_clear(rules, at);
            removed++;
        }
    rebuild(rules);
    return removed;
}

/* ---- floor ---- */

static bool is_below_floor(struct purge_rule *r, void *user)
{
    uint32_t floor = *(uint32_t *)user;
    if (r->hard <= floor)
        r->hard = 0;
    if (r->soft <= floor)
        r->soft = 0;
    return r->hard == 0 && r->soft == 0;
}

size_t purge_rules_raise_floor(struct purge_rules *rules, uint32_t floor)
{
    if (floor <= rules->floor)
        return 0;
    rules->floor = floor;
    return remove_if(rules, is_below_floor, &floor);
}

/* ---- room ---- */

struct folding {
    uint64_t site;
    uint32_t up_to;
    struct purge_rule into;
};

static bool is_folded(struct purge_rule *r, void *user)
{
    struct folding *f = user;
    if (r->site != f->site || newest_of(r) > f->up_to)
        return false;
    merge(&f->into, r); /* the rule of the site itself too: it comes back as part of the new one */
    return true;
}

/* The generation that about half of the site's rules do not exceed, and at least two. */
static uint32_t median(const struct purge_rules *rules, const struct site_rules *s)
{
    uint32_t low = s->count < 4 ? s->newest : 0, high = s->newest;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct purge_rule *r;
        size_t count = 0;
        for (size_t at = 0; (r = purge_rules_next(rules, &at)) != NULL;)
            count += r->site == s->site && r->kind != PURGE_SITE && newest_of(r) <= middle;
        if (count >= 2 && count * 4 >= s->count && count * 4 <= s->count * 3)
            return middle;
        if (count * 2 >= s->count)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static size_t insert(struct purge_rules *rules, const struct purge_rule *rule);

static size_t fold(struct purge_rules *rules)
{
    struct site_rules *most = &rules->sites[0];
    for (size_t i = 1; i < rules->site_count; i++)
        most = rules->sites[i].count > most->count ? &rules->sites[i] : most;
    if (most->count < 2) /* nothing to be gained */
        return purge_rules_raise_floor(rules, purge_rules_newest(rules));
    struct folding folding = {.site = most->site, .up_to = median(rules, most)};
    folding.into =
        (struct purge_rule){.site = most->site, .scope = site_scope(most->site), .kind = PURGE_SITE};
    size_t removed = remove_if(rules, is_folded, &folding);
    return removed + insert(rules, &folding.into);
}

static size_t insert(struct purge_rules *rules, const struct purge_rule *rule)
{
    size_t folded = 0;
    struct purge_rule *slot = slot_of(rules, rule->scope);
    while (!slot->kind && rules->count >= rules->max) {
        folded += fold(rules);
        slot = slot_of(rules, rule->scope);
    }
    struct site_rules *s = site_make(rules, rule->site);
    if (!s) {
        folded += purge_rules_raise_floor(rules, purge_rules_newest(rules));
        slot = slot_of(rules, rule->scope);
        s = site_make(rules, rule->site);
    }
    if (!slot->kind) {
        *slot = (struct purge_rule){
            .site = rule->site, .scope = rule->scope, .text_size = rule->text_size, .kind = rule->kind};
        rules->count++;
        s->count += rule->kind != PURGE_SITE;
        filter_add(rules, rule->scope);
    }
    merge(slot, rule);
    site_note(s, slot);
    return folded;
}

size_t purge_rules_put(struct purge_rules *rules, const struct purge_rule *rule)
{
    uint32_t floor = rules->floor;
    struct purge_rule r = *rule;
    if (is_below_floor(&r, &floor))
        return 0;
    const struct site_rules *s = site_find(rules, r.site);
    if (r.kind == PURGE_PREFIX && s && s->prefix_size_count == PURGE_PREFIX_SIZES_MAX &&
        !has_prefix_size(s, r.text_size)) { /* from a log of other bounds */
        r.kind = PURGE_SITE;
        r.scope = site_scope(r.site);
        r.text_size = 0;
    }
    return insert(rules, &r);
}

static size_t cut_prefix(const struct purge_rules *rules, const struct purge_order *order, uint64_t site)
{
    const struct site_rules *s = site_find(rules, site);
    size_t size = 0;
    if (!s || s->prefix_size_count < PURGE_PREFIX_SIZES_MAX || has_prefix_size(s, (uint16_t)order->text.size))
        return order->text.size;
    for (size_t i = 0; i < s->prefix_size_count; i++)
        if (s->prefix_sizes[i] < order->text.size && s->prefix_sizes[i] > size)
            size = s->prefix_sizes[i];
    return size > order->site.size ? size : order->site.size;
}

void purge_rules_make(const struct purge_rules *rules, const struct purge_order *order, uint32_t generation,
                      int64_t at_ms, struct purge_rule *ret_rule)
{
    uint64_t site = hash_sum(order->site.data, order->site.size);
    enum purge_kind kind = order->kind;
    struct slice text = kind == PURGE_SITE ? SLICE_EMPTY : order->text;
    if (kind == PURGE_PREFIX) {
        text.size = cut_prefix(rules, order, site);
        if (text.size == order->site.size) {
            kind = PURGE_SITE;
            text = SLICE_EMPTY;
        }
    }
    *ret_rule = (struct purge_rule){.site = site,
                                    .scope = scope_of(kind, site, text),
                                    .text_size = (uint16_t)(kind == PURGE_PREFIX ? text.size : 0),
                                    .kind = (uint8_t)kind};
    if (order->is_soft) {
        ret_rule->soft = generation;
        ret_rule->soft_at_ms = at_ms;
    } else {
        ret_rule->hard = generation;
        ret_rule->hard_at_ms = at_ms;
    }
}

/* ---- judging ---- */

struct judging {
    const struct purge_rules *rules;
    uint64_t site;
    uint32_t generation;
    enum purge_effect effect;
    struct purge_match match;
};

static void note(struct judging *j, enum purge_effect effect, uint32_t generation, int64_t at_ms,
                 const struct purge_rule *r, struct slice text)
{
    bool is_stronger =
        effect > j->effect || (effect == j->effect && effect == PURGE_SOFT && at_ms < j->match.at_ms);
    if (!is_stronger)
        return;
    j->effect = effect;
    j->match = (struct purge_match){generation, (enum purge_kind)r->kind, at_ms, text};
}

/* True once nothing can be worse. */
static bool consider(struct judging *j, enum purge_kind kind, struct slice text)
{
    uint64_t scope = scope_of(kind, j->site, kind == PURGE_SITE ? SLICE_EMPTY : text);
    if (!filter_has(j->rules, scope))
        return false;
    const struct purge_rule *r = slot_of(j->rules, scope);
    if (r->kind && r->hard > j->generation)
        note(j, PURGE_HARD, r->hard, r->hard_at_ms, r, text);
    else if (r->kind && r->soft > j->generation)
        note(j, PURGE_SOFT, r->soft, r->soft_at_ms, r, text);
    return j->effect == PURGE_HARD;
}

static bool consider_tags(struct judging *j, struct slice head)
{
    struct purge_tags tags;
    struct slice tag;
    purge_tags_init(&tags, head);
    for (size_t count = 0; purge_tags_next(&tags, &tag); count++) {
        if (count == PURGE_TAGS_MAX) {
            j->effect = PURGE_HARD;
            j->match = (struct purge_match){.kind = PURGE_TAG};
        }
        if (j->effect == PURGE_HARD || consider(j, PURGE_TAG, tag))
            return true;
    }
    return false;
}

static void judge(struct judging *j, const struct site_rules *s, struct slice name, struct slice url,
                  struct slice head)
{
    if (consider(j, PURGE_SITE, name) || consider(j, PURGE_URL, url))
        return;
    for (size_t i = 0; i < s->prefix_size_count; i++)
        if (s->prefix_sizes[i] <= url.size &&
            consider(j, PURGE_PREFIX, slice_make(url.data, s->prefix_sizes[i])))
            return;
    if (s->newest_tag <= j->generation)
        return;
    if (!head.data) {
        j->effect = PURGE_HARD;
        j->match = (struct purge_match){.generation = s->newest_tag, .kind = PURGE_TAG};
    } else {
        consider_tags(j, head);
    }
}

enum purge_effect purge_rules_judge(const struct purge_rules *rules, const struct purge_subject *subject,
                                    struct purge_match *ret_match)
{
    struct slice url = slice_make(subject->key_text.data, slice_find(subject->key_text, ' '));
    struct slice name = slice_make(url.data, slice_find(url, '/'));
    struct judging j = {
        .rules = rules, .site = hash_sum(name.data, name.size), .generation = subject->generation};
    const struct site_rules *s = site_find(rules, j.site);
    if (subject->generation < rules->floor) {
        j.effect = PURGE_HARD;
        j.match.generation = rules->floor;
    } else if (s && s->newest > subject->generation) {
        judge(&j, s, name, url, subject->head);
    }
    if (j.effect != PURGE_NONE && ret_match)
        *ret_match = j.match;
    return j.effect;
}
