# Embedding: rows of a table, and their gradients.

def embedding_forward(weight, ids):
    """weight [V, E], ids int64 [...] -> [..., E]."""
    cdef cnp.ndarray table = cnp.PyArray_GETCONTIGUOUS(_dims("weight", weight, 2))
    cdef int dtype_id = _dtype_id("weight", table)
    cdef cnp.ndarray index = _array("ids", ids)
    index = _ids("ids", index, index.ndim, index.shape, 0, table.shape[0] - 1, 0)
    cdef cnp.ndarray y = np.empty((*ids.shape, table.shape[1]), _dtype(dtype_id))
    cdef int64_t n = cnp.PyArray_SIZE(index), width = table.shape[1]
    with nogil:
        frnn_embedding_forward(dtype_id, n, width, <const int64_t *>cnp.PyArray_DATA(index), cnp.PyArray_DATA(table),
                               cnp.PyArray_DATA(y))
    return y


def embedding_backward(dy, ids, dweight):
    """Add dy [..., E] to the rows ids of dweight [V, E]; negative ids are skipped."""
    cdef cnp.ndarray grad = _dims("dweight", dweight, 2)
    cdef int dtype_id = _dtype_id("dweight", grad)
    cdef int axis
    grad = _writable("dweight", dweight, _type_number(dtype_id), 2, grad.shape)
    cdef int64_t width = grad.shape[1]
    cdef cnp.ndarray index = _array("ids", ids)
    index = _ids("ids", index, index.ndim, index.shape, -(<int64_t>1 << 62), grad.shape[0] - 1, -1)
    cdef cnp.npy_intp[MOST_DIMS + 1] shape
    for axis in range(index.ndim):
        shape[axis] = index.shape[axis]
    shape[index.ndim] = width
    cdef cnp.ndarray dy_array = _contiguous("dy", dy, _type_number(dtype_id), index.ndim + 1, shape)
    cdef int64_t n = cnp.PyArray_SIZE(index)
    with nogil:
        frnn_embedding_backward(dtype_id, n, width, <const int64_t *>cnp.PyArray_DATA(index),
                                cnp.PyArray_DATA(dy_array), cnp.PyArray_DATA(grad))
