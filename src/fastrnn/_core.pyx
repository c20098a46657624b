# cython: language_level=3, auto_pickle=False, boundscheck=False, wraparound=True, cdivision=True
"""The compiled engine: the backend protocol of docs/protocols.md over csrc/fastrnn.h.

Checks dtype, shape, contiguity and range of whatever would otherwise touch foreign memory, takes pointers, and makes
one call without the GIL. Nothing is computed here.
"""

import os

import numpy as np

from fastrnn._types import CELL_COUNTS, CELLS, CellWeights

cimport numpy as cnp
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy, memmove, memset

cnp.import_array()

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


# ---- machine ----

def available_isas() -> tuple:
    """Names of the ISAs of this build that the machine runs, best first."""
    return tuple([_isa_names[i] for i in range(frnn_isa_count()) if frnn_isa_supported(i)])


cdef tuple _isa_names = tuple([frnn_isa_name(i).decode() for i in range(frnn_isa_count())])


def current_isa() -> str:
    """Name of the ISA in use."""
    return _isa_names[frnn_isa_current()]


cdef _start(str name, str what):
    cdef bytes encoded = name.encode()
    cdef int status = frnn_start(encoded)
    if status == FRNN_ISA_UNSUPPORTED:
        raise ValueError(f"{what} {name!r} cannot run on this machine; accepted: {', '.join(available_isas())}")
    if status != FRNN_OK:
        raise ValueError(f"{what} {name!r} is unknown; accepted: {', '.join(available_isas())}")


def set_isa(name: str) -> None:
    """Compute with this ISA from now on."""
    _start(name, "ISA")


def get_num_threads() -> int:
    """Most threads a call may use."""
    return frnn_get_num_threads()


cdef _set_num_threads(object n, str what):
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {n!r}")
    if not 1 <= n <= 256 or frnn_set_num_threads(n) != FRNN_OK:
        raise ValueError(f"{what} must be in 1..256, got {n}")


def set_num_threads(n: int) -> None:
    """Most threads a call may use from now on."""
    _set_num_threads(n, "n")


cdef _configure():
    _start(os.environ.get("FASTRNN_ISA", ""), "environment variable FASTRNN_ISA =")
    threads = os.environ.get("FASTRNN_NUM_THREADS", "")
    if threads:
        if not threads.isascii() or not threads.isdigit():
            raise ValueError(f"environment variable FASTRNN_NUM_THREADS must be an integer in 1..256, got {threads!r}")
        _set_num_threads(int(threads), "environment variable FASTRNN_NUM_THREADS")


_configure()


def fma_loop(dtype, int64_t iterations) -> float:
    """Run fused multiply-adds in registers on one thread; returns the floating-point operations done.

    Divided by the time it takes, it is the peak that benchmarks quote fractions of.
    """
    cdef int dtype_id = _dtype_id("dtype", np.empty(0, dtype))
    cdef double operations, sink
    with nogil:
        operations = frnn_fma_loop(dtype_id, iterations, &sink)
    return operations


# ---- memory: aligned blocks that outlive a call only in a small cache, so that a training step does not fault in the
# same pages again and again. When sizes change, idle blocks go before new ones come: together they exceed the most that
# calls ever needed at a time by an eighth and CACHE_SLACK at most. ----

cdef enum:
    CACHE_BLOCKS = 16
    CACHE_SLACK = 1 << 20

ctypedef struct _Block:
    void *base
    size_t size

cdef size_t _cache_limit = <size_t>256 << 20
cdef _Block[CACHE_BLOCKS] _cache  # idle blocks, oldest first; touched with the GIL held
cdef int _blocks = 0
cdef size_t _cached = 0           # bytes of idle blocks
cdef size_t _held = 0             # bytes of blocks in use
cdef size_t _needed = 0           # what was asked for of them
cdef size_t _most_needed = 0


cdef _Block _uncache(int i) noexcept:
    global _blocks, _cached
    cdef _Block block = _cache[i]
    _blocks -= 1
    _cached -= block.size
    memmove(&_cache[i], &_cache[i + 1], (_blocks - i) * sizeof(_Block))
    return block


cdef class Buffer:
    """Aligned memory of at least the size asked for; when the last reference goes, it is kept for reuse or freed."""

    cdef _Block block
    cdef size_t size
    cdef void *data

    def __dealloc__(self):
        global _blocks, _cached, _held, _needed
        if self.block.base == NULL:
            return
        _held -= self.block.size
        _needed -= self.size
        if self.block.size > _cache_limit:
            PyMem_RawFree(self.block.base)
            return
        while _blocks == CACHE_BLOCKS or _cached + self.block.size > _cache_limit:
            PyMem_RawFree(_uncache(0).base)
        _cache[_blocks] = self.block
        _blocks += 1
        _cached += self.block.size


cdef Buffer _allocate(size_t size):
    global _held, _needed, _most_needed
    cdef Buffer buffer = Buffer.__new__(Buffer)
    cdef int i
    size = size + FRNN_ALIGNMENT
    cdef size_t most = max(_most_needed, _needed + size)
    for i in range(_blocks - 1, -1, -1):
        if size <= _cache[i].size <= 2 * size + 4096:
            buffer.block = _uncache(i)
            break
    else:
        while _blocks > 0 and _held + _cached + size > most + most // 8 + CACHE_SLACK:
            PyMem_RawFree(_uncache(0).base)
        buffer.block.base = PyMem_RawMalloc(size)
        if buffer.block.base == NULL:
            raise MemoryError(f"fastrnn could not allocate {size} bytes")
        frnn_prefer_large_pages(buffer.block.base, size)
        buffer.block.size = size
    buffer.size = size
    _held += buffer.block.size
    _needed += size
    _most_needed = most
    buffer.data = <void *>((<uintptr_t>buffer.block.base + FRNN_ALIGNMENT - 1) & ~<uintptr_t>(FRNN_ALIGNMENT - 1))
    return buffer


