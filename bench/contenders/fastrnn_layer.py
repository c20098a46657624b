"""fastrnn through its public layers, as a user calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn
from bench.contenders import Prepared, Unsupported, named_results
from bench.problem import WEIGHTS, Problem

LAYERS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": fastrnn.RNN,
    "rnn_relu": lambda *sizes, **options: fastrnn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": fastrnn.LSTM,
    "gru": fastrnn.GRU,
    "gru_reset_before": lambda *sizes, **options: fastrnn.GRU(*sizes, reset_after=False, **options),
    "mingru": fastrnn.MinGRU,
    "minlstm": fastrnn.MinLSTM,
    "lstm_norm": lambda *sizes, **options: fastrnn.LSTM(*sizes, layer_norm=True, **options),
    "gru_norm": lambda *sizes, **options: fastrnn.GRU(*sizes, layer_norm=True, **options),
}


def make_layer(problem: Problem, **options: Any) -> Any:
    """A layer with the problem's weights; `options` are for its constructor. Gains of norms stay ones."""
    if problem.cell not in LAYERS:
        raise Unsupported(f"no layer is known for the cell {problem.cell}")
    sizes = problem.shape.I, problem.shape.H
    layer = LAYERS[problem.cell](*sizes, dtype=problem.dtype, init="torch", **options)
    weights = {f"{name}_l0": value for name, value in problem.weights.items()}
    layer.load_state_dict(weights, strict=False)
    return layer


def pair(arrays: tuple[np.ndarray, ...]) -> Any:
    """State as the layers take it: ``(h, c)`` for an LSTM, else h alone."""
    return arrays if len(arrays) > 1 else arrays[0]


def unpair(state: Any) -> list[np.ndarray]:
    return list(state) if isinstance(state, tuple) else [state]


def prepare(problem: Problem, threads: int, **options: Any) -> Prepared:
    fastrnn.set_num_threads(threads)
    layer = make_layer(problem, **options)
    x, state, dy, dstate = problem.x, pair(problem.state), problem.dy, pair(problem.dstate)
    lengths = problem.lengths
    if not problem.train:
        return Prepared(
            run=lambda: layer(x, state, lengths=lengths),
            read=lambda result: named_results([result[0], *unpair(result[1])], [], WEIGHTS),
        )
    layer.train()
    parameters = layer.parameters()

    def run() -> Any:
        # In training every step finds new weights, so that packing them belongs to its time.
        for p in parameters:
            p.touch()
        layer.zero_grad()
        y, final = layer(x, state, lengths=lengths)
        return y, final, *layer.backward(dy, dstate)

    def read(result: Any) -> dict[str, np.ndarray]:
        y, final, dx, dstart = result
        weights = [getattr(layer, f"{name}_l0").grad.copy() for name in WEIGHTS]
        return named_results([y, *unpair(final)], [dx, *unpair(dstart), *weights], WEIGHTS)

    return Prepared(run, read)
