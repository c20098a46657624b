/* -mavx512f -mfma */
#if !(defined(__AVX512F__) && defined(__FMA__))
#error "isa/avx512.c needs its flags (setup.py)"
#endif
#define FRNN_ISA avx512
#define FRNN_VECTOR_BYTES 64
#define FRNN_VECTOR_REGISTERS 32
#include "kernels/all_tpl.h"
