/* The micro-tile: R rows by NV vectors of C += A B, the only place where the engine multiplies matrices.
 *
 *   acc[r][v] = init[r][offset v] + sum over k of a[r][k] * b[k][v],  k ascending, one accumulator an output
 *
 * Every variant (any R, any NV, several panels at once for a few rows) sums in this one order with one fused
 * multiply-add a term. That is what makes a row's result independent of the batch around it and of the threads.
 *
 * Register budget: R * NV accumulators, the smaller of R factors and NV panel vectors, one of the other. 32 registers
 * (AVX-512, NEON): 6 x 4, 8 x 3; 16 registers: 6 x 2, 4 x 3. One or two rows alone have too few chains to hide the latency
 * of the FMA: they take several panels at once, and with them what is left over at the end of a matrix.
 *
 * With 16 registers, a panel of four vectors is cut into two slices of two, one behind the other. Four to six rows meet one
 * slice after the other, fewer rows both at once: 3 x 4 would do for all, but a cycle of it wants twice the bytes of weights.
 */

#if FRNN_VECTOR_REGISTERS == 32
#define TILE_ACCUMULATORS 24
#else
#define TILE_ACCUMULATORS 12
#endif
#define TILE_SLICED (TILE_ACCUMULATORS == 12)
#define TILE_SLICE(nv) (TILE_SLICED && (nv) == 4 ? 2 : (nv)) /* vectors of a slice */
#define TILE_MAX_ROWS 8
#define TILE_STRETCH 16        /* terms between which the tile fetches what is wanted soon */
#define TILE_STREAM_AHEAD 4096 /* bytes: where a tile that streams its weights fetches them */
#define TILE_ROWS(nv) ((nv) == 0 ? 1 : FRNN_MIN(TILE_MAX_ROWS, TILE_ACCUMULATORS / (nv)))

/* Some terms of the sums. */
typedef struct FN(tile_segment) {
    size_t operand;         /* where the structs point to a, */
    int64_t offset, length; /* of which these columns */
    const real *b;          /* [k][NV][V], or a slice */
    int64_t slice_stride;   /* from a slice to the next */
    int64_t panel_stride;   /* from a panel to the next, where a tile takes several */
    const real *tail;       /* a shorter one that it takes with them: [k][TAIL][V] */
} FN(tile_segment);

typedef struct FN(tile_args) {
    const char *rows;      /* the first of R structs, */
    size_t row_size, init; /* their size, and where they point to what sums start from */
    int64_t segments;
    FN(tile_segment) segment[FRNN_MAX_GATES];
    const FN(tile_segment) *now;     /* in use */
    int64_t k_stride, tail_stride;   /* from a k of b, and of the tail, to the next */
    int64_t unit;                    /* the first one of the panel */
    const int64_t *init_offset;      /* [NP][NV], and so many more; NULL: sums start from zero */
    const real *shared_init;         /* the same for all rows, or NULL */
    vec *acc;                        /* out [NP][R][NV], unless out_offset is given, */
    int64_t acc_stride;              /* or of a slice [R][acc_stride]; or */
    void *const *out;                /* [R] out, whole vectors */
    const int64_t *out_offset;       /* [NP][NV], from `unit` on too */
    size_t fetch;                    /* where the structs point to what is wanted soon, in the second-level cache: */
    int64_t fetch_line, fetch_lines; /* from this cache line on, so many before each segment */
    /* Of tiles that fetch ahead: */
    const char *ahead;   /* what they fetch into the second-level cache, */
    int64_t ahead_lines; /* so many cache lines before each stretch of TILE_STRETCH terms */
    const vec *resumed;  /* what sums start from instead, as `acc` is left: the terms before */
    int64_t count, left; /* of tiles, one below the other, */
    int64_t slices;      /* in so many slices after each other, */
    int64_t slice;       /* of which this is the first, 0, before and after a call */
} FN(tile_args);

