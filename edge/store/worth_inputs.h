/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an object, as the learner's inputs: how often it, its neighbours and its title were asked
 * for, who is on the way to it, where it stands. Thread safe: the tables have locks of their own.
 */
#ifndef STORE_WORTH_INPUTS_H
#define STORE_WORTH_INPUTS_H

#include "store/worth.h"
#include "store/worth_model.h"
#include "store/worth_titles.h"

struct knowledge {
    struct rates_table *objects;
    struct rates_table *blocks; /* of 16 segments in all renditions of a title */
    struct titles *titles;
};

/* The straight line to start with: what the features mean, before the traffic has said its own. */
extern const float inputs_line[MODEL_INPUTS];

/* What a request tells. */
void inputs_note(struct knowledge *k, const struct worth_object *o, uint32_t now_s);

/* turnover_s: how long an object that nobody asks for would stay. False: it is dead, behind its live window.
 */
bool inputs_read(struct knowledge *k, const struct worth_object *o, float turnover_s, uint32_t now_s,
                 float ret_inputs[MODEL_INPUTS]);

struct rates inputs_own_rates(struct knowledge *k, const struct worth_object *o, uint32_t now_s);

#endif
