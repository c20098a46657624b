#ifndef FRNN_RNN_WEIGHT_GRADIENTS_H
#define FRNN_RNN_WEIGHT_GRADIENTS_H

#include "rnn_plan.h"

/* Bytes of scratch that a thread needs. */
size_t frnn_weight_gradients_scratch(const frnn_sequence_gradient *gradient, const frnn_plan *plan);

/* Fills gradient->dweights and dtable, or adds to them, once the saved rows hold the dgates of all steps. zeros [P]; scratch:
 * thread_bytes for each thread. */
void frnn_weight_gradients(const frnn_sequence_gradient *gradient, const frnn_plan *plan, const void *zeros,
                           char *scratch, size_t thread_bytes, int threads);

#endif
