# The ABI of csrc/fastrnn.h, as Cython sees it.

cdef extern from "fastrnn.h" nogil:
    enum: FRNN_ALIGNMENT
    enum: FRNN_OK
    enum: FRNN_ISA_UNSUPPORTED
    enum: FRNN_CELL_COUNT
    enum: FRNN_WEIGHTS_REAL
    enum: FRNN_WEIGHTS_BORROWED
    ctypedef enum frnn_optimizer:
        FRNN_SGD, FRNN_RMSPROP, FRNN_ADAGRAD, FRNN_ADAM

    int frnn_isa_count()
    const char *frnn_isa_name(int)
    int frnn_isa_supported(int)
    int frnn_isa_current()
    int frnn_isa_for(int, int, int64_t)
    int frnn_start(const char *)
    int frnn_set_num_threads(int)
    int frnn_get_num_threads()

    ctypedef struct frnn_layer:
        int32_t cell, dtype, isa, format
        int64_t input_size, hidden_size, proj_size

    ctypedef struct frnn_weights:
        void *weight_ih
        void *weight_hh
        void *bias_ih
        void *bias_hh
        void *weight_hr
        void *ln_ih
        void *ln_hh
        void *ln_c_weight
        void *ln_c_bias

    size_t frnn_packed_size(const frnn_layer *, int)
    void frnn_pack(const frnn_layer *, const frnn_weights *, int, void *)

    ctypedef struct frnn_sequence:
        frnn_layer layer
        const void *packed
        int64_t T, N
        int reverse, training, threads, phase
        int64_t checkpoint_every
        const void *x
        int64_t x_t_stride, x_n_stride
        const int64_t *tokens
        const void *input_table
        const void *h0
        const void *c0
        const int64_t *lengths
        const uint8_t *resets
        const void *input_mask
        const void *hidden_mask
        const void *zoneout_h
        const void *zoneout_c
        int64_t zoneout_h_t_stride, zoneout_h_n_stride, zoneout_c_t_stride, zoneout_c_n_stride
        void *y
        int64_t y_t_stride, y_n_stride
        void *hn
        void *cn
        void *saved
        void *scratch

    int frnn_sequence_threads(const frnn_sequence *)
    size_t frnn_saved_size(const frnn_sequence *)
    size_t frnn_forward_scratch(const frnn_sequence *)
    void frnn_forward(const frnn_sequence *)

    ctypedef struct frnn_sequence_gradient:
        const frnn_sequence *sequence
        const void *dy
        int64_t dy_t_stride, dy_n_stride
        const void *dhn
        const void *dcn
        void *dx
        int64_t dx_t_stride, dx_n_stride
        void *dh0
        void *dc0
        frnn_weights dweights
        int overwrite
        void *dtable
        void *scratch

    size_t frnn_backward_scratch(const frnn_sequence_gradient *)
    void frnn_backward(const frnn_sequence_gradient *)

    ctypedef struct frnn_linear:
        int32_t dtype, isa, format
        int64_t in_features, out_features

    size_t frnn_linear_packed_size(const frnn_linear *, int)
    void frnn_linear_pack(const frnn_linear *, const void *, const void *, int, void *)
    int frnn_linear_threads(const frnn_linear *, int64_t)
    size_t frnn_linear_scratch(const frnn_linear *, int64_t, int)
    void frnn_linear_forward(const frnn_linear *, const void *, int64_t, const void *, void *, int, void *)
    void frnn_linear_backward(const frnn_linear *, const void *, int64_t, const void *, const void *, void *, void *,
                              void *, int, int, void *)

    void frnn_embedding_forward(int, int64_t, int64_t, const int64_t *, const void *, void *)
    void frnn_embedding_backward(int, int64_t, int64_t, const int64_t *, const void *, void *)

    ctypedef struct frnn_cross_entropy_args:
        int32_t dtype
        int64_t M, C
        const void *logits
        const int64_t *targets
        const void *class_weight
        int64_t ignore_index
        double label_smoothing
        void *dlogits
        double *row_loss
        double *row_weight

    void frnn_cross_entropy(const frnn_cross_entropy_args *, double *, double *)

    ctypedef struct frnn_ctc_args:
        int32_t dtype
        int64_t T, N, C, L
        const void *logits
        const int64_t *targets
        const int64_t *input_lengths
        const int64_t *target_lengths
        int64_t blank
        const double *row_weight
        double *row_loss
        void *dlogits
        int threads
        void *scratch

    int frnn_ctc_threads(const frnn_ctc_args *)
    size_t frnn_ctc_scratch(const frnn_ctc_args *)
    void frnn_ctc(const frnn_ctc_args *)

    ctypedef struct frnn_ctc_beam_args:
        int32_t dtype
        int64_t T, N, C
        const void *logits
        const int64_t *lengths
        int64_t blank, beam_width, n_best
        const double *transition
        int64_t *labels
        int64_t *counts
        double *scores
        int threads
        void *scratch

    int frnn_ctc_beam_threads(const frnn_ctc_beam_args *)
    size_t frnn_ctc_beam_scratch(const frnn_ctc_beam_args *)
    void frnn_ctc_beam(const frnn_ctc_beam_args *)

    double frnn_sum_of_squares(int, int64_t, const void *)
    void frnn_scale(int, int64_t, double, void *)

    ctypedef struct frnn_optimizer_args:
        int64_t n
        void *param
        const void *grad
        void *state1
        void *state2
        void *state3
        double lr, weight_decay, eps, momentum, dampening, alpha, beta1, beta2, bias1, bias2_sqrt
        int nesterov, first, decoupled

    void frnn_optimizer_step(frnn_optimizer, int, const frnn_optimizer_args *)

    ctypedef struct frnn_token_stream:
        int64_t layers
        const frnn_sequence *sequences
        int64_t *token
        frnn_linear out
        const void *out_packed
        const void *h
        void *logits
        void *linear_scratch

    ctypedef struct frnn_sampling:
        double temperature
        int64_t top_k
        double top_p

    int frnn_input_table_threads(const frnn_layer *, int64_t)
    size_t frnn_input_table_size(const frnn_layer *, int64_t)
    size_t frnn_input_table_scratch(const frnn_layer *, int64_t, int)
    void frnn_input_table(const frnn_layer *, const void *, int64_t, const void *, void *, int, void *)
    void frnn_input_table_backward(const frnn_layer *, const void *, int64_t, const void *, const void *, void *,
                                   void *, int, int, void *)
    void frnn_token_logits(const frnn_token_stream *)
    void frnn_token_feed(const frnn_token_stream *, int64_t, const int64_t *)
    void frnn_prefer_large_pages(void *, size_t)
    double frnn_fma_loop(int, int64_t, double *)
    size_t frnn_sample_scratch(int64_t)
    void frnn_token_sample(const frnn_token_stream *, const frnn_sampling *, int64_t, const double *, int64_t *, void *)
