/* Elementwise helpers over plain arrays. Simple loops: the compiler vectorises them for the unit's ISA. */

static void FN(add_bias)(int64_t n, const void *a, const void *b, void *out)
{
    for (int64_t i = 0; i < n; i++)
        ((real *)out)[i] = (a ? ((const real *)a)[i] : 0) + (b ? ((const real *)b)[i] : 0);
}

static void FN(multiply)(int64_t n, const void *a, const void *b, void *out)
{
    const real *x = a, *y = b;
    real *z = out;
    for (int64_t i = 0; i < n; i++)
        z[i] = x[i] * y[i];
}

static void FN(scale)(int64_t n, double factor, void *x)
{
    const real f = (real)factor;
    real *y = x;
    for (int64_t i = 0; i < n; i++)
        y[i] *= f;
}

static void FN(mix)(int64_t n, const void *k, const void *previous, void *x)
{
    for (int64_t u = 0; u < n; u += VL)
        FN(store_exact)(x, u, n,
                        FN(zoneout)(FN(load_exact)(k, u, n), FN(load_exact)(previous, u, n), FN(load_exact)(x, u, n)));
}

/* acc becomes dh = acc * mask + direct + dy; with zoneout k it keeps (1 - k) dh and direct_out gets k dh (0 without). */
static void FN(combine_dh)(int64_t n, void *acc, const void *mask, const void *direct, const void *dy, const void *k,
                           void *direct_out)
{
    for (int64_t u = 0; u < n; u += VL) {
        vec dh = FN(load_exact)(acc, u, n), through = v_zero();
        if (mask)
            dh = dh * FN(load_exact)(mask, u, n);
        if (direct)
            dh = dh + FN(load_exact)(direct, u, n);
        if (dy)
            dh = dh + FN(load_exact)(dy, u, n);
        if (k) {
            through = FN(load_exact)(k, u, n) * dh;
            dh = dh - through;
        }
        FN(store_exact)(acc, u, n, dh);
        if (direct_out)
            FN(store_exact)(direct_out, u, n, through);
    }
}

/* In float64 whatever real is, in eight interleaved partial sums: one order, and no overflow for float32 gradients. */
static double FN(sum_of_squares)(int64_t n, const void *x)
{
    const real *y = x;
    double s[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            s[j] += (double)y[i + j] * (double)y[i + j];
    for (int j = 0; i < n; i++, j++)
        s[j] += (double)y[i] * (double)y[i];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

#define DEFINE_ARRAY_FUNCTION(name)                                                                                    \
    static void FN(array_##name)(int64_t n, const void *x, void *y)                                                    \
    {                                                                                                                  \
        for (int64_t u = 0; u < n; u += VL)                                                                            \
            FN(store_exact)(y, u, n, v_##name(FN(load_exact)(x, u, n)));                                               \
    }
DEFINE_ARRAY_FUNCTION(exp)
DEFINE_ARRAY_FUNCTION(sigmoid)
DEFINE_ARRAY_FUNCTION(tanh)
#undef DEFINE_ARRAY_FUNCTION
