/* LSTM cell (gate order i, f, g, o; Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000).
 *
 *   forward    1  i, f, o = sigmoid(.), g = tanh(.)   of  W_ih x + b + W_hh h_prev
 *              2  c~ = f c_prev + i g
 *              3  h~ = o tanh(c~)
 *              4  c = k_c c_prev + (1 - k_c) c~,  h = k_h h_prev + (1 - k_h) h~     zoneout, k = 0 without
 *                 (Krueger et al. 2017, equation 4: h~ sees c~, not c)
 *   backward   4  dh_direct = k_h dh, dh~ = (1 - k_h) dh;  dc_prev = k_c dc, dc~ = (1 - k_c) dc
 *              3  do = dh~ tanh(c~),  dc~ += dh~ o (1 - tanh(c~)^2)
 *              2  di = dc~ g, df = dc~ c_prev, dg = dc~ i,  dc_prev += dc~ f
 *              1  through the activations, from their outputs
 *
 * saved slots: 0 i, 1 f, 2 g, 3 o (replaced by their pre-activation gradients), 4 c, 5 tanh(c~).
 * tanh(c~) is kept because recomputing it in the backward epilogue costs a quarter of the whole step.
 */

/* In two passes over the rows (and panels, where a tile has several): the chain from the gates through c to tanh(c) is long,
 * and taken row by row it would leave the processor waiting for the end of each. */
FRNN_INLINE void FN(lstm_forward_body)(const int training, const int zoneout, const void *FRNN_RESTRICT step,
                                       int64_t row0, int R, int64_t unit0, int panels, const vec *acc)
{
    const frnn_step_forward *s = step;
    const int64_t Hp = s->Hp;
    vec o[EPILOGUE_CHAINS], c[EPILOGUE_CHAINS];
    for (int p = 0, e = 0; p < panels; p++)
        for (int r = 0; r < R; r++, e++, acc += 4) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + p * VL;
            const vec i = v_sigmoid(acc[0]), f = v_sigmoid(acc[1]), g = v_tanh(acc[2]);
            o[e] = v_sigmoid(acc[3]);
            c[e] = v_fma(f, v_load((const real *)row->c_prev + unit), i * g);
            if (training) {
                real *saved = (real *)row->saved + unit;
                v_store(saved, i);
                v_store(saved + Hp, f);
                v_store(saved + 2 * Hp, g);
                v_store(saved + 3 * Hp, o[e]);
            }
        }
    for (int p = 0, e = 0; p < panels; p++)
        for (int r = 0; r < R; r++, e++) {
            const frnn_row_forward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + p * VL;
            const vec tanh_c = v_tanh(c[e]);
            vec h = o[e] * tanh_c;
            if (training)
                v_store((real *)row->saved + unit + 5 * Hp, tanh_c);
            if (zoneout && s->zoneout_c)
                c[e] = FN(zoneout)(FN(load_exact)(row->zoneout_c, unit, s->H), v_load((const real *)row->c_prev + unit),
                                   c[e]);
            if (zoneout && s->zoneout_h)
                h = FN(zoneout)(FN(load_exact)(row->zoneout_h, unit, s->H), FN(load_exact)(row->h_prev, unit, s->H), h);
            v_store((real *)row->c + unit, c[e]);
            FN(store_exact)(row->h, unit, s->H, h);
        }
}

FORWARD_EPILOGUES(lstm, FN(lstm_forward_body))

static void FN(lstm_backward_tile)(const void *FRNN_RESTRICT step, int64_t row0, int R, int64_t unit0, int units,
                                   const vec *acc)
{
    const frnn_step_backward *s = step;
    const int64_t Hp = s->Hp;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *saved = (real *)row->saved + unit;
            FN(fetch_next)(row, unit, 1);
            vec dh = FN(total_dh)(s, row, unit, acc[r * units + u]);
            if (s->has_direct) {
                vec direct = v_zero();
                if (s->zoneout_h) {
                    direct = FN(load_exact)(row->zoneout_h, unit, s->H) * dh;
                    dh = dh - direct;
                }
                v_store((real *)row->dh_direct_out + unit, direct);
            }
            vec dc = v_load((const real *)row->dc + unit), dc_prev = v_zero();
            if (s->zoneout_c) {
                dc_prev = FN(load_exact)(row->zoneout_c, unit, s->H) * dc;
                dc = dc - dc_prev;
            }
            const vec one = v_splat(1);
            const vec i = v_load(saved), f = v_load(saved + Hp), g = v_load(saved + 2 * Hp);
            const vec o = v_load(saved + 3 * Hp), tanh_c = v_load(saved + 5 * Hp);
            const vec c_prev = v_load((const real *)row->c_prev + unit);
            dc = v_fma(dh * o, v_fma(-tanh_c, tanh_c, one), dc);
            v_store(saved, dc * g * i * (one - i));
            v_store(saved + Hp, dc * c_prev * f * (one - f));
            v_store(saved + 2 * Hp, dc * i * v_fma(-g, g, one));
            v_store(saved + 3 * Hp, dh * tanh_c * o * (one - o));
            v_store((real *)row->dc_out + unit, v_fma(dc, f, dc_prev));
        }
}

static void FN(lstm_forward)(const frnn_step_forward *s)
{
    FN(walk_recurrent)(s, 6, FN(forward_epilogue)(s, FN(lstm_epilogues)));
}

static void FN(lstm_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, 6, FN(lstm_backward_tile));
}