cdef enum:
    POOLED_BYTES = 1 << 17


cdef cnp.ndarray _empty(int ndim, cnp.npy_intp *shape, int type_number):
    """An array for results. Large ones lie in blocks of the cache too: their pages have been touched before."""
    cdef size_t bytes = 4 if type_number == cnp.NPY_FLOAT32 else 8
    cdef int i
    cdef Buffer buffer
    cdef cnp.ndarray array
    for i in range(ndim):
        bytes *= shape[i]
    if bytes < POOLED_BYTES:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    buffer = _allocate(bytes)
    array = cnp.PyArray_SimpleNewFromData(ndim, shape, type_number, buffer.data)
    cnp.set_array_base(array, buffer)
    return array


# ---- arguments ----

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


# ---- weights ----

cdef struct Counts:
    int64_t gates, recurrent_gates
    bint has_c, norm


cdef Counts[FRNN_CELL_COUNT] _counts
for _i, _cell in enumerate(CELLS):
    _counts[_i].gates, _counts[_i].recurrent_gates = CELL_COUNTS[_cell].gates, CELL_COUNTS[_cell].recurrent_gates
    _counts[_i].has_c, _counts[_i].norm = CELL_COUNTS[_cell].has_c, CELL_COUNTS[_cell].norm


cdef _fill_weights(frnn_weights *w, object weights, const frnn_layer *layer, bint gradients, list keep):
    """Check the arrays of a CellWeights and take their pointers; gradients must be writable."""
    cdef tuple names = GRADIENTS if gradients else WEIGHTS
    cdef bint projects = layer.proj_size != 0
    cdef int type_number = _type_number(layer.dtype)
    cdef int64_t I = layer.input_size, H = layer.hidden_size, P = layer.proj_size if projects else H
    cdef Counts counts = _counts[layer.cell]
    cdef int64_t GH = counts.gates * H, RH = counts.recurrent_gates * H
    cdef bint norm = counts.norm, norm_c = norm and counts.has_c
    cdef tuple values = tuple(weights)
    cdef cnp.npy_intp[9][2] shapes = [[GH, I], [RH, P], [GH, 0], [RH, 0], [P, H], [GH, 0], [RH, 0], [H, 0], [H, 0]]
    cdef int[9] ndims = [2, 2, 1, 1, 2 * projects, norm, norm, norm_c, norm_c]  # 0: the cell has none
    cdef void *pointers[9]
    cdef cnp.ndarray array
    cdef int i
    for i in range(9):
        value, name, pointers[i] = values[i], <str>names[i], NULL
        if value is None:
            if ndims[i] and i not in (2, 3):
                raise TypeError(f"{name} must be an array, got None")
            continue
        if ndims[i] == 0:
            without = " without projection" if i == 4 else ""
            raise ValueError(f"{name} must be None for cell {CELLS[layer.cell]!r}{without}")
        if gradients:
            array = _writable(name, value, type_number, ndims[i], shapes[i])
        else:
            array = _contiguous(name, value, type_number, ndims[i], shapes[i])
        keep.append(array)
        pointers[i] = cnp.PyArray_DATA(array)
    w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh, w.weight_hr = \
        pointers[0], pointers[1], pointers[2], pointers[3], pointers[4]
    w.ln_ih, w.ln_hh, w.ln_c_weight, w.ln_c_bias = pointers[5], pointers[6], pointers[7], pointers[8]


cdef class Packed:
    """An immutable snapshot of one recurrent layer direction's weights, in the engine's layout."""

    cdef frnn_layer layer
    cdef readonly bint training
    cdef bint has_c
    cdef bint phase  # of the next call of one step
    cdef Buffer memory
    cdef frnn_weights borrowed_weights
    cdef list lenders    # arrays that they lie in
    cdef Buffer settled  # `memory` before `settle`, which calls may be reading still
    cdef object __weakref__

    @property
    def cell(self):
        return CELLS[self.layer.cell]

    @property
    def input_size(self):
        return self.layer.input_size

    @property
    def hidden_size(self):
        return self.layer.hidden_size

    @property
    def proj_size(self):
        return self.layer.proj_size

    @property
    def dtype(self):
        return _dtype(self.layer.dtype)

    @property
    def format(self):
        return None if self.borrowed else FORMATS[self.layer.format]

    @property
    def borrowed(self):
        """Whether this reads the arrays that it was made of, so that they must stay as they are until `settle`."""
        return self.layer.format == FRNN_WEIGHTS_BORROWED

    def settle(self) -> None:
        """Take a copy of what is borrowed."""
        cdef frnn_layer layer = self.layer
        cdef Buffer memory
        if not self.borrowed:
            return
        layer.format = FRNN_WEIGHTS_REAL
        memory = _allocate(frnn_packed_size(&layer, self.training))
        frnn_pack(&layer, &self.borrowed_weights, self.training, memory.data)
        self.layer, self.memory, self.settled = layer, memory, self.memory

    @property
    def nbytes(self):
        """Size of the snapshot in bytes."""
        return frnn_packed_size(&self.layer, self.training)

    cdef int64_t output_size(self):
        return self.layer.proj_size if self.layer.proj_size else self.layer.hidden_size


