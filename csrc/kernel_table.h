/* The table of kernels, one per ISA and dtype, and the argument structs its entries take.
 *
 * `void *` stands for the table's own real type. Strides and offsets count elements, never bytes. A kernel does not
 * allocate, check or fail. Letters as in fastrnn.h; V is the number of vector lanes, Hp is H rounded up to V.
 */
#ifndef FRNN_KERNEL_TABLE_H
#define FRNN_KERNEL_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "fastrnn.h"

#define FRNN_MAX_GATES 4

/* A matrix packed for the product C[m, (gate, unit)] = A[m, k] B[k, (gate, unit)].
 *
 * Units are cut into vectors of V; a panel holds `units` such vectors of every one of `gates` gates, so that one
 * micro-tile finishes all gates of its units: data[panel][k][gate][vector][V]. The last panel may hold fewer
 * vectors; lanes past n are zero. Where kernels are `sliced`, a panel of four vectors in all lies in two slices, each of two
 * of them: data[panel][slice][k][2][V]. */
typedef struct frnn_panels {
    const void *data;
    int64_t gates, units; /* gates * units is 1 to 4 */
    int64_t n;            /* units a gate, unpadded */
    int64_t depth;        /* k */
    int32_t format; /* frnn_weight_format: in fewer bits, a lane holds 32-bit words of several k's instead; or below */
    int64_t row, gate; /* of a borrowed matrix, from a row or a gate to the next */
    void *turned;      /* work space for a panel of it, depth * gates * units * V reals; or NULL */
} frnn_panels;

/* Not packed, but the caller's matrix: units are its rows, k its columns, or the other way round. */
enum { FRNN_PANELS_OF_ROWS = 16, FRNN_PANELS_OF_COLUMNS };

/* Reals, or words, of one lane. Two k's of bfloat16 to a word; four of int8, and before them the scale of the row. */
static inline int64_t frnn_panel_words(const frnn_panels *b)
{
    switch (b->format) {
    case FRNN_WEIGHTS_BFLOAT16:
        return (b->depth + 1) / 2;
    case FRNN_WEIGHTS_INT8:
        return 1 + (b->depth + 3) / 4;
    default:
        return b->depth;
    }
}

/* Where element (k, gate, unit) of the matrix to be packed lies. One of unit_stride and k_stride is 1. */
typedef struct frnn_pack_source {
    const void *data;
    int64_t gate_stride, unit_stride, k_stride;
} frnn_pack_source;

/* The columns of A that a product reads: `count` segments of `length` at these offsets of a row, one after another. */
typedef struct frnn_segments {
    int64_t count, length;
    int64_t offset[FRNN_MAX_GATES];
} frnn_segments;

/* out[r][gate * out_gate_stride + unit] = init[gate * init_gate_stride + unit] + sum over k of a[r][k] B[k, gate, unit].
 * init NULL: zero. Columns up to n rounded up to V are written if out_padded, else exactly n. */
typedef struct frnn_product {
    frnn_panels b;
    frnn_segments a_segments;
    int64_t m;
    const void *const *a;
    void *const *out;
    const void *init;
    int64_t init_gate_stride, out_gate_stride;
    int out_padded;
    int64_t unit0, unit1; /* units of this call, from the first of a panel on; unit1 of 0: all */
    int backwards;        /* panels from the last to the first */
} frnn_product;

/* Weight gradients. For every operand s and every block of columns of a that has an out for it,
 *     out[s][i * n_s + j] += sum over rows of a[row][a_offset + i] b_s[row][offset_s + j] mask_s[row][j],  rows in order. */
#define FRNN_OUTER_OPERANDS 3
#define FRNN_OUTER_BLOCKS (3 * FRNN_MAX_GATES + 2) /* most: sums of an LSTM with layer normalisation */
typedef struct frnn_outer_operand {
    const void *const *rows;
    const void *const *mask; /* NULL: none; its rows may repeat */
    int64_t offset, n;
} frnn_outer_operand;

