/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS settings: certificates by name for servers, verification for clients. OpenSSL is seen by common/io
 * only. A tls_server is immutable once made and shared by all workers (its references are counted).
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/buf.h"

struct tls_server;
struct tls_client;

/* The caller's choice for a name: an index into the certificates given, or -1 to refuse (alert
 * unrecognized_name). `name` is the SNI in lower case, or data NULL when the client sent none; `local_ip` the
 * address it connected to, as text. Called on any thread. */
typedef int tls_choose_fn(void *user, struct slice name, const char *local_ip);

struct tls_certificate {
    const char *certificate_path; /* PEM, with its chain */
    const char *key_path;         /* PEM */
};

/* Loads all; on failure a sentence naming the file stands in `error`. */
int tls_server_new(const struct tls_certificate *certificates, size_t count, tls_choose_fn *choose,
                   void *user, struct buf *error, struct tls_server **ret_server);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t); /* NULL is fine */

/* ca_path NULL: the system's authorities. verify false is for tests and says so in the log. */
int tls_client_new(const char *ca_path, bool verify, struct buf *error, struct tls_client **ret_client);
/* What it shows to servers that ask for a certificate. Before its first connection. */
int tls_client_show(struct tls_client *t, const char *certificate_path, const char *key_path,
                    struct buf *error);
void tls_client_free(struct tls_client *t);

#endif
