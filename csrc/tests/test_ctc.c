/* Connectionist temporal classification against the sum over all alignments: loss, gradient, and beam search. */
#include <math.h>
#include <string.h>

#include "testing.h"

static const int thread_counts[] = {1, 2, 5};

typedef struct ctc_case {
    int64_t T, N, C, L, blank;
    const double *logits;
    const int64_t *targets, *input_lengths, *target_lengths;
} ctc_case;

/* log_p[T][C] of row n. */
static double *log_softmax(const ctc_case *q, int64_t n)
{
    double *log_p = doubles(q->T * q->C);
    for (int64_t t = 0; t < q->T; t++) {
        const double *x = q->logits + (t * q->N + n) * q->C;
        double largest = x[0], sum = 0;
        for (int64_t c = 0; c < q->C; c++)
            largest = fmax(largest, x[c]);
        for (int64_t c = 0; c < q->C; c++)
            sum += exp(x[c] - largest);
        for (int64_t c = 0; c < q->C; c++)
            log_p[t * q->C + c] = x[c] - largest - log(sum);
    }
    return log_p;
}

static double log_add(double a, double b)
{
    const double high = fmax(a, b);
    return high == -INFINITY ? high : high + log(exp(a - high) + exp(b - high));
}

/* log of the probability of the labels of row n, over the 2L+1 states in a row of the textbook. */
static double plain_log_likelihood(const ctc_case *q, int64_t n, const double *log_p)
{
    const int64_t T = q->input_lengths[n], L = q->target_lengths[n], S = 2 * L + 1;
    double *alpha = doubles(S), *before = doubles(S);
    for (int64_t s = 0; s < S; s++)
        alpha[s] = s ? -INFINITY : 0;
    for (int64_t t = 0; t < T; t++) {
        memcpy(before, alpha, sizeof *alpha * (size_t)S);
        for (int64_t s = 0; s < S; s++) {
            const int64_t label = s % 2 ? q->targets[n * q->L + s / 2] : q->blank;
            const int skips = s > 2 && s % 2 && label != q->targets[n * q->L + s / 2 - 1];
            double sum = log_add(before[s], s ? before[s - 1] : -INFINITY);
            if (skips)
                sum = log_add(sum, before[s - 2]);
            alpha[s] = sum + log_p[t * q->C + label];
        }
    }
    return L ? log_add(alpha[S - 1], alpha[S - 2]) : alpha[0];
}

static ctc_case random_case(int64_t T, int64_t N, int64_t C, int64_t L, double spread)
{
    int64_t *targets = block(sizeof *targets * (size_t)(N * L));
    int64_t *inputs = block(sizeof *inputs * (size_t)N), *labels = block(sizeof *labels * (size_t)N);
    const int64_t blank = below(C);
    for (int64_t n = 0; n < N; n++) {
        inputs[n] = n ? below(T + 1) : T;
        labels[n] = n ? below(L + 1) : L;
        for (int64_t i = 0; i < L; i++) /* every other label is like the one before */
            targets[n * L + i] = i && below(2) ? targets[n * L + i - 1] : (blank + 1 + below(C - 1)) % C;
    }
    return (ctc_case){T, N, C, L, blank, random_doubles(T * N * C, -spread, spread), targets, inputs, labels};
}

