"""minGRU and minLSTM, whose gates see the input alone.

L. Feng et al., "Were RNNs all we needed?", arXiv 2410.01201, 2024; the linear candidate of the main text (its
log-space form makes candidates positive, which only a parallel scan in logarithms needs).

    minGRU:  z = sigmoid(gx_z)                                             gx = W_ih x + b_ih
    minLSTM: z = sigmoid(gx_i) / (sigmoid(gx_f) + sigmoid(gx_i))
    h' = (1 - z) * h + z * gx_h

There is no recurrent product: ``weight_hh`` is ``[0, H]``, ``bias_hh`` ``[0]``, and ``hm`` is not read.
"""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import sigmoid

__all__ = ["mingru_backward", "mingru_forward", "minlstm_backward", "minlstm_forward"]

Saved = tuple[Array, ...]


def mingru_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step: gx [N, 2H] (z, h), h [N, H] -> h' [N, H]."""
    # (1) gate
    gx_z, n = np.split(gx, 2, axis=1)
    z = sigmoid(gx_z)
    # (2) state
    return (1 - z) * h + z * n, None, (h, n, z)


def mingru_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, Array, None]:
    """Gradients of gx, hm (zeros) and h."""
    h, n, z = saved
    # (2) state
    dz = dh * (n - h)
    # (1) gate
    dgx = np.concatenate([dz * z * (1 - z), dh * z], axis=1)
    return dgx, np.zeros_like(dh), dh * (1 - z), None


def minlstm_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step: gx [N, 3H] (f, i, h), h [N, H] -> h' [N, H]."""
    # (1) gates: i / f is a ratio of 1 + exp(-a), which its logarithm keeps from being 0 / 0
    gx_f, gx_i, n = np.split(gx, 3, axis=1)
    log_ratio = np.logaddexp(0, -gx_f) - np.logaddexp(0, -gx_i)
    z, rest = sigmoid(log_ratio), sigmoid(-log_ratio)
    # (2) state
    return rest * h + z * n, None, (h, n, gx_f, gx_i, z, rest)


def minlstm_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, Array, None]:
    """Gradients of gx, hm (zeros) and h."""
    h, n, gx_f, gx_i, z, rest = saved
    # (2) state
    dlog_ratio = dh * (n - h) * z * rest
    # (1) gates: the derivative of log(1 + exp(-a)) is -sigmoid(-a)
    dgx = np.concatenate([-dlog_ratio * sigmoid(-gx_f), dlog_ratio * sigmoid(-gx_i), dh * z], axis=1)
    return dgx, np.zeros_like(dh), dh * rest, None
