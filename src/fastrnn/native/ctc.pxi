# Connectionist temporal classification: the loss, and prefix beam search.

def ctc(logits, targets, input_lengths, target_lengths, int64_t blank=0, row_weight=None):
    """logits [T, N, C], targets int64 [N, L], lengths int64 [N] -> (row losses float64 [N], gradient [T, N, C])."""
    cdef frnn_ctc_args q
    cdef list keep = []
    cdef cnp.ndarray array = cnp.PyArray_GETCONTIGUOUS(_dims("logits", logits, 3))
    cdef cnp.npy_intp[3] TNC = [array.shape[0], array.shape[1], array.shape[2]]
    cdef cnp.npy_intp[2] NL = [TNC[1], -1]
    cdef int64_t n, i
    memset(&q, 0, sizeof(q))
    q.dtype, q.T, q.N, q.C = _dtype_id("logits", array), TNC[0], TNC[1], TNC[2]
    if not 0 <= blank < q.C:
        raise IndexError(f"blank must be in 0..{q.C - 1}, got {blank}")
    cdef cnp.ndarray labels = _contiguous("targets", targets, cnp.NPY_INT64, 2, NL)
    q.L = labels.shape[1]
    cdef cnp.ndarray steps = _ids("input_lengths", input_lengths, 1, NL, 0, q.T, 0)
    cdef cnp.ndarray counts = _ids("target_lengths", target_lengths, 1, NL, 0, q.L, 0)
    q.logits, q.targets = cnp.PyArray_DATA(array), <const int64_t *>cnp.PyArray_DATA(labels)
    q.input_lengths = <const int64_t *>cnp.PyArray_DATA(steps)
    q.target_lengths = <const int64_t *>cnp.PyArray_DATA(counts)
    for n in range(q.N):
        for i in range(n * q.L, n * q.L + q.target_lengths[n]):
            if q.targets[i] < 0 or q.targets[i] >= q.C or q.targets[i] == blank:
                raise IndexError(f"targets must be in 0..{q.C - 1} and not blank {blank}, got {q.targets[i]}")
    q.blank, q.row_weight = blank, <const double *>_pointer(keep, "row_weight", row_weight, cnp.NPY_FLOAT64, 1, NL)
    cdef cnp.ndarray losses = _empty(1, NL, cnp.NPY_FLOAT64)
    cdef cnp.ndarray dlogits = _empty(3, TNC, _type_number(q.dtype))
    q.row_loss, q.dlogits = <double *>cnp.PyArray_DATA(losses), cnp.PyArray_DATA(dlogits)
    q.threads = frnn_ctc_threads(&q)
    cdef Buffer scratch = _allocate(frnn_ctc_scratch(&q))
    q.scratch = scratch.data
    with nogil:
        frnn_ctc(&q)
    return losses, dlogits


def ctc_beam(logits, lengths, int64_t beam_width, int64_t blank=0, int64_t n_best=1, transition=None):
    """logits [T, N, C], lengths int64 [N] -> (labels int64 [N, n_best, T], counts int64 and scores [N, n_best])."""
    cdef frnn_ctc_beam_args q
    cdef list keep = []
    cdef cnp.ndarray array = cnp.PyArray_GETCONTIGUOUS(_dims("logits", logits, 3))
    memset(&q, 0, sizeof(q))
    q.dtype, q.T, q.N, q.C = _dtype_id("logits", array), array.shape[0], array.shape[1], array.shape[2]
    cdef cnp.npy_intp[2] CC = [q.C, q.C]
    cdef cnp.npy_intp[3] NBT = [q.N, n_best, q.T]
    if not 0 <= blank < q.C:
        raise IndexError(f"blank must be in 0..{q.C - 1}, got {blank}")
    if not 1 <= n_best <= beam_width or beam_width >= 1 << 24:
        raise ValueError(f"n_best and beam_width must be 1 <= n_best <= beam_width < 2**24, got {n_best}, {beam_width}")
    cdef cnp.ndarray steps = _ids("lengths", lengths, 1, NBT, 0, q.T, 0)
    q.logits, q.lengths = cnp.PyArray_DATA(array), <const int64_t *>cnp.PyArray_DATA(steps)
    q.blank, q.beam_width, q.n_best = blank, beam_width, n_best
    q.transition = <const double *>_pointer(keep, "transition", transition, cnp.NPY_FLOAT64, 2, CC)
    cdef cnp.ndarray labels = cnp.PyArray_ZEROS(3, NBT, cnp.NPY_INT64, 0)
    cdef cnp.ndarray counts = cnp.PyArray_EMPTY(2, NBT, cnp.NPY_INT64, 0)
    cdef cnp.ndarray scores = cnp.PyArray_EMPTY(2, NBT, cnp.NPY_FLOAT64, 0)
    q.labels, q.counts = <int64_t *>cnp.PyArray_DATA(labels), <int64_t *>cnp.PyArray_DATA(counts)
    q.scores = <double *>cnp.PyArray_DATA(scores)
    q.threads = frnn_ctc_beam_threads(&q)
    cdef Buffer scratch = _allocate(frnn_ctc_beam_scratch(&q))
    q.scratch = scratch.data
    with nogil:
        frnn_ctc_beam(&q)
    return labels, counts, scores
