/* BPTT over a whole sequence, any cell. Mirrors rnn_forward.c: its sections, backwards.
 *
 * Phase one, a thread owns batch rows; steps run against the processing order:
 *   3' projection: dh of the projected state, then through W_hr
 *   2' for every step: point each running row, then the cell's fused step, which turns the saved activations into
 *      pre-activation gradients in place (the recurrent product's gradient with the pointwise backward as its epilogue)
 *   1' dx of a window of steps in one product, while the gradients are in cache; zeros where a row has ended
 *   4' gradients of the initial states
 * Phase two, 5': weight gradients (rnn_weight_gradients.c).
 */
#include <string.h>

#include "platform/float_environment.h"
#include "platform/thread_pool.h"
#include "rnn_plan.h"
#include "rnn_weight_gradients.h"

typedef struct backward_work {
    int64_t *rows;
    frnn_row_backward *step_rows;
    const void **a; /* row pointers of a product over one step */
    void **out;
    const void **dx_a; /* of the dx product over a window */
    void **dx_out;
    int64_t *dx_row;
    void *masked_h;          /* [rows][P] */
    void *turned;            /* a panel of borrowed weights (frnn_panels) */
    char *walk_plans;        /* frnn_step_backward */
    int64_t window, dx_rows; /* steps of a window, rows of its dx product */
    frnn_share share;
} backward_work;

typedef struct backward_job {
    const frnn_sequence_gradient *g;
    const frnn_sequence *q;
    const frnn_seam *seam;
    frnn_plan plan;
    int64_t *order, *counts;
    void *zeros;     /* [saved_stride] */
    int64_t parts;   /* of its rows, one for each thread that has some of them at first */
    void *dh_direct; /* [N][direct_stride] apart */
    void *dc, *c0;   /* [N][c_stride] apart */
    int has_direct;
    int late_dx;            /* dx needs the work of several threads, or takes the place of x: after all else */
    int64_t begin, end;     /* steps, against the processing order, that the threads are running */
    frnn_shares shares;     /* of phase one */
    frnn_barrier *barriers; /* [shares.rows] */
    char *thread_base;
    size_t thread_bytes;
} backward_job;

static int64_t direct_stride(const frnn_plan *plan)
{
    return frnn_whole_lines(plan, FRNN_MAX(plan->Pp, plan->Hp));
}

static void *direct_row(const backward_job *job, int64_t n)
{
    return frnn_row_apart(&job->plan, job->q, job->parts, job->dh_direct, n, direct_stride(&job->plan));
}

/* Of dc or c0. */
static void *c_row(const backward_job *job, const void *rows, int64_t n)
{
    return frnn_row_apart(&job->plan, job->q, job->parts, rows, n, job->plan.c_stride);
}

static void carve_thread(const backward_job *job, frnn_arena *arena, backward_work *w)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const size_t rows = (size_t)job->shares.most_rows, size = plan->size;
    w->window = job->g->dx ? frnn_window(plan, q->T, (int64_t)rows, plan->saved_stride, 1) : 1;
    const size_t window_rows = job->g->dx ? (size_t)w->window * rows : 0;
    w->dx_rows = (int64_t)window_rows;
    w->rows = frnn_take(arena, sizeof *w->rows * rows);
    w->step_rows = frnn_take(arena, sizeof *w->step_rows * rows);
    w->a = frnn_take(arena, sizeof *w->a * rows);
    w->out = frnn_take(arena, sizeof *w->out * rows);
    w->dx_a = frnn_take(arena, sizeof *w->dx_a * window_rows);
    w->dx_out = frnn_take(arena, sizeof *w->dx_out * window_rows);
    w->dx_row = frnn_take(arena, sizeof *w->dx_row * window_rows);
    w->masked_h = frnn_take(arena, q->hidden_mask ? size * rows * (size_t)plan->P : 0);
    w->walk_plans = frnn_take_walk_plans(plan, arena);
    w->turned = frnn_take_turned(&q->layer, plan, plan->G * plan->H, arena);
}

