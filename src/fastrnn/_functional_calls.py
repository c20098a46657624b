"""The checked calls into a backend that the functions of ``fastrnn.functional`` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from fastrnn._checks import (
    check_bool,
    check_float_array,
    check_lengths,
    check_resets,
    check_same_dtype,
)
from fastrnn._types import CELL_COUNTS, Array, CellWeights

__all__ = ["CheckedSequences", "Saved"]


@dataclass
class Saved:
    """What a forward function keeps for one call of its backward function; opaque."""

    function: str
    """The name of the forward function"""
    backend: ModuleType
    state: Any
    shapes: dict[str, tuple[int, ...]]
    """Shapes of y and of the final states"""
    weights: CellWeights


def _size(name: str, weight_ih: Array, gates: int) -> int:
    if weight_ih.shape[0] % gates or weight_ih.shape[0] == 0:
        raise ValueError(
            f"weight_ih must have {gates}*H rows for {name} with H of at least 1, got shape {weight_ih.shape}"
        )
    return int(weight_ih.shape[0]) // gates


def _optional(name: str, value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    return None if value is None else check_float_array(name, value, shape, dtype=dtype)


def _zoneout(name: str, value: object, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array | None:
    if value is None:
        return None
    k = np.asarray(value, dtype)
    try:
        np.broadcast_to(k, shape)
    except ValueError:
        raise ValueError(f"{name} must be broadcastable to {shape}, got shape {k.shape}") from None
    if k.size and not (k.min() >= 0 and k.max() <= 1):
        raise ValueError(f"{name} must lie in [0, 1], got values from {k.min()} to {k.max()}")
    return k


class CheckedSequences:
    """Forward and backward over whole sequences with the backend that `backend()` returns."""

    def __init__(self, backend: Callable[[], ModuleType]) -> None:
        self._backend = backend

    def _forward(
        self,
        function: str,
        cell: str,
        x: Array,
        weights: CellWeights,
        h0: Array | None,
        c0: Array | None,
        *,
        lengths: Array | None,
        resets: Array | None,
        reverse: bool,
        input_mask: Array | None,
        hidden_mask: Array | None,
        zoneout_h: Array | float | None,
        zoneout_c: Array | float | None = None,
        training: bool,
    ) -> tuple[Array, Array, Array | None, Saved | None]:
        x = check_float_array("x", x, ("T", "N", "I"))
        (T, N, input_size), dtype = x.shape, x.dtype
        gates = CELL_COUNTS[cell].gates
        weight_ih = check_float_array("weight_ih", weights.weight_ih, (f"{gates}*H", input_size))
        check_same_dtype({"x": x, "weight_ih": weight_ih})
        rows, H = weight_ih.shape[0], _size(function, weight_ih, gates)
        weight_hr = weights.weight_hr
        if weight_hr is not None:
            weight_hr = check_float_array("weight_hr", weight_hr, ("P", H), dtype=dtype)
        P = H if weight_hr is None else int(weight_hr.shape[0])
        checked = CellWeights(
            weight_ih,
            check_float_array("weight_hh", weights.weight_hh, (rows, P), dtype=dtype),
            _optional("bias_ih", weights.bias_ih, (rows,), dtype),
            _optional("bias_hh", weights.bias_hh, (rows,), dtype),
            weight_hr,
        )
        training = check_bool("training", training)
        backend = self._backend()
        y, h_n, c_n, state = backend.rnn_forward(
            backend.pack_weights(cell, checked, training),
            x,
            _optional("h0", h0, (N, P), dtype),
            _optional("c0", c0, (N, H), dtype),
            lengths=None if lengths is None else check_lengths(lengths, T, N),
            resets=None if resets is None else check_resets(resets, T, N),
            reverse=check_bool("reverse", reverse),
            input_mask=_optional("input_mask", input_mask, (N, input_size), dtype),
            hidden_mask=_optional("hidden_mask", hidden_mask, (N, P), dtype),
            zoneout_h=_zoneout("zoneout_h", zoneout_h, (T, N, P), dtype),
            zoneout_c=_zoneout("zoneout_c", zoneout_c, (T, N, H), dtype),
            training=training,
        )
        if not training:
            return y, h_n, c_n, None
        # A backend may read y again in backward: a change must be an error and not a wrong gradient.
        y.setflags(write=False)
        shapes = {"y": (T, N, P), "h_n": (N, P), "c_n": (N, H)}
        return y, h_n, c_n, Saved(function, backend, state, shapes, checked)

    def _backward(
        self, function: str, saved: Saved | None, dy: Array | None, dstate: dict[str, Array | None]
    ) -> tuple[Array, Array, Array | None, CellWeights]:
        if not isinstance(saved, Saved) or saved.function != function:
            got = f"one of {saved.function}()" if isinstance(saved, Saved) else repr(saved)
            raise TypeError(f"saved must come from {function}(..., training=True), got {got}")
        dtype, shapes = saved.weights.weight_ih.dtype, saved.shapes
        dy = _optional("dy", dy, shapes["y"], dtype)
        final = [_optional(f"d{name}", value, shapes[name], dtype) for name, value in dstate.items()]
        grads = CellWeights._make(None if w is None else np.empty(w.shape, dtype) for w in saved.weights)
        dx, dh0, dc0 = saved.backend.rnn_backward(saved.state, dy, *final, grads=grads, overwrite=True)
        return dx, dh0, dc0, grads
