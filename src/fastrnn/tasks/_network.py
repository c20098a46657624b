"""The network that all tasks share: what reads the input, recurrent layers, a pool if one answer is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastrnn.layers import AttentionPool, Dropout, LastPool, Layer, Linear, MaxPool, MeanPool, Sequential
from fastrnn.layers.recurrent import GRU, LSTM, RNN

__all__ = ["CELLS", "POOLS", "SEEDS", "build_network"]

CELLS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
POOLS = ("attention", "max", "mean", "last")
SEEDS = 6
"""Seeds that `build_network` takes: of the reader, the layers, two dropouts, the output and the pool."""


def build_network(
    reader: Sequence[Layer],
    width: int,
    outputs: int,
    *,
    cell: str,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool = False,
    pooling: str | None = None,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    drop_input: bool = True,
    seeds: Sequence[int],
) -> Sequential:
    """Build a network from input to logits.

    Parameters
    ----------
    reader : sequence of Layer
        What stands before the recurrent layers: an embedding, a projection, or nothing. The first of
        `seeds` is meant for it.
    width : int
        Features that it gives, per step.
    outputs : int
        Features of the last layer.
    cell, hidden_size, num_layers, bidirectional, recurrent_dropout
        Of the recurrent layers.
    pooling : {"attention", "max", "mean", "last"}, optional
        How the steps become one answer. Default: an answer for every step.
    dropout : float
        Probability of dropping elements before, between and after the recurrent layers.
    drop_input : bool, default True
        Whether those before them are dropped, too.
    seeds : sequence of int, [SEEDS]

    Returns
    -------
    Sequential
        ``[T, N, ...]`` to ``[T, N, outputs]``, or to ``[N, outputs]`` if pooled.
    """
    recurrent = CELLS[cell](
        width,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        dropout=dropout if num_layers > 1 else 0.0,
        recurrent_dropout=recurrent_dropout,
        seed=seeds[1],
    )
    features = hidden_size * (2 if bidirectional else 1)
    layers: list[Layer] = list(reader)
    layers += [Dropout(dropout, seed=seeds[2])] if dropout and drop_input else []
    layers += [recurrent]
    layers += [] if pooling is None else [_pool(pooling, features, bidirectional, seeds[5])]
    layers += [Dropout(dropout, seed=seeds[3])] if dropout else []
    layers += [Linear(features, outputs, seed=seeds[4])]
    return Sequential(*layers)


def _pool(name: str, features: int, bidirectional: bool, seed: int) -> Layer:
    if name == "attention":
        return AttentionPool(features, seed=seed)
    if name == "last":
        return LastPool(bidirectional)
    return MaxPool() if name == "max" else MeanPool()