static size_t carve(backward_job *job, frnn_arena *arena)
{
    const frnn_sequence *q = job->q = job->g->sequence;
    frnn_make_plan(&q->layer, 1, q->packed, &job->plan);
    const frnn_plan *plan = &job->plan;
    job->shares = frnn_share_out(plan, q, 1);
    job->barriers = frnn_take_barriers(&job->shares, arena);
    job->late_dx = job->g->dx && (job->shares.units > 1 || job->g->dx == q->x);
    job->has_direct = frnn_has_direct(plan, job->g);
    job->order = frnn_take(arena, q->lengths ? sizeof *job->order * (size_t)q->N : 0);
    job->counts = frnn_take(arena, q->lengths ? sizeof *job->counts * (size_t)(q->T + 2) : 0);
    job->zeros = frnn_take(arena, plan->size * (size_t)plan->saved_stride);
    const size_t c_bytes = plan->cell->c_slot >= 0 ? frnn_rows_apart_bytes(plan, q, plan->c_stride) : 0;
    job->parts = job->shares.rows;
    job->dh_direct = frnn_take(arena, frnn_rows_apart_bytes(plan, q, direct_stride(plan)));
    job->dc = frnn_take(arena, c_bytes);
    job->c0 = frnn_take(arena, c_bytes);
    backward_work unused;
    frnn_arena thread = {0};
    carve_thread(job, &thread, &unused);
    job->thread_bytes = FRNN_MAX(thread.used, frnn_weight_gradients_scratch(job->g, plan)) + FRNN_APART_BYTES;
    job->thread_base = frnn_take(arena, job->thread_bytes * (size_t)q->threads);
    return arena->used;
}

size_t frnn_piece_backward_scratch(const frnn_sequence_gradient *g)
{
    backward_job job = {.g = g};
    frnn_arena arena = {0};
    return carve(&job, &arena);
}

/* ---- 2': where the running rows of step t read and write ---- */

/* dgates of the step that reads the final state of row n. */
static const void *gates_past(const backward_job *job, int64_t n)
{
    return job->seam ? frnn_at(&job->plan, job->seam->gates_next, n * job->plan.saved_stride) : job->zeros;
}

/* c that step t of row n starts from. */
static const void *c_prev(const backward_job *job, int64_t n, int64_t t)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    if (frnn_is_reset(q, n, t))
        return job->zeros;
    if (frnn_is_first(q, n, t))
        return c_row(job, job->c0, n);
    return frnn_at(plan, frnn_saved_row(plan, q, n, frnn_previous(q, t)), plan->cell->c_slot * plan->Hp);
}

/* Rows from `first` on. Returns whether any has a step after this one, so that there is a recurrent product to take. */
static int point_rows(const backward_job *job, const backward_work *w, int64_t first, int64_t active, int64_t t)
{
    const frnn_sequence_gradient *g = job->g;
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    int any_next = 0;
    for (int64_t i = first; i < active; i++) {
        const int64_t n = w->rows[i];
        frnn_row_backward *row = &w->step_rows[i];
        const int last = frnn_is_last(q, n, t);
        const int cut = !last && frnn_is_reset(q, n, frnn_next(q, t)); /* nothing comes back from the step after */
        void *direct = direct_row(job, n);
        row->gates_next = last ? gates_past(job, n) : cut ? job->zeros : frnn_saved_row(plan, q, n, frnn_next(q, t));
        any_next |= row->gates_next != job->zeros;
        row->mask = q->hidden_mask ? frnn_at(plan, q->hidden_mask, n * plan->P) : NULL;
        row->dh_direct = cut ? job->zeros : direct;
        row->dh_direct_out = direct;
        row->dy = g->dy ? frnn_at(plan, g->dy, t * g->dy_t_stride + n * g->dy_n_stride) : job->zeros;
        row->saved = frnn_saved_row(plan, q, n, t);
        const int64_t before = frnn_is_first(q, n, t) ? t : frnn_previous(q, t);
        row->saved_next = frnn_saved_row(plan, q, n, before);
        row->dy_next = g->dy ? frnn_at(plan, g->dy, before * g->dy_t_stride + n * g->dy_n_stride) : job->zeros;
        row->prev_next = plan->cell->c_slot >= 0 ? c_prev(job, n, before) : frnn_h_prev(plan, q, n, before, job->zeros);
        row->operand = row->h_prev = frnn_h_prev(plan, q, n, t, job->zeros);
        if (plan->cell->recurrent_count < plan->cell->recurrent_gates && q->hidden_mask) {
            void *masked = frnn_at(plan, w->masked_h, i * plan->P);
            plan->kernels->multiply(plan->P, row->h_prev, row->mask, masked);
            row->operand = masked;
        }
        if (plan->cell->c_slot >= 0) {
            void *dc = c_row(job, job->dc, n);
            row->dc = cut ? job->zeros : dc;
            row->dc_out = dc;
            row->c_prev = c_prev(job, n, t);
        }
        if (q->zoneout_h)
            row->zoneout_h = frnn_at(plan, q->zoneout_h, t * q->zoneout_h_t_stride + n * q->zoneout_h_n_stride);
        if (q->zoneout_c)
            row->zoneout_c = frnn_at(plan, q->zoneout_c, t * q->zoneout_c_t_stride + n * q->zoneout_c_n_stride);
    }
    return any_next;
}

