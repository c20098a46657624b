/* Packing a matrix into panels (kernel_table.h, frnn_panels). Done once a weight update; lanes past n are zero. */

#if REAL_IS_FLOAT
static void FN(pack_quantized)(void *dst, const frnn_panels *, const frnn_pack_source *); /* quantized_tpl.h */
#endif

static void FN(pack)(void *dst, const frnn_panels *b, const frnn_pack_source *source)
{
#if REAL_IS_FLOAT
    if (b->format != FRNN_WEIGHTS_REAL) {
        FN(pack_quantized)(dst, b, source);
        return;
    }
#endif
    real *out = dst;
    const real *in = source->data;
    for (int64_t p = 0; p < FN(panel_count)(b); p++) {
        const int64_t units = FN(panel_units)(b, p);
        const int64_t width = units * VL, first = p * b->units * VL;
        const int64_t real_units = FRNN_MIN(width, b->n - first);
        for (int64_t k = 0; k < b->depth; k++)
            for (int64_t g = 0; g < b->gates; g++, out += width) {
                const real *from = in + g * source->gate_stride + first * source->unit_stride + k * source->k_stride;
                for (int64_t u = 0; u < real_units; u++)
                    out[u] = from[u * source->unit_stride];
                for (int64_t u = real_units; u < width; u++)
                    out[u] = 0;
            }
    }
}
