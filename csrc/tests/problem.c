#include "problem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rnn_plan.h"

const char *const tensor_names[TENSORS] = {"x",       "h0",        "c0",    "weight_ih", "weight_hh",   "bias_ih",
                                           "bias_hh", "weight_hr", "ln_ih", "ln_hh",     "ln_c_weight", "ln_c_bias"};

int has_c(const problem *q)
{
    return frnn_cell_table[q->cell].c_slot >= 0;
}

int has_norm(const problem *q)
{
    return frnn_cell_table[q->cell].norm_slot >= 0;
}

double magnification(const problem *q)
{
    return has_norm(q) ? 10 : 1;
}

int64_t length_of(const problem *q, int64_t n)
{
    return q->lengths ? q->lengths[n] : q->T;
}

static double *keep_or_scale(int64_t n)
{
    double *mask = doubles(n);
    for (int64_t i = 0; i < n; i++)
        mask[i] = below(4) ? 1.25 : 0;
    return mask;
}

problem make_problem(int cell, int features, int64_t T, int64_t N, int64_t I, int64_t H)
{
    if (frnn_cell_table[cell].c_slot < 0)
        features &= ~PROJECTION;
    const int64_t P = features & PROJECTION ? (H + 1) / 2 : H, G = frnn_cell_table[cell].gates,
                  R = frnn_cell_table[cell].recurrent_gates;
    problem q = {.cell = cell, .features = features, .T = T, .N = N, .I = I, .H = H, .P = P, .G = G};
    const int bias = features & WITH_BIAS, state = features & WITH_STATE, norm = has_norm(&q);
    const int norm_c = norm && has_c(&q);
    const int64_t size[TENSORS] = {
        T * N * I,        state ? N * P : 0, state && has_c(&q) ? N * H : 0,    G * H * I,        R * H * P,
        bias ? G * H : 0, bias ? R * H : 0,  features & PROJECTION ? P * H : 0, norm ? G * H : 0, norm ? R * H : 0,
        norm_c ? H : 0,   norm_c ? H : 0};
    const double weight = 1.5 / sqrt((double)H);
    for (int i = 0; i < TENSORS; i++) {
        q.size[i] = size[i];
        if (size[i] || i == X_)
            q.tensor[i] = i >= LN_IH       ? random_doubles(size[i], 0.5, 1.5)
                          : i >= WEIGHT_IH ? random_doubles(size[i], -weight, weight)
                                           : random_doubles(size[i], -1, 1);
    }
    if (features & RAGGED) {
        q.lengths = block(sizeof *q.lengths * (size_t)N);
        for (int64_t n = 0; n < N; n++)
            q.lengths[n] = below(T + 1);
        if (N > 2)
            q.lengths[N / 2] = 0;
    }
    if (features & RESETS) {
        q.resets = block((size_t)(T * N));
        for (int64_t i = 0; i < T * N; i++)
            q.resets[i] = below(4) == 0;
    }
    if (features & INPUT_MASK)
        q.input_mask = keep_or_scale(N * I);
    if (features & HIDDEN_MASK)
        q.hidden_mask = keep_or_scale(N * P);
    if (features & ZONEOUT) {
        q.zoneout_h = random_doubles(T * N * P, 0, 1);
        q.zoneout_c = has_c(&q) ? random_doubles(T * N * H, 0, 1) : NULL;
    }
    q.dy = random_doubles(T * N * P, -1, 1);
    q.dhn = random_doubles(N * P, -1, 1);
    q.dcn = has_c(&q) ? random_doubles(N * H, -1, 1) : NULL;
    return q;
}

/* from [outer, N, width] -> [outer, count, width] */
static double *select(const double *from, int64_t outer, int64_t N, int64_t width, const int64_t *rows, int64_t count)
{
    if (!from)
        return NULL;
    double *to = doubles(outer * count * width);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++)
            if (width)
                memcpy(to + (o * count + i) * width, from + (o * N + rows[i]) * width, sizeof *to * (size_t)width);
    return to;
}

problem select_rows(const problem *from, const int64_t *rows, int64_t count)
{
    problem q = *from;
    const int64_t T = q.T, N = q.N;
    q.N = count;
    q.tensor[X_] = select(from->tensor[X_], T, N, q.I, rows, count);
    q.tensor[H0] = select(from->tensor[H0], 1, N, q.P, rows, count);
    q.tensor[C0] = select(from->tensor[C0], 1, N, q.H, rows, count);
    for (int i = X_; i <= C0; i++)
        q.size[i] = N ? q.size[i] / N * count : 0;
    q.input_mask = select(from->input_mask, 1, N, q.I, rows, count);
    q.hidden_mask = select(from->hidden_mask, 1, N, q.P, rows, count);
    q.zoneout_h = select(from->zoneout_h, T, N, q.P, rows, count);
    q.zoneout_c = select(from->zoneout_c, T, N, q.H, rows, count);
    q.dy = select(from->dy, T, N, q.P, rows, count);
    q.dhn = select(from->dhn, 1, N, q.P, rows, count);
    q.dcn = select(from->dcn, 1, N, q.H, rows, count);
    if (from->lengths) {
        q.lengths = block(sizeof *q.lengths * (size_t)count);
        for (int64_t i = 0; i < count; i++)
            q.lengths[i] = from->lengths[rows[i]];
    }
    if (from->resets) {
        q.resets = block((size_t)(T * count));
        for (int64_t t = 0; t < T; t++)
            for (int64_t i = 0; i < count; i++)
                q.resets[t * count + i] = from->resets[t * N + rows[i]];
    }
    return q;
}

const char *describe(const problem *q)
{
    static char text[160];
    static const char *const names[] = {"bias",        "state",   "ragged",  "resets",    "input_mask",
                                        "hidden_mask", "zoneout", "reverse", "projection"};
    int used = snprintf(text, sizeof text, "T=%d N=%d I=%d H=%d", (int)q->T, (int)q->N, (int)q->I, (int)q->H);
    for (int i = 0; i < 9; i++)
        if (q->features >> i & 1)
            used += snprintf(text + used, sizeof text - (size_t)used, " %s", names[i]);
    return text;
}
