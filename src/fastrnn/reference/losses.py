"""Softmax cross-entropy of rows of logits, and its gradient.

    log p = logits - logsumexp(logits)
    loss  = sum over rows not ignored of  (1 - e) * -w[y] log p[y]  +  e/C * sum_c -w[c] log p[c]

with label smoothing e (C. Szegedy et al., "Rethinking the inception architecture for computer vision", CVPR
2016) and class weights w in PyTorch's definition: the mean divides by the sum of w[y].
"""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Array,
    targets: Array,
    class_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[float, float, Array]:
    """Return the sum of losses, the sum of weights and the gradient of the first, [M, C] as the logits."""
    C = logits.shape[1]
    dlogits = np.zeros_like(logits)
    rows = np.flatnonzero(targets != ignore_index)
    y = targets[rows]
    if y.size and (y.min() < 0 or y.max() >= C):
        bad = int(y.min()) if y.min() < 0 else int(y.max())
        raise IndexError(f"targets must lie in 0..{C - 1} or be ignore_index {ignore_index}, got {bad}")
    w = np.ones(C, logits.dtype) if class_weight is None else class_weight
    each = np.arange(y.size)
    with np.errstate(all="ignore"):
        shifted = logits[rows] - logits[rows].max(axis=1, keepdims=True, initial=-np.inf)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        hard = (1 - label_smoothing) * w[y]
        loss = float(-(hard * log_p[each, y]).sum(dtype=np.float64))
        d = hard[:, None] * p
        d[each, y] -= hard
        if label_smoothing:
            soft = label_smoothing / C * w
            loss -= float((soft * log_p).sum(dtype=np.float64))
            d += soft.sum() * p - soft
    dlogits[rows] = d
    return loss, float(w[y].sum(dtype=np.float64)), dlogits
