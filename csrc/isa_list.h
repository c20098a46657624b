/* A line an ISA, best first: X(name, predicate). FRNN_HAVE_<isa> is defined by the build for each unit it compiles
 * (the table of setup.py), so that the list and the libraries cannot disagree. */
#ifndef FRNN_ISA_LIST_H
#define FRNN_ISA_LIST_H

#ifdef FRNN_HAVE_avx512vnni
#define FRNN_ISA_AVX512VNNI(X) X(avx512vnni, frnn_cpu_has_avx512vnni)
#else
#define FRNN_ISA_AVX512VNNI(X)
#endif
#ifdef FRNN_HAVE_avx512
#define FRNN_ISA_AVX512(X) X(avx512, frnn_cpu_has_avx512)
#else
#define FRNN_ISA_AVX512(X)
#endif
#ifdef FRNN_HAVE_avx512vl
#define FRNN_ISA_AVX512VL(X) X(avx512vl, frnn_cpu_has_avx512)
#else
#define FRNN_ISA_AVX512VL(X)
#endif
#ifdef FRNN_HAVE_avx2
#define FRNN_ISA_AVX2(X) X(avx2, frnn_cpu_has_avx2)
#else
#define FRNN_ISA_AVX2(X)
#endif
#ifdef FRNN_HAVE_neon
#define FRNN_ISA_NEON(X) X(neon, always)
#else
#define FRNN_ISA_NEON(X)
#endif
#ifdef FRNN_HAVE_baseline
#define FRNN_ISA_BASELINE(X) X(baseline, always)
#else
#define FRNN_ISA_BASELINE(X)
#endif

#define FRNN_ISA_LIST(X)                                                                                               \
    FRNN_ISA_AVX512VNNI(X)                                                                                             \
    FRNN_ISA_AVX512(X) FRNN_ISA_AVX512VL(X) FRNN_ISA_AVX2(X) FRNN_ISA_NEON(X) FRNN_ISA_BASELINE(X)

#endif
