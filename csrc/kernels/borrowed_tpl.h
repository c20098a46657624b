/* Products with weights that were not packed: rows of the caller's matrix are units, their elements steps of k. Blocks of V
 * units by V steps are turned over in registers, as packing would, and used at once. For weights that change before every
 * product of a few rows this reads them once, where packing also writes and reads a copy. Sums are those of the tile. */

/* The vectors of one panel, for R rows of `a`: acc [R][gates][units]. */
FRNN_INLINE void FN(borrowed_body)(const int R, const frnn_panels *b, int64_t p, int units, const real *const *a,
                                   vec *acc)
{
    const int NV = (int)b->gates * units;
    for (int64_t g = 0; g < b->gates; g++)
        for (int u = 0; u < units; u++, acc++) {
            const real *rows = (const real *)b->data + g * b->gate + (p * b->units + u) * VL * b->row;
            vec sum[4];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                sum[r] = acc[r * NV];
            for (int64_t k = 0; k < b->depth; k += VL) {
                vec block[FRNN_VECTOR_BYTES / sizeof(real)];
#pragma GCC unroll 16
                for (int i = 0; i < VL; i++)
                    block[i] = v_load(rows + i * b->row + k);
                FN(transpose)(block);
#pragma GCC unroll 16
                for (int i = 0; i < VL; i++)
#pragma GCC unroll 4
                    for (int r = 0; r < R; r++)
                        sum[r] = v_fma(v_splat(a[r][k + i]), block[i], sum[r]);
            }
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                acc[r * NV] = sum[r];
        }
}

static FRNN_NOINLINE void FN(borrowed_1)(const frnn_panels *b, int64_t p, int units, const real *const *a, vec *acc)
{
    FN(borrowed_body)(1, b, p, units, a, acc);
}

static FRNN_NOINLINE void FN(borrowed_4)(const frnn_panels *b, int64_t p, int units, const real *const *a, vec *acc)
{
    FN(borrowed_body)(4, b, p, units, a, acc);
}

static void FN(borrowed_panel)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *unused)
{
    (void)unused;
    const int units = (int)FN(panel_units)(w->b, p);
    for (int64_t row = 0; row < w->m;) {
        const int R = w->m - row >= 4 ? 4 : 1;
        vec acc[4 * 4];
        const real *a[4];
        for (int r = 0; r < R; r++)
            a[r] = FN(row_pointer)(w, row + r, w->operand) + w->segments->offset[0];
        FN(walk_start)(w, row, R, p, NP, units, acc);
        (R == 4 ? FN(borrowed_4) : FN(borrowed_1))(w->b, p, units, a, acc);
        FN(walk_finish)(w, epilogue, row, R, p, NP, units, acc);
        row += R;
    }
}

static FRNN_NOINLINE void FN(walk_borrowed)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    FN(walk_groups)(w, epilogue, 1, FN(borrowed_panel), NULL);
}
