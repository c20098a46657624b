/* Weight gradients: out[i, j] += sum over rows of a[row][i] b[row][j] (masked), the rows in ascending order.
 *
 * Rows are taken in chunks; of a chunk both operands are packed, b into panels of 4 vectors (which stay in L1 while
 * every tile of a passes over them) and a into tiles of R columns. A tile of out is read, summed over the chunk in
 * registers and written back, so cutting the rows into chunks does not change the order of summation.
 */

#define OUTER_R (TILE_ACCUMULATORS / 4)
#define OUTER_CHUNK ((int64_t)(24 * 1024 / (4 * FRNN_VECTOR_BYTES))) /* rows whose panel of b is 24 KiB */
#define OUTER_BLOCK ((int64_t)(96 / OUTER_R * OUTER_R))              /* columns of a packed at a time */
#define OUTER_COLUMNS ((int64_t)(512))                               /* columns of b packed at a time */

static size_t FN(outer_scratch)(int64_t n)
{
    const int64_t columns = FRNN_MIN((n + VL - 1) / VL * VL, OUTER_COLUMNS);
    return sizeof(real) * (size_t)(OUTER_CHUNK * (columns + OUTER_BLOCK));
}

FRNN_INLINE void FN(outer_body)(const int R, const int NV, const real *FRNN_RESTRICT a, const real *FRNN_RESTRICT b,
                                int64_t rows, real *out, int64_t ld, int last)
{
    vec acc[TILE_MAX_ROWS][4];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            acc[r][v] = v == NV - 1 ? v_load_n(out + r * ld + v * VL, last) : v_load(out + r * ld + v * VL);
    for (int64_t k = 0; k < rows; k++, a += R, b += NV * VL) {
        vec bv[4];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            bv[v] = v_load(b + v * VL);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vec ar = v_splat(a[r]);
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++)
                acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            if (v == NV - 1)
                v_store_n(out + r * ld + v * VL, acc[r][v], last);
            else
                v_store(out + r * ld + v * VL, acc[r][v]);
        }
}

/* last: columns of the last vector, 1 to VL. */
#define DEFINE_OUTER(R, NV)                                                                                            \
    static FRNN_NOINLINE void FN(outer_##R##x##NV)(const real *a, const real *b, int64_t rows, real *out, int64_t ld,  \
                                                   int last)                                                           \
    {                                                                                                                  \
        FN(outer_body)(R, NV, a, b, rows, out, ld, last);                                                              \
    }
#if OUTER_R == 6
#define OUTER_ROW_VARIANTS(X, NV) X(1, NV) X(2, NV) X(3, NV) X(4, NV) X(5, NV) X(6, NV)
#else
#define OUTER_ROW_VARIANTS(X, NV) X(1, NV) X(2, NV) X(3, NV)
#endif
#define OUTER_VARIANTS(X)                                                                                              \
    OUTER_ROW_VARIANTS(X, 1) OUTER_ROW_VARIANTS(X, 2) OUTER_ROW_VARIANTS(X, 3) OUTER_ROW_VARIANTS(X, 4)
OUTER_VARIANTS(DEFINE_OUTER)
#undef DEFINE_OUTER

static void (*const FN(outer_tiles)[OUTER_R + 1][5])(const real *, const real *, int64_t, real *, int64_t, int) = {
#define OUTER_ENTRY(R, NV) [R][NV] = FN(outer_##R##x##NV),
    OUTER_VARIANTS(OUTER_ENTRY)
#undef OUTER_ENTRY
};

/* Rows come through pointers, which no hardware prefetcher follows: ask for n columns of a row some rows ahead. */
#define OUTER_AHEAD 8
FRNN_INLINE void FN(outer_prefetch)(const void *const *row, int64_t k, int64_t rows, int64_t offset, int64_t n)
{
    if (k + OUTER_AHEAD < rows)
        for (int64_t i = 0; i < n; i += (int64_t)(64 / sizeof(real)))
            __builtin_prefetch((const real *)row[k + OUTER_AHEAD] + offset + i);
}

static void FN(outer_pack_b)(const frnn_outer *q, int64_t row0, int64_t rows, int64_t column0, int64_t columns,
                             real *out)
{
    for (int64_t j = 0; j < columns; j += 4 * VL) {
        const int64_t width = FRNN_MIN(4 * VL, columns - j), padded = (width + VL - 1) / VL * VL;
        for (int64_t k = 0; k < rows; k++, out += padded) {
            const real *b = (const real *)q->b[row0 + k] + q->b_offset + column0 + j;
            FN(outer_prefetch)(q->b, row0 + k, q->rows, q->b_offset + column0 + j, width);
            const real *mask = q->mask ? (const real *)q->mask[row0 + k] + column0 + j : NULL;
            for (int64_t u = 0; u < width; u += VL) {
                vec bv = FN(load_exact)(b, u, width);
                if (mask)
                    bv = bv * FN(load_exact)(mask, u, width);
                v_store(out + u, bv);
            }
        }
    }
}

