/* An embedding followed by an input product takes V different values only, so both collapse into one table of
 * pre-activations, a row a token, made by the same product kernel: a step has the bits that it has on embedded x. Backward
 * likewise: what the steps of a token send back is added up first (frnn_sequence_gradient.dtable), and meets the weights and
 * the embedding once a token instead of once a step. */
#include <string.h>

#include "platform/float_environment.h"
#include "platform/thread_pool.h"
#include "rnn_plan.h"

size_t frnn_input_table_size(const frnn_layer *layer, int64_t V)
{
    frnn_plan plan;
    frnn_make_plan(layer, 0, NULL, &plan);
    return plan.size * (size_t)(V * plan.gates_stride);
}

int frnn_input_table_threads(const frnn_layer *layer, int64_t V)
{
    frnn_plan plan;
    frnn_make_plan(layer, 0, NULL, &plan);
    return frnn_threads_for(2.0 * (double)V * (double)plan.I * (double)(plan.G * plan.H), FRNN_MAX_THREADS);
}

typedef struct table_job {
    frnn_plan plan;
    int64_t V;
    void *dweight_ih;
    int overwrite;
    const void **a; /* [V] rows that a product reads */
    void **out;     /* [V] and writes */
    const void **b; /* [V] rows of the embedding */
    char *outer;
    size_t outer_bytes;
} table_job;

static size_t carve(table_job *job, int64_t V, int threads, void *scratch)
{
    frnn_arena arena = {.base = scratch};
    job->V = V;
    job->a = frnn_take(&arena, sizeof *job->a * (size_t)V);
    job->out = frnn_take(&arena, sizeof *job->out * (size_t)V);
    job->b = frnn_take(&arena, sizeof *job->b * (size_t)V);
    job->outer_bytes = (job->plan.kernels->outer_scratch + FRNN_ALIGNMENT - 1) / FRNN_ALIGNMENT * FRNN_ALIGNMENT;
    job->outer = frnn_take(&arena, job->outer_bytes * (size_t)threads);
    return arena.used;
}

size_t frnn_input_table_scratch(const frnn_layer *layer, int64_t V, int threads)
{
    table_job job = {0};
    frnn_make_plan(layer, 0, NULL, &job.plan);
    return carve(&job, V, threads, NULL);
}

/* A product of this thread's rows. */
static void rows_product(const table_job *job, frnn_product product, int index, int threads)
{
    const int64_t first = index * job->V / threads;
    product.m = (index + 1) * job->V / threads - first;
    product.a = job->a + first;
    product.out = job->out + first;
    job->plan.kernels->product(&product);
}

static void table_thread(void *context, int index, int threads)
{
    const table_job *job = context;
    const frnn_plan *plan = &job->plan;
    const frnn_float_environment environment = frnn_flush_denormals();
    rows_product(job,
                 (frnn_product){.b = plan->input,
                                .a_segments = {.count = 1, .length = plan->I},
                                .init = plan->input_init,
                                .init_gate_stride = plan->Hp,
                                .out_gate_stride = plan->Hp,
                                .out_padded = 1},
                 index, threads);
    frnn_restore_denormals(environment);
}

void frnn_input_table(const frnn_layer *layer, const void *packed, int64_t V, const void *embedding, void *table,
                      int threads, void *scratch)
{
    table_job job = {0};
    frnn_make_plan(layer, 0, packed, &job.plan);
    carve(&job, V, threads, scratch);
    const frnn_plan *plan = &job.plan;
    for (int64_t v = 0; v < V; v++) {
        job.a[v] = frnn_at(plan, embedding, v * plan->I);
        job.out[v] = frnn_at(plan, table, v * plan->gates_stride);
        memcpy(job.out[v], plan->bias, plan->size * (size_t)plan->gates_stride); /* slots that no input product fills */
    }
    frnn_parallel(table_thread, &job, threads);
}

static void dembedding_thread(void *context, int index, int threads)
{
    const table_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    rows_product(job, (frnn_product){.b = job->plan.input_t, .a_segments = job->plan.input_segments}, index, threads);
    frnn_restore_denormals(environment);
}

static void dweight_thread(void *context, int index, int threads)
{
    const table_job *job = context;
    const frnn_plan *plan = &job->plan;
    const frnn_float_environment environment = frnn_flush_denormals();
    const int64_t first = index * plan->H / threads, last = (index + 1) * plan->H / threads;
    frnn_outer outer = {.overwrite = job->overwrite,
                        .operands = 1,
                        .blocks = (int)plan->G,
                        .b = {{.n = plan->I}},
                        .scratch = job->outer + (size_t)index * job->outer_bytes};
    for (int64_t g = 0; g < plan->G; g++)
        outer.block[g] = (frnn_outer_block){.a_offset = g * plan->Hp + first,
                                            .m = last - first,
                                            .out = {frnn_at(plan, job->dweight_ih, (g * plan->H + first) * plan->I)}};
    const int64_t chunk = plan->kernels->outer_chunk;
    for (int64_t v = 0; v < job->V || outer.overwrite; v += outer.rows, outer.overwrite = 0) {
        outer.rows = FRNN_MIN(chunk, job->V - v);
        outer.rows_ahead = FRNN_MIN(chunk, job->V - v - outer.rows);
        outer.a = job->a + v;
        outer.b[0].rows = job->b + v;
        plan->kernels->outer(&outer);
    }
    frnn_restore_denormals(environment);
}

static int all_zero(const char *bytes, size_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

void frnn_input_table_backward(const frnn_layer *layer, const void *packed, int64_t V, const void *embedding,
                               const void *dtable, void *dembedding, void *dweight_ih, int overwrite, int threads,
                               void *scratch)
{
    table_job job = {.dweight_ih = dweight_ih, .overwrite = overwrite};
    frnn_make_plan(layer, 1, packed, &job.plan);
    carve(&job, V, threads, scratch);
    const frnn_plan *plan = &job.plan;
    job.V = 0;
    for (int64_t v = 0; v < V; v++) {
        const void *row = frnn_at(plan, dtable, v * plan->gates_stride);
        void *out = dembedding ? frnn_at(plan, dembedding, v * plan->I) : NULL;
        if (all_zero(row, plan->size * (size_t)plan->gates_stride)) { /* nobody looked it up, whatever it holds */
            if (out)
                memset(out, 0, plan->size * (size_t)plan->I);
            continue;
        }
        job.a[job.V] = row;
        job.b[job.V] = frnn_at(plan, embedding, v * plan->I);
        job.out[job.V++] = out;
    }
    if (dembedding)
        frnn_parallel(dembedding_thread, &job, threads);
    if (dweight_ih)
        frnn_parallel(dweight_thread, &job, threads);
}
