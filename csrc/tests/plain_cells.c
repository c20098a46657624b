/* The recurrent layers written down once more, for the tests: a number at a time, in double, with libm. Equations as in
 * the papers that the kernels name; nothing here is shared with the engine. */
#include <math.h>
#include <string.h>

#include "problem.h"

static double sigmoid(double a)
{
    return 1 / (1 + exp(-a));
}

/* row r of weight [., n] times v, plus bias */
static double affine(const double *weight, const double *bias, int64_t r, int64_t n, const double *v)
{
    double sum = bias ? bias[r] : 0;
    for (int64_t k = 0; k < n; k++)
        sum += weight[r * n + k] * v[k];
    return sum;
}

/* What one step reads; h is not masked, hm is. */
typedef struct step_input {
    const double *x, *h, *hm, *c;
} step_input;

/* Gate g of unit j: from the input, and from the state v. */
static double from_x(const problem *q, const step_input *in, int64_t g, int64_t j)
{
    return affine(q->tensor[WEIGHT_IH], q->tensor[BIAS_IH], g * q->H + j, q->I, in->x);
}

static double from_h(const problem *q, const double *v, int64_t g, int64_t j)
{
    return affine(q->tensor[WEIGHT_HH], q->tensor[BIAS_HH], g * q->H + j, q->P, v);
}

static void elman(const problem *q, const step_input *in, double *h)
{
    for (int64_t j = 0; j < q->H; j++) {
        const double a = from_x(q, in, 0, j) + from_h(q, in->hm, 0, j);
        h[j] = q->cell == FRNN_RNN_TANH ? tanh(a) : fmax(a, 0);
    }
}

/* a -> gain (a - mean) / sqrt(variance + 1e-5) */
static void normalise(int64_t n, double *a, const double *gain)
{
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < n; j++)
        mean += a[j] / (double)n;
    for (int64_t j = 0; j < n; j++)
        variance += (a[j] - mean) * (a[j] - mean) / (double)n;
    for (int64_t j = 0; j < n; j++)
        a[j] = gain[j] * (a[j] - mean) / sqrt(variance + 1e-5);
}

/* What the input and the state give to every gate [G, H], normalised where the cell has that, with their biases. */
static void gates(const problem *q, const step_input *in, double *x, double *h)
{
    for (int64_t j = 0; j < q->G * q->H; j++) {
        x[j] = affine(q->tensor[WEIGHT_IH], NULL, j, q->I, in->x);
        h[j] = affine(q->tensor[WEIGHT_HH], NULL, j, q->P, in->hm);
    }
    if (q->tensor[LN_IH]) {
        normalise(q->G * q->H, x, q->tensor[LN_IH]);
        normalise(q->G * q->H, h, q->tensor[LN_HH]);
    }
    for (int64_t j = 0; q->tensor[BIAS_IH] && j < q->G * q->H; j++) {
        x[j] += q->tensor[BIAS_IH][j];
        h[j] += q->tensor[BIAS_HH][j];
    }
}

static void lstm(const problem *q, const step_input *in, double *h, double *c)
{
    const int64_t H = q->H;
    double x[4 * H], r[4 * H], n[H];
    gates(q, in, x, r);
    for (int64_t j = 0; j < H; j++)
        n[j] = c[j] =
            sigmoid(x[H + j] + r[H + j]) * in->c[j] + sigmoid(x[j] + r[j]) * tanh(x[2 * H + j] + r[2 * H + j]);
    if (q->tensor[LN_C_WEIGHT]) {
        normalise(H, n, q->tensor[LN_C_WEIGHT]);
        for (int64_t j = 0; j < H; j++)
            n[j] += q->tensor[LN_C_BIAS][j];
    }
    for (int64_t j = 0; j < H; j++)
        h[j] = sigmoid(x[3 * H + j] + r[3 * H + j]) * tanh(n[j]);
}

