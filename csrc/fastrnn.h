/* fastrnn: recurrent layers forward and backward on a CPU. The public kernel ABI and the only header that a binding sees.
 *
 * Letters: T time steps, N batch rows, I input size, H hidden size, P output size (proj_size, or H), G gates, R gates
 * that read the state through weight_hh (all or none of them).
 * Arrays hold float or double (`dtype`), named by `void *`; their last axis is contiguous, and strides count elements.
 * Weights have PyTorch's shapes and gate order (LSTM i, f, g, o; GRU r, z, n).
 *
 * The library never allocates for a call: packed weights, saved activations and scratch are the caller's, sized by
 * queries and aligned to FRNN_ALIGNMENT. It never prints or aborts, and it checks nothing that a binding can check: sizes
 * are not negative, pointers are valid. Empty work (T or N of 0) is legal.
 *
 * A row's result has the same bits at any batch size, place in the batch and number of threads.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRNN_ALIGNMENT 64

typedef enum { FRNN_OK = 0, FRNN_ISA_UNKNOWN, FRNN_ISA_UNSUPPORTED, FRNN_INVALID_THREADS } frnn_status;
typedef enum { FRNN_FLOAT32 = 0, FRNN_FLOAT64 = 1 } frnn_dtype;
/* The order of cell_list.h. */
typedef enum {
    FRNN_RNN_TANH = 0,
    FRNN_RNN_RELU,
    FRNN_LSTM,
    FRNN_GRU,
    FRNN_GRU_RESET_BEFORE,
    FRNN_MINGRU,
    FRNN_MINLSTM,
    FRNN_LSTM_NORM,
    FRNN_GRU_NORM,
    FRNN_CELL_COUNT
} frnn_cell;
/* How packed weights are kept; the two of fewer bits for inference in float32. States and results are float32 in any case.
 *   bfloat16  each weight rounded to the nearest, ties to even; then float32 arithmetic
 *   int8      each row of a weight matrix as integers up to 127 in magnitude times one scale; a product rounds the vector it
 *             is given to integers up to 8191 times one scale, and adds up integers exactly (kernels/int8_tpl.h)
 *   borrowed  in any dtype and in training: not kept but read from the caller's matrices, which must stay as they are; for
 *             weights that are used once. The bits of the first */
typedef enum {
    FRNN_WEIGHTS_REAL = 0,
    FRNN_WEIGHTS_BFLOAT16,
    FRNN_WEIGHTS_INT8,
    FRNN_WEIGHTS_BORROWED
} frnn_weight_format;

/* ---- machine: instruction sets and threads ---- */

int frnn_isa_count(void); /* of this build, best first */
const char *frnn_isa_name(int index);
int frnn_isa_supported(int index); /* by this machine */
int frnn_isa_current(void);        /* index; -1 before frnn_start */
/* The ISA to pack a matrix of so many units, or outputs, for: the current one, or where that is the machine's best but would
 * leave lanes empty, one of half its width. */
int frnn_isa_for(int dtype, int format, int64_t units);
/* Chooses the ISA (NULL: the environment's FASTRNN_ISA, or else the best supported) and starts the thread pool's
 * bookkeeping. An unknown or unsupported name is an error, never another ISA. */
frnn_status frnn_start(const char *isa);
frnn_status frnn_set_num_threads(int n);
int frnn_get_num_threads(void);

/* ---- recurrent layers ---- */

typedef struct frnn_layer {
    int32_t cell, dtype;
    int32_t isa;    /* index; what is packed or saved for one ISA is read by the same */
    int32_t format; /* frnn_weight_format */
    int64_t input_size, hidden_size;
    int64_t proj_size; /* 0: none; LSTMs only */
} frnn_layer;

typedef struct frnn_weights {      /* in; or gradients, added to */
    void *weight_ih;               /* [G*H, I] */
    void *weight_hh;               /* [R*H, P] */
    void *bias_ih, *bias_hh;       /* [G*H], [R*H], each may be NULL */
    void *weight_hr;               /* [P, H] or NULL */
    void *ln_ih, *ln_hh;           /* [G*H], [R*H]: gains of layer normalisation; NULL unless the cell has it */
    void *ln_c_weight, *ln_c_bias; /* [H], of c; NULL unless the cell has it and c */
} frnn_weights;

