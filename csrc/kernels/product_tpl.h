/* Rows times packed panels: out = init + A B. Input products over a window of steps, dx, projections, linear layers. */

static void FN(product)(const frnn_product *q)
{
    vec acc[TILE_ACCUMULATORS];
    for (int64_t p = 0; p < FN(panel_count)(&q->b); p++) {
        const int64_t units = FN(panel_units)(&q->b, p), first = p * q->b.units * VL;
        const int NV = (int)(q->b.gates * units);
        int64_t init_offset[4], out_offset[4];
        for (int v = 0; v < NV; v++) {
            const int64_t unit = first + v % units * VL;
            init_offset[v] = v / units * q->init_gate_stride + unit;
            out_offset[v] = v / units * q->out_gate_stride + unit;
        }
        FN(tile_args) t = {.segments = &q->a_segments,
                           .b = FN(panel_data)(&q->b, p),
                           .init_offset = q->init ? init_offset : NULL,
                           .acc = acc};
        for (int r = 0; r < TILE_MAX_ROWS; r++)
            t.init[r] = q->init;
        const int64_t tiles = FN(tile_count)(q->m, TILE_ROWS(NV));
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t row = FN(tile_begin)(q->m, tiles, i);
            const int R = (int)(FN(tile_begin)(q->m, tiles, i + 1) - row);
            for (int r = 0; r < R; r++)
                t.a[r] = q->a[row + r];
            FN(tiles)[R][NV](&t);
            for (int r = 0; r < R; r++)
                for (int v = 0; v < NV; v++) {
                    const int64_t left = q->b.n - (first + v % units * VL);
                    real *out = (real *)q->out[row + r] + out_offset[v];
                    if (q->out_padded || left >= VL)
                        v_store(out, acc[r * NV + v]);
                    else
                        v_store_n(out, acc[r * NV + v], (int)left);
                }
        }
    }
}
