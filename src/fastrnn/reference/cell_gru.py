"""Gated recurrent unit , reset after or before the recurrent product.

K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.

    r  = sigmoid(gx_r + W_hr hm + b_hr)        gx = W_ih x + b_ih, rows r, z, n
    z  = sigmoid(gx_z + W_hz hm + b_hz)
    n  = tanh(gx_n + r * (W_hn hm + b_hn))     reset after the product (PyTorch, cuDNN)
    n  = tanh(gx_n + W_hn (r * hm) + b_hn)     reset before the product (the paper)
    h' = (1 - z) * n + z * h

``h`` [N, H] is the state before the step, ``hm`` the same after variational dropout.
"""

from __future__ import annotations

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import affine, sigmoid

__all__ = ["gru_backward", "gru_before_backward", "gru_before_forward", "gru_forward"]

Saved = tuple[Array, ...]


def gru_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step, reset after: gx [N, 3H], hm and h [N, H] -> h' [N, H]."""
    # (1) gates
    gx_r, gx_z, gx_n = np.split(gx, 3, axis=1)
    gh_r, gh_z, q = np.split(affine(hm, w.weight_hh, w.bias_hh), 3, axis=1)
    r, z = sigmoid(gx_r + gh_r), sigmoid(gx_z + gh_z)
    # (2) candidate
    n = np.tanh(gx_n + r * q)
    # (3) state
    return (1 - z) * n + z * h, None, (hm, h, r, z, n, q)


def gru_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, Array, None]:
    """Gradients of gx, hm and h; adds to the recurrent gradients."""
    hm, h, r, z, n, q = saved
    # (3) state
    dn, dz, dh_old = dh * (1 - z), dh * (h - n), dh * z
    # (2) candidate
    da_n = dn * (1 - n * n)
    dq, dr = da_n * r, da_n * q
    # (1) gates
    da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
    dgh = np.concatenate([da_r, da_z, dq], axis=1)
    grads.weight_hh[...] += dgh.T @ hm
    if grads.bias_hh is not None:
        grads.bias_hh[...] += dgh.sum(axis=0)
    return np.concatenate([da_r, da_z, da_n], axis=1), dgh @ w.weight_hh, dh_old, None


def gru_before_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step, reset before: gx [N, 3H], hm and h [N, H] -> h' [N, H]."""
    H = h.shape[1]
    bias_rz, bias_n = (None, None) if w.bias_hh is None else (w.bias_hh[: 2 * H], w.bias_hh[2 * H :])
    # (1) gates
    gx_r, gx_z, gx_n = np.split(gx, 3, axis=1)
    gh_r, gh_z = np.split(affine(hm, w.weight_hh[: 2 * H], bias_rz), 2, axis=1)
    r, z = sigmoid(gx_r + gh_r), sigmoid(gx_z + gh_z)
    # (2) candidate
    s = r * hm
    n = np.tanh(gx_n + affine(s, w.weight_hh[2 * H :], bias_n))
    # (3) state
    return (1 - z) * n + z * h, None, (hm, h, r, z, n, s)


def gru_before_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, Array, None]:
    """Gradients of gx, hm and h; adds to the recurrent gradients."""
    hm, h, r, z, n, s = saved
    H = h.shape[1]
    # (3) state
    dn, dz, dh_old = dh * (1 - z), dh * (h - n), dh * z
    # (2) candidate
    da_n = dn * (1 - n * n)
    ds = da_n @ w.weight_hh[2 * H :]
    dr = ds * hm
    # (1) gates
    da_rz = np.concatenate([dr * r * (1 - r), dz * z * (1 - z)], axis=1)
    dgx = np.concatenate([da_rz, da_n], axis=1)
    grads.weight_hh[: 2 * H] += da_rz.T @ hm
    grads.weight_hh[2 * H :] += da_n.T @ s
    if grads.bias_hh is not None:
        grads.bias_hh[...] += dgx.sum(axis=0)
    return dgx, ds * r + da_rz @ w.weight_hh[: 2 * H], dh_old, None
