"""Types shared by layers and backends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "CELL_COUNTS", "WEIGHT_FORMATS", "Array", "CellCounts", "CellWeights"]

Array = NDArray[Any]


class CellCounts(NamedTuple):
    """What the shapes of a cell's weights and states follow from."""

    gates: int
    """G: the rows of ``weight_ih`` are ``G * H``."""
    recurrent_gates: int
    """R: the rows of ``weight_hh`` are ``R * H``; 0 where gates see the input alone."""
    has_c: bool = False
    """Whether there is a second state c, and h may be projected."""
    norm: bool = False
    """Whether the products, and c, are normalised."""


CELL_COUNTS = {
    "rnn_tanh": CellCounts(1, 1),
    "rnn_relu": CellCounts(1, 1),
    "lstm": CellCounts(4, 4, has_c=True),
    "gru": CellCounts(3, 3),
    "gru_reset_before": CellCounts(3, 3),
    "mingru": CellCounts(2, 0),
    "minlstm": CellCounts(3, 0),
    "lstm_norm": CellCounts(4, 4, has_c=True, norm=True),
    "gru_norm": CellCounts(3, 3, norm=True),
}
"""The recurrent cells that every backend implements, in the order of ``csrc/cell_list.h``."""

CELLS = tuple(CELL_COUNTS)

WEIGHT_FORMATS = ("bfloat16", "int8")
"""How weights may be packed for inference, other than as they are."""


class CellWeights(NamedTuple):
    """Weights of one direction of one recurrent layer, in PyTorch's layout and gate order.

    The same shape of tuple carries their gradients.
    """

    weight_ih: np.ndarray
    """``[G*H, I]``"""
    weight_hh: np.ndarray
    """``[R*H, P]``"""
    bias_ih: np.ndarray | None = None
    """``[G*H]``, or None"""
    bias_hh: np.ndarray | None = None
    """``[R*H]``, or None"""
    weight_hr: np.ndarray | None = None
    """``[P, H]``, the output projection of an LSTM, or None"""
    ln_ih: np.ndarray | None = None
    """``[G*H]``, gains of the normalised input product; None without layer normalisation"""
    ln_hh: np.ndarray | None = None
    """``[R*H]``, those of the recurrent product"""
    ln_c_weight: np.ndarray | None = None
    """``[H]``, gains of the normalised c; None without layer normalisation or without c"""
    ln_c_bias: np.ndarray | None = None
    """``[H]``, and its biases"""
