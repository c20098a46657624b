"""What is learned: :class:`Parameter`, and :class:`PackCache` for what backends make of it.

Backends compute from packed copies of the weights. Nobody has to say when a weight was changed:
``Parameter.version`` notices, and a cache keyed on it packs again when it does. Large weights that change
before every step of a few rows are not worth a copy: a backend then borrows them, and takes its copy only if
somebody asks for ``Parameter.data`` before it is done.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastrnn import backend
from fastrnn._types import Array

__all__ = ["Gradients", "PackCache", "Parameter", "as_array", "as_shaped", "float_dtype", "worth_borrowing"]

_next_version = itertools.count(1).__next__  # one counter for all: equal versions mean the same contents


class Parameter:
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

    def __init__(self, data: Any, dtype: Any = None) -> None:
        given = as_array(data, "data")
        self._own(given, float_dtype(given.dtype if dtype is None else dtype))

    def _own(self, data: Array, dtype: np.dtype[Any]) -> None:
        self._data: Array = np.array(data, dtype=dtype, order="C", copy=True)
        self._value: Array = self._data.view()
        self._value.flags.writeable = False
        self._grad: Array | None = None
        self._grad_is_zero = False  # whatever the array holds (see `zero_grad`)
        self._version = _next_version()
        # Times .data was handed out, and how many of these are known to be over (see `version`).
        self._lent = 0
        self._returned = 0
        self._borrowers: list[weakref.ref[Any]] = []

    @property
    def data(self) -> Array:
        """The contents, any shape. Writing into the array takes effect; assigning replaces the contents.

        An assigned array must have the same shape and is cast to the parameter's dtype.
        """
        if self._borrowers:
            self._settle()
        data = self._data
        self._lent += 1  # after taking the reference: whoever reads the new count also sees the reference
        return data

    @data.setter
    def data(self, value: Any) -> None:
        self._settle()
        if value is not self._data:
            self._data[...] = as_shaped(value, self._data.shape, "data")
        self.touch()

    @property
    def value(self) -> Array:
        """The contents as a read-only view: unlike `data` it does not count as a possible change."""
        return self._value

    @property
    def grad(self) -> Array:
        """Gradient, the shape of `data`: zeros until a backward pass adds to it."""
        if self._grad is None:
            self._grad = np.zeros_like(self._data)
        elif self._grad_is_zero:
            self._grad.fill(0)
            self._grad_is_zero = False
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        grad = self.grad
        if value is not grad:
            grad[...] = as_shaped(value, grad.shape, "grad")

    @property
    def version(self) -> int:
        """A number that rises whenever `data` may have changed; no two parameters ever share one.

        A write through a reference to the array goes unseen, so while anybody holds the array that
        `data` returned, or a view on it, every look counts as a change.
        """
        lent = self._lent
        if lent != self._returned:
            # The array owns its memory, so that every view on it holds a reference to it.
            held = sys.getrefcount(self._data) > _UNHELD
            self._version = _next_version()
            if not held:
                self._returned = lent
        return self._version

    @property
    def held(self) -> bool:
        """Whether somebody may hold the array that `data` returned, as of the last look at `version`."""
        return self._lent != self._returned

    def lend(self, borrower: Any) -> None:
        """Call ``borrower.settle()``, if it is alive by then, before `data` may be written to."""
        if self._borrowers:
            self._borrowers = [b for b in self._borrowers if b() is not None]
        self._borrowers.append(weakref.ref(borrower))

    def _settle(self) -> None:
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
            if sys.getrefcount(self._grad) > _UNHELD_GRAD:
                self.grad  # noqa: B018 (writes them)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data`."""
        return tuple(self._data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of `data` and `grad`, float32 or float64."""
        return self._data.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self._data.size)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype.name})"

    def __getstate__(self) -> tuple[Array, Array | None]:
        return self._data, None if self._grad is None else self.grad

    def __setstate__(self, state: tuple[Array, Array | None]) -> None:
        self._own(state[0], state[0].dtype)  # copies: an unpickled array need not own its memory
        self._grad = None if state[1] is None else np.array(state[1])

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copy = memo[id(self)] = Parameter.__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy


class Gradients:
    """Where a backward pass puts the gradients of some parameters. When it has, `written` is called.

    Attributes
    ----------
    arrays : list of array or None
    overwrite : bool
        Whether to write into the arrays rather than add to them: all gradients are zero, and not all arrays
        hold zeros.
    """

    __slots__ = ("_parameters", "arrays", "overwrite")

    def __init__(self, parameters: Sequence[Parameter | None]) -> None:
        self._parameters = parameters
        self.overwrite = True
        self.arrays: list[Array | None] = []
        for p in parameters:
            if p is None:
                self.arrays.append(None)
            elif p._grad_is_zero:
                self.arrays.append(p._grad)
            else:
                self.overwrite = False
                self.arrays = [None if p is None else p.grad for p in parameters]
                break

    def written(self) -> None:
        """Say that the arrays hold the gradients."""
        if self.overwrite:
            for p in self._parameters:
                if p is not None:
                    p._grad_is_zero = False


def _count_unheld() -> tuple[int, int]:
    """References that a parameter counts on its arrays if nobody else holds them (differs among Pythons)."""
    parameter = Parameter(0.0)
    parameter._grad = np.zeros_like(parameter._data)
    # The same expressions as in `version` and `zero_grad`, on a local with the same kind of access.
    return sys.getrefcount(parameter._data), sys.getrefcount(parameter._grad)


def as_shaped(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """Like `as_array`, and of that shape, else ValueError."""
    array = as_array(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def as_array(value: Any, name: str) -> Array:
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


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as a NumPy dtype: float32 or float64, else TypeError."""
    result: np.dtype[Any] = np.dtype(dtype)
    if result not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {result.name}")
    return result


def worth_borrowing(T: int, N: int, weights: int) -> bool:
    """Whether T steps of N rows take less time on so many weights as they are than packing them."""
    return T <= 2 and T * N <= 8 and weights >= 1 << 16


class PackCache:
    """The packed form of some parameters, made again only when one of them or the backend has changed.

    Safe to use from many threads at once: at worst two of them pack the same weights.
    """

    def __init__(self) -> None:
        self._entry: tuple[list[Any], bool, Any] | None = None
        self._borrowed: list[Any] | None = None  # the key of the last weights that were borrowed
        self._values: tuple[Sequence[Parameter | None], list[Array | None]] | None = None

    def values(self, parameters: Sequence[Parameter | None]) -> list[Array | None]:
        """``value`` of each; they are the same arrays as long as the parameters are."""
        if self._values is None or self._values[0] != parameters:
            self._values = (parameters, [None if p is None else p.value for p in parameters])
        return self._values[1]

    def get(
        self,
        parameters: Sequence[Parameter | None],
        training: bool,
        pack: Callable[[bool], Any],
        borrow: Callable[[], Any] | None = None,
    ) -> Any:
        """The packed weights; `pack(training)` makes them. A pack for training serves inference too.

        For a call that is hardly worth packing there is `borrow`: it makes the pack for training when weights
        are seen for the first time, which may then read them where they are (``borrowed``).
        """
        # The key is read before the data: a change in between is packed now and found again next time.
        engine = backend.active()
        key = [engine, engine.current_isa()]
        for p in parameters:
            if p is not None:  # asking for `version` takes longer than looking whether it is worth it
                key.append(p._version if p._lent == p._returned else p.version)
        entry = self._entry
        if entry is not None and entry[0] == key and (entry[1] or not training):
            return entry[2]
        entry = self._entry = None  # the new pack may then lie where the old one did
        if borrow is None or key == self._borrowed or any(p is not None and p.held for p in parameters):
            packed = pack(training)
        else:
            self._borrowed = key
            packed = borrow()
            if packed.borrowed:
                for p in parameters:
                    if p is not None:
                        p.lend(packed)
                return packed
        self._entry = (key, training, packed)
        return packed

    def __reduce__(self) -> tuple[type[PackCache], tuple[()]]:
        return PackCache, ()  # copies and pickles start empty


_UNHELD, _UNHELD_GRAD = _count_unheld()
