/* Weight gradients: out[i, j] += sum over rows of a[row][i] b[row][j] (masked), the rows in order (kernel_table.h,
 * frnn_outer).
 *
 * A call takes one chunk of rows. Of that, columns of b are packed into panels of OUTER_NV vectors, a group of panels at a time,
 * whatever operands they belong to; then blocks of columns of a are copied side by side (rows lie a power of two apart,
 * which a cache likes badly) and meet every panel of the group. A tile of out is read, summed over the chunk in registers
 * and written back, so cutting the rows into chunks does not change the order of summation. A few rows need no panels:
 * outer_few.
 */

#define OUTER_R 6
#define OUTER_NV (TILE_ACCUMULATORS / OUTER_R)
#define OUTER_CHUNK ((int64_t)128)   /* rows */
#define OUTER_PANELS (32 / OUTER_NV) /* in a group: a quarter of the second-level cache */
#define OUTER_BLOCK ((int64_t)96)    /* columns of a copied at a time */
#define OUTER_LD (OUTER_BLOCK + VL)  /* apart from a power of two */
#define OUTER_SCRATCH (sizeof(real) * (size_t)(OUTER_CHUNK * (OUTER_LD + OUTER_PANELS * OUTER_NV * VL)))

FRNN_INLINE vec FN(outer_load)(const real *p, int n)
{
    return n == VL ? v_load(p) : v_load_n(p, n);
}

FRNN_INLINE void FN(outer_store)(real *p, vec a, int n)
{
    if (n == VL)
        v_store(p, a);
    else
        v_store_n(p, a, n);
}

/* last: columns of the last vector, 1 to VL. */
FRNN_INLINE void FN(outer_body)(const int R, const int NV, const real *FRNN_RESTRICT a, const real *FRNN_RESTRICT b,
                                int64_t rows, real *out, int64_t ld, int last, int overwrite)
{
    vec acc[TILE_ACCUMULATORS];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            acc[r * NV + v] = overwrite ? v_zero() : FN(outer_load)(out + r * ld + v * VL, v == NV - 1 ? last : VL);
            __builtin_prefetch(out + r * ld + (NV + v) * VL, 1); /* the next tile's */
        }