/* Packed weights: what forward reads and, with `training`, what backward reads too. */
size_t frnn_packed_size(const frnn_layer *, int training);
void frnn_pack(const frnn_layer *, const frnn_weights *, int training, void *packed);

typedef struct frnn_sequence {
    frnn_layer layer;
    const void *packed;
    int64_t T, N;
    int reverse;  /* each row from its own last step to its first */
    int training; /* fill `saved` */
    int threads;  /* from frnn_sequence_threads; scratch is sized for it */
    int phase;    /* 0 or 1, by turns in calls of one step: then weights are read in the order that suits the cache */
    /* 0, or in training: keep the state before every so many steps alone, and let backward compute the steps between
     * again, a window at a time; same results */
    int64_t checkpoint_every;

    const void *x; /* [T, N, I]; NULL with input_table */
    int64_t x_t_stride, x_n_stride;
    const int64_t *tokens;             /* [T, N] rows of input_table, which replaces the input product */
    const void *input_table;           /* from frnn_input_table, or NULL */
    const void *h0, *c0;               /* [N, P], [N, H]; NULL: zeros */
    const int64_t *lengths;            /* [N] in 0..T, any order; NULL: T */
    const uint8_t *resets;             /* [T, N]: the state is zero before this step; NULL: none */
    const void *input_mask;            /* [N, I] multiplies x_t at every step; NULL: ones */
    const void *hidden_mask;           /* [N, P] multiplies h in the recurrent product; NULL: ones */
    const void *zoneout_h, *zoneout_c; /* [T, N, P], [T, N, H]: share of the previous state; NULL: 0 */
    int64_t zoneout_h_t_stride, zoneout_h_n_stride, zoneout_c_t_stride, zoneout_c_n_stride;

    void *y; /* out [T, N, P], apart from x; zero past a length */
    int64_t y_t_stride, y_n_stride;
    void *hn, *cn; /* out [N, P], [N, H]; cn NULL unless the cell has c; in inference they may be h0 and c0 */
    void *saved;   /* out, frnn_saved_size bytes; NULL unless training */
    void *scratch; /* frnn_forward_scratch bytes */
} frnn_sequence;

int frnn_sequence_threads(const frnn_sequence *); /* as many as the work is worth, at most frnn_get_num_threads() */
size_t frnn_saved_size(const frnn_sequence *);
size_t frnn_forward_scratch(const frnn_sequence *);
void frnn_forward(const frnn_sequence *);

/* The sequence is the one that forward ran, with y, x, h0, c0 and saved as forward left them; saved is used up. */
typedef struct frnn_sequence_gradient {
    const frnn_sequence *sequence;
    const void *dy; /* [T, N, P]; NULL: zeros; not read past a length */
    int64_t dy_t_stride, dy_n_stride;
    const void *dhn, *dcn; /* [N, P], [N, H]; NULL: zeros */
    void *dx;              /* out [T, N, I], or NULL; zero past a length; x itself, or apart from all others */
    int64_t dx_t_stride, dx_n_stride;
    void *dh0, *dc0;       /* out [N, P], [N, H]; dc0 NULL unless the cell has c */
    frnn_weights dweights; /* NULL members are not computed; weight_ih is not with tokens */
    int overwrite;         /* dweights are written; else added to */
    void *
        dtable; /* with tokens: gradients of the table's rows, added to; its size. What frnn_input_table_backward takes */
    void *scratch; /* frnn_backward_scratch bytes */
} frnn_sequence_gradient;

size_t frnn_backward_scratch(const frnn_sequence_gradient *);
void frnn_backward(const frnn_sequence_gradient *);

/* ---- an embedding [V, I] and the input product behind it as one table of V rows: x_t = embedding[token] ---- */

int frnn_input_table_threads(const frnn_layer *, int64_t V);
size_t frnn_input_table_size(const frnn_layer *, int64_t V);
size_t frnn_input_table_scratch(const frnn_layer *, int64_t V, int threads);
/* table = embedding through the input product of a packed layer, biases included. */
void frnn_input_table(const frnn_layer *, const void *packed, int64_t V, const void *embedding, void *table,
                      int threads, void *scratch);
