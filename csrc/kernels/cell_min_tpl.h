/* minGRU (gates z, h) and minLSTM (gates f, i, h): gates see the input alone (Feng et al., "Were RNNs all we needed?",
 * 2024). No product waits for the state, so a step is one pass over its rows, and a unit never meets another one.
 *
 *   forward    1  minGRU:  z = sigmoid(a_z)                                        a = W_ih x + b,  h^ = a_h
 *                 minLSTM: f, i = sigmoid(a_f), sigmoid(a_i),  z = i / (f + i)
 *              2  h~ = (1 - z) h_prev + z h^
 *              3  h  = k h_prev + (1 - k) h~                     zoneout, k = 0 without
 *   backward   3  dh_direct = k dh,  dh~ = (1 - k) dh
 *              2  dh^ = z dh~,  dz = (h^ - h_prev) dh~,  dh_direct += (1 - z) dh~
 *              1  minGRU:  da_z = dz z (1 - z)
 *                 minLSTM: da_f = -dz z (1 - z) (1 - f),  da_i = dz z (1 - z) (1 - i)
 *
 * The candidate is linear, as in the paper's algorithms 1 to 4 of the main text. Its log-space form makes h^ positive by
 * g(x) = x + 0.5 or sigmoid(x), but only to take logarithms for a parallel scan. Here the parallel part is the
 * product of all steps with W_ih, the scan is one pass at the speed of memory, and states may have either sign.
 *
 * z of minLSTM without f / (f + i), which is 0 / 0 where both gates close: with E = exp(-a),
 *   z = (1 + E_f) / s,  1 - z = (1 + E_i) / s,  s = 2 + E_f + E_i.   Then  (1 - z) z (1 - i) = (1 - z) z E_i / (1 + E_i),
 * so that with p = E_f / s, q = E_i / s and w = 1 / s: z = p + w, 1 - z = q + w, da_f = -dz (q + w) p, da_i = dz (p + w) q.
 *
 * saved slots: minGRU 0 z, 1 h^; minLSTM 0 p, 1 q, 2 h^, 3 w; the gates' are replaced by da.
 */

/* s and E are scaled by this, so that neither s nor 1 / s leaves the normal numbers, wherever exp is clamped. */
#define MIN_SCALE ((real)0.0625)

/* Steps 2 and 3. */
FRNN_INLINE void FN(min_output)(const frnn_step_forward *s, const frnn_row_forward *row, int64_t unit, vec h_prev,
                                vec h)
{
    if (s->zoneout_h)
        h = FN(zoneout)(FN(load_exact)(row->zoneout_h, unit, s->H), h_prev, h);
    FN(store_exact)(row->h, unit, s->H, h);
}

static void FN(mingru_forward)(const frnn_step_forward *s)
{
    for (int64_t r = 0; r < s->m; r++)
        for (int64_t unit = s->unit0; unit < s->unit1; unit += VL) {
            const frnn_row_forward *row = s->rows + r;
            const real *a = (const real *)row->gates_in + unit;
            const vec h_prev = FN(load_exact)(row->h_prev, unit, s->H);
            const vec z = v_sigmoid(v_load(a)), candidate = v_load(a + s->Hp);
            if (s->training) {
                v_store((real *)row->saved + unit, z);
                v_store((real *)row->saved + s->Hp + unit, candidate);
            }
            FN(min_output)(s, row, unit, h_prev, v_fma(z, candidate - h_prev, h_prev));
        }
}

static void FN(minlstm_forward)(const frnn_step_forward *s)
{
    const vec scale = v_splat(MIN_SCALE);
    for (int64_t r = 0; r < s->m; r++)
        for (int64_t unit = s->unit0; unit < s->unit1; unit += VL) {
            const frnn_row_forward *row = s->rows + r;
            const real *a = (const real *)row->gates_in + unit;
            const vec h_prev = FN(load_exact)(row->h_prev, unit, s->H), candidate = v_load(a + 2 * s->Hp);
            const vec e_f = scale * v_exp(-v_load(a)), e_i = scale * v_exp(-v_load(a + s->Hp));
            const vec inverse = v_reciprocal(v_splat(2 * MIN_SCALE) + e_f + e_i);
            const vec p = e_f * inverse, q = e_i * inverse, w = scale * inverse;
            if (s->training) {
                real *saved = (real *)row->saved + unit;
                v_store(saved, p);
                v_store(saved + s->Hp, q);
                v_store(saved + 2 * s->Hp, candidate);
                v_store(saved + 3 * s->Hp, w);
            }
            FN(min_output)(s, row, unit, h_prev, v_fma(q + w, h_prev, (p + w) * candidate));
        }
}

/* Backward step 3: dh~, with dh_direct's share of zoneout in *direct. */
FRNN_INLINE vec FN(min_dh)(const frnn_step_backward *s, const frnn_row_backward *row, int64_t unit, vec *direct)
{
    const vec dh = FN(total_dh)(s, row, unit, v_zero());
    *direct = s->zoneout_h ? FN(load_exact)(row->zoneout_h, unit, s->H) * dh : v_zero();
    return dh - *direct;
}

static void FN(mingru_backward)(const frnn_step_backward *s)
{
    for (int64_t r = 0; r < s->m; r++)
        for (int64_t unit = s->unit0; unit < s->unit1; unit += VL) {
            const frnn_row_backward *row = s->rows + r;
            real *saved = (real *)row->saved + unit;
            vec direct;
            const vec dh = FN(min_dh)(s, row, unit, &direct);
            const vec z = v_load(saved), rest = v_splat(1) - z;
            const vec dz = (v_load(saved + s->Hp) - FN(load_exact)(row->h_prev, unit, s->H)) * dh;
            v_store((real *)row->dh_direct_out + unit, v_fma(rest, dh, direct));
            v_store(saved, dz * z * rest);
            v_store(saved + s->Hp, z * dh);
        }
}

static void FN(minlstm_backward)(const frnn_step_backward *s)
{
    for (int64_t r = 0; r < s->m; r++)
        for (int64_t unit = s->unit0; unit < s->unit1; unit += VL) {
            const frnn_row_backward *row = s->rows + r;
            real *saved = (real *)row->saved + unit;
            vec direct;
            const vec dh = FN(min_dh)(s, row, unit, &direct);
            const vec p = v_load(saved), q = v_load(saved + s->Hp), w = v_load(saved + 3 * s->Hp);
            const vec z = p + w, rest = q + w;
            const vec dz = (v_load(saved + 2 * s->Hp) - FN(load_exact)(row->h_prev, unit, s->H)) * dh;
            v_store((real *)row->dh_direct_out + unit, v_fma(rest, dh, direct));
            v_store(saved, -dz * rest * p);
            v_store(saved + s->Hp, dz * z * q);
            v_store(saved + 2 * s->Hp, z * dh);
        }
}
