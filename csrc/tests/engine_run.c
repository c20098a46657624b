/* The engine on a problem: copies in its dtype between guards, rows further apart than they are long, NaN in whatever must
 * not be read, and outputs that start out as garbage. */
#include <math.h>

#include "problem.h"

/* An array [T, N, width] with gaps: its strides are not those of a contiguous one. */
typedef struct strided {
    void *data;
    int64_t T, N, width, t_stride, n_stride;
} strided;

static strided make_strided(int dtype, int64_t T, int64_t N, int64_t width)
{
    strided a = {.T = T, .N = N, .width = width, .n_stride = width + 3};
    a.t_stride = N * a.n_stride + 5;
    const int64_t n = T * a.t_stride;
    a.data = misaligned(real_size(dtype) * (size_t)n, real_size(dtype));
    for (int64_t i = 0; i < n; i++)
        set_real(dtype, a.data, i, NAN);
    return a;
}

/* Steps past a length stay NaN. */
static strided to_strided(int dtype, const problem *q, int64_t width, const double *from)
{
    strided a = make_strided(dtype, q->T, q->N, width);
    for (int64_t n = 0; n < q->N; n++)
        for (int64_t t = 0; t < length_of(q, n); t++)
            for (int64_t i = 0; i < width; i++)
                set_real(dtype, a.data, t * a.t_stride + n * a.n_stride + i, from[(t * q->N + n) * width + i]);
    return a;
}

static double *from_strided(int dtype, const strided *a)
{
    double *to = doubles(a->T * a->N * a->width);
    int untouched = 1;
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t i = 0; i < a->t_stride; i++) {
            const int64_t n = i / a->n_stride, column = i % a->n_stride;
            const double value = real_at(dtype, a->data, t * a->t_stride + i);
            if (n < a->N && column < a->width)
                to[(t * a->N + n) * a->width + column] = value;
            else
                untouched &= isnan(value);
        }
    CHECK(untouched, "elements between the rows of a strided array were written");
    return to;
}

static void *output(int dtype, int64_t n)
{
    return misaligned(real_size(dtype) * (size_t)n, real_size(dtype));
}

static double *from_real(int dtype, int64_t n, const void *array)
{
    double *to = doubles(n);
    for (int64_t i = 0; i < n; i++)
        to[i] = real_at(dtype, array, i);
    return to;
}

static void *filled(int dtype, int64_t n, double value)
{
    void *p = output(dtype, n);
    for (int64_t i = 0; i < n; i++)
        set_real(dtype, p, i, value);
    return p;
}

static void *pack(const problem *q, const settings *s, const frnn_layer *layer)
{
    frnn_weights w = {0};
    void **const members[] = {&w.weight_ih, &w.weight_hh, &w.bias_ih,     &w.bias_hh,  &w.weight_hr,
                              &w.ln_ih,     &w.ln_hh,     &w.ln_c_weight, &w.ln_c_bias};
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        *members[i - WEIGHT_IH] = to_real(s->dtype, q->size[i], q->tensor[i]);
    void *packed = block(frnn_packed_size(layer, s->backward));
    frnn_pack(layer, &w, s->backward, packed);
    return packed;
}

/* A step's row of the table: from the last step to the first. */
static int64_t row_of(const problem *q, int64_t step)
{
    return q->T * q->N - 1 - step;
}

static double *to_rows(const problem *q, const double *steps)
{
    double *rows = doubles(q->T * q->N * q->I);
    for (int64_t k = 0; k < q->T * q->N * q->I; k++)
        rows[row_of(q, k / q->I) * q->I + k % q->I] = steps[k];
    return rows;
}

static void give_table(const problem *q, const settings *s, frnn_sequence *e)
{
    const int64_t V = q->T * q->N;
    int64_t *tokens = block(sizeof *tokens * (size_t)V);
    for (int64_t k = 0; k < V; k++)
        tokens[k] = row_of(q, k);
    void *table = block(frnn_input_table_size(&e->layer, V));
    frnn_input_table(&e->layer, e->packed, V, to_real(s->dtype, V * q->I, to_rows(q, q->tensor[X_])), table, s->threads,
                     block(frnn_input_table_scratch(&e->layer, V, s->threads)));
    e->tokens = tokens;
    e->input_table = table;
    e->x = NULL;
}

static void *zeros(int dtype, size_t bytes)
{
    void *p = block(bytes);
    for (size_t i = 0; i < bytes / real_size(dtype); i++)
        set_real(dtype, p, (int64_t)i, 0);
    return p;
}

/* Gradients of the table's rows into those of x and weight_ih. */
static void finish_table(const problem *q, const settings *s, const frnn_sequence_gradient *g, outputs *out)
{
    const int64_t V = q->T * q->N, n = V * q->I;
    const frnn_layer *layer = &g->sequence->layer;
    void *dembedding = s->no_dx ? NULL : filled(s->dtype, n, NAN);
    frnn_input_table_backward(layer, g->sequence->packed, V, to_real(s->dtype, n, to_rows(q, q->tensor[X_])), g->dtable,
                              dembedding, g->dweights.weight_ih, g->overwrite, s->threads,
                              block(frnn_input_table_scratch(layer, V, s->threads)));
    if (dembedding)
        out->gradient[X_] = to_rows(q, from_real(s->dtype, n, dembedding));
}

