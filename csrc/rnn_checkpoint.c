/* A sequence in one piece, or in windows of `checkpoint_every` steps (T. Chen et al., "Training deep nets with sublinear
 * memory cost", 2016): forward then keeps the state at the borders of the windows, and backward takes the windows from
 * the last to the first, forward in training and back.
 *
 * A window is a sequence by itself: h0 and c0 are the states at its border, lengths are what lies of a row within it.
 * Going back it takes from the window after it what a step takes from the step after it: dgates (frnn_seam), the direct
 * paths of dh (as dhn) and dc. So every step does in a window what it does in one piece, and gives the same bits: training
 * has those of inference, and weight gradients sum against the processing order, the last window first.
 */
#include "rnn_plan.h"

static int in_windows(const frnn_sequence *q)
{
    return q->training && q->checkpoint_every;
}

/* Windows count in processing order. */
static int64_t window_count(const frnn_sequence *q)
{
    return FRNN_MAX(1, (q->T + q->checkpoint_every - 1) / q->checkpoint_every);
}

/* First time index of a window, and its number of steps. */
static int64_t window_begin(const frnn_sequence *q, int64_t index, int64_t *steps)
{
    const int64_t s0 = index * q->checkpoint_every;
    *steps = FRNN_MIN(q->checkpoint_every, q->T - s0);
    return q->reverse ? q->T - s0 - *steps : s0;
}

static const void *at_time(const frnn_plan *plan, const void *array, int64_t t, int64_t t_stride)
{
    return array ? frnn_at(plan, array, t * t_stride) : NULL;
}

/* The window as a sequence in one piece, but for its states, `saved` and scratch. Its lengths are written to `lengths`. */
static frnn_sequence window_sequence(const frnn_plan *plan, const frnn_sequence *q, int64_t index, int64_t *lengths)
{
    frnn_sequence w = *q;
    const int64_t t0 = window_begin(q, index, &w.T);
    w.x = at_time(plan, q->x, t0, q->x_t_stride);
    w.tokens = q->tokens ? q->tokens + t0 * q->N : NULL;
    w.y = frnn_at(plan, q->y, t0 * q->y_t_stride);
    w.resets = q->resets ? q->resets + t0 * q->N : NULL;
    w.zoneout_h = at_time(plan, q->zoneout_h, t0, q->zoneout_h_t_stride);
    w.zoneout_c = at_time(plan, q->zoneout_c, t0, q->zoneout_c_t_stride);
    if (q->lengths) {
        for (int64_t n = 0; n < q->N; n++)
            lengths[n] = FRNN_MAX(0, FRNN_MIN(q->lengths[n] - t0, w.T));
        w.lengths = lengths;
    }
    return w;
}

/* What forward keeps: c [N, H] before every window but the first. h before a window is a row of y. */
static void *border_c(const frnn_plan *plan, const frnn_sequence *q, int64_t index)
{
    return plan->cell->c_slot < 0 ? NULL : frnn_at(plan, q->saved, (index - 1) * q->N * plan->H);
}

size_t frnn_saved_size(const frnn_sequence *q)
{
    if (!in_windows(q))
        return frnn_piece_saved_size(q);
    frnn_plan plan;
    frnn_make_plan(&q->layer, 1, NULL, &plan);
    return plan.cell->c_slot < 0 ? 0 : plan.size * (size_t)((window_count(q) - 1) * q->N * plan.H);
}

/* ---- forward ---- */

typedef struct forward_work {
    int64_t *lengths; /* [N] of a window */
    void *scratch;    /* of a window */
} forward_work;

static size_t carve_forward(const frnn_sequence *q, frnn_arena *arena, forward_work *work)
{
    frnn_sequence largest = *q;
    largest.T = FRNN_MIN(q->T, q->checkpoint_every);
    largest.training = 0;
    work->lengths = frnn_take(arena, q->lengths ? sizeof *work->lengths * (size_t)q->N : 0);
    work->scratch = frnn_take(arena, frnn_piece_forward_scratch(&largest));
    return arena->used;
}

size_t frnn_forward_scratch(const frnn_sequence *q)
{
    if (!in_windows(q))
        return frnn_piece_forward_scratch(q);
    forward_work unused;
    frnn_arena arena = {0};
    return carve_forward(q, &arena, &unused);
}

void frnn_forward(const frnn_sequence *q)
{
    if (!in_windows(q)) {
        frnn_piece_forward(q);
        return;
    }
    frnn_plan plan;
    frnn_make_plan(&q->layer, 1, NULL, &plan);
    forward_work work;
    frnn_arena arena = {.base = q->scratch};
    carve_forward(q, &arena, &work);
    const int64_t windows = window_count(q);
    for (int64_t i = 0; i < windows; i++) {
        frnn_sequence w = window_sequence(&plan, q, i, work.lengths);
        w.training = 0;
        w.saved = NULL;
        w.scratch = work.scratch;
        if (i > 0) {
            w.h0 = q->hn;
            w.c0 = border_c(&plan, q, i);
        }
        if (i < windows - 1)
            w.cn = border_c(&plan, q, i + 1);
        frnn_piece_forward(&w);
    }
}

/* ---- backward ---- */

