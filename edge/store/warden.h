/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that calls back once a second, and itself never waits for a disk. */
#ifndef STORE_WARDEN_H
#define STORE_WARDEN_H

#include <stdint.h>

struct warden;
typedef void (*warden_fn)(void *context, int64_t now_ms);

/* 0 or a negative errno. */
int warden_start(warden_fn look, void *context, struct warden **ret_warden);
void warden_stop(struct warden *w); /* NULL is fine */

#endif
