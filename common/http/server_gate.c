/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in, and who has to go for him: the gate counts, this knows which of the server's connections
 * keep it waiting or take nothing.
 */
#include "h2_connection.h"
#include "http/server.h"
#include "server_connection.h"

#define VICTIMS_MAX      64 /* looked at when there is no room for a connection */
#define BLOCKED_MAX      16 /* the same, of those who take nothing; looking costs a system call */
#define BLOCKED_FAIR_MS  1000
#define CROWD_MIN        8 /* connections of a client, who is not asked to wait so long for one of them */
#define BLOCKED_CROWD_MS 100

/* A guest of no numbers is anybody. */
static bool may_go_for(const struct connection *c, struct http_guest guest)
{
    if (guest.prefix)
        return c->guest.prefix == guest.prefix;
    return !guest.client || c->guest.client == guest.client;
}

/* Whom to cut off for another: who is one of too many, and of those the one of the largest crowd. */
static struct connection *victim(struct http_server *s, struct http_guest guest)
{
    const struct http_gate *gate = s->options.gate;
    struct connection *c, *found = NULL;
    uint32_t most = 0;
    unsigned looked = 0;

    LIST_FOR_EACH (c, &s->waiting, waiting) {
        uint32_t count = gate->crowd(gate->user, c->guest);

        if (looked++ == VICTIMS_MAX)
            break;
        if (!may_go_for(c, guest))
            continue;
        if (!found || count > most) {
            found = c;
            most = count;
        }
    }
    return found;
}

static uint64_t stalled_ms(struct connection *c)
{
    if (c->state == CONNECTION_HTTP2 && !c->drain.is_blocked) /* by windows, or requests that do not end */
        return h2_connection_stalled_ms(c->h2);
    return server_connection_stalled_ms(c);
}

/* Who has taken nothing for a while, though there is something: the longest blocked are asked. */
static struct connection *stalled_victim(struct http_server *s, struct http_guest guest)
{
    const struct http_gate *gate = s->options.gate;
    struct connection *c;
    unsigned looked = 0;

    LIST_FOR_EACH (c, &s->blocked, waiting) {
        bool is_of_crowd = gate->crowd(gate->user, c->guest) >= CROWD_MIN;

        if (looked++ == BLOCKED_MAX)
            break;
        if (may_go_for(c, guest) && stalled_ms(c) >= (is_of_crowd ? BLOCKED_CROWD_MS : BLOCKED_FAIR_MS))
            return c;
    }
    return NULL;
}

/* Makes room for a connection by ending one whose client keeps it waiting, the longest first: so a flood of
 * idle ones pushes out itself, and who shares an address with it is still let in. */
static bool make_room(struct http_server *s, struct http_guest guest, enum http_refusal refusal)
{
    struct connection *c = victim(s, guest);

    if (!c)
        c = stalled_victim(s, guest);
    if (!c)
        return false;
    server_connection_cut(c, refusal);
    return true;
}

void http_server_push_out(struct http_server *s)
{
    const struct http_guest anybody = {0};

    if (!s->draining)
        make_room(s, anybody, HTTP_REFUSAL_TOO_MANY_CONNECTIONS);
}

bool http_server_has_idle(const struct http_server *s)
{
    return counter_read(&s->waiting_count) > 0;
}

/* The room for all is used up. This server's own waiting connections go first; if it has none, another's. */
static bool enter(struct http_server *s, enum http_refusal *ret_refusal)
{
    const struct http_gate *gate = s->options.gate;
    const struct http_guest anybody = {0};

    if (gate->enter(gate->user, false, ret_refusal))
        return true;
    if (make_room(s, anybody, *ret_refusal))
        return gate->enter(gate->user, false, ret_refusal);
    return s->options.on_crowded && s->options.on_crowded(s->options.user) &&
           gate->enter(gate->user, true, ret_refusal);
}

bool server_gate_pass(struct http_server *s, const struct addr *peer, struct http_guest *ret_guest,
                      enum http_refusal *ret_refusal)
{
    const struct http_gate *gate = s->options.gate;
    struct http_guest nobody = {0};

    if (!gate)
        return true;
    if (!enter(s, ret_refusal))
        return false;
    if (gate->identify(gate->user, peer, ret_guest, ret_refusal) ||
        (make_room(s, *ret_guest, *ret_refusal) && gate->identify(gate->user, peer, ret_guest, ret_refusal)))
        return true;
    gate->leave(gate->user, nobody);
    return false;
}
