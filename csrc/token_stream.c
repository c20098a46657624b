/* Generation, token by token: table row (input_table.c) -> recurrent stack -> output layer -> sampling, without leaving C. */
#include <stdlib.h>
#include <string.h>

#include "platform/float_environment.h"
#include "rnn_plan.h"

void frnn_token_logits(const frnn_token_stream *s)
{
    frnn_linear_forward(&s->out, s->out_packed, 1, s->h, s->logits, 1, s->linear_scratch);
}

static void step(const frnn_token_stream *s, int64_t token)
{
    *s->token = token;
    for (int64_t i = 0; i < s->layers; i++)
        frnn_forward(&s->sequences[i]), s->sequences[i].phase ^= 1;
}

void frnn_token_feed(const frnn_token_stream *s, int64_t n, const int64_t *tokens)
{
    for (int64_t i = 0; i < n; i++)
        step(s, tokens[i]);
    if (n > 0)
        frnn_token_logits(s);
}

/* ---- sampling ---- */

typedef struct candidate {
    double p;
    int64_t index;
} candidate;

/* Falling probability, lower index first on ties: a total order, so that any sort gives the same. */
static int by_probability(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->p != y->p)
        return x->p > y->p ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static double total(const candidate *c, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    return sum;
}

size_t frnn_sample_scratch(int64_t V)
{
    return (sizeof(candidate) + sizeof(double)) * (size_t)V + 2 * FRNN_ALIGNMENT;
}

/* p = softmax(logits / temperature); top_k, then top_p, on the tokens in falling order of p; then the first token whose
 * cumulative probability exceeds u. */
static int64_t draw(const frnn_token_stream *s, const frnn_kernels *kernels, const frnn_sampling *sampling, double u,
                    void *scratch)
{
    int64_t n = s->out.out_features;
    frnn_arena arena = {.base = scratch};
    candidate *c = frnn_take(&arena, sizeof *c * (size_t)n);
    double *p = frnn_take(&arena, sizeof *p * (size_t)n);
    /* at temperature 0 only the largest logit keeps a probability, whatever the distance of the next; and no temperature
     * is so near 0 that its inverse is infinite */
    const double cold = 1e300;
    const double inverse = sampling->temperature < 1 / cold ? cold : 1 / sampling->temperature;
    kernels->softmax_f64(n, s->logits, inverse, p);
    for (int64_t i = 0; i < n; i++)
        c[i] = (candidate){p[i], i};
    if (sampling->temperature == 0) {
        int64_t best = 0;
        while (best < n - 1 && p[best] < 1)
            best++;
        return best;
    }
    if (sampling->top_k > 0 || sampling->top_p < 1)
        qsort(c, (size_t)n, sizeof *c, by_probability);
    if (sampling->top_k > 0 && sampling->top_k < n)
        n = sampling->top_k;
    if (sampling->top_p < 1) {
        const double wanted = sampling->top_p * total(c, n);
        double sum = 0;
        int64_t kept = 0;
        while (kept < n && sum < wanted)
            sum += c[kept++].p;
        n = FRNN_MAX(1, kept);
    }
    const double mark = u * total(c, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += c[i].p;
        if (sum > mark)
            return c[i].index;
    }
    while (n > 1 && c[n - 1].p == 0) /* u so near 1 that rounding ate the last share */
        n--;
    return c[n - 1].index;
}

void frnn_token_sample(const frnn_token_stream *s, const frnn_sampling *sampling, int64_t n, const double *uniforms,
                       int64_t *tokens, void *scratch)
{
    const frnn_kernels *kernels = frnn_kernels_for(s->out.isa, s->out.dtype);
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = draw(s, kernels, sampling, uniforms[i], scratch);
        step(s, tokens[i]);
        frnn_token_logits(s);
    }
}
