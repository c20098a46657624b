/* Embedding, softmax cross-entropy, sum of squares and scaling against plain sums. */
#include <math.h>
#include <string.h>

#include "testing.h"

static const int thread_counts[] = {1, 2, 5};

static void check_embedding(int dtype, int64_t n, int64_t V, int64_t width)
{
    const double *weight = random_doubles(V * width, -1, 1), *dy = random_doubles(n * width, -1, 1);
    const double *before = random_doubles(V * width, -1, 1);
    const void *table = to_real(dtype, V * width, weight), *gradient = to_real(dtype, n * width, dy);
    int64_t *ids = block(sizeof *ids * (size_t)n), *some = block(sizeof *ids * (size_t)n);
    double *expected = doubles(V * width), *first = NULL;
    memcpy(expected, before, sizeof *expected * (size_t)(V * width));
    for (int64_t i = 0; i < n; i++) {
        ids[i] = below(V);
        some[i] = below(5) ? ids[i] : -1 - below(9); /* negative ids have no gradient */
        for (int64_t j = 0; some[i] >= 0 && j < width; j++)
            expected[some[i] * width + j] += dy[i * width + j];
    }
    for (size_t k = 0; k < sizeof thread_counts / sizeof *thread_counts; k++) {
        frnn_set_num_threads(thread_counts[k]);
        void *y = misaligned(real_size(dtype) * (size_t)(n * width), real_size(dtype));
        frnn_embedding_forward(dtype, n, width, ids, table, y);
        int right = 1;
        for (int64_t i = 0; i < n * width; i++)
            right &= real_at(dtype, y, i) == weight[ids[i / width] * width + i % width];
        CHECK(right, "gather of %d rows of %d", (int)n, (int)width);
        void *dweight = to_real(dtype, V * width, before);
        frnn_embedding_backward(dtype, n, width, some, gradient, dweight);
        double *seen = doubles(V * width);
        for (int64_t i = 0; i < V * width; i++)
            seen[i] = real_at(dtype, dweight, i);
        CHECK(distance(V * width, seen, expected) <= real_eps(dtype) * (double)(n + 2), "scatter of %d rows of %d",
              (int)n, (int)width);
        first = first ? first : seen;
        CHECK(same_bits(V * width, seen, first), "scatter: %d threads give other bits", thread_counts[k]);
    }
    release();
}

typedef struct entropy_case {
    int64_t M, C, ignore;
    double smoothing;
    const double *logits, *weight;
    const int64_t *targets;
} entropy_case;

/* Loss of row i at logits x [C], by the definition. */
static double plain_loss(const entropy_case *q, int64_t i, const double *x)
{
    if (q->targets[i] == q->ignore)
        return 0;
    double largest = x[0], sum = 0, loss = 0;
    for (int64_t c = 0; c < q->C; c++)
        largest = fmax(largest, x[c]);
    for (int64_t c = 0; c < q->C; c++)
        sum += exp(x[c] - largest);
    for (int64_t c = 0; c < q->C; c++) {
        const double share =
            q->smoothing / (double)q->C + (c == q->targets[i] ? 1 - q->smoothing : 0); /* of class c in the target */
        loss += share * (q->weight ? q->weight[c] : 1) * (largest + log(sum) - x[c]);
    }
    return loss;
}

static void check_cross_entropy(int dtype, int64_t M, int64_t C, double smoothing, int weighted, double spread)
{
    int64_t *targets = block(sizeof *targets * (size_t)M);
    for (int64_t i = 0; i < M; i++)
        targets[i] = below(6) ? below(C) : -100;
    const entropy_case q = {.M = M,
                            .C = C,
                            .ignore = -100,
                            .smoothing = smoothing,
                            .logits = random_doubles(M * C, -spread, spread),
                            .weight = weighted ? random_doubles(C, 0, 2) : NULL,
                            .targets = targets};
    frnn_cross_entropy_args args = {.dtype = dtype,
                                    .M = M,
                                    .C = C,
                                    .logits = to_real(dtype, M * C, q.logits),
                                    .targets = targets,
                                    .class_weight = to_real(dtype, C, q.weight),
                                    .ignore_index = -100,
                                    .label_smoothing = smoothing};
    double expected_loss = 0, expected_weight = 0;
    for (int64_t i = 0; i < M; i++) {
        expected_loss += plain_loss(&q, i, q.logits + i * C);
        expected_weight += targets[i] == -100 ? 0 : q.weight ? q.weight[targets[i]] : 1;
    }
    double *first = NULL, first_loss = 0;
    for (size_t k = 0; k < sizeof thread_counts / sizeof *thread_counts; k++) {
        frnn_set_num_threads(thread_counts[k]);
        args.dlogits = misaligned(real_size(dtype) * (size_t)(M * C), real_size(dtype));
        args.row_loss = block(sizeof(double) * (size_t)M);
        args.row_weight = block(sizeof(double) * (size_t)M);
        double loss = NAN, weight = NAN;
        frnn_cross_entropy(&args, &loss, &weight);
        double *seen = doubles(M * C);
        for (int64_t i = 0; i < M * C; i++)
            seen[i] = real_at(dtype, args.dlogits, i);
        CHECK(fabs(loss - expected_loss) <= real_eps(dtype) * (double)(C + 8) * fmax(1, expected_loss),
              "loss %.10g, expected %.10g, C=%d", loss, expected_loss, (int)C);
        CHECK(fabs(weight - expected_weight) <= 1e-12 * fmax(1, expected_weight), "weight %.10g, expected %.10g",
              weight, expected_weight);
        first_loss = first ? first_loss : loss;
        first = first ? first : seen;
        CHECK(same_bits(M * C, seen, first) && same_bits(1, &loss, &first_loss), "%d threads give other bits",
              thread_counts[k]);
    }
    /* the gradient, by central differences in every logit of some rows */
    for (int64_t i = 0; i < M; i += 1 + M / 5)
        for (int64_t c = 0; c < C; c += 1 + C / 50) {
            double *x = doubles(C);
            memcpy(x, q.logits + i * C, sizeof *x * (size_t)C);
            const double at = x[c], step = 1e-5;
            x[c] = at + step;
            const double up = plain_loss(&q, i, x);
            x[c] = at - step;
            const double numeric = (up - plain_loss(&q, i, x)) / (2 * step);
            CHECK(fabs(first[i * C + c] - numeric) <= 1e-8 * (1 + spread) + real_eps(dtype) * 16,
                  "dlogits %.10g, by differences %.10g", first[i * C + c], numeric);
        }
    release();
}