def pack_weights(str cell, weights, bint training=False, format=None, bint borrow=False) -> Packed:
    """Snapshot the weights (a CellWeights) of one direction of one layer, or borrow them if no format is asked for."""
    if cell not in CELLS:
        raise ValueError(f"cell must be one of {CELLS}, got {cell!r}")
    cdef Packed packed = Packed.__new__(Packed)
    cdef frnn_weights w
    cdef list keep = []
    cdef int32_t cell_id = CELLS.index(cell)
    cdef cnp.ndarray weight_ih = _dims("weight_ih", weights[0], 2)
    cdef Counts counts = _counts[cell_id]
    cdef int64_t gates = counts.gates, rows = weight_ih.shape[0], I = weight_ih.shape[1]
    cdef int64_t H = rows // gates, P = 0
    cdef bint projects = weights[4] is not None
    if rows == 0 or rows % gates or I == 0:
        raise ValueError(f"weight_ih must have shape ({gates} * H, I) with H, I >= 1, got ({rows}, {I})")
    if projects:
        if not counts.has_c:
            raise ValueError(f"weight_hr must be None for cell {cell!r}: only an LSTM has a projection")
        P = _dims("weight_hr", weights[4], 2).shape[0]
        if not 0 < P <= H:
            raise ValueError(f"weight_hr must have shape (P, H) with 1 <= P <= H = {H}, got P = {P}")
    cdef int32_t dtype_id = _dtype_id("weight_ih", weight_ih)
    packed.layer = frnn_layer(
        cell_id, dtype_id, frnn_isa_current(), _format_id(format, dtype_id, training), I, H, P
    )
    packed.training, packed.has_c = training, counts.has_c
    _fill_weights(&w, weights, &packed.layer, False, keep)
    if borrow and format is None:
        packed.layer.format = FRNN_WEIGHTS_BORROWED
        packed.borrowed_weights, packed.lenders = w, keep
    packed.memory = _allocate(frnn_packed_size(&packed.layer, training))
    with nogil:
        frnn_pack(&packed.layer, &w, training, packed.memory.data)
    return packed


cdef cnp.ndarray _dims(str name, object value, int ndim):
    cdef cnp.ndarray array = _array(name, value)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {value.shape}")
    return array


# ---- recurrent layers over sequences ----

cdef class Saved:
    """What one forward pass in training leaves for its backward."""

    cdef frnn_sequence q
    cdef Packed packed
    cdef Buffer memory
    cdef cnp.ndarray embedding  # [V, I] if x was rows of it
    cdef object own_x  # x if it is a copy that nobody else has: dx takes its place
    cdef list keep

    @property
    def nbytes(self):
        """Size in bytes of what forward computed and keeps, beside the arrays it was given and y."""
        return 0 if self.memory is None else frnn_saved_size(&self.q)


cdef cnp.ndarray _coefficients(str name, object value, object dtype, int64_t T, int64_t N, int64_t size):
    """Zoneout coefficients as [T, N, size] with contiguous rows; broadcast axes have stride 0."""
    array = np.asarray(value, dtype)
    try:
        if array.ndim == 0 or array.shape[-1] != size or not _rows_contiguous(array):
            array = np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:-1], size)))
        return np.broadcast_to(array, (T, N, size))
    except ValueError:
        raise ValueError(f"{name} must broadcast to shape {(T, N, size)}, got {np.shape(value)}") from None


cdef Buffer _input_table(Packed packed, cnp.ndarray embedding):
    """The rows of an embedding [V, I], C-contiguous, through the input product."""
    cdef int64_t V = embedding.shape[0]
    cdef int threads = frnn_input_table_threads(&packed.layer, V)
    cdef Buffer table = _allocate(frnn_input_table_size(&packed.layer, V))
    cdef Buffer scratch = _allocate(frnn_input_table_scratch(&packed.layer, V, threads))
    with nogil:
        frnn_input_table(&packed.layer, packed.memory.data, V, cnp.PyArray_DATA(embedding), table.data, threads,
                         scratch.data)
    return table


def rnn_forward(Packed packed not None, x, h0=None, c0=None, *, lengths=None, resets=None, bint reverse=False,
                input_mask=None, hidden_mask=None, zoneout_h=None, zoneout_c=None, out=None, bint training=False,
                checkpoint_every=None, embedding=None):
    """One direction of one layer over a whole sequence; see docs/protocols.md."""
    return _forward(packed, x, h0, c0, lengths, resets, reverse, input_mask, hidden_mask, zoneout_h, zoneout_c, out,
                    training, checkpoint_every, embedding, False)


def layer_forward(Packed packed not None, x, state, lengths=None, bint training=False, checkpoint_every=None):
    """A layer of one direction, from and to a caller's arrays, or None where one needs to be converted."""
    cdef int type_number = _type_number(packed.layer.dtype)
    cdef cnp.npy_intp[3] shape = [-1, -1, packed.layer.input_size]
    if not _fits(x, type_number, shape):
        return None
    cdef tuple parts = _state_parts(packed, state, (<cnp.ndarray>x).shape[1])
    if parts is None:
        return None
    h0, c0 = parts
    given = x
    cdef const int64_t *reach = NULL
    if lengths is not None:
        lengths = _lengths(lengths, (<cnp.ndarray>x).shape[1], (<cnp.ndarray>x).shape[0])
        if lengths is None:
            return None
        reach = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>lengths)
    if training:
        x, h0, c0 = _kept(x, reach), _kept(h0), _kept(c0)
    y, hn, cn, saved = _forward(packed, x, h0, c0, lengths, None, False, None, None, None, None, None, training,
                                checkpoint_every, None, True)
    if training:
        cnp.PyArray_CLEARFLAGS(y, cnp.NPY_ARRAY_WRITEABLE)
        if x is not given:
            (<Saved>saved).own_x = x
    return y, hn if cn is None else (hn, cn), saved


