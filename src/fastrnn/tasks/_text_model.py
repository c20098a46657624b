"""The network of a text generator, its code length of a text, and its compiled sampling.

Symbols are the indices of the vocabulary (0 is the unknown character) and one more, START, which stands
before the first character of every document: it gives that character something to be predicted from.
START is only ever an input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import backend
from fastrnn._types import Array, CellWeights
from fastrnn.data.batching import IGNORED_TARGET, Batch
from fastrnn.data.text import UNKNOWN, TextWindows, Vocabulary
from fastrnn.layers import Embedding, Linear, Sequential
from fastrnn.tasks._network import CELLS, SEEDS, build_network

__all__ = [
    "DocumentWindows",
    "build_model",
    "code_length",
    "encode_documents",
    "sample_characters",
    "spelling_bits",
    "start_symbol",
]

_CODE_POINTS = 0x110000  # of Unicode, surrogates included: whatever a str can hold
_WINDOW = 512  # characters of a scoring window: long enough that a call's overhead is nothing
_WARM_UP = 512  # characters read before a piece that does not begin its document
_PIECE = 4096  # characters of such a piece at least
_MOST_PIECES = 128
_MOST_LOGITS = 1 << 22  # at once: bounds the memory of a large alphabet
_LARGEST_BLOCK = 64  # characters generated in one call: few enough to stop at once on Ctrl-C
_NEVER = -1e30  # a logit whose probability is exactly zero at any temperature


def start_symbol(vocabulary: Vocabulary) -> int:
    """The index of START."""
    return len(vocabulary)


def build_model(
    cell: str,
    symbols: int,
    *,
    num_layers: int,
    hidden_size: int,
    embedding_size: int,
    dropout: float,
    recurrent_dropout: float,
    seed: np.random.SeedSequence,
) -> Sequential:
    """Embedding, recurrent layers, output layer: ids ``[T, N]`` to logits ``[T, N, symbols]``."""
    seeds = [int(state) for state in seed.generate_state(SEEDS)]
    return build_network(
        [Embedding(symbols, embedding_size, seed=seeds[0])],
        embedding_size,
        symbols,
        cell=cell,
        hidden_size=hidden_size,
        num_layers=num_layers,
        dropout=dropout,
        recurrent_dropout=recurrent_dropout,
        seeds=seeds,
    )


def encode_documents(vocabulary: Vocabulary, documents: Sequence[str]) -> NDArray[np.int64]:
    """All documents in one sequence, each behind its START."""
    start = np.array([start_symbol(vocabulary)])
    return np.concatenate([part for text in documents for part in (start, vocabulary.encode(text))])


class DocumentWindows:
    """Windows of truncated backpropagation; the state is zeroed where a document begins.

    Where a document ends, the next input is START: as a target it is ignored.
    """

    def __init__(self, ids: NDArray[np.int64], batch_size: int, seq_len: int, start: int) -> None:
        self._windows = TextWindows(ids, batch_size, seq_len)
        self._start = start
        self.items_per_step = batch_size * seq_len

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[Batch]:
        for x, y in self._windows:
            begins = x == self._start
            targets = np.where(y == self._start, IGNORED_TARGET, y)
            yield Batch(x, targets, resets=begins if begins.any() else None)


def spelling_bits(vocabulary: Vocabulary) -> float:
    """Bits that say which character an unknown one is: all characters outside the vocabulary are alike."""
    return math.log2(_CODE_POINTS - (len(vocabulary) - 1))


def code_length(
    model: Sequential,
    vocabulary: Vocabulary,
    documents: Sequence[str],
    trained_on: int,
    *,
    exact: bool = False,
) -> float:
    """Bits that the model needs to code all characters of the documents.

    A part of 1 / (trained_on + 1) of each prediction belongs to the unknown character: a model that has
    never seen it in its training text of `trained_on` characters would else find it impossible.
    """
    escape = 1.0 / (trained_on + 1)
    spelling = spelling_bits(vocabulary)
    bits = 0.0
    for text in documents:
        ids = encode_documents(vocabulary, [text])
        pieces = 1 if exact else max(1, min(_MOST_PIECES, len(text) // _PIECE))
        for log_p, targets in _predictions(model, ids, pieces, len(vocabulary) + 1):
            p = (1.0 - escape) * np.exp(log_p)
            unknown = targets == UNKNOWN
            p[unknown] += escape
            bits += float(-np.log2(p).sum()) + spelling * int(unknown.sum())
    return bits


def _predictions(
    model: Sequential, ids: NDArray[np.int64], pieces: int, symbols: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Natural logarithms of the probabilities given to ``ids[1:]``, and these, in arbitrary order.

    The sequence is read by as many rows as there are pieces, each of which reads some of the text before its
    piece first: a prediction only ever depends on what stands before it.
    """
    total = ids.size - 1
    bounds = np.linspace(0, total, pieces + 1).astype(np.int64)
    warm_up = 0 if pieces == 1 else _WARM_UP
    begins = bounds[:-1] - warm_up  # of the first piece negative: what it reads before the reset is not text
    length = int((bounds[1:] - begins).max())
    steps = begins + np.arange(length)[:, None]  # [T, N], position of each input
    inside = (steps >= bounds[:-1]) & (steps < bounds[1:])
    x = ids[np.clip(steps, 0, total - 1)]
    y = ids[np.clip(steps, 0, total - 1) + 1]
    resets = steps == 0
    state = None
    stride = max(1, min(_WINDOW, _MOST_LOGITS // (pieces * symbols)))
    for at in range(0, length, stride):
        window = slice(at, at + stride)
        logits, state = model(x[window], state, resets=resets[window])
        counted = inside[window]
        chosen = logits[counted].astype(np.float64)
        targets = y[window][counted]
        chosen -= chosen.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(chosen).sum(axis=1))
        yield chosen[np.arange(targets.size), targets] - log_sum, targets


def sample_characters(
    model: Sequential,
    vocabulary: Vocabulary,
    n: int | None,
    prompt: str,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    rng: np.random.Generator,
) -> Iterator[str]:
    """`n` characters (without end if None) that continue `prompt`."""
    start = start_symbol(vocabulary)
    stream = _token_stream(model, never=(UNKNOWN, start))
    stream.feed(np.concatenate([[start], vocabulary.encode(prompt)]))
    return _blocks(stream, vocabulary, n, temperature, top_k, top_p, rng)


def _blocks(
    stream: Any,
    vocabulary: Vocabulary,
    n: int | None,
    temperature: float,
    top_k: int,
    top_p: float,
    rng: np.random.Generator,
) -> Iterator[str]:
    left = math.inf if n is None else n
    block = 1
    while left:
        uniforms = rng.random(int(min(block, left)))
        yield from vocabulary.decode(stream.sample(uniforms, temperature, top_k, top_p))
        left -= uniforms.size
        block = min(2 * block, _LARGEST_BLOCK)


def _token_stream(model: Sequential, never: Sequence[int]) -> Any:
    """A stream of the active backend over a snapshot of the weights, which never draws the given symbols."""
    engine = backend.active()
    layers: dict[type, Any] = {type(layer): layer for layer in model}
    embedding, output = layers[Embedding], layers[Linear]
    recurrent = next(layers[cell] for cell in CELLS.values() if cell in layers)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    packed = []
    for k in range(recurrent.num_layers):
        weights = CellWeights(*(getattr(recurrent, f"{name}_l{k}").value for name in names))
        packed.append(engine.pack_weights(recurrent.cell, weights, False, recurrent.quantized))
    bias: Array = output.bias.value.copy()
    bias[list(never)] = _NEVER
    out = engine.pack_linear(output.weight.value, bias, False, output.quantized)
    return engine.TokenStream(embedding.weight.value, packed, out)
