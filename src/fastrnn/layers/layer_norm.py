"""Layer normalisation.

    xhat = (x - mean) / sqrt(var + eps)      over the last axes, K elements, for each row by itself
    y    = weight * xhat + bias
    dx   = (d - mean(d) - xhat * mean(d * xhat)) / sqrt(var + eps),    d = dy * weight

Rows are reduced along one contiguous axis, so that a row gives the same bits in every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._checks import check_float, check_positive_int
from fastrnn._types import Array
from fastrnn.layers.base import Layer, Parameter, as_array, as_gradient, float_dtype

__all__ = ["LayerNorm"]


class LayerNorm(Layer):
    """Normalise the last axes of each row to mean 0 and variance 1, then scale and shift.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last axes, which are normalised together.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether to learn a scale (begins as 1) and a shift (begins as 0).
    bias : bool, default True
        Whether to learn the shift.
    dtype : dtype, default float32
        float32 or float64. Inputs are cast to it.

    Attributes
    ----------
    weight, bias : Parameter or None
        ``[*normalized_shape]``.

    Raises
    ------
    ValueError
        If a size is less than 1 or `eps` is not positive.

    References
    ----------
    J. Ba, J. Kiros, G. Hinton: Layer normalization. arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import LayerNorm
    >>> LayerNorm(4, dtype="float64")(np.array([[1.0, 2.0, 3.0, 4.0]])).round(3)
    array([[-1.342, -0.447,  0.447,  1.342]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__()
        sizes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        self.normalized_shape = tuple(check_positive_int("normalized_shape", size) for size in sizes)
        if not self.normalized_shape:
            raise ValueError("normalized_shape must name at least one axis, got ()")
        self.eps = check_float("eps", eps, low=0.0, open_low=True)
        self.dtype = float_dtype(dtype)
        shape = self.normalized_shape
        self.weight = Parameter(np.ones(shape), self.dtype) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape), self.dtype) if elementwise_affine and bias else None

    def __call__(self, x: Any) -> Array:
        """Normalise ``x [..., *normalized_shape]``.

        Raises
        ------
        ValueError
            If the last axes of `x` are not `normalized_shape`.
        TypeError
            If `x` does not hold real numbers.
        """
        array = as_array(x, "x")
        if array.shape[-len(self.normalized_shape) :] != self.normalized_shape:
            sizes = ", ".join(map(str, self.normalized_shape))
            raise ValueError(f"x must have shape [..., {sizes}], got {array.shape}")
        rows = np.asarray(self._rows(array), dtype=self.dtype, order="C")
        xhat = rows - rows.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt(np.square(xhat).mean(axis=1, keepdims=True) + self.dtype.type(self.eps))
        xhat *= scale
        weight = None if self.weight is None else self.weight.value.ravel()
        if self.training:
            self._push((xhat, scale, weight if weight is None else weight.copy(), array.shape))
        y: Array = xhat.copy() if weight is None else xhat * weight
        if self.bias is not None:
            y += self.bias.value.ravel()
        return y.reshape(array.shape)

    def backward(self, dy: Any) -> Array:
        """Take the gradient of the output, add to those of the parameters, return that of the input.

        Raises
        ------
        ValueError
            If `dy` has another shape than the output.
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        xhat, scale, weight, shape = self._pop()
        d = self._rows(as_gradient(dy, shape, self.dtype))
        if self.bias is not None:
            self.bias.grad += d.sum(axis=0).reshape(self.normalized_shape)
        if self.weight is not None:
            self.weight.grad += (d * xhat).sum(axis=0).reshape(self.normalized_shape)
            d = d * weight
        dx: Array = d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)
        dx *= scale
        return dx.reshape(shape)

    def _rows(self, array: Array) -> Array:
        K = int(np.prod(self.normalized_shape))
        return array.reshape(array.size // K, K)

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make a layer of the same structure."""
        return {
            "normalized_shape": list(self.normalized_shape),
            "eps": self.eps,
            "elementwise_affine": self.weight is not None,
            "bias": self.bias is not None,
            "dtype": self.dtype.name,
        }
