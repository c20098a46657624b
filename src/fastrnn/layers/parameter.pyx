"""What is learned: :class:`Parameter`, and :class:`PackCache` for what backends make of it.

Backends compute from packed copies of the weights. Nobody has to say when a weight was changed:
``Parameter.version`` notices, and a cache keyed on it packs again when it does. Large weights that change
before every step of a few rows are not worth a copy: a backend then borrows them, and takes its copy only if
somebody asks for ``Parameter.data`` before it is done.

In Cython, since every call of every layer asks these questions: a step of a small layer takes two microseconds.
"""

import copyreg

import numpy as np

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.weakref cimport PyWeakref_NewRef
from libc.stdint cimport int64_t

__all__ = ["Gradients", "PackCache", "Parameter", "as_array", "as_shaped", "float_dtype", "worth_borrowing"]


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    object PyObject_GenericGetDict(object, void *)


cdef enum:
    MOST_PARAMETERS = 9   # of a cell, see CellWeights
    SOME_WEIGHTS = 1 << 12  # of fewer, the packs are made in less time than it takes to lend
    MANY_WEIGHTS = 1 << 16  # from here on packs take half a megabyte and more, which a core's own caches may not hold,
    MORE_WEIGHTS = 1 << 20  # from here on 8 MB,
    MOST_WEIGHTS = 1 << 22  # and 32 MB; then columns of the borrowed matrix lie on more pages than a core has at hand

cdef int64_t _last_version = 0  # one counter for all: equal versions mean the same contents


cdef int64_t _next_version() noexcept:
    global _last_version
    _last_version += 1
    return _last_version


