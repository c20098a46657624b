/* AVX-512's 32 registers with half of its vector: -mavx512vl beside the flags of avx2 */
#if !(defined(__AVX512VL__) && defined(__FMA__))
#error "isa/avx512vl.c needs its flags (setup.py)"
#endif
#define FRNN_ISA avx512vl
#define FRNN_VECTOR_BYTES 32
#define FRNN_VECTOR_REGISTERS 32
#include "kernels/all_tpl.h"
