#include "rnn_plan.h"

#include <string.h>

#include "cell_list.h"
#include "platform/cpu.h"
#include "platform/thread_pool.h"
#include "platform/threads.h"

const frnn_cell_counts frnn_cell_table[FRNN_CELL_COUNT] = {
#define FRNN_COUNTS(id, name, ...) [id] = {__VA_ARGS__},
    FRNN_CELL_LIST(FRNN_COUNTS)
#undef FRNN_COUNTS
};

/* Panels of an ungated matrix, four vectors wide. */
static frnn_panels plain_panels(int64_t n, int64_t depth)
{
    return (frnn_panels){.gates = 1, .units = 4, .n = n, .depth = depth};
}

static int64_t round_up(int64_t n, int64_t lanes)
{
    return (n + lanes - 1) / lanes * lanes;
}

/* A matrix [gates * n, columns] where it lies: as it is, and transposed. */
static void borrow(frnn_panels *panels, frnn_panels *transposed, const void *matrix, int64_t columns)
{
    panels->format = FRNN_PANELS_OF_ROWS;
    transposed->format = FRNN_PANELS_OF_COLUMNS;
    panels->data = transposed->data = matrix;
    panels->row = transposed->row = columns;
    panels->gate = panels->n * columns;
}

static void borrow_weights(frnn_plan *plan, const frnn_weights *w)
{
    borrow(&plan->input, &plan->input_t, w->weight_ih, plan->I);
    borrow(&plan->recurrent, &plan->recurrent_t, w->weight_hh, plan->P);
    if (plan->cell->recurrent_count < plan->cell->recurrent_gates)
        borrow(&plan->candidate, &plan->candidate_t,
               frnn_at(plan, w->weight_hh, plan->cell->recurrent_count * plan->H * plan->P), plan->P);
    if (plan->projects)
        borrow(&plan->projection, &plan->projection_t, w->weight_hr, plan->H);
}

static void place(frnn_panels *panels, const frnn_plan *plan, frnn_arena *arena)
{
    panels->data = frnn_take(arena, plan->size * (size_t)(panels->gates * frnn_panel_words(panels) *
                                                          round_up(panels->n, plan->kernels->lanes)));
}

