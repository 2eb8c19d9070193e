/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect, as the owner of several servers sees it: each server asks at its gate before it takes a
 * connection, and says when it is gone. What the counts are, and whom they count as one, is the owner's
 * business. Called on the servers' threads.
 */
#ifndef HTTP_GATE_H
#define HTTP_GATE_H

#include "base/addr.h"

enum http_refusal;

/* Whom a connection is counted for; numbers of the gate's own, 0 for nobody in particular. */
struct http_guest {
    uint32_t client, prefix;
};

struct http_gate {
    void *user;

    /* One more connection, from nobody in particular yet. False: *ret_refusal says why not. from_reserve: may
     * take what is kept for servers that cannot make room themselves and have asked another to. */
    bool (*enter)(void *user, bool from_reserve, enum http_refusal *ret_refusal);

    /* Its peer is known now. False: too many already of *ret_guest, who is set then too, but not counted. */
    bool (*identify)(void *user, const struct addr *peer, struct http_guest *ret_guest,
                     enum http_refusal *ret_refusal);
    void (*leave)(void *user, struct http_guest guest); /* what enter and identify have counted */

    /* The peer may begin a TLS handshake: it costs the server much and the peer little. NULL: always. */
    bool (*handshake)(void *user, const struct addr *peer, uint64_t now_ns);

    /* How many connections the guest's client has. */
    uint32_t (*crowd)(void *user, struct http_guest guest);
};

#endif