static void check_loss(int dtype, int64_t T, int64_t N, int64_t C, int64_t L, double spread)
{
    const ctc_case q = random_case(T, N, C, L, spread);
    const int64_t size = T * N * C;
    double *weight = random_doubles(N, 0.5, 2);
    weight[N - 1] = N > 1 ? 0 : 1;
    frnn_ctc_args args = {.dtype = dtype,
                          .T = T,
                          .N = N,
                          .C = C,
                          .L = L,
                          .logits = to_real(dtype, size, q.logits),
                          .targets = q.targets,
                          .input_lengths = q.input_lengths,
                          .target_lengths = q.target_lengths,
                          .blank = q.blank,
                          .row_weight = weight};
    double *first = NULL, *first_loss = NULL;
    for (size_t k = 0; k < sizeof thread_counts / sizeof *thread_counts; k++) {
        frnn_set_num_threads(thread_counts[k]);
        args.threads = thread_counts[k];
        args.scratch = block(frnn_ctc_scratch(&args));
        args.dlogits = misaligned(real_size(dtype) * (size_t)size, real_size(dtype));
        args.row_loss = doubles(N);
        frnn_ctc(&args);
        double *seen = doubles(size);
        for (int64_t i = 0; i < size; i++)
            seen[i] = real_at(dtype, args.dlogits, i);
        first = first ? first : seen;
        first_loss = first_loss ? first_loss : args.row_loss;
        CHECK(same_bits(size, seen, first) && same_bits(N, args.row_loss, first_loss), "%d threads give other bits",
              thread_counts[k]);
    }
    const double tolerance = real_eps(dtype) * (double)(16 + C + 4 * T);
    for (int64_t n = 0; n < N; n++) {
        double *log_p = log_softmax(&q, n);
        const double expected = weight[n] == 0 ? 0 : -plain_log_likelihood(&q, n, log_p);
        CHECK(first_loss[n] == expected || fabs(first_loss[n] - expected) <= tolerance * fmax(1, expected),
              "loss %.10g, expected %.10g, T=%d C=%d L=%d", first_loss[n], expected, (int)q.input_lengths[n], (int)C,
              (int)q.target_lengths[n]);
        for (int64_t t = 0; t < T; t += 1 + T / 6)
            for (int64_t c = 0; c < C; c += 1 + C / 6) {
                const int64_t i = (t * N + n) * C + c;
                double numeric = 0;
                if (t < q.input_lengths[n] && isfinite(expected) && weight[n] != 0) {
                    /* in log_p of this step: d loss / d logit = p - share of the class among the alignments */
                    const double step = 1e-5, at = log_p[t * C + c];
                    log_p[t * C + c] = at + step;
                    const double up = plain_log_likelihood(&q, n, log_p);
                    log_p[t * C + c] = at - step;
                    numeric = exp(at) - (up - plain_log_likelihood(&q, n, log_p)) / (2 * step);
                    log_p[t * C + c] = at;
                }
                CHECK(fabs(first[i] - weight[n] * numeric) <= 4 * tolerance + 2e-8 * (1 + spread),
                      "dlogits %.10g, by differences %.10g", first[i], weight[n] * numeric);
            }
    }
    release();
}

/* NaN shows; a class of -inf cannot be; more labels than steps allow are infinitely unlikely. */
static void check_special_rows(int dtype)
{
    double logits[2 * 3 * 3] = {1, 2, 0, NAN, 1, 2, 0, 1, -INFINITY, 1, 2, 0, 1, 1, 2, 0, 1, -INFINITY};
    const int64_t targets[3 * 2] = {1, 1, 1, 2, 2, 1}, inputs[3] = {2, 2, 2}, labels[3] = {2, 1, 1};
    double losses[3];
    frnn_ctc_args args = {.dtype = dtype,
                          .T = 2,
                          .N = 3,
                          .C = 3,
                          .L = 2,
                          .logits = to_real(dtype, 18, logits),
                          .targets = targets,
                          .input_lengths = inputs,
                          .target_lengths = labels,
                          .row_loss = losses,
                          .threads = 1};
    args.dlogits = misaligned(real_size(dtype) * 18, real_size(dtype));
    args.scratch = block(frnn_ctc_scratch(&args));
    frnn_ctc(&args);
    CHECK(losses[0] == INFINITY, "two equal labels in two steps cost %g", losses[0]);
    CHECK(isnan(losses[1]), "NaN is lost: loss %g", losses[1]);
    CHECK(losses[2] == INFINITY, "a label that cannot be costs %g", losses[2]);
    for (int t = 0; t < 2; t++)
        for (int c = 0; c < 3; c++) {
            CHECK(real_at(dtype, args.dlogits, t * 9 + c) == 0, "an impossible row has a gradient");
            CHECK(real_at(dtype, args.dlogits, t * 9 + 6 + c) == 0, "an impossible row has a gradient");
        }
    release();
}

/* Score of a reading: its log likelihood, and the transitions of its labels. */
static double plain_score(const ctc_case *q, int64_t n, const double *log_p, const double *transition)
{
    double score = plain_log_likelihood(q, n, log_p);
    for (int64_t i = 0; transition && i < q->target_lengths[n]; i++)
        score += transition[(i ? q->targets[n * q->L + i - 1] : q->blank) * q->C + q->targets[n * q->L + i]];
    return score;
}

