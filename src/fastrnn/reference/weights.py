"""Snapshots of weights, in the layout this backend computes with: the caller's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._checks import check_choice
from fastrnn._types import CELL_COUNTS, Array, CellCounts, CellWeights
from fastrnn.reference.quantization import check_format, quantized

__all__ = ["Packed", "PackedLinear", "pack_linear", "pack_weights"]


def _frozen(array: Array) -> Array:
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True)
class Packed:
    """Weights of one direction of one recurrent layer at the moment of packing."""

    cell: str
    weights: CellWeights
    training: bool
    format: str | None = None
    borrowed: bool = False
    """Whether it reads the caller's arrays: here never."""

    @property
    def input_size(self) -> int:
        """Size I of an input vector."""
        return int(self.weights.weight_ih.shape[1])

    @property
    def hidden_size(self) -> int:
        """Number H of hidden units."""
        return int(self.weights.weight_ih.shape[0]) // self.counts.gates

    @property
    def proj_size(self) -> int:
        """Size P of the projected output of an LSTM, 0 without projection."""
        return 0 if self.weights.weight_hr is None else int(self.weights.weight_hr.shape[0])

    @property
    def counts(self) -> CellCounts:
        """Gates and states of the cell."""
        return CELL_COUNTS[self.cell]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one dtype of every array in a call."""
        return self.weights.weight_ih.dtype


def pack_weights(
    cell: str,
    weights: Iterable[Array | None],
    training: bool = False,
    format: str | None = None,
    borrow: bool = False,
) -> Packed:
    """Snapshot the weights of one direction of one recurrent layer; `borrow` allows what is not done here."""
    check_choice("cell", cell, CELL_COUNTS)
    weights = CellWeights._make(weights)
    if weights.weight_hr is not None and not CELL_COUNTS[cell].has_c:
        raise ValueError(f"weight_hr must be None for cell {cell!r}: only an LSTM has a projection")
    if weights.weight_hr is not None and not 1 <= weights.weight_hr.shape[0] <= weights.weight_hr.shape[1]:
        P, H = weights.weight_hr.shape
        raise ValueError(f"weight_hr must have shape (P, H) with 1 <= P <= H = {H}, got P = {P}")
    frozen = CellWeights._make(None if array is None else _frozen(array) for array in weights)
    check_format(format, frozen.weight_ih.dtype, training)
    frozen = frozen._replace(
        weight_ih=quantized(frozen.weight_ih, format),
        weight_hh=quantized(frozen.weight_hh, format),
        weight_hr=None if frozen.weight_hr is None else quantized(frozen.weight_hr, format),
    )
    return Packed(cell, frozen, bool(training), format)


@dataclass(frozen=True)
class PackedLinear:
    """Weights of a linear map at the moment of packing."""

    weight: Any
    bias: Array | None
    training: bool
    format: str | None = None

    @property
    def in_features(self) -> int:
        """Size K of an input vector."""
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        """Size O of an output vector."""
        return int(self.weight.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one dtype of every array in a call."""
        dtype: np.dtype[Any] = self.weight.dtype
        return dtype


def pack_linear(
    weight: Array, bias: Array | None = None, training: bool = False, format: str | None = None
) -> PackedLinear:
    """Snapshot the weights of a linear map: weight [O, K], bias [O] or None."""
    check_format(format, weight.dtype, training)
    return PackedLinear(
        quantized(_frozen(weight), format), None if bias is None else _frozen(bias), bool(training), format
    )
