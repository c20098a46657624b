/* A whole sequence forward, any cell. rnn_backward.c mirrors this file section by section.
 *
 * A thread owns batch rows over the whole sequence, so threads never wait for each other; or some units of them
 * (frnn_share_out). Per window of steps:
 *   1  pre-activations from the input: x_t W_ih^T + bias, all rows of the window in one product (where this is not part of
 *      the step: frnn_is_joint)
 *   2  for every step: point each running row at what it reads and writes (h0, resets, masks and ragged ends are
 *      only different pointers), then the cell's fused step; zeros where a row has ended
 *   3  projection, if any
 *   3' y, where steps keep it to themselves for a while
 * and at the end
 *   4  final states
 */
#include <string.h>

#include "platform/float_environment.h"
#include "platform/thread_pool.h"
#include "rnn_plan.h"

/* One thread's scratch. */
typedef struct forward_work {
    int64_t *rows; /* its batch rows, longest first */
    frnn_row_forward *step_rows;
    const void **a; /* row pointers of a product */
    void **out;
    void *gates;             /* [window][rows][gates_stride] */
    void *masked_x;          /* [window][rows][I] */
    void *masked_h;          /* [rows][P] */
    void *saved;             /* [rows][saved_stride]: work rows of inference */
    void *kept;              /* [KEPT_STEPS][2][c_stride]: y of the first and last row, of some steps */
    char *walk_plans;        /* frnn_step_forward */
    void *turned, *turned_x; /* panels of borrowed weights (frnn_panels): of products with the state, and with x */
    int64_t window;
    int has_gates; /* the input product is taken in windows, not looked up nor part of the step */
    frnn_share share;
} forward_work;

typedef struct forward_job {
    const frnn_sequence *q;
    frnn_plan plan;
    frnn_shares shares;
    frnn_barrier *barriers; /* [shares.rows] */
    int64_t *order, *counts;
    void *zeros;        /* [max(P, Hp)] */
    void *c;            /* [N][c_stride] apart: c0, and in inference c itself */
    int64_t parts;      /* of its rows, one for each thread that has some of them at first */
    int may_keep;       /* y, for some steps: there is room for them */
    int64_t begin, end; /* steps, in processing order, that the threads are running */
    char *thread_base;
    size_t thread_bytes;
} forward_job;

/* The first row of one thread and the last of another share cache lines of y, unless its rows are whole lines; both write there, and
 * read it in the next step. So these rows are kept for some steps where no other writes, and then written all at once. */
#define KEPT_STEPS 16

static int keeps(const forward_job *job)
{
    const frnn_sequence *q = job->q;
    const size_t bytes = job->plan.size;
    return job->may_keep && q->y_n_stride < q->y_t_stride &&
           (((uintptr_t)q->y | (bytes * (size_t)q->y_n_stride) | (bytes * (size_t)q->y_t_stride)) % FRNN_CACHE_LINE) !=
               0;
}

static void carve_thread(const forward_job *job, frnn_arena *arena, forward_work *w)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const size_t rows = (size_t)job->shares.most_rows, size = plan->size;
    w->has_gates = !q->input_table && !frnn_is_joint(plan, q, (int64_t)rows);
    w->window = w->has_gates ? frnn_window(plan, q->T, (int64_t)rows, plan->gates_stride, 4) : 1;
    const size_t window_rows = (size_t)w->window * rows;
    w->rows = frnn_take(arena, sizeof *w->rows * rows);
    w->step_rows = frnn_take(arena, sizeof *w->step_rows * rows);
    w->a = frnn_take(arena, sizeof *w->a * window_rows);
    w->out = frnn_take(arena, sizeof *w->out * window_rows);
    w->gates = frnn_take(arena, w->has_gates ? size * window_rows * (size_t)plan->gates_stride : 0);
    w->masked_x = frnn_take(arena, q->input_mask ? size * window_rows * (size_t)plan->I : 0);
    w->masked_h = frnn_take(arena, q->hidden_mask ? size * rows * (size_t)plan->P : 0);
    w->saved = frnn_take(arena, q->training ? 0 : size * rows * (size_t)plan->saved_stride);
    w->kept = frnn_take(arena, job->may_keep ? size * KEPT_STEPS * 2 * (size_t)plan->c_stride : 0);
    w->walk_plans = frnn_take_walk_plans(plan, arena);
    w->turned = frnn_take_turned(&q->layer, plan, plan->H, arena); /* P is at most H */
    w->turned_x = frnn_take_turned(&q->layer, plan, plan->I, arena);
}

