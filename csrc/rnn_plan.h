/* What forward and backward agree on: the counts of a cell, the layout of packed weights and of the saved row, the order
 * in which rows are taken, and the share of a thread. */
#ifndef FRNN_RNN_PLAN_H
#define FRNN_RNN_PLAN_H

#include "dispatch.h"
#include "fastrnn.h"
#include "platform/arena.h"
#include "platform/compiler.h"
#include "platform/thread_pool.h"

typedef struct frnn_cell_counts {
    int gates, recurrent_gates, input_slots, saved_slots, c_slot, norm_slot, panel_units, direct, recurrent_count;
    int recurrent_slots[FRNN_MAX_GATES];
} frnn_cell_counts;

extern const frnn_cell_counts frnn_cell_table[FRNN_CELL_COUNT];

/* A layer as the engine sees it. Offsets and strides in elements. */
typedef struct frnn_plan {
    const frnn_kernels *kernels;
    const frnn_cell_counts *cell;
    int64_t I, H, P, Hp, Pp, G; /* Hp, Pp: rounded up to whole vectors */
    int projects;
    size_t size; /* of a real */

    /* saved row: [saved_slots][Hp], and with a projection h before it [Hp] and the gradient after it [Pp]; whole cache lines */
    int64_t gates_stride; /* of a pre-activation row */
    int64_t saved_stride, unprojected_offset, dprojected_offset;
    int64_t c_stride; /* of rows of states outside of it */

    /* packed weights, pointing into the block, or out of it into those borrowed */
    void *bias; /* [input_slots][Hp], then parameters of layer normalisation: ln_ih, ln_hh, ln_c_weight, ln_c_bias */
    int64_t norm_slots;     /* of those, [norm_slots][Hp] */
    const void *input_init; /* what the input product starts from: the bias, or NULL */
    frnn_panels input, recurrent, candidate, projection;
    frnn_panels input_t, recurrent_t, candidate_t, projection_t; /* training only */
    frnn_segments input_segments, recurrent_segments;            /* dgates in the saved row */
    size_t packed_bytes;
} frnn_plan;

void frnn_make_plan(const frnn_layer *layer, int training, const void *packed, frnn_plan *plan);

/* Element offset into an array of the plan's real. */
FRNN_INLINE void *frnn_at(const frnn_plan *plan, const void *base, int64_t elements)
{
    return (char *)base + elements * (int64_t)plan->size;
}

/* Room for n reals in whole cache lines. Rows that different threads write share none: a line that two write goes back and forth
 * between their cores, at every step and in up to half a microsecond. */
FRNN_INLINE int64_t frnn_whole_lines(const frnn_plan *plan, int64_t n)
{
    const int64_t line = FRNN_CACHE_LINE / (int64_t)plan->size;
    return (n + line - 1) / line * line;
}

/* What different threads write lies a page apart: the prefetchers of one would take from the other what comes next and is being
 * written. So do their scratch, and rows [N][stride] of all threads, where these have `parts` of them (frnn_take_rows). */
#define FRNN_APART_BYTES ((size_t)4096)

FRNN_INLINE size_t frnn_rows_apart_bytes(const frnn_plan *plan, const frnn_sequence *q, int64_t stride)
{
    return plan->size * (size_t)(q->N * stride) + FRNN_APART_BYTES * (size_t)FRNN_MIN(q->N, q->threads);
}

FRNN_INLINE void *frnn_row_apart(const frnn_plan *plan, const frnn_sequence *q, int64_t parts, const void *rows,
                                 int64_t n, int64_t stride)
{
    const int64_t part = ((n + 1) * parts - 1) / q->N;
    return (char *)frnn_at(plan, rows, n * stride) + part * (int64_t)FRNN_APART_BYTES;
}

/* Order of the batch rows by falling length (stable), for ragged batches. order [N], counts [T + 2]. */
void frnn_sort_rows(const frnn_sequence *sequence, int64_t *order, int64_t *counts);

FRNN_INLINE int64_t frnn_length(const frnn_sequence *sequence, int64_t n)
{
    return sequence->lengths ? sequence->lengths[n] : sequence->T;
}

/* A thread's rows, longest first: every count-th of the sorted order, or a contiguous share of equal lengths. Returns how
 * many; rows [N / count + 1]. */
int64_t frnn_take_rows(const frnn_sequence *sequence, const int64_t *order, int index, int count, int64_t *rows);

/* A thread's share of a layer: every count-th part of the rows, and the components unit0 to unit1 of their states. With few
 * rows, threads share units as well; where a unit meets others in the recurrence, they wait for each other after every step. */
