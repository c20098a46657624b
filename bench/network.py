"""The character model that `bench.char_model` trains and generates with: arrays that every library loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.problem import Problem, make_problem
from bench.shapes import Shape

SYMBOLS, EMBEDDING = 100, 64


@dataclass(frozen=True)
class Network:
    """Embedding, one recurrent layer, output layer."""

    recurrent: Problem
    """Its cell, sizes and weights; T and N are those of a training batch."""
    embedding: np.ndarray
    """``[V, E]``"""
    weight: np.ndarray
    """``[V, H]``"""
    bias: np.ndarray
    """``[V]``"""


def make_network(cell: str, T: int, N: int, hidden: int, symbols: int = SYMBOLS) -> Network:
    """Draw a network as PyTorch would: N(0, 1) for the embedding, U(-1/sqrt(H), 1/sqrt(H)) for the rest."""
    rng = np.random.default_rng(1)
    bound = hidden**-0.5
    return Network(
        recurrent=make_problem(cell, Shape(T, N, EMBEDDING, hidden), "float32", False),
        embedding=rng.standard_normal((symbols, EMBEDDING), np.float32),
        weight=rng.uniform(-bound, bound, (symbols, hidden)).astype(np.float32),
        bias=rng.uniform(-bound, bound, symbols).astype(np.float32),
    )


def make_batches(network: Network, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets ``[T, N]`` of a text in which each symbol has eight successors."""
    rng = np.random.default_rng(2)
    T, N = network.recurrent.shape[:2]
    symbols = len(network.embedding)
    successors = rng.integers(0, symbols, (symbols, 8))
    text = np.zeros((count * T + 1, N), np.int64)
    for t in range(1, len(text)):
        text[t] = successors[text[t - 1], rng.integers(0, 8, N)]
    return [(text[k : k + T].copy(), text[k + 1 : k + T + 1].copy()) for k in range(0, count * T, T)]


def our_model(network: Network) -> Any:
    """The network in fastrnn."""
    import fastrnn
    from bench.contenders.fastrnn_layer import make_layer

    embedding = fastrnn.Embedding(*network.embedding.shape)
    linear = fastrnn.Linear(*reversed(network.weight.shape))
    embedding.load_state_dict({"weight": network.embedding})
    linear.load_state_dict({"weight": network.weight, "bias": network.bias})
    return fastrnn.Sequential(embedding, make_layer(network.recurrent), linear)


def torch_model(network: Network) -> tuple[Any, Any, Any]:
    """Embedding, recurrent layer and linear layer in PyTorch."""
    import torch

    from bench.contenders.torch_layer import make_layer

    embedding = torch.nn.Embedding(*network.embedding.shape)
    linear = torch.nn.Linear(*reversed(network.weight.shape))
    with torch.no_grad():
        embedding.weight.copy_(torch.from_numpy(network.embedding))
        linear.weight.copy_(torch.from_numpy(network.weight))
        linear.bias.copy_(torch.from_numpy(network.bias))
    return embedding, make_layer(network.recurrent), linear