static void gru(const problem *q, const step_input *in, double *h)
{
    const int64_t H = q->H;
    double x[3 * H], r[3 * H], reset_h[H];
    gates(q, in, x, r);
    for (int64_t j = 0; j < H; j++)
        reset_h[j] = sigmoid(x[j] + r[j]) * in->hm[j];
    for (int64_t j = 0; j < H; j++) {
        const double z = sigmoid(x[H + j] + r[H + j]);
        const double n = q->cell == FRNN_GRU_RESET_BEFORE ? tanh(x[2 * H + j] + from_h(q, reset_h, 2, j))
                                                          : tanh(x[2 * H + j] + sigmoid(x[j] + r[j]) * r[2 * H + j]);
        h[j] = (1 - z) * n + z * in->h[j];
    }
}

static void min_cell(const problem *q, const step_input *in, double *h)
{
    for (int64_t j = 0; j < q->H; j++) {
        const double first = sigmoid(from_x(q, in, 0, j)), candidate = from_x(q, in, q->G - 1, j);
        double keep = 1 - first, take = first;
        if (q->cell == FRNN_MINLSTM) {
            const double input = sigmoid(from_x(q, in, 1, j));
            keep = first / (first + input);
            take = input / (first + input);
        }
        h[j] = keep * in->h[j] + take * candidate;
    }
}

static void multiply(int64_t n, const double *a, const double *b, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = b ? a[i] * b[i] : a[i];
}

static void zoneout(int64_t n, const double *k, const double *previous, double *value)
{
    for (int64_t i = 0; k && i < n; i++)
        value[i] = k[i] * previous[i] + (1 - k[i]) * value[i];
}

/* One row: h [P] and c [H] come in as the initial state and go out as the final one. */
static void run_row(const problem *q, int64_t n, double *h, double *c, outputs *out)
{
    const int64_t P = q->P, H = q->H, I = q->I, length = length_of(q, n);
    double x[I], hm[P], u[H], new_c[H], new_h[P];
    for (int64_t s = 0; s < length; s++) {
        const int64_t t = q->features & REVERSE ? length - 1 - s : s, at = t * q->N + n;
        if (q->resets && q->resets[at]) {
            memset(h, 0, sizeof *h * (size_t)P);
            memset(c, 0, sizeof *c * (size_t)H);
        }
        multiply(I, q->tensor[X_] + at * I, q->input_mask ? q->input_mask + n * I : NULL, x);
        multiply(P, h, q->hidden_mask ? q->hidden_mask + n * P : NULL, hm);
        const step_input in = {x, h, hm, c};
        switch (q->cell) {
        case FRNN_RNN_TANH:
        case FRNN_RNN_RELU:
            elman(q, &in, u);
            break;
        case FRNN_LSTM:
        case FRNN_LSTM_NORM:
            lstm(q, &in, u, new_c);
            break;
        case FRNN_MINGRU:
        case FRNN_MINLSTM:
            min_cell(q, &in, u);
            break;
        default:
            gru(q, &in, u);
        }
        for (int64_t j = 0; j < H; j++)
            out->active = (out->active ^ (u[j] > 0)) * 0x100000001b3u; /* FNV-1a */
        for (int64_t j = 0; j < P; j++)
            new_h[j] = q->features & PROJECTION ? affine(q->tensor[WEIGHT_HR], NULL, j, H, u) : u[j];
        zoneout(P, q->zoneout_h ? q->zoneout_h + at * P : NULL, h, new_h);
        memcpy(h, new_h, sizeof new_h);
        if (has_c(q)) {
            zoneout(H, q->zoneout_c ? q->zoneout_c + at * H : NULL, c, new_c);
            memcpy(c, new_c, sizeof new_c);
        }
        memcpy(out->y + at * P, h, sizeof new_h);
    }
}

outputs plain_forward(const problem *q)
{
    outputs out = {.y = doubles(q->T * q->N * q->P), .hn = doubles(q->N * q->P), .active = 1};
    double *c = doubles(q->N * q->H);
    for (int64_t n = 0; n < q->N; n++) {
        if (q->tensor[H0])
            memcpy(out.hn + n * q->P, q->tensor[H0] + n * q->P, sizeof *c * (size_t)q->P);
        if (q->tensor[C0])
            memcpy(c + n * q->H, q->tensor[C0] + n * q->H, sizeof *c * (size_t)q->H);
        run_row(q, n, out.hn + n * q->P, c + n * q->H, &out);
    }
    out.cn = has_c(q) ? c : NULL;
    return out;
}