#if TILE_SLICED
#pragma GCC unroll 4
#else
#pragma GCC unroll 2
#endif
    for (int64_t k = 0; k < rows; k++, a += OUTER_LD, b += NV * VL) {
        const real *columns[TILE_MAX_ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
            columns[r] = a + r;
        FN(tile_term)(R, NV, columns, 0, b, 2 * VL, acc);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            FN(outer_store)(out + r * ld + v * VL, acc[r * NV + v], v == NV - 1 ? last : VL);
}

#define DEFINE_OUTER(R, NV)                                                                                            \
    static FRNN_NOINLINE void FN(outer_##R##x##NV)(const real *a, const real *b, int64_t rows, real *out, int64_t ld,  \
                                                   int last, int overwrite)                                            \
    {                                                                                                                  \
        FN(outer_body)(R, NV, a, b, rows, out, ld, last, overwrite);                                                   \
    }
#define OUTER_ROW_VARIANTS(X, NV) X(1, NV) X(2, NV) X(3, NV) X(4, NV) X(5, NV) X(6, NV)
#if TILE_ACCUMULATORS == 24
#define OUTER_VARIANTS(X)                                                                                              \
    OUTER_ROW_VARIANTS(X, 1) OUTER_ROW_VARIANTS(X, 2) OUTER_ROW_VARIANTS(X, 3) OUTER_ROW_VARIANTS(X, 4)
#else
#define OUTER_VARIANTS(X) OUTER_ROW_VARIANTS(X, 1) OUTER_ROW_VARIANTS(X, 2)
#endif
OUTER_VARIANTS(DEFINE_OUTER)
#undef DEFINE_OUTER

static void (*const FN(outer_tiles)[OUTER_R + 1][5])(const real *, const real *, int64_t, real *, int64_t, int, int) = {
#define OUTER_ENTRY(R, NV) [R][NV] = FN(outer_##R##x##NV),
    OUTER_VARIANTS(OUTER_ENTRY)
#undef OUTER_ENTRY
};

/* Columns of a [K][OUTER_LD] meet the rows of b as they lie, one row of out after the other: a tile of so few terms would be over
 * before it has begun. */
#define OUTER_FEW 8
FRNN_INLINE void FN(outer_few_body)(const int K, const real *FRNN_RESTRICT a, const frnn_outer_operand *b,
                                    int64_t width, real *FRNN_RESTRICT out, int overwrite)
{
    const real *rows[OUTER_FEW];
    const int64_t n = b->n, whole = n / VL * VL;
#pragma GCC unroll 8
    for (int k = 0; k < K; k++)
        rows[k] = (const real *)b->rows[k] + b->offset;
    for (int64_t i = 0; i < width; i++, out += n) {
        vec factor[OUTER_FEW];
#pragma GCC unroll 8
        for (int k = 0; k < K; k++)
            factor[k] = v_splat(a[k * OUTER_LD + i]);
        for (int64_t u = 0; u < whole; u += VL) {
            vec sum = overwrite ? v_zero() : v_load(out + u);
#pragma GCC unroll 8
            for (int k = 0; k < K; k++)
                sum = v_fma(factor[k], v_load(rows[k] + u), sum);
            v_store(out + u, sum);
        }
        if (whole < n) {
            const int left = (int)(n - whole);
            vec sum = overwrite ? v_zero() : v_load_n(out + whole, left);
#pragma GCC unroll 8
            for (int k = 0; k < K; k++)
                sum = v_fma(factor[k], v_load_n(rows[k] + whole, left), sum);
            v_store_n(out + whole, sum, left);
        }
    }
}

/* X(K): every one there is. */
#define OUTER_FEW_VARIANTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define DEFINE_OUTER(K)                                                                                                \
    static FRNN_NOINLINE void FN(outer_few_##K)(const real *a, const frnn_outer_operand *b, int64_t width, real *out,  \
                                                int overwrite)                                                         \
    {                                                                                                                  \
        FN(outer_few_body)(K, a, b, width, out, overwrite);                                                            \
    }
OUTER_FEW_VARIANTS(DEFINE_OUTER)
#undef DEFINE_OUTER

static void (*const FN(outer_few)[OUTER_FEW + 1])(const real *, const frnn_outer_operand *, int64_t, real *, int) = {
#define OUTER_ENTRY(K) [K] = FN(outer_few_##K),
    OUTER_FEW_VARIANTS(OUTER_ENTRY)
#undef OUTER_ENTRY
};

typedef struct FN(outer_panel) {
    int operand, NV, last;
    int64_t column;
    const real *data;
} FN(outer_panel);

/* Rows come through pointers, which no hardware prefetcher follows: ask for columns of a row some rows ahead. */
#define OUTER_AHEAD 16
#define OUTER_LINE (FRNN_CACHE_LINE / (int64_t)sizeof(real))
FRNN_INLINE void FN(outer_prefetch)(const void *const *rows, int64_t k, int64_t count, int64_t column, int64_t n)
{
    if (k + OUTER_AHEAD < count)
        for (int64_t i = 0; i < n; i += OUTER_LINE)
            __builtin_prefetch((const real *)rows[k + OUTER_AHEAD] + column + i);
}

static void FN(outer_pack)(const frnn_outer_operand *b, int64_t rows, int64_t column, int64_t width, real *out)
{
    const void *const *const from = b->rows; /* which the compiler would read again after every store, as the offset */
    const int64_t offset = b->offset + column;
    const int whole = !b->mask && width == OUTER_NV * VL;
    for (int64_t k = 0; k < rows; k++) {
        const real *row = (const real *)from[k] + offset;
        if (whole) {
            FN(outer_prefetch)(from, k, rows, offset, OUTER_NV * VL);
#pragma GCC unroll 4
            for (int v = 0; v < OUTER_NV; v++)
                v_store(out + v * VL, v_load(row + v * VL));
            out += OUTER_NV * VL;
            continue;
        }
        const real *mask = b->mask ? (const real *)b->mask[k] + column : NULL;
        FN(outer_prefetch)(from, k, rows, offset, width);
        for (int64_t u = 0; u < width; u += VL, out += VL) {
            const vec bv = FN(load_exact)(row, u, width);
            v_store(out, mask ? bv * FN(load_exact)(mask, u, width) : bv);
        }
    }
}

/* The next group of panels, from the operand and column where the last one ended. Returns how many. */
static int FN(outer_group)(const frnn_outer *q, int *operand, int64_t *column, real *out, FN(outer_panel) *panels)
{
    int count = 0;
    for (; *operand < q->operands; ++*operand, *column = 0)
        for (; *column < q->b[*operand].n; *column += OUTER_NV * VL, count++) {
            if (count == OUTER_PANELS)
                return count;
            const int64_t width = FRNN_MIN(OUTER_NV * VL, q->b[*operand].n - *column);
            const int NV = (int)((width + VL - 1) / VL);
            FN(outer_pack)(&q->b[*operand], q->rows, *column, width, out);
            panels[count] = (FN(outer_panel)){*operand, NV, (int)(width - (NV - 1) * VL), *column, out};
            out += q->rows * NV * VL;
        }
    return count;
}

static void FN(outer_copy)(const frnn_outer *q, int64_t column, int64_t width, real *out)
{
    const void *const *const a = q->a;
    const int64_t rows = q->rows, whole = width / VL * VL;
    for (int64_t k = 0; k < rows; k++, out += OUTER_LD) {
        const real *row = (const real *)a[k] + column;
        FN(outer_prefetch)(a, k, rows, column, width);
        for (int64_t u = 0; u < whole; u += VL)
            v_store(out + u, v_load(row + u));
        if (whole < width)
            v_store(out + whole, v_load_n(row + whole, (int)(width - whole)));
    }
}

/* Columns of a block into both sums, row by row. */
static void FN(outer_sums)(const real *a, int64_t rows, int64_t width, int overwrite, real *sum0, real *sum1)
{
    for (int64_t u = 0; u < width; u += VL) {
        vec s0 = sum0 && !overwrite ? FN(load_exact)(sum0, u, width) : v_zero(),
            s1 = sum1 && !overwrite ? FN(load_exact)(sum1, u, width) : v_zero();
        for (int64_t k = 0; k < rows; k++) {
            const vec av = v_load(a + k * OUTER_LD + u);
            s0 = s0 + av;
            s1 = s1 + av;
        }
        if (sum0)
            FN(store_exact)(sum0, u, width, s0);
        if (sum1)
            FN(store_exact)(sum1, u, width, s1);
    }
}

/* Columns of a block into those of the rows that `to` points to, row by row. */
static void FN(outer_row_sums)(const real *a, int64_t rows, int64_t column, int64_t width, void *const *to)
{
    for (int64_t k = 0; k < rows; k++, a += OUTER_LD) {
        real *sum = (real *)to[k] + column;
        for (int64_t u = 0; u < width; u += VL)
            FN(store_exact)(sum, u, width, FN(load_exact)(sum, u, width) + v_load(a + u));
    }
}

/* What is copied or packed next, fetched into the second-level cache a few rows at a time between tiles: a copy on its own
 * would wait for the third-level cache or memory. */
typedef struct FN(outer_region) {
    const void *const *rows;
    int64_t count, column, n;
} FN(outer_region);

typedef struct FN(outer_fetch) {
    FN(outer_region) region[1 + FRNN_OUTER_OPERANDS];
    int regions;
    int64_t row, rows_per_tile;
} FN(outer_fetch);

static void FN(outer_fetch_some)(FN(outer_fetch) *f)
{
    for (int64_t i = 0; i < f->rows_per_tile && f->regions; i++) {
        const FN(outer_region) *g = &f->region[f->regions - 1];
        const real *row = (const real *)g->rows[f->row] + g->column;
        for (int64_t c = 0; c < g->n; c += OUTER_LINE)
            __builtin_prefetch(row + c, 0, 2);
        if (++f->row == g->count) {
            f->row = 0;
            f->regions--;
        }
    }
}

/* Columns of a copied at a time: even parts of whole tiles. */
FRNN_INLINE int64_t FN(outer_part)(const frnn_outer_block *block)
{
    const int64_t parts = FRNN_MAX(1, FN(tile_count)(block->m, OUTER_BLOCK));
    return FN(tile_count)(block->m, parts * OUTER_R) * OUTER_R;
}

/* After the part of `block` that ends before column i1: the next part of these rows, or the first of the rows ahead and
 * what they multiply. */
static void FN(outer_plan_fetch)(const frnn_outer *q, const frnn_outer_block *block, int64_t i1, int64_t tiles,
                                 FN(outer_fetch) *f)
{
    int64_t from = 0, count = q->rows;
    f->regions = 0;
    f->row = 0;
    if (i1 >= block->m) {
        i1 = 0;
        if (++block == q->block + q->blocks) {
            block = q->block;
            from = q->rows;
            count = q->rows_ahead;
            for (int o = 0; o < q->operands && count; o++)
                if (q->b[o].n)
                    f->region[f->regions++] = (FN(outer_region)){q->b[o].rows + from, count, q->b[o].offset,
                                                                 FRNN_MIN(q->b[o].n, OUTER_PANELS * OUTER_NV * VL)};
        }
    }
    if (count)
        f->region[f->regions++] = (FN(outer_region)){q->a + from, count, block->a_offset + i1,
                                                     FRNN_MIN(FN(outer_part)(block), block->m - i1)};
    f->rows_per_tile = FN(tile_count)(f->regions * count, FRNN_MAX(tiles, 1));
}

static int FN(outer_is_few)(const frnn_outer *q)
{
    int masked = 0;
    for (int o = 0; o < q->operands; o++)
        masked |= q->b[o].mask != NULL;
    return q->rows > 0 && q->rows <= OUTER_FEW && !masked;
}

static void FN(outer)(const frnn_outer *q)
{
    real *const a = q->scratch, *const b = a + OUTER_CHUNK * OUTER_LD;
    FN(outer_panel) panels[OUTER_PANELS];
    FN(outer_fetch) fetch;
    int operand = 0, first_group = 1;
    int64_t column = 0;
    const int few = FN(outer_is_few)(q);
    do {
        const int count = few ? 0 : FN(outer_group)(q, &operand, &column, b, panels);
        for (const frnn_outer_block *block = q->block; block < q->block + q->blocks; block++) {
            const int64_t step = FN(outer_part)(block);
            for (int64_t i0 = 0; i0 < block->m; i0 += step) {
                const int64_t width = FRNN_MIN(step, block->m - i0), tiles = FN(tile_count)(width, OUTER_R);
                FN(outer_copy)(q, block->a_offset + i0, width, a);
                FN(outer_plan_fetch)(q, block, i0 + width, tiles * count, &fetch);
                if (first_group && (block->column_sum[0] || block->column_sum[1]))
                    FN(outer_sums)(a, q->rows, width, q->overwrite,
                                   block->column_sum[0] ? (real *)block->column_sum[0] + i0 : NULL,
                                   block->column_sum[1] ? (real *)block->column_sum[1] + i0 : NULL);
                if (first_group && q->row_sum && block->row_sums)
                    FN(outer_row_sums)(a, q->rows, block->a_offset + i0, width, q->row_sum);
                for (int o = 0; few && o < q->operands; o++)
                    if (block->out[o] && q->b[o].n)
                        FN(outer_few)[q->rows](a, &q->b[o], width, (real *)block->out[o] + i0 * q->b[o].n,
                                               q->overwrite);
                for (int64_t i = 0; i < tiles && count; i++) {
                    const int64_t first = FN(tile_begin)(width, tiles, i);
                    const int64_t R = FN(tile_begin)(width, tiles, i + 1) - first;
                    for (const FN(outer_panel) *p = panels; p < panels + count; p++) {
                        if (!block->out[p->operand])
                            continue;
                        const int64_t ld = q->b[p->operand].n;
                        real *out = (real *)block->out[p->operand] + (i0 + first) * ld + p->column;
                        FN(outer_tiles)[R][p->NV](a + first, p->data, q->rows, out, ld, p->last, q->overwrite);
                        FN(outer_fetch_some)(&fetch);
                    }
                }
            }
        }
        first_group = 0;
    } while (!few && operand < q->operands);
}