cdef class Parameter:
    """An array that is learned, and its gradient.

    Parameters
    ----------
    data : array_like
        First contents; copied.
    dtype : dtype, optional
        float32 or float64. Default: that of `data`.

    Examples
    --------
    >>> from fastrnn.layers.parameter import Parameter
    >>> p = Parameter([1.0, 2.0], dtype="float32")
    >>> before = p.version
    >>> p.data *= 2
    >>> p.data, p.version > before
    (array([2., 4.], dtype=float32), True)
    """

    cdef object _data         # owns its memory, so that every view on it holds a reference to it
    cdef object _value
    cdef object _grad         # or None
    cdef bint _grad_is_zero   # whatever the array holds (see `zero_grad`)
    cdef int64_t _version
    cdef int64_t _lent        # times `data` was handed out,
    cdef int64_t _returned    # and how many of these are known to be over (see `version`)
    cdef list _borrowers      # weak references
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, data, dtype=None):
        given = as_array(data, "data")
        self._own(given, float_dtype(given.dtype if dtype is None else dtype))

    cdef _own(self, data, dtype):
        self._data = np.array(data, dtype=dtype, order="C", copy=True)
        self._value = self._data.view()
        self._value.flags.writeable = False
        self._grad = None
        self._grad_is_zero = False
        self._version = _next_version()
        self._lent = self._returned = 0
        self._borrowers = []

    @property
    def data(self):
        """The contents, any shape. Writing into the array takes effect; assigning replaces the contents.

        An assigned array must have the same shape and is cast to the parameter's dtype.
        """
        if self._borrowers:
            self._settle()
        self._lent += 1
        return self._data

    @data.setter
    def data(self, value):
        self._settle()
        if value is not self._data:
            self._data[...] = as_shaped(value, self._data.shape, "data")
        self.touch()

    @property
    def value(self):
        """The contents as a read-only view: unlike `data` it does not count as a possible change."""
        return self._value

    cdef _gradient(self):
        if self._grad is None:
            self._grad = np.zeros_like(self._data)
        elif self._grad_is_zero:
            self._grad.fill(0)
            self._grad_is_zero = False
        return self._grad

    @property
    def grad(self):
        """Gradient, the shape of `data`: zeros until a backward pass adds to it."""
        return self._gradient()

    @grad.setter
    def grad(self, value):
        grad = self._gradient()
        if value is not grad:
            grad[...] = as_shaped(value, grad.shape, "grad")

    cdef int64_t _look(self) noexcept:
        if self._lent != self._returned:
            self._version = _next_version()
            if Py_REFCNT(<PyObject *>self._data) <= 2:  # this object's, and that of `value`
                self._returned = self._lent
        return self._version

    @property
    def version(self):
        """A number that rises whenever `data` may have changed; no two parameters ever share one.

        A write through a reference to the array goes unseen, so while anybody holds the array that
        `data` returned, or a view on it, every look counts as a change.
        """
        return self._look()

    cdef bint _held(self) noexcept:
        return self._lent != self._returned

    @property
    def held(self):
        """Whether somebody may hold the array that `data` returned, as of the last look at `version`."""
        return self._held()

    cdef _lend(self, borrower):
        """Call ``settle()`` of what this weak reference leads to, if it is still alive, before `data` is written to."""
        if self._borrowers:
            self._borrowers = [b for b in self._borrowers if b() is not None]
        self._borrowers.append(borrower)

    cdef _settle(self):
        while self._borrowers:
            borrower = self._borrowers[-1]()
            if borrower is not None:
                borrower.settle()
            self._borrowers.pop()

    def touch(self) -> None:
        """Say that the contents have changed."""
        self._version = _next_version()

    def zero_grad(self) -> None:
        """Set the gradient to zero."""
        # The next backward pass then writes it, which saves going through the memory twice. Whoever holds the
        # array is to see zeros in it at once.
        if self._grad is not None:
            self._grad_is_zero = True
            if Py_REFCNT(<PyObject *>self._grad) > 1:
                self._gradient()

    @property
    def shape(self):
        """Shape of `data`."""
        return self._data.shape

    @property
    def dtype(self):
        """Type of `data` and `grad`, float32 or float64."""
        return self._data.dtype

    @property
    def size(self):
        """Number of elements."""
        return self._data.size

    def __repr__(self):
        return f"Parameter(shape={self.shape}, dtype={self.dtype.name})"

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),), self.__getstate__()

    def __getstate__(self):
        return self._data, None if self._grad is None else self._gradient()

    def __setstate__(self, state):
        data, grad = state
        self._own(data, data.dtype)  # copies: an unpickled array need not own its memory
        self._grad = None if grad is None else np.array(grad)

    def __deepcopy__(self, memo):
        copy = memo[id(self)] = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy


cdef class Gradients:
    """Where a backward pass puts the gradients of some parameters. When it has, `written` is called.

    Attributes
    ----------
    arrays : list of array or None
    overwrite : bool
        Whether to write into the arrays rather than add to them: all gradients are zero, and not all arrays
        hold zeros.
    """

    cdef object _parameters
    cdef readonly list arrays
    cdef readonly bint overwrite

    def __init__(self, parameters):
        self._parameters = parameters
        self.overwrite = True
        for item in parameters:
            if item is not None and not (<Parameter?>item)._grad_is_zero:
                self.overwrite = False
                break
        self.arrays = []
        for item in parameters:
            if item is None:
                self.arrays.append(None)
            elif self.overwrite:
                self.arrays.append((<Parameter>item)._grad)
            else:
                self.arrays.append((<Parameter?>item)._gradient())

    def written(self) -> None:
        """Say that the arrays hold the gradients."""
        if self.overwrite:
            for item in self._parameters:
                if item is not None:
                    (<Parameter>item)._grad_is_zero = False


