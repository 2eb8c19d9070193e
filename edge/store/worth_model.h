/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learner: from what is known of an object to the odds that it is asked for again soon. A straight line
 * and a small hidden layer beside it under one logistic function, learning from one example at a time
 * (Adagrad). Not thread safe.
 */
#ifndef STORE_WORTH_MODEL_H
#define STORE_WORTH_MODEL_H

#include <stdint.h>

#define MODEL_INPUTS 48 /* a multiple of 8; about -3 to 3 each */
#define MODEL_HIDDEN 16

struct model {
    float line[MODEL_INPUTS], line_squares[MODEL_INPUTS];
    float in[MODEL_HIDDEN][MODEL_INPUTS], in_squares[MODEL_HIDDEN][MODEL_INPUTS];
    float out[MODEL_HIDDEN], out_squares[MODEL_HIDDEN];
};

/* Starts with this straight line, and a hidden layer that says nothing yet. */
void model_init(struct model *m, const float line[MODEL_INPUTS], uint64_t seed);

/* The logarithm of the odds. */
float model_predict(const struct model *m, const float inputs[MODEL_INPUTS]);

/* `truth`: what the probability should have been. */
void model_learn(struct model *m, const float inputs[MODEL_INPUTS], float truth);

#endif