/* How many rows are in their midst at step s of a regular sequence: neither it nor its neighbours are at their ends. These
 * come first. */
static int64_t rows_amidst(const backward_job *job, const backward_work *w, int64_t count, int64_t s, int64_t guess)
{
    const int64_t t = frnn_time(job->q, s);
    return s == job->q->T - 1 - job->begin || t < 2 ? 0 : frnn_active_rows(job->q, w->rows, count, t + 2, guess);
}

/* Where those read and write, from the pointers of the step before. */
static void move_rows(const backward_job *job, const backward_work *w, int64_t amidst)
{
    const frnn_sequence_gradient *g = job->g;
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const int64_t back = q->reverse ? (int64_t)plan->size : -(int64_t)plan->size;
    const int64_t saved = back * plan->saved_stride, y = back * q->y_t_stride;
    const int64_t dy = g->dy ? back * g->dy_t_stride : 0;
    const int has_c = plan->cell->c_slot >= 0;
    for (int64_t i = 0; i < amidst; i++) {
        frnn_row_backward *row = &w->step_rows[i];
        frnn_move(&row->gates_next, saved);
        frnn_move(&row->dy, dy);
        frnn_move(&row->dy_next, dy);
        frnn_move_out(&row->saved, saved);
        frnn_move(&row->saved_next, saved);
        frnn_move(&row->prev_next, has_c ? saved : y);
        frnn_move(&row->h_prev, y);
        row->operand = row->h_prev;
        if (has_c)
            frnn_move(&row->c_prev, saved);
    }
}

/* ---- 3': the gradient of the projected state, kept in the saved row; the cell's step then starts from it ---- */

static void unproject(const backward_job *job, const backward_work *w, int64_t active, const frnn_segments *segments)
{
    const frnn_plan *plan = &job->plan;
    for (int64_t i = 0; i < active; i++) {
        w->a[i] = w->step_rows[i].gates_next;
        w->out[i] = frnn_at(plan, w->step_rows[i].saved, plan->dprojected_offset);
    }
    const frnn_product product = {.b = frnn_with_space(plan->recurrent_t, w->turned),
                                  .a_segments = *segments,
                                  .m = active,
                                  .a = w->a,
                                  .out = w->out,
                                  .out_padded = 1};
    plan->kernels->product(&product);
    for (int64_t i = 0; i < active; i++) {
        frnn_row_backward *row = &w->step_rows[i];
        plan->kernels->combine_dh(plan->P, w->out[i], row->mask, job->has_direct ? row->dh_direct : NULL, row->dy,
                                  job->q->zoneout_h ? row->zoneout_h : NULL,
                                  job->has_direct ? row->dh_direct_out : NULL);
        row->gates_next = w->out[i];
        row->mask = NULL;
        row->dy = job->zeros;
    }
}

/* ---- 1': dx of a window ---- */

static void queue_dx(const backward_job *job, const backward_work *w, int64_t n, int64_t t, int64_t k)
{
    const frnn_sequence_gradient *g = job->g;
    w->dx_a[k] = frnn_saved_row(&job->plan, job->q, n, t);
    w->dx_out[k] = frnn_at(&job->plan, g->dx, t * g->dx_t_stride + n * g->dx_n_stride);
    w->dx_row[k] = n;
}

/* A row that has ended before step t. */
static void clear_dx(const backward_job *job, int64_t n, int64_t t)
{
    const frnn_sequence_gradient *g = job->g;
    memset(frnn_at(&job->plan, g->dx, t * g->dx_t_stride + n * g->dx_n_stride), 0,
           job->plan.size * (size_t)job->plan.I);
}