/* One row of a, R columns a tile, into `tiles` tiles of which each holds `rows` rows. */
FRNN_INLINE const real *FN(outer_deal)(const int R, const real *a, int64_t tiles, int64_t rows, real *out)
{
    for (int64_t i = 0; i < tiles; i++, a += R, out += R * rows)
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
            out[r] = a[r];
    return a;
}

/* Row by row, because a row lies together in memory and the rows lie a large power of two apart. Tiles of `most` columns
 * come first, then tiles of one column less (tile_begin). */
FRNN_INLINE void FN(outer_pack_a_body)(const int most, const frnn_outer *q, int64_t row0, int64_t rows, int64_t column0,
                                       int64_t tiles, int64_t larger, real *out)
{
    for (int64_t k = 0; k < rows; k++) {
        const real *a = (const real *)q->a[row0 + k] + q->a_offset + column0;
        a = FN(outer_deal)(most, a, larger, rows, out + k * most);
        FN(outer_deal)(most - 1, a, tiles - larger, rows, out + larger * most * rows + k * (most - 1));
    }
}

static void FN(outer_pack_a)(const frnn_outer *q, int64_t row0, int64_t rows, int64_t column0, int64_t columns,
                             real *out)
{
    const int64_t tiles = FN(tile_count)(columns, OUTER_R), larger = columns % tiles;
    switch (columns / tiles + 1) {
#define OUTER_PACK_CASE(most)                                                                                          \
    case most:                                                                                                         \
        FN(outer_pack_a_body)(most, q, row0, rows, column0, tiles, larger, out);                                       \
        break;
        OUTER_PACK_CASE(2)
        OUTER_PACK_CASE(3)
        OUTER_PACK_CASE(4)
#if OUTER_R > 3
        OUTER_PACK_CASE(5)
        OUTER_PACK_CASE(6)
        OUTER_PACK_CASE(7)
#endif
#undef OUTER_PACK_CASE
    }
}

static void FN(outer)(const frnn_outer *q)
{
    real *const packed_b = q->scratch;
    real *const packed_a = packed_b + OUTER_CHUNK * FRNN_MIN((q->n + VL - 1) / VL * VL, OUTER_COLUMNS);
    for (int64_t row0 = 0; row0 < q->rows; row0 += OUTER_CHUNK) {
        const int64_t rows = FRNN_MIN(OUTER_CHUNK, q->rows - row0);
        if (q->column_sum)
            for (int64_t k = 0; k < rows; k++) {
                const real *a = (const real *)q->a[row0 + k] + q->a_offset;
                real *sum = q->column_sum;
                FN(outer_prefetch)(q->a, row0 + k, q->rows, q->a_offset, q->m);
                for (int64_t i = 0; i < q->m; i++)
                    sum[i] += a[i];
            }
        for (int64_t column0 = 0; column0 < q->n; column0 += OUTER_COLUMNS) {
            const int64_t columns = FRNN_MIN(OUTER_COLUMNS, q->n - column0);
            FN(outer_pack_b)(q, row0, rows, column0, columns, packed_b);
            for (int64_t i0 = 0; i0 < q->m; i0 += OUTER_BLOCK) {
                const int64_t block = FRNN_MIN(OUTER_BLOCK, q->m - i0);
                const int64_t tiles = FN(tile_count)(block, OUTER_R);
                FN(outer_pack_a)(q, row0, rows, i0, block, packed_a);
                const real *b = packed_b;
                for (int64_t j = 0; j < columns; j += 4 * VL) {
                    const int64_t width = FRNN_MIN(4 * VL, columns - j);
                    const int NV = (int)((width + VL - 1) / VL), last = (int)(width - (NV - 1) * VL);
                    real *out = (real *)q->out + i0 * q->ld + column0 + j;
                    for (int64_t i = 0; i < tiles; i++) {
                        const int64_t first = FN(tile_begin)(block, tiles, i);
                        const int64_t R = FN(tile_begin)(block, tiles, i + 1) - first;
                        FN(outer_tiles)[R][NV](packed_a + first * rows, b, rows, out + first * q->ld, q->ld, last);
                    }
                    b += NV * VL * rows;
                }
            }
        }
    }
}
