# What arguments are asked before their memory is touched: dtype, shape, contiguity, range, overlap.

cdef enum:
    MOST_DIMS = 64  # of an array, in any version of NumPy
cdef tuple WEIGHTS = CellWeights._fields
cdef tuple GRADIENTS = tuple(["grads." + name for name in WEIGHTS])
cdef tuple FORMATS = (None, "bfloat16", "int8")
cdef object FLOAT32 = np.dtype(np.float32)
cdef object FLOAT64 = np.dtype(np.float64)


cdef cnp.ndarray _array(str name, object value):
    if not isinstance(value, cnp.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(value).__name__}")
    return <cnp.ndarray>value


cdef cnp.ndarray _dims(str name, object value, int ndim):
    cdef cnp.ndarray array = _array(name, value)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {value.shape}")
    return array


cdef bint _has_type(cnp.ndarray array, int type_number):
    # More than one number may stand for a type (long and long long): then the dtypes are still equal.
    return cnp.PyArray_ISNOTSWAPPED(array) and (
        cnp.PyArray_TYPE(array) == type_number or array.dtype == cnp.PyArray_DescrFromType(type_number))


cdef int _dtype_id(str name, cnp.ndarray array) except -1:
    if cnp.PyArray_ISNOTSWAPPED(array):
        if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32:
            return 0
        if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64:
            return 1
    raise TypeError(
        f"{name} must be float32 or float64, got {array.dtype}; the reference backend takes any float dtype"
    )


cdef int32_t _format_id(object format, int dtype_id, bint training) except -1:
    """Number of a format of weights; other than None they are for inference in float32."""
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}")
    if format is not None and dtype_id != 0:
        raise TypeError(f"format={format!r} needs float32 weights, got float64")
    if format is not None and training:
        raise ValueError(f"format={format!r} must be None for training=True: such weights are for inference")
    return FORMATS.index(format)


cdef int _type_number(int dtype_id):
    return cnp.NPY_FLOAT64 if dtype_id else cnp.NPY_FLOAT32


cdef object _dtype(int dtype_id):
    return FLOAT64 if dtype_id else FLOAT32


cdef cnp.ndarray _checked(str name, object value, int type_number, int ndim, const cnp.npy_intp *shape):
    """The array if it is one of this type and shape (-1 in a shape: any size)."""
    cdef cnp.ndarray array = _array(name, value)
    cdef int i
    cdef bint fits = array.ndim == ndim
    if not _has_type(array, type_number):
        raise TypeError(f"{name} must have dtype {cnp.PyArray_DescrFromType(type_number)}, got {array.dtype}")
    for i in range(ndim if fits else 0):
        fits &= shape[i] == -1 or array.shape[i] == shape[i]
    if not fits:
        accepted = tuple([None if shape[i] == -1 else shape[i] for i in range(ndim)])
        raise ValueError(f"{name} must have shape {accepted}, got {value.shape}")
    return array


cdef cnp.ndarray _contiguous(str name, object value, int type_number, int ndim, const cnp.npy_intp *shape):
    return cnp.PyArray_GETCONTIGUOUS(_checked(name, value, type_number, ndim, shape))


cdef cnp.ndarray _writable(str name, object value, int type_number, int ndim, const cnp.npy_intp *shape):
    cdef cnp.ndarray array = _checked(name, value, type_number, ndim, shape)
    if not (cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_ISWRITEABLE(array) and cnp.PyArray_ISALIGNED(array)):
        raise ValueError(f"{name} must be a writable C-contiguous array: it is changed in place")
    return array


cdef bint _rows_contiguous(cnp.ndarray array):
    """Whether rows along the last axis are contiguous and other strides whole elements."""
    cdef int axis
    cdef int last = array.ndim - 1
    if cnp.PyArray_SIZE(array) == 0:
        return True
    if not cnp.PyArray_ISALIGNED(array) or not cnp.PyArray_ISNOTSWAPPED(array):
        return False
    if array.shape[last] > 1 and array.strides[last] != cnp.PyArray_ITEMSIZE(array):
        return False
    for axis in range(last):
        if array.strides[axis] % cnp.PyArray_ITEMSIZE(array) != 0:
            return False
    return True


cdef cnp.ndarray _strided(str name, object value, int type_number, int ndim, const cnp.npy_intp *shape):
    cdef cnp.ndarray array = _checked(name, value, type_number, ndim, shape)
    return array if _rows_contiguous(array) else np.array(array, order="C")


cdef cnp.ndarray _output(object out, int type_number, const cnp.npy_intp *shape):
    cdef cnp.ndarray array = _checked("out", out, type_number, 3, shape)
    if not _rows_contiguous(array) or not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError("out must be writable with a contiguous last axis")
    return array


cdef int64_t _stride(cnp.ndarray array, int axis):
    return array.strides[axis] // cnp.PyArray_ITEMSIZE(array)


cdef bint _may_overlap(cnp.ndarray a, cnp.ndarray b):
    """Whether the stretches of memory that the arrays lie in have a byte in common."""
    cdef uintptr_t[2] low, high
    cdef cnp.ndarray array
    cdef int i, axis
    for i in range(2):
        array = b if i else a
        low[i] = high[i] = <uintptr_t>cnp.PyArray_DATA(array)
        high[i] += cnp.PyArray_ITEMSIZE(array)
        for axis in range(array.ndim):
            if array.shape[axis] == 0:
                return False
            if array.strides[axis] < 0:
                low[i] += (array.shape[axis] - 1) * array.strides[axis]
            else:
                high[i] += (array.shape[axis] - 1) * array.strides[axis]
    return low[0] < high[1] and low[1] < high[0]


cdef const void *_pointer(list keep, str name, object value, int type_number, int ndim,
                          const cnp.npy_intp *shape) except? NULL:
    """Pointer to an optional contiguous input, kept alive in `keep`."""
    if value is None:
        return NULL
    cdef cnp.ndarray array = _contiguous(name, value, type_number, ndim, shape)
    keep.append(array)
    return cnp.PyArray_DATA(array)


cdef cnp.ndarray _ids(str name, object value, int ndim, const cnp.npy_intp *shape, int64_t low, int64_t high,
                      int64_t also):
    """int64 array with every entry in low..high, or equal to `also`."""
    cdef cnp.ndarray array = _contiguous(name, value, cnp.NPY_INT64, ndim, shape)
    cdef int64_t *p = <int64_t *>cnp.PyArray_DATA(array)
    cdef int64_t i
    for i in range(cnp.PyArray_SIZE(array)):
        if (p[i] < low or p[i] > high) and p[i] != also:
            raise IndexError(f"{name} must be in {low}..{high}, got {p[i]}")
    return array
