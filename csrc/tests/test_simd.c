/* exp, sigmoid and tanh of simd/vec_math.h against libm in long double, on every ISA. */
#include <float.h>
#include <math.h>

#include "testing.h"

typedef long double (*exact_function)(long double);

static long double exact_sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

static const struct {
    const char *name;
    exact_function exact;
    double ulps;            /* units in the last place that simd/vec_math.h promises */
    double low[2], high[2]; /* where the result is a normal number and no limit is reached, a dtype each */
} functions[] = {
    {"exp", expl, 1.6, {-87.3, -708}, {88.3, 709}},
    {"sigmoid", exact_sigmoid, 3.5, {-87.3, -708}, {200, 2000}},
    {"tanh", tanhl, 4.5, {-200, -2000}, {200, 2000}},
};

/* The distance between neighbouring numbers of the dtype at the exact result. */
static long double unit(int dtype, long double exact)
{
    int exponent;
    frexpl(exact, &exponent);
    const int digits = dtype == FRNN_FLOAT32 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const int least = dtype == FRNN_FLOAT32 ? FLT_MIN_EXP : DBL_MIN_EXP;
    return ldexpl(1, (exponent > least ? exponent : least) - digits);
}

static double bits_away(int dtype, double x, int steps)
{
    for (; steps > 0; steps--)
        x = dtype == FRNN_FLOAT32 ? (double)nextafterf((float)x, INFINITY) : nextafter(x, INFINITY);
    for (; steps < 0; steps++)
        x = dtype == FRNN_FLOAT32 ? (double)nextafterf((float)x, -INFINITY) : nextafter(x, -INFINITY);
    return x;
}

/* Evenly spread, spread over magnitudes, all and the middle ones, and about the borders where exp's scale changes (odd
 * multiples of ln(2)/2). */
static int64_t points(int dtype, double low, double high, int64_t most, double *x)
{
    int64_t n = 0;
    while (n < most / 4)
        x[n++] = uniform(low, high);
    while (n < most * 3 / 4) {
        const double least = n % 2 ? -10 : dtype == FRNN_FLOAT32 ? -126 : -1022;
        const double magnitude = exp2(uniform(least, n % 2 ? 3 : 7));
        x[n++] = below(2) ? magnitude : -magnitude;
    }
    while (n < most)
        x[n++] = bits_away(dtype, 0.5 * log(2) * (double)(below(260) - 130), (int)below(5) - 2);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i] >= low && x[i] <= high)
            x[kept++] = dtype == FRNN_FLOAT32 ? (double)(float)x[i] : x[i];
    return kept;
}

static void apply(int f, int dtype, int64_t n, const double *x, double *y)
{
    const void *from = to_real(dtype, n, x);
    void *to = misaligned(real_size(dtype) * (size_t)n, real_size(dtype));
    frnn_apply((frnn_function)f, dtype, n, from, to);
    for (int64_t i = 0; i < n; i++)
        y[i] = real_at(dtype, to, i);
}

static void check_accuracy(int f, int dtype)
{
    const int64_t most = reduced ? 4000 : 200000;
    double *x = doubles(most), *y = doubles(most), worst_x = 0;
    const int64_t n = points(dtype, functions[f].low[dtype], functions[f].high[dtype], most, x);
    apply(f, dtype, n, x, y);
    long double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const long double exact = functions[f].exact((long double)x[i]);
        const long double error = fabsl((long double)y[i] - exact) / unit(dtype, exact);
        if (!(error <= worst)) {
            worst = error;
            worst_x = x[i];
        }
    }
    group_note("%s %s %.2Lf", f ? "," : "; ulp:", functions[f].name, worst);
    CHECK(worst <= functions[f].ulps, "%s is off by %.2Lf units at %a", functions[f].name, worst, worst_x);
}

