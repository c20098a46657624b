/* Packing a matrix into panels (kernel_table.h, frnn_panels): once a weight update, or a panel at a time when it is used
 * (borrowed_tpl.h). Where units are neighbours in the source, rows of a panel are copied; where steps of k are, blocks of V units
 * by V steps are turned over in registers. Lanes past n are zero. */

/* A vector of units of one gate. */
typedef struct FN(pack_vector) {
    const real *in; /* its first unit at the first k */
    real *out;
    int units; /* that are there, at most V */
} FN(pack_vector);

#define PACK_AHEAD 16 /* rows of the source, which lie apart: no prefetcher follows */

static void FN(pack_copied)(const FN(pack_vector) *vectors, int count, int64_t stride, int64_t steps, int64_t k_stride)
{
    for (int64_t k = 0; k < steps; k++) {
        if (k + PACK_AHEAD < steps) {
            __builtin_prefetch(vectors[0].in + (k + PACK_AHEAD) * k_stride);
            __builtin_prefetch(vectors[count - 1].in + (k + PACK_AHEAD) * k_stride);
        }
        for (int i = 0; i < count; i++) {
            const real *in = vectors[i].in + k * k_stride;
            v_store(vectors[i].out + k * stride, vectors[i].units == VL ? v_load(in) : v_load_n(in, vectors[i].units));
        }
    }
}

/* Rows become columns: rounds of a perfect shuffle, of all of them or, where zips work in half a vector, of either half. */
FRNN_INLINE void FN(zip_rows)(vec *rows)
{
#pragma GCC unroll 2
    for (int part = 0; part < VL; part += ZIP_LANES)
#pragma GCC unroll 4
        for (int round = 1; round < ZIP_LANES; round *= 2) {
            vec shuffled[FRNN_VECTOR_BYTES / sizeof(real)];
#pragma GCC unroll 8
            for (int i = 0; i < ZIP_LANES / 2; i++) {
                shuffled[2 * i] = v_zip_low(rows[part + i], rows[part + i + ZIP_LANES / 2]);
                shuffled[2 * i + 1] = v_zip_high(rows[part + i], rows[part + i + ZIP_LANES / 2]);
            }
#pragma GCC unroll 16
            for (int i = 0; i < ZIP_LANES; i++)
                rows[part + i] = shuffled[i];
        }
}

FRNN_INLINE void FN(transpose)(vec *rows)
{
#if FRNN_VECTOR_BYTES == 32
#pragma GCC unroll 4
    for (int i = 0; i < VL / 2; i++) {
        const vec low = v_low_halves(rows[i], rows[i + VL / 2]);
        rows[i + VL / 2] = v_high_halves(rows[i], rows[i + VL / 2]);
        rows[i] = low;
    }
#endif
    FN(zip_rows)(rows);
}

/* V columns of the rows that lie `stride` apart from `in` on. */
FRNN_INLINE void FN(load_transposed)(const real *in, int64_t stride, vec *columns)
{
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
#if FRNN_VECTOR_BYTES == 32
        columns[i] = v_load_halves(in + i % (VL / 2) * stride + i / (VL / 2) * (VL / 2),
                                   in + (i % (VL / 2) + VL / 2) * stride + i / (VL / 2) * (VL / 2));
#else
        columns[i] = v_load(in + i * stride);
#endif
    FN(zip_rows)(columns);
}

/* `steps` of k from in on, into out[k * stride]. */
FRNN_INLINE void FN(pack_block)(real *out, int64_t stride, const real *in, int64_t unit_stride, int units, int steps)
{
    vec rows[FRNN_VECTOR_BYTES / sizeof(real)];
    if (units == VL && steps == VL) {
        FN(load_transposed)(in, unit_stride, rows);
#pragma GCC unroll 16
        for (int k = 0; k < VL; k++)
            v_store(out + k * stride, rows[k]);
        return;
    }
    for (int u = 0; u < VL; u++)
        rows[u] = u < units ? v_load_n(in + u * unit_stride, steps) : v_zero();
    FN(transpose)(rows);
    for (int k = 0; k < steps; k++)
        v_store(out + k * stride, rows[k]);
}

static void FN(pack_transposed)(const FN(pack_vector) *vectors, int count, int64_t stride, int64_t steps,
                                int64_t unit_stride)
{
    for (int i = 0; i < count; i++) /* V streams at a time, which is what prefetchers can follow */
        for (int64_t k = 0; k < steps; k += VL)
            FN(pack_block)(vectors[i].out + k * stride, stride, vectors[i].in + k, unit_stride, vectors[i].units,
                           (int)FRNN_MIN(VL, steps - k));
}

/* `steps` terms of panel p, from k on, into their place in `out`, where the panel is. */
static void FN(pack_panel)(real *out, const frnn_panels *b, const frnn_pack_source *source, int64_t p, int64_t k,
                           int64_t steps)
{
    FN(pack_vector) vectors[FRNN_MAX_GATES]; /* of a row of the panel */
    const int count = (int)(b->gates * FN(panel_units)(b, p)), slice = TILE_SLICE(count);
    for (int i = 0; i < count; i++) {
        const int64_t g = i / FN(panel_units)(b, p), v = i % FN(panel_units)(b, p);
        const int64_t unit = (p * b->units + v) * VL;
        vectors[i] = (FN(pack_vector)){.in = (const real *)source->data + g * source->gate_stride +
                                             unit * source->unit_stride + k * source->k_stride,
                                       .out = out + (i / slice * b->depth + k) * slice * VL + i % slice * VL,
                                       .units = (int)FRNN_MIN(VL, b->n - unit)};
    }
    if (source->unit_stride == 1)
        FN(pack_copied)(vectors, count, slice * VL, steps, source->k_stride);
    else
        FN(pack_transposed)(vectors, count, slice * VL, steps, source->unit_stride);
}

/* Rows of the source copied before the next panel takes its share of them: what one page holds is read while it is hot. */
#define PACK_ROWS 64

#if REAL_IS_FLOAT
static void FN(pack_quantized)(void *dst, const frnn_panels *, const frnn_pack_source *, int64_t panel,
                               int64_t beyond); /* quantized_tpl.h */
#endif

/* Part number `part` of so many: of the terms where these are rows of the source, else of the panels. */
static void FN(pack)(void *dst, const frnn_panels *b, const frnn_pack_source *source, int part, int parts)
{
    const int copied = source->unit_stride == 1 && b->format == FRNN_WEIGHTS_REAL;
    const int64_t panels = FN(panel_count)(b), chunk = copied ? PACK_ROWS : b->depth;
    const int64_t first = copied ? 0 : part * panels / parts, beyond = copied ? panels : (part + 1) * panels / parts;
#if REAL_IS_FLOAT
    if (b->format != FRNN_WEIGHTS_REAL) {
        FN(pack_quantized)(dst, b, source, first, beyond);
        return;
    }
#endif
    const int64_t end = copied ? (part + 1) * b->depth / parts : b->depth;
    for (int64_t k = copied ? part * b->depth / parts : 0; k < end; k += chunk)
        for (int64_t p = first; p < beyond; p++)
            FN(pack_panel)((real *)dst + p * b->depth * b->gates * b->units * VL, b, source, p, k,
                           FRNN_MIN(chunk, end - k));
}

#undef PACK_ROWS
#undef PACK_AHEAD
