/* The promise of fastrnn.h: a row has the same bits at any batch size, in any place of the batch, at any thread count, in
 * training as in inference, with and without checkpoints, and whatever was in the memory that the caller lent. */
#include <math.h>
#include <string.h>

#include "problem.h"
#include "platform/cpu.h"
#include "platform/thread_pool.h"
#include "rnn_plan.h"

/* Row `a` of a batch array [T, N, width] against row `b` of another. */
static int same_row(int64_t T, int64_t width, const double *x, int64_t N, int64_t a, const double *y, int64_t M,
                    int64_t b)
{
    if (!x || !y)
        return x == y;
    for (int64_t t = 0; t < T; t++)
        if (!same_bits(width, x + (t * N + a) * width, y + (t * M + b) * width))
            return 0;
    return 1;
}

static void compare_row(const problem *q, const outputs *batch, int64_t n, const outputs *other, int64_t N, int64_t i,
                        const char *what)
{
    CHECK(same_row(q->T, q->P, batch->y, q->N, n, other->y, N, i), "cell %d: y of row %d differs: %s", q->cell, (int)n,
          what);
    CHECK(same_row(1, q->P, batch->hn, q->N, n, other->hn, N, i), "cell %d: hn of row %d differs: %s", q->cell, (int)n,
          what);
    CHECK(same_row(1, q->H, batch->cn, q->N, n, other->cn, N, i), "cell %d: cn of row %d differs: %s", q->cell, (int)n,
          what);
    const int64_t steps[3] = {q->T, 1, 1}, width[3] = {q->I, q->P, q->H};
    for (int k = X_; k <= C0; k++)
        CHECK(same_row(steps[k], width[k], batch->gradient[k], q->N, n, other->gradient[k], N, i),
              "cell %d: d%s of row %d differs: %s", q->cell, tensor_names[k], (int)n, what);
}

static void compare_weights(const problem *q, const outputs *a, const outputs *b, const char *what)
{
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        if (q->size[i])
            CHECK(same_bits(q->size[i], a->gradient[i], b->gradient[i]), "cell %d: d%s differs: %s", q->cell,
                  tensor_names[i], what);
}

static void check(int isa, int dtype, int cell, int features, int64_t I)
{
    const int64_t N = 13, V = lanes_of(isa, dtype);
    const problem q = make_problem(cell, features, 7, N, I, 2 * V + 3);
    settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
    const outputs batch = engine_run(&q, &s);

    static const int thread_counts[] = {2, 5, 17};
    for (size_t k = 0; k < sizeof thread_counts / sizeof *thread_counts; k++) {
        s.threads = thread_counts[k];
        const outputs other = engine_run(&q, &s);
        for (int64_t n = 0; n < N; n++)
            compare_row(&q, &batch, n, &other, N, n, "threads");
        compare_weights(&q, &batch, &other, "threads");
    }

    static const int64_t windows[] = {1, 3, 7, 100}; /* of 7 steps */
    for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
        s.threads = k % 2 ? 1 : 3;
        s.checkpoint_every = windows[k];
        const outputs other = engine_run(&q, &s);
        for (int64_t n = 0; n < N; n++)
            compare_row(&q, &batch, n, &other, N, n, "windows computed again");
        compare_weights(&q, &batch, &other, "windows computed again");
    }
    s.checkpoint_every = 0;

    s.threads = 1;
    for (unsigned fill = 0; fill < 256; fill += 0x7f) { /* zeros, huge, negative; NaN so far */
        memory_fill = (unsigned char)fill;
        const outputs other = engine_run(&q, &s);
        for (int64_t n = 0; n < N; n++)
            compare_row(&q, &batch, n, &other, N, n, "content of the memory lent");
        compare_weights(&q, &batch, &other, "content of the memory lent");
    }
    memory_fill = 0xff;

    for (int64_t n = 0; n < N; n++) { /* alone */
        const problem alone = select_rows(&q, &n, 1);
        s.threads = 1 + n % 3; /* more threads than rows */
        const outputs other = engine_run(&alone, &s);
        compare_row(&q, &batch, n, &other, 1, 0, "alone");
    }
    int64_t order[13];
    for (int64_t i = 0; i < N; i++)
        order[i] = (i * 5 + 3) % N;
    s.threads = 3;
    for (int64_t count = 2; count <= N; count += 3) { /* elsewhere, in batches of other sizes */
        const problem moved = select_rows(&q, order, count);
        const outputs other = engine_run(&moved, &s);
        for (int64_t i = 0; i < count; i++)
            compare_row(&q, &batch, order[i], &other, count, i, "place in the batch");
    }

    settings inference = {.dtype = dtype, .isa = isa, .threads = 2};
    outputs other = engine_run(&q, &inference);
    memcpy(other.gradient, batch.gradient, sizeof other.gradient);
    for (int64_t n = 0; n < N; n++)
        compare_row(&q, &batch, n, &other, N, n, "inference");
    release();
}

