/* Token by token: the table of input products gives the bits of the layers one by one, and sampling draws what its
 * definition in docs/protocols.md says. */
#include <math.h>
#include <string.h>

#include "rnn_plan.h"
#include "testing.h"

enum { LAYERS = 2, V = 23, E = 5, H = 9 };

/* A stack of recurrent layers over an embedding, with an output layer: a stream of tokens, and the same by layers. */
typedef struct model {
    int dtype;
    const double *embedding;
    frnn_sequence sequences[LAYERS], by_layers[LAYERS];
    int64_t token;
    frnn_token_stream stream;
    void *logits; /* by layers */
} model;

static void *zeros(int dtype, int64_t n)
{
    return to_real(dtype, n, doubles(n));
}

static frnn_sequence make_layer(int cell, int dtype, int isa, int64_t I)
{
    frnn_sequence q = {.layer = {.cell = cell, .dtype = dtype, .isa = isa, .input_size = I, .hidden_size = H},
                       .T = 1,
                       .N = 1,
                       .threads = 1};
    const frnn_cell_counts *counts = &frnn_cell_table[cell];
    const int64_t G = counts->gates;
    frnn_weights w = {.weight_ih = to_real(dtype, G * H * I, random_doubles(G * H * I, -1, 1)),
                      .weight_hh =
                          to_real(dtype, G * H * H, random_doubles(G * H * H, -0.3, 0.3)), /* keeps relu finite */
                      .bias_ih = to_real(dtype, G * H, random_doubles(G * H, -1, 1)),
                      .bias_hh = to_real(dtype, G * H, random_doubles(G * H, -1, 1))};
    if (counts->norm_slot >= 0) {
        w.ln_ih = to_real(dtype, G * H, random_doubles(G * H, 0, 2));
        w.ln_hh = to_real(dtype, G * H, random_doubles(G * H, 0, 2));
    }
    if (counts->norm_slot >= 0 && counts->c_slot >= 0) {
        w.ln_c_weight = to_real(dtype, H, random_doubles(H, 0, 2));
        w.ln_c_bias = to_real(dtype, H, random_doubles(H, -1, 1));
    }
    void *packed = block(frnn_packed_size(&q.layer, 0));
    frnn_pack(&q.layer, &w, 0, packed);
    q.packed = packed;
    return q;
}

static void give_state(frnn_sequence *q)
{
    q->h0 = q->hn = zeros(q->layer.dtype, H);
    if (frnn_cell_table[q->layer.cell].c_slot >= 0)
        q->c0 = q->cn = zeros(q->layer.dtype, H);
    q->y = zeros(q->layer.dtype, H);
}

static void make_model(model *m, int cell, int dtype, int isa)
{
    memset(m, 0, sizeof *m);
    m->dtype = dtype;
    m->embedding = random_doubles(V * E, -1, 1);
    for (int i = 0; i < LAYERS; i++) {
        m->sequences[i] = m->by_layers[i] = make_layer(cell, dtype, isa, i ? H : E);
        give_state(&m->sequences[i]);
        give_state(&m->by_layers[i]);
    }
    frnn_sequence *first = &m->sequences[0];
    void *table = block(frnn_input_table_size(&first->layer, V));
    frnn_input_table(&first->layer, first->packed, V, to_real(dtype, V * E, m->embedding), table, 1,
                     block(frnn_input_table_scratch(&first->layer, V, 1)));
    first->input_table = table;
    first->tokens = &m->token;
    m->sequences[1].x = first->y;
    m->by_layers[1].x = m->by_layers[0].y;
    for (int i = 0; i < LAYERS; i++) {
        m->sequences[i].scratch = block(frnn_forward_scratch(&m->sequences[i]));
        m->by_layers[i].scratch = block(frnn_forward_scratch(&m->by_layers[i]));
    }
    const frnn_linear out = {.dtype = dtype, .isa = isa, .in_features = H, .out_features = V};
    void *packed = block(frnn_linear_packed_size(&out, 0));
    frnn_linear_pack(&out, to_real(dtype, V * H, random_doubles(V * H, -2, 2)), NULL, 0, packed);
    m->stream = (frnn_token_stream){.layers = LAYERS,
                                    .sequences = m->sequences,
                                    .token = &m->token,
                                    .out = out,
                                    .out_packed = packed,
                                    .h = m->sequences[LAYERS - 1].hn,
                                    .logits = zeros(dtype, V),
                                    .linear_scratch = block(frnn_linear_scratch(&out, 1, 1))};
    m->logits = zeros(dtype, V);
}

