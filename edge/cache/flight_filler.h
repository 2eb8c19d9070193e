/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flight as its filler sees it, on the worker of the leader: the response's head, its body, its end.
 * flight.h has its life and its readers.
 *
 * START HERE: flight_set_filler -> flight_set_head -> flight_write ... -> flight_finish | flight_fail |
 * flight_drop | flight_revalidate
 */
#ifndef CACHE_FLIGHT_FILLER_H
#define CACHE_FLIGHT_FILLER_H

#include "cache/flight.h"

struct flight_filler {
    void (*on_orphaned)(struct flight *f, void *user); /* the last reader has left */
    void (*on_room)(struct flight *f, void *user);     /* a private response's window has room again */
    void *user;
};
void flight_set_filler(struct flight *f, const struct flight_filler *filler);

/* Before the head: what comes belongs under this key, and only its leader, and who joins it there, may have
 * it. False: memory is out. */
bool flight_move(struct flight *f, const struct store_key *key);
struct store_key flight_key(const struct flight *f);
unsigned flight_moves(const struct flight *f);

void flight_inform(struct flight *f, unsigned status, struct slice fields);

/* keep: store it; else it is shared among those who wait and forgotten. meta: of the object if its size is
 * known to exceed a slice (its head is stored now); otherwise flight_finish brings it. `first`: where the
 * body starts (0, or a 206's). 0, or a negative errno when there is no room. */
int flight_set_head(struct flight *f, const struct flight_head *head, bool keep, uint64_t first,
                    uint64_t limit, const struct store_meta *meta);
int flight_write(struct flight *f, const void *data, size_t size);
size_t
flight_write_size_hint(const struct flight *f); /* so many bytes next end at a boundary of large pages */
bool flight_is_full(struct flight *f);          /* private: pause until on_room */
bool flight_is_orphaned(struct flight *f);
unsigned flight_readers(const struct flight *f);      /* that it has had */
uint64_t flight_filled_bytes(const struct flight *f); /* received of the body so far: filled - first */
uint64_t flight_extent_bytes(const struct flight *f); /* that it will receive; or FLIGHT_SIZE_UNKNOWN */
struct slice flight_body(struct flight *f); /* the whole body, when it stands in one piece; else empty */

/* Each frees the filler's hold. finish: the body is complete. */
void flight_finish(struct flight *f, const struct store_meta *meta);
void flight_fail(struct flight *f, const char *reason, unsigned status);
void flight_forget(struct flight *f); /* the body is not what it should be: removes what is stored of it */
bool flight_drop(struct flight *f); /* for want of readers; false, and it goes on, when there is one again */

/* A 304 has come. head: in place of the stored one, in reply.h's form; data NULL: that still says it all. */
void flight_revalidate(struct flight *f, const struct store_meta *meta, struct slice head);

const struct store_object *flight_stale(const struct flight *f); /* NULL: nothing to revalidate */
void flight_range(const struct flight *f, bool *ret_ranged, uint64_t *ret_first, uint64_t *ret_limit);

/* What is known of a slice of the object under this key. */
struct store_hint flight_slice_hint(struct hash128 key_hash, uint64_t index, uint64_t session);

#endif
