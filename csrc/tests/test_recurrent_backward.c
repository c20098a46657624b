/* Gradients: in float64 against central differences of the plain cells, each array along a random direction; in float32
 * against the float64 gradients of the same numbers. */
#include <math.h>

#include "recurrent_cases.h"

/* What the gradients are of: L = sum dy y + sum dhn hn + sum dcn cn. */
static double loss(const problem *q, uint64_t *active)
{
    const outputs out = plain_forward(q);
    double sum = 0;
    *active = q->cell == FRNN_RNN_RELU ? out.active : 0;
    for (int64_t i = 0; i < q->T * q->N * q->P; i++)
        sum += q->dy[i] * out.y[i];
    for (int64_t i = 0; i < q->N * q->P; i++)
        sum += q->dhn[i] * out.hn[i];
    for (int64_t i = 0; has_c(q) && i < q->N * q->H; i++)
        sum += q->dcn[i] * out.cn[i];
    return sum;
}

static double loss_moved(const problem *q, int tensor, const double *direction, double step, uint64_t *active)
{
    problem moved = *q;
    moved.tensor[tensor] = doubles(q->size[tensor]);
    for (int64_t i = 0; i < q->size[tensor]; i++)
        moved.tensor[tensor][i] = q->tensor[tensor][i] + step * direction[i];
    return loss(&moved, active);
}

/* Step and limit: with a step of 1e-5 the truncation is of the order 1e-10 of the third derivative and the rounding
 * 1e-16 / 1e-5 of L, so 1e-8 of the size of L's terms is far above both and far below any wrong term. */
#define STEP 1e-5
#define NUMERIC_LIMIT 1e-8

static double difference(const problem *q, int tensor, const double *direction, double step, int *kink)
{
    uint64_t below, above;
    const double change =
        loss_moved(q, tensor, direction, step, &above) - loss_moved(q, tensor, direction, -step, &below);
    *kink = above != below;
    return change / (2 * step);
}

/* A kink of relu within the step: closer; relu has no truncation, and rounding stays below the limit. A norm of few or
 * nearly equal numbers bends sharply: closer, without the error of second order, until two answers agree. */
static double numeric_derivative(const problem *q, int tensor, const double *direction, double limit)
{
    const int sharp = has_norm(q);
    double step = STEP, derivative = NAN, answer = NAN;
    int kink, done;
    do {
        const double before = derivative, last = answer;
        derivative = difference(q, tensor, direction, step, &kink);
        answer = sharp ? derivative + (derivative - before) / 63 : derivative;
        done = sharp ? fabs(answer - last) <= limit : !kink;
        step /= 8;
    } while (!done && step > STEP / 1000);
    return answer;
}

static void check_derivative(const problem *q, const settings *s)
{
    settings training = *s;
    training.backward = 1;
    const outputs seen = engine_run(q, &training);
    for (int i = 0; i < TENSORS; i++) {
        if (!q->size[i])
            continue;
        const double *direction = random_doubles(q->size[i], -1, 1);
        double exact = 0, size = 1;
        for (int64_t k = 0; k < q->size[i]; k++) {
            exact += seen.gradient[i][k] * direction[k];
            size += fabs(seen.gradient[i][k] * direction[k]);
        }
        size += (double)(q->T * q->N);
        const double limit = NUMERIC_LIMIT * size * magnification(q),
                     numeric = numeric_derivative(q, i, direction, limit);
        CHECK(fabs(exact - numeric) <= limit, "cell %d, %s: d%s is %.10g, by differences %.10g", q->cell, describe(q),
              tensor_names[i], exact, numeric);
    }
}

static double largest(int64_t n, const double *a)
{
    double m = 0;
    for (int64_t i = 0; i < n; i++)
        m = fmax(m, fabs(a[i]));
    return m;
}

/* Infinite if anything is no number. */
static double largest_difference(int64_t n, const double *a, const double *b)
{
    double *difference = doubles(n);
    for (int64_t i = 0; i < n; i++)
        difference[i] = isnan(a[i] - b[i]) ? INFINITY : a[i] - b[i];
    return largest(n, difference);
}

/* The gradients of a problem whose numbers are each moved by a rounding of float32: they go as far from those of the problem itself as
 * roundings on the way may take them. A norm divides by what few or nearly equal numbers differ by, at every step. */
static outputs gradients_moved(const problem *q, const settings *s)
{
    problem moved = *q;
    for (int i = 0; i < TENSORS; i++) {
        if (!q->size[i])
            continue;
        moved.tensor[i] = doubles(q->size[i]);
        for (int64_t k = 0; k < q->size[i]; k++)
            moved.tensor[i][k] = q->tensor[i][k] * (1 + (below(2) ? 1 : -1) * real_eps(FRNN_FLOAT32));
    }
    return engine_run(&moved, s);
}

/* float32 rounds every term of the sums over time, rows and units; relative to the largest entry. Over 24 seeds the gradients of norms
 * were off by up to 0.7 of what is allowed, others by 0.2. */
