/* Layer normalisation of a row in the middle of a step (Ba, Kiros, Hinton, "Layer normalization", 2016): what the cells with
 * layer normalisation share. A row is `gates` slots of H numbers, Hp apart, normalised as one vector of gates * H.
 *
 *   forward    x^ = (x - mean) inverse,  inverse = 1 / sqrt(variance + NORM_EPSILON)
 *   backward   dx = inverse (v - mean(v) - x^ mean(v x^)),  v the gradient of x^
 *
 * Sums run over units, every gate in lanes of its own, then over gates and lanes: one order, whatever the batch. The
 * variance is that of deviations from the mean, which a difference of sums of squares is not to float32.
 */

#define NORM_EPSILON ((real)1e-5) /* PyTorch's */

typedef struct FN(moments) {
    vec mean, inverse;
} FN(moments);

/* Lanes from n - unit on are 0. */
FRNN_INLINE vec FN(keep_exact)(vec a, int64_t unit, int64_t n)
{
    if (n - unit >= VL)
        return a;
    real lanes[FRNN_VECTOR_BYTES / sizeof(real)];
    v_store(lanes, a);
    return v_load_n(lanes, (int)(n - unit));
}

FRNN_INLINE vec FN(norm_mean)(const int parts, const vec *sums, int64_t count)
{
    vec sum = sums[0];
    for (int i = 1; i < parts; i++)
        sum = sum + sums[i];
    return v_splat(v_sum(sum) / (real)count);
}

FRNN_INLINE FN(moments) FN(row_moments)(const int gates, const real *row, int64_t H, int64_t Hp)
{
    vec sums[FRNN_MAX_GATES] = {0}, squares[FRNN_MAX_GATES] = {0};
    for (int64_t unit = 0; unit < H; unit += VL)
        for (int g = 0; g < gates; g++)
            sums[g] = sums[g] + FN(load_exact)(row + g * Hp, unit, H);
    const vec mean = FN(norm_mean)(gates, sums, gates * H);
    for (int64_t unit = 0; unit < H; unit += VL)
        for (int g = 0; g < gates; g++) {
            const vec d = FN(keep_exact)(v_load(row + g * Hp + unit) - mean, unit, H);
            squares[g] = v_fma(d, d, squares[g]);
        }
    const vec variance = FN(norm_mean)(gates, squares, gates * H);
    return (FN(moments)){mean, v_splat(1 / real_sqrt(variance[0] + NORM_EPSILON))};
}

FRNN_INLINE vec FN(normalised)(const FN(moments) *m, vec x)
{
    return (x - m->mean) * m->inverse;
}

/* Sums, then means, of v and of v x^. */
typedef struct FN(norm_terms) {
    vec v, dot;
} FN(norm_terms);

FRNN_INLINE void FN(norm_add)(FN(norm_terms) *t, vec v, vec x)
{
    t->v = t->v + v;
    t->dot = v_fma(v, x, t->dot);
}

FRNN_INLINE void FN(norm_means)(FN(norm_terms) *t, int64_t count)
{
    t->v = FN(norm_mean)(1, &t->v, count);
    t->dot = FN(norm_mean)(1, &t->dot, count);
}

FRNN_INLINE vec FN(norm_gradient)(const FN(moments) *m, const FN(norm_terms) *t, vec v, vec x)
{
    return m->inverse * (v - t->v - x * t->dot);
}

/* A product of a step as it is, for an epilogue that puts it into the saved row. */
FRNN_INLINE void FN(walk_raw)(const frnn_step_forward *s, FN(epilogue) epilogue)
{
    const frnn_segments segments = {.count = 1, .length = s->recurrent.depth};
    const FN(walk_args) w = {.b = &s->recurrent,
                             .segments = &segments,
                             .rows = s->rows,
                             .row_size = sizeof *s->rows,
                             .operand = offsetof(frnn_row_forward, operand),
                             .init = offsetof(frnn_row_forward, operand),
                             .m = s->m,
                             .unit0 = s->unit0,
                             .unit1 = s->unit1,
                             .backwards = s->backwards,
                             .step = s};
    FN(walk)(&w, epilogue);
}

/* Backward through both norms of a gate row, once dgates lie in the saved row: `x_gates` and `h_gates` name their slots for
 * the input's and the recurrence's product. The products, in slots 0 and `gates` on, become their gradients. */
FRNN_INLINE void FN(norm_products_backward)(const int gates, const frnn_step_backward *s, real *saved,
                                            const int x_gates[], const int h_gates[], const real *x_gain,
                                            const real *h_gain, const FN(moments) *x_moments,
                                            const FN(moments) *h_moments, FN(norm_terms) x_terms,
                                            FN(norm_terms) h_terms)
{
    FN(norm_means)(&x_terms, gates * s->H);
    FN(norm_means)(&h_terms, gates * s->H);
    for (int64_t unit = 0; unit < s->H; unit += VL)
        for (int g = 0; g < gates; g++) {
            real *x = saved + g * s->Hp + unit, *h = saved + (gates + g) * s->Hp + unit;
            const vec x_hat = FN(normalised)(x_moments, v_load(x)), h_hat = FN(normalised)(h_moments, v_load(h));
            const vec dx = v_load(saved + x_gates[g] * s->Hp + unit) * v_load(x_gain + g * s->Hp + unit);
            const vec dh = v_load(saved + h_gates[g] * s->Hp + unit) * v_load(h_gain + g * s->Hp + unit);
            v_store(x, FN(norm_gradient)(x_moments, &x_terms, dx, x_hat));
            v_store(h, FN(norm_gradient)(h_moments, &h_terms, dh, h_hat));
        }
}
