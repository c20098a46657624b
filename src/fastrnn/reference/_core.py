"""The backend protocol of ``docs/protocols.md`` in pure NumPy: what ``fastrnn._core`` must agree with."""

from __future__ import annotations

from typing import Any

from fastrnn.reference.ctc import ctc, ctc_beam
from fastrnn.reference.embedding import embedding_backward, embedding_forward
from fastrnn.reference.linear import linear_backward, linear_forward
from fastrnn.reference.losses import cross_entropy
from fastrnn.reference.optimizers import adagrad_step, adam_step, global_norm, rmsprop_step, scale_, sgd_step
from fastrnn.reference.sequence import rnn_backward, rnn_forward
from fastrnn.reference.streams import StepStream, TokenStream
from fastrnn.reference.weights import pack_linear, pack_weights

__all__ = [
    "StepStream",
    "TokenStream",
    "adagrad_step",
    "adam_step",
    "cross_entropy",
    "ctc",
    "ctc_beam",
    "current_isa",
    "embedding_backward",
    "embedding_forward",
    "global_norm",
    "layer_backward",
    "layer_forward",
    "linear_backward",
    "linear_forward",
    "pack_linear",
    "pack_weights",
    "rmsprop_step",
    "rnn_backward",
    "rnn_forward",
    "scale_",
    "sgd_step",
]


def current_isa() -> str:
    """Name of what computes here, where the engine has its instruction set."""
    return "numpy"


def layer_forward(
    packed: Any,
    x: Any,
    state: Any,
    lengths: Any = None,
    training: bool = False,
    checkpoint_every: int | None = None,
) -> None:
    """Leave every call to `rnn_forward`: there is no time to be saved here."""


def layer_backward(saved: Any, dy: Any, dstate: Any, grads: Any, need_dx: bool, overwrite: bool) -> None:
    """Leave every call to `rnn_backward`."""
