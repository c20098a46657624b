/* Rows times packed panels: every panel of units over every tile of rows, each finished tile handed to an epilogue while
 * it is hot. Cells and product provide the epilogue. A row is a struct (of kernel_table.h, or just a pointer), of which
 * `operand` and `init` name the pointer fields that the tile reads. */

typedef void (*FN(epilogue))(const void *step, int64_t row, int R, int64_t unit, int units, const vec *acc);

typedef struct FN(walk_args) {
    const frnn_panels *b;
    const frnn_segments *segments;
    const void *rows;
    size_t row_size, operand, init; /* bytes: size of a row's struct, offsets of its pointer fields */
    const int64_t *init_gate;       /* [gates] offset of each gate in the init row; NULL: start from zero */
    const void *shared_init;        /* one init row for all, instead of the field */
    void *const *out;               /* [m] rows that take whole vectors as they are; NULL: everything to the epilogue */
    int64_t out_gate_stride;
    int64_t out_n; /* columns of a gate that a whole vector may write */
    int64_t m;
    const void *step;
} FN(walk_args);

FRNN_INLINE const real *FN(row_pointer)(const FN(walk_args) *w, int64_t row, size_t field)
{
    return *(const real *const *)((const char *)w->rows + (size_t)row * w->row_size + field);
}

FRNN_INLINE void FN(walk)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    const frnn_panels *b = w->b;
    const int64_t panels = FN(panel_count)(b);
    vec acc[TILE_ACCUMULATORS];
    for (int64_t p = 0, NP; p < panels; p += NP) {
        const int units = (int)FN(panel_units)(b, p);
        const int NV = (int)b->gates * units;
        const int64_t tiles = FN(tile_count)(w->m, TILE_ROWS(NV));
        NP = w->m > 2 ? 1 : TILE_PANELS(w->m, NV); /* several panels only if all of them are full */
        if (p + NP > panels || FN(panel_units)(b, p + NP - 1) < units)
            NP = 1;
        int64_t init_offset[TILE_ACCUMULATORS], out_offset[TILE_ACCUMULATORS];
        for (int v = 0; v < (int)NP * NV; v++) {
            const int64_t unit = ((p + v / NV) * b->units + v % units) * VL;
            if (w->init_gate)
                init_offset[v] = w->init_gate[v % NV / units] + unit;
            out_offset[v] = v % NV / units * w->out_gate_stride + unit;
        }
        const int whole = w->out && ((p + NP - 1) * b->units + units) * VL <= w->out_n;
        FN(tile_args) t = {.segments = w->segments,
                           .b = FN(panel_data)(b, p),
                           .panel_stride = b->depth * NV * VL,
                           .init_offset = w->init_gate ? init_offset : NULL,
                           .acc = acc,
                           .out_offset = whole ? out_offset : NULL};
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t row = FN(tile_begin)(w->m, tiles, i);
            const int R = (int)(FN(tile_begin)(w->m, tiles, i + 1) - row);
            for (int r = 0; r < R; r++) {
                t.a[r] = FN(row_pointer)(w, row + r, w->operand);
                t.init[r] = w->shared_init ? w->shared_init : FN(row_pointer)(w, row + r, w->init);
                if (whole)
                    t.out[r] = w->out[row + r];
            }
            FN(tiles)[R][NV][NP](&t);
            for (int64_t j = 0; j < NP && !whole; j++)
                epilogue(w->step, row, R, (p + j) * b->units * VL, units, acc + j * R * NV);
        }
    }
}

/* Vector number u of a row of exactly n reals, starting at `unit`: whole, or the tail that there is. */
FRNN_INLINE vec FN(load_exact)(const void *row, int64_t unit, int64_t n)
{
    const real *p = (const real *)row + unit;
    return n - unit >= VL ? v_load(p) : v_load_n(p, (int)(n - unit));
}

FRNN_INLINE void FN(store_exact)(void *row, int64_t unit, int64_t n, vec a)
{
    real *p = (real *)row + unit;
    if (n - unit >= VL)
        v_store(p, a);
    else
        v_store_n(p, a, (int)(n - unit));
}

/* k previous + (1 - k) new */
FRNN_INLINE vec FN(zoneout)(vec k, vec previous, vec new)
{
    return v_fma(k, previous, (v_splat(1) - k) * new); /* exact at k = 0 and k = 1 */
}

/* Rows of neighbouring steps lie far apart, in streams that no hardware prefetcher follows. */
FRNN_INLINE void FN(fetch_next)(const frnn_step_backward *s, const frnn_row_backward *row, int64_t unit, int slots)
{
    for (int i = 0; i < slots; i++)
        __builtin_prefetch((const real *)row->saved_next + i * s->Hp + unit);
    __builtin_prefetch((const real *)row->dy_next + unit);
}

/* Total gradient of h at this step: recurrent product through the mask, direct paths, dy. */
FRNN_INLINE vec FN(total_dh)(const frnn_step_backward *s, const frnn_row_backward *row, int64_t unit, vec acc)
{
    vec dh = acc;
    if (row->mask)
        dh = dh * FN(load_exact)(row->mask, unit, s->H);
    if (s->has_direct)
        dh = dh + v_load((const real *)row->dh_direct + unit);
    return dh + FN(load_exact)(row->dy, unit, s->H);
}

/* A product of a forward step: `operand` (a field of the row, from `offset` on) times b, its gates starting from these
 * slots of gates_in. */
FRNN_INLINE void FN(walk_forward)(const frnn_step_forward *s, const frnn_panels *b, size_t operand, int64_t offset,
                                  const int slots[], FN(epilogue) epilogue)
{
    int64_t init_gate[FRNN_MAX_GATES] = {0};
    for (int64_t g = 0; g < b->gates; g++)
        init_gate[g] = slots[g] * s->Hp;
    const frnn_segments segments = {.count = 1, .length = b->depth, .offset = {offset}};
    const FN(walk_args) w = {.b = b,
                             .segments = &segments,
                             .rows = s->rows,
                             .row_size = sizeof *s->rows,
                             .operand = operand,
                             .init = offsetof(frnn_row_forward, gates_in),
                             .init_gate = init_gate,
                             .m = s->m,
                             .step = s};
    FN(walk)(&w, epilogue);
}

/* The recurrent product, its gates starting from the slots of gates_in in order. */
FRNN_INLINE void FN(walk_recurrent)(const frnn_step_forward *s, FN(epilogue) epilogue)
{
    static const int in_order[FRNN_MAX_GATES] = {0, 1, 2, 3};
    FN(walk_forward)(s, &s->recurrent, offsetof(frnn_row_forward, operand), 0, in_order, epilogue);
}

/* A product of a backward step: these segments of `operand` (a field of the row) times b. */
FRNN_INLINE void FN(walk_backward)(const frnn_step_backward *s, const frnn_panels *b, size_t operand,
                                   const frnn_segments *segments, FN(epilogue) epilogue)
{
    const FN(walk_args) w = {.b = b,
                             .segments = segments,
                             .rows = s->rows,
                             .row_size = sizeof *s->rows,
                             .operand = operand,
                             .init = operand,
                             .m = s->m,
                             .step = s};
    FN(walk)(&w, epilogue);
}

/* dh of this step from the dgates of the step after, and the cell's pointwise backward as its epilogue. */
FRNN_INLINE void FN(walk_dh)(const frnn_step_backward *s, FN(epilogue) epilogue)
{
    FN(walk_backward)(s, &s->recurrent, offsetof(frnn_row_backward, gates_next), &s->a_segments, epilogue);
}
