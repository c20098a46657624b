/* Products with weights that were not packed, for those that change before every few products: it reads them once, where packing
 * also writes and reads a copy that no cache may hold. Sums are those of the tile.
 *
 * Rows of the caller's matrix are units, their elements steps of k. For a few rows of A, blocks of V units by V steps are turned
 * over in registers, as packing would, and used at once; for more, a panel is packed into work space that stays in the
 * second-level cache, tiles take it from there, and the next panel takes its place. Or, transposed, rows are steps and their
 * elements units: the tile takes them as they are, but for units that are no whole vector, which must not be read beyond. For
 * many rows of A a panel is packed here too, since lines that lie a row apart are found by no prefetcher and share few sets of a
 * cache. */

/* Rows of A from which on panels are packed: where units are rows, and where they are columns (more than two tiles of 6). */
#define TURNED_ROWS 5
#define TURNED_ROWS_OF_COLUMNS 13

/* Panel p as tiles take it, in its work space, and nothing else of the matrix. */
FRNN_INLINE frnn_panels FN(turn_panel)(const frnn_panels *b, int64_t p)
{
    const int rows = b->format == FRNN_PANELS_OF_ROWS;
    const frnn_pack_source source = {
        .data = b->data, .gate_stride = b->gate, .unit_stride = rows ? b->row : 1, .k_stride = rows ? 1 : b->row};
    frnn_panels turned = *b;
    turned.format = FRNN_WEIGHTS_REAL;
    turned.data = (real *)b->turned - p * b->depth * b->gates * b->units * VL;
    FN(pack_panel)(b->turned, b, &source, p, 0, b->depth);
    return turned;
}

static void FN(turned_panel)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *unused)
{
    (void)unused, (void)NP;
    const int64_t width = w->b->units * VL;
    const frnn_panels b = FN(turn_panel)(w->b, p);
    frnn_panels joint;
    FN(walk_args) part = *w;
    part.b = &b;
    if (w->joint) {
        joint = FN(turn_panel)(w->joint, p);
        part.joint = &joint;
    }
    part.unit0 = p * width;
    part.unit1 = FRNN_MIN(w->unit1, part.unit0 + width);
    FN(walk_tiles)(&part, epilogue);
}

/* ---- units are rows ---- */

/* X(R): for so many rows of A at once. A block is turned over once for all of them. */
#define BORROWED_ROWS 4
#define BORROWED_VARIANTS(X) X(1) X(2) X(4)

/* The next `steps` of V units, of which so many are there, as vectors of units. */
static FRNN_NOINLINE void FN(borrowed_part)(const real *rows, int64_t stride, int units, int steps, vec *block)
{
    for (int i = 0; i < VL; i++)
        block[i] = i < units ? v_load_n(rows + i * stride, steps) : v_zero();
    FN(transpose)(block);
}

/* C vectors of units, of which `there` are in each, from the rows of the matrix: acc [R][acc_stride]. */
FRNN_INLINE void FN(borrowed_vectors)(const int R, const int C, const real *const *rows, int64_t stride, int there,
                                      int64_t depth, const real *const *a, vec *acc, int64_t acc_stride)
{
    vec sum[BORROWED_ROWS], block[FRNN_VECTOR_BYTES / sizeof(real)];
    const real *from[2];
#pragma GCC unroll 2
    for (int c = 0; c < C; c++)
        from[c] = rows[c];
#pragma GCC unroll 8
    for (int r = 0; r < R * C; r++)
        sum[r] = acc[r / C * acc_stride + r % C];
    int64_t k = 0;
    for (; there == VL && k + VL <= depth; k += VL) {
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) {
            FN(load_transposed)(from[c] + k, stride, block);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++)
#pragma GCC unroll 8
                for (int r = 0; r < R; r++)
                    sum[r * C + c] = v_fma(v_splat(a[r][k + i]), block[i], sum[r * C + c]);
        }
    }
    for (; k < depth; k += VL) {
        const int steps = (int)FRNN_MIN(VL, depth - k);
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) {
            FN(borrowed_part)(from[c] + k, stride, there, steps, block);
            for (int i = 0; i < steps; i++)
#pragma GCC unroll 8
                for (int r = 0; r < R; r++)
                    sum[r * C + c] = v_fma(v_splat(a[r][k + i]), block[i], sum[r * C + c]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R * C; r++)
        acc[r / C * acc_stride + r % C] = sum[r];
}

/* The vectors of one panel, for R rows of `a`: acc [R][gates][units]. Of one row two vectors in turn, since a sum waits for the one
 * before; more would read from more rows than a core can follow. */
