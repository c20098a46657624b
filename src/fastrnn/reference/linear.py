"""A linear map of rows: y = x W^T + b, and its gradients."""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array
from fastrnn.reference._math import affine
from fastrnn.reference.weights import PackedLinear

__all__ = ["linear_backward", "linear_forward"]


def linear_forward(packed: PackedLinear, x: Array) -> Array:
    """Map x [M, K] to y [M, O]."""
    with np.errstate(all="ignore"):
        return affine(x, packed.weight, packed.bias)


def linear_backward(
    packed: PackedLinear,
    x: Array,
    dy: Array,
    dweight: Array,
    dbias: Array | None = None,
    need_dx: bool = True,
    overwrite: bool = False,
) -> Array | None:
    """Map dy [M, O] to dx [M, K]; adds to dweight [O, K] and dbias [O], or writes them."""
    if packed.format is not None:
        raise ValueError(f"packed holds {packed.format} weights, which are for inference")
    if need_dx and not packed.training:
        raise ValueError("need_dx=True needs weights packed with training=True")
    with np.errstate(all="ignore"):
        keep = not overwrite
        dweight[...] = dy.T @ x + (dweight if keep else 0)
        if dbias is not None:
            dbias[...] = dy.sum(axis=0) + (dbias if keep else 0)
        return dy @ packed.weight if need_dx else None