cdef bint _fits(object value, int type_number, const cnp.npy_intp *shape):
    """Whether this is an array of this type and three axes of these sizes, -1 for any."""
    cdef int i
    if not cnp.PyArray_CheckExact(value):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>value
    if array.ndim != 3 or not _has_type(array, type_number):
        return False
    for i in range(3):
        if shape[i] != -1 and array.shape[i] != shape[i]:
            return False
    return True


cdef tuple _state_parts(Packed packed, object state, cnp.npy_intp N):
    """``h [1, N, P]`` and ``c [1, N, H]`` of a state, each None if absent; None if one needs to be converted."""
    cdef int type_number = _type_number(packed.layer.dtype)
    cdef cnp.npy_intp[3] h_shape = [1, N, packed.output_size()], c_shape = [1, N, packed.layer.hidden_size]
    if state is None:
        return None, None
    h, c = state, None
    if packed.has_c:
        if type(state) is not tuple or len(<tuple>state) != 2:
            return None
        h, c = <tuple>state
        if not _fits(c, type_number, c_shape):
            return None
    return (h, c) if _fits(h, type_number, h_shape) else None


cdef _kept(object value, const int64_t *lengths=NULL):
    """An array that no later write of the caller reaches: `value` itself if it is read-only.

    With lengths of the rows of ``value [T, N, .]``, what lies past them is left out.
    """
    cdef cnp.ndarray array, copy
    cdef int64_t t, n
    if value is None or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>value):
        return value
    array = <cnp.ndarray>value
    copy = _empty(array.ndim, array.shape, cnp.PyArray_TYPE(array))
    if lengths == NULL or not _rows_contiguous(array):
        cnp.PyArray_CopyInto(copy, array)
        return copy
    cdef char *to = <char *>cnp.PyArray_DATA(copy)
    cdef const char *source = <const char *>cnp.PyArray_DATA(array)
    cdef size_t row = array.shape[2] * cnp.PyArray_ITEMSIZE(array)
    for t in range(array.shape[0]):
        for n in range(array.shape[1]):
            if t < lengths[n]:
                memcpy(to + t * copy.strides[0] + n * copy.strides[1],
                       source + t * array.strides[0] + n * array.strides[1], row)
    return copy


cdef _lengths(object value, cnp.npy_intp N, int64_t T):
    """A copy of int64 ``[N]`` with every entry in 0..T, or None."""
    cdef int64_t n
    if not cnp.PyArray_CheckExact(value):
        return None
    cdef cnp.ndarray copy, array = <cnp.ndarray>value
    if array.ndim != 1 or array.shape[0] != N or not _has_type(array, cnp.NPY_INT64):
        return None
    copy = _empty(1, &N, cnp.NPY_INT64)
    cnp.PyArray_CopyInto(copy, array)
    cdef const int64_t *p = <const int64_t *>cnp.PyArray_DATA(copy)
    for n in range(N):
        if p[n] < 0 or p[n] > T:
            return None
    return copy


cdef tuple _forward(Packed packed, x, h0, c0, lengths, resets, bint reverse, input_mask, hidden_mask, zoneout_h,
                    zoneout_c, out, bint training, checkpoint_every, embedding, bint layered):
    """`layered`: states have an axis of one layer in front, and lengths are checked and nobody else's."""
    cdef frnn_sequence q
    cdef list keep = []
    cdef int type_number = _type_number(packed.layer.dtype)
    cdef int64_t I = packed.layer.input_size, H = packed.layer.hidden_size, P = packed.output_size()
    cdef bint has_c = packed.has_c
    cdef cnp.npy_intp[3] shape = [-1, -1, I]
    cdef cnp.ndarray table_rows = None, x_array
    if embedding is not None:
        table_rows = _contiguous("embedding", embedding, type_number, 2, &shape[1])
        # A copy: backward indexes memory by them again.
        x_array = _ids("x", np.array(x, order="C"), 2, shape, 0, table_rows.shape[0] - 1, 0)
    else:
        x_array = _strided("x", x, type_number, 3, shape)
    cdef int64_t T = x_array.shape[0], N = x_array.shape[1]
    cdef cnp.npy_intp[3] TNP = [T, N, P]
    cdef cnp.npy_intp[2] NP = [N, P], NI = [N, I]
    cdef cnp.npy_intp[3] LNP = [1, N, P], LNH = [1, N, H]
    cdef int first = not layered, axes = 2 + layered  # of states
    cdef cnp.ndarray y, hn, cn = None, coefficients
    cdef Buffer scratch, saved_memory, table = None
    cdef Saved saved = None
    if training and not packed.training:
        raise ValueError("packed must have been packed with training=True for a training forward")
    memset(&q, 0, sizeof(q))
    q.layer = packed.layer
    q.packed = packed.memory.data
    q.T, q.N, q.reverse, q.training = T, N, reverse, training
    if checkpoint_every is not None:
        if checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be None or at least 1, got {checkpoint_every}")
        q.checkpoint_every = min(T, checkpoint_every)
    if out is None:
        y = _empty(3, TNP, type_number)
    else:
        y = _output(out, type_number, TNP)
        if _may_overlap(y, x_array):
            x_array = np.array(x_array, order="C")
    hn = _empty(axes, &LNP[first], type_number)
    if has_c:
        cn = _empty(axes, &LNH[first], type_number)
        q.cn = cnp.PyArray_DATA(cn)
    elif c0 is not None:
        raise ValueError(f"c0 must be None for cell {packed.cell!r}")
    if table_rows is None:
        q.x, q.x_t_stride, q.x_n_stride = cnp.PyArray_DATA(x_array), _stride(x_array, 0), _stride(x_array, 1)
    elif input_mask is not None:
        raise ValueError("input_mask must be None with an embedding")
    else:
        table = _input_table(packed, table_rows)
        q.tokens, q.input_table = <const int64_t *>cnp.PyArray_DATA(x_array), table.data
    q.y, q.y_t_stride, q.y_n_stride = cnp.PyArray_DATA(y), _stride(y, 0), _stride(y, 1)
    q.hn = cnp.PyArray_DATA(hn)
    q.h0 = _pointer(keep, "h0", h0, type_number, axes, &LNP[first])
    q.c0 = _pointer(keep, "c0", c0, type_number, axes, &LNH[first])
    if lengths is not None:
        # A copy: backward indexes memory by them again.
        keep.append(lengths if layered else _ids("lengths", np.array(lengths), 1, NP, 0, T, 0))
        q.lengths = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>keep[-1])
    if resets is not None:
        q.resets = <const uint8_t *>_pointer(keep, "resets", np.asarray(resets, bool), cnp.NPY_BOOL, 2, TNP)
    q.input_mask = _pointer(keep, "input_mask", input_mask, type_number, 2, NI)
    q.hidden_mask = _pointer(keep, "hidden_mask", hidden_mask, type_number, 2, NP)
    if zoneout_h is not None:
        coefficients = _coefficients("zoneout_h", zoneout_h, packed.dtype, T, N, P)
        keep.append(coefficients)
        q.zoneout_h = cnp.PyArray_DATA(coefficients)
        q.zoneout_h_t_stride, q.zoneout_h_n_stride = _stride(coefficients, 0), _stride(coefficients, 1)
    if zoneout_c is not None:
        if not has_c:
            raise ValueError(f"zoneout_c must be None for cell {packed.cell!r}")
        coefficients = _coefficients("zoneout_c", zoneout_c, packed.dtype, T, N, H)
        keep.append(coefficients)
        q.zoneout_c = cnp.PyArray_DATA(coefficients)
        q.zoneout_c_t_stride, q.zoneout_c_n_stride = _stride(coefficients, 0), _stride(coefficients, 1)
    q.threads = frnn_sequence_threads(&q)
    if training:
        saved_memory = _allocate(frnn_saved_size(&q))
        q.saved = saved_memory.data
    scratch = _allocate(frnn_forward_scratch(&q))
    q.scratch = scratch.data
    if T == 1:
        q.phase = packed.phase
        packed.phase = not packed.phase  # of no consequence if another thread comes in between
    with nogil:
        frnn_forward(&q)
    if training:
        keep += [x_array, table, y]
        saved = Saved.__new__(Saved)
        saved.q, saved.packed, saved.memory, saved.embedding, saved.keep = q, packed, saved_memory, table_rows, keep
    return y, hn, cn, saved


