/* Products with int8 weights.
 *
 *   W[o][k] = scale[o] w[o][k],   |w| <= 127,    scale[o] = max over k of |W[o][k]| / 127
 *   a[k]    = scale q[k],         |q| <= 8191,   scale    = max over k of |a[k]| / 8191
 *   out[o]  = init[o] + sum over blocks of k of (scale[o] scale) (sum over k of w[o][k] q[k])
 *
 * All roundings are to nearest, ties to even; the inner sums are exact. So no order of summation has to be kept, every ISA
 * adds up the same integers, and a row's bits depend on the row alone.
 *
 * Activations keep 14 bits because they cost nothing: what limits a product of few rows is the memory that weights come
 * from, and a second instruction for each load of them fits in its shadow. The error is that of the weights alone.
 *
 * Two ways to multiply, by what the machine has (words as in quantized_tpl.h, bytes w0 to w3):
 *   digits  AVX-512 VNNI adds four products of bytes at once (vpdpbusd). q = 128 d1 + d0 with |d1| <= 64, 0 <= d0 < 128
 *           in two sums. It wants its weights without a sign: they are packed as w + 128, and the sums start at
 *           -128 sum(d).
 *   words   everything else adds two products of 16-bit integers (vpmaddwd): w0 q0 + w2 q2 and w1 q1 + w3 q3, the bytes
 *           widened by shifts.
 */

#define INT8_ACTIVATION 8191
#define INT8_ROUND 0x1.8p23f /* added to a float below 2^22, leaves it rounded in the low bits */
#define INT8_SUMS (1 + INT8_DIGITS)

#if FRNN_VECTOR_REGISTERS == 32
#define INT8_ROWS 3
#else
#define INT8_ROWS 2
#endif
#define INT8_CHUNK 32         /* rows whose activations are held at once, */
#define INT8_CHUNK_WORDS 4096 /* in so many words: INT8_ROWS of a whole block at least */

typedef struct FN(int8_row) {
    const real *a;
    real scale, inverse;
    const int32_t *words; /* [2][stride]: digits d1 and d0, or 16-bit pairs q0 | q2 and q1 | q3 */
    int32_t start[2];     /* of the sums of digits */
} FN(int8_row);

typedef struct FN(int8_args) {
    const FN(int8_row) *rows;
    int64_t stride, count; /* words of a row; of the block */
    const real *b;         /* [word][NV][V] */
    vec_bits *sum;         /* out [R][NV] */
} FN(int8_args);

static void FN(int8_measure)(FN(int8_row) *row, int64_t depth)
{
    vec_bits most = {0};
    for (int64_t k = 0; k < depth; k += VL) {
        const vec x = depth - k >= VL ? v_load(row->a + k) : v_load_n(row->a + k, (int)(depth - k));
        const vec_bits bits = v_bits(v_abs(x)), larger = bits > most;
        most = (larger & bits) | (~larger & most);
    }
    real lanes[FRNN_VECTOR_BYTES / sizeof(real)], largest;
    v_store(lanes, v_from_bits(most));
    const int32_t bits = FN(largest_bits)(lanes, 1, VL);
    memcpy(&largest, &bits, sizeof largest);
    const int usable = largest >= INT8_SMALLEST && largest < INFINITY;
    row->scale = usable ? largest / INT8_ACTIVATION : largest < INT8_SMALLEST ? 0 : NAN;
    row->inverse = usable ? INT8_ACTIVATION / largest : 0;
}

/* The integers of one block of a row, in the words that the tile wants. */
static void FN(int8_round)(FN(int8_row) *row, int64_t first, int64_t length, int32_t *words, int64_t stride)
{
    const int64_t count = (length + 3) / 4;
    vec_bits total[2] = {{0}, {0}};
    for (int64_t j = 0; j < count; j += VL) {
        vec_bits q[4];
        for (int64_t s = 0; s < 4; s++) {
            const int64_t left = FRNN_MIN(count, length - s * count) - j;
            vec x = v_zero();
            if (left > 0 && row->inverse > 0) {
                const real *a = row->a + first + s * count + j;
                x = left >= VL ? v_load(a) : v_load_n(a, (int)left);
            }
            q[s] = v_bits(x * v_splat(row->inverse) + v_splat(INT8_ROUND)) - v_bits(v_splat(INT8_ROUND));
        }
        vec_bits word[2];
#if INT8_DIGITS
        for (int digit = 0; digit < 2; digit++) {
            vec_bits d[4];
            for (int s = 0; s < 4; s++)
                d[s] = digit ? q[s] & 127 : q[s] >> 7;
            word[digit] = (d[0] & 255) | (d[1] & 255) << 8 | (d[2] & 255) << 16 | d[3] << 24;
            total[digit] = total[digit] + d[0] + d[1] + d[2] + d[3];
        }
#else
        word[0] = (q[0] & 0xffff) | q[2] << 16;
        word[1] = (q[1] & 0xffff) | q[3] << 16;
#endif
        v_store((real *)words + j, v_from_bits(word[0]));
        v_store((real *)words + stride + j, v_from_bits(word[1]));
    }
    row->words = words;
    for (int digit = 0; digit < INT8_SUMS; digit++) {
        row->start[digit] = 0;
        for (int lane = 0; INT8_DIGITS && lane < VL; lane++)
            row->start[digit] -= 128 * total[digit][lane];
    }
}

