/* Rows times packed panels: every panel of units over every tile of rows, each finished tile handed to an epilogue while
 * it is hot. Cells and product provide the epilogue. A row is a struct (of kernel_table.h, or just a pointer), of which
 * `operand` and `init` name the pointer fields that the tile reads. */

/* acc [panels][R][gates][units of a panel], R at most EPILOGUE_ROWS. Where a panel holds one vector of units of every gate, or
 * R is 1 and there is one gate, several panels come in one call, `units` counting them all: EPILOGUE_CHAINS vectors of units
 * at most, all rows together. */
typedef void (*FN(epilogue))(const void *step, int64_t row, int R, int64_t unit, int units, const vec *acc);

#define EPILOGUE_ROWS 12
#define EPILOGUE_CHAINS 16

typedef struct FN(walk_args) {
    const frnn_panels *b;
    const frnn_segments *segments;
    const void *rows;
    size_t row_size, operand, init; /* bytes: size of a row's struct, offsets of its pointer fields */
    const frnn_panels *joint;       /* NULL, or panels whose terms come first in the sums; not of int8 */
    size_t joint_operand;           /* the field that they are multiplied with, all of it */
    const int64_t *init_gate;       /* [gates] offset of each gate in the init row; NULL: start from zero */
    const void *shared_init;        /* one init row for all, instead of the field */
    void *const *out;               /* [m] rows that take whole vectors as they are; NULL: everything to the epilogue */
    const int64_t *out_gate;        /* [gates] */
    int64_t out_n;                  /* columns of a gate that a whole vector may write */
    int64_t m;
    int64_t unit0, unit1; /* units of this walk, from the first of a panel on */
    int backwards;
    size_t fetch;        /* bytes: offset of the pointer field to what the tile fetches ahead, */
    int64_t fetch_lines; /* so many cache lines a row and panel */
    const void *step;
    void *plan; /* NULL, or what the last walk of the same panels left, zeros before the first: sizeof(FN(walk_plan)) */
} FN(walk_args);

FRNN_INLINE const real *FN(row_pointer)(const FN(walk_args) *w, int64_t row, size_t field)
{
    return *(const real *const *)((const char *)w->rows + (size_t)row * w->row_size + field);
}

/* What the terms of a row come from where they are one segment: with joint panels, or with b. */
FRNN_INLINE const real *FN(walk_operand)(const FN(walk_args) *w, int joint, int64_t row)
{
    return joint ? FN(row_pointer)(w, row, w->joint_operand)
                 : FN(row_pointer)(w, row, w->operand) + w->segments->offset[0];
}

/* What the outputs of some rows and panels start from: acc [NP][R][gates][units]. */
FRNN_INLINE void FN(walk_start)(const FN(walk_args) *w, int64_t row, int R, int64_t p, int NP, int units, vec *acc)
{
    for (int64_t j = p; j < p + NP; j++)
        for (int r = 0; r < R; r++) {
            const real *init = w->shared_init ? w->shared_init : FN(row_pointer)(w, row + r, w->init);
            for (int64_t g = 0; g < w->b->gates; g++)
                for (int u = 0; u < units; u++)
                    *acc++ = w->init_gate ? v_load(init + w->init_gate[g] + (j * w->b->units + u) * VL) : v_zero();
        }
}

/* Where they go in the end: rows that take whole vectors, or the epilogue. The last panel has `last` vectors a gate. */
FRNN_INLINE void FN(walk_finish)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t row, int R, int64_t p, int NP,
                                 int last, const vec *acc)
{
    const frnn_panels *b = w->b;
    const int64_t vectors = (NP - 1) * b->units + last;
    if (w->out && (p * b->units + vectors) * VL <= w->out_n) {
        for (int j = 0; j < NP; j++)
            for (int r = 0; r < R; r++)
                for (int64_t g = 0; g < b->gates; g++)
                    for (int u = 0; u < (j < NP - 1 ? b->units : last); u++)
                        v_store((real *)w->out[row + r] + w->out_gate[g] + ((p + j) * b->units + u) * VL, *acc++);
    } else if (b->units == 1 || (b->gates == 1 && R == 1)) {
        epilogue(w->step, row, R, p * b->units * VL, (int)vectors, acc);
    } else {
        for (int j = 0; j < NP; j++, acc += R * b->gates * b->units)
            epilogue(w->step, row, R, (p + j) * b->units * VL, j < NP - 1 ? (int)b->units : last, acc);
    }
}