/* Of a thread's rows the first and the last write y some steps at a time; of one row, the same is both. */
static void check_many_steps(int isa, int dtype, int cell, int features)
{
    const problem q = make_problem(cell, features, 37, 5, 3, lanes_of(isa, dtype) + 1);
    for (int training = 0; training < 2; training++) {
        settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = training};
        const outputs alone = engine_run(&q, &s);
        for (s.threads = 2; s.threads <= 5; s.threads += 3) {
            const outputs other = engine_run(&q, &s);
            for (int64_t n = 0; training && n < q.N; n++)
                compare_row(&q, &alone, n, &other, q.N, n, "threads, many steps");
            CHECK(same_bits(q.T * q.N * q.P, alone.y, other.y), "cell %d: y differs: threads, many steps", cell);
            CHECK(same_bits(q.N * q.P, alone.hn, other.hn), "cell %d: hn differs: threads, many steps", cell);
        }
    }
    release();
}

/* Threads with few rows share units, all of the rows or some, and meet after every step; after a meeting that went badly they
 * share rows. */
static void check_shared_units(int isa, int dtype, int cell)
{
    const problem q = make_problem(cell, WITH_BIAS | WITH_STATE | ZONEOUT | RAGGED, 70, 9, 3, 260);
    settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
    const outputs alone = engine_run(&q, &s);
    for (int apart = 0; apart < 2; apart++)
        for (s.threads = 3; s.threads <= 8; s.threads += 5) {
            frnn_have_met(!apart);
            const outputs other = engine_run(&q, &s);
            for (int64_t n = 0; n < q.N; n++)
                compare_row(&q, &alone, n, &other, q.N, n, apart ? "threads apart" : "threads that meet");
            compare_weights(&q, &alone, &other, apart ? "threads apart" : "threads that meet");
        }
    frnn_have_met(1);
    release();
}

/* Weights that the second-level cache does not keep are fetched ahead, by the last tiles of the panel before, and of larger
 * panels come in blocks; with many rows, again for every few tiles. Or the first tile of a panel fetches them. */
static void check_large_weights(int isa, int dtype, int cell)
{
    const int64_t V = lanes_of(isa, dtype), bytes = frnn_cpu_l2_cache_bytes() / (dtype == FRNN_FLOAT32 ? 4 : 8);
    const int64_t N = cell == FRNN_LSTM && !reduced ? 103 : 13;
    for (int thirds = 2; thirds <= 3; thirds++) {
        const double square = sqrt((double)bytes); /* so many units square are as large as the cache */
        const int64_t H = (int64_t)(square * thirds / 3) / V * V + V / 2;
        const problem q = make_problem(cell, WITH_BIAS | WITH_STATE, 2, N, 5, H);
        settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
        const outputs batch = engine_run(&q, &s);
        for (int64_t n = 0; n < N; n += N - 1) {
            const problem alone = select_rows(&q, &n, 1);
            const outputs other = engine_run(&alone, &s);
            compare_row(&q, &batch, n, &other, 1, 0, "large weights");
        }
        const problem few = select_rows(&q, (const int64_t[]){1, 0}, 2);
        /* One thread has too many rows for a joint step, two have not. */
        const problem step = make_problem(cell, WITH_BIAS, 1, 8, H, H);
        const settings inference = {.dtype = dtype, .isa = isa, .threads = 1};
        const outputs one = engine_run(&step, &inference), trained = engine_run(&step, &s);
        for (int threads = 2; threads <= 5;
             threads += 3) { /* which share units, though there are rows; or stay apart */
            settings many = s;
            many.threads = threads;
            frnn_have_met(threads == 2);
            outputs other = engine_run(&few, &many);
            for (int64_t n = 0; n < 2; n++)
                compare_row(&q, &batch, 1 - n, &other, 2, n, "large weights, few rows");
            other = engine_run(&step, &many);
            for (int64_t n = 0; n < step.N; n++)
                compare_row(&step, &trained, n, &other, step.N, n, "large weights, one training step");
            compare_weights(&step, &trained, &other, "large weights, one training step");
            many.backward = 0;
            other = engine_run(&step, &many);
            memcpy(other.gradient, one.gradient, sizeof other.gradient);
            for (int64_t n = 0; n < step.N; n++)
                compare_row(&step, &one, n, &other, step.N, n, "large weights, one step");
        }
        frnn_have_met(1);
        release();
    }
    if (reduced)
        return;
    /* Where those of the input alone are too large, windows are longer, and how long depends on the rows. */
    const problem wide = make_problem(cell, WITH_BIAS | WITH_STATE | RAGGED, 37, 5, 3 * bytes / (2 * V), 2 * V);
    const settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
    const outputs batch = engine_run(&wide, &s);
    for (int64_t n = 0; n < wide.N; n++) {
        const problem alone = select_rows(&wide, &n, 1);
        const outputs other = engine_run(&alone, &s);
        compare_row(&wide, &batch, n, &other, 1, 0, "large input weights");
    }
    settings apart = s;
    apart.threads = 3;
    const outputs threads = engine_run(&wide, &apart);
    for (int64_t n = 0; n < wide.N; n++)
        compare_row(&wide, &batch, n, &threads, wide.N, n, "large input weights, threads");
    compare_weights(&wide, &batch, &threads, "large input weights, threads");
    release();
}

