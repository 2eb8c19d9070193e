/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a TLS session gets its OpenSSL object from the settings, and what it tells them. Private to common/io.
 */
#ifndef IO_TLS_PRIVATE_H
#define IO_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "io/tls.h"

/* A new connection with these settings, or NULL. A server's calls tls_session_fd on its app data
 * (SSL_set_app_data) during the handshake. */
SSL *tls_server_connection(struct tls_server *t);
SSL *tls_client_connection(struct tls_client *t, const char *server_name);

/* Whether the kernel may be asked to encrypt. */
bool tls_server_has_ktls(const struct tls_server *t);

/* Whether clients may send early data. */
bool tls_server_takes_early(const struct tls_server *t);

/* Some of a client's early data was taken. */
void tls_server_note_early(struct tls_server *t);

/* A handshake has ended well. */
void tls_server_note_open(struct tls_server *t, const SSL *ssl, bool is_ktls);

/* A connection broke when its client wanted other keys, which the kernel could not change to. */
void tls_server_note_key_update(struct tls_server *t);

/* Logs why a client's handshake failed, at most once a second in the whole process. */
void tls_log_failure(const SSL *ssl);

/* What servers and clients have in common. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);

/* Why the last call of OpenSSL failed: the oldest error of this thread, as what follows only tells who passed
 * it on. */
const char *tls_take_reason(void);

/* The address at one end of a connection. */
typedef int tls_get_address_fn(int fd, struct sockaddr *sa, socklen_t *size); /* getsockname, getpeername */
void tls_address_text(const SSL *ssl, tls_get_address_fn *get_address, char ret_text[ADDR_TEXT_MAX]);

#endif
