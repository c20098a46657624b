/* Linear layer on the packed product: rows are split over threads forward and for dx, output features for dweight. */
#include "dispatch.h"
#include "platform/arena.h"
#include "platform/compiler.h"
#include "platform/float_environment.h"
#include "platform/thread_pool.h"

typedef struct linear_job {
    const frnn_linear *linear;
    const frnn_kernels *kernels;
    frnn_panels panels, panels_t; /* weight; its transpose (training) */
    void *bias;                   /* [O] padded */
    size_t packed_bytes;
    int threads;
    int64_t M;
    const void *x, *dy;
    void *y, *dx, *dweight, *dbias;
    int overwrite;
    const void **a; /* [M] row pointers */
    void **out;
    const void **b;
    char *outer;
    size_t outer_bytes;
} linear_job;

static void plan(linear_job *job, const frnn_linear *linear, int training, const void *packed)
{
    const frnn_kernels *kernels = frnn_kernels_for(linear->isa, linear->dtype);
    const int64_t K = linear->in_features, O = linear->out_features, V = kernels->lanes;
    const int64_t Op = (O + V - 1) / V * V, Kp = (K + V - 1) / V * V;
    const size_t size = (size_t)kernels->real_size;
    frnn_arena arena = {.base = (char *)packed};
    *job = (linear_job){.linear = linear, .kernels = kernels};
    job->panels = (frnn_panels){.gates = 1, .units = 4, .n = O, .depth = K, .format = linear->format};
    job->panels_t = (frnn_panels){.gates = 1, .units = 4, .n = K, .depth = O};
    job->bias = frnn_take(&arena, size * (size_t)Op);
    job->panels.data = frnn_take(&arena, size * (size_t)(Op * frnn_panel_words(&job->panels)));
    if (training)
        job->panels_t.data = frnn_take(&arena, size * (size_t)(Kp * O));
    job->packed_bytes = arena.used;
}

static void carve(linear_job *job, int64_t M, int threads, void *scratch, size_t *bytes)
{
    frnn_arena arena = {.base = scratch};
    job->M = M;
    job->threads = threads;
    job->a = frnn_take(&arena, sizeof *job->a * (size_t)M);
    job->b = frnn_take(&arena, sizeof *job->b * (size_t)M);
    job->out = frnn_take(&arena, sizeof *job->out * (size_t)M);
    job->outer_bytes = (job->kernels->outer_scratch + FRNN_ALIGNMENT - 1) / FRNN_ALIGNMENT * FRNN_ALIGNMENT;
    job->outer = frnn_take(&arena, job->outer_bytes * (size_t)threads);
    *bytes = arena.used;
}

size_t frnn_linear_packed_size(const frnn_linear *linear, int training)
{
    linear_job job;
    plan(&job, linear, training, NULL);
    return job.packed_bytes;
}

void frnn_linear_pack(const frnn_linear *linear, const void *weight, const void *bias, int training, void *packed)
{
    linear_job job;
    plan(&job, linear, training, packed);
    const int64_t K = linear->in_features, O = linear->out_features, V = job.kernels->lanes;
    const int64_t Op = (O + V - 1) / V * V;
    const frnn_pack_source forward = {.data = weight, .unit_stride = K, .k_stride = 1};
    const frnn_pack_source backward = {.data = weight, .unit_stride = 1, .k_stride = K};
    job.kernels->add_bias(Op, NULL, NULL, job.bias);
    job.kernels->add_bias(O, bias, NULL, job.bias);
    job.kernels->pack((void *)job.panels.data, &job.panels, &forward, 0, 1);
    if (training)
        job.kernels->pack((void *)job.panels_t.data, &job.panels_t, &backward, 0, 1);
}

int frnn_linear_threads(const frnn_linear *linear, int64_t M)
{
    return frnn_threads_for(2.0 * (double)M * (double)linear->in_features * (double)linear->out_features,
                            FRNN_MAX_THREADS);
}

