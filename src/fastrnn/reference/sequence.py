"""A recurrent layer over whole sequences, for every cell: lengths, resets, reverse, dropout masks, zoneout.

One step t of the rows that reach it (``t < length``), after which they carry on from h' and c':

    (1) h, c = 0 where the row is reset            (2) hm = h * hidden_mask
    (3) gx = W_ih (x_t * input_mask) + b_ih        (4) h~, c~ = cell(gx, hm, h, c)
    (5) h' = k_h h + (1 - k_h) h~                  (6) c' = k_c c + (1 - k_c) c~

Zoneout is eq. 4 of D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
activations", ICLR 2017; one dropout mask for all steps is Y. Gal and Z. Ghahramani, "A theoretically
grounded application of dropout in recurrent neural networks", NeurIPS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastrnn._types import Array, CellWeights
from fastrnn.reference._math import affine
from fastrnn.reference.cells import CELL_STEPS
from fastrnn.reference.embedding import embedding_backward, embedding_forward
from fastrnn.reference.weights import Packed

__all__ = ["Saved", "rnn_backward", "rnn_forward"]


class _Step(NamedTuple):
    """What backward needs of one step."""

    t: int
    rows: Array
    reset: Array | None
    x: Array
    cell: Any
    k_h: Array | None
    k_c: Array | None


@dataclass
class Saved:
    """What backward needs of a whole forward pass; it is used up by one backward."""

    packed: Packed
    T: int
    N: int
    input_mask: Array | None
    hidden_mask: Array | None
    steps: list[_Step] | None
    embedding: Array | None
    """``[V, I]`` if x were rows of it, and which: ids ``[T, N]``."""
    ids: Array | None

    def take(self) -> list[_Step]:
        """Give the steps away."""
        steps, self.steps = self.steps, None
        if steps is None:
            raise RuntimeError("saved was already consumed by a backward pass; run forward again")
        return steps


def _rows(array: Array | None, rows: Array) -> Array | None:
    return None if array is None else array[rows]


def _zoneout(k: Any, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array | None:
    return None if k is None else np.broadcast_to(np.asarray(k, dtype), shape)


def _state(initial: Array | None, N: int, size: int, dtype: np.dtype[Any]) -> Array:
    return np.zeros((N, size), dtype) if initial is None else np.array(initial)


def rnn_forward(
    packed: Packed,
    x: Array,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    input_mask: Array | None = None,
    hidden_mask: Array | None = None,
    zoneout_h: Any = None,
    zoneout_c: Any = None,
    out: Array | None = None,
    training: bool = False,
    checkpoint_every: int | None = None,
    embedding: Array | None = None,
) -> tuple[Array, Array, Array | None, Saved | None]:
    """Run a layer over x [T, N, I]; see ``docs/protocols.md`` for every argument.

    `checkpoint_every` changes no result and is not read: every step is kept.
    """
    if training and not packed.training:
        raise ValueError("training=True needs weights packed with training=True")
    w, cell, dtype = packed.weights, CELL_STEPS[packed.cell], packed.dtype
    ids = None
    if embedding is not None:
        if input_mask is not None:
            raise ValueError("input_mask must be None with an embedding")
        ids = x.copy()
        x = embedding_forward(embedding, ids)
    T, N = x.shape[:2]
    H, P = packed.hidden_size, packed.proj_size or packed.hidden_size
    h = _state(h0, N, P, dtype)
    c = _state(c0, N, H, dtype) if packed.counts.has_c else None
    k_h, k_c = _zoneout(zoneout_h, (T, N, P), dtype), _zoneout(zoneout_c, (T, N, H), dtype)
    bias_ih = None if packed.counts.norm else w.bias_ih  # a cell that normalises adds it afterwards
    reach = np.full(N, T) if lengths is None else lengths
    y = np.empty((T, N, P), dtype) if out is None else out
    if np.may_share_memory(x, y):
        x = x.copy()
    y[...] = 0
    steps = []
    with np.errstate(all="ignore"):
        for t in range(T - 1, -1, -1) if reverse else range(T):
            rows = np.flatnonzero(t < reach)
            h_old, c_old = h[rows], _rows(c, rows)
            # (1) reset
            reset = None if resets is None else resets[t, rows]
            if reset is not None:
                h_old[reset] = 0
                if c_old is not None:
                    c_old[reset] = 0
            # (2) dropout on the recurrent path
            hm = h_old if hidden_mask is None else h_old * hidden_mask[rows]
            # (3) input product
            x_t = x[t, rows] if input_mask is None else x[t, rows] * input_mask[rows]
            gx = affine(x_t, w.weight_ih, bias_ih)
            # (4) cell
            h_new, c_new, cell_saved = cell.forward(w, gx, hm, h_old, c_old)
            # (5), (6) zoneout
            keep_h = None if k_h is None else k_h[t, rows]
            keep_c = None if k_c is None else k_c[t, rows]
            if keep_h is not None:
                h_new = keep_h * h_old + (1 - keep_h) * h_new
            if keep_c is not None and c_old is not None:
                c_new = keep_c * c_old + (1 - keep_c) * c_new
            h[rows] = y[t, rows] = h_new
            if c is not None:
                c[rows] = c_new
            if training:
                steps.append(_Step(t, rows, reset, x_t, cell_saved, keep_h, keep_c))
    saved = Saved(packed, T, N, input_mask, hidden_mask, steps, embedding, ids) if training else None
    return y, h, c, saved


def rnn_backward(
    saved: Saved,
    dy: Array | None = None,
    dhn: Array | None = None,
    dcn: Array | None = None,
    *,
    grads: CellWeights,
    need_dx: bool = True,
    overwrite: bool = False,
    out: Array | None = None,
) -> tuple[Array | None, Array, Array | None]:
    """Backpropagate through time; see ``docs/protocols.md`` for every argument."""
    if out is not None and saved.embedding is not None:
        raise ValueError("out must be None with an embedding")
    steps = saved.take()
    if overwrite:
        for grad in grads:
            if grad is not None:
                grad[...] = 0
    packed, T, N = saved.packed, saved.T, saved.N
    w, cell, dtype = packed.weights, CELL_STEPS[packed.cell], packed.dtype
    dh = _state(dhn, N, packed.proj_size or packed.hidden_size, dtype)
    dc = _state(dcn, N, packed.hidden_size, dtype) if packed.counts.has_c else None
    dx = None
    if need_dx:
        dx = np.empty((T, N, packed.input_size), dtype) if out is None else out
        dx[...] = 0
    with np.errstate(all="ignore"):
        for t, rows, reset, x_t, cell_saved, keep_h, keep_c in reversed(steps):
            dh_new = dh[rows] if dy is None else dh[rows] + dy[t, rows]
            dc_new = _rows(dc, rows)
            # (6), (5) zoneout
            dc_keep: Any = 0
            dh_keep: Any = 0
            if keep_c is not None and dc_new is not None:
                dc_keep, dc_new = keep_c * dc_new, (1 - keep_c) * dc_new
            if keep_h is not None:
                dh_keep, dh_new = keep_h * dh_new, (1 - keep_h) * dh_new
            # (4) cell
            dgx, dhm, dh_cell, dc_cell = cell.backward(w, cell_saved, dh_new, dc_new, grads)
            # (3) input product
            grads.weight_ih[...] += dgx.T @ x_t
            if grads.bias_ih is not None and not packed.counts.norm:
                grads.bias_ih[...] += dgx.sum(axis=0)
            if dx is not None:
                dx_t = dgx @ w.weight_ih
                dx[t, rows] = dx_t if saved.input_mask is None else dx_t * saved.input_mask[rows]
            # (2) dropout on the recurrent path
            dh_old = dh_keep + (dhm if saved.hidden_mask is None else dhm * saved.hidden_mask[rows])
            if dh_cell is not None:
                dh_old += dh_cell
            # (1) reset
            if reset is not None:
                dh_old[reset] = 0
            dh[rows] = dh_old
            if dc is not None:
                dc_old = dc_keep + dc_cell
                if reset is not None:
                    dc_old[reset] = 0
                dc[rows] = dc_old
    if dx is not None and saved.embedding is not None and saved.ids is not None:
        dembedding = np.zeros_like(saved.embedding)
        embedding_backward(dx, saved.ids, dembedding)
        dx = dembedding
    return dx, dh, dc
