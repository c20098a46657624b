/* GRU cells (gate order r, z, n; Cho et al. 2014). The reset gate acts after the recurrent product by default, as in
 * PyTorch and cuDNN, or before it, as in the paper, Keras' reset_after=False and ONNX' linear_before_reset=0.
 *
 *   forward    1  r, z = sigmoid(W_ih x + b + W_hh h_prev)
 *              2  after:  q = W_hn h_prev + b_hn,  n = tanh(W_in x + b_in + r q)
 *                 before: q = r h_prev,            n = tanh(W_in x + b_n + W_hn q)
 *              3  h~ = (1 - z) n + z h_prev
 *              4  h = k h_prev + (1 - k) h~                         zoneout, k = 0 without
 *   backward   4  dh_direct = k dh, dh~ = (1 - k) dh
 *              3  dn = (1 - z) dh~, dz = (h_prev - n) dh~, dh_direct += z dh~
 *              2  after:  da_n = dn (1 - n^2), dr = da_n q, dq = da_n r
 *                 before: da_n = dn (1 - n^2), dq = W_hn^T da_n, dr = dq h_prev, dh_direct += dq r
 *              1  through the sigmoids, from their outputs
 *
 * h_prev inside a product is the masked one (recurrent dropout); in 3 and 4 the unmasked one.
 * saved slots: 0 r, 1 z, 2 n (replaced by pre-activation gradients), 3 q (after: replaced by dq; before: kept, it is
 * the operand of the n gate's weight gradient).
 */

FRNN_INLINE vec FN(gru_output)(const int zoneout, const frnn_step_forward *s, const frnn_row_forward *row, int64_t unit,
                               vec z, vec n)
{
    const vec h_prev = FN(load_exact)(row->h_prev, unit, s->H);
    const vec h = v_fma(z, h_prev - n, n);
    return zoneout && s->zoneout_h ? FN(zoneout)(FN(load_exact)(row->zoneout_h, unit, s->H), h_prev, h) : h;
}

/* Backward steps 4 and 3 with the first half of 2, on the slots `gates` r, z, n: stores da_n and dz's pre-activation gradient. */
FRNN_INLINE vec FN(gru_backward_output)(const frnn_step_backward *s, const frnn_row_backward *row, real *gates,
                                        int64_t unit, vec acc)
{
    const vec one = v_splat(1);
    real *saved = gates + unit;
    const vec z = v_load(saved + s->Hp), n = v_load(saved + 2 * s->Hp);
    vec dh = FN(total_dh)(s, row, unit, acc), direct = v_zero();
    if (s->zoneout_h) {
        direct = FN(load_exact)(row->zoneout_h, unit, s->H) * dh;
        dh = dh - direct;
    }
    const vec da_n = dh * (one - z) * v_fma(-n, n, one);
    v_store((real *)row->dh_direct_out + unit, v_fma(z, dh, direct));
    v_store(saved + s->Hp, dh * (FN(load_exact)(row->h_prev, unit, s->H) - n) * z * (one - z));
    v_store(saved + 2 * s->Hp, da_n);
    return da_n;
}

/* ---- reset after the recurrent product ---- */

/* In two passes, like the LSTM's: n waits for the reset gate. */
FRNN_INLINE void FN(gru_forward_body)(const int training, const int zoneout, const void *FRNN_RESTRICT step,
                                      int64_t row0, int R, int64_t unit0, int panels, const vec *acc)
{
    const frnn_step_forward *s = step;
    vec z[EPILOGUE_CHAINS], a_n[EPILOGUE_CHAINS];
    for (int p = 0, e = 0; p < panels; p++)
        for (int r = 0; r < R; r++, e++, acc += 3) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + p * VL;
            const vec reset = v_sigmoid(acc[0]), q = acc[2];
            z[e] = v_sigmoid(acc[1]);
            a_n[e] = v_fma(reset, q, v_load((const real *)row->gates_in + 2 * s->Hp + unit));
            if (training) {
                real *saved = (real *)row->saved + unit;
                v_store(saved, reset);
                v_store(saved + s->Hp, z[e]);
                v_store(saved + 3 * s->Hp, q);
            }
        }
    for (int p = 0, e = 0; p < panels; p++)
        for (int r = 0; r < R; r++, e++) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + p * VL;
            const vec n = v_tanh(a_n[e]);
            if (training)
                v_store((real *)row->saved + unit + 2 * s->Hp, n);
            FN(store_exact)(row->h, unit, s->H, FN(gru_output)(zoneout, s, row, unit, z[e], n));
        }
}

