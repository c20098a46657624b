/* Phase two of BPTT: dW_ih, dW_hh, dW_hr and the biases, from the dgates that phase one left in the saved rows. A thread owns
 * rows of the gradients and sums over all steps and rows in one order. */
#include "rnn_weight_gradients.h"

#include <string.h>

#include "platform/float_environment.h"
#include "platform/thread_pool.h"

typedef struct weight_job {
    const frnn_sequence_gradient *g;
    const frnn_sequence *q;
    const frnn_plan *plan;
    const void *zeros; /* [P] */
    char *thread_base;
    size_t thread_bytes;
} weight_job;

/* One thread's scratch: a chunk of the steps of all rows, and the kernel's own. */
typedef struct weight_work {
    const void **saved_rows, **x_rows, **x_masks, **h_rows, **h_masks;
    void **table_rows; /* of dtable */
    void *outer;
} weight_work;

static void carve_thread(const weight_job *job, frnn_arena *arena, weight_work *w)
{
    const size_t bytes = 2 * sizeof(void *) * (size_t)job->plan->kernels->outer_chunk;
    w->saved_rows = frnn_take(arena, bytes);
    w->x_rows = frnn_take(arena, job->q->tokens ? 0 : bytes);
    w->table_rows = frnn_take(arena, job->g->dtable ? bytes : 0);
    w->h_rows = frnn_take(arena, bytes);
    w->x_masks = frnn_take(arena, job->q->input_mask ? bytes : 0);
    w->h_masks = frnn_take(arena, job->q->hidden_mask ? bytes : 0);
    w->outer = frnn_take(arena, job->plan->kernels->outer_scratch);
}

/* Rows of the next chunk of steps into the arrays, `from` on, against the processing order, as phase one went: a sequence
 * that comes in windows, the last one first, then sums in the same order as a whole one. Returns how many; *s and *n are
 * where it goes on. */
static int64_t next_chunk(const weight_job *job, const weight_work *w, int64_t from, int64_t *s, int64_t *n)
{
    const frnn_sequence *q = job->q;
    const frnn_plan *plan = job->plan;
    int64_t k = from;
    for (; *s >= 0; --*s, *n = 0)
        for (; *n < q->N; ++*n) {
            const int64_t t = frnn_time(q, *s);
            if (t >= frnn_length(q, *n))
                continue;
            if (k - from == plan->kernels->outer_chunk)
                return k - from;
            w->saved_rows[k] = frnn_saved_row(plan, q, *n, t);
            if (!q->tokens)
                w->x_rows[k] = frnn_at(plan, q->x, t * q->x_t_stride + *n * q->x_n_stride);
            if (job->g->dtable)
                w->table_rows[k] = frnn_at(plan, job->g->dtable, q->tokens[t * q->N + *n] * plan->gates_stride);
            w->h_rows[k] = frnn_h_prev(plan, q, *n, t, job->zeros);
            if (q->input_mask)
                w->x_masks[k] = frnn_at(plan, q->input_mask, *n * plan->I);
            if (q->hidden_mask)
                w->h_masks[k] = frnn_at(plan, q->hidden_mask, *n * plan->P);
            k++;
        }
    return k - from;
}

/* Forget the first `done` rows of the arrays; `left` move up. */
static void drop_rows(const weight_job *job, const weight_work *w, int64_t done, int64_t left)
{
    const void **arrays[] = {
        w->saved_rows, job->q->tokens ? NULL : w->x_rows,      job->g->dtable ? (const void **)w->table_rows : NULL,
        w->h_rows,     job->q->input_mask ? w->x_masks : NULL, job->q->hidden_mask ? w->h_masks : NULL};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            memmove(arrays[i], arrays[i] + done, sizeof **arrays * (size_t)left);
}

static void *row_of(const frnn_plan *plan, void *matrix, int64_t row, int64_t columns)
{
    return matrix ? frnn_at(plan, matrix, row * columns) : NULL;
}

enum { FROM_X, FROM_H, FROM_SAVED }; /* operands */

/* Units first to last of a gate. */
static frnn_outer_block *add_gate(const weight_job *job, frnn_outer *outer, int64_t slot, int64_t first, int64_t last)
{
    frnn_outer_block *block = &outer->block[outer->blocks++];
    *block = (frnn_outer_block){.a_offset = slot * job->plan->Hp + first, .m = last - first};
    return block;
}

/* What this thread owns of the gradients. Gates that wait for the reset gate multiply r h_prev, in the last saved slot, or
 * have a gradient of their own for the recurrent product: then input and recurrence take different slots. */