#if INT8_DIGITS

FRNN_INLINE vec_bits FN(int8_dot)(vec_bits sum, vec_bits weights, int32_t digits)
{
    return (vec_bits)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)weights, _mm512_set1_epi32(digits));
}

#else

/* sum + the products of the two 16-bit halves of every lane */
FRNN_INLINE vec_bits FN(int8_dot)(vec_bits sum, vec_bits a, int32_t pair)
{
    const vec_bits b = pair - (vec_bits){0};
#if FRNN_VECTOR_BYTES == 64 && defined(__AVX512BW__)
    return sum + (vec_bits)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif FRNN_VECTOR_BYTES == 32 && defined(__AVX2__)
    return sum + (vec_bits)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif FRNN_VECTOR_BYTES == 16 && defined(__SSE2__)
    return sum + (vec_bits)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif FRNN_VECTOR_BYTES == 16 && defined(__aarch64__)
    const int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
    return sum + (vec_bits)vpaddq_s32(low, vmull_high_s16((int16x8_t)a, (int16x8_t)b));
#else
    return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

typedef int16_t FN(halves) __attribute__((vector_size(FRNN_VECTOR_BYTES)));

#endif

FRNN_INLINE void FN(int8_tile)(const int R, const int NV, const FN(int8_args) *t)
{
    vec_bits sum[INT8_SUMS][4 * INT8_ROWS];
#pragma GCC unroll 2
    for (int d = 0; d < INT8_SUMS; d++)
#pragma GCC unroll 12
        for (int i = 0; i < R * NV; i++)
            sum[d][i] = t->rows[i / NV].start[d] - (vec_bits){0};
    const real *b = t->b;
    const int32_t *words[INT8_ROWS];
#pragma GCC unroll 3
    for (int r = 0; r < R; r++)
        words[r] = t->rows[r].words;
    for (int64_t j = 0; j < t->count; j++, b += NV * VL) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const vec_bits w = v_bits(v_load(b + v * VL));
#if INT8_DIGITS
#pragma GCC unroll 3
            for (int r = 0; r < R; r++) {
                sum[0][r * NV + v] = FN(int8_dot)(sum[0][r * NV + v], w, words[r][j]);
                sum[1][r * NV + v] = FN(int8_dot)(sum[1][r * NV + v], w, words[r][t->stride + j]);
            }
#else
            const vec_bits even = (vec_bits)((FN(halves))w << 8 >> 8), odd = (vec_bits)((FN(halves))w >> 8);
#pragma GCC unroll 3
            for (int r = 0; r < R; r++)
                sum[0][r * NV + v] =
                    FN(int8_dot)(FN(int8_dot)(sum[0][r * NV + v], even, words[r][j]), odd, words[r][t->stride + j]);
#endif
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R * NV; i++)
        t->sum[i] = INT8_DIGITS ? (sum[0][i] << 7) + sum[INT8_SUMS - 1][i] : sum[0][i];
}

/* clang-format off */
#if INT8_ROWS == 3
#define INT8_ALL_ROWS(X, NV) X(1, NV) X(2, NV) X(3, NV)
#else
#define INT8_ALL_ROWS(X, NV) X(1, NV) X(2, NV)
#endif
#define INT8_TILES(X) INT8_ALL_ROWS(X, 1) INT8_ALL_ROWS(X, 2) INT8_ALL_ROWS(X, 3) INT8_ALL_ROWS(X, 4)
/* clang-format on */

