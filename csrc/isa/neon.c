/* -march with Advanced SIMD (every aarch64) */
#if !(defined(__aarch64__))
#error "isa/neon.c needs its flags (setup.py)"
#endif
#define FRNN_ISA neon
#define FRNN_VECTOR_BYTES 16
#define FRNN_VECTOR_REGISTERS 32
#include "kernels/all_tpl.h"