static void plan_outer(const weight_job *job, const weight_work *w, int index, int threads, frnn_outer *outer)
{
    const frnn_plan *plan = job->plan;
    const frnn_weights *d = &job->g->dweights;
    const frnn_cell_counts *cell = plan->cell;
    const int64_t first = index * plan->H / threads, last = (index + 1) * plan->H / threads;
    const int norm = cell->norm_slot >= 0; /* plan_sums then has the biases */
    void *dweight_ih = job->q->tokens ? NULL : d->weight_ih;
    *outer = (frnn_outer){
        .a = w->saved_rows, .operands = 2, .row_sum = job->g->dtable ? w->table_rows : NULL, .scratch = w->outer};
    outer->b[FROM_X] = (frnn_outer_operand){
        .rows = w->x_rows, .mask = job->q->input_mask ? w->x_masks : NULL, .n = dweight_ih ? plan->I : 0};
    outer->b[FROM_H] = (frnn_outer_operand){.rows = w->h_rows,
                                            .mask = job->q->hidden_mask ? w->h_masks : NULL,
                                            .n = d->weight_hh && cell->recurrent_gates ? plan->P : 0};
    for (int64_t g = 0; g < plan->G; g++) {
        const int64_t row = g * plan->H + first;
        const int recurrent = g < cell->recurrent_count;
        frnn_outer_block *block = add_gate(job, outer, g, first, last);
        block->out[FROM_X] = row_of(plan, dweight_ih, row, plan->I);
        block->row_sums = 1;
        if (!norm)
            block->column_sum[0] = row_of(plan, d->bias_ih, row, 1);
        if (g >= cell->recurrent_gates)
            continue;
        if (recurrent && cell->recurrent_slots[g] != g)
            block = add_gate(job, outer, cell->recurrent_slots[g], first, last);
        block->out[recurrent ? FROM_H : FROM_SAVED] = row_of(plan, d->weight_hh, row, plan->P);
        if (!norm)
            block->column_sum[1] = row_of(plan, d->bias_hh, row, 1);
    }
    if (cell->recurrent_count < cell->recurrent_gates && d->weight_hh)
        outer->b[outer->operands++] =
            (frnn_outer_operand){.rows = w->saved_rows, .offset = (cell->saved_slots - 1) * plan->Hp, .n = plan->H};
    if (plan->projects && d->weight_hr) {
        const int64_t row0 = index * plan->P / threads, row1 = (index + 1) * plan->P / threads;
        outer->b[outer->operands++] =
            (frnn_outer_operand){.rows = w->saved_rows, .offset = plan->unprojected_offset, .n = plan->H};
        outer->block[outer->blocks++] =
            (frnn_outer_block){.a_offset = plan->dprojected_offset + row0,
                               .m = row1 - row0,
                               .out[FROM_SAVED] = frnn_at(plan, d->weight_hr, row0 * plan->H)};
    }
}

/* Layer normalisation: the gradients of biases and gains are sums of slots of their own. */
static void plan_sums(const weight_job *job, const weight_work *w, int index, int threads, frnn_outer *sums)
{
    const frnn_plan *plan = job->plan;
    const frnn_weights *d = &job->g->dweights;
    const frnn_cell_counts *cell = plan->cell;
    const int64_t first = index * plan->H / threads, last = (index + 1) * plan->H / threads;
    const int own_bias = cell->input_slots > cell->gates; /* the recurrent bias of the last gate has a slot */
    int64_t slot = cell->norm_slot;
    *sums = (frnn_outer){.a = w->saved_rows, .scratch = w->outer};
    if (slot < 0)
        return;
    for (int64_t k = 0; k < cell->input_slots; k++) {
        frnn_outer_block *block = add_gate(job, sums, slot++, first, last);
        const int64_t gate = FRNN_MIN(k, plan->G - 1), row = gate * plan->H + first;
        if (k < plan->G)
            block->column_sum[0] = row_of(plan, d->bias_ih, row, 1);
        if (k != plan->G - own_bias)
            block->column_sum[1] = row_of(plan, d->bias_hh, row, 1);
    }
    for (int64_t k = 0; k < plan->G; k++)
        add_gate(job, sums, slot++, first, last)->column_sum[0] = row_of(plan, d->ln_ih, k * plan->H + first, 1);
    for (int64_t k = 0; k < cell->recurrent_gates; k++)
        add_gate(job, sums, slot++, first, last)->column_sum[0] = row_of(plan, d->ln_hh, k * plan->H + first, 1);
    if (cell->c_slot >= 0) {
        add_gate(job, sums, slot++, first, last)->column_sum[0] = row_of(plan, d->ln_c_weight, first, 1);
        add_gate(job, sums, slot++, first, last)->column_sum[0] = row_of(plan, d->ln_c_bias, first, 1);
    }
}

static void weight_thread(void *context, int index, int threads)
{
    const weight_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    frnn_arena arena = {.base = job->thread_base + (size_t)index * job->thread_bytes};
    weight_work w;
    frnn_outer outer, sums;
    carve_thread(job, &arena, &w);
    plan_outer(job, &w, index, threads, &outer);
    plan_sums(job, &w, index, threads, &sums);
    int64_t s = job->q->T - 1, n = 0, rows = next_chunk(job, &w, 0, &s, &n);
    for (int overwrite = job->g->overwrite; rows > 0 || overwrite; overwrite = 0) {
        const int64_t ahead = next_chunk(job, &w, rows, &s, &n);
        sums.rows = outer.rows = rows;
        sums.overwrite = outer.overwrite = overwrite;
        outer.rows_ahead = ahead;
        job->plan->kernels->outer(&outer);
        job->plan->kernels->outer(&sums);
        drop_rows(job, &w, rows, ahead);
        rows = ahead;
    }
    frnn_restore_denormals(environment);
}

size_t frnn_weight_gradients_scratch(const frnn_sequence_gradient *g, const frnn_plan *plan)
{
    const weight_job job = {.g = g, .q = g->sequence, .plan = plan};
    weight_work unused;
    frnn_arena arena = {0};
    carve_thread(&job, &arena, &unused);
    return arena.used;
}

void frnn_weight_gradients(const frnn_sequence_gradient *g, const frnn_plan *plan, const void *zeros, char *scratch,
                           size_t thread_bytes, int threads)
{
    weight_job job = {
        .g = g, .q = g->sequence, .plan = plan, .zeros = zeros, .thread_base = scratch, .thread_bytes = thread_bytes};
    frnn_parallel(weight_thread, &job, threads);
}
