/* exp, sigmoid and tanh on vec, written once for float and double.
 *
 * One core serves all three. With n = round(x / ln 2) and r = x - n ln 2, |r| <= ln(2)/2,
 *     exp(x) = 2^n (1 + r q(r)),     q(r) = (exp(r) - 1) / r
 * q is a near-minimax polynomial (coefficients from simd/generate_coefficients.py; error of q below 1.2e-8 for
 * float, 1.9e-17 for double, less than a fifth of a unit in the last place of the result). n is rounded by adding
 * 1.5 * 2^(mantissa bits), and with it the exponent of 1: the low bits are then those of the number 2^n. ln 2 is subtracted
 * in two pieces (Cody and Waite).
 *
 * tanh(x) = e / (e + 2) with e = exp(2x) - 1 taken as 2^n r q + (2^n - 1): no cancellation near zero, never beyond 1 in
 * magnitude. It works with r / 2, which saves the doubling of x, and with ln 2 in one piece: what that leaves out grows with
 * n, but tanh is near 1 then. sigmoid(x) = 1 / (1 + exp(-x)): both tails keep their relative accuracy, which the half-angle
 * form by tanh does not.
 *
 * Epilogues are short of instructions (csrc/README.md): hence Horner's scheme, which is a longer chain and two instructions
 * less, signs that are part of the multiply-adds, and a tanh of x rather than of |x|, which is three less and neither odd to
 * the last bit nor -0 at -0.
 *
 * Errors stay below 1.6 (exp), 3.5 (sigmoid) and 4.5 (tanh) units in the last place, on every ISA, wherever the result is
 * a normal number (csrc/tests/test_simd.c). Seen with AVX2 over 200,000 numbers: 0.88, 2.12 and 2.64 in float32, 0.85, 2.16
 * and 2.73 in float64. NaN in gives NaN out. exp does not leave [exp(EXP_MIN), exp(EXP_MAX)], 1.2e-38 to 2.2e38 in float:
 * there is no infinity and no zero, and every scale is a normal number.
 */

#if REAL_IS_FLOAT
#define EXP_MAX 88.3f               /* n <= 127: 2^n is finite */
#define EXP_MIN (-87.3f)            /* n >= -126: 2^n is normal */
#define TANH_SATURATED 10.0f        /* beyond which tanh rounds to 1 */
#define EXP_ROUND (0x1.8p23f + 127) /* 127: the exponent of 1, so that the low bits are those of 2^n */
#define EXP_LN2_HIGH 0.693115234375f
#define EXP_LN2_LOW 3.194618495e-5f
#else
#define EXP_MAX 709.0
#define EXP_MIN (-708.0)
#define TANH_SATURATED 20.0
#define EXP_ROUND (0x1.8p52 + 1023)
#define EXP_LN2_HIGH 0.69314718036912381649
#define EXP_LN2_LOW 1.9082149292705878161e-10
#endif
#define EXP_LN2 ((real)0.6931471805599453094)
#define EXP_LOG2E ((real)1.4426950408889634074)

/* r of x, or of -x if `negative`; the low bits of *shifted are those of 2^n. */
FRNN_INLINE vec FN(exp_remainder)(const int negative, vec x, vec *shifted)
{
    *shifted = v_fma(x, v_splat(negative ? -EXP_LOG2E : EXP_LOG2E), v_splat(EXP_ROUND));
    const vec n = *shifted - v_splat(EXP_ROUND);
    return v_fma(n, v_splat(-EXP_LN2_LOW), v_fma(n, v_splat(-EXP_LN2_HIGH), negative ? -x : x));
}

/* 2^n, where that is a normal number. */
FRNN_INLINE vec FN(exp_scale)(vec shifted)
{
    return v_from_bits(v_bits(shifted) << REAL_MANTISSA_BITS);
}

/* q(r), or 2 q(2r) if `halved`. */
FRNN_INLINE vec FN(exp_quotient)(const int halved, vec r)
{
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
    enum { TERMS = sizeof c / sizeof c[0] };
    vec q = v_splat(c[0] * (real)(halved ? 1 << TERMS : 1));
#pragma GCC unroll 16
    for (int i = 1; i < TERMS; i++)
        q = v_fma(q, r, v_splat(c[i] * (real)(halved ? 1 << (TERMS - i) : 1)));
    return q;
}

/* exp(r) */
FRNN_INLINE vec FN(exp_small)(vec r)
{
    return v_fma(r, FN(exp_quotient)(0, r), v_splat(1));
}

FRNN_INLINE vec v_exp(vec x)
{
    vec shifted;
    const vec r = FN(exp_remainder)(0, v_max(v_splat(EXP_MIN), v_min(v_splat(EXP_MAX), x)), &shifted);
    return FN(exp_scale)(shifted) * FN(exp_small)(r);
}

FRNN_INLINE vec v_sigmoid(vec x)
{
    vec shifted;
    const vec r = FN(exp_remainder)(1, v_max(v_splat(-EXP_MAX), v_min(v_splat(-EXP_MIN), x)), &shifted);
    return v_reciprocal(v_fma(FN(exp_scale)(shifted), FN(exp_small)(r), v_splat(1)));
}

FRNN_INLINE vec v_tanh(vec x)
{
    x = v_max(v_splat(-TANH_SATURATED), v_min(v_splat(TANH_SATURATED), x));
    const vec shifted = v_fma(x, v_splat(2 * EXP_LOG2E), v_splat(EXP_ROUND));
    const vec half = v_fma(shifted - v_splat(EXP_ROUND), v_splat(-EXP_LN2 / 2), x); /* of r */
    const vec scale = FN(exp_scale)(shifted);
    const vec e = v_fma(scale * half, FN(exp_quotient)(1, half), scale - v_splat(1));
    return v_fraction(e, e + v_splat(2));
}
