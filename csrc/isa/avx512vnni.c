/* AVX-512 and its dot products of bytes: -mavx512vnni beside the flags of avx512 */
#if !(defined(__AVX512F__) && defined(__AVX512VNNI__) && defined(__FMA__))
#error "isa/avx512vnni.c needs its flags (setup.py)"
#endif
#define FRNN_ISA avx512vnni
#define FRNN_VECTOR_BYTES 64
#define FRNN_VECTOR_REGISTERS 32
#include "kernels/all_tpl.h"
