/* Threads of a sequence: how many it is worth, and which rows and units each of them takes. */
#include <string.h>

#include "platform/cpu.h"
#include "platform/thread_pool.h"
#include "platform/threads.h"
#include "rnn_plan.h"

/* Multiplications with the weights of a step, for one row. */
static double step_weights(const frnn_layer *layer)
{
    const frnn_cell_counts *cell = &frnn_cell_table[layer->cell];
    const double H = (double)layer->hidden_size, P = layer->proj_size ? (double)layer->proj_size : H;
    return H * (cell->gates * (double)layer->input_size + cell->recurrent_gates * P + (layer->proj_size ? P : 0.0));
}

/* To read a weight and write it into its panel takes as long as so many operations. */
#define FRNN_FLOP_PER_PACKED_WEIGHT 16.0

int frnn_pack_threads(const frnn_layer *layer, int training)
{
    return frnn_threads_for(FRNN_FLOP_PER_PACKED_WEIGHT * (training ? 2 : 1) * step_weights(layer), FRNN_MAX_THREADS);
}

/* With few rows a step waits for its weights to be read, which takes as long as three rows' arithmetic. */
#define FRNN_ROWS_PER_READ 3.0

/* Training reads weights that the optimizer has just changed, and writes as many gradients, which it will read: all of them move
 * between its core and the others. For a weight that takes as long as its multiplications for so many rows of all steps. It pays
 * for fewer where packing the weights has moved them anyway, or where lent ones come from beyond that core: where they are twice
 * as large as its second-level cache, or in a single step, which reads nothing again, eight times. */
#define FRNN_ROWS_PER_TRANSFER 28

static int worth_moving(const frnn_sequence *q, double weights)
{
    if (q->T * q->N >= FRNN_ROWS_PER_TRANSFER)
        return 1;
    if (q->layer.format != FRNN_WEIGHTS_BORROWED)
        return frnn_pack_threads(&q->layer, 1) > 1;
    const double size = (double)frnn_kernels_for(q->layer.isa, q->layer.dtype)->real_size;
    return weights * size >= (q->T > 1 ? 2 : 8) * (double)frnn_cpu_l2_cache_bytes();
}

/* What a step of a recurrence takes whatever its rows, and what each thread takes that has some of them, in operations. */
#define FRNN_FLOP_OF_ANY_STEP 1e4

int frnn_sequence_threads(const frnn_sequence *q)
{
    const double weights = step_weights(&q->layer), step = 2.0 * FRNN_MAX((double)q->N, FRNN_ROWS_PER_READ) * weights;
    if (q->training && !worth_moving(q, weights))
        return 1;
    double most = FRNN_MAX_THREADS;
    if (!q->training && frnn_cell_table[q->layer.cell].recurrent_gates && step < most * FRNN_FLOP_OF_ANY_STEP)
        most = FRNN_MAX(1, step / FRNN_FLOP_OF_ANY_STEP);
    return frnn_threads_for((double)q->T * step, (int64_t)most);
}

/* What one thread went through alone is in its core's cache. Another one takes as long to get a byte from there as to multiply
 * so often, and as long again when the first writes there next time. */
#define FRNN_FLOP_PER_TRANSFERRED_BYTE 18.0

int frnn_late_threads(const frnn_plan *plan, const frnn_shares *shares, const frnn_sequence *q)
{
    double row = 2.0 * step_weights(&q->layer);
    if (shares->rows * shares->units == 1)
        row -= FRNN_FLOP_PER_TRANSFERRED_BYTE * (double)plan->size * (double)(plan->I + plan->P + plan->saved_stride);
    return frnn_threads_for((double)q->T * (double)q->N * row, q->threads);
}

/* Bytes of weights below which a step is over before threads have met: half a microsecond of reading. */
#define FRNN_SHARED_STEP_BYTES 2.5e5

/* A thread with fewer rows waits for weights, where those are as large as a third of its second-level cache; or, in a step that is
 * all there is of a sequence, as all of it. Threads then share units rather than rows: each reads its own part. */
#define FRNN_ROWS_OF_A_READER 4
#define FRNN_PART_OF_A_READER 3

