/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Examples that are waiting for their truth: what was known of some object at some time, until it is asked
 * for again or the wait is over. A fixed number, each object has one place; a place that waits takes nothing
 * new, so that what is slow to come true is not left out. worth_lessons_waits_for is thread safe, the others
 * are not.
 */
#ifndef STORE_WORTH_LESSONS_H
#define STORE_WORTH_LESSONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/worth_model.h"

struct worth_lessons;

struct worth_lessons *worth_lessons_new(size_t count);
void worth_lessons_free(struct worth_lessons *l);
size_t worth_lessons_memory_bytes(const struct worth_lessons *l);

bool worth_lessons_waits_for(const struct worth_lessons *l, uint64_t id);

/* Of the one that worth_lessons_waits_for told of: its place is free from now on. Returns how long it has
 * waited; what was known then. */
uint32_t worth_lessons_take(struct worth_lessons *l, uint64_t id, uint32_t now_s,
                            float ret_inputs[WORTH_MODEL_INPUTS]);

/* The one in the place that `id` would have, if it has waited in vain. False: it has not, or there is none.
 */
bool worth_lessons_take_expired(struct worth_lessons *l, uint64_t id, uint32_t now_s,
                                float ret_inputs[WORTH_MODEL_INPUTS]);

bool worth_lessons_is_free(const struct worth_lessons *l, uint64_t id); /* the place that it would have */
void worth_lessons_put(struct worth_lessons *l, uint64_t id, uint32_t now_s, uint32_t wait_max_s,
                       const float inputs[WORTH_MODEL_INPUTS]);

#endif