size_t frnn_linear_scratch(const frnn_linear *linear, int64_t M, int threads)
{
    linear_job job;
    size_t bytes;
    plan(&job, linear, 1, NULL);
    carve(&job, M, threads, NULL, &bytes);
    return bytes;
}

/* out[M, n] = a[M, depth] panels, rows of this thread. */
static void rows_product(const linear_job *job, const frnn_panels *panels, const void *a, const void *init, void *out,
                         int index, int threads)
{
    const int64_t first = index * job->M / threads, last = (index + 1) * job->M / threads;
    const int64_t size = job->kernels->real_size;
    for (int64_t i = first; i < last; i++) {
        job->a[i] = (const char *)a + i * panels->depth * size;
        job->out[i] = (char *)out + i * panels->n * size;
    }
    const frnn_product product = {.b = *panels,
                                  .a_segments = {.count = 1, .length = panels->depth},
                                  .m = last - first,
                                  .a = job->a + first,
                                  .out = job->out + first,
                                  .init = init};
    job->kernels->product(&product);
}

static void forward_thread(void *context, int index, int threads)
{
    const linear_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    rows_product(job, &job->panels, job->x, job->bias, job->y, index, threads);
    frnn_restore_denormals(environment);
}

static void dx_thread(void *context, int index, int threads)
{
    const linear_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    rows_product(job, &job->panels_t, job->dy, NULL, job->dx, index, threads);
    frnn_restore_denormals(environment);
}

static void dweight_thread(void *context, int index, int threads)
{
    const linear_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    const int64_t K = job->linear->in_features, O = job->linear->out_features, size = job->kernels->real_size;
    const int64_t first = index * O / threads, last = (index + 1) * O / threads;
    frnn_outer outer = {.overwrite = job->overwrite,
                        .operands = 1,
                        .blocks = 1,
                        .b = {{.n = K}},
                        .block = {{.a_offset = first,
                                   .m = last - first,
                                   .out = {(char *)job->dweight + first * K * size},
                                   .column_sum = {job->dbias ? (char *)job->dbias + first * size : NULL}}},
                        .scratch = job->outer + (size_t)index * job->outer_bytes};
    for (int64_t row = 0; row < job->M || outer.overwrite; row += outer.rows, outer.overwrite = 0) {
        outer.rows = FRNN_MIN(job->kernels->outer_chunk, job->M - row);
        outer.rows_ahead = FRNN_MIN(job->kernels->outer_chunk, job->M - row - outer.rows);
        outer.a = job->a + row;
        outer.b[0].rows = job->b + row;
        job->kernels->outer(&outer);
    }
    frnn_restore_denormals(environment);
}

void frnn_linear_forward(const frnn_linear *linear, const void *packed, int64_t M, const void *x, void *y, int threads,
                         void *scratch)
{
    linear_job job;
    size_t bytes;
    plan(&job, linear, 0, packed);
    carve(&job, M, threads, scratch, &bytes);
    job.x = x;
    job.y = y;
    frnn_parallel(forward_thread, &job, threads);
}

void frnn_linear_backward(const frnn_linear *linear, const void *packed, int64_t M, const void *x, const void *dy,
                          void *dx, void *dweight, void *dbias, int overwrite, int threads, void *scratch)
{
    linear_job job;
    size_t bytes;
    plan(&job, linear, 1, packed);
    carve(&job, M, threads, scratch, &bytes);
    job.dy = dy;
    job.dx = dx;
    job.dweight = dweight;
    job.dbias = dbias;
    job.overwrite = overwrite;
    if (dx)
        frnn_parallel(dx_thread, &job, threads);
    const int64_t size = job.kernels->real_size;
    for (int64_t i = 0; i < M; i++) {
        job.a[i] = (const char *)dy + i * linear->out_features * size;
        job.b[i] = (const char *)x + i * linear->in_features * size;
    }
    frnn_parallel(dweight_thread, &job, threads);
}
