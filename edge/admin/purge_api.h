/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /purge: who may, what is wanted, and the answer once it is in force and on the disk. Internal to
 * admin/.
 */
#ifndef ADMIN_PURGE_API_H
#define ADMIN_PURGE_API_H

#include "admin/admin.h"

struct purge_api;

/* `address`: where the admin listens. 0 or a negative errno. */
int purge_api_new(struct loop *l, const struct admin_purge_source *source, const struct addr *address,
                  struct purge_api **ret_api);
void purge_api_free(struct purge_api *api); /* its exchanges must be over; NULL is fine */

/* Takes over the exchange. `now_ms`: wall clock. */
void purge_api_handle(struct purge_api *api, struct exchange *x, int64_t now_ms);

#endif
