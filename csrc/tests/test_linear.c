/* The linear layer and its gradients against plain sums; same bits for a row at any M and thread count. */
#include <math.h>
#include <string.h>

#include "testing.h"

typedef struct linear_case {
    int64_t M, K, O;
    const double *x, *weight, *bias, *dy;
} linear_case;

typedef struct linear_result {
    double *y, *dx, *dweight, *dbias;
} linear_result;

static linear_case make_case(int64_t M, int64_t K, int64_t O, int with_bias)
{
    return (linear_case){.M = M,
                         .K = K,
                         .O = O,
                         .x = random_doubles(M * K, -1, 1),
                         .weight = random_doubles(O * K, -1, 1),
                         .bias = with_bias ? random_doubles(O, -1, 1) : NULL,
                         .dy = random_doubles(M * O, -1, 1)};
}

/* dweight and dbias start at one. */
static linear_result plain(const linear_case *q)
{
    const int64_t M = q->M, K = q->K, O = q->O;
    linear_result r = {doubles(M * O), doubles(M * K), doubles(O * K), doubles(O)};
    for (int64_t o = 0; o < O; o++) {
        r.dbias[o] = 1;
        for (int64_t k = 0; k < K; k++)
            r.dweight[o * K + k] = 1;
    }
    for (int64_t m = 0; m < M; m++)
        for (int64_t o = 0; o < O; o++) {
            double sum = q->bias ? q->bias[o] : 0;
            const double dy = q->dy[m * O + o];
            r.dbias[o] += dy;
            for (int64_t k = 0; k < K; k++) {
                sum += q->x[m * K + k] * q->weight[o * K + k];
                r.dx[m * K + k] += dy * q->weight[o * K + k];
                r.dweight[o * K + k] += dy * q->x[m * K + k];
            }
            r.y[m * O + o] = sum;
        }
    return r;
}

static double *copy_back(int dtype, int64_t n, const void *from)
{
    double *to = doubles(n);
    for (int64_t i = 0; i < n; i++)
        to[i] = real_at(dtype, from, i);
    return to;
}

static void *filled(int dtype, int64_t n, double value)
{
    double *all = doubles(n);
    for (int64_t i = 0; i < n; i++)
        all[i] = value;
    return to_real(dtype, n, all);
}

enum { NO_GRADIENTS, ADD_TO_ONES, ADD_TO_ZEROS, WRITE_OVER_NAN };

/* Without gradients the packing is that of inference. */
static linear_result engine(const linear_case *q, int dtype, int isa, int threads, int gradients)
{
    const int64_t M = q->M, K = q->K, O = q->O;
    const size_t size = real_size(dtype);
    const frnn_linear linear = {.dtype = dtype, .isa = isa, .in_features = K, .out_features = O};
    void *packed = block(frnn_linear_packed_size(&linear, gradients));
    frnn_linear_pack(&linear, to_real(dtype, O * K, q->weight), to_real(dtype, O, q->bias), gradients, packed);
    const void *x = to_real(dtype, M * K, q->x);
    void *y = misaligned(size * (size_t)(M * O), size);
    frnn_linear_forward(&linear, packed, M, x, y, threads, block(frnn_linear_scratch(&linear, M, threads)));
    linear_result r = {.y = copy_back(dtype, M * O, y)};
    if (!gradients)
        return r;
    void *dx = misaligned(size * (size_t)(M * K), size), *dweight, *dbias;
    const double start = gradients == ADD_TO_ONES ? 1 : gradients == ADD_TO_ZEROS ? 0 : NAN;
    dweight = filled(dtype, O * K, start);
    dbias = filled(dtype, O, start);
    frnn_linear_backward(&linear, packed, M, x, to_real(dtype, M * O, q->dy), dx, dweight, q->bias ? dbias : NULL,
                         gradients == WRITE_OVER_NAN, threads, block(frnn_linear_scratch(&linear, M, threads)));
    r.dx = copy_back(dtype, M * K, dx);
    r.dweight = copy_back(dtype, O * K, dweight);
    r.dbias = copy_back(dtype, O, dbias);
    return r;
}

static void check(int isa, int dtype, int64_t M, int64_t K, int64_t O)
{
    const linear_case q = make_case(M, K, O, (M + K + O) % 3 != 0);
    const linear_result expected = plain(&q), seen = engine(&q, dtype, isa, 1, ADD_TO_ONES);
    const double eps = 4 * real_eps(dtype);
    CHECK(distance(M * O, seen.y, expected.y) <= eps * (double)(K + 2), "y, M=%d K=%d O=%d", (int)M, (int)K, (int)O);
    CHECK(distance(M * K, seen.dx, expected.dx) <= eps * (double)(O + 2), "dx, M=%d K=%d O=%d", (int)M, (int)K, (int)O);
    CHECK(distance(O * K, seen.dweight, expected.dweight) <= eps * (double)(M + 2), "dweight, M=%d K=%d O=%d", (int)M,
          (int)K, (int)O);
    if (q.bias)
        CHECK(distance(O, seen.dbias, expected.dbias) <= eps * (double)(M + 2), "dbias, M=%d K=%d O=%d", (int)M, (int)K,
              (int)O);
    static const int thread_counts[] = {2, 3, 7};
    for (size_t i = 0; i < sizeof thread_counts / sizeof *thread_counts; i++) {
        const linear_result other = engine(&q, dtype, isa, thread_counts[i], ADD_TO_ONES);
        CHECK(same_bits(M * O, other.y, seen.y) && same_bits(M * K, other.dx, seen.dx) &&
                  same_bits(O * K, other.dweight, seen.dweight) && same_bits(O, other.dbias, seen.dbias),
              "%d threads give other bits, M=%d K=%d O=%d", thread_counts[i], (int)M, (int)K, (int)O);
    }
    const linear_result added = engine(&q, dtype, isa, 2, ADD_TO_ZEROS),
                        written = engine(&q, dtype, isa, 2, WRITE_OVER_NAN);
    CHECK(same_bits(O * K, written.dweight, added.dweight) && (!q.bias || same_bits(O, written.dbias, added.dbias)),
          "gradients written over NaN differ from those added to zeros, M=%d K=%d O=%d", (int)M, (int)K, (int)O);
    for (int64_t m = 0; m < M; m += 1 + M / 4) {
        linear_case row = q;
        row.M = 1;
        row.x += m * K;
        CHECK(same_bits(O, engine(&row, dtype, isa, 1, NO_GRADIENTS).y, seen.y + m * O),
              "row %d alone gives other bits", (int)m);
    }
    release();
}

void test_linear(void)
{
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("linear %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        seed(6);
        const int64_t V = lanes_of(isa, dtype);
        const int64_t sizes[][3] = {{1, 1, 1},         {0, 3, 5},    {7, V - 1, V + 1}, {5, V + 1, V}, {13, 4 * V, 3},
                                    {2, 3, 8 * V + 5}, {150, 7, 11}, {3, 530, 2},       {400, 2, 101}};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check(isa, dtype, sizes[i][0], sizes[i][1], sizes[i][2]);
        group_end();
    }
}
