# Recurrent layers over sequences, forward and back.

cdef enum:
    BRIEF = 1 << 14


cdef bint _is_brief(const frnn_sequence *q) noexcept nogil:
    """Whether a pass is over in a few microseconds: giving the GIL away and taking it back would be a tenth of it."""
    return q.threads == 1 and q.T * q.N * q.layer.hidden_size * (q.layer.input_size + q.layer.hidden_size) <= BRIEF


cdef void _run_forward(frnn_sequence *q) noexcept:
    if _is_brief(q):
        frnn_forward(q)
    else:
        with nogil:
            frnn_forward(q)

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
    if lengths == NULL and cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_ISNOTSWAPPED(array):
        memcpy(cnp.PyArray_DATA(copy), cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array))
        return copy
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
    _run_forward(&q)
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
    _fill_weights(&g.dweights, tuple(grads), &q.layer, True, keep)
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
    if _is_brief(&q) and not by_table:
        frnn_backward(&g)
    else:
        with nogil:
            frnn_backward(&g)
            if by_table:
                frnn_input_table_backward(&q.layer, q.packed, V, embedding, dtable.data, dx_data,
                                          g.dweights.weight_ih, overwrite, table_threads, table_scratch.data)
    saved.keep = saved.embedding = saved.own_x = None
    return dx, dh0, dc0
