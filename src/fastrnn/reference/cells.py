"""The table of cells: a name, the two step functions, and whether there is a second state c."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastrnn.reference import cell_elman, cell_gru, cell_lstm

__all__ = ["CELL_STEPS", "CellSteps"]


class CellSteps(NamedTuple):
    """What the sequence loop needs to know of a cell."""

    forward: Callable[..., tuple[Any, Any, Any]]
    """``(weights, gx, hm, h, c) -> h', c', saved``"""
    backward: Callable[..., tuple[Any, Any, Any, Any]]
    """``(weights, saved, dh', dc', grads) -> dgx, dhm, dh, dc``; None for a state it does not read"""
    has_c: bool = False


CELL_STEPS = {
    "rnn_tanh": CellSteps(cell_elman.tanh_forward, cell_elman.tanh_backward),
    "rnn_relu": CellSteps(cell_elman.relu_forward, cell_elman.relu_backward),
    "lstm": CellSteps(cell_lstm.lstm_forward, cell_lstm.lstm_backward, has_c=True),
    "gru": CellSteps(cell_gru.gru_forward, cell_gru.gru_backward),
    "gru_reset_before": CellSteps(cell_gru.gru_before_forward, cell_gru.gru_before_backward),
}
