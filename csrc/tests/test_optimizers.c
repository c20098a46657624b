/* Optimizer steps against the update rules of torch.optim's documentation, a number at a time in double. */
#include <math.h>

#include "testing.h"

/* The arrays of one optimizer; a step updates all but g. */
typedef struct plain_state {
    double p, g, s1, s2, s3;
} plain_state;

static void plain_sgd(const frnn_optimizer_args *q, plain_state *v)
{
    double g = v->g + q->weight_decay * v->p;
    if (q->state1) {
        v->s1 = q->first ? g : q->momentum * v->s1 + (1 - q->dampening) * g;
        g = q->nesterov ? g + q->momentum * v->s1 : v->s1;
    }
    v->p -= q->lr * g;
}

static void plain_rmsprop(const frnn_optimizer_args *q, plain_state *v)
{
    const double g = v->g + q->weight_decay * v->p;
    v->s1 = q->alpha * v->s1 + (1 - q->alpha) * g * g;
    double variance = v->s1;
    if (q->state3) {
        v->s3 = q->alpha * v->s3 + (1 - q->alpha) * g;
        variance -= v->s3 * v->s3;
    }
    double step = g / (sqrt(variance) + q->eps);
    if (q->state2)
        step = v->s2 = q->momentum * v->s2 + step;
    v->p -= q->lr * step;
}

static void plain_adagrad(const frnn_optimizer_args *q, plain_state *v)
{
    const double g = v->g + q->weight_decay * v->p;
    v->s1 += g * g;
    v->p -= q->lr * g / (sqrt(v->s1) + q->eps);
}

static void plain_adam(const frnn_optimizer_args *q, plain_state *v)
{
    double g = v->g;
    if (q->decoupled)
        v->p -= q->lr * q->weight_decay * v->p;
    else
        g += q->weight_decay * v->p;
    v->s1 = q->beta1 * v->s1 + (1 - q->beta1) * g;
    v->s2 = q->beta2 * v->s2 + (1 - q->beta2) * g * g;
    v->p -= q->lr * (v->s1 / q->bias1) / (sqrt(v->s2) / q->bias2_sqrt + q->eps);
}

static const struct {
    const char *name;
    void (*step)(const frnn_optimizer_args *, plain_state *);
    int least, most; /* states */
} optimizers[] = {{"sgd", plain_sgd, 0, 1},
                  {"rmsprop", plain_rmsprop, 1, 3},
                  {"adagrad", plain_adagrad, 1, 1},
                  {"adam", plain_adam, 2, 2}};

static void check(int optimizer, int dtype, int64_t n, int variant)
{
    frnn_optimizer_args q = {.n = n,
                             .lr = 0.05,
                             .weight_decay = variant & 1 ? 0.1 : 0,
                             .eps = 1e-3,
                             .momentum = 0.875,
                             .dampening = variant & 2 ? 0.25 : 0,
                             .alpha = 0.9375,
                             .beta1 = 0.875,
                             .beta2 = 0.96875,
                             .bias1 = 1 - pow(0.875, 3),
                             .bias2_sqrt = sqrt(1 - pow(0.96875, 3)),
                             .nesterov = variant >> 2 & 1,
                             .first = variant >> 3 & 1,
                             .decoupled = variant >> 1 & 1};
    const double *p = random_doubles(n, -1, 1), *g = random_doubles(n, -1, 1);
    /* the mean of gradients is small enough that the variance, mean square less its square, stays positive */
    const double *s1 = random_doubles(n, 0.5, 1), *s2 = random_doubles(n, 0.5, 1), *s3 = random_doubles(n, -0.25, 0.25);
    q.param = to_real(dtype, n, p);
    q.grad = to_real(dtype, n, g);
    void **const states[3] = {&q.state1, &q.state2, &q.state3};
    const double *const values[3] = {s1, s2, s3};
    for (int i = 0; i < optimizers[optimizer].most; i++)
        if (i < optimizers[optimizer].least || variant >> i & 1)
            *states[i] = to_real(dtype, n, values[i]);
    frnn_optimizer_step((frnn_optimizer)optimizer, dtype, &q);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        plain_state v = {p[i], g[i], s1[i], s2[i], s3[i]};
        optimizers[optimizer].step(&q, &v);
        worst = fmax(worst, fabs(real_at(dtype, q.param, i) - v.p));
        const double expected[3] = {v.s1, v.s2, v.s3};
        for (int k = 0; k < 3; k++)
            if (*states[k])
                worst = fmax(worst, fabs(real_at(dtype, *states[k], i) - expected[k]));
        if (real_at(dtype, q.grad, i) != g[i] || isnan(real_at(dtype, q.param, i)))
            worst = INFINITY;
    }
    CHECK(worst <= 32 * real_eps(dtype), "%s, variant %d, n=%d: off by %g", optimizers[optimizer].name, variant, (int)n,
          worst);
    release();
}

void test_optimizers(void)
{
    const int before = frnn_isa_current();
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("optimizers %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        frnn_start(frnn_isa_name(isa));
        seed(8);
        for (int optimizer = FRNN_SGD; optimizer <= FRNN_ADAM; optimizer++)
            for (int variant = 0; variant < 16; variant++)
                for (int64_t n = 0; n <= 67; n = 2 * n + 1)
                    check(optimizer, dtype, n, variant);
        group_end();
    }
    frnn_start(frnn_isa_name(before));
}
