/* Connectionist temporal classification of one batch row (A. Graves et al., ICML 2006), forward-backward.
 *
 * The L labels l_i with blanks around them are two rows of states, L+1 blanks b_i (b_i stands before l_i) and L labels y_i,
 * so that vectors run along i. With softmax p of the logits and alpha over slots 0 to T, slot 0 holding b_0 = 1 alone:
 *
 *   1  alpha_t(b_i) = p_t(blank) [alpha(b_i) + alpha(y_{i-1})]                             alpha of the slot before
 *   2  alpha_t(y_i) = p_t(l_i)   [alpha(y_i) + alpha(b_i) + (l_i != l_{i-1}) alpha(y_{i-1})]
 *      P = alpha_T(b_L) + alpha_T(y_{L-1}),   loss = -log P
 *
 * Backward, with B_t = p_t beta_t and B_{T+1} holding b_L = 1 alone:
 *
 *   2' beta_t(y_i) = B(y_i) + B(b_{i+1}) + (l_{i+1} != l_i) B(y_{i+1})                     B of the step after
 *   1' beta_t(b_i) = B(b_i) + B(y_i)
 *      dlogit_t(c) = p_t(c) - sum over states of class c of alpha_t beta_t / P
 *
 * Numbers: a state may be e^1000 times less likely than its neighbours and yet be the one that reaches the end, so that no
 * common scale per step will do. Logarithms would: but at -2000 they have an error of 1e-4 in float32, and each sum costs
 * three exponentials and a logarithm. Here every number has an exponent of its own, m 2^e with m = 0 or 1 <= m < 2: sums
 * align exponents by shifts, and the relative error after T steps is that of T products. p stays unnormalised,
 * exp(logit - largest), and the logarithms of the softmax's sums are taken off at the end, in double.
 *
 * A class 700,000 below the largest counts as impossible, which keeps exponents within 32 bits.
 */

#define CTC_BIAS ((real_bits)(REAL_IS_FLOAT ? 127 : 1023))
#define CTC_NOTHING ((real_bits) - (1 << 29)) /* exponent of zero: below that of any other number */
#define CTC_IMPOSSIBLE ((real) - 7e5)

typedef struct FN(scaled) {
    vec m;
    vec_bits e;
} FN(scaled);

/* Rows of such numbers; e holds the bits of integers. */
typedef struct FN(scaled_row) {
    real *m, *e;
} FN(scaled_row);

FRNN_INLINE FN(scaled) FN(scaled_load)(FN(scaled_row) row, int64_t i)
{
    return (FN(scaled)){v_load(row.m + i), v_bits(v_load(row.e + i))};
}

FRNN_INLINE void FN(scaled_store)(FN(scaled_row) row, int64_t i, FN(scaled) a)
{
    v_store(row.m + i, a.m);
    v_store(row.e + i, v_from_bits(a.e));
}

FRNN_INLINE vec_bits FN(larger)(vec_bits a, vec_bits b)
{
    const vec_bits greater = a > b;
    return (a & greater) | (b & ~greater);
}

/* 2^n, n at most CTC_BIAS; what is below the smallest normal number becomes that, which no sum with a one notices. */
FRNN_INLINE vec FN(power_of_two)(vec_bits n)
{
    const vec_bits least = (vec_bits){0} + (1 - CTC_BIAS);
    return v_from_bits((FN(larger)(n, least) + CTC_BIAS) << REAL_MANTISSA_BITS);
}

/* a where the mask is ones, else zero. */
FRNN_INLINE FN(scaled) FN(scaled_where)(vec_bits mask, FN(scaled) a)
{
    return (FN(scaled)){v_from_bits(v_bits(a.m) & mask), (a.e & mask) | (CTC_NOTHING & ~mask)};
}

/* The sum, its m not brought below 2 again. */
FRNN_INLINE FN(scaled) FN(scaled_add)(FN(scaled) a, FN(scaled) b)
{
    const vec_bits e = FN(larger)(a.e, b.e);
    return (FN(scaled)){a.m * FN(power_of_two)(a.e - e) + b.m * FN(power_of_two)(b.e - e), e};
}