def rnn_backward(Saved saved not None, dy=None, dhn=None, dcn=None, *, grads, bint need_dx=True, bint overwrite=False,
                 out=None):
    """BPTT through one forward; adds to grads or writes them, uses `saved` up; see docs/protocols.md."""
    return _backward(saved, dy, dhn, dcn, grads, need_dx, overwrite, out, False)


def layer_backward(Saved saved not None, dy, dstate, grads, bint need_dx, bint overwrite):
    """Back through `layer_forward`: gradients of x and of the state, or None where one given needs to be converted."""
    cdef Packed packed = saved.packed
    cdef cnp.npy_intp[3] shape = [saved.q.T, saved.q.N, packed.output_size()]
    if not _fits(dy, _type_number(packed.layer.dtype), shape):
        return None
    cdef tuple parts = _state_parts(packed, dstate, saved.q.N)
    if parts is None:
        return None
    dx, dh0, dc0 = _backward(saved, dy, parts[0], parts[1], grads, need_dx, overwrite, saved.own_x, True)
    return dx, dh0 if dc0 is None else (dh0, dc0)


cdef tuple _backward(Saved saved, dy, dhn, dcn, grads, bint need_dx, bint overwrite, out, bint layered):
    cdef frnn_sequence_gradient g
    cdef frnn_sequence q = saved.q
    cdef Packed packed = saved.packed
    cdef Buffer memory = saved.memory, scratch, dtable, table_scratch
    cdef list keep = []
    if memory is None:
        raise RuntimeError("saved was used by a backward before: run forward again in training mode")
    q.layer, q.packed = packed.layer, packed.memory.data  # which may have settled since
    cdef int type_number = _type_number(q.layer.dtype)
    cdef int64_t T = q.T, N = q.N, I = q.layer.input_size, H = q.layer.hidden_size, P = packed.output_size()
    cdef cnp.npy_intp[3] TNP = [T, N, P], TNI = [T, N, I]
    cdef cnp.npy_intp[3] LNP = [1, N, P], LNH = [1, N, H]
    cdef int first = not layered, axes = 2 + layered  # of states
    cdef cnp.ndarray dx = None, dh0, dc0 = None, dy_array
    memset(&g, 0, sizeof(g))
    if dy is not None:
        dy_array = _strided("dy", dy, type_number, 3, TNP)
        keep.append(dy_array)
        g.dy, g.dy_t_stride, g.dy_n_stride = cnp.PyArray_DATA(dy_array), _stride(dy_array, 0), _stride(dy_array, 1)
    g.dhn = _pointer(keep, "dhn", dhn, type_number, axes, &LNP[first])
    if not packed.has_c and dcn is not None:
        raise ValueError(f"dcn must be None for cell {packed.cell!r}")
    g.dcn = _pointer(keep, "dcn", dcn, type_number, axes, &LNH[first])
    _fill_weights(&g.dweights, grads, &q.layer, True, keep)
    cdef bint by_table = saved.embedding is not None
    cdef int64_t V = saved.embedding.shape[0] if by_table else 0
    cdef int table_threads = 1
    cdef void *dx_data = NULL
    cdef const void *embedding = NULL
    if by_table:
        TNI[0], TNI[1] = V, I
        table_threads = frnn_input_table_threads(&q.layer, V)
        table_scratch = _allocate(frnn_input_table_scratch(&q.layer, V, table_threads))
        dtable = _allocate(frnn_input_table_size(&q.layer, V))
        embedding = cnp.PyArray_DATA(saved.embedding)
        g.dtable = memset(dtable.data, 0, frnn_input_table_size(&q.layer, V))
    if need_dx:
        if out is None:
            dx = _empty(2 if by_table else 3, TNI, type_number)
        elif by_table:
            raise ValueError("out must be None with an embedding")
        else:
            dx = _output(out, type_number, TNI)
        dx_data = cnp.PyArray_DATA(dx)
        if not by_table:
            g.dx, g.dx_t_stride, g.dx_n_stride = dx_data, _stride(dx, 0), _stride(dx, 1)
    dh0 = _empty(axes, &LNP[first], type_number)
    g.dh0 = cnp.PyArray_DATA(dh0)
    if packed.has_c:
        dc0 = _empty(axes, &LNH[first], type_number)
        g.dc0 = cnp.PyArray_DATA(dc0)
    g.sequence = &q
    g.overwrite = overwrite
    scratch = _allocate(frnn_backward_scratch(&g))
    g.scratch = scratch.data
    saved.memory = None
    with nogil:
        frnn_backward(&g)
        if by_table:
            frnn_input_table_backward(&q.layer, q.packed, V, embedding, dtable.data, dx_data, g.dweights.weight_ih,
                                      overwrite, table_threads, table_scratch.data)
    saved.keep = saved.embedding = saved.own_x = None
    return dx, dh0, dc0


