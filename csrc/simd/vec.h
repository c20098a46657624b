/* The vector contract: one register of FRNN_VECTOR_BYTES bytes of `real`, on GCC/Clang vector extensions.
 *
 * Included twice in a compile unit, once with `real` = float and once with `real` = double (see
 * kernels/real_tpl.h, which defines real, real_bits, FN and the mantissa constants). +, -, *, / and comparisons
 * are the compiler's own. Only what the extensions cannot say is written with intrinsics: fused multiply-add
 * (explicit, because kernels are compiled with -ffp-contract=off so that two inlined copies of one expression
 * can never round differently) and masked tails.
 *
 *   vec, vec_bits                        a register of real; the same lanes as signed integers
 *   v_load v_store                       unaligned
 *   v_load_n v_store_n                   first n lanes, 0 <= n <= VL; others read as 0, are not written
 *   v_splat v_zero                       one value in every lane
 *   v_fma(a, b, c)                       a*b + c (rounded once where the ISA can)
 *   v_select(m, a, b) v_min v_max        lane-wise; NaN in the second argument of v_min/v_max is kept
 *   v_abs v_bits v_from_bits
 *   v_reciprocal(a)                      1/a to about one unit in the last place, where a and 1/a are normal numbers
 *   v_fraction(a, b)                     a/b to half a unit or little more and at most 1 in magnitude, |a| <= b, b = 1 or more, far
 *                                        from the limits
 *   v_zip_low v_zip_high                 lanes of a and b in turn, from their lower or upper halves: a0 b0 a1 b1 ... With 32 bytes
 *                                        each 16 of them on their own (ZIP_LANES), which is one instruction; then also
 *   v_load_halves v_low_halves v_high_halves    half a vector from p and half from q; the lower, or upper, halves of a and b
 *   v_sum v_maximum                      over lanes, in a fixed order
 */

#define VL ((int)(FRNN_VECTOR_BYTES / sizeof(real)))

typedef real vec __attribute__((vector_size(FRNN_VECTOR_BYTES)));
typedef real_bits vec_bits __attribute__((vector_size(FRNN_VECTOR_BYTES)));
typedef vec vec_unaligned __attribute__((aligned(sizeof(real)), may_alias));

FRNN_INLINE vec v_load(const real *p)
{
    return *(const vec_unaligned *)p;
}

FRNN_INLINE void v_store(real *p, vec a)
{
    *(vec_unaligned *)p = a;
}

FRNN_INLINE vec v_splat(real a)
{
    return a - (vec){0}; /* -0.0 stays -0.0; GCC and Clang emit one broadcast */
}

FRNN_INLINE vec v_zero(void)
{
    return (vec){0};
}

FRNN_INLINE vec v_from_bits(vec_bits a)
{
    return (vec)a;
}

FRNN_INLINE vec_bits v_bits(vec a)
{
    return (vec_bits)a;
}

FRNN_INLINE vec v_select(vec_bits mask, vec a, vec b)
{
    return (vec)((mask & (vec_bits)a) | (~mask & (vec_bits)b));
}

FRNN_INLINE vec v_abs(vec a)
{
    return (vec)((vec_bits)a & REAL_ABS_MASK);
}

/* Spelled as constructors, which GCC and Clang turn into one permutation where the ISA has it; their builtins differ. */
#define PAIRS_1(i) a[i], b[i]
#define PAIRS_2(i) PAIRS_1(i), PAIRS_1((i) + 1)
#define PAIRS_4(i) PAIRS_2(i), PAIRS_2((i) + 2)
#define PAIRS_8(i) PAIRS_4(i), PAIRS_4((i) + 4)
#if FRNN_VECTOR_BYTES == 32 && REAL_IS_FLOAT
#define PAIRS(i) PAIRS_2(i), PAIRS_2((i) + VL / 2)
#elif FRNN_VECTOR_BYTES == 32
#define PAIRS(i) PAIRS_1(i), PAIRS_1((i) + VL / 2)
#elif FRNN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
#define PAIRS(i) PAIRS_8(i)
#elif FRNN_VECTOR_BYTES == 64
#define PAIRS(i) PAIRS_4(i)
#elif REAL_IS_FLOAT
#define PAIRS(i) PAIRS_2(i)
#else
#define PAIRS(i) PAIRS_1(i)
#endif
#define ZIP_LANES (FRNN_VECTOR_BYTES == 32 ? VL / 2 : VL)

