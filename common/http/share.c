/* SPDX-License-Identifier: Apache-2.0 */
/* See share.h. */
#include "share.h"

#include <string.h>

#include "base/check.h"

#define PREFIX_SIZE 8 /* of IPv6: a /64 */

void share_init(struct share *s, size_t of_turn)
{
    *s = (struct share){.of_turn = of_turn};
}

/* Another one in each turn, so that who shares it with somebody does so for a turn only. */
static unsigned mark_of(const struct addr *client, uint64_t turn)
{
    uint64_t half;

    memcpy(&half, client->ip + (addr_is_ipv4(client) ? sizeof(client->ip) - PREFIX_SIZE : 0), sizeof(half));
    half = (half ^ turn * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    half = (half ^ half >> 29) * 0x94d049bb133111ebu;
    return (unsigned)(half >> 32) % SHARE_MARKS;
}

enum share_verdict share_ask(struct share *s, uint64_t turn, const struct addr *client)
{
    unsigned mark;
    uint64_t bit;

    if (s->turn != turn) {
        s->turn = turn;
        s->left = s->of_turn;
        memset(s->marks, 0, sizeof(s->marks));
    }
    if (s->left > 0)
        return SHARE_MUCH;
    mark = mark_of(client, turn);
    bit = (uint64_t)1 << mark % 64;
    if (s->marks[mark / 64] & bit)
        return SHARE_NOTHING;
    s->marks[mark / 64] |= bit;
    return SHARE_LITTLE;
}

void share_spend(struct share *s, size_t amount)
{
    s->left -= size_min(s->left, amount);
}
