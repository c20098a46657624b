"""Recurrent test problems: every cell with every feature, as arrays that either backend takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from tolerances import central_difference_step

from fastrnn._types import CELL_COUNTS, CELLS, CellWeights

Array = np.ndarray

FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_state": {"state": False},
    "lengths": {"lengths": True},
    "resets": {"resets": True},
    "reverse": {"reverse": True},
    "reverse_lengths": {"reverse": True, "lengths": True},
    "reverse_ragged": {"reverse": True, "lengths": True, "resets": True},
    "input_mask": {"input_mask": True},
    "hidden_mask": {"hidden_mask": True},
    "zoneout": {"zoneout": "sample"},
    "zoneout_probability": {"zoneout": "probability", "reverse": True},
    "no_bias": {"biases": ()},
    "bias_ih_only": {"biases": ("ih",)},
    "bias_hh_only": {"biases": ("hh",)},
    "everything": {
        "lengths": True,
        "resets": True,
        "reverse": True,
        "input_mask": True,
        "hidden_mask": True,
        "zoneout": "sample",
    },
}
LSTM_FEATURES: dict[str, dict[str, Any]] = {
    "projection": {"project": True},
    "projection_everything": {"project": True, **FEATURES["everything"]},
}

CELL_FEATURES = [
    (cell, name, options)
    for cell in CELLS
    for name, options in {**FEATURES, **(LSTM_FEATURES if CELL_COUNTS[cell].has_c else {})}.items()
]
CELL_FEATURE_IDS = [f"{cell}-{name}" for cell, name, _ in CELL_FEATURES]


@dataclass
class Problem:
    """One call of rnn_forward and the gradients that come back into it."""

    cell: str
    weights: CellWeights
    x: Array
    h0: Array | None
    c0: Array | None
    dy: Array
    dhn: Array
    dcn: Array | None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def K(self) -> int:
        """Terms in the longest product of a step."""
        return self.x.shape[2] + self.weights.weight_hh.shape[1] + 2


class Result(NamedTuple):
    """Everything that a forward and a backward pass compute."""

    y: Array
    hn: Array
    cn: Array | None
    dx: Array
    dh0: Array
    dc0: Array | None
    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None
    weight_hr: Array | None
    ln_ih: Array | None
    ln_hh: Array | None
    ln_c_weight: Array | None
    ln_c_bias: Array | None


def make_weights(
    rng: np.random.Generator,
    cell: str,
    input_size: int,
    H: int,
    *,
    P: int = 0,
    biases: tuple[str, ...] = ("ih", "hh"),
    dtype: Any = np.float64,
) -> CellWeights:
    """Weights that keep states of order one over many steps."""
    counts = CELL_COUNTS[cell]
    rows, recurrent_rows, out = counts.gates * H, counts.recurrent_gates * H, P or H

    def normal(*shape: int) -> Array:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(dtype)

    def gains(n: int) -> Array:
        return (1 + rng.standard_normal(n) / 4).astype(dtype)

    return CellWeights(
        normal(rows, input_size),
        normal(recurrent_rows, out) * np.asarray(0.8, dtype),
        rng.standard_normal(rows).astype(dtype) / 2 if "ih" in biases else None,
        rng.standard_normal(recurrent_rows).astype(dtype) / 2 if "hh" in biases else None,
        normal(P, H) if P else None,
        *(gains(rows), gains(recurrent_rows)) if counts.norm else (None, None),
        *(gains(H), gains(H)) if counts.norm and counts.has_c else (None, None),
    )


def make_problem(
    cell: str,
    T: int,
    N: int,
    input_size: int,
    H: int,
    *,
    dtype: Any = np.float64,
    seed: int = 0,
    state: bool = True,
    lengths: bool = False,
    resets: bool = False,
    reverse: bool = False,
    input_mask: bool = False,
    hidden_mask: bool = False,
    zoneout: str | None = None,
    biases: tuple[str, ...] = ("ih", "hh"),
    project: bool | int = False,
) -> Problem:
    """Build a problem of these sizes with these features, the same for the same arguments."""
    rng = np.random.default_rng([seed, T, N, input_size, H, CELL_COUNTS[cell].gates])
    has_c = CELL_COUNTS[cell].has_c
    P = (max(1, H - 1) if project is True else int(project)) if has_c else 0
    out = P or H

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    options: dict[str, Any] = {}
    if lengths:
        options["lengths"] = rng.integers(0, T + 1, N)
        if N:
            options["lengths"][rng.integers(N)] = T
        if N > 2:
            options["lengths"][rng.integers(N)] = 0
    if resets:
        options["resets"] = rng.random((T, N)) < 0.3
    if reverse:
        options["reverse"] = True
    if input_mask:
        options["input_mask"] = ((rng.random((N, input_size)) < 0.7) / 0.7).astype(dtype)
    if hidden_mask:
        options["hidden_mask"] = ((rng.random((N, out)) < 0.7) / 0.7).astype(dtype)
    if zoneout == "sample":
        options["zoneout_h"] = (rng.random((T, N, out)) < 0.3).astype(dtype)
        if has_c:
            options["zoneout_c"] = (rng.random((T, N, H)) < 0.4).astype(dtype)
    if zoneout == "probability":
        options["zoneout_h"] = np.asarray(0.3, dtype)
        if has_c:
            options["zoneout_c"] = np.full((1, 1, H), 0.1, dtype)
    weights = make_weights(rng, cell, input_size, H, P=P, biases=biases, dtype=dtype)
    return Problem(
        cell,
        weights,
        normal(T, N, input_size),
        normal(N, out) if state else None,
        normal(N, H) if state and has_c else None,
        normal(T, N, out),
        normal(N, out),
        normal(N, H) if has_c else None,
        options,
    )


def zeros_like(weights: CellWeights) -> CellWeights:
    """Gradient arrays to add into."""
    return CellWeights._make(None if w is None else np.zeros_like(w) for w in weights)


def derivative(f: Callable[[float], float]) -> float:
    """f'(0) by central differences with two steps, so that the error of second order cancels.

    A norm of few numbers bends too sharply for one. The steps may then be larger, and rounding smaller.
    """

    def difference(h: float) -> float:
        return (f(h) - f(-h)) / (2 * h)

    h = 2 * central_difference_step()
    return (4 * difference(h) - difference(2 * h)) / 3


def forward(backend: ModuleType, p: Problem, **changes: Any) -> tuple[Array, Array, Array | None, Any]:
    """Inference, with some arguments of rnn_forward changed, and weights packed in a format."""
    training = bool(changes.get("training", False))
    packed = backend.pack_weights(p.cell, p.weights, training, changes.pop("format", None))
    arguments = {"h0": p.h0, "c0": p.c0, **p.options, **changes}
    x = arguments.pop("x", p.x)
    result: tuple[Array, Array, Array | None, Any] = backend.rnn_forward(packed, x, **arguments)
    return result


def run(backend: ModuleType, p: Problem, **changes: Any) -> Result:
    """Forward and backward."""
    y, hn, cn, saved = forward(backend, p, training=True, **changes)
    grads = zeros_like(p.weights)
    dx, dh0, dc0 = backend.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads)
    return Result(y, hn, cn, dx, dh0, dc0, *grads)