/* dembedding [V, I] is written (NULL: not computed), dweight_ih [G*H, I] (NULL: likewise) added to, or written. */
void frnn_input_table_backward(const frnn_layer *, const void *packed, int64_t V, const void *embedding,
                               const void *dtable, void *dembedding, void *dweight_ih, int overwrite, int threads,
                               void *scratch);

/* ---- linear layer: y[M, O] = x[M, K] weight[O, K]^T + bias ---- */

typedef struct frnn_linear {
    int32_t dtype, isa, format;
    int64_t in_features, out_features;
} frnn_linear;

size_t frnn_linear_packed_size(const frnn_linear *, int training);
void frnn_linear_pack(const frnn_linear *, const void *weight, const void *bias, int training, void *packed);
int frnn_linear_threads(const frnn_linear *, int64_t M);
size_t frnn_linear_scratch(const frnn_linear *, int64_t M, int threads);
void frnn_linear_forward(const frnn_linear *, const void *packed, int64_t M, const void *x, void *y, int threads,
                         void *scratch);
/* dx is written (NULL: not computed), dweight [O, K] and dbias [O] (NULL: none) are added to, or written. */
void frnn_linear_backward(const frnn_linear *, const void *packed, int64_t M, const void *x, const void *dy, void *dx,
                          void *dweight, void *dbias, int overwrite, int threads, void *scratch);

/* ---- kernels beside the cells ---- */

/* y[i] = weight[ids[i]], rows of `width`; its gradient adds and skips negative ids. */
void frnn_embedding_forward(int dtype, int64_t n, int64_t width, const int64_t *ids, const void *weight, void *y);
void frnn_embedding_backward(int dtype, int64_t n, int64_t width, const int64_t *ids, const void *dy, void *dweight);

/* Sums over rows, dlogits [M, C] the gradient of the loss sum. Rows whose target is ignore_index count nothing. */
typedef struct frnn_cross_entropy_args {
    int32_t dtype;
    int64_t M, C;
    const void *logits;
    const int64_t *targets;   /* [M] in 0..C-1 or ignore_index */
    const void *class_weight; /* [C] or NULL */
    int64_t ignore_index;
    double label_smoothing;
    void *dlogits;
    double *row_loss, *row_weight; /* scratch [M] each */
} frnn_cross_entropy_args;
void frnn_cross_entropy(const frnn_cross_entropy_args *, double *loss_sum, double *weight_sum);

/* Connectionist temporal classification: -log of the probability, under softmax(logits), of all alignments that become a
 * row's labels when repeated classes are merged and blanks removed. A row without alignment, its labels being more than
 * its steps allow, has an infinite loss and no gradient; rows of weight 0 have neither and are not read. */
typedef struct frnn_ctc_args {
    int32_t dtype;
    int64_t T, N, C, L;
    const void *logits;            /* [T, N, C] */
    const int64_t *targets;        /* [N, L] classes other than blank, read up to target_lengths */
    const int64_t *input_lengths;  /* [N] in 0..T */
    const int64_t *target_lengths; /* [N] in 0..L */
    int64_t blank;
    const double *row_weight; /* [N] factors of the rows' gradients; NULL: 1 */
    double *row_loss;         /* out [N], without the weights */
    void *dlogits;            /* out [T, N, C]; zero past an input length */
    int threads;              /* from frnn_ctc_threads; scratch is sized for it */
    void *scratch;            /* frnn_ctc_scratch bytes */
} frnn_ctc_args;
int frnn_ctc_threads(const frnn_ctc_args *);
size_t frnn_ctc_scratch(const frnn_ctc_args *);
void frnn_ctc(const frnn_ctc_args *);

