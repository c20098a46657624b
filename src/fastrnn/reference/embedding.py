"""Rows of a table: y = weight[ids], and its gradient."""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_forward(weight: Array, ids: Array) -> Array:
    """Gather: weight [V, E], ids [...] -> y [..., E]."""
    V = weight.shape[0]
    if ids.size and (ids.min() < 0 or ids.max() >= V):
        bad = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise IndexError(f"ids must lie in 0..{V - 1}, got {bad}")
    y: Array = weight[ids]
    return y


def embedding_backward(dy: Array, ids: Array, dweight: Array) -> None:
    """Scatter-add dy [..., E] into dweight [V, E] in the order of ids; negative ids are skipped."""
    V, E = dweight.shape
    if ids.size and ids.max() >= V:
        raise IndexError(f"ids must lie below {V}, got {int(ids.max())}")
    known = ids.ravel() >= 0
    np.add.at(dweight, ids.ravel()[known], dy.reshape(-1, E)[known])