static void *c_row(const forward_job *job, int64_t n)
{
    return frnn_row_apart(&job->plan, job->q, job->parts, job->c, n, job->plan.c_stride);
}

static size_t carve(forward_job *job, frnn_arena *arena)
{
    const frnn_sequence *q = job->q;
    frnn_make_plan(&q->layer, q->training, q->packed, &job->plan);
    job->shares = frnn_share_out(&job->plan, q, 0);
    job->barriers = frnn_take_barriers(&job->shares, arena);
    job->order = frnn_take(arena, q->lengths ? sizeof *job->order * (size_t)q->N : 0);
    job->counts = frnn_take(arena, q->lengths ? sizeof *job->counts * (size_t)(q->T + 2) : 0);
    job->zeros = frnn_take(arena, job->plan.size * (size_t)FRNN_MAX(job->plan.P, job->plan.Hp));
    job->parts = job->shares.rows;
    job->may_keep =
        job->shares.rows > 1 && job->shares.units == 1 && q->T > 1 && !q->lengths && frnn_is_regular(&job->plan, q);
    job->c =
        frnn_take(arena, job->plan.cell->c_slot < 0 ? 0 : frnn_rows_apart_bytes(&job->plan, q, job->plan.c_stride));
    forward_work unused;
    frnn_arena thread = {0};
    carve_thread(job, &thread, &unused);
    job->thread_bytes = thread.used + FRNN_APART_BYTES;
    job->thread_base = frnn_take(arena, job->thread_bytes * (size_t)(job->shares.rows * job->shares.units));
    return arena->used;
}

size_t frnn_piece_forward_scratch(const frnn_sequence *q)
{
    forward_job job = {.q = q};
    frnn_arena arena = {0};
    return carve(&job, &arena);
}

/* ---- 1: pre-activations of the steps s0 to s1 ---- */

static void input_products(const forward_job *job, const forward_work *w, int64_t count, int64_t s0, int64_t s1,
                           const frnn_step_forward *step)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    int64_t m = 0, active = 0;
    for (int64_t s = s0; s < s1; s++) {
        const int64_t t = frnn_time(q, s);
        active = frnn_active_rows(q, w->rows, count, t, active);
        for (int64_t i = 0; i < active; i++, m++) {
            const int64_t n = w->rows[i];
            w->a[m] = frnn_at(plan, q->x, t * q->x_t_stride + n * q->x_n_stride);
            w->out[m] = frnn_at(plan, w->gates, ((s - s0) * count + i) * plan->gates_stride);
            if (q->input_mask) {
                void *masked = frnn_at(plan, w->masked_x, m * plan->I);
                plan->kernels->multiply(plan->I, w->a[m], frnn_at(plan, q->input_mask, n * plan->I), masked);
                w->a[m] = masked;
            }
        }
    }
    const frnn_product product = {.b = frnn_with_space(plan->input, w->turned_x),
                                  .a_segments = {.count = 1, .length = plan->I},
                                  .m = m,
                                  .a = w->a,
                                  .out = w->out,
                                  .init = plan->input_init,
                                  .init_gate_stride = plan->Hp,
                                  .out_gate_stride = plan->Hp,
                                  .out_padded = 1,
                                  .unit0 = step->unit0,
                                  .unit1 = step->unit1,
                                  .backwards = step->backwards};
    plan->kernels->product(&product);
}

/* A GRU that resets after the product has one slot more than gates: the recurrent bias of n, the same in every row. */
static void fill_bias_slot(const frnn_plan *plan, const forward_work *w, int64_t rows)
{
    if (plan->cell->input_slots == plan->G)
        return;
    const int64_t slot = plan->G * plan->Hp;
    for (int64_t i = 0; i < rows; i++)
        memcpy(frnn_at(plan, w->gates, i * plan->gates_stride + slot), frnn_at(plan, plan->bias, slot),
               plan->size * (size_t)plan->Hp);
}

