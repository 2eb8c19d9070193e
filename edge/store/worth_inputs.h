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

struct worth_inputs {
    struct worth_rates_table *objects;
    struct worth_rates_table *blocks; /* of 16 segments in all renditions of a title */
    struct worth_titles *titles;
};

/* The straight line to start with: what the features mean, before the traffic has said its own. */
extern const float worth_inputs_line[WORTH_MODEL_INPUTS];

/* What a request tells. */
void worth_inputs_note(struct worth_inputs *k, const struct worth_object *o, uint32_t now_s);

/* turnover_s: how long an object that nobody asks for would stay. False: it is dead, behind its live window.
 */
bool worth_inputs_read(struct worth_inputs *k, const struct worth_object *o, float turnover_s, uint32_t now_s,
                       float ret_inputs[WORTH_MODEL_INPUTS]);

struct worth_rates worth_inputs_own_rates(struct worth_inputs *k, const struct worth_object *o,
                                          uint32_t now_s);

#endif
