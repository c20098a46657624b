"""Numerically careful building blocks that NumPy does not have itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._types import Array
from fastrnn.reference.quantization import Int8Matrix

__all__ = ["affine", "sigmoid"]


def sigmoid(a: Array) -> Array:
    """``1 / (1 + exp(-a))`` with an exponential that cannot overflow and an exact low tail."""
    e = np.exp(-np.abs(a))
    y: Array = np.where(a >= 0, a.dtype.type(1), e) / (1 + e)
    return y


def affine(x: Array, weight: Any, bias: Array | None) -> Array:
    """``x @ weight.T + bias``: [..., K], array or Int8Matrix [O, K], [O] or None -> [..., O]."""
    y: Array = weight.product(x) if isinstance(weight, Int8Matrix) else x @ weight.T
    return y if bias is None else y + bias
