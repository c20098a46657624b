/* Plain names for the vector contract: v_fma means v_fma_f32 or v_fma_f64, whichever `real` is now. */
#ifndef FRNN_NAMES_H
#define FRNN_NAMES_H

#define vec FN(vec)
#define vec_bits FN(vec_bits)
#define vec_unaligned FN(vec_unaligned)
#define v_load FN(v_load)
#define v_store FN(v_store)
#define v_load_n FN(v_load_n)
#define v_store_n FN(v_store_n)
#define v_splat FN(v_splat)
#define v_zero FN(v_zero)
#define v_fma FN(v_fma)
#define v_select FN(v_select)
#define v_min FN(v_min)
#define v_max FN(v_max)
#define v_abs FN(v_abs)
#define v_bits FN(v_bits)
#define v_from_bits FN(v_from_bits)
#define v_reciprocal FN(v_reciprocal)
#define v_fraction FN(v_fraction)
#define v_zip_low FN(v_zip_low)
#define v_zip_high FN(v_zip_high)
#define v_load_halves FN(v_load_halves)
#define v_low_halves FN(v_low_halves)
#define v_high_halves FN(v_high_halves)
#define v_sum FN(v_sum)
#define v_maximum FN(v_maximum)
#define v_exp FN(v_exp)
#define v_sigmoid FN(v_sigmoid)
#define v_tanh FN(v_tanh)

#endif
