/* Softmax cross-entropy of one row with its gradient, fused: logits are read twice, exp is taken once.
 *
 *   lse = max + log(sum exp(logit - max)),   p_c = exp(logit_c - lse)
 *   loss = (1 - s) w_t (lse - logit_t) + s / C sum_c w_c (lse - logit_c)          s: label smoothing, w: class weights
 *   dlogit_c = [(1 - s) w_t + s / C sum w] p_c - (1 - s) w_t [c = t] - s / C w_c
 *
 * as PyTorch defines label smoothing with weights. The sum of exp runs over lanes, then over lanes' partial sums, in
 * one order whatever else is in the batch.
 */

/* e[c] = exp(x[c] - largest); returns their sum. NaN in x makes it NaN. */
FRNN_INLINE double FN(softmax_numerators)(int64_t C, const real *x, real *e, real *largest)
{
    vec m = v_splat(x[0]);
    for (int64_t c = 0; c < C; c += VL)
        m = v_max(m, C - c >= VL ? v_load(x + c) : v_splat(x[c]));
    *largest = v_maximum(m);
    for (int64_t c = C - C % VL; c < C; c++)
        *largest = x[c] > *largest ? x[c] : *largest;

    vec s = v_zero();
    for (int64_t c = 0; c < C; c += VL) {
        FN(store_exact)(e, c, C, v_exp(FN(load_exact)(x, c, C) - v_splat(*largest)));
        s = s + FN(load_exact)(e, c, C); /* lanes past C read back as zero */
    }
    return (double)v_sum(s);
}

static void FN(cross_entropy_row)(const frnn_cross_entropy_row_args *q, double *loss, double *weight)
{
    const real *x = q->logits;
    real *dx = q->dlogits;
    const int64_t C = q->classes;
    const real *w = q->class_weight;
    real largest;
    const double sum = FN(softmax_numerators)(C, x, dx, &largest);
    const double lse = (double)largest + log(sum);
    const double wt = w ? (double)w[q->target] : 1.0;
    const double hard = (1.0 - q->smoothing) * wt;
    *weight = wt;
    *loss = hard * (lse - (double)x[q->target]);
    double scale = hard;
    if (q->smoothing > 0) {
        const double soft = q->smoothing / (double)C;
        double smooth = 0;
        for (int64_t c = 0; c < C; c++)
            smooth += (w ? (double)w[c] : 1.0) * (lse - (double)x[c]);
        *loss += soft * smooth;
        scale += soft * q->smoothing_weight_sum;
        for (int64_t c = 0; c < C; c++)
            dx[c] = (real)(dx[c] * (scale / sum) - soft * (w ? (double)w[c] : 1.0));
    } else {
        const real factor = (real)(scale / sum);
        for (int64_t c = 0; c < C; c++)
            dx[c] *= factor;
    }
    dx[q->target] -= (real)hard;
}

/* p[i] = exp((logits[i] - max) / temperature) in double, for sampling. */
static void FN(softmax_f64)(int64_t n, const void *logits, double inverse_temperature, double *p)
{
    const real *x = logits;
    double largest = (double)x[0];
    for (int64_t i = 1; i < n; i++)
        largest = (double)x[i] > largest ? (double)x[i] : largest;
    for (int64_t i = 0; i < n; i++)
        p[i] = exp(((double)x[i] - largest) * inverse_temperature);
}
