"""The table of cells: a name and the two step functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastrnn.reference import cell_elman, cell_gru, cell_lstm, cell_min, cell_norm

__all__ = ["CELL_STEPS", "CellSteps"]


class CellSteps(NamedTuple):
    """What the sequence loop needs to know of a cell."""

    forward: Callable[..., tuple[Any, Any, Any]]
    """``(weights, gx, hm, h, c) -> h', c', saved``"""
    backward: Callable[..., tuple[Any, Any, Any, Any]]
    """``(weights, saved, dh', dc', grads) -> dgx, dhm, dh, dc``; None for a state it does not read"""


CELL_STEPS = {
    "rnn_tanh": CellSteps(cell_elman.tanh_forward, cell_elman.tanh_backward),
    "rnn_relu": CellSteps(cell_elman.relu_forward, cell_elman.relu_backward),
    "lstm": CellSteps(cell_lstm.lstm_forward, cell_lstm.lstm_backward),
    "gru": CellSteps(cell_gru.gru_forward, cell_gru.gru_backward),
    "gru_reset_before": CellSteps(cell_gru.gru_before_forward, cell_gru.gru_before_backward),
    "mingru": CellSteps(cell_min.mingru_forward, cell_min.mingru_backward),
    "minlstm": CellSteps(cell_min.minlstm_forward, cell_min.minlstm_backward),
    "lstm_norm": CellSteps(cell_norm.lstm_norm_forward, cell_norm.lstm_norm_backward),
    "gru_norm": CellSteps(cell_norm.gru_norm_forward, cell_norm.gru_norm_backward),
}
