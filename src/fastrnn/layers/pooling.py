"""Pooling over time: one vector per row from all its steps, none of which lie past the row's length.

Sums over time are taken step by step rather than by a reduction of NumPy, whose order of summation depends on
the shape of the batch: a row gives the same bits in every batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastrnn import init
from fastrnn._checks import check_bool, check_float_array, check_lengths, check_positive_int
from fastrnn._types import Array
from fastrnn.layers.base import Layer, Parameter, as_gradient, float_dtype, keep

__all__ = ["AttentionPool", "LastPool", "MaxPool", "MeanPool"]


class _Pool(Layer):
    """What all four share: the forms of the input, and rows of length zero, which give zeros."""

    uses_lengths: ClassVar[bool] = True
    pools_time: bool = True

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__()
        self.batch_first = check_bool("batch_first", batch_first)

    def __call__(self, x: Any, lengths: Any = None) -> Array:
        """Pool ``x [T, N, H]`` (``[N, T, H]`` with `batch_first`) to ``[N, H]``, or ``[T, H]`` to ``[H]``.

        Parameters
        ----------
        x : array_like
            Floating point.
        lengths : array_like of int, optional
            ``[N]``, steps of each row, 0 to T. Default: all T.

        Raises
        ------
        ValueError
            If a shape or length does not fit.
        TypeError
            If `x` is not floating point or `lengths` are not integers.
        """
        array = self._check_input(check_float_array("x", x, ndim=(2, 3)))
        steps = self._time_major(array)
        T, N, _ = steps.shape
        rows = np.full(N, T) if lengths is None else check_lengths(lengths, T, N)
        live = np.arange(T)[:, None] < rows
        y, saved = self._pool(steps, rows, live)
        if self.training:
            self._push((array.shape, array.dtype, live, saved))
        return y[0] if array.ndim == 2 else y

    def backward(self, dy: Any) -> Array:
        """Return the gradient of the input, zero past each length, from ``dy [N, H]`` of the output.

        Raises
        ------
        ValueError
            If `dy` has another shape than the output.
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        shape, dtype, live, saved = self._pop()
        T, N = live.shape
        H = shape[-1]
        grad = as_gradient(dy, (N, H) if len(shape) == 3 else (H,), dtype)
        dx = np.zeros(shape, dtype)
        if T and N:
            self._unpool(grad.reshape(N, H), self._time_major(dx), live, saved)
        return dx

    def _time_major(self, array: Array) -> Array:
        if array.ndim == 2:
            return array[:, None]
        return array.transpose(1, 0, 2) if self.batch_first else array

    def _check_input(self, x: Array) -> Array:
        return x

    def _pool(self, x: Array, lengths: Array, live: Array) -> tuple[Array, Any]:
        """Compute y [N, H] and what `_unpool` needs from x [T, N, H], live [T, N]."""
        raise NotImplementedError

    def _unpool(self, dy: Array, dx: Array, live: Array, saved: Any) -> None:
        """Write dx [T, N, H], zeros so far, from dy [N, H]."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {"batch_first": self.batch_first}


class LastPool(_Pool):
    """The step at each row's length: the last one that is not padding.

    Parameters
    ----------
    bidirectional : bool, default False
        Take the second half of the features from the first step instead: that is where the reverse direction
        of a bidirectional layer has seen the whole row.
    batch_first : bool, default False
        Whether inputs are ``[N, T, H]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import LastPool
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> LastPool()(x, lengths=[3, 1])
    array([[4.],
           [1.]])
    """

    def __init__(self, bidirectional: bool = False, *, batch_first: bool = False) -> None:
        super().__init__(batch_first=batch_first)
        self.bidirectional = check_bool("bidirectional", bidirectional)

    def _check_input(self, x: Array) -> Array:
        if self.bidirectional and x.shape[-1] % 2:
            raise ValueError(f"x must have an even number of features if bidirectional, got shape {x.shape}")
        return x

    def _pool(self, x: Array, lengths: Array, live: Array) -> tuple[Array, Any]:
        y = np.zeros(x.shape[1:], x.dtype)
        rows = np.flatnonzero(lengths)
        last = lengths[rows] - 1
        y[rows] = x[last, rows]
        half = x.shape[2] // 2
        if self.bidirectional:
            y[rows, half:] = x[np.zeros_like(rows), rows, half:]
        return y, (rows, last, half)

    def _unpool(self, dy: Array, dx: Array, live: Array, saved: Any) -> None:
        rows, last, half = saved
        dx[last, rows] = dy[rows]
        if self.bidirectional:
            dx[last, rows, half:] = 0
            dx[0, rows, half:] = dy[rows, half:]

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {"bidirectional": self.bidirectional, **super().config()}


class MeanPool(_Pool):
    """Mean over each row's steps.

    Parameters
    ----------
    batch_first : bool, default False
        Whether inputs are ``[N, T, H]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import MeanPool
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> MeanPool()(x, lengths=[3, 0])
    array([[2.],
           [0.]])
    """

    def _pool(self, x: Array, lengths: Array, live: Array) -> tuple[Array, Any]:
        weight = (1.0 / np.maximum(lengths, 1)).astype(x.dtype)[:, None]
        return _sum_over_time(x, live) * weight, weight

    def _unpool(self, dy: Array, dx: Array, live: Array, saved: Any) -> None:
        np.copyto(dx, dy * saved, where=live[:, :, None])


class MaxPool(_Pool):
    """Maximum over each row's steps, feature by feature; of equal ones the first gets the gradient.

    Parameters
    ----------
    batch_first : bool, default False
        Whether inputs are ``[N, T, H]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import MaxPool
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> MaxPool()(x, lengths=[3, 2])
    array([[4.],
           [3.]])
    """

    def _pool(self, x: Array, lengths: Array, live: Array) -> tuple[Array, Any]:
        if x.shape[0] == 0:
            return np.zeros(x.shape[1:], x.dtype), None
        where = np.where(live[:, :, None], x, -np.inf).argmax(axis=0)[None]
        y = np.take_along_axis(x, where, axis=0)[0]
        y[lengths == 0] = 0
        return y, where

    def _unpool(self, dy: Array, dx: Array, live: Array, saved: Any) -> None:
        np.put_along_axis(dx, saved, np.where(live[0][:, None], dy, 0)[None], axis=0)


class AttentionPool(_Pool):
    """Mean of each row's steps weighted by how well they match a learned query.

    ``y = sum_t a_t x_t`` with ``a = softmax_t(x_t . query)`` over the steps that are not padding.

    Parameters
    ----------
    input_size : int
        H, number of features.
    batch_first : bool, default False
        Whether inputs are ``[N, T, H]``.
    dtype : dtype, default float32
        float32 or float64. Inputs are cast to it.
    seed : int or numpy.random.Generator, optional
        Source of the first query, uniform on +-1/sqrt(H). Default: a fresh one.

    Attributes
    ----------
    query : Parameter
        ``[H]``.

    References
    ----------
    D. Bahdanau, K. Cho, Y. Bengio: Neural machine translation by jointly learning to align and translate.
    ICLR 2015. C. Raffel, D. Ellis: Feed-forward networks with attention can solve some long-term memory
    problems. arXiv:1512.08756.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import AttentionPool
    >>> pool = AttentionPool(2, dtype="float64")
    >>> pool.query.data = [0.0, 0.0]
    >>> pool(np.arange(8.0).reshape(4, 1, 2), lengths=[3])
    array([[2., 3.]])
    """

    def __init__(
        self,
        input_size: int,
        *,
        batch_first: bool = False,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(batch_first=batch_first)
        H = self.input_size = check_positive_int("input_size", input_size)
        self.dtype = float_dtype(dtype)
        self.query = Parameter(init.uniform(np.random.default_rng(seed), (H,), H**-0.5), self.dtype)

    def _check_input(self, x: Array) -> Array:
        if x.shape[-1] != self.input_size:
            raise ValueError(f"x must have {self.input_size} features, got shape {x.shape}")
        return x.astype(self.dtype, copy=False)

    def _pool(self, x: Array, lengths: Array, live: Array) -> tuple[Array, Any]:
        if x.shape[0] == 0:
            return np.zeros(x.shape[1:], x.dtype), None
        query = self.query.value.copy()
        # 1. scores [T, N]; not a matrix product, whose order of summation depends on the batch size
        scores = (x * query).sum(axis=2)
        # 2. softmax over the live steps; a row without any keeps a = 0
        top = np.where(live, scores, -np.inf).max(axis=0)
        a = np.exp(np.where(live, scores - np.where(lengths > 0, top, 0), -np.inf))
        a = a / np.maximum(_sum_over_time(a, live), np.finfo(a.dtype).tiny)
        # 3. weighted sum
        y = _sum_over_time(a[:, :, None] * x, live)
        return y, (keep(x), query, a, y.copy()) if self.training else None

    def _unpool(self, dy: Array, dx: Array, live: Array, saved: Any) -> None:
        x, query, a, y = saved
        # 3. and 2. dscores = a * (dy . x - sum_t a dy . x), and that sum is dy . y
        dscores = a * ((np.where(live[:, :, None], x, 0) - y) * dy).sum(axis=2)
        # 1.
        np.copyto(dx, a[:, :, None] * dy + dscores[:, :, None] * query, where=live[:, :, None])
        self.query.grad += np.where(live[:, :, None], dscores[:, :, None] * x, 0).sum(axis=(0, 1))

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {"input_size": self.input_size, **super().config(), "dtype": self.dtype.name}


def _sum_over_time(x: Array, live: Array) -> Array:
    """Sum x [T, N, ...] over the steps where live [T, N]."""
    total = np.zeros(x.shape[1:], x.dtype)
    where = live.reshape(live.shape + (1,) * (x.ndim - 2))
    for step, mask in zip(x, where, strict=True):
        np.add(total, step, out=total, where=mask)
    return total
