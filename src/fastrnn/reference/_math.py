"""Numerically careful building blocks that NumPy does not have itself."""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array

__all__ = ["affine", "sigmoid"]


def sigmoid(a: Array) -> Array:
    """``1 / (1 + exp(-a))`` with an exponential that cannot overflow and an exact low tail."""
    e = np.exp(-np.abs(a))
    y: Array = np.where(a >= 0, a.dtype.type(1), e) / (1 + e)
    return y


def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x @ weight.T + bias``: [..., K], [O, K], [O] or None -> [..., O]."""
    y: Array = x @ weight.T
    return y if bias is None else y + bias