void frnn_make_plan(const frnn_layer *layer, int training, const void *packed, frnn_plan *plan)
{
    const frnn_kernels *kernels = frnn_kernels_for(layer->isa, layer->dtype);
    const frnn_cell_counts *cell = &frnn_cell_table[layer->cell];
    const int64_t I = layer->input_size, H = layer->hidden_size;
    const int64_t P = layer->proj_size ? layer->proj_size : H;
    *plan = (frnn_plan){.kernels = kernels,
                        .cell = cell,
                        .I = I,
                        .H = H,
                        .P = P,
                        .Hp = round_up(H, kernels->lanes),
                        .Pp = round_up(P, kernels->lanes),
                        .G = cell->gates,
                        .projects = layer->proj_size != 0,
                        .size = (size_t)kernels->real_size};
    plan->gates_stride = cell->input_slots * plan->Hp;
    plan->saved_stride = plan->unprojected_offset = cell->saved_slots * plan->Hp;
    if (plan->projects) {
        plan->dprojected_offset = plan->unprojected_offset + plan->Hp;
        plan->saved_stride = plan->dprojected_offset + plan->Pp;
    }
    plan->saved_stride = frnn_whole_lines(plan, plan->saved_stride);
    plan->c_stride = frnn_whole_lines(plan, plan->Hp);
    plan->input_segments = (frnn_segments){.count = plan->G, .length = H};
    for (int g = 0; g < plan->G; g++)
        plan->input_segments.offset[g] = g * plan->Hp;
    plan->recurrent_segments = (frnn_segments){.count = cell->recurrent_count, .length = H};
    for (int g = 0; g < cell->recurrent_count; g++)
        plan->recurrent_segments.offset[g] = cell->recurrent_slots[g] * plan->Hp;

    const int has_candidate = cell->recurrent_count < cell->recurrent_gates;
    plan->input = (frnn_panels){.gates = plan->G, .units = 4 / plan->G, .n = H, .depth = I};
    plan->recurrent = (frnn_panels){.gates = cell->recurrent_count, .units = cell->panel_units, .n = H, .depth = P};
    plan->candidate = plain_panels(H, H);
    plan->projection = plain_panels(P, H);
    plan->input.format = plan->recurrent.format = plan->candidate.format = plan->projection.format = layer->format;
    plan->input_t = plain_panels(I, plan->G * H);
    plan->recurrent_t = plain_panels(P, cell->recurrent_count * H);
    plan->candidate_t = plain_panels(H, H);
    plan->projection_t = plain_panels(H, P);

    frnn_arena arena = {.base = (char *)packed};
    const int borrowed = layer->format == FRNN_WEIGHTS_BORROWED;
    const frnn_weights *lent = frnn_take(&arena, borrowed ? sizeof *lent : 0); /* first: frnn_pack writes it */
    const int norm = cell->norm_slot >= 0;
    plan->norm_slots = norm ? cell->gates + cell->recurrent_gates + 2 * (cell->c_slot >= 0) : 0;
    plan->bias = frnn_take(&arena, plan->size * (size_t)(plan->gates_stride + plan->norm_slots * plan->Hp));
    plan->input_init = norm ? NULL : plan->bias;
    if (borrowed) {
        plan->packed_bytes = arena.used;
        if (packed)
            borrow_weights(plan, lent);
        return;
    }
    place(&plan->input, plan, &arena);
    place(&plan->recurrent, plan, &arena);
    if (has_candidate)
        place(&plan->candidate, plan, &arena);
    if (plan->projects)
        place(&plan->projection, plan, &arena);
    if (training) {
        place(&plan->input_t, plan, &arena);
        place(&plan->recurrent_t, plan, &arena);
        if (has_candidate)
            place(&plan->candidate_t, plan, &arena);
        if (plan->projects)
            place(&plan->projection_t, plan, &arena);
    }
    plan->packed_bytes = arena.used;
}

size_t frnn_packed_size(const frnn_layer *layer, int training)
{
    frnn_plan plan;
    frnn_make_plan(layer, training, NULL, &plan);
    return plan.packed_bytes;
}

/* Multiplications with the weights of a step, for one row. */
static double step_weights(const frnn_layer *layer)
{
    const frnn_cell_counts *cell = &frnn_cell_table[layer->cell];
    const double H = (double)layer->hidden_size, P = layer->proj_size ? (double)layer->proj_size : H;
    return H * (cell->gates * (double)layer->input_size + cell->recurrent_gates * P + (layer->proj_size ? P : 0.0));
}

/* The two biases add up, but for a GRU that resets after the product: there the n gate's recurrent bias is its own slot. */
static void pack_bias(const frnn_plan *plan, const frnn_weights *w)
{
    const int64_t H = plan->H;
    memset(plan->bias, 0, plan->size * (size_t)plan->gates_stride);
    for (int64_t g = 0; g < plan->G; g++) {
        const void *ih = w->bias_ih ? frnn_at(plan, w->bias_ih, g * H) : NULL;
        const void *hh = w->bias_hh && plan->cell->recurrent_gates ? frnn_at(plan, w->bias_hh, g * H) : NULL;
        if (plan->cell->input_slots > plan->G && g == plan->G - 1) {
            plan->kernels->add_bias(H, NULL, hh, frnn_at(plan, plan->bias, plan->G * plan->Hp));
            hh = NULL;
        }
        plan->kernels->add_bias(H, ih, hh, frnn_at(plan, plan->bias, g * plan->Hp));
    }
}