/* A beam as wide as there are prefixes finds the best readings, and their exact scores. */
static void check_beam(int dtype, int64_t T, int64_t C, int with_transition)
{
    enum { WIDTH = 400, BEST = 5 };
    const int64_t N = 3;
    ctc_case q = random_case(T, N, C, T, 2);
    const double *transition = with_transition ? random_doubles(C * C, -1, 1) : NULL;
    frnn_ctc_beam_args args = {.dtype = dtype,
                               .T = T,
                               .N = N,
                               .C = C,
                               .logits = to_real(dtype, T * N * C, q.logits),
                               .lengths = q.input_lengths,
                               .blank = q.blank,
                               .beam_width = WIDTH,
                               .n_best = BEST,
                               .transition = transition};
    int64_t *first = NULL;
    for (size_t k = 0; k < sizeof thread_counts / sizeof *thread_counts; k++) {
        frnn_set_num_threads(thread_counts[k]);
        args.threads = thread_counts[k];
        args.scratch = block(frnn_ctc_beam_scratch(&args));
        args.labels = block(sizeof *args.labels * (size_t)(N * BEST * T));
        memset(args.labels, 0, sizeof *args.labels * (size_t)(N * BEST * T));
        args.counts = block(sizeof *args.counts * (size_t)(N * BEST));
        args.scores = doubles(N * BEST);
        frnn_ctc_beam(&args);
        first = first ? first : args.labels;
        CHECK(memcmp(first, args.labels, sizeof *first * (size_t)(N * BEST * T)) == 0, "%d threads: other labels",
              thread_counts[k]);
    }
    for (int64_t n = 0; n < N; n++) {
        const double *log_p = log_softmax(&q, n);
        /* every sequence of at most T labels, as a number in base C */
        double best[BEST + 1];
        for (int k = 0; k <= BEST; k++)
            best[k] = -INFINITY;
        int64_t *labels = block(sizeof *labels * (size_t)(N * T)), *counts = block(sizeof *counts * (size_t)N);
        ctc_case reading = q;
        reading.targets = labels;
        reading.target_lengths = counts;
        double readings = 1;
        for (int64_t length = 0; length <= q.input_lengths[n]; length++, readings *= (double)C)
            for (int64_t code = 0; code < (int64_t)readings; code++) {
                int64_t rest = code, possible = 1;
                counts[n] = length;
                for (int64_t i = 0; i < length; i++, rest /= C) {
                    labels[n * T + i] = rest % C;
                    possible &= rest % C != q.blank;
                }
                if (!possible)
                    continue;
                best[BEST] = plain_score(&reading, n, log_p, transition);
                for (int k = BEST; k > 0 && best[k] > best[k - 1]; k--) {
                    const double swapped = best[k];
                    best[k] = best[k - 1];
                    best[k - 1] = swapped;
                }
            }
        for (int k = 0; k < BEST; k++) {
            const double score = args.scores[n * BEST + k];
            CHECK(score == best[k] || fabs(score - best[k]) <= 1e-6 * (double)T, "result %d scores %.10g, not %.10g", k,
                  score, best[k]);
            if (args.counts[n * BEST + k] < 0)
                continue;
            counts[n] = args.counts[n * BEST + k];
            memcpy(labels + n * T, args.labels + (n * BEST + k) * T, sizeof *labels * (size_t)counts[n]);
            const double own = plain_score(&reading, n, log_p, transition);
            CHECK(fabs(score - own) <= 1e-6 * (double)T, "the labels of result %d score %.10g, not %.10g", k, own,
                  score);
        }
    }
    release();
}

void test_ctc(void)
{
    const int threads_before = frnn_get_num_threads(), isa_before = frnn_isa_current();
    FOR_ISAS(isa)
    {
        frnn_start(frnn_isa_name(isa));
        FOR_DTYPES(dtype)
        {
            const int64_t V = lanes_of(isa, dtype);
            group_begin("ctc %s %s", frnn_isa_name(isa), dtype_names[dtype]);
            seed(71);
            check_loss(dtype, 1, 1, 2, 1, 2);
            check_loss(dtype, 6, 4, 3, 2, 2);
            check_loss(dtype, 9, 3, 5, 0, 2);
            for (int64_t L = V - 1; L <= V + 1; L++) /* states fill a vector, or just not */
                check_loss(dtype, 3 * L, 3, V + 2, L, 3);
            check_loss(dtype, reduced ? 40 : 150, 2, 2 * V + 1, reduced ? 10 : 40, 10);
            check_special_rows(dtype);
            check_beam(dtype, 4, 3, 0);
            check_beam(dtype, 4, 3, 1);
            check_beam(dtype, 5, 2, 0);
            group_end();
        }
    }
    frnn_set_num_threads(threads_before);
    frnn_start(frnn_isa_name(isa_before));
}