typedef struct frnn_outer_block {
    int64_t a_offset, m;
    void *out[FRNN_OUTER_OPERANDS]; /* [m][n_s], or NULL */
    void *column_sum[2];            /* [m] += sums of a's columns, or NULL */
    int row_sums;                   /* a's columns are also added to those of row_sum */
} frnn_outer_block;

typedef struct frnn_outer {
    int64_t rows;       /* at most outer_chunk */
    int64_t rows_ahead; /* rows of the next call, which follow in the arrays of rows: they are fetched ahead */
    int overwrite;      /* out and the sums start from zero */
    const void *const *a;
    int operands, blocks;
    frnn_outer_operand b[FRNN_OUTER_OPERANDS];
    frnn_outer_block block[FRNN_OUTER_BLOCKS];
    void *const *row_sum; /* [rows] += a, in the blocks that say so; its rows may repeat; NULL: nowhere */
    void *scratch;        /* outer_scratch bytes */
} frnn_outer;

/* One batch row of one step, forward. Rows marked "padded" hold Hp reals, the others exactly as many as the letter
 * says. NULL where a cell or call has no use for it. */
typedef struct frnn_row_forward {
    const void *operand;               /* [P] state that enters the recurrent product */
    const void *gates_in;              /* [slots][Hp] padded: bias + input product; or, of a joint step, */
    const void *x;                     /* [I] */
    const void *h_prev;                /* [P] state for the direct paths */
    const void *c_prev;                /* [H] padded */
    void *saved;                       /* [saved slots][Hp] padded; in inference only a work row */
    const void *saved_next;            /* the row of the step that comes next, to be fetched ahead */
    void *h;                           /* [H] out: the new state (before a projection) */
    void *c;                           /* [H] out, padded; may be c_prev */
    const void *zoneout_h, *zoneout_c; /* [H] */
} frnn_row_forward;

typedef struct frnn_step_forward {
    const frnn_row_forward *rows;
    int64_t m;
    int joint;         /* the input product is part of the step (cells with as many input slots as recurrent gates) */
    frnn_panels input; /* gate-interleaved W_ih, if so */
    frnn_panels recurrent;  /* gate-interleaved W_hh */
    frnn_panels candidate;  /* gru_reset_before: the n gate's part of W_hh */
    const void *parameters; /* bias [input_slots][Hp], then of layer normalisation [norm_slots][Hp] (rnn_plan.h) */
    int64_t H, Hp;
    int64_t unit0, unit1; /* units of this call */
    int training;         /* fill `saved` for backward */
    int backwards;        /* panels from the last to the first (frnn_is_backwards) */
    int zoneout_h, zoneout_c;
    char *walk_plans; /* two of walk_plan_bytes: what only changes with m. A first int64 of 0: not worked out */
} frnn_step_forward;

/* One batch row of one step, backward. */
typedef struct frnn_row_backward {
    const void *gates_next; /* saved row of the step after, holding its dgates; or zeros */
    const void *mask;       /* [P] hidden_mask, or NULL */
    const void *dh_direct;  /* [H] padded: what reaches dh past the recurrent product */
    void *dh_direct_out;    /* [H] padded: the same for the step before (may be dh_direct's array) */
    const void *dy;         /* [P] */
    void *saved;            /* in: this step's gates; out: dgates in their slots */
    const void *saved_next; /* the row of the step that comes next, to be fetched ahead */
    const void *dy_next;
    const void *prev_next; /* c_prev of that step, or h_prev of a cell without c */
    const void *operand;   /* [P] masked h_prev */
    const void *h_prev;    /* [P] */
    const void *c_prev;    /* [H] padded */
    const void *dc;        /* [H] padded */
    void *dc_out;          /* [H] padded */
    const void *zoneout_h, *zoneout_c;
} frnn_row_backward;

