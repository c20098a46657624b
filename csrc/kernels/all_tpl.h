/* Every kernel for both dtypes, and the one external symbol of a compile unit: its table. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cell_list.h"
#include "kernel_table.h"
#include "platform/arena.h"
#include "platform/compiler.h"
#include "platform/cpu.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "simd/names.h"

#define REAL_IS_FLOAT 1
#include "kernels/real_tpl.h"
#undef REAL_IS_FLOAT
#define REAL_IS_FLOAT 0
#include "kernels/real_tpl.h"
#undef REAL_IS_FLOAT

const frnn_kernels *const FRNN_CAT(frnn_tables, FRNN_ISA)[2] = {&kernels_f32, &kernels_f64};
