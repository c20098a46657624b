# Cross-entropy.

def cross_entropy(logits, targets, class_weight=None, int64_t ignore_index=-100, double label_smoothing=0.0):
    """logits [M, C], targets int64 [M] -> (loss sum, weight sum, gradient of the loss sum [M, C])."""
    cdef frnn_cross_entropy_args q
    cdef list keep = []
    cdef cnp.ndarray array = cnp.PyArray_GETCONTIGUOUS(_dims("logits", logits, 2))
    cdef int64_t M = array.shape[0], C = array.shape[1]
    cdef double loss_sum = 0, weight_sum = 0
    if C == 0:
        raise ValueError(f"logits must have at least one class, got shape {logits.shape}")
    cdef cnp.npy_intp[2] MC = [M, C]
    cdef int dtype_id = _dtype_id("logits", array)
    cdef int type_number = _type_number(dtype_id)
    cdef cnp.ndarray target = _ids("targets", targets, 1, MC, 0, C - 1, ignore_index)
    cdef cnp.ndarray dlogits = _empty(2, MC, type_number)
    cdef Buffer rows = _allocate(2 * sizeof(double) * M)
    memset(&q, 0, sizeof(q))
    q.dtype, q.M, q.C = dtype_id, M, C
    q.logits, q.targets = cnp.PyArray_DATA(array), <const int64_t *>cnp.PyArray_DATA(target)
    q.class_weight = _pointer(keep, "class_weight", class_weight, type_number, 1, MC + 1)
    q.ignore_index, q.label_smoothing = ignore_index, label_smoothing
    q.dlogits = cnp.PyArray_DATA(dlogits)
    q.row_loss = <double *>rows.data
    q.row_weight = q.row_loss + M
    with nogil:
        frnn_cross_entropy(&q, &loss_sum, &weight_sum)
    return loss_sum, weight_sum, dlogits
