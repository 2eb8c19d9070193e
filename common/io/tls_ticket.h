/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of session tickets, made from a secret and the time, so that edges which share a secret agree without
 * talking: time is cut into epochs of one rotation each, and every epoch has its own key (HKDF, RFC 5869).
 * Tickets are sealed with the present epoch's, and opened with those of the epoch before and of the one
 * after, too, as clocks differ. Private to common/io.
 */
#ifndef IO_TLS_TICKET_H
#define IO_TLS_TICKET_H

#include "tls_private.h"

#define TLS_TICKET_NAME_SIZE   16
#define TLS_TICKET_SECRETS_MAX 8

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_SIZE]; /* stands in the ticket, and tells nothing */
    unsigned char cipher[32];                 /* AES-256-CBC */
    unsigned char mac[32];                    /* HMAC-SHA256 */
};

/* The key of one epoch; false when OpenSSL fails. */
bool tls_ticket_derive(struct slice secret, uint64_t rotation_s, uint64_t epoch,
                       struct tls_ticket_key *ret_key);

enum tls_ticket_match { TLS_TICKET_UNKNOWN, TLS_TICKET_CURRENT, TLS_TICKET_OLD }; /* old: give a new one */

struct tls_tickets;

/* No paths: a random secret. On failure a sentence stands in `error`. */
int tls_tickets_new(const char *const *paths, size_t count, uint64_t rotation_s, int64_t now_s,
                    struct buf *error, struct tls_tickets **ret_tickets);
void tls_tickets_free(struct tls_tickets *t); /* NULL is fine */

/* Reads the files again, if they have changed or if `all`. 1: done, 0: nothing to do, negative: they cannot
 * be used, the old ones stay, and `error` says why. */
int tls_tickets_refresh(struct tls_tickets *t, bool all, int64_t now_s, struct buf *error);

/* The key to seal with, and the one that a ticket names. Any thread. */
bool tls_tickets_present(struct tls_tickets *t, int64_t now_s, struct tls_ticket_key *ret_key);
enum tls_ticket_match tls_tickets_find(struct tls_tickets *t, int64_t now_s,
                                       const unsigned char name[TLS_TICKET_NAME_SIZE],
                                       struct tls_ticket_key *ret_key);
uint64_t tls_tickets_epoch(const struct tls_tickets *t, int64_t now_s);

/* Has a server's context use them; they must outlive it. A handshake may move between contexts: all of a
 * server's must have them. */
void tls_tickets_attach(struct tls_tickets *t, SSL_CTX *context);

#endif