/* -inf is a class that cannot be; NaN shows. */
static void check_special_logits(int dtype)
{
    double logits[3 * 4] = {1, 2, -INFINITY, 0, NAN, 1, 2, 3, 1, 2, 3, 0};
    const int64_t targets[3] = {1, 1, 2};
    double row_loss[3], row_weight[3], loss, weight;
    frnn_cross_entropy_args args = {.dtype = dtype,
                                    .M = 3,
                                    .C = 4,
                                    .logits = to_real(dtype, 12, logits),
                                    .targets = targets,
                                    .ignore_index = -100,
                                    .row_loss = row_loss,
                                    .row_weight = row_weight};
    args.dlogits = misaligned(real_size(dtype) * 12, real_size(dtype));
    frnn_cross_entropy(&args, &loss, &weight);
    CHECK(fabs(row_loss[0] - log(1 + exp(-1) + exp(-2))) <= 8 * real_eps(dtype), "loss beside a -inf is %g",
          row_loss[0]);
    CHECK(fabs(real_at(dtype, args.dlogits, 2)) <= 1e-30, "gradient of a -inf is %g", real_at(dtype, args.dlogits, 2));
    CHECK(isnan(row_loss[1]) && isnan(real_at(dtype, args.dlogits, 6)), "NaN is lost: loss %g", row_loss[1]);
    CHECK(isfinite(row_loss[2]), "NaN in one row reaches another");
    release();
}

static void check_elementwise(int dtype, int64_t n)
{
    const double *x = random_doubles(n, -1, 1);
    void *a = to_real(dtype, n, x);
    double expected = 0;
    for (int64_t i = 0; i < n; i++)
        expected += x[i] * x[i];
    const double sum = frnn_sum_of_squares(dtype, n, a);
    CHECK(fabs(sum - expected) <= 1e-15 * (double)(n + 1) * fmax(1, expected), "sum of squares %.17g, expected %.17g",
          sum, expected);
    frnn_scale(dtype, n, 0.25, a);
    int right = 1;
    for (int64_t i = 0; i < n; i++)
        right &= real_at(dtype, a, i) == 0.25 * x[i];
    CHECK(right, "scaling %d numbers", (int)n);
    release();
}

void test_ops(void)
{
    const int isa_before = frnn_isa_current(), threads_before = frnn_get_num_threads();
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("embedding, cross-entropy %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        frnn_start(frnn_isa_name(isa));
        seed(7);
        const int64_t V = lanes_of(isa, dtype);
        const int64_t sizes[] = {1, 2, V - 1, V, V + 1, 37};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_embedding(dtype, 23, 7, sizes[i]);
            for (int k = 0; k < 4; k++)
                check_cross_entropy(dtype, 11, sizes[i], k % 2 ? 0.1 : 0, k / 2, i == 3 ? 50 : 3);
            check_elementwise(dtype, sizes[i]);
        }
        check_embedding(dtype, 0, 3, 5);
        check_embedding(dtype, reduced ? 100 : 3000, 50, 300); /* enough for threads */
        check_cross_entropy(dtype, 0, 3, 0, 0, 1);
        check_cross_entropy(dtype, reduced ? 20 : 600, 131, 0.1, 1, 3);
        check_elementwise(dtype, 0);
        check_special_logits(dtype);
        group_end();
    }
    frnn_set_num_threads(threads_before);
    frnn_start(frnn_isa_name(isa_before));
}
