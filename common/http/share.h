/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may make the loop work in this turn, and how much: as long as there is something left for all of them,
 * whoever comes first; then every client a little, once. So a turn is short whatever one client's thousands
 * of connections ask for, and nobody goes away with nothing. Clients are addresses (IPv6: a /64). Two may be
 * taken for one; the next turn tells them apart.
 */
#ifndef HTTP_SHARE_H
#define HTTP_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define SHARE_MARKS 1024u

struct share {
    size_t of_turn; /* what all of them may have before they are counted */
    uint64_t turn;  /* of the fields below */
    size_t left;
    uint64_t marks[SHARE_MARKS / 64]; /* clients who had their little */
};

enum share_verdict {
    SHARE_NOTHING, /* in this turn */
    SHARE_LITTLE,  /* once */
    SHARE_MUCH,
};

void share_init(struct share *s, size_t of_turn);

/* turn: any number that is another in another turn of the loop, and not 0. */
enum share_verdict share_ask(struct share *s, uint64_t turn, const struct addr *client);

/* What was made of it. */
void share_spend(struct share *s, size_t amount);

#endif