# ---- linear ----

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
    packed.linear = frnn_linear(
        dtype_id, frnn_isa_current(), _format_id(format, dtype_id, training), array.shape[1], array.shape[0]
    )
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


# ---- embedding, cross-entropy ----

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


# ---- gradients and optimizers ----

def global_norm(arrays) -> float:
    """Euclidean norm of all the arrays together."""
    cdef cnp.ndarray array
    cdef double total = 0
    for value in arrays:
        array = cnp.PyArray_GETCONTIGUOUS(value)
        total += frnn_sum_of_squares(_dtype_id("arrays", array), cnp.PyArray_SIZE(array), cnp.PyArray_DATA(array))
    return sqrt(total)


def scale_(arrays, double factor) -> None:
    """Multiply every array in place."""
    cdef cnp.ndarray array
    cdef int dtype_id
    for value in arrays:
        array = _array("arrays", value)
        dtype_id = _dtype_id("arrays", array)
        array = _writable("arrays", array, _type_number(dtype_id), array.ndim, array.shape)
        frnn_scale(dtype_id, cnp.PyArray_SIZE(array), factor, cnp.PyArray_DATA(array))


cdef int _optimizer_arrays(frnn_optimizer_args *args, object param, object grad) except -1:
    """Fill param and grad and clear the rest; returns the dtype id."""
    cdef cnp.ndarray array = _array("param", param)
    cdef int dtype_id = _dtype_id("param", array), type_number = _type_number(dtype_id)
    memset(args, 0, sizeof(frnn_optimizer_args))
    args.n = cnp.PyArray_SIZE(array)
    args.param = cnp.PyArray_DATA(_writable("param", array, type_number, array.ndim, array.shape))
    array = _checked("grad", grad, type_number, array.ndim, array.shape)
    if not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise ValueError("grad must be C-contiguous")
    args.grad = cnp.PyArray_DATA(array)
    return dtype_id


cdef void *_optimizer_state(str name, object value, cnp.ndarray param) except? NULL:
    """Pointer to a state array of the shape and type of param, which has been checked; None has none."""
    if value is None:
        return NULL
    return cnp.PyArray_DATA(_writable(name, value, cnp.PyArray_TYPE(param), param.ndim, param.shape))


def sgd_step(param, grad, momentum_buffer, double lr, double momentum, double dampening, bint nesterov,
             double weight_decay, bint first) -> None:
    """torch.optim.SGD's rule, in place; `first`: the momentum buffer starts as the gradient."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("momentum_buffer", momentum_buffer, param)
    args.lr, args.momentum, args.dampening, args.weight_decay = lr, momentum, dampening, weight_decay
    args.nesterov, args.first = nesterov, first
    with nogil:
        frnn_optimizer_step(FRNN_SGD, dtype_id, &args)


def rmsprop_step(param, grad, square_avg, momentum_buffer, grad_avg, double lr, double alpha, double eps,
                 double momentum, double weight_decay) -> None:
    """torch.optim.RMSprop's rule, in place."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("square_avg", square_avg, param)
    args.state2 = _optimizer_state("momentum_buffer", momentum_buffer, param)
    args.state3 = _optimizer_state("grad_avg", grad_avg, param)
    args.lr, args.alpha, args.eps, args.momentum, args.weight_decay = lr, alpha, eps, momentum, weight_decay
    with nogil:
        frnn_optimizer_step(FRNN_RMSPROP, dtype_id, &args)