typedef struct backward_work {
    int64_t *lengths; /* [N] of a window */
    void *h, *hn;     /* [N, P] before and after a window */
    void *cn;         /* [N, H] after it */
    void *gates_next; /* [N][saved_stride]: see frnn_seam */
    void *saved;      /* of a window */
    void *forward_scratch, *backward_scratch;
} backward_work;

static size_t carve_backward(const frnn_sequence_gradient *g, frnn_arena *arena, backward_work *work)
{
    const frnn_sequence *q = g->sequence;
    frnn_plan plan;
    frnn_make_plan(&q->layer, 1, NULL, &plan);
    frnn_sequence largest = *q;
    largest.T = FRNN_MIN(q->T, q->checkpoint_every);
    frnn_sequence_gradient gradient = *g;
    gradient.sequence = &largest;
    const size_t h_bytes = plan.size * (size_t)(q->N * plan.P), c_bytes = plan.size * (size_t)(q->N * plan.H);
    work->lengths = frnn_take(arena, q->lengths ? sizeof *work->lengths * (size_t)q->N : 0);
    work->h = frnn_take(arena, h_bytes);
    work->hn = frnn_take(arena, h_bytes);
    work->cn = frnn_take(arena, plan.cell->c_slot < 0 ? 0 : c_bytes);
    work->gates_next = frnn_take(arena, plan.size * (size_t)(q->N * plan.saved_stride));
    work->saved = frnn_take(arena, frnn_piece_saved_size(&largest));
    work->forward_scratch = frnn_take(arena, frnn_piece_forward_scratch(&largest));
    work->backward_scratch = frnn_take(arena, frnn_piece_backward_scratch(&gradient));
    return arena->used;
}

size_t frnn_backward_scratch(const frnn_sequence_gradient *g)
{
    if (!in_windows(g->sequence))
        return frnn_piece_backward_scratch(g);
    backward_work unused;
    frnn_arena arena = {0};
    return carve_backward(g, &arena, &unused);
}

/* h before window `index`, from 1 on. Where a reversed row has not begun by then, that is its initial state. */
static void gather_border_h(const frnn_plan *plan, const frnn_sequence *q, int64_t index, void *h)
{
    int64_t steps;
    const int64_t t0 = window_begin(q, index, &steps), before = q->reverse ? t0 + steps : t0 - 1;
    for (int64_t n = 0; n < q->N; n++) {
        const void *from = frnn_length(q, n) > before ? frnn_at(plan, q->y, before * q->y_t_stride + n * q->y_n_stride)
                           : q->h0                    ? frnn_at(plan, q->h0, n * plan->P)
                                                      : NULL;
        frnn_copy_padded(plan, frnn_at(plan, h, n * plan->P), from, plan->P, plan->P);
    }
}

static void keep_gates(const frnn_plan *plan, void *gates, int64_t n, const void *row)
{
    frnn_copy_padded(plan, frnn_at(plan, gates, n * plan->saved_stride), row, plan->saved_stride, plan->saved_stride);
}

/* For the window before this one. A row that is not in this window keeps what it had: zeros if its steps lie before, and
 * the dgates of its very first step if they lie behind. */
static void keep_gates_of_first_steps(const frnn_plan *plan, const frnn_sequence *w, void *gates)
{
    for (int64_t n = 0; n < w->N; n++) {
        const int64_t length = frnn_length(w, n), first = w->reverse ? length - 1 : 0;
        if (length)
            keep_gates(plan, gates, n, frnn_is_reset(w, n, first) ? NULL : frnn_saved_row(plan, w, n, first));
    }
}

void frnn_backward(const frnn_sequence_gradient *g)
{
    const frnn_sequence *q = g->sequence;
    if (!in_windows(q)) {
        frnn_piece_backward(g, NULL);
        return;
    }
    frnn_plan plan;
    frnn_make_plan(&q->layer, 1, NULL, &plan);
    backward_work work;
    frnn_arena arena = {.base = g->scratch};
    carve_backward(g, &arena, &work);
    const int64_t windows = window_count(q);
    for (int64_t n = 0; n < q->N; n++)
        keep_gates(&plan, work.gates_next, n, NULL);
    for (int64_t i = windows - 1; i >= 0; i--) {
        frnn_sequence w = window_sequence(&plan, q, i, work.lengths);
        w.saved = work.saved;
        w.scratch = work.forward_scratch;
        w.hn = work.hn;
        w.cn = work.cn;
        if (i > 0) {
            gather_border_h(&plan, q, i, work.h);
            w.h0 = work.h;
            w.c0 = border_c(&plan, q, i);
        }
        frnn_piece_forward(&w);

        frnn_sequence_gradient gradient = *g;
        int64_t steps;
        const int64_t t0 = window_begin(q, i, &steps);
        gradient.sequence = &w;
        gradient.overwrite = g->overwrite && i == windows - 1; /* the others add */
        gradient.scratch = work.backward_scratch;
        gradient.dy = at_time(&plan, g->dy, t0, g->dy_t_stride);
        gradient.dx = (void *)at_time(&plan, g->dx, t0, g->dx_t_stride);
        if (i < windows - 1) {
            gradient.dhn = frnn_has_direct(&plan, g) ? g->dh0 : NULL;
            gradient.dcn = g->dc0;
        }
        const frnn_seam seam = {.gates_next = work.gates_next, .open = i > 0};
        frnn_piece_backward(&gradient, &seam);
        keep_gates_of_first_steps(&plan, &w, work.gates_next);
    }
}
