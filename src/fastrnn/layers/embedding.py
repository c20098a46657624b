"""Embedding: a learned vector for each of a set of integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn import backend, init
from fastrnn._checks import check_int, check_int_array, check_positive_int
from fastrnn._types import Array
from fastrnn.layers.base import Layer, Parameter, as_gradient, float_dtype, keep

__all__ = ["Embedded", "Embedding"]


LEAST_REPEATS = 2
"""Ids for each vector of the table from which on looking up is left to the next layer."""


@dataclass(slots=True)
class Embedded:
    """``table[ids]``, not looked up: what `Embedding.defer` gives to a recurrent layer."""

    ids: Array
    """int64, ``[T]``, ``[T, N]`` or, with ``batch_first``, ``[N, T]``."""
    table: Array
    """``[V, E]``; in train mode a copy, since backward needs it as it was."""
    layer: Embedding

    def add_gradient(self, dtable: Array) -> None:
        """Add to the gradient of the layer's table, ``[V, E]``."""
        if self.layer.padding_idx is not None:
            dtable[self.layer.padding_idx] = 0
        self.layer.weight.grad += dtable


class Embedding(Layer):
    """A table of vectors: ``y = weight[ids]``.

    Parameters
    ----------
    num_embeddings : int
        V, number of vectors.
    embedding_dim : int
        E, their size.
    padding_idx : int, optional
        Index whose vector begins as zero and gets no gradient, so that it stays as it is; negative ones count
        from the end. Default: none.
    dtype : dtype, default float32
        float32 or float64.
    seed : int or numpy.random.Generator, optional
        Source of the first vectors, which are standard normal as in PyTorch. Default: a fresh one.

    Attributes
    ----------
    weight : Parameter
        ``[V, E]``.

    Raises
    ------
    ValueError
        If a size is less than 1 or `padding_idx` is out of range.
    TypeError
        If a size is not an integer or `dtype` is another one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Embedding
    >>> layer = Embedding(10, 4, padding_idx=0)
    >>> y = layer(np.array([[3, 5], [1, 0]]))
    >>> y.shape, y[1, 1]
    ((2, 2, 4), array([0., 0., 0., 0.], dtype=float32))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = V = check_positive_int("num_embeddings", num_embeddings)
        self.embedding_dim = check_positive_int("embedding_dim", embedding_dim)
        self.dtype = float_dtype(dtype)
        weight = init.normal(np.random.default_rng(seed), (V, self.embedding_dim))
        self.padding_idx = None
        if padding_idx is not None:
            self.padding_idx = check_int("padding_idx", padding_idx, low=-V, high=V - 1) % V
            weight[self.padding_idx] = 0
        self.weight = Parameter(weight, self.dtype)

    def __call__(self, ids: Any) -> Array:
        """Look up ``ids [...]`` of any integer dtype: ``y [..., E]``.

        Raises
        ------
        ValueError
            If an index is not in 0..V-1.
        TypeError
            If `ids` are not integers.
        """
        return self._look_up(self._check(ids), ids)

    def _check(self, ids: Any) -> Array:
        return check_int_array("ids", ids, low=0, high=self.num_embeddings - 1)

    def _look_up(self, array: Array, ids: Any) -> Array:
        y: Array = backend.active().embedding_forward(self.weight.value, array)
        if self.training:
            self._push(keep(array, ids))
        return y

    def defer(self, ids: Any) -> Array | Embedded:
        """Look up, or leave that to the recurrent layer that comes next; for `Sequential`.

        Of few vectors that come often, a recurrent layer needs each but once: it multiplies its weights with
        the table rather than with what would be looked up, which gives the same bits. It then adds to the
        gradient of the table, too, and `backward` takes None.

        Parameters
        ----------
        ids : array_like of int
            ``[T, N]``, ``[N, T]`` or ``[T]``, as the recurrent layer takes them.

        Returns
        -------
        array or Embedded
            What a call gives, if `ids` are fewer than two for each vector of the table; else what a
            recurrent layer takes in its place.

        Raises
        ------
        ValueError
            If an index is not in 0..V-1.
        TypeError
            If `ids` are not integers.
        """
        array = self._check(ids)
        if array.ndim not in (1, 2) or array.size < LEAST_REPEATS * self.num_embeddings:
            return self._look_up(array, ids)
        table = self.weight.value
        if self.training:
            table = table.copy()
            self._push(None)
        return Embedded(array, table, self)

    def backward(self, dy: Any) -> None:
        """Add to the gradient of the table from ``dy [..., E]``; integers have none, so None is returned.

        Of a forward pass that was deferred, the recurrent layer has done so, and `dy` is None.

        Raises
        ------
        ValueError
            If `dy` has another shape than the output.
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        ids = self._pop()
        if ids is None:  # deferred
            return
        grad = as_gradient(dy, (*ids.shape, self.embedding_dim), self.dtype)
        if self.padding_idx is not None:
            ids = np.where(ids == self.padding_idx, -1, ids)  # backends skip negative ones
        backend.active().embedding_backward(grad, ids, self.weight.grad)

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "padding_idx": self.padding_idx,
            "dtype": self.dtype.name,
        }
