/* Weights in fewer bits: bfloat16 is float32 arithmetic on rounded weights, int8 the sums that int8_tpl.h defines; a row has
 * the same bits in any company. */
#include <math.h>
#include <string.h>

#include "problem.h"

static double bfloat16(double a)
{
    int exponent;
    const double mantissa = frexp(a, &exponent);
    return ldexp(rint(ldexp(mantissa, 8)), exponent - 8); /* ties to even */
}

static double *rounded(int64_t n, const double *from)
{
    double *to = doubles(n);
    for (int64_t i = 0; i < n; i++)
        to[i] = bfloat16(from[i]);
    return to;
}

static float largest(int64_t n, const double *a)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(a[i]));
    return (float)most;
}

/* What int8 weights make of one output, its inner sums exact. */
static double int8_output(int64_t K, const double *x, const double *weight, double bias)
{
    const float weights_most = largest(K, weight), x_most = largest(K, x);
    const float scale = weights_most / 127, inverse = 8191 / x_most;
    double sum = 0;
    for (int64_t k = 0; k < K; k++)
        sum += rint((float)weight[k] / scale) * rint((float)x[k] * inverse);
    return bias + (double)scale * (double)(x_most / 8191) * sum;
}

static double *linear(int isa, int format, int64_t M, int64_t K, int64_t O, const double *x, const double *weight,
                      const double *bias, int threads)
{
    const frnn_linear q = {.dtype = FRNN_FLOAT32, .isa = isa, .format = format, .in_features = K, .out_features = O};
    void *packed = block(frnn_linear_packed_size(&q, 0));
    frnn_linear_pack(&q, to_real(FRNN_FLOAT32, O * K, weight), to_real(FRNN_FLOAT32, O, bias), 0, packed);
    void *y = misaligned(sizeof(float) * (size_t)(M * O), sizeof(float));
    frnn_linear_forward(&q, packed, M, to_real(FRNN_FLOAT32, M * K, x), y, threads,
                        block(frnn_linear_scratch(&q, M, threads)));
    double *result = doubles(M * O);
    for (int64_t i = 0; i < M * O; i++)
        result[i] = real_at(FRNN_FLOAT32, y, i);
    return result;
}

static void check_linear(int isa, int64_t M, int64_t K, int64_t O)
{
    const double *x = random_doubles(M * K, -1, 1), *weight = random_doubles(O * K, -1, 1);
    const double *bias = random_doubles(O, -1, 1);
    const double *narrow = linear(isa, FRNN_WEIGHTS_BFLOAT16, M, K, O, x, weight, bias, 1);
    CHECK(same_bits(M * O, narrow, linear(isa, FRNN_WEIGHTS_REAL, M, K, O, x, rounded(O * K, weight), bias, 1)),
          "bfloat16 is not float32 on rounded weights, M=%d K=%d O=%d", (int)M, (int)K, (int)O);
    const double *small = linear(isa, FRNN_WEIGHTS_INT8, M, K, O, x, weight, bias, 1);
    double *expected = doubles(M * O);
    for (int64_t m = 0; m < M; m++)
        for (int64_t o = 0; o < O; o++)
            expected[m * O + o] = int8_output(K, x + m * K, weight + o * K, bias[o]);
    /* the products of scales, their sums and the bias are rounded, once for each block of 2048 */
    const double eps = 8 * real_eps(FRNN_FLOAT32) * (double)(1 + K / 2048) * sqrt((double)K);
    CHECK(distance(M * O, small, expected) <= eps, "int8, M=%d K=%d O=%d", (int)M, (int)K, (int)O);
    for (int format = FRNN_WEIGHTS_BFLOAT16; format <= FRNN_WEIGHTS_INT8; format++) {
        const double *whole = format == FRNN_WEIGHTS_INT8 ? small : narrow;
        CHECK(same_bits(M * O, linear(isa, format, M, K, O, x, weight, bias, 3), whole), "3 threads give other bits");
        for (int64_t m = 0; m < M; m += 1 + M / 4)
            CHECK(same_bits(O, linear(isa, format, 1, K, O, x + m * K, weight, bias, 1), whole + m * O),
                  "row %d alone gives other bits", (int)m);
    }
    release();
}

static void check_cell(int isa, int cell, int features, int64_t H)
{
    const int64_t N = 9;
    problem q = make_problem(cell, features, 4, N, 5, H), narrow = q;
    settings s = {.dtype = FRNN_FLOAT32, .isa = isa, .threads = 1};
    for (int i = 0; i < TENSORS; i++)
        if (q.tensor[i] && (i == WEIGHT_IH || i == WEIGHT_HH || i == WEIGHT_HR))
            narrow.tensor[i] = rounded(q.size[i], q.tensor[i]);
    const outputs exact = engine_run(&narrow, &s), real = engine_run(&q, &s);
    for (s.format = FRNN_WEIGHTS_BFLOAT16; s.format <= FRNN_WEIGHTS_INT8; s.format++) {
        const outputs seen = engine_run(&q, &s);
        if (s.format == FRNN_WEIGHTS_BFLOAT16)
            CHECK(same_bits(4 * N * q.P, seen.y, exact.y), "bfloat16 y, %s", describe(&q));
        CHECK(distance(4 * N * q.P, seen.y, real.y) <= 0.1, "far from float32, %s", describe(&q));
        for (int64_t n = 0; n < N; n++) {
            const problem row = select_rows(&q, &n, 1);
            const outputs alone = engine_run(&row, &s);
            CHECK(same_bits(q.P, alone.hn, seen.hn + n * q.P), "row %d alone gives other bits, %s", (int)n,
                  describe(&q));
        }
    }
    release();
}

void test_quantized(void)
{
    FOR_ISAS(isa)
    {
        group_begin("quantized %s", frnn_isa_name(isa));
        seed(8);
        const int64_t V = lanes_of(isa, FRNN_FLOAT32);
        const int64_t sizes[][3] = {{1, 1, 1},         {0, 3, 5},     {7, V - 1, V + 1}, {5, V + 1, V}, {13, 4 * V, 3},
                                    {2, 3, 8 * V + 5}, {70, 67, 101}, {3, 2050, 2},      {1, 4100, 70}};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_linear(isa, sizes[i][0], sizes[i][1], sizes[i][2]);
        for (int cell = FRNN_RNN_TANH; cell <= FRNN_GRU_RESET_BEFORE; cell++) {
            check_cell(isa, cell, 0, V + 1);
            check_cell(isa, cell, ALL_FEATURES & (cell == FRNN_LSTM ? ~0 : ~PROJECTION), 3 * V);
        }
        group_end();
    }
}
