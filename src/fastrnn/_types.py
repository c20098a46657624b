"""Types shared by layers and backends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "GATES", "Array", "CellWeights"]

Array = NDArray[Any]

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")
"""Names of the recurrent cells every backend implements."""

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}
"""Number G of gates of each cell: the rows of ``weight_ih`` are ``G * H``."""


class CellWeights(NamedTuple):
    """Weights of one direction of one recurrent layer, in PyTorch's layout and gate order.

    The same shape of tuple carries their gradients.
    """

    weight_ih: np.ndarray
    """``[G*H, I]``"""
    weight_hh: np.ndarray
    """``[G*H, P]``"""
    bias_ih: np.ndarray | None = None
    """``[G*H]``, or None"""
    bias_hh: np.ndarray | None = None
    """``[G*H]``, or None"""
    weight_hr: np.ndarray | None = None
    """``[P, H]``, the output projection of an LSTM, or None"""
