/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have an origin asked, and when: the miss budget. A flood of requests for what is not kept (random
 * queries, most often) costs its own client first: so many fills a second, with a burst, and so many at a
 * time; and no more of a site at a time than that site may have. Who asks for more waits its turn, in the
 * order of asking, for a bounded time, and is then refused. Hits and joins of fills that run never come here.
 *
 * One for all workers. Clients (an IPv4 address, an IPv6 /56) are not listed but counted in two rows of cells
 * by a keyed hash each: memory is fixed, nothing is ever evicted, and whoever shares a cell of one row with a
 * flood has his own in the other. Time is a parameter.
 */
#ifndef ADMIT_H
#define ADMIT_H

#include <stdatomic.h>

#include "config.h"

#define ADMIT_ROWS 2

struct admit;

struct admit *admit_new(size_t site_count); /* NULL when memory is out */
void admit_free(struct admit *a);           /* NULL is fine */

/* One fill that runs. Zeroes: none. */
struct admit_ticket {
    unsigned site_id; /* 0: none */
    bool has_client;
    uint32_t cells[ADMIT_ROWS];
};

/* What one request has asked for so far. Zeroes to begin with. */
struct admit_turn {
    bool is_in_line;
    uint64_t due_us, deadline_us;
    struct admit_ticket ticket;
};

enum admit_answer {
    ADMIT_GO,         /* *ret_ticket is the caller's until admit_release */
    ADMIT_WAIT,       /* ask again in *ret_wait_us */
    ADMIT_NOT_CLIENT, /* not at all: too much for this client; *ret_wait_us: when it is worth asking again */
    ADMIT_NOT_SITE,   /* or for the site */
};
enum admit_answer admit_ask(struct admit *a, const struct config_misses *rules, unsigned site_id,
                            const struct addr *client, uint64_t now_us, struct admit_turn *turn,
                            struct admit_ticket *ret_ticket, uint64_t *ret_wait_us);

/* For what cannot wait, as its response has begun: counted, never refused. */
struct admit_ticket admit_force(struct admit *a, const struct config_misses *rules, unsigned site_id,
                                const struct addr *client);
void admit_release(struct admit *a, struct admit_ticket *ticket); /* of none it is harmless */

#endif
