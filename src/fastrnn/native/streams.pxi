# One step at a time with the state kept here: a stack of layers, and generation token by token.

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
        for i in range(stack.layers):
            _run_forward(&stack.q[i])
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