FRNN_INLINE const real *FN(tile_row)(const FN(tile_args) *t, int r, size_t field)
{
    return *(const real *const *)(t->rows + (size_t)r * t->row_size + field);
}

/* One term of R times NV sums: acc[r][v] += a[r][k] b[v]. What there is less of stays in registers. The second two of four
 * vectors are a slice. */
FRNN_INLINE void FN(tile_term)(const int R, const int NV, const real *const a[], int64_t k, const real *b,
                               int64_t slice_stride, vec acc[])
{
    vec held[4];
    if (R < NV) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            held[r] = v_splat(a[r][k]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const vec bv = v_load(b + v / 2 * slice_stride + v % 2 * VL);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                acc[r * NV + v] = v_fma(held[r], bv, acc[r * NV + v]);
        }
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++)
        held[v] = v_load(b + v / 2 * slice_stride + v % 2 * VL);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        const vec ar = v_splat(a[r][k]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            acc[r * NV + v] = v_fma(ar, held[v], acc[r * NV + v]);
    }
}

/* The next n terms of every sum. Two or four a turn, and k counts up to 0: instructions that multiply nothing cost where two
 * threads share a core. */
FRNN_INLINE void FN(tile_terms)(const int R, const int NV, const int NP, const int TAIL, const int STREAMED, int64_t n,
                                const real *const a[], const real *b, int64_t k_stride, int64_t panel_stride,
                                int64_t slice_stride, const real *tail, int64_t tail_stride, vec acc[])
{
    const real *end[TILE_MAX_ROWS];
    const real *panel[4]; /* of three panels and more, whose offsets do not fit the registers */
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
        end[r] = a[r] + n;
#pragma GCC unroll 4
    for (int p = 0; p < NP; p++)
        panel[p] = b + p * panel_stride;
#if TILE_SLICED
#pragma GCC unroll 4
#else
#pragma GCC unroll 2
#endif
    for (int64_t k = -n; k != 0; k++) {
#pragma GCC unroll 2
        for (int v = 0; STREAMED && v < NV; v += 2)
            __builtin_prefetch((const char *)(b + v / 2 * slice_stride) + TILE_STREAM_AHEAD);
#pragma GCC unroll 4
        for (int p = 0; p < NP; p++) {
            FN(tile_term)(R, NV, end, k, NP > 2 ? panel[p] : b + p * panel_stride, slice_stride, acc + p * R * NV);
            panel[p] += k_stride;
        }
        b += k_stride;
        if (TAIL) {
            FN(tile_term)(R, TAIL, end, k, tail, 2 * VL, acc + NP * R * NV);
            tail += tail_stride;
        }
    }
}

FRNN_INLINE void FN(tile_start)(const int R, const int NV, const int NP, const int TAIL, const FN(tile_args) *t,
                                vec acc[])
{
    const real *start[TILE_MAX_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
        start[r] = (t->shared_init ? t->shared_init : FN(tile_row)(t, r, t->init)) + t->unit;
#pragma GCC unroll 4
    for (int p = 0; p < NP; p++)
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++)
                acc[(p * R + r) * NV + v] = t->init_offset ? v_load(start[r] + t->init_offset[p * NV + v]) : v_zero();
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < TAIL; v++)
            acc[NP * R * NV + r * TAIL + v] =
                t->init_offset ? v_load(start[r] + t->init_offset[NP * NV + v]) : v_zero();
}

FRNN_INLINE int64_t FN(tile_acc_stride)(const int NV, const FN(tile_args) *t)
{
    return TILE_SLICED && NV == 2 ? t->acc_stride : NV;
}

/* FAR: weights come from beyond the second-level cache. With 32 registers the tile fetches what the next ones want, a few lines
 * before each stretch of terms; with 16, what it wants itself a little later. */