FRNN_INLINE vec v_zip_low(vec a, vec b)
{
    return (vec){PAIRS(0)};
}

FRNN_INLINE vec v_zip_high(vec a, vec b)
{
    return (vec){PAIRS(ZIP_LANES / 2)};
}

#undef PAIRS
#undef PAIRS_1
#undef PAIRS_2
#undef PAIRS_4
#undef PAIRS_8

/* ---- fused multiply-add, minimum and maximum, masked tails: per ISA ----
 *
 * v_min: a where a < b, else b, so that NaN in b is returned, which is what x86 does in one instruction and compilers do not
 * see in the expression. */

#if FRNN_VECTOR_BYTES == 64 && defined(__AVX512F__)

#if REAL_IS_FLOAT
#define FRNN_MASK(n) ((__mmask16)((1u << (n)) - 1))
FRNN_INLINE vec v_min(vec a, vec b)
{
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
}
FRNN_INLINE vec v_max(vec a, vec b)
{
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
}
FRNN_INLINE vec v_fma(vec a, vec b, vec c)
{
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
FRNN_INLINE vec v_load_n(const real *p, int n)
{
    return (vec)_mm512_maskz_loadu_ps(FRNN_MASK(n), p);
}
FRNN_INLINE void v_store_n(real *p, vec a, int n)
{
    _mm512_mask_storeu_ps(p, FRNN_MASK(n), (__m512)a);
}
#else
#define FRNN_MASK(n) ((__mmask8)((1u << (n)) - 1))
FRNN_INLINE vec v_min(vec a, vec b)
{
    return (vec)_mm512_min_pd((__m512d)a, (__m512d)b);
}
FRNN_INLINE vec v_max(vec a, vec b)
{
    return (vec)_mm512_max_pd((__m512d)a, (__m512d)b);
}
FRNN_INLINE vec v_fma(vec a, vec b, vec c)
{
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
FRNN_INLINE vec v_load_n(const real *p, int n)
{
    return (vec)_mm512_maskz_loadu_pd(FRNN_MASK(n), p);
}
FRNN_INLINE void v_store_n(real *p, vec a, int n)
{
    _mm512_mask_storeu_pd(p, FRNN_MASK(n), (__m512d)a);
}
#endif
#undef FRNN_MASK

/* An estimate to 14 bits, then Newton's steps r (2 - a r), which have no small intermediate that could be flushed. A
 * division would hold the pipe for ten cycles, and five of them were a tenth of an LSTM's forward pass. */
FRNN_INLINE vec FN(estimate)(vec a)
{
#if REAL_IS_FLOAT
    return (vec)_mm512_rcp14_ps((__m512)a);
#else
    const vec r = (vec)_mm512_rcp14_pd((__m512d)a);
    return r * v_fma(-a, r, v_splat(2));
#endif
}
FRNN_INLINE vec v_reciprocal(vec a)
{
    const vec r = FN(estimate)(a);
    return r * v_fma(-a, r, v_splat(2));
}
FRNN_INLINE vec v_fraction(vec a, vec b)
{
    const vec r = FN(estimate)(b), q = a * r;
    return v_min(v_splat(1), v_fma(v_fma(-b, q, a), r, q)); /* which may round to above 1 */
}

#else /* every other width: the tail through a register-sized copy or AVX masks */

#if FRNN_VECTOR_BYTES == 32 && defined(__AVX2__)

FRNN_INLINE vec v_load_halves(const real *p, const real *q)
{
#if REAL_IS_FLOAT
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1);
#else
    return (vec)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(q), 1);
#endif
}
FRNN_INLINE vec v_low_halves(vec a, vec b)
{
    return (vec)_mm256_permute2f128_si256((__m256i)a, (__m256i)b, 0x20);
}
FRNN_INLINE vec v_high_halves(vec a, vec b)
{
    return (vec)_mm256_permute2f128_si256((__m256i)a, (__m256i)b, 0x31);
}

