# Weights in, packed for the kernels or borrowed.

cdef struct Counts:
    int64_t gates, recurrent_gates
    bint has_c, norm


cdef Counts[FRNN_CELL_COUNT] _counts
for _i, _cell in enumerate(CELLS):
    _counts[_i].gates, _counts[_i].recurrent_gates = CELL_COUNTS[_cell].gates, CELL_COUNTS[_cell].recurrent_gates
    _counts[_i].has_c, _counts[_i].norm = CELL_COUNTS[_cell].has_c, CELL_COUNTS[_cell].norm


cdef _fill_weights(frnn_weights *w, tuple values, const frnn_layer *layer, bint gradients, list keep):
    """Check arrays in the order of CellWeights and take their pointers; gradients must be writable."""
    cdef tuple names = GRADIENTS if gradients else WEIGHTS
    cdef bint projects = layer.proj_size != 0
    cdef int type_number = _type_number(layer.dtype)
    cdef int64_t I = layer.input_size, H = layer.hidden_size, P = layer.proj_size if projects else H
    cdef Counts counts = _counts[layer.cell]
    cdef int64_t GH = counts.gates * H, RH = counts.recurrent_gates * H
    cdef bint norm = counts.norm, norm_c = norm and counts.has_c
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
    """Snapshot one direction's weights, in the order of CellWeights, or borrow them if no format is asked for."""
    if cell not in CELLS:
        raise ValueError(f"cell must be one of {CELLS}, got {cell!r}")
    cdef tuple values = tuple(weights)
    cdef Packed packed = Packed.__new__(Packed)
    cdef frnn_weights w
    cdef list keep = []
    cdef int32_t cell_id = CELLS.index(cell)
    cdef cnp.ndarray weight_ih = _dims("weight_ih", values[0], 2)
    cdef Counts counts = _counts[cell_id]
    cdef int64_t gates = counts.gates, rows = weight_ih.shape[0], I = weight_ih.shape[1]
    cdef int64_t H = rows // gates, P = 0
    cdef bint projects = values[4] is not None
    if rows == 0 or rows % gates or I == 0:
        raise ValueError(f"weight_ih must have shape ({gates} * H, I) with H, I >= 1, got ({rows}, {I})")
    if projects:
        if not counts.has_c:
            raise ValueError(f"weight_hr must be None for cell {cell!r}: only an LSTM has a projection")
        P = _dims("weight_hr", values[4], 2).shape[0]
        if not 0 < P <= H:
            raise ValueError(f"weight_hr must have shape (P, H) with 1 <= P <= H = {H}, got P = {P}")
    cdef int32_t dtype_id = _dtype_id("weight_ih", weight_ih)
    cdef int32_t format_id = _format_id(format, dtype_id, training)
    packed.layer = frnn_layer(cell_id, dtype_id, frnn_isa_for(dtype_id, format_id, H), format_id, I, H, P)
    packed.training, packed.has_c = training, counts.has_c
    _fill_weights(&w, values, &packed.layer, False, keep)
    if borrow and format is None:
        packed.layer.format = FRNN_WEIGHTS_BORROWED
        packed.borrowed_weights, packed.lenders = w, keep
    packed.memory = _allocate(frnn_packed_size(&packed.layer, training))
    with nogil:
        frnn_pack(&packed.layer, &w, training, packed.memory.data)
    return packed
