"""Elman cell (J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990).

    a  = gx + W_hh hm + b_hh        gx = W_ih x + b_ih
    h' = tanh(a)  or  max(a, 0)

``h`` is the state before the step, ``hm`` the same after variational dropout; both are [N, H].
"""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import affine

__all__ = ["relu_backward", "relu_forward", "tanh_backward", "tanh_forward"]

Saved = tuple[Array, Array]


def tanh_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step: gx [N, H] -> h' [N, H]."""
    h_new = np.tanh(gx + affine(hm, w.weight_hh, w.bias_hh))
    return h_new, None, (hm, h_new)


def tanh_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, None, None]:
    """Gradients of gx and hm; the cell reads h and c only through hm."""
    hm, h_new = saved
    return _product_backward(w, hm, dh * (1 - h_new * h_new), grads)


def relu_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step: gx [N, H] -> h' [N, H]."""
    h_new = np.maximum(gx + affine(hm, w.weight_hh, w.bias_hh), 0)
    return h_new, None, (hm, h_new)


def relu_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, None, None]:
    """Gradients of gx and hm; the derivative at 0 is taken as 0."""
    hm, h_new = saved
    return _product_backward(w, hm, np.where(h_new > 0, dh, 0), grads)


def _product_backward(
    w: CellWeights, hm: Array, da: Array, grads: CellWeights
) -> tuple[Array, Array, None, None]:
    grads.weight_hh[...] += da.T @ hm
    if grads.bias_hh is not None:
        grads.bias_hh[...] += da.sum(axis=0)
    return da, da @ w.weight_hh, None, None
