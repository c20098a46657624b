"""A small character model and its data, for the tests of training."""

from __future__ import annotations

from fastrnn.data import TextWindows, Vocabulary
from fastrnn.layers import Dropout, Embedding, Layer, Linear, Sequential
from fastrnn.layers.recurrent import LSTM

TEXT = "the quick brown fox jumps over the lazy dog and runs away. " * 4


def tiny_windows() -> TextWindows:
    """Five windows of three streams, the last one shorter."""
    return TextWindows(Vocabulary.from_text(TEXT).encode(TEXT), batch_size=3, seq_len=17)


def make_model(seed: int = 0, dropout: float = 0.0) -> Sequential:
    """Embedding, two LSTM layers, dropout, output; with every kind of random mask if `dropout` is given."""
    V = len(Vocabulary.from_text(TEXT))
    return Sequential(
        Embedding(V, 6, seed=seed),
        LSTM(6, 8, num_layers=2, dropout=dropout, recurrent_dropout=dropout, zoneout=dropout, seed=seed + 1),
        Dropout(dropout, seed=seed + 2),
        Linear(8, V, seed=seed + 3),
    )


def weights_of(model: Layer) -> dict[str, bytes]:
    """Weights as bytes: equal means equal to the bit."""
    return {name: value.tobytes() for name, value in model.state_dict().items()}