typedef struct frnn_step_backward {
    const frnn_row_backward *rows;
    int64_t m;
    frnn_panels recurrent;    /* transposed W_hh (or W_hr where the layer projects) */
    frnn_segments a_segments; /* which slots of gates_next enter it */
    frnn_panels candidate;    /* gru_reset_before: transposed n gate's part */
    const void *parameters;   /* as forward */
    int64_t H, Hp;
    int64_t unit0, unit1; /* units of this call */
    int has_direct;       /* dh_direct_out is written and dh_direct read */
    int backwards;
    int zoneout_h, zoneout_c;
    char *walk_plans; /* as forward */
} frnn_step_backward;

typedef struct frnn_cross_entropy_row_args {
    const void *logits; /* [C] */
    void *dlogits;      /* [C] */
    int64_t classes, target;
    const void *class_weight;               /* [C] or NULL */
    double smoothing, smoothing_weight_sum; /* label_smoothing; sum of class weights (C if none) */
} frnn_cross_entropy_row_args;

/* One batch row of a CTC loss; steps of logits and dlogits lie t_stride apart. */
typedef struct frnn_ctc_row_args {
    int64_t T, C, L, t_stride;
    const void *logits;    /* [T][C] */
    void *dlogits;         /* [T][C] out: the gradient of weight times the loss */
    const int64_t *labels; /* [L] */
    int64_t blank;
    double weight;
    void *scratch; /* ctc_scratch(T, L) bytes */
} frnn_ctc_row_args;

typedef void (*frnn_step_forward_fn)(const frnn_step_forward *);
typedef void (*frnn_step_backward_fn)(const frnn_step_backward *);
typedef void (*frnn_optimizer_fn)(const frnn_optimizer_args *);

typedef struct frnn_kernels {
    int64_t lanes;     /* V */
    int64_t real_size; /* sizeof(real) */
    int64_t sliced;    /* panels of four vectors */
    void (*pack)(void *dst, const frnn_panels *, const frnn_pack_source *, int part, int parts);
    void (*product)(const frnn_product *);
    int64_t outer_chunk;
    size_t outer_scratch;
    void (*outer)(const frnn_outer *);
    size_t walk_plan_bytes;
    frnn_step_forward_fn step_forward[FRNN_CELL_COUNT];
    frnn_step_backward_fn step_backward[FRNN_CELL_COUNT];
    /* elementwise helpers of the engine and of layers */
    void (*add_bias)(int64_t n, const void *a, const void *b, void *out); /* a or b NULL: 0 */
    void (*multiply)(int64_t n, const void *a, const void *b, void *out);
    void (*scale)(int64_t n, double factor, void *x);
    void (*mix)(int64_t n, const void *k, const void *previous, void *x); /* x = k previous + (1-k) x */
    /* dh = acc * mask + direct + dy; then with zoneout k: direct_out = k dh, dh = (1-k) dh */
    void (*combine_dh)(int64_t n, void *acc, const void *mask, const void *direct, const void *dy, const void *k,
                       void *direct_out);
    double (*sum_of_squares)(int64_t n, const void *x);
    void (*embedding_gather)(int64_t n, int64_t width, const int64_t *ids, const void *weight, void *y);
    void (*embedding_scatter)(int64_t n, int64_t width, int64_t column0, int64_t column1, const int64_t *ids,
                              const void *dy, void *dweight);
    void (*cross_entropy_row)(const frnn_cross_entropy_row_args *, double *loss, double *weight);
    void (*softmax_f64)(int64_t n, const void *logits, double inverse_temperature, double *p); /* not normalised */
    size_t (*ctc_scratch)(int64_t T, int64_t L);
    double (*ctc_row)(
        const frnn_ctc_row_args *); /* the loss: infinity, and no gradient, where no alignment is possible */
    frnn_optimizer_fn sgd, rmsprop, adagrad, adam;
    double (*fma_loop)(int64_t iterations, double *sink);
    /* simd/vec_math.h over arrays, so that a test can hold it against libm */
    void (*array_exp)(int64_t n, const void *x, void *y);
    void (*array_sigmoid)(int64_t n, const void *x, void *y);
    void (*array_tanh)(int64_t n, const void *x, void *y);
} frnn_kernels;

#endif
