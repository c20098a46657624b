"""The network of text classifiers: recurrent layers over words, a linear model of n-grams beside them.

A text comes as integers ``[T, F]``: F features of each token (the word, its shape, its beginning, its end,
the pair with the token before), from ranges of their own in one space of numbers; 0 is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn import backend
from fastrnn._checks import check_positive_int, check_probability
from fastrnn._types import Array
from fastrnn.layers._regularisation import dropout_mask
from fastrnn.layers.base import Layer, Parameter, as_gradient
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.sequential import Sequential

__all__ = ["NgramLinear", "TokenEmbedding", "WideAndDeep"]


class TokenEmbedding(Layer):
    """Sum of the vectors of some features of a token; in training whole tokens are dropped.

    Parameters
    ----------
    features : int
        K: the first features of a token are read, which have the smallest numbers.
    num_embeddings : int
        Numbers that they have together.
    embedding_dim : int
    scale : float
        Standard deviation of the first vectors.
    dropout : float, default 0.0
        Probability of dropping a token: all of its vector is zero [1]_.
    seed : int, optional

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani: A theoretically grounded application of dropout in recurrent neural
       networks. NeurIPS 2016.
    """

    def __init__(
        self,
        features: int,
        num_embeddings: int,
        embedding_dim: int,
        scale: float = 1.0,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.features = check_positive_int("features", features)
        self.scale = scale
        self.dropout = check_probability("dropout", dropout, allow_one=False)
        self.seed = seed
        self.table = Embedding(num_embeddings, embedding_dim, padding_idx=0, seed=seed)
        self.table.weight.data *= np.float32(scale)
        self._rng = np.random.default_rng(None if seed is None else [seed, 1])

    def __call__(self, ids: Array) -> Array:
        """Vectors ``[T, N, E]`` of ``ids [T, N, F]``."""
        y: Array = self.table(np.ascontiguousarray(ids[..., 0]))
        for feature in range(1, self.features):
            y += self.table(np.ascontiguousarray(ids[..., feature]))
        if self.training:
            kept = self._rng.random(ids.shape[:2]) >= self.dropout
            mask = kept[:, :, None].astype(y.dtype) / (1 - self.dropout)
            y *= mask
            self._push(mask)
        return y

    def backward(self, dy: Any) -> None:
        """Add to the gradient of the table."""
        dy = np.ascontiguousarray(dy * self._pop())
        for _ in range(self.features):
            self.table.backward(dy)

    def config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "features": self.features,
            "num_embeddings": self.table.num_embeddings,
            "embedding_dim": self.table.embedding_dim,
            "scale": self.scale,
            "dropout": self.dropout,
            "seed": self.seed,
        }


class NgramLinear(Layer):
    """A linear model of all features of a text, as vectors of TF-IDF of Euclidean norm 1.

    Parameters
    ----------
    outputs : int
        C.
    weights : sequence of (int, float)
        Runs of numbers that have the same inverse document frequency: how many, and the frequency. The first
        one is that of 0 and should be ``(1, 0.0)``.
    dropout : float, default 0.0
        Probability of dropping a feature in training, every time that it occurs.
    gain : float, default 1.0
        Logits are multiplied with it: so many times the learning rate of other layers this one has.

    Attributes
    ----------
    weight : Parameter
        ``[V, C]``, at first zero.
    """

    uses_lengths = True
    pools_time = True

    def __init__(
        self,
        outputs: int,
        weights: Sequence[Sequence[float]],
        dropout: float = 0.0,
        gain: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.outputs = check_positive_int("outputs", outputs)
        self.runs = [(int(count), float(value)) for count, value in weights]
        self.dropout = check_probability("dropout", dropout, allow_one=False)
        self.gain = gain
        self.seed = seed
        self._rng = np.random.default_rng(None if seed is None else [seed, 2])
        self._idf = np.repeat(
            np.array([value for _, value in self.runs], np.float32), [count for count, _ in self.runs]
        )
        self.weight = Parameter(np.zeros((len(self._idf), outputs), np.float32), np.float32)

    def tfidf(self, ids: Array) -> Array:
        """How much each feature counts, in the shape of ``ids [T, N, F]``."""
        idf = self._idf[ids]
        norm = np.sqrt(_sum(_sum(np.moveaxis(idf * idf, 2, 0))))
        scale = np.divide(self.gain, norm, out=np.zeros_like(norm), where=norm > 0)
        idf *= scale[None, :, None]
        return idf

    def contributions(self, ids: Array) -> Array:
        """What each feature of a text ``[T, F]`` adds to the logits, ``[T, F, C]``."""
        return np.asarray(self.tfidf(ids[:, None])[:, 0, :, None] * self.weight.value[ids])

    def __call__(self, ids: Array, lengths: Any = None) -> Array:
        """Logits ``[N, C]`` of ``ids [T, N, F]``, zero past the lengths."""
        ids = np.ascontiguousarray(ids, np.int64)
        tfidf = self.tfidf(ids)
        if self.training and self.dropout:
            tfidf *= dropout_mask(self._rng, tfidf.shape, self.dropout, tfidf.dtype)
        vectors = backend.active().embedding_forward(self.weight.value, ids)
        vectors *= tfidf[..., None]
        y = _sum(_sum(np.moveaxis(vectors, 2, 0)))
        if self.training:
            self._push((ids, tfidf))
        return y

    def backward(self, dy: Any) -> None:
        """Add to the gradient of the weights."""
        ids, tfidf = self._pop()
        grad = as_gradient(dy, (ids.shape[1], self.outputs), np.dtype(np.float32))
        backend.active().embedding_backward(
            np.ascontiguousarray(tfidf[..., None] * grad[None, :, None, :]),
            np.where(ids == 0, -1, ids),
            self.weight.grad,
        )

    def config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "outputs": self.outputs,
            "weights": [list(run) for run in self.runs],
            "dropout": self.dropout,
            "gain": self.gain,
            "seed": self.seed,
        }


def _sum(parts: Array) -> Array:
    """Sum over the first axis, one after the other: a text's bits do not depend on the texts beside it."""
    total: Array = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


class WideAndDeep(Layer):
    """Sum of the logits of a recurrent network and of a linear model, trained together [1]_.

    References
    ----------
    .. [1] H.-T. Cheng et al.: Wide & deep learning for recommender systems. DLRS 2016.
    """

    uses_lengths = True
    pools_time = True

    def __init__(self, deep: Sequential, wide: NgramLinear) -> None:
        super().__init__()
        self.deep = deep
        self.wide = wide

    def __call__(self, ids: Array, lengths: Any = None) -> Array:
        """Logits ``[N, C]`` of ``ids [T, N, F]``."""
        y: Array = self.deep(ids, lengths=lengths)[0] + self.wide(ids, lengths)
        return y

    def backward(self, dy: Any) -> None:
        """Add to the gradients of both."""
        self.wide.backward(dy)
        self.deep.backward(dy)

    def config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"deep": self.deep.config(), "wide": self.wide.config()}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> WideAndDeep:
        return cls(Sequential.from_config(arguments["deep"]), NgramLinear.from_config(arguments["wide"]))
