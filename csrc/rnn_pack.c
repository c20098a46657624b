/* Packing the weights of a layer: panels of every matrix, in parts that threads take; biases and gains. */
#include <string.h>

#include "platform/thread_pool.h"
#include "rnn_plan.h"

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
    frnn_parallel(pack_thread, &job, frnn_pack_threads(layer, training));
}
