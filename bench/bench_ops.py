"""What stands around the recurrence in a training step, from the embedding to the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from bench.contenders import REFERENCE

LINEAR = {"to-100-characters": (2048, 256, 100), "square-512": (2048, 512, 512)}
EMBEDDING = {"characters": (100, 64, 2048), "words": (20_000, 128, 2048)}
LOGITS = {"characters": (2048, 100), "words": (512, 20_000)}
CTC = {"words": (100, 32, 30, 12), "sentences": (500, 16, 30, 80)}  # T, N, classes, labels
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "RMSprop": {},
    "Adagrad": {},
    "Adam": {},
    "AdamW": {"weight_decay": 0.01},
}
# Of a network with LSTM 256: weights of the recurrence, of the output layer, of the embedding.
PARAMETERS = ((1024, 64), (1024, 256), (1024,), (1024,), (100, 256), (100,), (100, 64))


def measure(benchmark: Any, group: str, contender: str, run: Callable[[], Any]) -> None:
    benchmark.group = group
    with fastrnn.use_backend("reference" if contender == REFERENCE else "native"):
        benchmark(run)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def ids(high: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, count)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", LINEAR.values(), ids=LINEAR)
def test_linear_forward_and_backward(benchmark: Any, size: tuple[int, int, int], contender: str) -> None:
    M, K, O = size  # noqa: E741
    x, dy = normal(M, K), normal(M, O)

    def torch_step() -> Callable[[], Any]:
        import torch

        layer = torch.nn.Linear(K, O)
        inputs, gradient = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
        return lambda: torch.autograd.grad(layer(inputs), [inputs, *layer.parameters()], gradient)

    def step() -> Callable[[], Any]:
        layer = fastrnn.Linear(K, O, seed=0).train()

        def run() -> Any:
            layer.weight.touch()  # a training step finds new weights
            layer.zero_grad()
            return layer(x), layer.backward(dy)

        return run

    run = torch_step() if contender == "torch" else step()
    measure(benchmark, f"linear {M},{K},{O}", contender, run)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", EMBEDDING.values(), ids=EMBEDDING)
def test_embedding_forward_and_backward(benchmark: Any, size: tuple[int, int, int], contender: str) -> None:
    V, E, M = size
    tokens, dy = ids(V, M), normal(M, E)

    def torch_step() -> Callable[[], Any]:
        import torch

        layer = torch.nn.Embedding(V, E)
        inputs, gradient = torch.from_numpy(tokens), torch.from_numpy(dy)
        return lambda: torch.autograd.grad(layer(inputs), [layer.weight], gradient)

    def step() -> Callable[[], Any]:
        layer = fastrnn.Embedding(V, E, seed=0).train()

        def run() -> Any:
            layer.zero_grad()
            return layer(tokens), layer.backward(dy)

        return run

    run = torch_step() if contender == "torch" else step()
    measure(benchmark, f"embedding V={V} E={E} M={M}", contender, run)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", LOGITS.values(), ids=LOGITS)
def test_cross_entropy_and_gradient(benchmark: Any, size: tuple[int, int], contender: str) -> None:
    M, C = size
    logits, targets = normal(M, C), ids(C, M)

    def torch_step() -> Callable[[], Any]:
        import torch

        inputs, classes = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(targets)
        loss = torch.nn.functional.cross_entropy
        return lambda: torch.autograd.grad(loss(inputs, classes), inputs)

    run = torch_step() if contender == "torch" else lambda: fastrnn.cross_entropy(logits, targets)
    measure(benchmark, f"cross entropy {M},{C}", contender, run)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", CTC.values(), ids=CTC)
def test_ctc_and_gradient(benchmark: Any, size: tuple[int, int, int, int], contender: str) -> None:
    T, N, C, L = size
    logits, targets = normal(T, N, C), 1 + ids(C - 1, N * L).reshape(N, L)

    def torch_step() -> Callable[[], Any]:
        import torch

        inputs, labels = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(targets)
        lengths = torch.full((N,), T), torch.full((N,), L)
        loss, log_softmax = torch.nn.functional.ctc_loss, torch.log_softmax
        return lambda: torch.autograd.grad(loss(log_softmax(inputs, 2), labels, *lengths), inputs)

    run = torch_step() if contender == "torch" else lambda: fastrnn.ctc(logits, targets)
    measure(benchmark, f"ctc T={T} N={N} C={C} L={L}", contender, run)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_step(benchmark: Any, name: str, contender: str) -> None:
    def torch_step() -> Callable[[], Any]:
        import torch

        parameters = [torch.nn.Parameter(torch.from_numpy(normal(*shape))) for shape in PARAMETERS]
        for p in parameters:
            p.grad = torch.from_numpy(normal(*p.shape))
        optimizer = getattr(torch.optim, name)(parameters, lr=1e-6, **OPTIMIZERS[name])
        return lambda: optimizer.step()

    def step() -> Callable[[], Any]:
        optimizer = getattr(fastrnn, name)(our_parameters(), lr=1e-6, **OPTIMIZERS[name])
        return lambda: optimizer.step()

    measure(benchmark, f"optimizer {name}", contender, torch_step() if contender == "torch" else step())


@pytest.mark.usefixtures("threads")
def test_clip_gradients(benchmark: Any, contender: str) -> None:
    def torch_step() -> Callable[[], Any]:
        import torch

        parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in PARAMETERS]
        for p in parameters:
            p.grad = torch.from_numpy(normal(*p.shape))
        return lambda: torch.nn.utils.clip_grad_norm_(parameters, 1.0)

    def step() -> Callable[[], Any]:
        parameters = our_parameters()
        return lambda: fastrnn.clip_grad_norm(parameters, 1.0)

    measure(benchmark, "clip gradients", contender, torch_step() if contender == "torch" else step())


def our_parameters() -> list[fastrnn.Parameter]:
    parameters = [fastrnn.Parameter(normal(*shape)) for shape in PARAMETERS]
    for p in parameters:
        p.grad = normal(*p.shape)
    return parameters
