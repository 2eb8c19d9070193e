/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learner: from what is known of an object to the odds that it is asked for again soon. A straight line
 * and a small hidden layer beside it under one logistic function, learning from one example at a time
 * (Adagrad). Not thread safe.
 */
#ifndef STORE_WORTH_MODEL_H
#define STORE_WORTH_MODEL_H

#include <stdint.h>

#define WORTH_MODEL_INPUTS 48 /* a multiple of 8; about -3 to 3 each */
#define WORTH_MODEL_HIDDEN 16

struct worth_model {
    float line[WORTH_MODEL_INPUTS], line_squares[WORTH_MODEL_INPUTS];
    float in[WORTH_MODEL_HIDDEN][WORTH_MODEL_INPUTS], in_squares[WORTH_MODEL_HIDDEN][WORTH_MODEL_INPUTS];
    float out[WORTH_MODEL_HIDDEN], out_squares[WORTH_MODEL_HIDDEN];
};

/* Starts with this straight line, and a hidden layer that says nothing yet. */
void worth_model_init(struct worth_model *m, const float line[WORTH_MODEL_INPUTS], uint64_t seed);

/* The logarithm of the odds. */
float worth_model_predict(const struct worth_model *m, const float inputs[WORTH_MODEL_INPUTS]);

/* `truth`: what the probability should have been. */
void worth_model_learn(struct worth_model *m, const float inputs[WORTH_MODEL_INPUTS], float truth);

#endif
