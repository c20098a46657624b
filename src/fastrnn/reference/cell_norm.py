"""LSTM and GRU with layer normalisation inside the recurrence.

J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv 1607.06450, 2016, supplement. LN takes all
gates of a product as one vector, and c as another: ``LN(a) = (a - mean(a)) / sqrt(variance(a) + 1e-5)``.

    gx = ln_ih * LN(W_ih x) + b_ih         gh = ln_hh * LN(W_hh hm) + b_hh
    LSTM: [i f g o] = gx + gh
          c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
          u  = sigmoid(o) * tanh(ln_c_weight * LN(c') + ln_c_bias),  h' = W_hr u with projection, else u
    GRU:  the cell that resets after the product, with these gx and gh

The sequence gives ``gx`` without the bias, since what is added before LN is not what is added after it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import affine, sigmoid

__all__ = ["gru_norm_backward", "gru_norm_forward", "lstm_norm_backward", "lstm_norm_forward"]

EPSILON = 1e-5


class _Norm(NamedTuple):
    """A normalised array and what its gradient needs."""

    y: Array
    inverse: Array

    def backward(self, dy: Array) -> Array:
        """Gradient of what was normalised."""
        y, inverse = self
        dx: Array = inverse * (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True))
        return dx


def _normalise(x: Array) -> _Norm:
    d = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt((d * d).mean(axis=1, keepdims=True) + x.dtype.type(EPSILON))
    return _Norm(d * inverse, inverse)


def _add_bias(a: Array, bias: Array | None) -> Array:
    return a if bias is None else a + bias


def _add_sum(grad: Array | None, terms: Array) -> None:
    if grad is not None:
        grad[...] += terms.sum(axis=0)


def _products(w: CellWeights, gx: Array, hm: Array) -> tuple[Array, Array, _Norm, _Norm]:
    """Both products normalised, with gain and bias, and the norms."""
    assert w.ln_ih is not None and w.ln_hh is not None
    x, h = _normalise(gx), _normalise(affine(hm, w.weight_hh, None))
    return _add_bias(x.y * w.ln_ih, w.bias_ih), _add_bias(h.y * w.ln_hh, w.bias_hh), x, h


def _products_backward(
    w: CellWeights, hm: Array, x: _Norm, h: _Norm, da: Array, dgh: Array, grads: CellWeights
) -> tuple[Array, Array]:
    """Gradients of gx and hm from those of both results of `_products`."""
    assert w.ln_ih is not None and w.ln_hh is not None
    _add_sum(grads.bias_ih, da)
    _add_sum(grads.bias_hh, dgh)
    _add_sum(grads.ln_ih, da * x.y)
    _add_sum(grads.ln_hh, dgh * h.y)
    dproduct = h.backward(dgh * w.ln_hh)
    grads.weight_hh[...] += dproduct.T @ hm
    return x.backward(da * w.ln_ih), dproduct @ w.weight_hh


Saved = tuple[Array, Array, _Norm, _Norm, tuple[Array, ...]]


def lstm_norm_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: Array) -> tuple[Array, Array, Saved]:
    """One step: gx [N, 4H], hm [N, P], c [N, H] -> h' [N, P], c' [N, H]."""
    assert w.ln_c_weight is not None
    # (1) gates
    from_x, from_h, x_norm, h_norm = _products(w, gx, hm)
    i, f, g, o = np.split(from_x + from_h, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    # (2) cell state
    c_new = f * c + i * g
    c_norm = _normalise(c_new)
    t = np.tanh(_add_bias(c_norm.y * w.ln_c_weight, w.ln_c_bias))
    # (3) output
    u = o * t
    h_new = u if w.weight_hr is None else affine(u, w.weight_hr, None)
    return h_new, c_new, (hm, c, x_norm, h_norm, (i, f, g, o, *c_norm, t, u))


def lstm_norm_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: Array, grads: CellWeights
) -> tuple[Array, Array, None, Array]:
    """Gradients of gx, hm and c. Adds to the recurrent gradients, and to those of biases and gains."""
    assert w.ln_c_weight is not None
    hm, c, x_norm, h_norm, (i, f, g, o, *c_parts, t, u) = saved
    c_norm = _Norm(*c_parts)
    # (3) output
    du = dh
    if w.weight_hr is not None and grads.weight_hr is not None:
        grads.weight_hr[...] += dh.T @ u
        du = dh @ w.weight_hr
    # (2) cell state
    dn = du * o * (1 - t * t)
    _add_sum(grads.ln_c_weight, dn * c_norm.y)
    _add_sum(grads.ln_c_bias, dn)
    dc_new = dc + c_norm.backward(dn * w.ln_c_weight)
    # (1) gates
    da = np.concatenate(
        [
            dc_new * g * i * (1 - i),
            dc_new * c * f * (1 - f),
            dc_new * i * (1 - g * g),
            du * t * o * (1 - o),
        ],
        axis=1,
    )
    dgx, dhm = _products_backward(w, hm, x_norm, h_norm, da, da, grads)
    return dgx, dhm, None, dc_new * f


def gru_norm_forward(w: CellWeights, gx: Array, hm: Array, h: Array, c: None) -> tuple[Array, None, Saved]:
    """One step: gx [N, 3H], hm and h [N, H] -> h' [N, H]."""
    # (1) gates
    from_x, from_h, x_norm, h_norm = _products(w, gx, hm)
    gx_r, gx_z, gx_n = np.split(from_x, 3, axis=1)
    gh_r, gh_z, q = np.split(from_h, 3, axis=1)
    r, z = sigmoid(gx_r + gh_r), sigmoid(gx_z + gh_z)
    # (2) candidate
    n = np.tanh(gx_n + r * q)
    # (3) state
    return (1 - z) * n + z * h, None, (hm, h, x_norm, h_norm, (r, z, n, q))


def gru_norm_backward(
    w: CellWeights, saved: Saved, dh: Array, dc: None, grads: CellWeights
) -> tuple[Array, Array, Array, None]:
    """Gradients of gx, hm and h. Adds to the recurrent gradients, and to those of biases and gains."""
    hm, h, x_norm, h_norm, (r, z, n, q) = saved
    # (3) state
    dn, dz, dh_old = dh * (1 - z), dh * (h - n), dh * z
    # (2) candidate
    da_n = dn * (1 - n * n)
    # (1) gates
    da_r, da_z = da_n * q * r * (1 - r), dz * z * (1 - z)
    da = np.concatenate([da_r, da_z, da_n], axis=1)
    dgh = np.concatenate([da_r, da_z, da_n * r], axis=1)
    dgx, dhm = _products_backward(w, hm, x_norm, h_norm, da, dgh, grads)
    return dgx, dhm, dh_old, None