FRNN_INLINE FN(scaled) FN(scaled_add3)(FN(scaled) a, FN(scaled) b, FN(scaled) c)
{
    const vec_bits e = FN(larger)(FN(larger)(a.e, b.e), c.e);
    const vec m = a.m * FN(power_of_two)(a.e - e) + b.m * FN(power_of_two)(b.e - e);
    return (FN(scaled)){m + c.m * FN(power_of_two)(c.e - e), e};
}

FRNN_INLINE FN(scaled) FN(scaled_multiply)(FN(scaled) a, FN(scaled) b)
{
    const vec m = a.m * b.m;
    const vec_bits k = (v_bits(m) >> REAL_MANTISSA_BITS) - CTC_BIAS; /* m = 2^k times 1 to 2, or zero */
    const FN(scaled) product = {m * v_from_bits((CTC_BIAS - k) << REAL_MANTISSA_BITS),
                                FN(larger)(a.e + b.e + k, (vec_bits){0} + CTC_NOTHING)};
    return FN(scaled_where)(m > 0, product);
}

/* exp(x), x at most 0. */
FRNN_INLINE FN(scaled) FN(scaled_exp)(vec x)
{
    const vec_bits possible = x > CTC_IMPOSSIBLE;
    const vec a = v_max(x, v_splat(CTC_IMPOSSIBLE));
    vec shifted;
    const vec r = FN(exp_remainder)(0, a, &shifted);
    const FN(scaled) e = {FN(exp_small)(r), v_bits(shifted) - v_bits(v_splat(EXP_ROUND))};
    return FN(scaled_where)(possible, e);
}

/* Number i in every lane. */
FRNN_INLINE FN(scaled) FN(scaled_splat)(FN(scaled_row) row, int64_t i)
{
    real_bits e;
    memcpy(&e, row.e + i, sizeof e); /* not as a real: the bits of small integers are denormal */
    return (FN(scaled)){v_splat(row.m[i]), (vec_bits){0} + e};
}

static void FN(scaled_clear)(FN(scaled_row) row, int64_t i0, int64_t i1)
{
    for (int64_t i = i0; i < i1; i += VL)
        FN(scaled_store)(row, i, (FN(scaled)){v_zero(), (vec_bits){0} + CTC_NOTHING});
}

static void FN(scaled_set_one)(FN(scaled_row) row, int64_t i)
{
    const real_bits zero = 0;
    row.m[i] = 1;
    memcpy(row.e + i, &zero, sizeof zero);
}

/* What one row needs. Rows of states have `width` places, L+1 rounded up to whole vectors; places past the states are zero. */
typedef struct FN(ctc) {
    int64_t width, slot; /* slot: reals of a slot of alpha */
    real *alpha;         /* [T+1][slot] */
    FN(scaled_row) B_label, B_blank;
    real *emitted; /* [width] logits of the labels at a step, -inf past L; in backward also the states' shares */
    real *skip;    /* [width+V] ones where l_i and l_{i-1} differ, i from 1 to L-1; else zeros */
    real *largest; /* [T] */
    double *sum;   /* [T] of the softmax */
} FN(ctc);

static FN(ctc) FN(ctc_carve)(frnn_arena *arena, int64_t T, int64_t L)
{
    const int64_t width = (L + VL) / VL * VL;
    const size_t row = sizeof(real) * (size_t)(width + VL);
    FN(ctc) q = {.width = width, .slot = 4 * width + 2 * VL};
    q.alpha = frnn_take(arena, sizeof(real) * (size_t)((T + 1) * q.slot));
    q.B_label.m = frnn_take(arena, row);
    q.B_label.e = frnn_take(arena, row);
    q.B_blank.m = frnn_take(arena, row);
    q.B_blank.e = frnn_take(arena, row);
    q.emitted = frnn_take(arena, row);
    q.skip = frnn_take(arena, row);
    q.largest = frnn_take(arena, sizeof(real) * (size_t)T);
    q.sum = frnn_take(arena, sizeof(double) * (size_t)T);
    return q;
}

