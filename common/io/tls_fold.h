/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of idle TLS connections. OpenSSL's object of a connection takes 7.6 kB (3.0), all but 1.6 kB of it
 * zeros: room for 32 records where one is ever under way. While nothing moves on a connection its object can
 * be folded: what is not zero is kept, and the pages it lies on go back to the system. Its address stays its
 * own, so OpenSSL need not know. Private to common/io.
 */
#ifndef IO_TLS_FOLD_H
#define IO_TLS_FOLD_H

#include <openssl/ssl.h>

/* What is left of a folded connection. */
struct tls_folded;

/* As SSL_new; what it makes can be folded if tls_manage_memory was called in time, and there was room. */
SSL *tls_fold_new(SSL_CTX *context);

/* NULL: it cannot be folded, and nothing has changed. Else nobody may use `ssl`, or free it, before
 * tls_unfold. */
struct tls_folded *tls_fold(SSL *ssl);
void tls_unfold(SSL *ssl, struct tls_folded *folded);

#endif