typedef struct frnn_share {
    int index, count;
    int64_t unit0, unit1;
} frnn_share;

typedef struct frnn_shares {
    int rows, units;   /* rows * units threads */
    int meet;          /* units meet after every step: threads of the same rows need a barrier */
    int apart;         /* parts of the rows where threads are not to meet: no more than there are threads */
    int64_t most_rows; /* of a part */
} frnn_shares;

/* Units are shared in whole panels of every product that they are columns of. */
FRNN_INLINE int64_t frnn_unit_block(const frnn_plan *plan)
{
    return (plan->cell->recurrent_gates ? plan->recurrent_t.units : plan->input.units) * plan->kernels->lanes;
}

/* Whether a step is a single product whose epilogue ends it, so that units can be taken apart: a projection waits for all
 * units, and so do a norm and a reset before the product. */
FRNN_INLINE int frnn_one_product(const frnn_plan *plan)
{
    return !plan->projects && plan->cell->norm_slot < 0 && plan->cell->recurrent_count == plan->cell->recurrent_gates;
}

/* backward: of BPTT, not of the forward pass. */
frnn_shares frnn_share_out(const frnn_plan *plan, const frnn_sequence *sequence, int backward);
/* Runs task(job, i, n) for all threads of `shares`. Threads that meet do so for FRNN_MEETING_STEPS steps at a time, from
 * *begin to *end of `steps`; if it goes badly, they share the rows of the rest. */
void frnn_run_shares(frnn_task task, void *job, frnn_shares *shares, frnn_barrier *barriers, int64_t steps,
                     int64_t *begin, int64_t *end);

/* Borrowed weights want work space for a panel of each thread (frnn_panels): room for panels of so many terms, none for weights of
 * other formats; and panels with theirs. */
void *frnn_take_turned(const frnn_layer *layer, const frnn_plan *plan, int64_t depth, frnn_arena *arena);
FRNN_INLINE frnn_panels frnn_with_space(frnn_panels panels, void *turned)
{
    panels.turned = turned;
    return panels;
}

/* Room for what kernels work out once for all steps (frnn_step_forward), with nothing worked out yet. */
FRNN_INLINE char *frnn_take_walk_plans(const frnn_plan *plan, frnn_arena *arena)
{
    const size_t bytes = plan->kernels->walk_plan_bytes;
    char *plans = frnn_take(arena, 2 * bytes);
    for (int i = 0; plans && i < 2; i++)
        *(int64_t *)(plans + (size_t)i * bytes) = 0;
    return plans;
}

/* A barrier for the threads of each part of the rows. */
frnn_barrier *frnn_take_barriers(const frnn_shares *shares, frnn_arena *arena);
frnn_share frnn_share_of(const frnn_plan *plan, const frnn_shares *shares, int thread);

/* How many of a thread's rows are running at time t: they come first. `guess` is the count at a neighbouring t. */
FRNN_INLINE int64_t frnn_active_rows(const frnn_sequence *sequence, const int64_t *rows, int64_t count, int64_t t,
                                     int64_t guess)
{
    if (!sequence->lengths)
        return t < sequence->T ? count : 0;
    while (guess < count && sequence->lengths[rows[guess]] > t)
        guess++;
    while (guess > 0 && sequence->lengths[rows[guess - 1]] <= t)
        guess--;
    return guess;
}

/* Whether step s takes the panels from the last to the first. Few rows wait for weights, and what the step before read last is
 * still in the cache; with more, weights that come in one order are fetched ahead. */
FRNN_INLINE int frnn_is_backwards(int64_t rows, int64_t s)
{
    return rows <= 2 && (s & 1);
}

/* Time index of processing step s, and its neighbours. A row's first step in processing order is where it reads h0. */
FRNN_INLINE int64_t frnn_time(const frnn_sequence *sequence, int64_t s)
{
    return sequence->reverse ? sequence->T - 1 - s : s;
}
FRNN_INLINE int frnn_is_first(const frnn_sequence *sequence, int64_t n, int64_t t)
{
    return sequence->reverse ? t == frnn_length(sequence, n) - 1 : t == 0;
}
FRNN_INLINE int frnn_is_last(const frnn_sequence *sequence, int64_t n, int64_t t)
{
    return sequence->reverse ? t == 0 : t == frnn_length(sequence, n) - 1;
}
FRNN_INLINE int64_t frnn_previous(const frnn_sequence *sequence, int64_t t)
{
    return sequence->reverse ? t + 1 : t - 1;
}
FRNN_INLINE int64_t frnn_next(const frnn_sequence *sequence, int64_t t)
{
    return sequence->reverse ? t - 1 : t + 1;
}
FRNN_INLINE int frnn_is_reset(const frnn_sequence *sequence, int64_t n, int64_t t)
{
    return sequence->resets && sequence->resets[t * sequence->N + n];
}

