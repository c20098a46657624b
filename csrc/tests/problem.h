/* A recurrent layer with its data, in double: the plain implementation computes with it as it is, and the engine with a
 * copy in its dtype. Every number is a float, so that both dtypes start from the same. Letters as in fastrnn.h. */
#ifndef FRNN_PROBLEM_H
#define FRNN_PROBLEM_H

#include "testing.h"

enum {
    WITH_BIAS = 1,
    WITH_STATE = 2, /* h0 and c0 */
    RAGGED = 4,
    RESETS = 8,
    INPUT_MASK = 16,
    HIDDEN_MASK = 32,
    ZONEOUT = 64,
    REVERSE = 128,
    PROJECTION = 256,
    ALL_FEATURES = 511
};

/* Every array of reals that a gradient can be taken of. */
enum { X_, H0, C0, WEIGHT_IH, WEIGHT_HH, BIAS_IH, BIAS_HH, WEIGHT_HR, LN_IH, LN_HH, LN_C_WEIGHT, LN_C_BIAS, TENSORS };
extern const char *const tensor_names[TENSORS];

typedef struct problem {
    int cell, features;
    int64_t T, N, I, H, P, G;
    int64_t size[TENSORS];   /* elements; 0: the layer has no such array */
    double *tensor[TENSORS]; /* NULL: none */
    int64_t *lengths;        /* the rest: NULL without the feature */
    uint8_t *resets;
    double *input_mask, *hidden_mask, *zoneout_h, *zoneout_c;
    double *dy, *dhn, *dcn;
} problem;

problem make_problem(int cell, int features, int64_t T, int64_t N, int64_t I, int64_t H);
/* The problem of these batch rows, in this order. */
problem select_rows(const problem *, const int64_t *rows, int64_t count);
int has_c(const problem *);
int has_norm(const problem *);
/* How much larger rounding errors get than the sums they come from: a norm of few numbers divides by their differences, a
 * tenth of their size now and then. */
double magnification(const problem *);
int64_t length_of(const problem *, int64_t n);
const char *describe(const problem *); /* overwritten by the next call */

/* y [T, N, P], zero past a length; hn [N, P]; cn [N, H] or NULL */
typedef struct outputs {
    double *y, *hn, *cn;
    double *gradient[TENSORS]; /* NULL: not computed */
    uint64_t active;           /* plain only: which relu units were positive, hashed; a kink lies where it changes */
} outputs;

/* The cells as their papers have them, a number at a time. */
outputs plain_forward(const problem *);

typedef struct settings {
    int dtype, isa, threads;
    int format;           /* of packed weights */
    int backward;         /* forward in training, then backward */
    int in_place;         /* hn and cn are h0 and c0 (inference only) */
    int by_table;         /* x are rows of a table; not with an input mask */
    int borrow;           /* weights are not packed, where they can be borrowed */
    double start;         /* what weight gradients hold before: gradients are added */
    int overwrite;        /* they hold NaN before, and are written */
    int skip[TENSORS];    /* weight gradients not asked for */
    int no_dx, no_dstate; /* dx is not asked for; dhn and dcn are not given */
    int64_t checkpoint_every;
} settings;

/* The engine on guarded, barely aligned, strided copies. What must not be read holds NaN. */
outputs engine_run(const problem *, const settings *);

#endif