/* The panels of units unit0 to unit1: from `full` on there is a shorter one, or none. */
typedef struct FN(walk_range) {
    int64_t unit0, unit1;
    int64_t begin, full, end;
} FN(walk_range);

FRNN_INLINE FN(walk_range) FN(range_of)(const FN(walk_args) *w)
{
    const int64_t width = w->b->units * VL, begin = w->unit0 ? w->unit0 / width : 0;
    const int64_t end = (w->unit1 + width - 1) / width;
    const int shorter = end > begin && FN(panel_units)(w->b, end - 1) < w->b->units;
    return (FN(walk_range)){w->unit0, w->unit1, begin, end - shorter, end};
}

/* How many of so many panels come next: `panels`, but up to `most`, or one less, rather than one alone in the end. */
FRNN_INLINE int64_t FN(walk_part)(int64_t left, int64_t panels, int64_t most)
{
    if (left <= most)
        return left;
    return left == most + 1 && most > 1 ? most - 1 : panels;
}

/* All panels, `most` at a time where they are full: the shorter one stands alone, or is `joined` to those before it. Backwards, every
 * other step (frnn_is_backwards): what the step before touched last is still in the cache, and weights larger than it are not
 * fetched whole again. The order of panels does not change any sum. */
typedef void (*FN(group))(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *context);

FRNN_INLINE void FN(walk_groups)(const FN(walk_args) *w, FN(epilogue) epilogue, const FN(walk_range) *range,
                                 int64_t most, int joined, FN(group) group, void *context)
{
    const int64_t full = range->full;
    joined = joined && range->begin < full;
    for (int64_t begin = range->begin, end = range->end, NP; begin < end;) {
        if (w->backwards) {
            NP = end > full && !joined ? 1 : FN(walk_part)(FRNN_MIN(end, full) - begin, most, most) + (end > full);
            end -= NP;
        } else {
            NP = begin < full ? FN(walk_part)(full - begin, most, most) : 1;
            if (joined && begin + NP == full)
                NP = end - begin;
            begin += NP;
        }
        group(w, epilogue, w->backwards ? end : begin - NP, (int)NP, context);
    }
}

/* walk_tiles_tpl.h, borrowed_tpl.h */
static FRNN_NOINLINE void FN(walk_tiles)(const FN(walk_args) *w, FN(epilogue) epilogue);
static FRNN_NOINLINE void FN(walk_borrowed_rows)(const FN(walk_args) *w, FN(epilogue) epilogue);
static FRNN_NOINLINE void FN(walk_borrowed_columns)(const FN(walk_args) *w, FN(epilogue) epilogue);
#if REAL_IS_FLOAT /* bfloat16_tpl.h, int8_tpl.h */
static FRNN_NOINLINE void FN(walk_bfloat16)(const FN(walk_args) *w, FN(epilogue) epilogue);
static FRNN_NOINLINE void FN(walk_int8)(const FN(walk_args) *w, FN(epilogue) epilogue);
#endif

static FRNN_NOINLINE void FN(walk)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    switch (w->b->format) {
    case FRNN_PANELS_OF_ROWS:
        FN(walk_borrowed_rows)(w, epilogue);
        return;
    case FRNN_PANELS_OF_COLUMNS:
        FN(walk_borrowed_columns)(w, epilogue);
        return;
#if REAL_IS_FLOAT
    case FRNN_WEIGHTS_BFLOAT16:
        FN(walk_bfloat16)(w, epilogue);
        return;
    case FRNN_WEIGHTS_INT8:
        FN(walk_int8)(w, epilogue);
        return;
#endif
    default:
        FN(walk_tiles)(w, epilogue);
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
