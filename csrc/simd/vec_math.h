/* exp, sigmoid and tanh on vec, written once for float and double.
 *
 * One core serves all three. With n = round(x / ln 2) and r = x - n ln 2, |r| <= ln(2)/2,
 *     exp(x) = 2^n (1 + r q(r)),     q(r) = (exp(r) - 1) / r
 * q is a near-minimax polynomial (coefficients from simd/generate_coefficients.py; error of q below 1.2e-8 for
 * float, 1.9e-17 for double, less than a fifth of a unit in the last place of the result). n is rounded by adding
 * 1.5 * 2^(mantissa bits), which leaves n in the low bits; ln 2 is subtracted in two pieces (Cody and Waite).
 *
 * tanh(x) = e / (e + 2) with e = exp(2|x|) - 1 taken as 2^n r q + (2^n - 1): no cancellation near zero, never above
 * 1 in magnitude, odd to the bit. sigmoid(x) = 1 / (1 + exp(-x)): both tails keep their relative accuracy, which the
 * half-angle form by tanh does not.
 *
 * Errors stay below 1.6 (exp), 3.5 (sigmoid) and 4.5 (tanh) units in the last place, on every ISA, wherever the result is
 * a normal number (csrc/tests/test_simd.c). Seen over every eighth number of float32 on AVX-512: 1.50, 3.28 and 3.93; over
 * 200,000 of float64: 1.32, 2.90 and 3.37. NaN in gives NaN out. exp does not leave [exp(EXP_MIN), exp(EXP_MAX)], 1.2e-38 to
 * 2.2e38 in float: there is no infinity and no zero, and every scale is a normal number.
 */

#if REAL_IS_FLOAT
#define EXP_MAX 88.3f        /* n <= 127: 2^n is finite */
#define EXP_MIN (-87.3f)     /* n >= -126: 2^n is normal */
#define TANH_SATURATED 20.0f /* 2|x| beyond which tanh rounds to 1 */
#define EXP_ROUND 0x1.8p23f  /* 1.5 * 2^23 */
#define EXP_LN2_HIGH 0.693115234375f
#define EXP_LN2_LOW 3.194618495e-5f
#else
#define EXP_MAX 709.0
#define EXP_MIN (-708.0)
#define TANH_SATURATED 40.0
#define EXP_ROUND 0x1.8p52
#define EXP_LN2_HIGH 0.69314718036912381649
#define EXP_LN2_LOW 1.9082149292705878161e-10
#endif
#define EXP_LOG2E ((real)1.4426950408889634074)

/* *scale = 2^n and the return value r q(r) = exp(r) - 1. x is within [EXP_MIN, EXP_MAX] or NaN. */
FRNN_INLINE vec FN(exp_parts)(vec x, vec *scale)
{
    vec shifted = v_fma(x, v_splat(EXP_LOG2E), v_splat(EXP_ROUND));
    vec n = shifted - v_splat(EXP_ROUND);
    vec r = v_fma(n, v_splat(-EXP_LN2_HIGH), x);
    r = v_fma(n, v_splat(-EXP_LN2_LOW), r);
    *scale = v_from_bits((v_bits(shifted) << REAL_MANTISSA_BITS) + v_bits(v_splat(1)));
#if REAL_IS_FLOAT
    static const real c[] = {0.001393364103f, 0.008369148491f, 0.04166646501f,
                             0.1666650526f,   0.5000000013f,   1.000000011f};
#else
    static const real c[] = {2.5105206373957011116e-8,
                             2.7626357241447222855e-7,
                             2.7557255425746434282e-6,
                             0.000024801504346997687255,
                             0.00019841269874800491981,
                             0.0013888888932488598181,
                             0.008333333333326140884,
                             0.041666666666573142611,
                             0.16666666666666670986,
                             0.50000000000000056169,
                             1.0};
#endif
    /* even and odd powers apart: two short chains instead of a long one, for steps of one row that wait for nothing else */
    enum { TERMS = sizeof c / sizeof c[0] };
    const vec r2 = r * r;
    vec same = v_splat(c[0]), other = v_splat(c[1]);
#pragma GCC unroll 16
    for (int i = 2; i < TERMS; i++)
        if (i % 2)
            other = v_fma(other, r2, v_splat(c[i]));
        else
            same = v_fma(same, r2, v_splat(c[i]));
    return r * (TERMS % 2 ? v_fma(other, r, same) : v_fma(same, r, other));
}

FRNN_INLINE vec v_exp(vec x)
{
    vec scale, p;
    x = v_max(v_splat(EXP_MIN), v_min(v_splat(EXP_MAX), x));
    p = FN(exp_parts)(x, &scale);
    return v_fma(scale, p, scale);
}

FRNN_INLINE vec v_sigmoid(vec x)
{
    return v_reciprocal(v_splat(1) + v_exp(-x));
}

FRNN_INLINE vec v_tanh(vec x)
{
    vec scale, p, e;
    vec y = v_min(v_splat(TANH_SATURATED), v_splat(2) * v_abs(x));
    p = FN(exp_parts)(y, &scale);
    e = v_fma(scale, p, scale - v_splat(1));
    return v_or_sign(v_fraction(e, e + v_splat(2)), x);
}
