/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a TLS session gets its OpenSSL object from the settings. Private to common/io.
 */
#ifndef IO_TLS_PRIVATE_H
#define IO_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "io/tls.h"

/* A new connection with these settings, or NULL. A server's calls tls_session_fd on its app data
 * (SSL_set_app_data) during the handshake. */
SSL *tls_server_connection(struct tls_server *t);
SSL *tls_client_connection(struct tls_client *t, const char *server_name);

/* Logs why a client's handshake failed, at most once a second in the whole process. */
void tls_log_failure(const SSL *ssl);

#endif
