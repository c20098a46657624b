/* Rows times packed panels: out = init + A B. Input products over a window of steps, dx, projections, linear layers. */

/* The panel that ends in a part of a vector. */
static void FN(product_tail)(const void *product, int64_t row, int R, int64_t unit, int units, const vec *acc)
{
    const frnn_product *q = product;
    for (int r = 0; r < R; r++)
        for (int64_t g = 0; g < q->b.gates; g++)
            for (int u = 0; u < units; u++, acc++) {
                real *out = (real *)q->out[row + r] + g * q->out_gate_stride;
                FN(store_exact)(out, unit + u * VL, q->b.n, *acc);
            }
}

static void FN(product)(const frnn_product *q)
{
    const int64_t init_gate[FRNN_MAX_GATES] = {0, q->init_gate_stride, 2 * q->init_gate_stride,
                                               3 * q->init_gate_stride};
    const int64_t out_gate[FRNN_MAX_GATES] = {0, q->out_gate_stride, 2 * q->out_gate_stride, 3 * q->out_gate_stride};
    const FN(walk_args) w = {.b = &q->b,
                             .segments = &q->a_segments,
                             .rows = q->a,
                             .row_size = sizeof *q->a,
                             .init_gate = q->init ? init_gate : NULL,
                             .shared_init = q->init,
                             .out = q->out,
                             .out_gate = out_gate,
                             .out_n = q->out_padded ? FN(panel_count)(&q->b) * q->b.units * VL : q->b.n,
                             .m = q->m,
                             .unit0 = q->unit0,
                             .unit1 = q->unit1 ? q->unit1 : q->b.n,
                             .backwards = q->backwards,
                             .step = q};
    FN(walk)(&w, FN(product_tail));
}
