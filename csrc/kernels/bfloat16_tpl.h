/* Products with bfloat16 weights: the sum of tile_tpl.h, k ascending and one fused multiply-add a term, on weights that
 * are widened as they are loaded. So the result is that of float32 arithmetic on rounded weights, to the bit.
 *
 * Widening costs a shift and an AND for 32 weights, next to two multiply-adds, and few rows wait for memory anyway: the
 * instruction that multiplies bfloat16 pairs (vdpbf16ps) was no faster there, and would round the activations too. */

#if FRNN_VECTOR_REGISTERS == 32
#define BFLOAT16_ROWS 4
#else
#define BFLOAT16_ROWS 2
#endif

typedef struct FN(bfloat16_args) {
    const real *a[BFLOAT16_ROWS];
    int64_t depth;
    const real *b;        /* [word][NV][V] */
    int64_t panel_stride; /* words; two panels at once where there is one row */
    vec *acc;             /* in, out [NP][R][NV] */
} FN(bfloat16_args);

/* acc += a[.][k] times one half of the words at b. A word is loaded once for each half: a long way from one use of an
 * accumulator to the next is worth more. */
FRNN_INLINE void FN(bfloat16_half)(const int R, const int NV, const int NP, const int high, const FN(bfloat16_args) *t,
                                   int64_t k, const real *b, vec *acc)
{
#pragma GCC unroll 4
    for (int p = 0; p < NP; p++) {
        vec bv[4];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const vec_bits words = v_bits(v_load(b + p * t->panel_stride + v * VL));
            bv[v] = v_from_bits(high ? words & (real_bits)0xffff0000u : words << 16);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const vec ar = v_splat(t->a[r][k]);
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++)
                acc[(p * R + r) * NV + v] = v_fma(ar, bv[v], acc[(p * R + r) * NV + v]);
        }
    }
}

FRNN_INLINE void FN(bfloat16_tile)(const int R, const int NV, const int NP, const FN(bfloat16_args) *t)
{
    vec acc[4 * BFLOAT16_ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < NP * R * NV; i++)
        acc[i] = t->acc[i];
    const real *b = t->b;
    int64_t k = 0;
    for (; k + 1 < t->depth; k += 2, b += NV * VL) {
        FN(bfloat16_half)(R, NV, NP, 0, t, k, b, acc);
        FN(bfloat16_half)(R, NV, NP, 1, t, k + 1, b, acc);
    }
    if (k < t->depth)
        FN(bfloat16_half)(R, NV, NP, 0, t, k, b, acc);
#pragma GCC unroll 16
    for (int i = 0; i < NP * R * NV; i++)
        t->acc[i] = acc[i];
}

/* X(R, NV, NP): one row alone has too few chains of multiply-adds, and takes two panels where they are wide. */
/* clang-format off */
#define BFLOAT16_FEW_ROWS(X, NV) X(1, NV, 1) X(2, NV, 1)
#if BFLOAT16_ROWS == 4
#define BFLOAT16_ALL_ROWS(X, NV) BFLOAT16_FEW_ROWS(X, NV) X(3, NV, 1) X(4, NV, 1)
#else
#define BFLOAT16_ALL_ROWS(X, NV) BFLOAT16_FEW_ROWS(X, NV)
#endif
#define BFLOAT16_TILES(X)                                                                                              \
    BFLOAT16_ALL_ROWS(X, 1) BFLOAT16_ALL_ROWS(X, 2) BFLOAT16_ALL_ROWS(X, 3) BFLOAT16_ALL_ROWS(X, 4)                    \
    X(1, 3, 2) X(1, 4, 2)
/* clang-format on */

#define BFLOAT16_DEFINE(R, NV, NP)                                                                                     \
    static FRNN_NOINLINE void FN(bfloat16_tile_##R##x##NV##x##NP)(const FN(bfloat16_args) *t)                          \
    {                                                                                                                  \
        FN(bfloat16_tile)(R, NV, NP, t);                                                                               \
    }
BFLOAT16_TILES(BFLOAT16_DEFINE)
#undef BFLOAT16_DEFINE

static void (*const FN(bfloat16_tiles)[BFLOAT16_ROWS + 1][5][3])(const FN(bfloat16_args) *) = {
#define BFLOAT16_ENTRY(R, NV, NP) [R][NV][NP] = FN(bfloat16_tile_##R##x##NV##x##NP),
    BFLOAT16_TILES(BFLOAT16_ENTRY)
#undef BFLOAT16_ENTRY
};

/* Panels p to p + NP - 1 over all rows, and of all of them in one epilogue: its chains are long. */
static void FN(bfloat16_panels)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *context)
{
    (void)context;
    const frnn_panels *b = w->b;
    const int units = (int)FN(panel_units)(b, p), NV = (int)b->gates * units;
    const int64_t tiles = FN(tile_count)(w->m, BFLOAT16_ROWS);
    vec acc[4 * EPILOGUE_CHAINS];
    FN(bfloat16_args) t;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t row = FN(tile_begin)(w->m, tiles, i);
        const int R = (int)(FN(tile_begin)(w->m, tiles, i + 1) - row);
        FN(walk_start)(w, row, R, p, NP, units, acc);
        for (int done = 0, n; done < NP; done += n) {
            n = R == 1 && NV >= 3 ? FRNN_MIN(2, NP - done) : 1;
            const int j = w->backwards ? NP - done - n : done;
            t.acc = acc + j * R * NV;
            for (int joint = w->joint != NULL; joint >= 0; joint--) {
                const frnn_panels *const from = joint ? w->joint : b;
                const int64_t words = frnn_panel_words(from);
                t.depth = from->depth;
                t.b = (const real *)from->data + (p + j) * words * b->gates * b->units * VL;
                t.panel_stride = words * NV * VL;
                for (int r = 0; r < R; r++)
                    t.a[r] = FN(walk_operand)(w, joint, row + r);
                FN(bfloat16_tiles)[R][NV][n](&t);
            }
        }
        FN(walk_finish)(w, epilogue, row, R, p, NP, units, acc);
    }
}

static FRNN_NOINLINE void FN(walk_bfloat16)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    const FN(walk_range) range = FN(range_of)(w);
    const int64_t most = w->m > BFLOAT16_ROWS ? 1 : EPILOGUE_CHAINS / FRNN_MAX(w->m * w->b->units, 1);
    FN(walk_groups)(w, epilogue, &range, most, 0, FN(bfloat16_panels), NULL);
}