/* ---- 2: where the running rows of step t, from `first` on, read and write ---- */

static void point_rows(const forward_job *job, const forward_work *w, int64_t first, int64_t active, int64_t count,
                       int64_t t, int64_t step_in_window)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    for (int64_t i = first; i < active; i++) {
        const int64_t n = w->rows[i];
        frnn_row_forward *row = &w->step_rows[i];
        const int reset = frnn_is_reset(q, n, t);
        void *y = frnn_at(plan, q->y, t * q->y_t_stride + n * q->y_n_stride);
        row->x = frnn_at(plan, q->x, t * q->x_t_stride + n * q->x_n_stride);
        row->gates_in = q->input_table ? frnn_at(plan, q->input_table, q->tokens[t * q->N + n] * plan->gates_stride)
                                       : frnn_at(plan, w->gates, (step_in_window * count + i) * plan->gates_stride);
        row->saved = q->training ? frnn_saved_row(plan, q, n, t) : frnn_at(plan, w->saved, i * plan->saved_stride);
        row->saved_next =
            q->training && !frnn_is_last(q, n, t) ? frnn_saved_row(plan, q, n, frnn_next(q, t)) : row->saved;
        row->h = plan->projects ? frnn_at(plan, row->saved, plan->unprojected_offset) : y;
        row->operand = row->h_prev = frnn_h_prev(plan, q, n, t, job->zeros);
        if (q->hidden_mask) {
            void *masked = frnn_at(plan, w->masked_h, i * plan->P);
            plan->kernels->multiply(plan->P, row->h_prev, frnn_at(plan, q->hidden_mask, n * plan->P), masked);
            row->operand = masked;
        }
        if (plan->cell->c_slot >= 0) {
            const int64_t slot = plan->cell->c_slot * plan->Hp;
            void *c = c_row(job, n);
            row->c = q->training ? frnn_at(plan, row->saved, slot) : c;
            if (reset)
                row->c_prev = job->zeros;
            else if (!q->training || frnn_is_first(q, n, t))
                row->c_prev = c;
            else
                row->c_prev = frnn_at(plan, frnn_saved_row(plan, q, n, frnn_previous(q, t)), slot);
        }
        if (q->zoneout_h)
            row->zoneout_h = frnn_at(plan, q->zoneout_h, t * q->zoneout_h_t_stride + n * q->zoneout_h_n_stride);
        if (q->zoneout_c)
            row->zoneout_c = frnn_at(plan, q->zoneout_c, t * q->zoneout_c_t_stride + n * q->zoneout_c_n_stride);
    }
}

/* How many rows are in their midst at step s of a regular sequence: neither it nor the step before is their first, nor it
 * their last. These come first too. */
static int64_t rows_amidst(const forward_job *job, const forward_work *w, int64_t count, int64_t s, int64_t guess)
{
    const frnn_sequence *q = job->q;
    const int64_t t = frnn_time(q, s);
    if (s == job->begin || t < (q->reverse ? 1 : 2))
        return 0;
    return frnn_active_rows(q, w->rows, count, q->reverse ? t + 2 : t + 1, guess);
}

/* Where those read and write, from the pointers of the step before. */
static void move_rows(const forward_job *job, const forward_work *w, int64_t amidst, int64_t count,
                      int64_t step_in_window)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const int64_t forth = q->reverse ? -(int64_t)plan->size : (int64_t)plan->size;
    const int64_t x = forth * q->x_t_stride, y = forth * q->y_t_stride;
    const int64_t saved = q->training ? forth * plan->saved_stride : 0;
    const int has_c = plan->cell->c_slot >= 0;
    for (int64_t i = 0; i < amidst; i++) {
        frnn_row_forward *row = &w->step_rows[i];
        row->gates_in = frnn_at(plan, w->gates, (step_in_window * count + i) * plan->gates_stride);
        frnn_move(&row->x, x);
        frnn_move_out(&row->saved, saved);
        frnn_move(&row->saved_next, saved);
        frnn_move_out(&row->h, y);
        frnn_move(&row->h_prev, y);
        row->operand = row->h_prev;
        if (has_c) {
            frnn_move_out(&row->c, saved);
            frnn_move(&row->c_prev, saved);
        }
    }
}

