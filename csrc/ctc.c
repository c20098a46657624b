/* Connectionist temporal classification: rows in parallel, each by the kernel. */
#include "dispatch.h"
#include "platform/arena.h"
#include "platform/compiler.h"
#include "platform/float_environment.h"
#include "platform/thread_pool.h"

typedef struct ctc_job {
    const frnn_ctc_args *q;
    const frnn_kernels *kernels;
} ctc_job;

static const frnn_kernels *kernels_of(const frnn_ctc_args *q)
{
    return frnn_kernels_for(frnn_isa_current(), q->dtype);
}

/* Bytes for one thread: as much as its longest row may need. */
static size_t thread_scratch(const frnn_ctc_args *q, const frnn_kernels *kernels)
{
    int64_t T = 0, L = 0;
    for (int64_t n = 0; n < q->N; n++) {
        T = FRNN_MAX(T, q->input_lengths[n]);
        L = FRNN_MAX(L, q->target_lengths[n]);
    }
    return kernels->ctc_scratch(T, L);
}

static void ctc_thread(void *context, int index, int threads)
{
    const ctc_job *job = context;
    const frnn_ctc_args *q = job->q;
    const frnn_float_environment environment = frnn_flush_denormals();
    const int64_t real_size = job->kernels->real_size, t_stride = q->N * q->C;
    char *scratch = (char *)q->scratch + (size_t)index * thread_scratch(q, job->kernels);
    for (int64_t n = index; n < q->N; n += threads) { /* by turns: rows are often sorted by length */
        const double weight = q->row_weight ? q->row_weight[n] : 1;
        const int64_t T = weight == 0 ? 0 : q->input_lengths[n];
        const frnn_ctc_row_args row = {.T = T,
                                       .C = q->C,
                                       .L = q->target_lengths[n],
                                       .t_stride = t_stride,
                                       .logits = (const char *)q->logits + n * q->C * real_size,
                                       .dlogits = (char *)q->dlogits + n * q->C * real_size,
                                       .labels = q->targets + n * q->L,
                                       .blank = q->blank,
                                       .weight = weight,
                                       .scratch = scratch};
        q->row_loss[n] = weight == 0 ? 0 : job->kernels->ctc_row(&row);
        for (int64_t t = T; t < q->T; t++)
            job->kernels->add_bias(q->C, NULL, NULL, (char *)row.dlogits + t * t_stride * real_size);
    }
    frnn_restore_denormals(environment);
}

/* Operations of a step: a class is an exponential and a product, a label two states, three sums and two exponentials. */
#define FRNN_FLOP_PER_CLASS 32.0
#define FRNN_FLOP_PER_LABEL 200.0

int frnn_ctc_threads(const frnn_ctc_args *q)
{
    const double step = FRNN_FLOP_PER_CLASS * (double)q->C + FRNN_FLOP_PER_LABEL * (double)(q->L + 1);
    return frnn_threads_for((double)q->T * (double)q->N * step, q->N);
}

size_t frnn_ctc_scratch(const frnn_ctc_args *q)
{
    return (size_t)q->threads * thread_scratch(q, kernels_of(q));
}

void frnn_ctc(const frnn_ctc_args *q)
{
    ctc_job job = {q, kernels_of(q)};
    frnn_parallel(ctc_thread, &job, q->threads);
}
