/* Packing for bfloat16_tpl.h and int8_tpl.h: data[panel][word][gate][vector][V] of 32-bit words. Float only: weights of fewer
 * bits are for inference in float32. */

/* The largest magnitude among n reals as its bits. They order as the magnitudes do, with NaN above infinity. */
static int32_t FN(largest_bits)(const real *a, int64_t stride, int64_t n)
{
    int32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, a + i * stride, sizeof bits);
        bits &= REAL_ABS_MASK;
        largest = FRNN_MAX(largest, bits);
    }
    return largest;
}

/* Rounded to the nearest bfloat16, ties to even. NaN stays NaN; the largest float rounds to infinity, as it should. */
FRNN_INLINE uint32_t FN(bfloat16)(real a)
{
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return bits >> 16 | 0x40u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

/* Word w: k = 2w in the low half, k = 2w + 1 in the high one. */
static void FN(pack_bfloat16_row)(uint32_t *out, int64_t step, const real *from, int64_t k_stride, int64_t depth)
{
    for (int64_t k = 0; k < depth; k += 2, out += step)
        *out = FN(bfloat16)(from[k * k_stride]) | (k + 1 < depth ? FN(bfloat16)(from[(k + 1) * k_stride]) << 16 : 0);
}

/* A block of k's, cut into four equal stripes: word j of the block holds element j of every stripe. So four consecutive
 * vectors of activations make the words that meet it without a shuffle. Integer sums have no order to keep. */
#define INT8_BLOCK 2048 /* the most k's whose sum fits 32 bits: 2048 * 127 * 8191 < 2^31 */

/* No scale below this is worth having, nor its reciprocal finite. */
#define INT8_SMALLEST 0x1p-100f

#if defined(__AVX512VNNI__) && FRNN_VECTOR_BYTES == 64
#define INT8_DIGITS 1
#else
#define INT8_DIGITS 0
#endif
#define INT8_FLIP (INT8_DIGITS ? 0x80808080u : 0u) /* the byte dot product takes weights without a sign: w + 128 */

/* The scale, then the words of all blocks. A row that holds NaN or infinity has the scale NaN. */
static void FN(pack_int8_row)(uint32_t *out, int64_t step, const real *from, int64_t k_stride, int64_t depth)
{
    real scale;
    const int32_t bits = FN(largest_bits)(from, k_stride, depth);
    memcpy(&scale, &bits, sizeof scale);
    scale = scale < INT8_SMALLEST ? 0 : scale < INFINITY ? scale / 127 : NAN;
    memcpy(out, &scale, sizeof scale);
    for (int64_t first = 0; first < depth; first += INT8_BLOCK) {
        const int64_t length = FRNN_MIN(INT8_BLOCK, depth - first), words = (length + 3) / 4;
        for (int64_t j = 0; j < words; j++) {
            uint32_t word = 0;
            for (int64_t s = 0; s < 4; s++) {
                const int64_t k = s * words + j;
                if (k < length && scale > 0) {
                    const int32_t q = (int32_t)rintf(from[(first + k) * k_stride] / scale);
                    word |= ((uint32_t)q & 0xffu) << 8 * s;
                }
            }
            *(out += step) = word ^ INT8_FLIP;
        }
    }
}

static void FN(pack_quantized)(void *dst, const frnn_panels *b, const frnn_pack_source *source, int64_t panel,
                               int64_t beyond)
{
    const int64_t words = frnn_panel_words(b);
    uint32_t *out = (uint32_t *)dst + panel * words * b->gates * b->units * VL;
    for (int64_t p = panel; p < beyond; p++) {
        const int64_t width = FN(panel_units)(b, p) * VL, first = p * b->units * VL, step = b->gates * width;
        memset(out, 0, sizeof *out * (size_t)(words * step));
        for (int64_t g = 0; g < b->gates; g++)
            for (int64_t u = 0; u < FRNN_MIN(width, b->n - first); u++) {
                const real *from =
                    (const real *)source->data + g * source->gate_stride + (first + u) * source->unit_stride;
                (b->format == FRNN_WEIGHTS_BFLOAT16
                     ? FN(pack_bfloat16_row)
                     : FN(pack_int8_row))(out + g * width + u, step, from, source->k_stride, b->depth);
            }
        out += words * step;
    }
}
