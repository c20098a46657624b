/* All kernels for one `real`: float when REAL_IS_FLOAT is 1, double when it is 0. Included by all_tpl.h only.
 *
 * FN(name) gives name its dtype suffix; the ISA needs none, because everything here is static to its compile unit
 * but the one table of isa/<isa>.c. */

#if REAL_IS_FLOAT
#define real float
#define real_bits int32_t
#define REAL_ABS_MASK 0x7fffffff
#define REAL_MANTISSA_BITS 23
#define real_sqrt sqrtf
#define FN(name) FRNN_CAT(name, f32)
#else
#define real double
#define real_bits int64_t
#define REAL_ABS_MASK 0x7fffffffffffffffLL
#define REAL_MANTISSA_BITS 52
#define real_sqrt sqrt
#define FN(name) FRNN_CAT(name, f64)
#endif

#include "simd/vec.h"
#include "simd/vec_math.h"

#include "kernels/tile_tpl.h"
#include "kernels/pack_tpl.h"
#include "kernels/walk_tpl.h"
#include "kernels/walk_tiles_tpl.h"
#include "kernels/borrowed_tpl.h"
#if REAL_IS_FLOAT
#include "kernels/quantized_tpl.h"
#include "kernels/bfloat16_tpl.h"
#include "kernels/int8_tpl.h"
#endif
#include "kernels/outer_tpl.h"
#include "kernels/product_tpl.h"
#include "kernels/step_tpl.h"
#include "kernels/elementwise_tpl.h"
#include "kernels/cell_elman_tpl.h"
#include "kernels/cell_lstm_tpl.h"
#include "kernels/cell_gru_tpl.h"
#include "kernels/cell_min_tpl.h"
#include "kernels/row_norm_tpl.h"
#include "kernels/cell_lstm_norm_tpl.h"
#include "kernels/cell_gru_norm_tpl.h"
#include "kernels/embedding_tpl.h"
#include "kernels/softmax_tpl.h"
#include "kernels/ctc_tpl.h"
#include "kernels/optimizer_tpl.h"
#include "kernels/peak_tpl.h"
#include "kernels/table_tpl.h"

#undef real
#undef real_bits
#undef REAL_ABS_MASK
#undef REAL_MANTISSA_BITS
#undef real_sqrt
#undef FN
#undef VL
#undef FORWARD_EPILOGUES
#undef EXP_MAX
#undef EXP_MIN
#undef TANH_SATURATED
#undef EXP_ROUND
#undef EXP_LN2_HIGH
#undef EXP_LN2_LOW
#undef EXP_LN2
#undef EXP_LOG2E