FRNN_INLINE void FN(tile_one)(const int R, const int NV, const int NP, const int TAIL, const int FAR, FN(tile_args) *t)
{
    const int AHEAD = FAR && !TILE_SLICED, STREAMED = FAR && TILE_SLICED;
    vec acc[TILE_ACCUMULATORS];
    if (AHEAD && t->resumed) {
#pragma GCC unroll 24
        for (int i = 0; i < R * NV; i++)
            acc[i] = t->resumed[i];
    } else {
        FN(tile_start)(R, NV, NP, TAIL, t, acc);
    }

    const char *ahead = t->ahead;
    for (const FN(tile_segment) *s = t->segment; s < t->segment + t->segments; s = t->now + 1) {
        t->now = s;
        if (t->fetch_lines)
            for (int r = 0; r < R; r++) {
                const char *line = (const char *)FN(tile_row)(t, r, t->fetch) +
                                   (t->fetch_line + (s - t->segment) * t->fetch_lines) * FRNN_CACHE_LINE;
                for (int64_t i = 0; i < t->fetch_lines; i++)
                    __builtin_prefetch(line + i * FRNN_CACHE_LINE, 0, 2);
            }
        /* Everything is read from *t again before a loop and nothing after it, so that little need be held meanwhile:
         * there are few registers. */
        int64_t k = 0;
        do {
            const FN(tile_segment) *const segment = AHEAD ? t->now : s;
            const int64_t n = AHEAD ? FRNN_MIN(TILE_STRETCH, segment->length - k) : segment->length;
            const real *a[TILE_MAX_ROWS];
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
                a[r] = FN(tile_row)(t, r, segment->operand) + segment->offset + k;
            for (int64_t line = 0; AHEAD && line < t->ahead_lines; line++, ahead += FRNN_CACHE_LINE)
                __builtin_prefetch(ahead, 0, 2);
            FN(tile_terms)(R, NV, NP, TAIL, STREAMED, n, a, segment->b + k * t->k_stride, t->k_stride,
                           segment->panel_stride, TILE_SLICE(NV) < NV ? segment->slice_stride : 2 * VL, segment->tail,
                           t->tail_stride, acc);
            __asm__ volatile("" ::: "memory");
        } while (AHEAD && (k += TILE_STRETCH) < t->now->length);
    }
    if (t->out_offset) {
        int64_t offset[TILE_ACCUMULATORS]; /* read before stores that the compiler believes to change them */
#pragma GCC unroll 24
        for (int i = 0; i < NP * NV + TAIL; i++)
            offset[i] = t->out_offset[i];
        void *const *const out = t->out;
        const int64_t unit = t->unit;
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            real *const row = (real *)out[r] + unit;
#pragma GCC unroll 4
            for (int p = 0; p < NP; p++)
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++)
                    v_store(row + offset[p * NV + v], acc[(p * R + r) * NV + v]);
#pragma GCC unroll 4
            for (int v = 0; v < TAIL; v++)
                v_store(row + offset[NP * NV + v], acc[NP * R * NV + r * TAIL + v]);
        }
        return;
    }
    vec *out = t->acc;
#pragma GCC unroll 8
    for (int r = 0; r < NP * R; r++, out += FN(tile_acc_stride)(NV, t))
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            out[v] = acc[r * NV + v];
#pragma GCC unroll 24
    for (int i = NP * R * NV; i < R * (NP * NV + TAIL); i++)
        t->acc[i] = acc[i];
}

/* From the last tile of a slice to the first one of the next, if there is one. The segments go back to the first slice. */
FRNN_INLINE int FN(tile_next_slice)(const int R, const int NV, FN(tile_args) *t)
{
    const int64_t rows = t->count * R, step = t->slice + 1 < t->slices ? 1 : -t->slice;
    if (t->slices == 1)
        return 0;
    for (int64_t s = 0; s < t->segments; s++)
        t->segment[s].b += step * t->segment[s].slice_stride;
    t->slice += step;
    if (!t->slice)
        return 0;
    t->rows -= rows * (int64_t)t->row_size;
    t->fetch_line += t->segments * t->fetch_lines;
    if (t->init_offset)
        t->init_offset += NV;
    if (t->out_offset) {
        t->out -= rows;
        t->out_offset += NV;
    } else {
        t->acc += NV - rows * t->acc_stride;
    }
    return 1;
}