static void pack_norm(const frnn_plan *plan, const frnn_weights *w)
{
    const struct {
        const void *from;
        int64_t slots;
    } parts[] = {{w->ln_ih, plan->G}, {w->ln_hh, plan->cell->recurrent_gates}, {w->ln_c_weight, 1}, {w->ln_c_bias, 1}};
    int64_t slot = plan->cell->input_slots;
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++)
        for (int64_t k = 0; parts[part].from && k < parts[part].slots; k++, slot++)
            frnn_copy_padded(plan, frnn_at(plan, plan->bias, slot * plan->Hp),
                             frnn_at(plan, parts[part].from, k * plan->H), plan->H, plan->Hp);
}

typedef struct pack_job {
    const frnn_weights *w;
    int training;
    frnn_plan plan;
} pack_job;

/* One of the parts in which a matrix is packed. */
typedef struct pack_part {
    const frnn_kernels *kernels;
    int index, count;
} pack_part;

static void pack(const pack_part *part, const frnn_panels *panels, const void *data, int64_t gate_stride,
                 int64_t unit_stride, int64_t k_stride)
{
    const frnn_pack_source source = {
        .data = data, .gate_stride = gate_stride, .unit_stride = unit_stride, .k_stride = k_stride};
    part->kernels->pack((void *)panels->data, panels, &source, part->index, part->count);
}

static void pack_thread(void *context, int index, int threads)
{
    const pack_job *job = context;
    const frnn_plan *plan = &job->plan;
    const frnn_weights *w = job->w;
    const pack_part part = {plan->kernels, index, threads};
    const int64_t I = plan->I, H = plan->H, P = plan->P;
    const int has_candidate = plan->cell->recurrent_count < plan->cell->recurrent_gates;
    const void *w_candidate = frnn_at(plan, w->weight_hh, plan->cell->recurrent_count * H * P);
    pack(&part, &plan->input, w->weight_ih, H * I, I, 1);
    pack(&part, &plan->recurrent, w->weight_hh, H * P, P, 1);
    if (has_candidate)
        pack(&part, &plan->candidate, w_candidate, 0, P, 1);
    if (plan->projects)
        pack(&part, &plan->projection, w->weight_hr, 0, H, 1);
    if (job->training) {
        pack(&part, &plan->input_t, w->weight_ih, 0, 1, I);
        pack(&part, &plan->recurrent_t, w->weight_hh, 0, 1, P);
        if (has_candidate)
            pack(&part, &plan->candidate_t, w_candidate, 0, 1, P);
        if (plan->projects)
            pack(&part, &plan->projection_t, w->weight_hr, 0, 1, H);
    }
}

/* To read a weight and write it into its panel takes as long as so many operations. */
#define FRNN_FLOP_PER_PACKED_WEIGHT 16.0

static int pack_threads(const frnn_layer *layer, int training)
{
    return frnn_threads_for(FRNN_FLOP_PER_PACKED_WEIGHT * (training ? 2 : 1) * step_weights(layer), FRNN_MAX_THREADS);
}

void frnn_pack(const frnn_layer *layer, const frnn_weights *w, int training, void *packed)
{
    if (layer->format == FRNN_WEIGHTS_BORROWED)
        *(frnn_weights *)packed = *w;
    pack_job job = {.w = w, .training = training};
    frnn_make_plan(layer, training, packed, &job.plan);
    pack_bias(&job.plan, w);
    pack_norm(&job.plan, w);
    if (layer->format == FRNN_WEIGHTS_BORROWED)
        return;
    frnn_parallel(pack_thread, &job, pack_threads(layer, training));
}

size_t frnn_piece_saved_size(const frnn_sequence *q)
{
    frnn_plan plan;
    frnn_make_plan(&q->layer, 1, NULL, &plan);
    return plan.size * (size_t)(q->N * frnn_saved_steps(&plan, q));
}