FRNN_INLINE vec v_fma(vec a, vec b, vec c)
{
#if REAL_IS_FLOAT
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

FRNN_INLINE vec v_min(vec a, vec b)
{
#if REAL_IS_FLOAT
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return (vec)_mm256_min_pd((__m256d)a, (__m256d)b);
#endif
}
FRNN_INLINE vec v_max(vec a, vec b)
{
#if REAL_IS_FLOAT
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (vec)_mm256_max_pd((__m256d)a, (__m256d)b);
#endif
}

/* Lanes below n are all ones: a window into a constant of VL ones and VL zeros. */
FRNN_INLINE __m256i FN(tail_mask)(int n)
{
    static const real_bits ones_then_zeros[2 * FRNN_VECTOR_BYTES / sizeof(real)] = {
        -1, -1, -1, -1,
#if REAL_IS_FLOAT
        -1, -1, -1, -1,
#endif
    };
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + VL - n));
}
FRNN_INLINE vec v_load_n(const real *p, int n)
{
#if REAL_IS_FLOAT
    return (vec)_mm256_maskload_ps(p, FN(tail_mask)(n));
#else
    return (vec)_mm256_maskload_pd(p, FN(tail_mask)(n));
#endif
}

/* In parts of a power of two: a masked store is microcode on AMD's processors, and the load that follows it waits. */
FRNN_INLINE void v_store_n(real *p, vec a, int n)
{
    if (n == VL) {
        v_store(p, a);
        return;
    }
#if REAL_IS_FLOAT
    __m128 part = _mm256_castps256_ps128((__m256)a);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps((__m256)a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, part);
#else
    __m128d part = _mm256_castpd256_pd128((__m256d)a);
    if (n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd((__m256d)a, 1);
        p += 2;
    }
    if (n & 1)
        _mm_store_sd(p, part);
#endif
}

#else /* plain extensions */

FRNN_INLINE vec v_fma(vec a, vec b, vec c)
{
#if defined(__aarch64__) && FRNN_VECTOR_BYTES == 16
#if REAL_IS_FLOAT
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
#else
    return a * b + c;
#endif
}
FRNN_INLINE vec v_min(vec a, vec b)
{
    return v_select(a < b, a, b);
}
FRNN_INLINE vec v_max(vec a, vec b)
{
    return v_select(a > b, a, b);
}
FRNN_INLINE vec v_load_n(const real *p, int n)
{
    vec a = {0};
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}
FRNN_INLINE void v_store_n(real *p, vec a, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = a[i];
}

#endif
#endif

#if !(FRNN_VECTOR_BYTES == 64 && defined(__AVX512F__))
FRNN_INLINE vec v_reciprocal(vec a)
{
    return v_splat(1) / a;
}
FRNN_INLINE vec v_fraction(vec a, vec b)
{
    return a / b;
}
#endif

FRNN_INLINE FRNN_UNUSED real v_sum(vec a)
{
    real s[FRNN_VECTOR_BYTES / sizeof(real)];
    v_store(s, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] += s[i + half];
    return s[0];
}

FRNN_INLINE FRNN_UNUSED real v_maximum(vec a)
{
    real m = a[0];
    for (int i = 1; i < VL; i++)
        m = a[i] > m ? a[i] : m;
    return m;
}
