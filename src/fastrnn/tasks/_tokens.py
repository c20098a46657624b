"""Texts as integers: a vocabulary for each feature of a token, and for pairs and longer sequences of them.

A. A text becomes ``[T, F]``, F numbers for each token. All features share one space of numbers, first those
   that an embedding reads; 0 is nothing, or unknown.
B. Sequences of n tokens are numbered by the number of the first n - 1 and that of the last one.
C. Work in Python is done once for each different token, as long as there are not too many of them; the rest
   is NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrnn.data.tokens import Tokenizer, restore_tokenizer

__all__ = ["TextFeatures"]

_TEXTS_AT_ONCE = 8192
_MOST_MET = 100_000  # tokens whose numbers are remembered
_NGRAMS = 100_000  # numbers for sequences of each length, at most

Codes = NDArray[np.int64]


class TextFeatures:
    """Learns the vocabularies from training texts, and encodes texts with them.

    Attributes
    ----------
    size : int
        Numbers there are.
    embedded_size : int
        Of these, those of the features that an embedding reads.
    runs : list of (int, float)
        Inverse document frequency of the numbers: how many in a row have which.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.runs: list[tuple[int, float]] = [(1, 0.0)]
        self._known: list[dict[str, int]] = []
        self._met: dict[str, list[int]] = {}  # tokens that were encoded
        self._sequences: list[NDArray[np.int64]] = []  # of 2, 3, ... tokens: sorted keys
        self._numbers: list[NDArray[np.int64]] = []  # of each of these keys

    @property
    def size(self) -> int:
        """Numbers there are, 0 included."""
        return sum(count for count, _ in self.runs)

    @property
    def embedded_size(self) -> int:
        """Numbers of the features that an embedding reads, 0 included."""
        return 1 + sum(map(len, self._known[: self.tokenizer.embedded]))

    @property
    def sequence_features(self) -> dict[int, int]:
        """Which features are sequences of tokens, and of how many."""
        return {len(self._known) + i: 2 + i for i in range(len(self._sequences))}

    def fit(self, texts: Sequence[str], *, most: int, least: int) -> list[NDArray[np.int32]]:
        """Learn from texts, and encode them.

        Parameters
        ----------
        texts : sequence of M str
        most : int
            Numbers at most for values of one feature; the most frequent ones.
        least : int
            Texts in which a value must occur.

        Returns
        -------
        list of M arrays, each [T_i, F]
        """
        met: dict[str, int] = {}
        parts, lengths = [], []
        for tokens, counts in self._cut(texts):
            for token in dict.fromkeys(tokens):
                met.setdefault(token, len(met))
            parts.append(np.fromiter(map(met.__getitem__, tokens), np.int64, len(tokens)))
            lengths.append(counts)
        codes, sizes = np.concatenate(parts), np.concatenate(lengths)
        row = np.repeat(np.arange(len(sizes)), sizes)
        described = [self.tokenizer.describe(token) for token in met]
        columns = []
        for feature in range(len(self.tokenizer.features)):
            values: dict[str, int] = {"": 0}
            found = [values.setdefault(known[feature], len(values)) for known in described]
            of_token = np.array(found, np.int64)[codes]
            kept, counts = self._count(of_token, row, len(values), most, least)
            names = list(values)
            first = self.size
            self._known.append({names[value]: first + i for i, value in enumerate(kept)})
            self._add_runs(counts, len(sizes))
            number = np.zeros(len(values), np.int64)
            number[kept] = np.arange(first, first + len(kept))
            columns.append(number[of_token])
        starts = np.cumsum(sizes) - sizes
        for order in range(2, self.tokenizer.orders + 1):
            keys = self._keys(columns, starts)
            values_, inverse = np.unique(keys, return_inverse=True)
            missing = int(values_.size and values_[0] == 0)
            kept, counts = self._count(
                inverse + 1 - missing, row, len(values_) + 1 - missing, max(most, _NGRAMS), least
            )
            first = self.size
            self._add_runs(counts, len(sizes))
            order_of = np.argsort(kept)
            self._sequences.append(values_[kept[order_of] - 1 + missing])
            self._numbers.append(first + order_of)
            columns.append(self._look_up(keys, order - 2))
        return self._divided(columns, sizes)

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Numbers of texts, M arrays ``[T_i, F]``; a text without tokens has one that is all 0."""
        encoded: list[NDArray[np.int32]] = []
        for tokens, sizes in self._cut(texts):
            met = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
            codes = np.fromiter(map(met.__getitem__, tokens), np.int64, len(tokens))
            if len(self._met) > _MOST_MET:
                self._met.clear()
            table = np.array([self._met.get(token) or self._meet(token) for token in met], np.int64)
            table = table.reshape(-1, len(self._known))
            columns = list(table[codes].T)
            starts = np.cumsum(sizes) - sizes
            for place in range(len(self._sequences)):
                columns.append(self._look_up(self._keys(columns, starts), place))
            encoded += self._divided(columns, sizes)
        return encoded

    def _meet(self, token: str) -> list[int]:
        """Numbers of a token, remembered for the next texts."""
        described = zip(self._known, self.tokenizer.describe(token), strict=True)
        self._met[token] = numbers = [known.get(value, 0) for known, value in described]
        return numbers

    def _cut(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Codes]]:
        """Tokens of some thousand texts, one after the other, and how many each has."""
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            tokens: list[str] = []
            counts = []
            for text in texts[start : start + _TEXTS_AT_ONCE]:
                before = len(tokens)
                tokens += self.tokenizer.split(text)
                counts.append(len(tokens) - before)
            yield tokens, np.array(counts, np.int64)

    def _count(self, values: Codes, row: Codes, size: int, most: int, least: int) -> tuple[Codes, Codes]:
        """The values, 0 excepted, that are in most texts, and in how many, from many to few."""
        pairs = np.unique(row * size + values)
        counts = np.bincount(pairs % size, minlength=size)
        counts[0] = 0
        order = np.argsort(-counts, kind="stable")[:most]
        order = order[counts[order] >= least]
        return order, counts[order]

    def _add_runs(self, counts: Codes, texts: int) -> None:
        """Note the inverse document frequencies of new numbers, whose counts go from many to few."""
        frequencies, lengths = np.unique(-counts, return_counts=True)
        idf = 1 + np.log((1 + texts) / (1 - frequencies))
        self.runs += [
            (int(length), float(f"{value:.6g}")) for length, value in zip(lengths, idf, strict=True)
        ]

    def _keys(self, columns: list[Codes], starts: Codes) -> Codes:
        """Key of the sequence that ends with each token: 0 if there is none or it has an unknown token."""
        units = columns[0]
        before = units if len(columns) == len(self._known) else columns[-1]
        keys = np.zeros_like(units)
        keys[1:] = np.where((before[:-1] > 0) & (units[1:] > 0), (before[:-1] << 31) | units[1:], 0)
        keys[starts[starts < len(keys)]] = 0
        return keys

    def _look_up(self, keys: Codes, place: int) -> Codes:
        sorted_keys, numbers = self._sequences[place], self._numbers[place]
        if not sorted_keys.size:
            return np.zeros_like(keys)
        found = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
        return np.where(sorted_keys[found] == keys, numbers[found], 0)

    def _divided(self, columns: list[Codes], sizes: Codes) -> list[NDArray[np.int32]]:
        together = np.stack(columns, axis=1).astype(np.int32)
        nothing = np.zeros((1, together.shape[1]), np.int32)
        parts = np.split(together, np.cumsum(sizes)[:-1])
        return [part if len(part) else nothing for part in parts]

    # Files

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` restores, in types that JSON has."""
        return {
            "tokenizer": self.tokenizer.to_dict(),
            "runs": self.runs,
            "known": [list(known) for known in self._known],
            "sequences": [[keys.tolist(), numbers.tolist()] for keys, numbers in self._stored()],
        }

    def _stored(self) -> Iterator[tuple[Codes, Codes]]:
        return zip(self._sequences, self._numbers, strict=True)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Restore what `to_dict` gave."""
        features = cls(restore_tokenizer(content["tokenizer"]))
        features.runs = [(int(count), float(idf)) for count, idf in content["runs"]]
        first = 1
        for names in content["known"]:
            features._known.append({name: first + i for i, name in enumerate(names)})
            first += len(names)
        for keys, numbers in content["sequences"]:
            features._sequences.append(np.array(keys, np.int64))
            features._numbers.append(np.array(numbers, np.int64))
        return features