static size_t FN(ctc_scratch)(int64_t T, int64_t L)
{
    frnn_arena arena = {0};
    FN(ctc_carve)(&arena, T, L);
    return arena.used;
}

/* A slot begins with a vector of zeros, which is y_{-1}. */
FRNN_INLINE FN(scaled_row) FN(alpha_label)(const FN(ctc) *q, int64_t slot)
{
    real *p = q->alpha + slot * q->slot + VL;
    return (FN(scaled_row)){p, p + q->width + VL};
}

FRNN_INLINE FN(scaled_row) FN(alpha_blank)(const FN(ctc) *q, int64_t slot)
{
    real *p = q->alpha + slot * q->slot + 2 * VL + 2 * q->width;
    return (FN(scaled_row)){p, p + q->width};
}

static void FN(gather_emitted)(const frnn_ctc_row_args *q, const real *x, real *emitted)
{
    for (int64_t i = 0; i < q->L; i++)
        emitted[i] = x[q->labels[i]];
}

/* Fills alpha, and leaves the numerators of the softmax in dlogits; 0 if a logit is NaN or none is finite. */
static int FN(ctc_forward)(const frnn_ctc_row_args *args, const FN(ctc) *q)
{
    const int64_t L = args->L, width = q->width;
    for (int64_t i = L; i < width; i++)
        q->emitted[i] = -(real)INFINITY;
    for (int64_t i = 0; i < width + VL; i++) {
        const real_bits differ = i > 0 && i < L && args->labels[i] != args->labels[i - 1] ? -1 : 0;
        memcpy(q->skip + i, &differ, sizeof differ);
    }
    for (int64_t slot = 0; slot <= args->T; slot++)
        FN(scaled_clear)(FN(alpha_label)(q, slot), -VL, 0);
    FN(scaled_clear)(FN(alpha_label)(q, 0), 0, width);
    FN(scaled_clear)(FN(alpha_blank)(q, 0), 0, width);
    FN(scaled_set_one)(FN(alpha_blank)(q, 0), 0);
    for (int64_t t = 0; t < args->T; t++) {
        const real *x = (const real *)args->logits + t * args->t_stride;
        q->sum[t] = FN(softmax_numerators)(args->C, x, (real *)args->dlogits + t * args->t_stride, q->largest + t);
        if (!isfinite(q->sum[t]))
            return 0;
        FN(gather_emitted)(args, x, q->emitted);
        const FN(scaled) blank = FN(scaled_exp)(v_splat(x[args->blank] - q->largest[t]));
        const FN(scaled_row) labels = FN(alpha_label)(q, t), blanks = FN(alpha_blank)(q, t);
        const FN(scaled_row) new_labels = FN(alpha_label)(q, t + 1), new_blanks = FN(alpha_blank)(q, t + 1);
        for (int64_t i = 0; i < width; i += VL) {
            const FN(scaled) emission = FN(scaled_exp)(v_load(q->emitted + i) - v_splat(q->largest[t]));
            const FN(scaled) b = FN(scaled_load)(blanks, i), y = FN(scaled_load)(labels, i);
            const FN(scaled) before = FN(scaled_load)(labels, i - 1);
            const FN(scaled) skipped = FN(scaled_where)(v_bits(v_load(q->skip + i)), before);
            FN(scaled_store)(new_blanks, i, FN(scaled_multiply)(blank, FN(scaled_add)(b, before)));         /* 1 */
            FN(scaled_store)(new_labels, i, FN(scaled_multiply)(emission, FN(scaled_add3)(y, b, skipped))); /* 2 */
        }
    }
    return 1;
}

/* alpha beta / P of states. */
FRNN_INLINE vec FN(share)(FN(scaled) alpha, FN(scaled) beta, vec inverse, real_bits exponent)
{
    return alpha.m * beta.m * inverse * FN(power_of_two)(alpha.e + beta.e - exponent);
}