/* Everything is in memory, so that little need be held meanwhile. */
FRNN_INLINE void FN(tile_body)(const int R, const int NV, const int NP, const int TAIL, const int FAR, FN(tile_args) *t)
{
    do {
        for (t->left = t->count; t->left > 0; t->left--) {
            if (FAR && (!TILE_SLICED || t->left == t->count)) /* the second one finds what the first has streamed */
                FN(tile_one)(R, NV, NP, TAIL, 1, t);
            else
                FN(tile_one)(R, NV, NP, TAIL, 0, t);
            t->rows += R * t->row_size;
            if (t->out_offset)
                t->out += R;
            else
                t->acc += R * FN(tile_acc_stride)(NV, t);
        }
    } while (TILE_SLICED && NV == 2 && FN(tile_next_slice)(R, NV, t));
}

/* X(R, NV, NP): every tile there is. NP panels at once only for one or two rows, so that they are 8 chains, which keep two FMA pipes of
 * 4 cycles busy: NV * R * NP of them. More panels are more streams of weights to follow, and leave the walk of a small matrix no
 * direction to turn; so of four vectors it is two panels, and three where one would be left alone. X(R, NP, TAIL): and a panel of TAIL
 * vectors more, where there are NP of four. */
/* clang-format off */
#define TILE_ROW_VARIANTS(X, NV) X(1, NV, 1) X(2, NV, 1) X(3, NV, 1) X(4, NV, 1) X(5, NV, 1) X(6, NV, 1)
#define TILE_MOST_PANELS(R, NV) ((NV) == 4 && (R) == 1 ? 3 : TILE_PANELS(R, NV))
#if TILE_ACCUMULATORS == 24
#define TILE_PANELS(R, NV) ((NV) < 3 ? 1 : (R) == 1 ? ((NV) == 4 ? 2 : 4) : (R) == 2 ? 2 : 1)
#define TILE_VARIANTS(X)                                                                                               \
    TILE_ROW_VARIANTS(X, 1) X(7, 1, 1) X(8, 1, 1)                                                                      \
    TILE_ROW_VARIANTS(X, 2) X(7, 2, 1) X(8, 2, 1)                                                                      \
    TILE_ROW_VARIANTS(X, 3) X(7, 3, 1) X(8, 3, 1) X(1, 3, 2) X(1, 3, 3) X(1, 3, 4) X(2, 3, 2)                          \
    TILE_ROW_VARIANTS(X, 4) X(1, 4, 2) X(1, 4, 3) X(2, 4, 2)
#define TILE_TAIL_VARIANTS(X)                                                                                          \
    X(1, 1, 1) X(1, 1, 2) X(1, 1, 3) X(1, 2, 1) X(1, 2, 2) X(1, 2, 3)                                                  \
    X(2, 1, 1) X(2, 1, 2) X(2, 1, 3) X(2, 2, 1) X(2, 2, 2) X(2, 2, 3)
#define TILE_FAR_VARIANTS(X) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 3) X(3, 4) X(4, 4) X(5, 4) X(6, 4)
#else
#define TILE_PANELS(R, NV) ((NV) < 3 ? 1 : (R) == 1 ? ((NV) == 4 ? 2 : 4) : (R) == 2 && (NV) == 3 ? 2 : 1)
#define TILE_VARIANTS(X)                                                                                               \
    TILE_ROW_VARIANTS(X, 1) X(7, 1, 1) X(8, 1, 1)                                                                      \
    TILE_ROW_VARIANTS(X, 2)                                                                                            \
    X(1, 3, 1) X(2, 3, 1) X(3, 3, 1) X(4, 3, 1) X(1, 3, 2) X(1, 3, 3) X(1, 3, 4) X(2, 3, 2)                           \
    X(1, 4, 1) X(2, 4, 1) X(3, 4, 1) X(1, 4, 2) X(1, 4, 3)
