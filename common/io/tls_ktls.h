/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the kernel encrypts (kTLS, Linux's tls module). Private to common/io.
 */
#ifndef IO_TLS_KTLS_H
#define IO_TLS_KTLS_H

#include <stdbool.h>

/* Tried once in a process, on a pair of sockets of its own. */
bool tls_ktls_is_available(void);

/* Readies a connected TCP socket: from now on the kernel may be given keys for it. False: it will not. */
bool tls_ktls_enable(int fd);

#endif