def adagrad_step(param, grad, state_sum, double lr, double eps, double weight_decay) -> None:
    """torch.optim.Adagrad's rule, in place; lr is already decayed."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("state_sum", state_sum, param)
    args.lr, args.eps, args.weight_decay = lr, eps, weight_decay
    with nogil:
        frnn_optimizer_step(FRNN_ADAGRAD, dtype_id, &args)


def adam_step(param, grad, exp_avg, exp_avg_sq, double lr, double beta1, double beta2, double eps,
              double weight_decay, bint decoupled, int64_t step) -> None:
    """torch.optim.Adam's rule, or AdamW's if decoupled, in place; steps count from 1."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("exp_avg", exp_avg, param)
    args.state2 = _optimizer_state("exp_avg_sq", exp_avg_sq, param)
    args.lr, args.beta1, args.beta2, args.eps, args.weight_decay = lr, beta1, beta2, eps, weight_decay
    args.decoupled = decoupled
    args.bias1 = 1.0 - beta1 ** <double>step
    args.bias2_sqrt = sqrt(1.0 - beta2 ** <double>step)
    with nogil:
        frnn_optimizer_step(FRNN_ADAM, dtype_id, &args)


# ---- streams ----

cdef cnp.ndarray _like(str name, object value, cnp.ndarray other):
    return _checked(name, value, cnp.PyArray_TYPE(other), other.ndim, other.shape)


cdef class _Stack:
    """The bound sequences of a stack of layers, one step each, with the state they keep."""

    cdef list packed          # [layers] of Packed
    cdef list h, c, y         # [layers] of arrays [N, P], [N, H] or None, [N, P]
    cdef list zoneout         # [layers] of (share of h, share of c)
    cdef list keep
    cdef Buffer memory, scratch
    cdef frnn_sequence *q
    cdef int layers
    cdef int64_t N

    cdef _bind(self, list packed, int64_t N, list zoneout):
        cdef Packed p, previous = None
        cdef frnn_sequence *q
        cdef size_t scratch_bytes = 0
        cdef int i
        if not packed:
            raise ValueError("packed must hold at least one layer")
        self.packed, self.zoneout, self.N, self.layers = list(packed), list(zoneout), N, len(packed)
        self.h, self.c, self.y, self.keep = [], [], [], []
        self.memory = _allocate(self.layers * sizeof(frnn_sequence))
        self.q = <frnn_sequence *>self.memory.data
        memset(self.q, 0, self.layers * sizeof(frnn_sequence))
        for i in range(self.layers):
            p = <Packed?>packed[i]
            if previous is not None and (p.layer.dtype != previous.layer.dtype
                                         or p.layer.input_size != previous.output_size()):
                raise ValueError(f"packed[{i}] must take {previous.output_size()} inputs of {previous.dtype}, "
                                 f"got {p.input_size} of {p.dtype}")
            dtype = p.dtype
            self.h.append(np.zeros((N, p.output_size()), dtype))
            self.y.append(np.zeros((N, p.output_size()), dtype))
            self.c.append(np.zeros((N, p.layer.hidden_size), dtype) if p.has_c else None)
            q = &self.q[i]
            q.layer, q.packed, q.T, q.N = p.layer, p.memory.data, 1, N
            q.h0 = q.hn = cnp.PyArray_DATA(<cnp.ndarray>self.h[i])
            if p.has_c:
                q.c0 = q.cn = cnp.PyArray_DATA(<cnp.ndarray>self.c[i])
            q.y, q.y_n_stride = cnp.PyArray_DATA(<cnp.ndarray>self.y[i]), p.output_size()
            q.x_n_stride = p.layer.input_size
            if i > 0:
                q.x = cnp.PyArray_DATA(<cnp.ndarray>self.y[i - 1])
            share_h, share_c = zoneout[i]
            if share_h:
                self.keep.append(np.full(p.output_size(), share_h, dtype))
                q.zoneout_h = cnp.PyArray_DATA(<cnp.ndarray>self.keep[-1])
            if share_c and p.has_c:
                self.keep.append(np.full(p.layer.hidden_size, share_c, dtype))
                q.zoneout_c = cnp.PyArray_DATA(<cnp.ndarray>self.keep[-1])
            q.threads = frnn_sequence_threads(q)
            scratch_bytes = max(scratch_bytes, frnn_forward_scratch(q))
            previous = p
        self.scratch = _allocate(scratch_bytes)
        for i in range(self.layers):
            self.q[i].scratch = self.scratch.data

    cdef list copy_state(self):
        return [(h.copy(), None if c is None else c.copy()) for h, c in zip(self.h, self.c)]

    cdef assign_state(self, object state):
        if len(state) != self.layers:
            raise ValueError(f"state must hold {self.layers} pairs (h, c), got {len(state)}")
        for i in range(self.layers):
            h, c = state[i]
            _like(f"state[{i}] h", h, self.h[i])
            if self.c[i] is None:
                if c is not None:
                    raise ValueError(f"state[{i}] c must be None")
            else:
                _like(f"state[{i}] c", c, self.c[i])
        for i in range(self.layers):
            self.h[i][...] = state[i][0]
            if self.c[i] is not None:
                self.c[i][...] = state[i][1]

    cdef zero(self, object rows):
        index = slice(None) if rows is None else rows
        for array in self.h + self.c:
            if array is not None:
                array[index] = 0