static void input_gradients(const backward_job *job, const backward_work *w, int64_t queued)
{
    const frnn_plan *plan = &job->plan;
    const frnn_product product = {.b = frnn_with_space(plan->input_t, w->turned),
                                  .a_segments = plan->input_segments,
                                  .m = queued,
                                  .a = w->dx_a,
                                  .out = w->dx_out};
    plan->kernels->product(&product);
    if (job->q->input_mask)
        for (int64_t i = 0; i < queued; i++)
            plan->kernels->multiply(plan->I, w->dx_out[i], frnn_at(plan, job->q->input_mask, w->dx_row[i] * plan->I),
                                    w->dx_out[i]);
}

/* Where threads shared units, dx of a row needs the work of them all; where it takes the place of x, that was needed for
 * the weight gradients: afterwards, and threads share the time. */
static void late_input_gradients(void *context, int index, int threads)
{
    const backward_job *job = context;
    const frnn_sequence *q = job->q;
    const frnn_float_environment environment = frnn_flush_denormals();
    frnn_arena arena = {.base = job->thread_base + (size_t)index * job->thread_bytes};
    backward_work w;
    carve_thread(job, &arena, &w);
    int64_t queued = 0;
    for (int64_t t = index * q->T / threads; t < (index + 1) * q->T / threads; t++)
        for (int64_t n = 0; n < q->N; n++) {
            if (t >= frnn_length(q, n)) {
                clear_dx(job, n, t);
                continue;
            }
            queue_dx(job, &w, n, t, queued);
            if (++queued == w.dx_rows) {
                input_gradients(job, &w, queued);
                queued = 0;
            }
        }
    input_gradients(job, &w, queued);
    frnn_restore_denormals(environment);
}

/* ---- 4': gradients of the initial states ---- */

static void initial_gradients(const backward_job *job, const backward_work *w, int64_t count)
{
    const frnn_sequence_gradient *g = job->g;
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const int64_t unit0 = w->share.unit0, units = w->share.unit1 - unit0;
    const int64_t c_units = job->shares.units > 1 ? units : plan->H; /* H, not P, of a layer that projects */
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = w->rows[i], length = frnn_length(q, n), first = q->reverse ? length - 1 : 0;
        const int reset = length > 0 && frnn_is_reset(q, n, first);
        w->a[i] = length == 0 ? gates_past(job, n) : reset ? job->zeros : frnn_saved_row(plan, q, n, first);
        w->out[i] = frnn_at(plan, g->dh0, n * plan->P + unit0);
        if (plan->cell->c_slot >= 0)
            memcpy(frnn_at(plan, g->dc0, n * plan->H + unit0),
                   reset ? job->zeros : frnn_at(plan, c_row(job, job->dc, n), unit0), plan->size * (size_t)c_units);
    }
    frnn_panels recurrent_t = frnn_with_space(plan->recurrent_t, w->turned);
    recurrent_t.n = units;
    recurrent_t.data =
        frnn_at(plan, recurrent_t.data, unit0 * (recurrent_t.format == FRNN_PANELS_OF_COLUMNS ? 1 : recurrent_t.depth));
    const frnn_product product = {
        .b = recurrent_t, .a_segments = plan->recurrent_segments, .m = count, .a = w->a, .out = w->out};
    if (!job->seam || !job->seam->open)
        plan->kernels->product(&product);
    for (int64_t i = 0; i < count; i++) {
        const void *mask = q->hidden_mask ? frnn_at(plan, q->hidden_mask, w->rows[i] * plan->P + unit0) : NULL;
        const int64_t n = w->rows[i], length = frnn_length(q, n), first = q->reverse ? length - 1 : 0;
        const int reset = length > 0 && frnn_is_reset(q, n, first);
        const void *direct = job->has_direct && !reset ? frnn_at(plan, direct_row(job, n), unit0) : NULL;
        if (job->seam && job->seam->open) {
            frnn_copy_padded(plan, w->out[i], direct, units, units);
            continue;
        }
        plan->kernels->combine_dh(units, w->out[i], mask, direct, NULL, NULL, NULL);
    }
}

/* What flows into the last step of row n from the final state's gradient, and c0 with its padding. */
static void load_final_gradients(const backward_job *job, int64_t n)
{
    const frnn_sequence_gradient *g = job->g;
    const frnn_plan *plan = &job->plan;
    const int64_t H = plan->H, Hp = plan->Hp, P = plan->P;
    frnn_copy_padded(plan, direct_row(job, n), g->dhn ? frnn_at(plan, g->dhn, n * P) : NULL, P, direct_stride(plan));
    if (plan->cell->c_slot < 0)
        return;
    frnn_copy_padded(plan, c_row(job, job->dc, n), g->dcn ? frnn_at(plan, g->dcn, n * H) : NULL, H, Hp);
    frnn_copy_padded(plan, c_row(job, job->c0, n), job->q->c0 ? frnn_at(plan, job->q->c0, n * H) : NULL, H, Hp);
}

