/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity's files become a context of OpenSSL's: certificates, keys and the OCSP responses to staple.
 * Private to common/io.
 */
#ifndef IO_TLS_IDENTITY_H
#define IO_TLS_IDENTITY_H

#include "base/counter.h"
#include "tls_private.h"

struct tls_identity_stats { /* shared by threads */
    counter_t stapled, not_stapled;
};

/* Puts all of it into the context, or says in `error` which file is at fault. With `only_valid` a certificate
 * that has expired is at fault, too. An OCSP response that cannot be used is logged and left out. */
int tls_identity_load(const struct tls_identity *identity, bool only_valid, int64_t now_s,
                      struct tls_identity_stats *stats, SSL_CTX *context,
                      struct tls_certificate_info ret_infos[TLS_CERTIFICATES_MAX], struct buf *error);

/* A number that changes with the files; taken before they are read. */
uint64_t tls_identity_mark(const struct tls_identity *identity);
uint64_t tls_files_mark(const char *const *paths, size_t count);

#endif