/* Of the first or last row, the k-th of the steps that are kept. */
static void *kept_row(const forward_job *job, const forward_work *w, int64_t k, int last)
{
    return frnn_at(&job->plan, w->kept, (2 * k + last) * job->plan.c_stride);
}

/* Where the first and the last row read and write h at step t, the k-th of the steps that are kept; those before are in y already. */
static void point_kept(const forward_job *job, const forward_work *w, int64_t count, int64_t t, int64_t k)
{
    const frnn_sequence *q = job->q;
    for (int last = 0; last < FRNN_MIN(count, 2); last++) {
        const int64_t i = last ? count - 1 : 0;
        frnn_row_forward *row = &w->step_rows[i];
        row->h = kept_row(job, w, k, last);
        row->operand = row->h_prev =
            k > 0 ? kept_row(job, w, k - 1, last) : frnn_h_prev(&job->plan, q, w->rows[i], t, job->zeros);
    }
}

/* Their y of the steps s0 to s1. Last rows begin at the end, so that neighbours do not want the same lines at a time. */
static void write_kept(const forward_job *job, const forward_work *w, int64_t count, int64_t s0, int64_t s1)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    for (int last = 0; last < FRNN_MIN(count, 2); last++)
        for (int64_t j = 0; j < s1 - s0; j++) {
            const int64_t k = last ? s1 - s0 - 1 - j : j, n = w->rows[last ? count - 1 : 0];
            memcpy(frnn_at(plan, q->y, frnn_time(q, s0 + k) * q->y_t_stride + n * q->y_n_stride),
                   kept_row(job, w, k, last), plan->size * (size_t)plan->P);
        }
}

/* Zeros in y for the rows that have ended before step t. A step's share at a time: many lines at once that are in no cache
 * wait for each other, and these pass while the step's products are computed. */
static void clear_rows(const forward_job *job, const forward_work *w, int64_t active, int64_t count, int64_t t)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const int64_t unit0 = w->share.unit0;
    const size_t bytes = plan->size * (size_t)(w->share.unit1 - unit0);
    for (int64_t i = active; i < count; i++)
        memset(frnn_at(plan, q->y, t * q->y_t_stride + w->rows[i] * q->y_n_stride + unit0), 0, bytes);
}

/* ---- 3: y = W_hr h, then zoneout of the projected state ---- */

static void project(const forward_job *job, const forward_work *w, int64_t active, int64_t t)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    for (int64_t i = 0; i < active; i++) {
        w->a[i] = w->step_rows[i].h;
        w->out[i] = frnn_at(plan, q->y, t * q->y_t_stride + w->rows[i] * q->y_n_stride);
    }
    const frnn_product product = {.b = frnn_with_space(plan->projection, w->turned),
                                  .a_segments = {.count = 1, .length = plan->H},
                                  .m = active,
                                  .a = w->a,
                                  .out = w->out};
    plan->kernels->product(&product);
    if (q->zoneout_h)
        for (int64_t i = 0; i < active; i++)
            plan->kernels->mix(plan->P, w->step_rows[i].zoneout_h, w->step_rows[i].h_prev, w->out[i]);
}

/* ---- 4: final states ---- */

static void finish_row(const forward_job *job, const forward_work *w, int64_t i)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const int64_t n = w->rows[i], length = frnn_length(q, n), P = plan->P;
    const int64_t unit0 = w->share.unit0;
    const size_t bytes = plan->size * (size_t)(w->share.unit1 - unit0);
    const int64_t last = q->reverse ? 0 : length - 1;
    const void *h = length  ? frnn_at(plan, q->y, last * q->y_t_stride + n * q->y_n_stride)
                    : q->h0 ? frnn_at(plan, q->h0, n * P)
                            : job->zeros;
    memmove(frnn_at(plan, q->hn, n * P + unit0), frnn_at(plan, h, unit0), bytes);
    if (plan->cell->c_slot >= 0) {
        const void *c = c_row(job, n);
        if (q->training && length)
            c = frnn_at(plan, frnn_saved_row(plan, q, n, last), plan->cell->c_slot * plan->Hp);
        const int64_t unit1 = job->shares.units > 1 ? w->share.unit1 : plan->H; /* H, not P, of a layer that projects */
        memcpy(frnn_at(plan, q->cn, n * plan->H + unit0), frnn_at(plan, c, unit0),
               plan->size * (size_t)(unit1 - unit0));
    }
}

