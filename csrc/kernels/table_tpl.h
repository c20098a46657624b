/* The kernels of one dtype, gathered. Cells appear in the order of cell_list.h. */
#define FRNN_STEP_FORWARD(id, name, ...) FN(name##_forward),
#define FRNN_STEP_BACKWARD(id, name, ...) FN(name##_backward),

static const frnn_kernels FN(kernels) = {
    .lanes = VL,
    .real_size = sizeof(real),
    .sliced = TILE_SLICED,
    .pack = FN(pack),
    .product = FN(product),
    .outer_chunk = OUTER_CHUNK,
    .outer_scratch = OUTER_SCRATCH,
    .outer = FN(outer),
    .step_forward = {FRNN_CELL_LIST(FRNN_STEP_FORWARD)},
    .step_backward = {FRNN_CELL_LIST(FRNN_STEP_BACKWARD)},
    .add_bias = FN(add_bias),
    .multiply = FN(multiply),
    .scale = FN(scale),
    .mix = FN(mix),
    .combine_dh = FN(combine_dh),
    .sum_of_squares = FN(sum_of_squares),
    .embedding_gather = FN(embedding_gather),
    .embedding_scatter = FN(embedding_scatter),
    .cross_entropy_row = FN(cross_entropy_row),
    .softmax_f64 = FN(softmax_f64),
    .ctc_scratch = FN(ctc_scratch),
    .ctc_row = FN(ctc_row),
    .sgd = FN(sgd),
    .rmsprop = FN(rmsprop),
    .adagrad = FN(adagrad),
    .adam = FN(adam),
    .fma_loop = FN(fma_loop),
    .array_exp = FN(array_exp),
    .array_sigmoid = FN(array_sigmoid),
    .array_tanh = FN(array_tanh),
};

#undef FRNN_STEP_FORWARD
#undef FRNN_STEP_BACKWARD