/* Prefix beam search: the labels with the highest probability, summed over their alignments. */
typedef struct frnn_ctc_beam_args {
    int32_t dtype;
    int64_t T, N, C;
    const void *logits;     /* [T, N, C] */
    const int64_t *lengths; /* [N] in 0..T */
    int64_t blank;
    int64_t beam_width; /* prefixes that are kept at a step, at least 1 */
    int64_t n_best;     /* results a row, at most beam_width */
    /* [C, C] added to the score of a label (column) after another (row; at the beginning: row `blank`); NULL: 0 */
    const double *transition;
    int64_t *labels; /* out [N, n_best, T], the best first */
    int64_t *counts; /* out [N, n_best]: how many labels; -1: there are fewer results */
    double *scores;  /* out [N, n_best]: log probabilities plus transitions */
    int threads;     /* from frnn_ctc_beam_threads; scratch is sized for it */
    void *scratch;   /* frnn_ctc_beam_scratch bytes */
} frnn_ctc_beam_args;
int frnn_ctc_beam_threads(const frnn_ctc_beam_args *);
size_t frnn_ctc_beam_scratch(const frnn_ctc_beam_args *);
void frnn_ctc_beam(const frnn_ctc_beam_args *);

double frnn_sum_of_squares(int dtype, int64_t n, const void *x);
void frnn_scale(int dtype, int64_t n, double factor, void *x);

typedef enum { FRNN_SGD = 0, FRNN_RMSPROP, FRNN_ADAGRAD, FRNN_ADAM } frnn_optimizer;
typedef struct frnn_optimizer_args {
    int64_t n;
    void *param;                    /* [n] updated */
    const void *grad;               /* [n] */
    void *state1, *state2, *state3; /* [n] updated; what they hold and which may be NULL: kernels/optimizer_tpl.h */
    double lr, weight_decay, eps;
    double momentum, dampening; /* SGD, RMSprop */
    double alpha;               /* RMSprop */
    double beta1, beta2;        /* Adam */
    double bias1, bias2_sqrt;   /* Adam: 1 - beta1^t, sqrt(1 - beta2^t) */
    int nesterov, first;        /* SGD; first: the momentum buffer starts here */
    int decoupled;              /* Adam: AdamW */
} frnn_optimizer_args;
void frnn_optimizer_step(frnn_optimizer, int dtype, const frnn_optimizer_args *);

/* ---- token by token: embedding and input product as one table, recurrent stack, output layer, sampling ---- */

typedef struct frnn_token_stream {
    int64_t layers;
    frnn_sequence *sequences; /* [layers], T = N = 1, hn is h0 and cn is c0; the first has input_table and tokens */
    int64_t *token;           /* the token slot that sequences[0].tokens points to */
    frnn_linear out;
    const void *out_packed;
    const void *h;        /* [P] output of the last layer */
    void *logits;         /* [V] */
    void *linear_scratch; /* frnn_linear_scratch(out, 1, 1) */
} frnn_token_stream;

typedef struct frnn_sampling {
    double temperature; /* 0: the most likely token, lowest index on ties */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
} frnn_sampling;

void frnn_token_logits(const frnn_token_stream *);
void frnn_token_feed(const frnn_token_stream *, int64_t n, const int64_t *tokens);
/* Draws from the current logits with uniforms[i] in [0, 1), feeds the token, and so on; scratch frnn_sample_scratch. */
size_t frnn_sample_scratch(int64_t V);
void frnn_token_sample(const frnn_token_stream *, const frnn_sampling *, int64_t n, const double *uniforms,
                       int64_t *tokens, void *scratch);

/* Asks for large pages under memory of the caller's, where the system has them and the memory is large enough: then rows that
 * lie far apart need fewer address translations, and the first touch costs less. Only advice. */
void frnn_prefer_large_pages(void *memory, size_t bytes);

/* ---- what benchmarks divide by: a loop of fused multiply-adds in registers; returns the operations done ---- */
double frnn_fma_loop(int dtype, int64_t iterations, double *sink);

/* ---- vector mathematics over arrays, so that a test can hold it against libm ---- */
typedef enum { FRNN_EXP = 0, FRNN_SIGMOID, FRNN_TANH } frnn_function;
void frnn_apply(frnn_function, int dtype, int64_t n, const void *x, void *y);

#ifdef __cplusplus
}
#endif

#endif
