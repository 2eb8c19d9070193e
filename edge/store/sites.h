/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which site an object belongs to, over restarts. A site's id is its place in the configuration, which may be
 * another one next time; in the arena it has a number that stays. Metas on the disk (record, index) say the
 * number, those that the store's callers see the id. The table stands in the superblock.
 */
#ifndef STORE_SITES_H
#define STORE_SITES_H

#include "store/store.h"
#include "store/superblock.h"

struct sites;

/* Finds the numbers of the sites (by id - 1), and gives one to each that has none yet; they are on the disk
 * when it returns. At most SITES_MAX. 0, -ENOMEM or -EIO. */
#define SITES_MAX (SUPERBLOCK_SITES_MAX - 1)
int sites_open(struct superblock *sb, const struct store_site *sites, uint32_t count,
               struct sites **ret_sites);
void sites_free(struct sites *s); /* NULL is fine */

uint32_t sites_count(const struct sites *s);

/* 0: no site that is configured. */
uint16_t sites_number(const struct sites *s, unsigned id);
unsigned sites_id(const struct sites *s, uint16_t number);

#endif
