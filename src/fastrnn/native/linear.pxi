# The linear layer.

cdef class PackedLinear:
    """An immutable snapshot of a linear layer's weights, in the engine's layout."""

    cdef frnn_linear linear
    cdef readonly bint training
    cdef Buffer memory

    @property
    def in_features(self):
        return self.linear.in_features

    @property
    def out_features(self):
        return self.linear.out_features

    @property
    def dtype(self):
        return _dtype(self.linear.dtype)

    @property
    def format(self):
        return FORMATS[self.linear.format]


def pack_linear(weight, bias=None, bint training=False, format=None) -> PackedLinear:
    """Snapshot weight [O, K] and bias [O] or None."""
    cdef PackedLinear packed = PackedLinear.__new__(PackedLinear)
    cdef cnp.ndarray array = cnp.PyArray_GETCONTIGUOUS(_dims("weight", weight, 2))
    cdef list keep = []
    cdef int32_t dtype_id = _dtype_id("weight", array)
    cdef int32_t format_id = _format_id(format, dtype_id, training)
    cdef int64_t K = array.shape[1], O = array.shape[0]
    packed.linear = frnn_linear(dtype_id, frnn_isa_for(dtype_id, format_id, O), format_id, K, O)
    packed.training = training
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"weight must have shape (O, K) with O, K >= 1, got {weight.shape}")
    cdef const void *b = _pointer(keep, "bias", bias, cnp.PyArray_TYPE(array), 1, array.shape)
    packed.memory = _allocate(frnn_linear_packed_size(&packed.linear, training))
    with nogil:
        frnn_linear_pack(&packed.linear, cnp.PyArray_DATA(array), b, training, packed.memory.data)
    return packed


def linear_forward(PackedLinear packed not None, x):
    """x [M, K] -> y [M, O]."""
    cdef int type_number = _type_number(packed.linear.dtype)
    cdef cnp.npy_intp[2] shape = [-1, packed.linear.in_features]
    cdef cnp.ndarray x_array = _contiguous("x", x, type_number, 2, shape)
    cdef int64_t M = x_array.shape[0]
    cdef cnp.npy_intp[2] MO = [M, packed.linear.out_features]
    cdef cnp.ndarray y = _empty(2, MO, type_number)
    cdef int threads = frnn_linear_threads(&packed.linear, M)
    cdef Buffer scratch = _allocate(frnn_linear_scratch(&packed.linear, M, threads))
    with nogil:
        frnn_linear_forward(&packed.linear, packed.memory.data, M, cnp.PyArray_DATA(x_array), cnp.PyArray_DATA(y),
                            threads, scratch.data)
    return y


def linear_backward(PackedLinear packed not None, x, dy, dweight, dbias=None, bint need_dx=True,
                    bint overwrite=False):
    """dy [M, O] -> dx [M, K]; adds to dweight [O, K] and dbias [O], or writes them."""
    cdef int type_number = _type_number(packed.linear.dtype)
    cdef int64_t K = packed.linear.in_features, O = packed.linear.out_features
    cdef cnp.npy_intp[2] shape = [-1, K], OK = [O, K]
    cdef cnp.ndarray x_array = _contiguous("x", x, type_number, 2, shape)
    cdef int64_t M = x_array.shape[0]
    cdef cnp.npy_intp[2] MO = [M, O], MK = [M, K]
    cdef cnp.ndarray dy_array = _contiguous("dy", dy, type_number, 2, MO)
    cdef cnp.ndarray dweight_array = _writable("dweight", dweight, type_number, 2, OK)
    cdef cnp.ndarray dx = None, dbias_array
    cdef void *dx_data = NULL
    cdef void *dbias_data = NULL
    cdef int threads = frnn_linear_threads(&packed.linear, M)
    if packed.linear.format:
        raise ValueError(f"packed holds {packed.format} weights, which are for inference")
    if need_dx and not packed.training:
        raise ValueError("packed must have been packed with training=True for dx")
    if need_dx:
        dx = _empty(2, MK, type_number)
        dx_data = cnp.PyArray_DATA(dx)
    if dbias is not None:
        dbias_array = _writable("dbias", dbias, type_number, 1, OK)
        dbias_data = cnp.PyArray_DATA(dbias_array)
    cdef Buffer scratch = _allocate(frnn_linear_scratch(&packed.linear, M, threads))
    with nogil:
        frnn_linear_backward(&packed.linear, packed.memory.data, M, cnp.PyArray_DATA(x_array),
                             cnp.PyArray_DATA(dy_array), dx_data, cnp.PyArray_DATA(dweight_array), dbias_data,
                             overwrite, threads, scratch.data)
    return dx
