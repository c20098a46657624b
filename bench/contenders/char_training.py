"""The whole training step of a character model, twice: the same script in fastrnn and in PyTorch.

A step is a function that takes the next batch and returns the loss: embedding, recurrent layer from a zero
state, linear layer, cross-entropy, backward, clipping by the norm, Adam.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from bench.network import Network, our_model, torch_model

Batches = list[tuple[np.ndarray, np.ndarray]]
TrainingStep = Callable[[], float]
LEARNING_RATE, MAX_NORM = 2e-3, 1.0


def fastrnn_training(network: Network, batches: Batches, threads: int) -> TrainingStep:
    import fastrnn

    fastrnn.set_num_threads(threads)
    model = our_model(network).train()
    optimizer = fastrnn.Adam(model.parameters(), lr=LEARNING_RATE)
    turns = itertools.cycle(batches)

    def step() -> float:
        inputs, targets = next(turns)
        model.zero_grad()
        logits, _ = model(inputs)
        loss, gradient = fastrnn.cross_entropy(logits, targets)
        model.backward(gradient)
        fastrnn.clip_grad_norm(model.parameters(), MAX_NORM)
        optimizer.step()
        return loss

    return step


def torch_training(network: Network, batches: Batches, threads: int, fused: bool = False) -> TrainingStep:
    """In PyTorch; `fused` is its Adam in one kernel, which a script has to ask for."""
    import torch

    torch.set_num_threads(threads)
    layers = torch_model(network)
    embedding, recurrent, linear = layers
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=fused or None)
    turns = itertools.cycle([(torch.from_numpy(x), torch.from_numpy(y).flatten()) for x, y in batches])

    def step() -> float:
        inputs, targets = next(turns)
        optimizer.zero_grad()
        logits = linear(recurrent(embedding(inputs))[0])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        return loss.item()

    return step


TRAININGS: dict[str, Callable[[Network, Batches, int], TrainingStep]] = {
    "fastrnn": fastrnn_training,
    "torch": torch_training,
    "torch fused": partial(torch_training, fused=True),
}