static void check_properties(int dtype)
{
    enum { MOST = 2000 };
    double *x = doubles(MOST), *y = doubles(MOST), *z = doubles(MOST);
    const int64_t n = points(dtype, -2000, 2000, MOST, x);
    apply(FRNN_TANH, dtype, n, x, y);
    int bounded = 1;
    for (int64_t i = 0; i < n; i++)
        bounded &= x[i] < 0 ? y[i] >= -1 && y[i] <= 0 : y[i] >= 0 && y[i] <= 1;
    CHECK(bounded, "tanh leaves [-1, 1] or has not the sign of x");
    apply(FRNN_SIGMOID, dtype, n, x, y);
    bounded = 1;
    for (int64_t i = 0; i < n; i++)
        bounded &= y[i] >= 0 && y[i] <= 1;
    CHECK(bounded, "sigmoid leaves [0, 1]");

    /* every count of lanes, so that a tail has the bits of a whole vector */
    for (int64_t count = 0; count <= 20; count++)
        for (int f = FRNN_EXP; f <= FRNN_TANH; f++) {
            apply(f, dtype, 20, x, y);
            apply(f, dtype, count, x, z);
            CHECK(same_bits(count, y, z), "%s: %d values differ from the same among 20", functions[f].name, (int)count);
        }
}

static void check_special(int dtype)
{
    const double huge = dtype == FRNN_FLOAT32 ? FLT_MAX : DBL_MAX;
    const double tiny = dtype == FRNN_FLOAT32 ? FLT_MIN : DBL_MIN;
    const double x[] = {NAN, INFINITY, -INFINITY, huge, -huge, 0.0, -0.0, tiny, -tiny};
    double y[9];
    apply(FRNN_EXP, dtype, 9, x, y);
    CHECK(isnan(y[0]), "exp(NaN) = %g", y[0]);
    CHECK(y[1] == y[3] && y[1] > huge / 8 && y[1] <= huge, "exp(inf) = %g, exp(max) = %g", y[1], y[3]);
    CHECK(y[2] == y[4] && y[2] >= tiny && y[2] < 8 * tiny, "exp(-inf) = %g, exp(-max) = %g", y[2], y[4]);
    for (int i = 5; i < 9; i++)
        CHECK(y[i] == 1, "exp(%g) = %.9g", x[i], y[i]);
    apply(FRNN_SIGMOID, dtype, 9, x, y);
    CHECK(isnan(y[0]), "sigmoid(NaN) = %g", y[0]);
    CHECK(y[1] == 1 && y[3] == 1, "sigmoid(inf) = %g, sigmoid(max) = %g", y[1], y[3]);
    CHECK(y[2] >= 0 && y[2] <= tiny && y[4] == y[2], "sigmoid(-inf) = %g, sigmoid(-max) = %g", y[2], y[4]);
    for (int i = 5; i < 9; i++)
        CHECK(y[i] == 0.5, "sigmoid(%g) = %.9g", x[i], y[i]);
    apply(FRNN_TANH, dtype, 9, x, y);
    CHECK(isnan(y[0]), "tanh(NaN) = %g", y[0]);
    CHECK(y[1] == 1 && y[3] == 1 && y[2] == -1 && y[4] == -1, "tanh saturates at %g, %g, %g, %g", y[1], y[2], y[3],
          y[4]);
    CHECK(y[5] == 0 && y[6] == 0, "tanh(0) = %g, tanh(-0) = %g", y[5], y[6]);
    for (int i = 7; i < 9; i++)
        CHECK(fabs(y[i] - x[i]) <= 2 * real_eps(dtype) * tiny, "tanh(%g) = %g", x[i], y[i]);
}

void test_simd(void)
{
    const int before = frnn_isa_current();
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("exp, sigmoid, tanh %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        frnn_start(frnn_isa_name(isa));
        seed(3);
        for (int f = FRNN_EXP; f <= FRNN_TANH; f++)
            check_accuracy(f, dtype);
        check_properties(dtype);
        check_special(dtype);
        release();
        group_end();
    }
    frnn_start(frnn_isa_name(before));
}
