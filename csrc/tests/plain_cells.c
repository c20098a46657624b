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

static void lstm(const problem *q, const step_input *in, double *h, double *c)
{
    for (int64_t j = 0; j < q->H; j++) {
        double gate[4];
        for (int64_t g = 0; g < 4; g++)
            gate[g] = from_x(q, in, g, j) + from_h(q, in->hm, g, j);
        c[j] = sigmoid(gate[1]) * in->c[j] + sigmoid(gate[0]) * tanh(gate[2]);
        h[j] = sigmoid(gate[3]) * tanh(c[j]);
    }
}

static void gru(const problem *q, const step_input *in, double *h)
{
    double r[q->H], reset_h[q->H];
    for (int64_t j = 0; j < q->H; j++) {
        r[j] = sigmoid(from_x(q, in, 0, j) + from_h(q, in->hm, 0, j));
        reset_h[j] = r[j] * in->hm[j];
    }
    for (int64_t j = 0; j < q->H; j++) {
        const double z = sigmoid(from_x(q, in, 1, j) + from_h(q, in->hm, 1, j));
        const double n = q->cell == FRNN_GRU ? tanh(from_x(q, in, 2, j) + r[j] * from_h(q, in->hm, 2, j))
                                             : tanh(from_x(q, in, 2, j) + from_h(q, reset_h, 2, j));
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
        if (q->cell == FRNN_LSTM)
            lstm(q, &in, u, new_c);
        else if (q->cell == FRNN_GRU || q->cell == FRNN_GRU_RESET_BEFORE)
            gru(q, &in, u);
        else if (q->cell == FRNN_MINGRU || q->cell == FRNN_MINLSTM)
            min_cell(q, &in, u);
        else
            elman(q, &in, u);
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
