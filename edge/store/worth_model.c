/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of one hidden layer of rectifiers; inner loops that compilers turn into vectors. */
#include "store/worth_model.h"

#include <math.h>
#include <string.h>

#define LEARNING_RATE 0.05f
#define SQUARES_FIRST 1.0f /* so that the first examples do not throw it far */
#define HIDDEN_FIRST  0.3f
#define ODDS_MAX      12.0f

static float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) / 2147483648.0f;
}

static void fill(float *values, unsigned count, float value)
{
    for (unsigned i = 0; i < count; i++)
        values[i] = value;
}

void worth_model_init(struct worth_model *m, const float line[WORTH_MODEL_INPUTS], uint64_t seed)
{
    *m = (struct worth_model){.out = {0}};
    memcpy(m->line, line, sizeof(m->line));
    fill(m->line_squares, WORTH_MODEL_INPUTS, SQUARES_FIRST);
    fill(m->out_squares, WORTH_MODEL_HIDDEN, SQUARES_FIRST);
    for (unsigned j = 0; j < WORTH_MODEL_HIDDEN; j++) {
        fill(m->in_squares[j], WORTH_MODEL_INPUTS, SQUARES_FIRST);
        for (unsigned i = 0; i < WORTH_MODEL_INPUTS; i++)
            m->in[j][i] = noise(&seed) * HIDDEN_FIRST;
    }
}

static float dot(const float *a, const float *b, unsigned count)
{
    float sums[8] = {0};
    for (unsigned i = 0; i < count; i += 8)
        for (unsigned k = 0; k < 8; k++)
            sums[k] += a[i + k] * b[i + k];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static float forward(const struct worth_model *m, const float *inputs, float hidden[WORTH_MODEL_HIDDEN])
{
    for (unsigned j = 0; j < WORTH_MODEL_HIDDEN; j++)
        hidden[j] = fmaxf(dot(m->in[j], inputs, WORTH_MODEL_INPUTS), 0);
    float odds = dot(m->line, inputs, WORTH_MODEL_INPUTS) + dot(m->out, hidden, WORTH_MODEL_HIDDEN);
    return fminf(fmaxf(odds, -ODDS_MAX), ODDS_MAX);
}

float worth_model_predict(const struct worth_model *m, const float inputs[WORTH_MODEL_INPUTS])
{
    float hidden[WORTH_MODEL_HIDDEN];
    return forward(m, inputs, hidden);
}

static void step(float *weights, float *squares, const float *inputs, float slope, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        float gradient = slope * inputs[i];
        squares[i] += gradient * gradient;
        weights[i] -= LEARNING_RATE * gradient / sqrtf(squares[i]);
    }
}

void worth_model_learn(struct worth_model *m, const float inputs[WORTH_MODEL_INPUTS], float truth)
{
    float hidden[WORTH_MODEL_HIDDEN], out[WORTH_MODEL_HIDDEN];
    float slope = 1 / (1 + expf(-forward(m, inputs, hidden))) - truth;
    memcpy(out, m->out, sizeof(out));
    step(m->line, m->line_squares, inputs, slope, WORTH_MODEL_INPUTS);
    step(m->out, m->out_squares, hidden, slope, WORTH_MODEL_HIDDEN);
    for (unsigned j = 0; j < WORTH_MODEL_HIDDEN; j++)
        if (hidden[j] > 0)
            step(m->in[j], m->in_squares[j], inputs, slope * out[j], WORTH_MODEL_INPUTS);
}
