/* Compiler macros. GCC and Clang (clang-cl on Windows): the kernels need vector extensions. */
#ifndef FRNN_COMPILER_H
#define FRNN_COMPILER_H

#if !defined(__GNUC__) && !defined(__clang__)
#error "fastrnn needs GCC or Clang (on Windows: clang-cl): its kernels are written in vector extensions"
#endif

#define FRNN_INLINE static inline __attribute__((always_inline))
#define FRNN_NOINLINE __attribute__((noinline))
#define FRNN_UNUSED __attribute__((unused))
#define FRNN_RESTRICT __restrict__
/* In a loop of a few turns, which the compiler would take to be long and turn into vectors. */
#define FRNN_KEEP_SCALAR __asm__ volatile("")

#define FRNN_CACHE_LINE 64 /* bytes between prefetches; where lines are longer, some are asked for twice */

#define FRNN_CAT_(a, b) a##_##b
#define FRNN_CAT(a, b) FRNN_CAT_(a, b)

#define FRNN_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FRNN_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
