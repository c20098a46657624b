/* Fused multiply-adds in registers and nothing else: what benchmarks divide by. Twelve independent chains hide the latency
 * of any processor's FMA. Returns the floating-point operations done; *sink keeps the compiler from dropping them. */

static double FN(fma_loop)(int64_t iterations, double *sink)
{
    enum { CHAINS = 12 };
    vec acc[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        acc[i] = v_splat((real)i);
    const volatile real factor = (real)0.5, term = 1; /* not known to the compiler */
    const vec a = v_splat(factor), b = v_splat(term);
    for (int64_t k = 0; k < iterations; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            acc[i] = v_fma(acc[i], a, b);
    }
    vec total = acc[0];
    for (int i = 1; i < CHAINS; i++)
        total = total + acc[i];
    *sink = (double)v_sum(total);
    return 2.0 * CHAINS * VL * (double)iterations;
}