static void backward_thread(void *context, int index, int threads)
{
    (void)threads;
    const backward_job *job = context;
    const frnn_sequence_gradient *g = job->g;
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = &job->plan;
    const frnn_float_environment environment = frnn_flush_denormals();
    frnn_arena arena = {.base = job->thread_base + (size_t)index * job->thread_bytes};
    backward_work w;
    carve_thread(job, &arena, &w);
    w.share = frnn_share_of(plan, &job->shares, index);
    const int64_t count = frnn_take_rows(q, job->order, w.share.index, w.share.count, w.rows);

    const frnn_segments none = {0}, projected = {.count = 1, .length = plan->P};
    frnn_step_backward step = {.rows = w.step_rows,
                               .recurrent =
                                   frnn_with_space(plan->projects ? plan->projection_t : plan->recurrent_t, w.turned),
                               .candidate = frnn_with_space(plan->candidate_t, w.turned),
                               .parameters = plan->bias,
                               .H = plan->H,
                               .Hp = plan->Hp,
                               .unit0 = w.share.unit0,
                               .unit1 = job->shares.units > 1 ? w.share.unit1 : plan->H,
                               .zoneout_h = q->zoneout_h != NULL && !plan->projects,
                               .zoneout_c = q->zoneout_c != NULL,
                               .walk_plans = w.walk_plans};
    int64_t queued = 0, steps_queued = 0, amidst = 0;
    const int regular = frnn_is_regular(plan, q);
    for (int64_t s = q->T - 1 - job->begin; s >= q->T - job->end; s--) {
        const int64_t t = frnn_time(q, s);
        step.m = frnn_active_rows(q, w.rows, count, t, step.m);
        if (regular)
            amidst = rows_amidst(job, &w, count, s, amidst);
        move_rows(job, &w, amidst);
        const int any_next = point_rows(job, &w, amidst, step.m, t) || amidst;
        const frnn_segments *recurrent = any_next ? &plan->recurrent_segments : &none;
        if (plan->projects)
            unproject(job, &w, step.m, recurrent);
        step.a_segments = plan->projects ? projected : *recurrent;
        /* dhn takes a direct path into the last step of a row, and none into those before. */
        step.has_direct = job->has_direct && !plan->projects && (plan->cell->direct || q->zoneout_h || amidst < step.m);
        step.backwards = frnn_is_backwards(step.m, s);
        plan->kernels->step_backward[q->layer.cell](&step);
        if (job->shares.meet)
            frnn_barrier_wait(&job->barriers[w.share.index], job->shares.units);
        if (g->dx && !job->late_dx) {
            for (int64_t i = 0; i < step.m; i++)
                queue_dx(job, &w, w.rows[i], t, queued++);
            for (int64_t i = step.m; i < count; i++)
                clear_dx(job, w.rows[i], t);
            if (++steps_queued == w.window || s == 0) {
                input_gradients(job, &w, queued);
                queued = steps_queued = 0;
            }
        }
    }
    if (job->end == q->T)
        initial_gradients(job, &w, count);
    frnn_restore_denormals(environment);
}

void frnn_piece_backward(const frnn_sequence_gradient *g, const frnn_seam *seam)
{
    backward_job job = {.g = g, .seam = seam};
    frnn_arena arena = {.base = g->scratch};
    carve(&job, &arena);
    if (job.q->lengths)
        frnn_sort_rows(job.q, job.order, job.counts);
    memset(job.zeros, 0, job.plan.size * (size_t)job.plan.saved_stride);
    for (int64_t n = 0; n < job.q->N; n++)
        load_final_gradients(&job, n);
    const int late_threads = frnn_late_threads(&job.plan, &job.shares, job.q);
    frnn_run_shares(backward_thread, &job, &job.shares, job.barriers, job.q->T, &job.begin, &job.end);
    frnn_weight_gradients(g, &job.plan, job.zeros, job.thread_base, job.thread_bytes, late_threads);
    if (job.late_dx)
        frnn_parallel(late_input_gradients, &job, late_threads);
}
