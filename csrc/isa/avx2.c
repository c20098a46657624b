/* -mavx2 -mfma */
#if !(defined(__AVX2__) && defined(__FMA__))
#error "isa/avx2.c needs its flags (setup.py)"
#endif
#define FRNN_ISA avx2
#define FRNN_VECTOR_BYTES 32
#define FRNN_VECTOR_REGISTERS 16
#include "kernels/all_tpl.h"
