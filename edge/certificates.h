/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sites' certificates and the secrets of session tickets, as viewers meet them: which site a name (SNI)
 * belongs to, and a thread that looks at the files now and then and reads what has changed.
 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include "config.h"
#include "io/tls.h"
#include "site.h"

struct certificates;

/* Reads all files. No listener has TLS: 0, and *ret_certificates is NULL. `config` and `sites` outlive it. */
int certificates_new(const struct config *config, const struct site_table *sites, struct buf *error,
                     struct certificates **ret_certificates);
void certificates_free(struct certificates *c); /* NULL is fine */

/* Begins to look at the files. Before it nothing is ever read again. */
int certificates_start(struct certificates *c);

/* All files are read again, soon and on the thread of its own. */
void certificates_reload(struct certificates *c);

struct tls_server *certificates_server(const struct certificates *c); /* NULL is fine, and NULL then */

/* The identity in the server of a site (by its id), or -1. */
int certificates_of_site(const struct certificates *c, unsigned site_id);

#endif