/* dlogits from alpha and P = m 2^exponent. */
static void FN(ctc_backward)(const frnn_ctc_row_args *args, const FN(ctc) *q, real m, real_bits exponent)
{
    const int64_t L = args->L, width = q->width;
    const vec inverse = v_splat(1 / m);
    const real weight = (real)args->weight;
    FN(scaled_clear)(q->B_label, 0, width + VL);
    FN(scaled_clear)(q->B_blank, 0, width + VL);
    FN(scaled_set_one)(q->B_blank, L);
    for (int64_t t = args->T - 1; t >= 0; t--) {
        const real *x = (const real *)args->logits + t * args->t_stride;
        real *dx = (real *)args->dlogits + t * args->t_stride;
        const real factor = (real)(args->weight / q->sum[t]);
        for (int64_t c = 0; c < args->C; c += VL)
            FN(store_exact)(dx, c, args->C, FN(load_exact)(dx, c, args->C) * v_splat(factor));
        FN(gather_emitted)(args, x, q->emitted);
        const FN(scaled) blank = FN(scaled_exp)(v_splat(x[args->blank] - q->largest[t]));
        const FN(scaled_row) labels = FN(alpha_label)(q, t + 1), blanks = FN(alpha_blank)(q, t + 1);
        vec blank_share = v_zero();
        for (int64_t i = 0; i < width; i += VL) {
            const FN(scaled) emission = FN(scaled_exp)(v_load(q->emitted + i) - v_splat(q->largest[t]));
            const FN(scaled) b = FN(scaled_load)(q->B_blank, i), y = FN(scaled_load)(q->B_label, i);
            const FN(scaled) after =
                FN(scaled_where)(v_bits(v_load(q->skip + i + 1)), FN(scaled_load)(q->B_label, i + 1));
            const FN(scaled) beta_y = FN(scaled_add3)(y, FN(scaled_load)(q->B_blank, i + 1), after); /* 2' */
            const FN(scaled) beta_b = FN(scaled_add)(b, y);                                          /* 1' */
            const vec label_share = FN(share)(FN(scaled_load)(labels, i), beta_y, inverse, exponent);
            blank_share = blank_share + FN(share)(FN(scaled_load)(blanks, i), beta_b, inverse, exponent);
            FN(scaled_store)(q->B_label, i, FN(scaled_multiply)(emission, beta_y));
            FN(scaled_store)(q->B_blank, i, FN(scaled_multiply)(blank, beta_b));
            v_store(q->emitted + i, v_splat(weight) * label_share);
        }
        dx[args->blank] -= weight * v_sum(blank_share);
        for (int64_t i = 0; i < L; i++)
            dx[args->labels[i]] -= q->emitted[i];
        for (int64_t i = L; i < width; i++)
            q->emitted[i] = -(real)INFINITY;
    }
}

static double FN(ctc_row)(const frnn_ctc_row_args *args)
{
    frnn_arena arena = {.base = args->scratch};
    const FN(ctc) q = FN(ctc_carve)(&arena, args->T, args->L);
    const int finite = FN(ctc_forward)(args, &q);
    real m = 0;
    real_bits exponent = 0;
    if (finite) {
        /* y_{-1}, which stands in where there is no label, is zero */
        const FN(scaled) end = FN(scaled_add)(FN(scaled_splat)(FN(alpha_label)(&q, args->T), args->L - 1),
                                              FN(scaled_splat)(FN(alpha_blank)(&q, args->T), args->L));
        m = end.m[0];
        exponent = end.e[0];
    }
    if (m > 0) {
        double loss = -log((double)m) - (double)exponent * 0.69314718055994530942;
        for (int64_t t = 0; t < args->T; t++)
            loss += log(q.sum[t]);
        FN(ctc_backward)(args, &q, m, exponent);
        return loss;
    }
    for (int64_t t = 0; t < args->T; t++)
        for (int64_t c = 0; c < args->C; c++)
            ((real *)args->dlogits)[t * args->t_stride + c] = finite ? 0 : (real)NAN;
    return finite ? (double)INFINITY : (double)NAN;
}

#undef CTC_BIAS
#undef CTC_NOTHING
#undef CTC_IMPOSSIBLE
