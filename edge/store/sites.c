/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sites.h. A number is a place in a table of open addressing: the sum of the name says where to begin.
 * Places are never freed, as objects of a site that has left may be there for long, and it may come back.
 */
#include "store/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

_Static_assert(SUPERBLOCK_SITES_MAX == UINT16_MAX + 1, "every number has a place in the table");

struct sites {
    uint32_t count;
    uint16_t number_of[SUPERBLOCK_SITES_MAX]; /* by id */
    uint16_t id_of[SUPERBLOCK_SITES_MAX];     /* by number; 0: not configured */
};

static uint64_t name_sum(const struct store_site *site)
{
    uint64_t sum = hash_sum(site->name, strlen(site->name));
    return sum ? sum : 1;
}

static uint16_t place_at(uint64_t sum, uint32_t i)
{
    return (uint16_t)(1 + (sum + i) % SITES_MAX);
}

/* 0: it has none. */
static uint16_t find(const struct superblock *sb, uint64_t sum)
{
    for (uint32_t i = 0; i < SITES_MAX; i++) {
        uint16_t number = place_at(sum, i);
        if (sb->sites[number] == sum)
            return number;
        if (sb->sites[number] == 0)
            return 0;
    }
    return 0;
}

/* A free one. When all were given out, which takes more names than an arena sees in its life, that of a site
 * that has left: what is still there of it is taken for the new one's. */
static uint16_t choose(const struct sites *s, const struct superblock *sb, uint64_t sum)
{
    for (uint32_t i = 0; i < SITES_MAX; i++)
        if (sb->sites[place_at(sum, i)] == 0)
            return place_at(sum, i);
    for (uint32_t i = 0; i < SITES_MAX; i++)
        if (s->id_of[place_at(sum, i)] == 0)
            return place_at(sum, i);
    UNREACHABLE();
}

static void set(struct sites *s, uint32_t id, uint16_t number)
{
    s->number_of[id] = number;
    if (number != 0)
        s->id_of[number] = (uint16_t)id;
}

int sites_open(struct superblock *sb, const struct store_site *sites, uint32_t count,
               struct sites **ret_sites)
{
    REQUIRE(count <= SITES_MAX);
    struct sites *s = calloc(1, sizeof(*s));
    bool is_changed = false;
    if (!s)
        return -ENOMEM;
    s->count = count;
    for (uint32_t i = 0; i < count; i++) /* all that have one, before any of these is given away */
        set(s, i + 1, find(sb, name_sum(&sites[i])));
    for (uint32_t i = 0; i < count; i++) {
        if (s->number_of[i + 1] != 0)
            continue;
        set(s, i + 1, choose(s, sb, name_sum(&sites[i])));
        sb->sites[s->number_of[i + 1]] = name_sum(&sites[i]);
        is_changed = true;
    }
    if (is_changed && !superblock_sync(sb)) {
        free(s);
        return -EIO;
    }
    *ret_sites = s;
    return 0;
}

void sites_free(struct sites *s)
{
    free(s);
}

uint32_t sites_count(const struct sites *s)
{
    return s->count;
}

uint16_t sites_number(const struct sites *s, unsigned id)
{
    return id <= s->count ? s->number_of[id] : 0;
}

unsigned sites_id(const struct sites *s, uint16_t number)
{
    return s->id_of[number];
}
