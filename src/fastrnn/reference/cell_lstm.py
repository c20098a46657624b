"""LSTM cell with forget gate and optional output projection.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; forget gate:
F. Gers et al., "Learning to forget", Neural Computation 12, 2000; projection: H. Sak et al., "Long short-term
memory recurrent neural network architectures for large scale acoustic modeling", Interspeech 2014.

    [i f g o] = gx + W_hh hm + b_hh        gx = W_ih x + b_ih
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    u  = sigmoid(o) * tanh(c')
    h' = W_hr u  with projection, else u

``h`` [N, P] is the state before the step, ``hm`` the same after variational dropout; c, c', u are [N, H].
"""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import affine, sigmoid

__all__ = ["lstm_backward", "lstm_forward"]

Saved = tuple[Array, ...]


def lstm_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: Array) -> tuple[Array, Array, Saved]:
    """One step: gx [N, 4H], hm [N, P], c [N, H] -> h' [N, P], c' [N, H]."""
    # (1) gates
    i, f, g, o = np.split(gx + affine(hm, w.weight_hh, w.bias_hh), 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    # (2) cell state
    c_new = f * c + i * g
    tanh_c = np.tanh(c_new)
    # (3) output
    u = o * tanh_c
    h_new = u if w.weight_hr is None else affine(u, w.weight_hr, None)
    return h_new, c_new, (hm, c, i, f, g, o, tanh_c, u)


def lstm_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: Array, grads: CellWeights
) -> tuple[Array, Array, None, Array]:
    """Gradients of gx, hm and c; h is read only through hm. Adds to the recurrent gradients."""
    hm, c, i, f, g, o, tanh_c, u = saved
    # (3) output
    du = dh
    if w.weight_hr is not None and grads.weight_hr is not None:
        grads.weight_hr[...] += dh.T @ u
        du = dh @ w.weight_hr
    # (2) cell state
    dc_new = dc + du * o * (1 - tanh_c * tanh_c)
    dc_old = dc_new * f
    # (1) gates
    da = np.concatenate(
        [
            dc_new * g * i * (1 - i),
            dc_new * c * f * (1 - f),
            dc_new * i * (1 - g * g),
            du * tanh_c * o * (1 - o),
        ],
        axis=1,
    )
    grads.weight_hh[...] += da.T @ hm
    if grads.bias_hh is not None:
        grads.bias_hh[...] += da.sum(axis=0)
    return da, da @ w.weight_hh, None, dc_old
