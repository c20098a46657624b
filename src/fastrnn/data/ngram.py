"""Character n-grams with Witten-Bell smoothing: the baseline a text model has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import check_int
from fastrnn.data.text import Vocabulary

__all__ = ["NGramModel"]


class _Order(NamedTuple):
    """Counts of one context length. A context is known by its index among the grams one shorter."""

    grams: NDArray[np.int64]  # sorted: context * V + character
    counts: NDArray[np.int64]  # of each gram
    totals: NDArray[np.int64]  # of each context: characters that followed it
    types: NDArray[np.int64]  # of each context: different characters that followed it


class NGramModel:
    """Character n-gram model, interpolated over all context lengths by Witten and Bell's method C.

    The probability of a character c after a context of k characters mixes its relative frequency there with
    the probability after the context without its first character::

        p_k(c) = (count(context, c) + types(context) * p_{k-1}(c)) / (count(context) + types(context))

    where ``types`` is the number of different characters seen after the context; below k = 0 lies the
    uniform distribution over the V symbols. A context never seen leaves ``p_{k-1}`` as it is.

    Parameters
    ----------
    order : int, default 5
        Characters of context; 0 counts single characters.

    Attributes
    ----------
    vocabulary : Vocabulary
        Characters of the training text (after `fit`). The unknown character is one symbol more: any other
        character is scored as that symbol, whose probability comes from the uniform distribution.

    References
    ----------
    Witten, I. H. and Bell, T. C. (1991). The zero-frequency problem: estimating the probabilities of novel
    events in adaptive text compression. IEEE Transactions on Information Theory 37(4), method C.

    Examples
    --------
    >>> from fastrnn.data.ngram import NGramModel
    >>> model = NGramModel(order=2).fit("to be or not to be, that is the question")
    >>> print(f"{model.bits_per_char('to be or not'):.2f}")
    1.00
    """

    def __init__(self, order: int = 5) -> None:
        self.order = check_int("order", order, low=0)
        self._orders: list[_Order] = []

    def fit(self, text: str | Iterable[str]) -> NGramModel:
        """Count the n-grams of a text.

        Parameters
        ----------
        text : str or iterable of str
            One text or several; no context reaches across the beginning of a text. Five million characters
            at order 5 take a few seconds and about 100 bytes of memory a character.

        Returns
        -------
        NGramModel
            Itself.

        Raises
        ------
        ValueError
            If the text is empty.
        """
        texts = _as_list(text)
        if not any(texts):
            raise ValueError("text must have at least one character")
        self.vocabulary = Vocabulary.from_text(texts)
        ids, position = self._encode(texts)
        symbols = len(self.vocabulary)
        self._orders = []
        # A gram of k + 1 characters is numbered through (number of the first k, last character). Such pairs
        # are exact and fit in 64 bits whatever the order and alphabet, unlike packed characters or hashes.
        context = np.zeros_like(ids)
        contexts = 1
        for k in range(self.order + 1):
            inside = position >= k
            keys = context[inside] * symbols + ids[inside]
            grams, gram_of, counts = np.unique(keys, return_inverse=True, return_counts=True)
            owner = grams // symbols
            types = np.bincount(owner, minlength=contexts)
            totals = np.zeros(contexts, np.int64)
            np.add.at(totals, owner, counts)
            self._orders.append(_Order(grams, counts, totals, types))
            context[inside] = gram_of
            context = np.roll(context, 1)  # the gram that ends before a character is its next context
            contexts = grams.size
        return self

    def bits_per_char(self, text: str | Iterable[str]) -> float:
        """Average bits this model needs for a character of `text`; lower is better.

        Raises
        ------
        RuntimeError
            If the model has not been fitted.
        ValueError
            If the text is empty.
        """
        return self.bits_per_char_by_order(text)[-1]

    def bits_per_char_by_order(self, text: str | Iterable[str]) -> list[float]:
        """Bits per character for each context length from 0 to `order`, in one pass.

        The best of them is the figure to compare with: long contexts of a small text do harm.

        Raises
        ------
        RuntimeError
            If the model has not been fitted.
        ValueError
            If the text is empty.

        Examples
        --------
        >>> from fastrnn.data.ngram import NGramModel
        >>> model = NGramModel(order=2).fit("abababababababab")
        >>> [round(bits, 2) for bits in model.bits_per_char_by_order("abab")]
        [1.05, 0.33, 0.29]
        """
        if not self._orders:
            raise RuntimeError("the n-gram model has no counts yet: call fit(text) first")
        texts = _as_list(text)
        if not any(texts):
            raise ValueError("text must have at least one character")
        ids, position = self._encode(texts)
        symbols = len(self.vocabulary)
        p = np.full(ids.size, 1 / symbols)
        bits = []
        context = np.zeros_like(ids)  # -1 where it was never seen
        for k, (grams, counts, totals, types) in enumerate(self._orders):
            seen = np.flatnonzero((context >= 0) & (position >= k))
            owner = context[seen]
            keys = owner * symbols + ids[seen]
            at = np.searchsorted(grams, keys)
            found = np.append(grams, -1)[at] == keys
            count = np.where(found, np.append(counts, 0)[at], 0)
            # Where nothing followed the context (it ended a text) both are zero and p stays as it is.
            weight = np.maximum(totals[owner] + types[owner], 1)
            share = np.where(types[owner] > 0, types[owner], 1)
            p[seen] = (count + share * p[seen]) / weight
            bits.append(float(-np.log2(p).mean()))
            gram = np.full_like(ids, -1)
            gram[seen[found]] = at[found]
            context = np.roll(gram, 1)  # what rolls over to the front has position 0 and is not read
        return bits

    def _encode(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the indices of all characters, and the position of each in its own text."""
        ids = np.concatenate([self.vocabulary.encode(text) for text in texts])
        return ids, np.concatenate([np.arange(len(text)) for text in texts])


def _as_list(text: str | Iterable[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)
