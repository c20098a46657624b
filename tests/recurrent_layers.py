"""Helpers of the tests of recurrent layers: backends to run on, and gradients against central differences."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from recurrent_cases import derivative
from tolerances import central_difference_tolerance, within

BACKENDS = ["reference"] + ["native"] * (importlib.util.find_spec("fastrnn._core") is not None)

CELL_LAYERS = [
    ("RNN", {"nonlinearity": "tanh"}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("MinGRU", {}),
    ("MinLSTM", {}),
    ("LSTM", {"layer_norm": True}),
    ("LSTM", {"layer_norm": True, "proj_size": 2}),
    ("GRU", {"layer_norm": True}),
]
CELL_LAYER_IDS = [
    "rnn_tanh",
    "rnn_relu",
    "lstm",
    "lstm_proj",
    "gru",
    "gru_reset_before",
    "mingru",
    "minlstm",
    "lstm_norm",
    "lstm_norm_proj",
    "gru_norm",
]


def accepted(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options that the layer takes: without recurrent weights there is no noise on them."""
    absent = ("recurrent_dropout", "weight_dropout") if name in ("MinGRU", "MinLSTM") else ()
    return {key: value for key, value in options.items() if key not in absent}


def leaves(value: Any) -> list[np.ndarray]:
    """Arrays in nested tuples and lists, None left out."""
    if value is None:
        return []
    if isinstance(value, tuple | list):
        return [array for item in value for array in leaves(item)]
    return [value]


def like(value: Any, rng: np.random.Generator) -> Any:
    """Random normal arrays in the same nest."""
    if value is None:
        return None
    if isinstance(value, tuple | list):
        return type(value)(like(item, rng) for item in value)
    return rng.standard_normal(value.shape).astype(value.dtype)


def assert_derivatives(
    compute: Callable[[], list[np.ndarray]],
    weights: list[np.ndarray],
    checked: dict[str, tuple[np.ndarray, np.ndarray]],
    magnified: float = 1,
) -> None:
    """Check gradients of sum(outputs * weights) along a random direction.

    `checked` maps a name to an array that `compute` reads, and the gradient claimed for it.
    """
    rng = np.random.default_rng(11)

    for name, (array, gradient) in checked.items():
        assert gradient.shape == array.shape, name
        if not array.size:
            continue
        direction = rng.standard_normal(array.shape)
        direction /= np.linalg.norm(direction)
        kept = array.copy()

        def moved(
            h: float, array: np.ndarray = array, kept: np.ndarray = kept, direction: np.ndarray = direction
        ) -> float:
            array[...] = kept + h * direction
            return float(sum((y * w).sum() for y, w in zip(compute(), weights, strict=True)))

        numeric = derivative(moved)
        array[...] = kept
        tolerance = central_difference_tolerance() * magnified
        within(np.asarray((gradient * direction).sum()), np.asarray(numeric), tolerance, name)
