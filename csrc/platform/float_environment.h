/* Denormals are flushed to zero inside a call, in every thread of it, and the caller's setting is restored: gradients
 * decay into denormals, which cost a hundred cycles an operation on many processors. */
#ifndef FRNN_FLOAT_ENVIRONMENT_H
#define FRNN_FLOAT_ENVIRONMENT_H

#include <stdint.h>

#include "platform/compiler.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef unsigned int frnn_float_environment;
#define FRNN_FLUSH_BITS 0x8040u /* flush to zero, denormals are zero */

FRNN_INLINE frnn_float_environment frnn_flush_denormals(void)
{
    const unsigned int saved = _mm_getcsr();
    _mm_setcsr(saved | FRNN_FLUSH_BITS);
    return saved;
}

/* Exception flags that the call raised stay raised, as after any arithmetic; only the two modes go back. */
FRNN_INLINE void frnn_restore_denormals(frnn_float_environment saved)
{
    _mm_setcsr((_mm_getcsr() & ~FRNN_FLUSH_BITS) | (saved & FRNN_FLUSH_BITS));
}

#elif defined(__aarch64__)

typedef uint64_t frnn_float_environment;
#define FRNN_FLUSH_BIT (1ull << 24) /* FPCR.FZ */

FRNN_INLINE frnn_float_environment frnn_flush_denormals(void)
{
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" ::"r"(saved | FRNN_FLUSH_BIT));
    return saved;
}

FRNN_INLINE void frnn_restore_denormals(frnn_float_environment saved)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(saved));
}

#else

typedef int frnn_float_environment;

FRNN_INLINE frnn_float_environment frnn_flush_denormals(void)
{
    return 0;
}

FRNN_INLINE void frnn_restore_denormals(frnn_float_environment saved)
{
    (void)saved;
}

#endif

#endif
