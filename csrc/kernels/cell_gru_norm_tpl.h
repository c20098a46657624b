/* GRU cell with layer normalisation, reset after the recurrent product (gate order r, z, n). Ba, Kiros, Hinton ("Layer
 * normalization", 2016) normalise the two products; here each as one vector of 3 H numbers, as the LSTM's 4 H.
 *
 *   forward    1  x^ = LN(W_ih x),  h^ = LN(W_hh h_prev)
 *              2  r, z = sigmoid(x_gain x^ + h_gain h^ + b)
 *              3  q = h_gain h^ + b_hn,  n = tanh(x_gain x^ + b_in + r q)
 *              4  h~ = (1 - z) n + z h_prev,  h = k h_prev + (1 - k) h~      zoneout, k = 0 without
 *   backward   4  as in the plain cell: da_n, da_z, dh_direct
 *              3  da_r = da_n q r (1 - r), dq = da_n r
 *              1  d(W_ih x) = LN'(x_gain (da_r, da_z, da_n)), d(W_hh h_prev) = LN'(h_gain (da_r, da_z, dq))
 *   gradients of parameters are sums over steps of  da_r, da_z, da_n, dq (b), (da_r, da_z, da_n) x^, (da_r, da_z, dq) h^
 *
 * saved slots: 0-2 W_ih x, 3-5 W_hh h_prev (replaced by their gradients), 6 r, 7 z, 8 n (by da), 9 for dq, 10-12 and 13-15
 * for the products with x^ and h^. Means, variances and q are computed again.
 */

#define GRU_NORM_H 3
#define GRU_NORM_GATES 6

static void FN(gru_norm_store)(const void *step, int64_t row0, int R, int64_t unit0, int panels, const vec *acc)
{
    const frnn_step_forward *s = step;
    for (int p = 0; p < panels; p++) /* a panel of all gates holds one vector of units */
        for (int r = 0; r < R; r++)
            for (int g = 0; g < 3; g++)
                v_store((real *)s->rows[row0 + r].saved + (GRU_NORM_H + g) * s->Hp + unit0 + p * VL, *acc++);
}

FRNN_INLINE void FN(gru_norm_forward_row)(const frnn_step_forward *s, const frnn_row_forward *row)
{
    const int64_t H = s->H, Hp = s->Hp;
    const real *x = row->gates_in, *bias = s->parameters, *x_gain = bias + 4 * Hp, *h_gain = bias + 7 * Hp;
    real *saved = row->saved, *h_product = saved + GRU_NORM_H * Hp, *gates = saved + GRU_NORM_GATES * Hp;
    const FN(moments) x_moments = FN(row_moments)(3, x, H, Hp), h_moments = FN(row_moments)(3, h_product, H, Hp);
    for (int64_t unit = 0; unit < H; unit += VL) {
        vec from_x[3], from_h[3];
        for (int g = 0; g < 3; g++) {
            const int64_t at = g * Hp + unit;
            const vec product = v_load(x + at);
            from_x[g] = v_fma(FN(normalised)(&x_moments, product), v_load(x_gain + at), v_load(bias + at));
            from_h[g] = FN(normalised)(&h_moments, v_load(h_product + at)) * v_load(h_gain + at);
            if (s->training)
                v_store(saved + at, product);
        }
        const vec reset = v_sigmoid(from_x[0] + from_h[0]), z = v_sigmoid(from_x[1] + from_h[1]);
        const vec n = v_tanh(v_fma(reset, from_h[2] + v_load(bias + 3 * Hp + unit), from_x[2]));
        if (s->training) {
            v_store(gates + unit, reset);
            v_store(gates + Hp + unit, z);
            v_store(gates + 2 * Hp + unit, n);
        }
        FN(store_exact)(row->h, unit, H, FN(gru_output)(1, s, row, unit, z, n));
    }
}

static void FN(gru_norm_forward)(const frnn_step_forward *s)
{
    FN(walk_raw)(s, FN(gru_norm_store));
    for (int64_t r = 0; r < s->m; r++)
        FN(gru_norm_forward_row)(s, s->rows + r);
}

static void FN(gru_norm_backward_tile)(const void *step, int64_t row0, int R, int64_t unit0, int units, const vec *acc)
{
    const frnn_step_backward *s = step;
    for (int r = 0; r < R; r++)
        for (int u = 0; u < units; u++) {
            const frnn_row_backward *row = s->rows + row0 + r;
            real *gates = (real *)row->saved + GRU_NORM_GATES * s->Hp;
            FN(fetch_next)(row, unit0 + u * VL, 1);
            FN(gru_backward_output)(s, row, gates, unit0 + u * VL, acc[r * units + u]);
        }
}

FRNN_INLINE void FN(gru_norm_backward_row)(const frnn_step_backward *s, const frnn_row_backward *row)
{
    const int64_t H = s->H, Hp = s->Hp;
    const real *bias = s->parameters, *x_gain = bias + 4 * Hp, *h_gain = bias + 7 * Hp;
    real *saved = row->saved, *gates = saved + GRU_NORM_GATES * Hp;
    const FN(moments) x_moments = FN(row_moments)(3, saved, H, Hp);
    const FN(moments) h_moments = FN(row_moments)(3, saved + GRU_NORM_H * Hp, H, Hp);
    FN(norm_terms) x_terms = {0}, h_terms = {0};
    for (int64_t unit = 0; unit < H; unit += VL) {
        vec x_hat[3], h_hat[3];
        for (int g = 0; g < 3; g++) {
            x_hat[g] = FN(normalised)(&x_moments, v_load(saved + g * Hp + unit));
            h_hat[g] = FN(normalised)(&h_moments, v_load(saved + (GRU_NORM_H + g) * Hp + unit));
        }
        const vec reset = v_load(gates + unit), da_z = v_load(gates + Hp + unit), da_n = v_load(gates + 2 * Hp + unit);
        const vec q = h_hat[2] * v_load(h_gain + 2 * Hp + unit) + v_load(bias + 3 * Hp + unit);
        const vec da_r = da_n * q * reset * (v_splat(1) - reset), dq = da_n * reset;
        const vec x_da[3] = {da_r, da_z, da_n}, h_da[3] = {da_r, da_z, dq};
        v_store(gates + unit, da_r);
        v_store(gates + 3 * Hp + unit, dq);
        for (int g = 0; g < 3; g++) {
            const int64_t at = g * Hp + unit;
            FN(norm_add)(&x_terms, x_da[g] * v_load(x_gain + at), x_hat[g]);
            FN(norm_add)(&h_terms, h_da[g] * v_load(h_gain + at), h_hat[g]);
            v_store(gates + 4 * Hp + at, x_da[g] * x_hat[g]);
            v_store(gates + 7 * Hp + at, h_da[g] * h_hat[g]);
        }
    }
    static const int x_slots[] = {GRU_NORM_GATES, GRU_NORM_GATES + 1, GRU_NORM_GATES + 2};
    static const int h_slots[] = {GRU_NORM_GATES, GRU_NORM_GATES + 1, GRU_NORM_GATES + 3};
    FN(norm_products_backward)(3, s, saved, x_slots, h_slots, x_gain, h_gain, &x_moments, &h_moments, x_terms, h_terms);
}

static void FN(gru_norm_backward)(const frnn_step_backward *s)
{
    FN(walk_dh)(s, GRU_NORM_GATES + 3, FN(gru_norm_backward_tile));
    for (int64_t r = 0; r < s->m; r++)
        FN(gru_norm_backward_row)(s, s->rows + r);
}
