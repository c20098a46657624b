/* Optimizer steps over one array: one pass over parameter, gradient and state. Update rules as torch.optim documents
 * them. Hyperparameters are rounded to real once, before the loop. */

/* state1: momentum buffer, NULL without momentum. `first`: the buffer starts as the gradient. */
static void FN(sgd)(const frnn_optimizer_args *q)
{
    real *FRNN_RESTRICT p = q->param;
    const real *FRNN_RESTRICT grad = q->grad;
    real *FRNN_RESTRICT buffer = q->state1;
    const real lr = (real)q->lr, decay = (real)q->weight_decay, momentum = (real)q->momentum;
    const real undamped = (real)(1.0 - q->dampening);
    for (int64_t i = 0; i < q->n; i++) {
        real g = grad[i] + decay * p[i];
        if (buffer) {
            buffer[i] = q->first ? g : momentum * buffer[i] + undamped * g;
            g = q->nesterov ? g + momentum * buffer[i] : buffer[i];
        }
        p[i] -= lr * g;
    }
}

/* state1: mean of squares, state2: momentum buffer or NULL, state3: mean of gradients (centered) or NULL. */
static void FN(rmsprop)(const frnn_optimizer_args *q)
{
    real *FRNN_RESTRICT p = q->param;
    const real *FRNN_RESTRICT grad = q->grad;
    real *FRNN_RESTRICT square = q->state1, *FRNN_RESTRICT buffer = q->state2, *FRNN_RESTRICT mean = q->state3;
    const real lr = (real)q->lr, decay = (real)q->weight_decay, momentum = (real)q->momentum;
    const real alpha = (real)q->alpha, rest = (real)(1.0 - q->alpha), eps = (real)q->eps;
    for (int64_t i = 0; i < q->n; i++) {
        const real g = grad[i] + decay * p[i];
        square[i] = alpha * square[i] + rest * (g * g);
        real variance = square[i];
        if (mean) {
            mean[i] = alpha * mean[i] + rest * g;
            variance -= mean[i] * mean[i];
            variance = variance > 0 ? variance : 0; /* a constant gradient leaves rounding errors of either sign */
        }
        real step = g / (real_sqrt(variance) + eps);
        if (buffer)
            step = buffer[i] = momentum * buffer[i] + step;
        p[i] -= lr * step;
    }
}

/* state1: sum of squares. */
static void FN(adagrad)(const frnn_optimizer_args *q)
{
    real *FRNN_RESTRICT p = q->param;
    const real *FRNN_RESTRICT grad = q->grad;
    real *FRNN_RESTRICT sum = q->state1;
    const real lr = (real)q->lr, decay = (real)q->weight_decay, eps = (real)q->eps;
    for (int64_t i = 0; i < q->n; i++) {
        const real g = grad[i] + decay * p[i];
        sum[i] += g * g;
        p[i] -= lr * g / (real_sqrt(sum[i]) + eps);
    }
}

/* Adam (Kingma and Ba 2015), decoupled: AdamW (Loshchilov and Hutter 2019). state1, state2: first and second moment;
 * bias1 = 1 - beta1^t, bias2_sqrt = sqrt(1 - beta2^t). */
static void FN(adam)(const frnn_optimizer_args *q)
{
    real *FRNN_RESTRICT p = q->param;
    const real *FRNN_RESTRICT grad = q->grad;
    real *FRNN_RESTRICT first = q->state1, *FRNN_RESTRICT second = q->state2;
    const real coupled = q->decoupled ? 0 : (real)q->weight_decay;
    const real shrink = q->decoupled ? (real)(1.0 - q->lr * q->weight_decay) : 1;
    const real beta1 = (real)q->beta1, rest1 = (real)(1.0 - q->beta1);
    const real beta2 = (real)q->beta2, rest2 = (real)(1.0 - q->beta2);
    const real step = (real)(q->lr / q->bias1), unbias2 = (real)(1.0 / q->bias2_sqrt), eps = (real)q->eps;
    for (int64_t i = 0; i < q->n; i++) {
        const real g = grad[i] + coupled * p[i];
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * (g * g);
        p[i] = shrink * p[i] - step * first[i] / (real_sqrt(second[i]) * unbias2 + eps);
    }
}