void frnn_sort_rows(const frnn_sequence *q, int64_t *order, int64_t *counts)
{
    /* counting sort: counts[T - length] rows come before those of the next shorter length */
    memset(counts, 0, sizeof *counts * (size_t)(q->T + 2));
    for (int64_t n = 0; n < q->N; n++)
        counts[q->T - q->lengths[n] + 1]++;
    for (int64_t i = 1; i < q->T + 2; i++)
        counts[i] += counts[i - 1];
    for (int64_t n = 0; n < q->N; n++)
        order[counts[q->T - q->lengths[n]]++] = n;
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

void *frnn_take_turned(const frnn_layer *layer, const frnn_plan *plan, int64_t depth, frnn_arena *arena)
{
    const int64_t reals = layer->format == FRNN_WEIGHTS_BORROWED ? depth * FRNN_MAX_GATES * plan->kernels->lanes : 0;
    return frnn_take(arena, plan->size * (size_t)reals);
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

void frnn_copy_padded(const frnn_plan *plan, void *to, const void *from, int64_t n, int64_t padded)
{
    if (!from)
        n = 0;
    else
        memcpy(to, from, plan->size * (size_t)n);
    memset(frnn_at(plan, to, n), 0, plan->size * (size_t)(padded - n));
}

/* A joint step keeps what its sums start from in registers and begins half as many tiles, but reads the input weights every time.
 * Where a step is all there is, a product of its own would do so too (but not as a part of tiles that fetch large
 * weights ahead for many rows: is_far). Otherwise those of a few inputs cost nothing, of twice as many where steps do not wait for
 * weights. Of more, some rows have to share them, and a panel of both has to leave room for rows in a first-level cache; panels that are
 * not sliced come from the second-level cache in time. */
#define FRNN_JOINT_INPUTS 16
#define FRNN_JOINT_ROWS 6
#define FRNN_JOINT_PANEL (24 * 1024)

int frnn_is_joint(const frnn_plan *plan, const frnn_sequence *q, int64_t rows)
{
    const frnn_cell_counts *cell = plan->cell;
    const int64_t column = (plan->I + plan->P) * (int64_t)plan->size; /* bytes of the weights of a gate of a unit */
    const int large = column * plan->G * plan->H >= frnn_cpu_l2_cache_bytes();
    if (cell->recurrent_count != cell->input_slots || cell->norm_slot >= 0 || q->layer.format == FRNN_WEIGHTS_INT8 ||
        q->input_table || q->input_mask)
        return 0;
    if (q->T == 1)
        return !large || rows <= FRNN_JOINT_ROWS;
    if (large)
        return 0;
    if (rows <= 2)
        return plan->I <= FRNN_JOINT_INPUTS;
    return !plan->kernels->sliced || plan->I <= 2 * FRNN_JOINT_INPUTS ||
           (rows >= FRNN_JOINT_ROWS && 4 * plan->kernels->lanes * column <= FRNN_JOINT_PANEL);
}

#define FRNN_WINDOW_ROWS 48 /* at least */
#define FRNN_WINDOW_BYTES ((size_t)256 * 1024)
/* Weights several times as large as the cache come from beyond it for every window. Then windows are longer, as far as they
 * hold several steps at all, and what the product leaves or takes may fill the cache, since it is less; forward more than
 * fill it. */
#define FRNN_FAR_WEIGHTS 3
#define FRNN_FAR_WINDOW_ROWS 96 /* at most, for each time the size of the cache */

int64_t frnn_window(const frnn_plan *plan, int64_t T, int64_t rows, int64_t stride, int64_t caches)
{
    if (rows == 0 || T == 0)
        return 1;
    const size_t l2 = (size_t)frnn_cpu_l2_cache_bytes();
    const int far = plan->size * (size_t)(plan->G * plan->H * plan->I) >= FRNN_FAR_WEIGHTS * l2;
    const int64_t wanted = far ? FRNN_FAR_WINDOW_ROWS * caches / rows : (FRNN_WINDOW_ROWS + rows - 1) / rows;
    const size_t bytes = far ? l2 * (size_t)caches : FRNN_WINDOW_BYTES;
    const int64_t fitting = (int64_t)(bytes / (plan->size * (size_t)(stride * rows)));
    return FRNN_MIN(T, FRNN_MAX(1, FRNN_MIN(wanted, fitting)));
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
        return pack_threads(&q->layer, 1) > 1;
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