static void step_by_layers(model *m, int64_t token)
{
    m->by_layers[0].x = to_real(m->dtype, E, m->embedding + token * E);
    for (int i = 0; i < LAYERS; i++)
        frnn_forward(&m->by_layers[i]);
    frnn_linear_forward(&m->stream.out, m->stream.out_packed, 1, m->by_layers[LAYERS - 1].y, m->logits, 1,
                        m->stream.linear_scratch);
}

/* The table in a batch of sequences: tokens [T, N] instead of x [T, N, E]. */
static void check_table_of_sequences(const model *m)
{
    enum { T = 5, N = 3 };
    frnn_sequence by_table = m->sequences[0], by_x = m->by_layers[0];
    int64_t tokens[T * N];
    const int64_t lengths[N] = {3, T, 0};
    double *x = doubles(T * N * E);
    for (int i = 0; i < T * N; i++) {
        tokens[i] = below(V);
        memcpy(x + i * E, m->embedding + tokens[i] * E, sizeof *x * E);
    }
    frnn_sequence *const both[2] = {&by_table, &by_x};
    for (int reverse = 0; reverse < 2; reverse++) {
        for (int i = 0; i < 2; i++) {
            frnn_sequence *q = both[i];
            q->T = T;
            q->N = N;
            q->reverse = reverse;
            q->lengths = lengths;
            q->threads = 2;
            q->h0 = q->c0 = NULL;
            q->hn = zeros(m->dtype, N * H);
            q->cn = q->cn ? zeros(m->dtype, N * H) : NULL;
            q->y = zeros(m->dtype, T * N * H);
            q->y_t_stride = N * H;
            q->y_n_stride = H;
        }
        by_table.tokens = tokens;
        by_x.x = to_real(m->dtype, T * N * E, x);
        by_x.x_t_stride = N * E;
        by_x.x_n_stride = E;
        for (int i = 0; i < 2; i++) {
            both[i]->scratch = block(frnn_forward_scratch(both[i]));
            frnn_forward(both[i]);
        }
        CHECK(memcmp(by_table.y, by_x.y, real_size(m->dtype) * T * N * H) == 0 &&
                  memcmp(by_table.hn, by_x.hn, real_size(m->dtype) * N * H) == 0,
              "sequences by the table differ from those by x, reverse %d", reverse);
    }
}

/* ---- sampling by its definition, with a selection instead of a sort ---- */

static int64_t plain_draw(const double *logits, const frnn_sampling *s, double u)
{
    double p[V], sum = 0, largest = logits[0];
    int64_t order[V], kept = V, best = 0;
    for (int64_t i = 1; i < V; i++)
        if (logits[i] > largest)
            largest = logits[best = i];
    if (s->temperature == 0)
        return best;
    for (int64_t i = 0; i < V; i++) {
        p[i] = exp((logits[i] - largest) / s->temperature);
        order[i] = i;
    }
    if (s->top_k || s->top_p < 1)
        for (int64_t i = 0; i < V; i++) { /* the largest left to place i, the rest moved on in order */
            int64_t at = i;
            for (int64_t k = i + 1; k < V; k++)
                if (p[order[k]] > p[order[at]])
                    at = k;
            const int64_t chosen = order[at];
            memmove(order + i + 1, order + i, sizeof *order * (size_t)(at - i));
            order[i] = chosen;
        }
    if (s->top_k && s->top_k < kept)
        kept = s->top_k;
    for (int64_t i = 0; i < kept; i++)
        sum += p[order[i]];
    if (s->top_p < 1) {
        double part = 0;
        int64_t k = 0;
        while (part < s->top_p * sum)
            part += p[order[k++]];
        kept = k;
        sum = part;
    }
    double part = 0;
    for (int64_t i = 0; i < kept; i++) {
        part += p[order[i]];
        if (part > u * sum)
            return order[i];
    }
    return order[kept - 1];
}

