/* Elman cell, tanh or relu.
 *
 *   forward    1  h~ = f(W_ih x + b + W_hh h_prev)
 *              2  h  = k h_prev + (1 - k) h~                       zoneout, k = 0 without
 *   backward   2  dh_direct = k dh,  dh~ = (1 - k) dh
 *              1  da = dh~ f'(h~),   f' from the output: 1 - h~^2, or h~ > 0
 *
 * saved slots: 0 h~, replaced by da.
 */

FRNN_INLINE void FN(elman_forward_body)(const int relu, const int training, const int zoneout,
                                        const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0, int units,
                                        const vec *acc)
{
    const frnn_step_forward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            const vec a = acc[r * units + u];
            vec h = relu ? v_max(v_zero(), a) : v_tanh(a);
            if (training)
                v_store((real *)row->saved + unit, h);
            if (zoneout && s->zoneout_h)
                h = FN(zoneout)(FN(load_exact)(row->zoneout_h, unit, s->H), FN(load_exact)(row->h_prev, unit, s->H), h);
            FN(store_exact)(row->h, unit, s->H, h);
        }
}

#define TANH_BODY(...) FN(elman_forward_body)(0, __VA_ARGS__)
#define RELU_BODY(...) FN(elman_forward_body)(1, __VA_ARGS__)
FORWARD_EPILOGUES(rnn_tanh, TANH_BODY)
FORWARD_EPILOGUES(rnn_relu, RELU_BODY)
#undef TANH_BODY
#undef RELU_BODY

FRNN_INLINE void FN(elman_backward_epilogue)(const int relu, const void *FRNN_RESTRICT step, int64_t row0, int R,
                                             int64_t unit0, int units, const vec *acc)
{
    const frnn_step_backward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit;
            FN(fetch_next)(row, unit, 0);
            vec dh = FN(total_dh)(s, row, unit, acc[r * units + u]);
            if (s->has_direct) {
                vec direct = v_zero();
                if (s->zoneout_h) {
                    direct = FN(load_exact)(row->zoneout_h, unit, s->H) * dh;
                    dh = dh - direct;
                }
                v_store((real *)row->dh_direct_out + unit, direct);
            }
            const vec h = v_load(saved);
            v_store(saved, relu ? v_select(h > v_zero(), dh, v_zero()) : dh * v_fma(-h, h, v_splat(1)));
        }
}

static void FN(tanh_backward_tile)(const void *s, int64_t row, int R, int64_t unit, int units, const vec *acc)
{
    FN(elman_backward_epilogue)(0, s, row, R, unit, units, acc);
}

static void FN(relu_backward_tile)(const void *s, int64_t row, int R, int64_t unit, int units, const vec *acc)
{
    FN(elman_backward_epilogue)(1, s, row, R, unit, units, acc);
}

static void FN(rnn_tanh_forward)(const frnn_step_forward *s)
{
    FN(walk_recurrent)(s, 1, FN(forward_epilogue)(s, FN(rnn_tanh_epilogues)));
}

static void FN(rnn_relu_forward)(const frnn_step_forward *s)
{
    FN(walk_recurrent)(s, 1, FN(forward_epilogue)(s, FN(rnn_relu_epilogues)));
}

static void FN(rnn_tanh_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, 1, FN(tanh_backward_tile));
}

static void FN(rnn_relu_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, 1, FN(relu_backward_tile));
}
