/* LSTM cell with layer normalisation (gate order i, f, g, o; Ba, Kiros, Hinton, "Layer normalization", 2016, equations 20 to
 * 22 of the supplement). LN normalises one vector: all 4 H numbers of a product, or the H of c.
 *
 *   forward    1  x^ = LN(W_ih x),  h^ = LN(W_hh h_prev)
 *              2  i, f, o = sigmoid(.), g = tanh(.)   of  x_gain x^ + h_gain h^ + b
 *              3  c~ = f c_prev + i g
 *              4  h~ = o tanh(c_gain LN(c~) + c_bias)
 *              5  c = k_c c_prev + (1 - k_c) c~,  h = k_h h_prev + (1 - k_h) h~     zoneout, as in the plain cell
 *   backward   5  as in the plain cell
 *              4  do = dh~ t, dn = dh~ o (1 - t^2) where t = tanh(n),  dc~ += LN'(c_gain dn)
 *              3  di = dc~ g, df = dc~ c_prev, dg = dc~ i,  dc_prev += dc~ f
 *              2  da through the activations, from their outputs
 *              1  d(W_ih x) = LN'(x_gain da), d(W_hh h_prev) = LN'(h_gain da)
 *   gradients of parameters are sums over steps of  da (b), da x^, da h^, dn c^, dn
 *
 * saved slots: 0-3 W_ih x, 4-7 W_hh h_prev (replaced by their gradients), 8-11 i, f, g, o (by da), 12-15 and 16-19 for da x^
 * and da h^, 20 t (dn c^), 21 c~ (dn), 22 c. What can be told from the products, means and variances, is computed again:
 * that costs less than to keep it.
 */

#define LSTM_NORM_H 4
#define LSTM_NORM_GATES 8
#define LSTM_NORM_T 20
#define LSTM_NORM_C 21

static void FN(lstm_norm_store)(const void *step, int64_t row0, int R, int64_t unit0, int panels, const vec *acc)
{
    const frnn_step_forward *s = step;
    for (int p = 0; p < panels; p++) /* a panel of all gates holds one vector of units */
        for (int r = 0; r < R; r++)
            for (int g = 0; g < 4; g++)
                v_store((real *)s->rows[row0 + r].saved + (LSTM_NORM_H + g) * s->Hp + unit0 + p * VL, *acc++);
}

FRNN_INLINE void FN(lstm_norm_forward_row)(const frnn_step_forward *s, const frnn_row_forward *row)
{
    const int64_t H = s->H, Hp = s->Hp;
    const real *x = row->gates_in, *bias = s->parameters, *x_gain = bias + 4 * Hp, *h_gain = bias + 8 * Hp;
    const real *c_gain = bias + 12 * Hp, *c_bias = bias + 13 * Hp;
    real *saved = row->saved, *h_product = saved + LSTM_NORM_H * Hp, *c_new = saved + LSTM_NORM_C * Hp;
    real *gates = saved + LSTM_NORM_GATES * Hp;
    const FN(moments) x_moments = FN(row_moments)(4, x, H, Hp), h_moments = FN(row_moments)(4, h_product, H, Hp);
    for (int64_t unit = 0; unit < H; unit += VL) {
        vec a[4];
        for (int g = 0; g < 4; g++) {
            const int64_t at = g * Hp + unit;
            const vec product = v_load(x + at);
            a[g] = v_fma(FN(normalised)(&h_moments, v_load(h_product + at)), v_load(h_gain + at), v_load(bias + at));
            a[g] = v_fma(FN(normalised)(&x_moments, product), v_load(x_gain + at), a[g]);
            if (s->training)
                v_store(saved + at, product);
        }
        const vec i = v_sigmoid(a[0]), f = v_sigmoid(a[1]), g = v_tanh(a[2]), o = v_sigmoid(a[3]);
        if (s->training) {
            v_store(gates + unit, i);
            v_store(gates + Hp + unit, f);
            v_store(gates + 2 * Hp + unit, g);
        }
        v_store(gates + 3 * Hp + unit, o);
        v_store(c_new + unit, v_fma(f, v_load((const real *)row->c_prev + unit), i * g));
    }
    const FN(moments) c_moments = FN(row_moments)(1, c_new, H, Hp);
    for (int64_t unit = 0; unit < H; unit += VL) {
        vec c = v_load(c_new + unit);
        const vec t = v_tanh(v_fma(FN(normalised)(&c_moments, c), v_load(c_gain + unit), v_load(c_bias + unit)));
        vec h = v_load(gates + 3 * Hp + unit) * t;
        if (s->training)
            v_store(saved + LSTM_NORM_T * Hp + unit, t);
        if (s->zoneout_c)
            c = FN(zoneout)(FN(load_exact)(row->zoneout_c, unit, H), v_load((const real *)row->c_prev + unit), c);
        if (s->zoneout_h)
            h = FN(zoneout)(FN(load_exact)(row->zoneout_h, unit, H), FN(load_exact)(row->h_prev, unit, H), h);
        v_store((real *)row->c + unit, c);
        FN(store_exact)(row->h, unit, H, h);
    }
}