/* Weights that are read where they lie give the sums of packed ones, whole vectors or not. */
static void check_borrowed(int isa, int dtype, int cell)
{
    const int64_t V = lanes_of(isa, dtype), sizes[][2] = {{3 * V, 5 * V}, {2 * V + 1, 5 * V - 1}, {V / 2, V / 2 + 1}};
    const int64_t rows[] = {1, 2, 3, 5, 14}; /* from 5 on panels of rows are packed, from 14 on those of columns too */
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (int features = 0; features < 2; features++) {
                const int64_t N = rows[i];
                const problem q =
                    make_problem(cell, features ? ALL_FEATURES & ~(k ? 0 : PROJECTION) : WITH_BIAS | WITH_STATE, 2, N,
                                 sizes[k][0], sizes[k][1]);
                settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
                const outputs packed = engine_run(&q, &s);
                s.borrow = 1;
                for (; s.threads <= 3; s.threads++) {
                    const outputs borrowed = engine_run(&q, &s);
                    for (int64_t n = 0; n < N; n++)
                        compare_row(&q, &packed, n, &borrowed, N, n, "borrowed weights");
                    compare_weights(&q, &packed, &borrowed, "borrowed weights");
                }
                release();
            }
}

/* NaN and infinity in one row stay in it, and do not get lost in it. */
static void check_poison(int isa, int dtype, int cell, double poison)
{
    const int64_t N = 6, bad = 2;
    problem q = make_problem(cell, WITH_BIAS | WITH_STATE, 4, N, 3, 5);
    const settings s = {.dtype = dtype, .isa = isa, .threads = 2, .backward = 1};
    const outputs clean = engine_run(&q, &s);
    q.tensor[X_][(1 * N + bad) * q.I] = poison;
    const outputs seen = engine_run(&q, &s);
    for (int64_t n = 0; n < N; n++)
        if (n != bad)
            compare_row(&q, &clean, n, &seen, N, n, "poison in another row");
    CHECK(same_bits(q.P, clean.y + bad * q.P, seen.y + bad * q.P), "cell %d: poison reaches an earlier step", cell);
    for (int64_t j = 0; isnan(poison) && j < q.P; j++)
        CHECK(isnan(seen.hn[bad * q.P + j]), "cell %d: NaN in x, but not in hn", cell);
    release();
}

void test_invariance(void)
{
    static const int feature_sets[] = {WITH_BIAS | WITH_STATE, ALL_FEATURES, ALL_FEATURES & ~(REVERSE | PROJECTION),
                                       RAGGED | RESETS};
    /* Of more than 16 inputs, steps of many rows are joint, and of few not. */
    static const int inputs[] = {19, 5, 19, 19};
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("same bits %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        seed(2);
        for (int cell = 0; cell < FRNN_CELL_COUNT; cell++) {
            for (size_t k = 0; k < (reduced ? 2 : 4); k++)
                check(isa, dtype, cell, feature_sets[k], inputs[k]);
            check_many_steps(isa, dtype, cell, WITH_BIAS | WITH_STATE);
            check_many_steps(isa, dtype, cell, REVERSE);
            if (!reduced)
                check_shared_units(isa, dtype, cell);
            if (cell == FRNN_RNN_TANH || cell == FRNN_LSTM || cell == FRNN_GRU) /* tiles of every kind */
                check_large_weights(isa, dtype, cell);
            check_borrowed(isa, dtype, cell);
            check_poison(isa, dtype, cell, NAN);
            check_poison(isa, dtype, cell, INFINITY);
        }
        group_end();
    }
}