#define TILE_TAIL_VARIANTS(X)                                                                                          \
    X(1, 1, 1) X(1, 1, 2) X(1, 1, 3) X(1, 2, 1) X(1, 2, 2) X(1, 2, 3) X(2, 1, 1) X(2, 1, 2)
#define TILE_FAR_VARIANTS(X) X(2, 3) X(3, 3) X(4, 3) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)
#endif
/* clang-format on */

#define DEFINE_TILE(R, NV, NP)                                                                                         \
    static FRNN_NOINLINE void FN(tile_##R##x##NV##x##NP)(FN(tile_args) *t)                                             \
    {                                                                                                                  \
        FN(tile_body)(R, NV, NP, 0, 0, t);                                                                             \
    }
TILE_VARIANTS(DEFINE_TILE)
#undef DEFINE_TILE

#define DEFINE_TILE(R, NP, TAIL)                                                                                       \
    static FRNN_NOINLINE void FN(tile_tail_##R##x##NP##x##TAIL)(FN(tile_args) *t)                                      \
    {                                                                                                                  \
        FN(tile_body)(R, 4, NP, TAIL, 0, t);                                                                           \
    }
TILE_TAIL_VARIANTS(DEFINE_TILE)
#undef DEFINE_TILE

#define DEFINE_TILE(R, NV)                                                                                             \
    static FRNN_NOINLINE void FN(tile_far_##R##x##NV)(FN(tile_args) *t)                                                \
    {                                                                                                                  \
        FN(tile_body)(R, NV, 1, 0, 1, t);                                                                              \
    }
TILE_FAR_VARIANTS(DEFINE_TILE)
#undef DEFINE_TILE

static void (*const FN(tiles)[TILE_MAX_ROWS + 1][5][5])(FN(tile_args) *) = {
#define TILE_ENTRY(R, NV, NP) [R][NV][NP] = FN(tile_##R##x##NV##x##NP),
    TILE_VARIANTS(TILE_ENTRY)
#undef TILE_ENTRY
};

static void (*const FN(tiles_tail)[3][3][4])(FN(tile_args) *) = {
#define TILE_ENTRY(R, NP, TAIL) [R][NP][TAIL] = FN(tile_tail_##R##x##NP##x##TAIL),
    TILE_TAIL_VARIANTS(TILE_ENTRY)
#undef TILE_ENTRY
};

static void (*const FN(tiles_far)[TILE_MAX_ROWS + 1][5])(FN(tile_args) *) = {
#define TILE_ENTRY(R, NV) [R][NV] = FN(tile_far_##R##x##NV),
    TILE_FAR_VARIANTS(TILE_ENTRY)
#undef TILE_ENTRY
};

/* Rows are spread evenly over tiles: 32 rows of at most 6 are 6+6+5+5+5+5, not 5 x 6 + 2. */
FRNN_INLINE int64_t FN(tile_count)(int64_t m, int64_t most)
{
    return (m + most - 1) / most;
}

FRNN_INLINE int64_t FN(tile_begin)(int64_t m, int64_t tiles, int64_t i)
{
    return i * (m / tiles) + FRNN_MIN(i, m % tiles);
}

/* Vectors of units in panel p, of `units` at most. */
FRNN_INLINE int64_t FN(panel_units)(const frnn_panels *b, int64_t p)
{
    const int64_t vectors = (b->n + VL - 1) / VL;
    return FRNN_MIN(b->units, vectors - p * b->units);
}

FRNN_INLINE int64_t FN(panel_count)(const frnn_panels *b)
{
    const int64_t vectors = (b->n + VL - 1) / VL;
    return (vectors + b->units - 1) / b->units;
}

FRNN_INLINE const real *FN(panel_data)(const frnn_panels *b, int64_t p)
{
    const int64_t k = b->format == FRNN_PANELS_OF_COLUMNS ? 1 : b->depth;
    return (const real *)b->data + p * k * b->gates * b->units * VL;
}