static void FN(lstm_norm_forward)(const frnn_step_forward *s)
{
    FN(walk_raw)(s, FN(lstm_norm_store));
    for (int64_t r = 0; r < s->m; r++)
        FN(lstm_norm_forward_row)(s, s->rows + r);
}

/* Steps 5 and 4 up to the norm: da of o into its slot, dn into t's. */
static void FN(lstm_norm_backward_tile)(const void *step, int64_t row0, int R, int64_t unit0, int units, const vec *acc)
{
    const frnn_step_backward *s = step;
    const vec one = v_splat(1);
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            const int64_t unit = unit0 + u * VL;
            real *o_slot = (real *)row->saved + (LSTM_NORM_GATES + 3) * s->Hp + unit;
            real *t_slot = (real *)row->saved + LSTM_NORM_T * s->Hp + unit;
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
            const vec o = v_load(o_slot), t = v_load(t_slot);
            v_store(o_slot, dh * t * o * (one - o));
            v_store(t_slot, dh * o * v_fma(-t, t, one));
        }
}

FRNN_INLINE void FN(lstm_norm_backward_row)(const frnn_step_backward *s, const frnn_row_backward *row)
{
    const int64_t H = s->H, Hp = s->Hp;
    const real *x_gain = (const real *)s->parameters + 4 * Hp, *h_gain = x_gain + 4 * Hp, *c_gain = h_gain + 4 * Hp;
    real *saved = row->saved, *gates = saved + LSTM_NORM_GATES * Hp;
    real *t_slot = saved + LSTM_NORM_T * Hp, *c_slot = saved + LSTM_NORM_C * Hp;
    const FN(moments) x_moments = FN(row_moments)(4, saved, H, Hp);
    const FN(moments) h_moments = FN(row_moments)(4, saved + LSTM_NORM_H * Hp, H, Hp);
    const FN(moments) c_moments = FN(row_moments)(1, c_slot, H, Hp);
    const vec one = v_splat(1);
    FN(norm_terms) c_terms = {0}, x_terms = {0}, h_terms = {0};
    for (int64_t unit = 0; unit < H; unit += VL)
        FN(norm_add)(&c_terms, v_load(t_slot + unit) * v_load(c_gain + unit),
                     FN(normalised)(&c_moments, v_load(c_slot + unit)));
    FN(norm_means)(&c_terms, H);
    for (int64_t unit = 0; unit < H; unit += VL) {
        const vec dn = v_load(t_slot + unit), c_hat = FN(normalised)(&c_moments, v_load(c_slot + unit));
        vec dc = v_load((const real *)row->dc + unit), dc_prev = v_zero();
        if (s->zoneout_c) {
            dc_prev = FN(load_exact)(row->zoneout_c, unit, H) * dc;
            dc = dc - dc_prev;
        }
        dc = dc + FN(norm_gradient)(&c_moments, &c_terms, dn * v_load(c_gain + unit), c_hat);
        dc = FN(keep_exact)(dc, unit, H);
        v_store(t_slot + unit, dn * c_hat);
        v_store(c_slot + unit, dn);
        const vec i = v_load(gates + unit), f = v_load(gates + Hp + unit), g = v_load(gates + 2 * Hp + unit);
        const vec c_prev = v_load((const real *)row->c_prev + unit);
        v_store((real *)row->dc_out + unit, v_fma(dc, f, dc_prev));
        const vec da[4] = {dc * g * i * (one - i), dc * c_prev * f * (one - f), dc * i * v_fma(-g, g, one),
                           v_load(gates + 3 * Hp + unit)};
        for (int k = 0; k < 4; k++) {
            const int64_t at = k * Hp + unit;
            const vec x_hat = FN(normalised)(&x_moments, v_load(saved + at));
            const vec h_hat = FN(normalised)(&h_moments, v_load(saved + LSTM_NORM_H * Hp + at));
            FN(norm_add)(&x_terms, da[k] * v_load(x_gain + at), x_hat);
            FN(norm_add)(&h_terms, da[k] * v_load(h_gain + at), h_hat);
            v_store(gates + at, da[k]);
            v_store(gates + 4 * Hp + at, da[k] * x_hat);
            v_store(gates + 8 * Hp + at, da[k] * h_hat);
        }
    }
    static const int da_slots[] = {LSTM_NORM_GATES, LSTM_NORM_GATES + 1, LSTM_NORM_GATES + 2, LSTM_NORM_GATES + 3};
    FN(norm_products_backward)(4, s, saved, da_slots, da_slots, x_gain, h_gain, &x_moments, &h_moments, x_terms,
                               h_terms);
}

static void FN(lstm_norm_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, LSTM_NORM_C + 1, FN(lstm_norm_backward_tile));
    for (int64_t r = 0; r < s->m; r++)
        FN(lstm_norm_backward_row)(s, s->rows + r);
}