cdef class StepStream:
    """Stateful one-step inference through a stack of layers; see docs/protocols.md."""

    cdef _Stack stack
    cdef cnp.ndarray y
    cdef object dtype
    cdef int type_number
    cdef int64_t input_size

    def __init__(self, list packed, int64_t batch_size, zoneout=None):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.stack = _Stack.__new__(_Stack)
        self.stack._bind(packed, batch_size, [(0.0, 0.0)] * len(packed) if zoneout is None else list(zoneout))
        self.y = self.stack.y[-1]
        self.dtype = self.y.dtype
        self.type_number = cnp.PyArray_TYPE(self.y)
        self.input_size = self.stack.q[0].layer.input_size

    def step(self, x):
        """x [N, I] -> y [N, P], a buffer that the next step overwrites."""
        cdef cnp.ndarray array
        cdef _Stack stack = self.stack
        cdef int i
        cdef cnp.npy_intp[2] NI = [stack.N, self.input_size]
        array = x if isinstance(x, cnp.ndarray) else np.asarray(x, self.dtype)
        if cnp.PyArray_TYPE(array) != self.type_number or not cnp.PyArray_ISCARRAY_RO(array):
            array = np.ascontiguousarray(array, self.dtype)
        _checked("x", array, self.type_number, 2, NI)
        if stack.layers == 1 and _may_overlap(array, self.y):
            array = array.copy()  # y fed back: it is written while x is read
        stack.q[0].x = cnp.PyArray_DATA(array)
        with nogil:
            for i in range(stack.layers):
                frnn_forward(&stack.q[i])
                stack.q[i].phase = not stack.q[i].phase
        return self.y

    def get_state(self) -> list:
        """Copies of (h, c or None), a pair a layer."""
        return self.stack.copy_state()

    def set_state(self, state) -> None:
        """Continue from such a list."""
        self.stack.assign_state(state)

    def reset(self, rows=None) -> None:
        """Zero the state of these rows, or of all."""
        self.stack.zero(rows)

    def fork(self) -> StepStream:
        """An independent stream from the same state, on the same weights."""
        cdef StepStream twin = StepStream(self.stack.packed, self.stack.N, self.stack.zoneout)
        twin.stack.assign_state(self.stack.copy_state())
        return twin


cdef class TokenStream:
    """Embedding, recurrent stack, output layer, softmax and sampling for one row; see docs/protocols.md."""

    cdef _Stack stack
    cdef frnn_token_stream s
    cdef PackedLinear out
    cdef Buffer table, linear_scratch, sample_scratch
    cdef cnp.ndarray current_logits
    cdef int64_t token, V

    def __init__(self, embedding, list packed, PackedLinear out not None):
        cdef Packed first = <Packed?>packed[0]
        cdef cnp.npy_intp[2] shape = [-1, first.layer.input_size]
        cdef cnp.ndarray vectors = _contiguous("embedding", embedding, _type_number(first.layer.dtype), 2, shape)
        cdef int64_t V = vectors.shape[0]
        self._bind(_input_table(first, vectors), V, packed, out)

    cdef _bind(self, Buffer table, int64_t V, list packed, PackedLinear out):
        cdef Packed last = <Packed?>packed[len(packed) - 1]
        if (out.linear.in_features != last.output_size() or out.linear.dtype != last.layer.dtype
                or out.linear.out_features != V):
            raise ValueError(f"out must map {last.output_size()} features of {last.dtype} to {V} tokens, "
                             f"got {out.in_features} of {out.dtype} to {out.out_features}")
        self.stack = _Stack.__new__(_Stack)
        self.stack._bind(packed, 1, [(0.0, 0.0)] * len(packed))
        self.table, self.out, self.V = table, out, V
        self.current_logits = np.zeros(V, last.dtype)
        self.linear_scratch = _allocate(frnn_linear_scratch(&out.linear, 1, 1))
        self.sample_scratch = _allocate(frnn_sample_scratch(V))
        self.stack.q[0].input_table = table.data
        self.stack.q[0].tokens = &self.token
        self.s.layers, self.s.sequences, self.s.token = self.stack.layers, self.stack.q, &self.token
        self.s.out, self.s.out_packed = out.linear, out.memory.data
        self.s.h = cnp.PyArray_DATA(<cnp.ndarray>self.stack.h[-1])
        self.s.logits = cnp.PyArray_DATA(self.current_logits)
        self.s.linear_scratch = self.linear_scratch.data
        frnn_token_logits(&self.s)

    def feed(self, tokens) -> None:
        """Advance the state through tokens int64 [n]."""
        cdef cnp.npy_intp[1] shape = [-1]
        cdef cnp.ndarray array = _ids("tokens", tokens, 1, shape, 0, self.V - 1, 0)
        cdef int64_t n = array.shape[0]
        with nogil:
            frnn_token_feed(&self.s, n, <const int64_t *>cnp.PyArray_DATA(array))

    def sample(self, uniforms, double temperature, int64_t top_k, double top_p):
        """Draw with each number in [0, 1), feed the token, return them all, int64 [n]."""
        cdef cnp.npy_intp[1] shape = [-1]
        cdef cnp.ndarray u = _contiguous("uniforms", uniforms, cnp.NPY_FLOAT64, 1, shape)
        cdef int64_t n = u.shape[0]
        cdef cnp.ndarray tokens = np.empty(n, np.int64)
        cdef frnn_sampling sampling = frnn_sampling(temperature, top_k, top_p)
        if not (0 <= temperature < float("inf")) or top_k < 0 or not 0 < top_p <= 1:
            raise ValueError("temperature must be finite and at least 0, top_k at least 0 and top_p in (0, 1], got "
                             f"{temperature}, {top_k}, {top_p}")
        with nogil:
            frnn_token_sample(&self.s, &sampling, n, <const double *>cnp.PyArray_DATA(u),
                              <int64_t *>cnp.PyArray_DATA(tokens), self.sample_scratch.data)
        return tokens

    @property
    def logits(self):
        """Copy of the logits [V] of the next token."""
        return self.current_logits.copy()

    def get_state(self) -> list:
        """Copies of (h, c or None), a pair a layer."""
        return self.stack.copy_state()

    def set_state(self, state) -> None:
        """Continue from such a list."""
        self.stack.assign_state(state)
        frnn_token_logits(&self.s)

    def fork(self) -> TokenStream:
        """An independent stream from the same state, on the same weights."""
        cdef TokenStream twin = TokenStream.__new__(TokenStream)
        twin._bind(self.table, self.V, self.stack.packed, self.out)
        twin.set_state(self.stack.copy_state())
        return twin
