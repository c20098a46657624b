"""PyTorch, eager: `nn.RNN`, `nn.LSTM`, `nn.GRU`; inference under `inference_mode`; ragged batches packed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bench.contenders import Prepared, Unsupported, named_results
from bench.problem import WEIGHTS, Problem

LAYERS = {
    "rnn_tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "gru": (torch.nn.GRU, {}),
}


def make_layer(problem: Problem) -> torch.nn.Module:
    if problem.cell not in LAYERS:
        raise Unsupported(f"torch.nn has no {problem.cell}")
    kind, options = LAYERS[problem.cell]
    layer = kind(problem.shape.I, problem.shape.H, dtype=getattr(torch, problem.dtype), **options)
    with torch.no_grad():
        for name, value in problem.weights.items():
            getattr(layer, f"{name}_l0").copy_(torch.from_numpy(value))
    return layer


def forward_of(problem: Problem, layer: torch.nn.Module) -> Callable[[Any, Any], Any]:
    """A call of the layer; over packed sequences if the batch is ragged, padded in and padded out."""
    if problem.lengths is None:
        return layer
    lengths = torch.from_numpy(problem.lengths)

    def forward(x: Any, start: Any) -> Any:
        y, final = layer(pack_padded_sequence(x, lengths, enforce_sorted=False), start)
        return pad_packed_sequence(y, total_length=problem.shape.T)[0], final

    return forward


def prepare(problem: Problem, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    layer = make_layer(problem)
    forward = forward_of(problem, layer)
    x = torch.from_numpy(problem.x)
    states = [torch.from_numpy(s) for s in problem.state]
    start: Any = tuple(states) if len(states) > 1 else states[0]
    if not problem.train:
        layer.eval()

        def infer() -> Any:
            with torch.inference_mode():
                y, final = forward(x, start)
            return y, *(final if isinstance(final, tuple) else (final,))

        return Prepared(infer, lambda result: named_results([t.numpy() for t in result], [], WEIGHTS))

    # `autograd.grad` returns the gradients that `backward` would leave in .grad, with less to do.
    sources = [
        x.requires_grad_(),
        *(s.requires_grad_() for s in states),
        *(getattr(layer, f"{name}_l0") for name in WEIGHTS),
    ]
    cotangents = [torch.from_numpy(a) for a in (problem.dy, *problem.dstate)]

    def train() -> Any:
        y, final = forward(x, start)
        outputs = (y, *(final if isinstance(final, tuple) else (final,)))
        return outputs, torch.autograd.grad(outputs, sources, cotangents)

    def read(result: Any) -> dict[str, np.ndarray]:
        outputs, gradients = result
        return named_results([t.detach().numpy() for t in outputs], [t.numpy() for t in gradients], WEIGHTS)

    return Prepared(train, read)