#define INT8_DEFINE(R, NV)                                                                                             \
    static FRNN_NOINLINE void FN(int8_tile_##R##x##NV)(const FN(int8_args) *t)                                         \
    {                                                                                                                  \
        FN(int8_tile)(R, NV, t);                                                                                       \
    }
INT8_TILES(INT8_DEFINE)
#undef INT8_DEFINE

static void (*const FN(int8_tiles)[INT8_ROWS + 1][5])(const FN(int8_args) *) = {
#define INT8_ENTRY(R, NV) [R][NV] = FN(int8_tile_##R##x##NV),
    INT8_TILES(INT8_ENTRY)
#undef INT8_ENTRY
};

/* Rows whose activations are held at once. */
typedef struct FN(int8_chunk) {
    FN(int8_row) rows[INT8_CHUNK];
    int64_t first, count, stride;
    int64_t held; /* the block whose integers are in `words`; -1: none */
    int32_t words[INT8_CHUNK_WORDS];
} FN(int8_chunk);

/* The outputs of R rows of the chunk and one panel, all blocks of k. */
FRNN_INLINE void FN(int8_panel)(const frnn_panels *b, FN(int8_chunk) *chunk, int64_t row, int R, int64_t p, int NV,
                                vec *acc)
{
    vec_bits sum[4 * INT8_ROWS];
    const real *scales = (const real *)b->data + p * frnn_panel_words(b) * b->gates * b->units * VL;
    const real *data = scales + NV * VL;
    for (int64_t first = 0; first < b->depth; first += INT8_BLOCK) {
        const int64_t length = FRNN_MIN(INT8_BLOCK, b->depth - first);
        for (int64_t r = 0; r < chunk->count && chunk->held != first; r++)
            FN(int8_round)(&chunk->rows[r], first, length, chunk->words + r * 2 * chunk->stride, chunk->stride);
        chunk->held = first;
        const FN(int8_args) t = {
            .rows = chunk->rows + row, .stride = chunk->stride, .count = (length + 3) / 4, .b = data, .sum = sum};
        FN(int8_tiles)[R][NV](&t);
        for (int r = 0; r < R; r++)
            for (int v = 0; v < NV; v++) {
                const vec scale = v_load(scales + v * VL) * v_splat(t.rows[r].scale);
                acc[r * NV + v] = v_fma(scale, __builtin_convertvector(sum[r * NV + v], vec), acc[r * NV + v]);
            }
        data += t.count * NV * VL;
    }
}

static void FN(int8_panels)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *context)
{
    FN(int8_chunk) *chunk = context;
    const int units = (int)FN(panel_units)(w->b, p), NV = (int)w->b->gates * units;
    const int64_t tiles = FN(tile_count)(chunk->count, INT8_ROWS);
    vec acc[4 * EPILOGUE_CHAINS];
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t row = FN(tile_begin)(chunk->count, tiles, i);
        const int R = (int)(FN(tile_begin)(chunk->count, tiles, i + 1) - row);
        FN(walk_start)(w, chunk->first + row, R, p, NP, units, acc);
        for (int j = 0; j < NP; j++)
            FN(int8_panel)(w->b, chunk, row, R, p + j, NV, acc + j * R * NV);
        FN(walk_finish)(w, epilogue, chunk->first + row, R, p, NP, units, acc);
    }
}

/* Chunks of rows, so that their activations are rounded once for all panels; a depth of several blocks rounds each block
 * again for every panel, which is a tenth of the work there. A few rows give their epilogue several panels at once. */
static FRNN_NOINLINE void FN(walk_int8)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    const int64_t depth = w->b->depth;
    const FN(walk_range) range = FN(range_of)(w);
    FN(int8_chunk) chunk;
    chunk.stride = (FRNN_MIN(depth, INT8_BLOCK) + 4 * VL - 1) / (4 * VL) * VL;
    const int64_t most = depth > INT8_BLOCK ? INT8_ROWS : FRNN_MIN(INT8_CHUNK, INT8_CHUNK_WORDS / (2 * chunk.stride));
    for (chunk.first = 0; chunk.first < w->m; chunk.first += chunk.count) {
        chunk.count = FRNN_MIN(most, w->m - chunk.first);
        chunk.held = -1;
        for (int64_t r = 0; r < chunk.count; r++) {
            chunk.rows[r].a = FN(row_pointer)(w, chunk.first + r, w->operand) + w->segments->offset[0];
            FN(int8_measure)(&chunk.rows[r], depth);
        }
        FN(walk_groups)(w, epilogue, &range,
                        chunk.count > INT8_ROWS ? 1 : EPILOGUE_CHAINS / (chunk.count * w->b->units), 0, FN(int8_panels),
                        &chunk);
    }
}
