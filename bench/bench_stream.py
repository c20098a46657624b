"""One step at a time: stateful inference, and the generation of text token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from bench.contenders import REFERENCE
from fastrnn import backend
from fastrnn._types import CellWeights

CELLS = {"rnn_tanh": "RNN", "lstm": "LSTM", "gru": "GRU"}
VOCABULARY, EMBEDDING, TOKENS = 100, 64, 100


def torch_loop(step: Callable[[Any, Any], Any], x: Any) -> Callable[[], Any]:
    """Call a torch.nn cell under inference mode, feeding its state back."""
    import torch

    state: list[Any] = [None]

    def run() -> Any:
        with torch.inference_mode():
            state[0] = step(x, state[0])
        return state[0]

    return run


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("hidden", [64, 256])
@pytest.mark.parametrize("cell", CELLS)
def test_step(benchmark: Any, cell: str, hidden: int, contender: str) -> None:
    x = np.random.default_rng(0).standard_normal((1, hidden)).astype(np.float32)
    benchmark.group = f"step {cell} H={hidden}"
    if contender == "torch":
        import torch

        kind = getattr(torch.nn, f"{CELLS[cell]}Cell")
        benchmark(torch_loop(kind(hidden, hidden), torch.from_numpy(x)))
        return
    with fastrnn.use_backend("reference" if contender == REFERENCE else "native"):
        step = getattr(fastrnn, CELLS[cell])(hidden, hidden, seed=0).stream().step
        benchmark(step, x)


def torch_generation(hidden: int) -> Callable[[], Any]:
    """PyTorch's best loop: a cell, a linear layer, softmax and multinomial under inference mode."""
    import torch

    embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING)
    cell = torch.nn.LSTMCell(EMBEDDING, hidden)
    output = torch.nn.Linear(hidden, VOCABULARY)

    def run() -> list[int]:
        token, state, drawn = torch.zeros(1, dtype=torch.int64), None, []
        with torch.inference_mode():
            for _ in range(TOKENS):
                state = cell(embedding(token), state)
                token = torch.multinomial(torch.softmax(output(state[0]), -1), 1)[0]
                drawn.append(int(token))
        return drawn

    return run


def our_generation(hidden: int) -> Callable[[], Any]:
    engine = backend.active()
    rng = np.random.default_rng(0)
    layer = fastrnn.LSTM(EMBEDDING, hidden, seed=0)
    output = fastrnn.Linear(hidden, VOCABULARY, seed=0)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = CellWeights(*(getattr(layer, name).value for name in names))
    stream = engine.TokenStream(
        rng.standard_normal((VOCABULARY, EMBEDDING)).astype(np.float32),
        [engine.pack_weights("lstm", weights)],
        engine.pack_linear(output.weight.value, output.bias.value),
    )
    uniforms = rng.random(TOKENS)
    return lambda: stream.sample(uniforms, 1.0, 0, 1.0)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("hidden", [64, 256, 512])
def test_generate_100_tokens(benchmark: Any, hidden: int, contender: str) -> None:
    benchmark.group = f"generate {TOKENS} tokens, LSTM H={hidden}"
    benchmark.extra_info["tokens"] = TOKENS
    with fastrnn.use_backend("reference" if contender == REFERENCE else "native"):
        benchmark(torch_generation(hidden) if contender == "torch" else our_generation(hidden))