static void forward_thread(void *context, int index, int threads)
{
    (void)threads;
    const forward_job *job = context;
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const frnn_float_environment environment = frnn_flush_denormals();
    frnn_arena arena = {.base = job->thread_base + (size_t)index * job->thread_bytes};
    forward_work w;
    carve_thread(job, &arena, &w);
    w.share = frnn_share_of(plan, &job->shares, index);
    const int64_t count = frnn_take_rows(q, job->order, w.share.index, w.share.count, w.rows);

    if (w.has_gates)
        fill_bias_slot(plan, &w, w.window * count);

    frnn_step_forward step = {.rows = w.step_rows,
                              .joint = !w.has_gates && !q->input_table,
                              .input = frnn_with_space(plan->input, w.turned_x),
                              .recurrent = frnn_with_space(plan->recurrent, w.turned),
                              .candidate = frnn_with_space(plan->candidate, w.turned),
                              .parameters = plan->bias,
                              .H = plan->H,
                              .Hp = plan->Hp,
                              .unit0 = w.share.unit0,
                              .unit1 = job->shares.units > 1 ? w.share.unit1 : plan->H,
                              .training = q->training,
                              .zoneout_h = q->zoneout_h != NULL && !plan->projects,
                              .zoneout_c = q->zoneout_c != NULL,
                              .walk_plans = w.walk_plans};
    const int regular = frnn_is_regular(plan, q), keep = keeps(job);
    int64_t amidst = 0, kept_from = job->begin;
    for (int64_t s0 = job->begin; s0 < job->end; s0 += w.window) {
        const int64_t s1 = FRNN_MIN(s0 + w.window, job->end);
        if (w.has_gates)
            input_products(job, &w, count, s0, s1, &step);
        for (int64_t s = s0; s < s1; s++) {
            const int64_t t = frnn_time(q, s);
            step.m = frnn_active_rows(q, w.rows, count, t, step.m);
            if (regular)
                amidst = rows_amidst(job, &w, count, s, amidst);
            move_rows(job, &w, amidst, count, s - s0);
            point_rows(job, &w, amidst, step.m, count, t, s - s0);
            if (keep)
                point_kept(job, &w, count, t, s - kept_from);
            clear_rows(job, &w, step.m, count, t);
            step.backwards = frnn_is_backwards(step.m, s + q->phase);
            plan->kernels->step_forward[q->layer.cell](&step);
            if (plan->projects)
                project(job, &w, step.m, t);
            if (job->shares.meet)
                frnn_barrier_wait(&job->barriers[w.share.index], job->shares.units);
            if (keep && (s + 1 == kept_from + KEPT_STEPS || s + 1 == job->end)) {
                write_kept(job, &w, count, kept_from, s + 1);
                kept_from = s + 1;
            }
        }
    }
    if (job->end == q->T)
        for (int64_t i = 0; i < count; i++)
            finish_row(job, &w, i);
    frnn_restore_denormals(environment);
}

void frnn_piece_forward(const frnn_sequence *q)
{
    forward_job job = {.q = q};
    frnn_arena arena = {.base = q->scratch};
    carve(&job, &arena);
    if (q->lengths)
        frnn_sort_rows(q, job.order, job.counts);
    memset(job.zeros, 0, job.plan.size * (size_t)FRNN_MAX(job.plan.P, job.plan.Hp));
    if (job.plan.cell->c_slot >= 0)
        for (int64_t n = 0; n < q->N; n++)
            frnn_copy_padded(&job.plan, c_row(&job, n), q->c0 ? frnn_at(&job.plan, q->c0, n * job.plan.H) : NULL,
                             job.plan.H, job.plan.Hp);
    frnn_run_shares(forward_thread, &job, &job.shares, job.barriers, q->T, &job.begin, &job.end);
}