FORWARD_EPILOGUES(gru, FN(gru_forward_body))

static void FN(gru_backward_tile)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0, int units,
                                  const vec *acc)
{
    const frnn_step_backward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit;
            FN(fetch_next)(row, unit, 1);
            const vec reset = v_load(saved), q = v_load(saved + 3 * s->Hp);
            const vec da_n = FN(gru_backward_output)(s, row, row->saved, unit, acc[r * units + u]);
            v_store(saved, da_n * q * reset * (v_splat(1) - reset));
            v_store(saved + 3 * s->Hp, da_n * reset);
        }
}

static void FN(gru_forward)(const frnn_step_forward *s)
{
    /* gates_in has four slots: r, z, W_in x + b_in, and b_hn, from which q starts */
    static const int slots[] = {0, 1, 3};
    FN(walk_forward)(s, &s->recurrent, offsetof(frnn_row_forward, operand), 0, slots, 4,
                     FN(forward_epilogue)(s, FN(gru_epilogues)));
}

static void FN(gru_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, 4, FN(gru_backward_tile));
}

/* ---- reset before the recurrent product: two products a step ---- */

static void FN(gru_reset_before_forward_gates)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0,
                                               int units, const vec *acc)
{
    const frnn_step_forward *s = step;
    for (int r = 0; r < R; r++, acc += 2 * units)
        for (int u = 0; u < units; u++) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit;
            const vec reset = v_sigmoid(acc[u]);
            v_store(saved, reset);
            v_store(saved + s->Hp, v_sigmoid(acc[units + u]));
            v_store(saved + 3 * s->Hp, reset * FN(load_exact)(row->operand, unit, s->H));
        }
}

static void FN(gru_reset_before_forward_candidate)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0,
                                                   int units, const vec *acc)
{
    const frnn_step_forward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit;
            const vec n = v_tanh(acc[r * units + u]);
            FN(store_exact)(row->h, unit, s->H, FN(gru_output)(1, s, row, unit, v_load(saved + s->Hp), n));
            v_store(saved + 2 * s->Hp, n);
        }
}

static void FN(gru_reset_before_forward)(const frnn_step_forward *s)
{
    FN(walk_recurrent)(s, 4, FN(gru_reset_before_forward_gates));
    static const int slots[] = {2};
    FN(walk_forward)(s, &s->candidate, offsetof(frnn_row_forward, saved), 3 * s->Hp, slots, 0,
                     FN(gru_reset_before_forward_candidate));
}

static void FN(gru_reset_before_backward_output)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0,
                                                 int units, const vec *acc)
{
    const frnn_step_backward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            FN(gru_backward_output)(s, row, row->saved, unit0 + u * VL, acc[r * units + u]);
        }
}

static void FN(gru_reset_before_backward_reset)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0,
                                                int units, const vec *acc)
{
    const frnn_step_backward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit, *direct = (real *)row->dh_direct_out + unit;
            const vec dq = acc[r * units + u], reset = v_load(saved);
            const vec through = dq * reset;
            v_store(saved, dq * FN(load_exact)(row->operand, unit, s->H) * reset * (v_splat(1) - reset));
            v_store(direct, v_load(direct) + (row->mask ? through * FN(load_exact)(row->mask, unit, s->H) : through));
        }
}

static void FN(gru_reset_before_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, 4, FN(gru_reset_before_backward_output));
    const frnn_segments da_n = {.count = 1, .length = s->H, .offset = {2 * s->Hp}};
    FN(walk_backward)(s, &s->candidate, offsetof(frnn_row_backward, saved), &da_n, 0,
                      FN(gru_reset_before_backward_reset));
}