static void check_float32(const problem *q, const settings *s)
{
    settings narrow = *s, wide = *s;
    narrow.backward = wide.backward = 1;
    wide.dtype = FRNN_FLOAT64;
    const outputs seen = engine_run(q, &narrow), exact = engine_run(q, &wide);
    const outputs moved = has_norm(q) ? gradients_moved(q, &wide) : exact;
    const double sums = real_eps(FRNN_FLOAT32) * (double)(32 + q->T * q->N + q->I + q->G * q->H);
    const double limit = has_norm(q) ? 3 * sums : sums;
    for (int i = 0; i < TENSORS; i++) {
        if (!q->size[i])
            continue;
        const double scale = fmax(1, largest(q->size[i], exact.gradient[i]));
        const double worst = largest_difference(q->size[i], seen.gradient[i], exact.gradient[i]) / scale;
        const double allowed = limit + 8 * largest_difference(q->size[i], moved.gradient[i], exact.gradient[i]) / scale;
        CHECK(isfinite(allowed) && worst <= allowed, "cell %d, %s: d%s off by %g, allowed %g", q->cell, describe(q),
              tensor_names[i], worst, allowed);
    }
}

/* What a call leaves out changes nothing in the rest, and gradients are added to what is there. */
static void check_parts(int isa, int dtype, int cell)
{
    const problem q = make_problem(cell, WITH_BIAS | WITH_STATE | RAGGED | PROJECTION, 5, 4, 3, 9);
    const settings all = {.dtype = dtype, .isa = isa, .threads = 2, .backward = 1};
    const outputs whole = engine_run(&q, &all);
    settings part = all;
    part.no_dx = 1;
    outputs out = engine_run(&q, &part);
    for (int i = H0; i < TENSORS; i++)
        if (q.size[i])
            CHECK(same_bits(q.size[i], out.gradient[i], whole.gradient[i]), "cell %d: d%s differs without dx", cell,
                  tensor_names[i]);
    for (int skipped = WEIGHT_IH; skipped < TENSORS; skipped++) {
        part = all;
        part.skip[skipped] = 1;
        out = engine_run(&q, &part);
        for (int i = 0; i < TENSORS; i++)
            if (q.size[i] && i != skipped)
                CHECK(same_bits(q.size[i], out.gradient[i], whole.gradient[i]), "cell %d: d%s differs without d%s",
                      cell, tensor_names[i], tensor_names[skipped]);
    }
    settings added = all;
    added.start = 0.5;
    out = engine_run(&q, &added);
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        for (int64_t k = 0; k < q.size[i]; k++)
            out.gradient[i][k] -= 0.5;
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        if (q.size[i])
            CHECK(distance(q.size[i], out.gradient[i], whole.gradient[i]) <= 64 * real_eps(dtype),
                  "cell %d: d%s is not added to what was there", cell, tensor_names[i]);

    part = all;
    part.overwrite = 1;
    for (part.checkpoint_every = 0; part.checkpoint_every < 4; part.checkpoint_every += 2)
        for (part.threads = 1; part.threads < 4; part.threads++) {
            out = engine_run(&q, &part);
            for (int i = WEIGHT_IH; i < TENSORS; i++)
                if (q.size[i])
                    CHECK(same_bits(q.size[i], out.gradient[i], whole.gradient[i]),
                          "cell %d: d%s written over NaN differs from d%s added to zeros", cell, tensor_names[i],
                          tensor_names[i]);
        }

    problem silent = q; /* NULL for dhn and dcn is zeros */
    silent.dhn = doubles(q.N * q.P);
    silent.dcn = q.dcn ? doubles(q.N * q.H) : NULL;
    part = all;
    const outputs zeros = engine_run(&silent, &part);
    part.no_dstate = 1;
    const outputs none = engine_run(&silent, &part);
    for (int i = 0; i < TENSORS; i++)
        if (q.size[i])
            CHECK(distance(q.size[i], none.gradient[i], zeros.gradient[i]) == 0,
                  "cell %d: d%s differs between no dhn, dcn and zeros", cell, tensor_names[i]);
    release();
}

/* Where x are rows of a table: each comes once here, so that their gradients have the same bits. */
static void check_table(int isa, int dtype, int cell)
{
    for (int features = 0; features < 2; features++) {
        const problem q = make_problem(cell, features ? ALL_FEATURES & ~INPUT_MASK : WITH_BIAS, 7, 5, 9, 21);
        settings s = {.dtype = dtype, .isa = isa, .threads = 1, .backward = 1};
        const outputs expected = engine_run(&q, &s);
        s.by_table = 1;
        for (s.checkpoint_every = 0; s.checkpoint_every < 6; s.checkpoint_every += 3)
            for (s.threads = 1; s.threads < 4; s.threads++) {
                s.overwrite = s.threads == 2;
                const outputs out = engine_run(&q, &s);
                CHECK(same_bits(q.T * q.N * q.P, out.y, expected.y), "cell %d: y differs by a table", cell);
                for (int i = 0; i < TENSORS; i++)
                    if (q.size[i] && i != WEIGHT_IH)
                        CHECK(same_bits(q.size[i], out.gradient[i], expected.gradient[i]),
                              "cell %d: d%s differs by a table", cell, tensor_names[i]);
                CHECK(distance(q.size[WEIGHT_IH], out.gradient[WEIGHT_IH], expected.gradient[WEIGHT_IH]) <=
                          real_eps(dtype) * (double)(q.T * q.N) * magnification(&q),
                      "cell %d: dweight_ih differs by a table", cell);
            }
        release();
    }
}

void test_recurrent_backward(void)
{
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("recurrent backward %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        for_recurrent_cases(isa, dtype, dtype == FRNN_FLOAT64 ? check_derivative : check_float32);
        for (int cell = 0; cell < FRNN_CELL_COUNT; cell++)
            check_parts(isa, dtype, cell);
        for (int cell = 0; cell < FRNN_CELL_COUNT; cell++)
            check_table(isa, dtype, cell);
        group_end();
    }
}
