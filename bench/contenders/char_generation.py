"""Generation character by character, in fastrnn, PyTorch and ONNX Runtime.

A generator begins after symbol 0 and is called again and again; with uniform numbers ``[n]`` it draws by
inverting the cumulative distribution, and with None as fast as it can from randomness of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bench import agreement
from bench.contenders import Unsupported, steps
from bench.network import Network, our_model

CHARACTERS = 64
"""Drawn in one call: as many as fastrnn's TextGenerator draws at a time."""
FIRST = 0

Generate = Callable[[np.ndarray | None], np.ndarray]


def fastrnn_generation(network: Network, threads: int, weights: str = "float32") -> Generate:
    """The stream that TextGenerator samples from; `weights` may be a format of ``model.quantize``."""
    import fastrnn
    from fastrnn.tasks._text_model import _token_stream

    fastrnn.set_num_threads(threads)
    model = our_model(network)
    if weights != "float32":
        if not hasattr(model, "quantize"):
            raise Unsupported(f"this fastrnn has no {weights} weights")
        model = model.quantize(weights)
    stream = _token_stream(model, never=())
    stream.feed(np.array([FIRST]))
    rng = np.random.default_rng(0)

    def generate(uniforms: np.ndarray | None) -> np.ndarray:
        drawn: np.ndarray = stream.sample(
            rng.random(CHARACTERS) if uniforms is None else uniforms, 1.0, 0, 1.0
        )
        return drawn

    return generate


def draw(logits: np.ndarray, uniform: float) -> int:
    """Softmax, and inversion of its cumulative sum."""
    p = np.exp(logits - logits.max())
    cumulative = p.cumsum()
    return int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))


def torch_generation(network: Network, threads: int) -> Generate:
    """LSTMCell, GRUCell or RNNCell under inference mode, linear layer, softmax, multinomial."""
    import torch

    cell = steps.torch_cell(network.recurrent, threads)
    embedding, weight, bias = map(torch.from_numpy, (network.embedding, network.weight, network.bias))
    token, state = torch.tensor([FIRST]), None
    pair = network.recurrent.cell == "lstm"

    def generate(uniforms: np.ndarray | None) -> np.ndarray:
        nonlocal token, state
        drawn = np.empty(CHARACTERS if uniforms is None else uniforms.size, np.int64)
        with torch.inference_mode():
            for k in range(drawn.size):
                state = cell(embedding[token], state)
                logits = torch.nn.functional.linear(state[0] if pair else state, weight, bias)
                if uniforms is None:
                    token = torch.multinomial(torch.softmax(logits, -1), 1)[0]
                else:
                    token = torch.tensor([draw(logits[0].double().numpy(), uniforms[k])])
                drawn[k] = int(token)
        return drawn

    return generate


def onnxruntime_generation(network: Network, threads: int, bound: bool = False) -> Generate:
    """One session for recurrent node and output layer; embedding, softmax and draw in NumPy."""
    make = steps.onnxruntime_bound_step if bound else steps.onnxruntime_step
    step = make(network.recurrent, threads, (network.weight, network.bias))
    rng = np.random.default_rng(0)
    table = network.embedding[:, None]
    token = FIRST

    def generate(uniforms: np.ndarray | None) -> np.ndarray:
        nonlocal token
        uniforms = rng.random(CHARACTERS) if uniforms is None else uniforms
        drawn = np.empty(uniforms.size, np.int64)
        for k, uniform in enumerate(uniforms):
            drawn[k] = token = draw(step(table[token])[0], uniform)
        return drawn

    return generate


def text_disagreement(
    network: Network, ours: np.ndarray, theirs: np.ndarray, uniforms: np.ndarray
) -> str | None:
    """What is to be said of two texts drawn with the same uniform numbers; None if they agree.

    They agree if they are equal, or part where the number is within rounding of the edge between two symbols.
    """
    different = np.flatnonzero(ours != theirs)
    if not different.size:
        return None
    k = int(different[0])
    read = np.concatenate([[FIRST], ours[:k]])
    logits = our_model(network)(read[:, None])[0][-1, 0].astype(np.float64)
    cumulative = np.exp(logits - logits.max()).cumsum()
    error = agreement.draw_error(cumulative / cumulative[-1], int(theirs[k]), float(uniforms[k]))
    if error <= agreement.draw_tolerance():
        return None
    return f"character {k}: {theirs[k]} instead of {ours[k]}, {error:.3g} from its edge"


GENERATIONS: dict[str, Callable[[Network, int], Generate]] = {
    "fastrnn": fastrnn_generation,
    "fastrnn bfloat16": partial(fastrnn_generation, weights="bfloat16"),
    "fastrnn int8": partial(fastrnn_generation, weights="int8"),
    "torch": torch_generation,
    "onnxruntime": onnxruntime_generation,
    "onnxruntime bound": partial(onnxruntime_generation, bound=True),
}