def as_shaped(value, shape, name):
    """Like `as_array`, and of that shape, else ValueError."""
    array = as_array(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def as_array(value, name):
    """A numeric NumPy array from anything that can be one; tensors of PyTorch without importing it."""
    if type(value) is np.ndarray:
        array = value
    else:
        if hasattr(value, "detach"):
            tensor = value.detach().cpu()
            try:
                value = tensor.numpy()
            except TypeError:  # bfloat16, which NumPy does not have
                value = tensor.float().numpy()
        array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def float_dtype(dtype):
    """`dtype` as a NumPy dtype: float32 or float64, else TypeError."""
    result = np.dtype(dtype)
    if result not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {result.name}")
    return result


def worth_borrowing(int64_t T, int64_t N, int64_t weights):
    """Whether T steps of N rows take less time on so many weights as they are than with packing them.

    A single step always does, but on few weights, where the calls around it matter more.
    """
    if weights < MANY_WEIGHTS:
        return weights >= SOME_WEIGHTS and T <= 2 and T * T * N <= 16
    if T == 1:
        return True
    if weights < MOST_WEIGHTS:
        return T * T * N <= 64 or (weights >= MORE_WEIGHTS and T <= 8 and T * N <= 16)
    return T * N <= 8


cdef struct Key:
    int count
    int64_t[MOST_PARAMETERS] versions


cdef bint _same(const Key *a, const Key *b) noexcept:
    cdef int i
    for i in range(a.count):
        if a.versions[i] != b.versions[i]:
            return False
    return a.count == b.count


cdef object _attribute(object layer, object attributes, object name):
    """What ``getattr`` finds, looked for first where parameters are."""
    cdef PyObject *item = PyDict_GetItemWithError(attributes, name)
    return getattr(layer, name) if item == NULL else <object>item


cdef class PackCache:
    """The packed form of some parameters of a layer, made again only when one of them or the backend has changed.

    Safe to use from many threads at once: at worst two of them pack the same weights.

    Parameters
    ----------
    names : tuple of str or None
        Attributes of the layer that hold a parameter each, or None; None for one that the layer does not have.
    """

    cdef tuple _names
    cdef object _packed
    cdef bint _for_training
    cdef object _engine   # the backend and the instruction set that made it
    cdef object _isa
    cdef Key _key
    cdef Key _borrowed    # of the last weights that were borrowed

    def __init__(self, names):
        self._names = tuple(names)
        if len(self._names) > MOST_PARAMETERS:
            raise ValueError(f"names must be at most {MOST_PARAMETERS}, got {len(self._names)}")

    def parameters(self, layer):
        """What the attributes are now, a tuple in the order of `names`."""
        attributes = PyObject_GenericGetDict(layer, NULL)
        return tuple([None if name is None else _attribute(layer, attributes, name) for name in self._names])

    def get(self, engine, layer, bint training, bint borrow=False):
        """The packed weights; ``layer._pack(engine, values, training, borrow)`` makes them of what parameters hold.

        A pack for training serves inference too. For a call that is hardly worth packing there is `borrow`: a
        pack of weights that are seen for the first time may then read them where they are (``borrowed``).
        """
        # The key is read before the data: a change in between is packed now and found again next time.
        isa = engine.current_isa()
        attributes = PyObject_GenericGetDict(layer, NULL)
        cdef Key key
        cdef bint held = False
        cdef list parameters = []
        key.count = 0
        for name in self._names:
            item = None if name is None else _attribute(layer, attributes, name)
            parameters.append(item)
            if item is not None:
                key.versions[key.count] = (<Parameter?>item)._look()
                held |= (<Parameter>item)._held()
                key.count += 1
        cdef bint known = self._engine is engine and self._isa == isa
        if self._packed is not None and known and (self._for_training or not training) and _same(&key, &self._key):
            return self._packed
        self._packed = None  # the new pack may then lie where the old one did
        borrow = borrow and not held and not (known and _same(&key, &self._borrowed))
        values = [None if item is None else (<Parameter>item)._value for item in parameters]
        packed = layer._pack(engine, values, training, borrow)
        borrow = borrow and packed.borrowed
        if borrow:
            borrower = PyWeakref_NewRef(packed, None)
            for item in parameters:
                if item is not None:
                    (<Parameter>item)._lend(borrower)
            self._borrowed = key
        else:
            self._packed, self._for_training, self._key = packed, training, key
        self._engine, self._isa = engine, isa
        return packed

    def __reduce__(self):
        return PackCache, (self._names,)  # copies and pickles start empty
