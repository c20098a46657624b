/* Entry points beside the recurrent layers: fetch the table, share the work out, call the kernels. No arithmetic but the
 * sum of per-row results in row order. */
#include "dispatch.h"
#include "platform/compiler.h"
#include "platform/float_environment.h"
#include "platform/pages.h"
#include "platform/thread_pool.h"

/* Tasks over n items: thread `index` takes a contiguous share. */
#define FRNN_SHARE(first, last, n, index, threads)                                                                     \
    const int64_t first = (index) * (n) / (threads), last = ((index) + 1) * (n) / (threads)

static const frnn_kernels *current_kernels(int dtype)
{
    return frnn_kernels_for(frnn_isa_current(), dtype);
}

/* ---- embedding ---- */

typedef struct embedding_job {
    const frnn_kernels *kernels;
    int64_t n, width;
    const int64_t *ids;
    const void *from;
    void *to;
} embedding_job;

static void gather_thread(void *context, int index, int threads)
{
    const embedding_job *job = context;
    FRNN_SHARE(first, last, job->n, index, threads);
    job->kernels->embedding_gather(last - first, job->width, job->ids + first, job->from,
                                   (char *)job->to + first * job->width * job->kernels->real_size);
}

static void scatter_thread(void *context, int index, int threads)
{
    const embedding_job *job = context;
    const frnn_float_environment environment = frnn_flush_denormals();
    FRNN_SHARE(first, last, job->width, index, threads);
    job->kernels->embedding_scatter(job->n, job->width, first, last, job->ids, job->from, job->to);
    frnn_restore_denormals(environment);
}

/* Copies and additions run at a few elements a cycle, an eighth of the rate that a flop is counted at. */
#define FRNN_FLOP_PER_ELEMENT 8.0

void frnn_embedding_forward(int dtype, int64_t n, int64_t width, const int64_t *ids, const void *weight, void *y)
{
    embedding_job job = {current_kernels(dtype), n, width, ids, weight, y};
    frnn_parallel(gather_thread, &job, frnn_threads_for(FRNN_FLOP_PER_ELEMENT * (double)n * (double)width, n));
}

void frnn_embedding_backward(int dtype, int64_t n, int64_t width, const int64_t *ids, const void *dy, void *dweight)
{
    embedding_job job = {current_kernels(dtype), n, width, ids, dy, dweight};
    /* below a cache line a thread, the threads would share lines */
    frnn_parallel(scatter_thread, &job,
                  frnn_threads_for(FRNN_FLOP_PER_ELEMENT * (double)n * (double)width, FRNN_MAX(1, width / 16)));
}

/* ---- softmax cross-entropy ---- */

typedef struct cross_entropy_job {
    const frnn_cross_entropy_args *q;
    const frnn_kernels *kernels;
    double smoothing_weight_sum;
} cross_entropy_job;

static void cross_entropy_thread(void *context, int index, int threads)
{
    const cross_entropy_job *job = context;
    const frnn_cross_entropy_args *q = job->q;
    const frnn_float_environment environment = frnn_flush_denormals();
    FRNN_SHARE(first, last, q->M, index, threads);
    const int64_t row_bytes = q->C * job->kernels->real_size;
    for (int64_t i = first; i < last; i++) {
        const frnn_cross_entropy_row_args row = {.logits = (const char *)q->logits + i * row_bytes,
                                                 .dlogits = (char *)q->dlogits + i * row_bytes,
                                                 .classes = q->C,
                                                 .target = q->targets[i],
                                                 .class_weight = q->class_weight,
                                                 .smoothing = q->label_smoothing,
                                                 .smoothing_weight_sum = job->smoothing_weight_sum};
        if (q->targets[i] == q->ignore_index) {
            job->kernels->add_bias(q->C, NULL, NULL, row.dlogits);
            q->row_loss[i] = q->row_weight[i] = 0;
        } else {
            job->kernels->cross_entropy_row(&row, &q->row_loss[i], &q->row_weight[i]);
        }
    }
    frnn_restore_denormals(environment);
}

void frnn_cross_entropy(const frnn_cross_entropy_args *q, double *loss_sum, double *weight_sum)
{
    cross_entropy_job job = {.q = q, .kernels = current_kernels(q->dtype), .smoothing_weight_sum = (double)q->C};
    if (q->class_weight) {
        job.smoothing_weight_sum = 0;
        for (int64_t c = 0; c < q->C; c++)
            job.smoothing_weight_sum += q->dtype == FRNN_FLOAT32 ? (double)((const float *)q->class_weight)[c]
                                                                 : ((const double *)q->class_weight)[c];
    }
    frnn_parallel(cross_entropy_thread, &job,
                  frnn_threads_for(4 * FRNN_FLOP_PER_ELEMENT * (double)q->M * (double)q->C, q->M));
    *loss_sum = *weight_sum = 0;
    for (int64_t i = 0; i < q->M; i++) {
        *loss_sum += q->row_loss[i];
        *weight_sum += q->row_weight[i];
    }
}

/* ---- optimizers and elementwise work: bound by memory, one thread ---- */

double frnn_sum_of_squares(int dtype, int64_t n, const void *x)
{
    return current_kernels(dtype)->sum_of_squares(n, x);
}

void frnn_scale(int dtype, int64_t n, double factor, void *x)
{
    const frnn_float_environment environment = frnn_flush_denormals();
    current_kernels(dtype)->scale(n, factor, x);
    frnn_restore_denormals(environment);
}

void frnn_optimizer_step(frnn_optimizer optimizer, int dtype, const frnn_optimizer_args *args)
{
    const frnn_kernels *kernels = current_kernels(dtype);
    const frnn_optimizer_fn steps[] = {kernels->sgd, kernels->rmsprop, kernels->adagrad, kernels->adam};
    const frnn_float_environment environment = frnn_flush_denormals();
    steps[optimizer](args);
    frnn_restore_denormals(environment);
}

double frnn_fma_loop(int dtype, int64_t iterations, double *sink)
{
    return current_kernels(dtype)->fma_loop(iterations, sink);
}

void frnn_apply(frnn_function function, int dtype, int64_t n, const void *x, void *y)
{
    const frnn_kernels *kernels = current_kernels(dtype);
    void (*const functions[])(int64_t, const void *, void *) = {kernels->array_exp, kernels->array_sigmoid,
                                                                kernels->array_tanh};
    functions[function](n, x, y);
}

void frnn_prefer_large_pages(void *memory, size_t bytes)
{
    frnn_advise_large_pages(memory, bytes);
}
