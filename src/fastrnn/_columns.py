"""What SimpleRNN takes: sequences of columns, and how they become arrays of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastrnn._checks import check_shape
from fastrnn._types import Array
from fastrnn.layers.parameter import as_array

__all__ = ["pad", "read_batch", "read_columns", "read_single", "read_targets"]


def read_columns(inputs: Any, input_size: int, name: str = "inputs") -> Array:
    """Return ``[T, B, I]`` from columns ``[I, B]`` or vectors ``[I]``, or an array of them."""
    if isinstance(inputs, np.ndarray) or not isinstance(inputs, Iterable):
        array = as_array(inputs, name)
        if array.ndim == 2:
            array = array[:, :, None]
        return _transposed(check_shape(name, array, ("T", input_size, "B")))
    columns = [as_array(column, f"{name}[{t}]") for t, column in enumerate(inputs)]
    if not columns:
        return np.empty((0, 1, input_size))
    columns = [column[:, None] if column.ndim == 1 else column for column in columns]
    width = columns[0].shape[1] if columns[0].ndim == 2 else 1
    for t, column in enumerate(columns):
        check_shape(f"{name}[{t}]", column, (input_size, width))
    return _transposed(np.stack(columns))


def _transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 1), np.float64)


def read_single(name: str, sequence: Any, input_size: int) -> Array:
    """Return ``[t, I]`` from one sequence."""
    array = read_columns(sequence, input_size, name)
    return check_shape(name, array, ("T", 1, input_size))[:, 0]


def read_batch(sequences: Sequence[Any], input_size: int) -> tuple[Array, Array]:
    """Return ``x [T, N, I]`` and lengths from sequences."""
    return pad([read_single(f"sequences[{i}]", s, input_size) for i, s in enumerate(sequences)], input_size)


def pad(arrays: list[Array], input_size: int) -> tuple[Array, Array]:
    """Return ``x [T, N, I]`` and lengths from arrays ``[t, I]``."""
    lengths = np.array([len(array) for array in arrays], np.int64)
    x = np.zeros((lengths.max(initial=0), len(arrays), input_size))
    for row, array in enumerate(arrays):
        x[: len(array), row] = array
    return x, lengths


def read_targets(targets: Any, loss: str, count: int, output_size: int) -> Array:
    """Return ``[N, O]``, or class numbers ``[N]``."""
    array = as_array(targets, "targets")
    if loss == "cross_entropy":
        return check_shape("targets", array, (count,))
    if array.ndim == 1 and output_size == 1:
        array = array[:, None]
    return check_shape("targets", array, (count, output_size)).astype(np.float64)
