/* Packed panels against their definition in kernel_table.h: every element where it belongs, zeros in lanes past n. */
#include <string.h>

#include "dispatch.h"
#include "platform/compiler.h"
#include "testing.h"

/* A matrix [gates * n, depth], or with `transposed` [depth, gates * n]. */
static void check(const frnn_kernels *kernels, int dtype, frnn_panels panels, int transposed, int parts)
{
    const int64_t V = kernels->lanes, n = panels.n, depth = panels.depth, gates = panels.gates;
    const int64_t padded = (n + V - 1) / V * V, columns = gates * n;
    const double *matrix = random_doubles(columns * depth, 1, 2);
    const frnn_pack_source source = {.data = to_real(dtype, columns * depth, matrix),
                                     .gate_stride = transposed ? n : n * depth,
                                     .unit_stride = transposed ? 1 : depth,
                                     .k_stride = transposed ? columns : 1};
    const void *seen = block(real_size(dtype) * (size_t)(gates * padded * depth));
    for (int part = parts - 1; part >= 0; part--)
        kernels->pack((void *)seen, &panels, &source, part, parts);
    int right = 1;
    int64_t i = 0;
    for (int64_t first = 0; first < padded; first += panels.units * V) {
        const int64_t units = FRNN_MIN(panels.units, (padded - first) / V), vectors = gates * units;
        const int64_t slice = kernels->sliced && vectors == 4 ? 2 : vectors;
        for (int64_t from = 0; from < vectors; from += slice)
            for (int64_t k = 0; k < depth; k++)
                for (int64_t v = from; v < from + slice; v++)
                    for (int64_t lane = 0; lane < V; lane++, i++) {
                        const int64_t g = v / units, u = first + v % units * V + lane;
                        const int64_t at = g * source.gate_stride + u * source.unit_stride + k * source.k_stride;
                        right &= real_at(dtype, seen, i) == (u < n ? matrix[at] : 0);
                    }
    }
    CHECK(right && i == gates * padded * depth, "%d gates, %d vectors, n=%d depth=%d%s, %d parts", (int)gates,
          (int)panels.units, (int)n, (int)depth, transposed ? " transposed" : "", parts);
    release();
}

void test_pack(void)
{
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("pack %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        seed(8);
        const frnn_kernels *kernels = frnn_kernels_for(isa, dtype);
        const int64_t V = kernels->lanes;
        const int64_t sizes[] = {1, 2, V - 1, V, V + 1, 3 * V, 4 * V + 1, 9 * V - 1, 150};
        enum { SIZES = sizeof sizes / sizeof *sizes };
        for (int64_t gates = 1; gates <= 4; gates++)
            for (int64_t units = 1; units * gates <= 4; units++)
                for (int i = 0; i < SIZES; i++)
                    for (int j = 0; j < SIZES; j++)
                        for (int transposed = 0; transposed < 2; transposed++)
                            check(kernels, dtype,
                                  (frnn_panels){.gates = gates, .units = units, .n = sizes[i], .depth = sizes[j]},
                                  transposed, 1 + (i + j) % 3);
        group_end();
    }
}
