#include "rnn_plan.h"

#include <string.h>

#include "cell_list.h"
#include "platform/cpu.h"

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

void *frnn_take_turned(const frnn_layer *layer, const frnn_plan *plan, int64_t depth, frnn_arena *arena)
{
    const int64_t reals = layer->format == FRNN_WEIGHTS_BORROWED ? depth * FRNN_MAX_GATES * plan->kernels->lanes : 0;
    return frnn_take(arena, plan->size * (size_t)reals);
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