FRNN_INLINE void FN(borrowed_body)(const int R, const frnn_panels *b, int64_t p, int units, const real *const *a,
                                   vec *acc)
{
    const int NV = (int)b->gates * units;
    const real *rows[4];
    int there[4];
    for (int v = 0; v < NV; v++) {
        const int64_t g = v / units, unit = (p * b->units + v % units) * VL;
        rows[v] = (const real *)b->data + g * b->gate + unit * b->row;
        there[v] = (int)FRNN_MIN(VL, b->n - unit);
    }
    int v = 0;
    for (; R == 1 && v + 1 < NV && there[v] == VL && there[v + 1] == VL; v += 2)
        FN(borrowed_vectors)(R, R == 1 ? 2 : 1, rows + v, b->row, VL, b->depth, a, acc + v, NV);
    for (; v < NV; v++)
        FN(borrowed_vectors)(R, 1, rows + v, b->row, there[v], b->depth, a, acc + v, NV);
}

#define DEFINE_BORROWED(R)                                                                                             \
    static FRNN_NOINLINE void FN(borrowed_##R)(const frnn_panels *b, int64_t p, int units, const real *const *a,       \
                                               vec *acc)                                                               \
    {                                                                                                                  \
        FN(borrowed_body)(R, b, p, units, a, acc);                                                                     \
    }
BORROWED_VARIANTS(DEFINE_BORROWED)
#undef DEFINE_BORROWED

static void (*const FN(borrowed)[BORROWED_ROWS + 1])(const frnn_panels *, int64_t, int, const real *const *, vec *) = {
#define BORROWED_ENTRY(R) [R] = FN(borrowed_##R),
    BORROWED_VARIANTS(BORROWED_ENTRY)
#undef BORROWED_ENTRY
};

static void FN(borrowed_panel)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *unused)
{
    (void)unused;
    const int units = (int)FN(panel_units)(w->b, p);
    for (int64_t row = 0; row < w->m;) {
        int R = BORROWED_ROWS;
        while (R > w->m - row)
            R /= 2;
        vec acc[BORROWED_ROWS * 4];
        const real *a[BORROWED_ROWS];
        FN(walk_start)(w, row, R, p, NP, units, acc);
        for (int joint = w->joint != NULL; joint >= 0; joint--) {
            for (int r = 0; r < R; r++)
                a[r] = FN(walk_operand)(w, joint, row + r);
            FN(borrowed)[R](joint ? w->joint : w->b, p, units, a, acc);
        }
        FN(walk_finish)(w, epilogue, row, R, p, NP, units, acc);
        row += R;
    }
}

static FRNN_NOINLINE void FN(walk_borrowed_rows)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    const FN(walk_range) range = FN(range_of)(w);
    const int turned = w->m >= TURNED_ROWS && w->b->turned;
    FN(walk_groups)(w, epilogue, &range, 1, 0, turned ? FN(turned_panel) : FN(borrowed_panel), NULL);
}

/* ---- units are columns ---- */

/* A vector of which only some units are there, from column `unit` on. */
static void FN(borrowed_tail)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t unit)
{
    const frnn_panels *b = w->b;
    const frnn_segments *segments = w->segments;
    const int there = (int)(b->n - unit);
    for (int64_t row = 0; row < w->m; row++) {
        vec sum;
        FN(walk_start)(w, row, 1, unit / VL, 1, 1, &sum);
        const real *column = (const real *)b->data + unit;
        for (int64_t s = 0; s < segments->count; s++) {
            const real *a = FN(row_pointer)(w, row, w->operand) + segments->offset[s];
            for (int64_t k = 0; k < segments->length; k++, column += b->row)
                sum = v_fma(v_splat(a[k]), v_load_n(column, there), sum);
        }
        FN(walk_finish)(w, epilogue, row, 1, unit / VL, 1, 1, &sum);
    }
}

static FRNN_NOINLINE void FN(walk_borrowed_columns)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    if (w->m >= TURNED_ROWS_OF_COLUMNS && w->b->turned && w->segments->count) {
        const FN(walk_range) range = FN(range_of)(w);
        FN(walk_groups)(w, epilogue, &range, 1, 0, FN(turned_panel), NULL);
        return;
    }
    const int64_t whole = w->b->n / VL * VL;
    frnn_panels b = *w->b;
    FN(walk_args) part = *w;
    part.b = &b;
    b.n = whole;
    part.unit1 = FRNN_MIN(w->unit1, whole);
    if (part.unit0 < part.unit1)
        FN(walk_tiles)(&part, epilogue);
    if (w->unit1 > whole) {
        b.n = w->b->n;
        b.units = 1;
        FN(borrowed_tail)(&part, epilogue, whole);
    }
}