frnn_shares frnn_share_out(const frnn_plan *plan, const frnn_sequence *q, int backward)
{
    const int recurrent = plan->cell->recurrent_gates > 0, divisible = !recurrent || frnn_one_product(plan);
    const int alone = q->T == 1 && !backward; /* backward, dh0 waits for all units */
    const int64_t blocks = (plan->H + frnn_unit_block(plan) - 1) / frnn_unit_block(plan);
    const int64_t terms = plan->cell->recurrent_gates * plan->P + (alone ? plan->G * plan->I : 0);
    const double bytes = (double)plan->size * (double)plan->H * (double)terms; /* of weights that a step reads */
    const int most = (int)FRNN_MAX(1, FRNN_MIN(q->N, q->threads));
    int rows = most;
    if (divisible && bytes * (alone ? 1 : FRNN_PART_OF_A_READER) >= (double)frnn_cpu_l2_cache_bytes()) {
        rows = (int)FRNN_MAX(1, FRNN_MIN(most, q->N / FRNN_ROWS_OF_A_READER));
        while (rows * (q->threads / rows) < most) /* none of them idle */
            rows--;
        if (q->threads / rows > blocks || (recurrent && bytes * (double)(q->N / rows) < FRNN_SHARED_STEP_BYTES))
            rows = most;
    }
    const int64_t most_rows = (q->N + rows - 1) / rows;
    const int shared = !recurrent || (divisible && bytes * (double)most_rows >= FRNN_SHARED_STEP_BYTES);
    const int units = shared ? (int)FRNN_MAX(1, FRNN_MIN(blocks, q->threads / rows)) : 1;
    return (frnn_shares){.rows = rows,
                         .units = units,
                         .meet = recurrent && units > 1 && (!alone || rows == most),
                         .apart = FRNN_MIN(most, rows * units),
                         .most_rows = most_rows};
}

frnn_barrier *frnn_take_barriers(const frnn_shares *shares, frnn_arena *arena)
{
    const size_t bytes = shares->meet ? sizeof(frnn_barrier) * (size_t)shares->rows : 0;
    frnn_barrier *barriers = frnn_take(arena, bytes);
    if (barriers)
        memset(barriers, 0, bytes);
    return barriers;
}

#define FRNN_MEETING_STEPS 64
/* The part of its time that a thread may lose by going to sleep at meetings. Of short steps it loses more as soon as it does. */
#define FRNN_PART_SLEPT 8

void frnn_run_shares(frnn_task task, void *job, frnn_shares *shares, frnn_barrier *barriers, int64_t steps,
                     int64_t *begin, int64_t *end)
{
    const int units_meet = shares->meet;
    *begin = 0;
    if (shares->meet && !frnn_may_meet())
        shares->meet = 0;
    for (; shares->meet && *begin < steps; *begin = *end) {
        *end = FRNN_MIN(*begin + FRNN_MEETING_STEPS, steps);
        const long long start = frnn_nanoseconds();
        for (int i = 0; i < shares->rows; i++)
            atomic_store(&barriers[i].since, start);
        if (!frnn_parallel_together(task, job, shares->rows * shares->units))
            break;
        const long long taken = frnn_nanoseconds() - start;
        long long slept = 0;
        for (int i = 0; i < shares->rows; i++)
            slept += atomic_exchange(&barriers[i].slept, 0);
        shares->meet = slept / (shares->rows * (shares->units - 1)) <= taken / FRNN_PART_SLEPT;
        frnn_have_met(shares->meet);
    }
    if (*begin < steps || steps == 0) {
        if (units_meet) {
            shares->rows = shares->apart;
            shares->units = 1;
        }
        shares->meet = 0;
        *end = steps;
        frnn_parallel(task, job, shares->rows * shares->units);
    }
}

frnn_share frnn_share_of(const frnn_plan *plan, const frnn_shares *shares, int thread)
{
    frnn_share share = {.index = thread % shares->rows, .count = shares->rows, .unit1 = plan->P};
    if (shares->units > 1) {
        const int64_t block = frnn_unit_block(plan), blocks = (plan->H + block - 1) / block, k = thread / shares->rows;
        share.unit0 = k * blocks / shares->units * block;
        share.unit1 = FRNN_MIN(plan->H, (k + 1) * blocks / shares->units * block);
    }
    return share;
}

int64_t frnn_take_rows(const frnn_sequence *q, const int64_t *order, int index, int count, int64_t *rows)
{
    int64_t taken = 0;
    if (q->lengths)
        for (int64_t i = index; i < q->N; i += count)
            rows[taken++] = order[i];
    else
        for (int64_t n = index * q->N / count; n < (index + 1) * q->N / count; n++)
            rows[taken++] = n;
    return taken;
}
