"""Linear: an affine map of the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from fastrnn import backend, init
from fastrnn._checks import check_choice, check_positive_int
from fastrnn._types import Array
from fastrnn.layers.base import Layer, PackCache, Parameter, as_array, as_gradient, float_dtype, keep
from fastrnn.layers.parameter import Gradients

__all__ = ["Linear"]

_INITS = ("torch", "glorot", "orthogonal")


class Linear(Layer):
    """Affine map of the last axis, ``y = x @ weight.T + bias``.

    Parameters
    ----------
    in_features : int
        K, size of the last axis of the input.
    out_features : int
        O, size of the last axis of the output.
    bias : bool, default True
        Whether to add a bias.
    init : {"torch", "glorot", "orthogonal"}, default "torch"
        First weights. ``"torch"``: weight and bias uniform on +-1/sqrt(K), as PyTorch does; the other two
        (see :mod:`fastrnn.init`) begin with a zero bias.
    dtype : dtype, default float32
        float32 or float64. Inputs are cast to it.
    seed : int or numpy.random.Generator, optional
        Source of the first weights. Default: a fresh one.

    Attributes
    ----------
    weight : Parameter
        ``[O, K]``.
    bias : Parameter or None
        ``[O]``.

    Raises
    ------
    ValueError
        If a size is less than 1 or `init` is unknown.
    TypeError
        If a size is not an integer or `dtype` is another one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Linear
    >>> layer = Linear(3, 2, seed=0).train()
    >>> layer(np.ones((5, 4, 3))).shape
    (5, 4, 2)
    >>> layer.backward(np.ones((5, 4, 2))).shape, layer.bias.grad
    ((5, 4, 3), array([20., 20.], dtype=float32))
    """

    _can_quantize: ClassVar[bool] = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: str = "torch",
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = check_positive_int("in_features", in_features)
        self.out_features = check_positive_int("out_features", out_features)
        self.dtype = float_dtype(dtype)
        check_choice("init", init, _INITS)
        weight, first_bias = _first_weights((self.out_features, self.in_features), init, seed)
        self.weight = Parameter(weight, self.dtype)
        self.bias = Parameter(first_bias, self.dtype) if bias else None
        self._packs = PackCache(("weight", "bias"))

    def __call__(self, x: Any) -> Array:
        """Map ``x [..., K]`` to ``y [..., O]``.

        Raises
        ------
        ValueError
            If the last axis of `x` is not K.
        TypeError
            If `x` does not hold real numbers.
        """
        array = as_array(x, "x")
        if array.ndim == 0 or array.shape[-1] != self.in_features:
            raise ValueError(f"x must have shape [..., {self.in_features}], got {array.shape}")
        rows = np.asarray(array.reshape(-1, self.in_features), dtype=self.dtype, order="C")
        engine = backend.active()
        packed = self._packs.get(engine, self, self.training)
        y: Array = engine.linear_forward(packed, rows)
        if self.training:
            self._push((engine, packed, keep(rows, x), array.shape))
        return y.reshape(*array.shape[:-1], self.out_features)

    def backward(self, dy: Any) -> Array:
        """Return ``dx [..., K]`` from ``dy [..., O]``, and add to the gradients of the parameters.

        Raises
        ------
        ValueError
            If `dy` has another shape than the output.
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        engine, packed, rows, shape = self._pop()
        grad = as_gradient(dy, (*shape[:-1], self.out_features), self.dtype)
        gradients = Gradients(self._packs.parameters(self))
        dx: Array = engine.linear_backward(
            packed,
            rows,
            grad.reshape(-1, self.out_features),
            *gradients.arrays,
            overwrite=gradients.overwrite,
        )
        gradients.written()
        return dx.reshape(shape)

    def _pack(self, engine: ModuleType, weights: Sequence[Array | None], training: bool, borrow: bool) -> Any:
        return engine.pack_linear(*weights, training, self.quantized)

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
            "dtype": self.dtype.name,
            **self._quantized_config(),
        }


def _first_weights(
    shape: tuple[int, int], scheme: str, seed: int | np.random.Generator | None
) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    if scheme == "torch":
        bound = 1.0 / math.sqrt(shape[1])
        return init.uniform(rng, shape, bound), init.uniform(rng, shape[:1], bound)
    draw = init.glorot_uniform if scheme == "glorot" else init.orthogonal
    return draw(rng, shape), np.zeros(shape[0])
