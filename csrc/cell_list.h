/* A line a cell: X(id, name, gates, recurrent_gates, input_slots, saved_slots, c_slot, norm_slot, panel_units, direct,
 *                  recurrent_count, recurrent_slots).
 *
 * The engine knows cells by these counts alone.
 *   recurrent_gates  gates that read the state through weight_hh: all of them, or none, and then threads may share units
 *   input_slots      slots of the pre-activation row that the input product (and biases) fill
 *   saved_slots      slots of the row that forward leaves for backward; the first `gates` receive dgates
 *   c_slot           where the cell state lies in the saved row; -1: the cell has none
 *   norm_slot        layer normalisation: where the terms of the gradients of biases and gains lie in the saved row, in the
 *                    order of frnn_plan.bias; the input product then starts from zero; -1: none
 *   panel_units      vectors of units a panel of the recurrent product holds (recurrent_count * units <= 4)
 *   direct           1 if h_prev reaches h past the recurrent product
 *   recurrent_count  gates computed together by the recurrent product; the others wait for its result
 *   recurrent_slots  where their dgates lie in the saved row
 *
 * X is also the order of the cell ids in fastrnn.h and of CELLS in src/fastrnn/_types.py. */
#ifndef FRNN_CELL_LIST_H
#define FRNN_CELL_LIST_H

/* clang-format off */
/*    id                     name              gates rec in saved c_slot  norm units direct recurrent */
#define FRNN_CELL_LIST(X)                                                                                              \
    X(FRNN_RNN_TANH,         rnn_tanh,         1,    1,  1, 1,    -1,     -1,  4,    0,     1, FRNN_SLOTS(0))          \
    X(FRNN_RNN_RELU,         rnn_relu,         1,    1,  1, 1,    -1,     -1,  4,    0,     1, FRNN_SLOTS(0))          \
    X(FRNN_LSTM,             lstm,             4,    4,  4, 6,    4,      -1,  1,    0,     4, FRNN_SLOTS(0, 1, 2, 3)) \
    X(FRNN_GRU,              gru,              3,    3,  4, 4,    -1,     -1,  1,    1,     3, FRNN_SLOTS(0, 1, 3))    \
    X(FRNN_GRU_RESET_BEFORE, gru_reset_before, 3,    3,  3, 4,    -1,     -1,  2,    1,     2, FRNN_SLOTS(0, 1))       \
    X(FRNN_MINGRU,           mingru,           2,    0,  2, 2,    -1,     -1,  1,    1,     0, FRNN_SLOTS(0))          \
    X(FRNN_MINLSTM,          minlstm,          3,    0,  3, 4,    -1,     -1,  1,    1,     0, FRNN_SLOTS(0))          \
    X(FRNN_LSTM_NORM,        lstm_norm,        4,    4,  4, 23,   22,     8,   1,    0,     4, FRNN_SLOTS(4, 5, 6, 7)) \
    X(FRNN_GRU_NORM,         gru_norm,         3,    3,  4, 16,   -1,     6,   1,    1,     3, FRNN_SLOTS(3, 4, 5))
/* clang-format on */

#define FRNN_SLOTS(...) {__VA_ARGS__}

#endif