static int64_t draw(model *m, const frnn_sampling *s, double u)
{
    int64_t token = -1;
    frnn_token_sample(&m->stream, s, 1, &u, &token, block(frnn_sample_scratch(V)));
    return token;
}

static int64_t expected_draw(const model *m, const frnn_sampling *s, double u)
{
    double logits[V];
    for (int64_t v = 0; v < V; v++)
        logits[v] = real_at(m->dtype, m->stream.logits, v);
    return plain_draw(logits, s, u);
}

static void check_sampling(model *m, const frnn_sampling *s)
{
    enum { DRAWS = 40 };
    for (int i = 0; i < DRAWS; i++) {
        const double u = i == 0 ? 0 : i == 1 ? 1 - 0x1p-53 : uniform(0, 0.999);
        const int64_t expected = expected_draw(m, s, u), token = draw(m, s, u);
        CHECK(token == expected, "temperature %g, top_k %d, top_p %g, u %g: token %d, expected %d", s->temperature,
              (int)s->top_k, s->top_p, u, (int)token, (int)expected);
        if (token < 0 || token >= V)
            return;
        step_by_layers(m, token);
        CHECK(memcmp(m->stream.logits, m->logits, real_size(m->dtype) * V) == 0, "a drawn token is fed differently");
    }
}

/* Ties go to the lower index; a share of exactly top_p is enough; what is no number is still a token. */
static void check_odd_logits(model *m)
{
    static const frnn_sampling ways[] = {{0, 0, 1}, {1, 0, 1}, {1, 4, 1}, {1, 4, 0.5}, {1, 0, 0.5}};
    static const double odd[] = {0, -INFINITY, INFINITY, NAN};
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++)
        for (int i = 0; i < 9; i++)
            for (size_t o = 0; o < sizeof odd / sizeof *odd; o++) {
                for (int64_t v = 0; v < V; v++)
                    set_real(m->dtype, m->stream.logits, v, o == 0 || v % 3 == 1 ? odd[o] : (double)(v % 2));
                const double u = i / 8.0 * 0.999;
                const int64_t expected = odd[o] <= 0 ? expected_draw(m, &ways[k], u) : -1;
                const int64_t token = draw(m, &ways[k], u);
                CHECK(token >= 0 && token < V, "logits of %g give token %d", odd[o], (int)token);
                CHECK(expected < 0 || token == expected, "way %d, logits of %g, u %g: token %d, expected %d", (int)k,
                      odd[o], u, (int)token, (int)expected);
            }
}

static void check(int cell, int dtype, int isa)
{
    model m;
    make_model(&m, cell, dtype, isa);
    int64_t tokens[12];
    for (int i = 0; i < 12; i++) {
        tokens[i] = below(V);
        step_by_layers(&m, tokens[i]);
    }
    frnn_token_feed(&m.stream, 12, tokens);
    CHECK(memcmp(m.stream.logits, m.logits, real_size(dtype) * V) == 0, "cell %d: the table gives other bits", cell);
    frnn_token_feed(&m.stream, 0, NULL);
    CHECK(memcmp(m.stream.logits, m.logits, real_size(dtype) * V) == 0, "cell %d: feeding nothing changes logits",
          cell);
    static const frnn_sampling ways[] = {{1, 0, 1},    {0, 0, 1},      {0.5, 3, 1},     {2, 0, 0.7},
                                         {1, 5, 0.5},  {1, 1, 1},      {1, 99, 1},      {1e-3, 0, 1},
                                         {1, 0, 1e-9}, {1e-310, 0, 1}, {1e-310, 4, 0.5}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        check_sampling(&m, &ways[i]);
    check_odd_logits(&m);
    check_table_of_sequences(&m);
    release();
}

void test_tokens(void)
{
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("tokens and sampling %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        seed(9);
        for (int cell = 0; cell < FRNN_CELL_COUNT; cell++)
            check(cell, dtype, isa);
        group_end();
    }
}