/* The state that step t of row n reads: y of the step before, h0, or zeros ([P], given). */
FRNN_INLINE const void *frnn_h_prev(const frnn_plan *plan, const frnn_sequence *q, int64_t n, int64_t t,
                                    const void *zeros)
{
    if (frnn_is_reset(q, n, t))
        return zeros;
    if (frnn_is_first(q, n, t))
        return q->h0 ? frnn_at(plan, q->h0, n * plan->P) : zeros;
    return frnn_at(plan, q->y, frnn_previous(q, t) * q->y_t_stride + n * q->y_n_stride);
}

/* Saved rows of a batch row lie together, so that those of a thread do (FRNN_APART_BYTES). From one batch row to the next it is an odd
 * number of cache lines, which keeps them out of each other's sets of a cache. */
FRNN_INLINE int64_t frnn_saved_steps(const frnn_plan *plan, const frnn_sequence *q)
{
    const int64_t line = FRNN_CACHE_LINE / (int64_t)plan->size;
    return ((q->T * plan->saved_stride / line) | 1) * line;
}
FRNN_INLINE void *frnn_saved_row(const frnn_plan *plan, const frnn_sequence *q, int64_t n, int64_t t)
{
    return frnn_at(plan, q->saved, n * frnn_saved_steps(plan, q) + t * plan->saved_stride);
}

/* Whether time alone tells where a row reads and writes: then the steps in the midst of a row differ by strides. */
FRNN_INLINE int frnn_is_regular(const frnn_plan *plan, const frnn_sequence *q)
{
    return !q->resets && !q->hidden_mask && !q->zoneout_h && !q->zoneout_c && !q->input_table && !plan->projects;
}

FRNN_INLINE void frnn_move(const void **pointer, int64_t bytes)
{
    *pointer = (const char *)*pointer + bytes;
}

FRNN_INLINE void frnn_move_out(void **pointer, int64_t bytes)
{
    *pointer = (char *)*pointer + bytes;
}

/* Threads that pack a layer's weights together. */
int frnn_pack_threads(const frnn_layer *layer, int training);

/* Threads for products over all steps at once, after those of `shares` went through the steps: no more than the sequence's. */
int frnn_late_threads(const frnn_plan *plan, const frnn_shares *shares, const frnn_sequence *sequence);

/* Copy n reals and fill the row up to `padded` with zeros. from NULL: all zeros. */
void frnn_copy_padded(const frnn_plan *plan, void *to, const void *from, int64_t n, int64_t padded);

/* Whether a forward step of so many rows multiplies x as well as the state, in the same tiles. */
int frnn_is_joint(const frnn_plan *plan, const frnn_sequence *sequence, int64_t rows);

/* Steps of `rows` rows each whose products with the input weights are taken together: enough rows to fill the tiles of a
 * product, few enough that what it leaves or takes, `stride` reals a row, stays in the second-level cache. Weights that are
 * far beyond that cache are worth so many times its size. */
int64_t frnn_window(const frnn_plan *plan, int64_t T, int64_t rows, int64_t stride, int64_t caches);

/* fastrnn.h's calls for a sequence in one piece, whatever its checkpoint_every: rnn_forward.c and rnn_backward.c. */
size_t frnn_piece_saved_size(const frnn_sequence *sequence);
size_t frnn_piece_forward_scratch(const frnn_sequence *sequence);
void frnn_piece_forward(const frnn_sequence *sequence);
size_t frnn_piece_backward_scratch(const frnn_sequence_gradient *gradient);
/* seam: NULL, or how the piece hangs together with those beside it. */
typedef struct frnn_seam {
    /* [N][saved_stride]: dgates in the saved row of the step that reads the row's final state; zeros: none does */
    const void *gates_next;
    int open; /* a piece comes before this one: dh0 gets the direct paths alone */
} frnn_seam;
void frnn_piece_backward(const frnn_sequence_gradient *gradient, const frnn_seam *seam);

/* Whether gradients reach h_prev past the recurrent product. */
FRNN_INLINE int frnn_has_direct(const frnn_plan *plan, const frnn_sequence_gradient *g)
{
    return plan->cell->direct || g->sequence->zoneout_h || g->dhn;
}

#endif