static void run_backward(const problem *q, const settings *s, const frnn_sequence *sequence, outputs *out)
{
    const int dtype = s->dtype;
    frnn_sequence_gradient g = {.sequence = sequence};
    const strided dy = to_strided(dtype, q, q->P, q->dy);
    g.dy = dy.data;
    g.dy_t_stride = dy.t_stride;
    g.dy_n_stride = dy.n_stride;
    if (!s->no_dstate) {
        g.dhn = to_real(dtype, q->N * q->P, q->dhn);
        g.dcn = to_real(dtype, q->N * q->H, q->dcn);
    }
    strided dx = {0};
    if (sequence->tokens)
        g.dtable = zeros(dtype, frnn_input_table_size(&sequence->layer, q->T * q->N));
    else if (!s->no_dx) {
        dx = make_strided(dtype, q->T, q->N, q->I);
        g.dx = dx.data;
        g.dx_t_stride = dx.t_stride;
        g.dx_n_stride = dx.n_stride;
    }
    g.dh0 = output(dtype, q->N * q->P);
    g.dc0 = has_c(q) ? output(dtype, q->N * q->H) : NULL;
    frnn_weights *d = &g.dweights;
    void **const members[] = {&d->weight_ih, &d->weight_hh, &d->bias_ih,     &d->bias_hh,  &d->weight_hr,
                              &d->ln_ih,     &d->ln_hh,     &d->ln_c_weight, &d->ln_c_bias};
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        if (q->tensor[i] && !s->skip[i])
            *members[i - WEIGHT_IH] = filled(dtype, q->size[i], s->overwrite ? NAN : s->start);
    g.overwrite = s->overwrite;
    g.scratch = block(frnn_backward_scratch(&g));
    frnn_backward(&g);

    if (sequence->tokens)
        finish_table(q, s, &g, out);
    else
        out->gradient[X_] = s->no_dx ? NULL : from_strided(dtype, &dx);
    out->gradient[H0] = from_real(dtype, q->N * q->P, g.dh0);
    out->gradient[C0] = has_c(q) ? from_real(dtype, q->N * q->H, g.dc0) : NULL;
    for (int i = WEIGHT_IH; i < TENSORS; i++)
        if (*members[i - WEIGHT_IH])
            out->gradient[i] = from_real(dtype, q->size[i], *members[i - WEIGHT_IH]);
}

outputs engine_run(const problem *q, const settings *s)
{
    const int dtype = s->dtype;
    const int64_t N = q->N, P = q->P, H = q->H;
    frnn_sequence e = {.layer = {.cell = q->cell,
                                 .dtype = dtype,
                                 .isa = s->isa,
                                 .format = s->format,
                                 .input_size = q->I,
                                 .hidden_size = H,
                                 .proj_size = q->features & PROJECTION ? P : 0},
                       .T = q->T,
                       .N = N,
                       .reverse = (q->features & REVERSE) != 0,
                       .training = s->backward,
                       .checkpoint_every = s->checkpoint_every,
                       .threads = s->threads};
    if (s->borrow)
        e.layer.format = FRNN_WEIGHTS_BORROWED;
    e.packed = pack(q, s, &e.layer);
    const strided x = to_strided(dtype, q, q->I, q->tensor[X_]), y = make_strided(dtype, q->T, N, P);
    e.x = x.data;
    e.x_t_stride = x.t_stride;
    e.x_n_stride = x.n_stride;
    if (s->by_table)
        give_table(q, s, &e);
    e.y = y.data;
    e.y_t_stride = y.t_stride;
    e.y_n_stride = y.n_stride;
    void *h0 = to_real(dtype, N * P, q->tensor[H0]), *c0 = to_real(dtype, N * H, q->tensor[C0]);
    e.h0 = h0;
    e.c0 = c0;
    e.hn = s->in_place && h0 ? h0 : output(dtype, N * P);
    e.cn = !has_c(q) ? NULL : s->in_place && c0 ? c0 : output(dtype, N * H);
    e.lengths = q->lengths;
    e.resets = q->resets;
    e.input_mask = to_real(dtype, N * q->I, q->input_mask);
    e.hidden_mask = to_real(dtype, N * P, q->hidden_mask);
    strided zoneout_h = {0}, zoneout_c = {0};
    if (q->zoneout_h)
        zoneout_h = to_strided(dtype, q, P, q->zoneout_h);
    if (q->zoneout_c)
        zoneout_c = to_strided(dtype, q, H, q->zoneout_c);
    e.zoneout_h = zoneout_h.data;
    e.zoneout_c = zoneout_c.data;
    e.zoneout_h_t_stride = zoneout_h.t_stride;
    e.zoneout_h_n_stride = zoneout_h.n_stride;
    e.zoneout_c_t_stride = zoneout_c.t_stride;
    e.zoneout_c_n_stride = zoneout_c.n_stride;
    if (s->backward)
        e.saved = block(frnn_saved_size(&e));
    e.scratch = block(frnn_forward_scratch(&e));
    frnn_forward(&e);

    outputs out = {.y = from_strided(dtype, &y), .hn = from_real(dtype, N * P, e.hn)};
    if (has_c(q))
        out.cn = from_real(dtype, N * H, e.cn);
    if (s->backward)
        run_backward(q, s, &e, &out);
    return out;
}
