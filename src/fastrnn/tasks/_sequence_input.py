"""Sequences as users have them: from what `fit` and `predict` are given to what a network reads.

A. `read_sequences` finds out what was given, numbers or symbols, and checks it without any estimator's help.
B. A `SequenceCoder` is what is learned from the part that is trained on: the mean and deviation of the
   numbers, or the symbols. It makes float32 ``[T, I]``, or indices ``[T]``.
C. A 2-D array, a table, is the one form that scikit-learn knows: its rules about columns hold there.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from fastrnn._types import Array
from fastrnn.layers import Embedding, Layer, Linear

__all__ = ["MOST_FEATURES", "MOST_STEPS", "SequenceCoder", "Sequences", "read_sequences"]

MOST_STEPS = 100_000
"""Of a sequence: training keeps all of them in memory, about 2.5 kB each with 64 units in both directions."""
MOST_FEATURES = 100_000
"""Of a step: each has a weight to every unit."""

_CHUNK = 1 << 18  # numbers that are scaled at once: few calls, and little memory besides the result
_FORMS = (
    "an array [N, T], [N, T, I], [N, T, height, width] or [N, T, height, width, channels], a list of arrays "
    "[T], [T, I] or of frames, or a list of str"
)


@dataclass(frozen=True)
class Sequences:
    """Checked, but neither scaled nor encoded."""

    items: list[Array]
    """Numbers, each ``[T, *step_shape]``, or indices into `symbols`, each ``[T]``."""
    step_shape: tuple[int, ...]
    """``(I,)``, ``(height, width)`` or ``(height, width, channels)``; ``()`` for symbols."""
    symbols: list[str] | None
    """All that occur, sorted; None for numbers."""

    def __len__(self) -> int:
        return len(self.items)


def read_sequences(estimator: BaseEstimator, X: Any, *, reset: bool) -> Sequences:
    """Find out what X is, and check it.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` (and ``feature_names_in_``) if X is a table, or loses them; with
        ``reset=False`` its attributes are checked against.
    X
        As `fit` takes it.
    reset : bool
        Whether it comes from `fit`.

    Raises
    ------
    ValueError
        If there is no sequence, one is empty or too long, shapes do not fit, or a number is NaN or infinite.
    TypeError
        If X is something else than sequences, or mixes numbers and symbols.
    """
    given = _unwrapped(X)
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                delattr(estimator, name)
    if _is_table(given):
        table = _checked_table(estimator, given, reset)
        _check_size(table.shape[1], 1, "each row of X")
        return Sequences(_finite(list(table[:, :, None])), (1,), None)
    if isinstance(given, np.ndarray):
        given = list(given)
    elif not isinstance(given, (list, tuple)):
        raise TypeError(f"X must be {_FORMS}; got {type(X).__name__}")
    if not len(given):
        raise ValueError("X must hold at least one sequence, got none (0 samples)")
    kinds = [_is_symbols(item) for item in given]
    if any(kinds):
        if not all(kinds):
            odd = kinds.index(False)
            if _is_missing(given[odd]):
                raise ValueError(f"X must not hold missing values: X[{odd}] is {given[odd]!r}")
            raise TypeError(
                f"X must hold either text or numbers: X[{kinds.index(True)}] is text, X[{odd}] is not"
            )
        return _read_symbols(given)
    return _read_numbers(given)


# What was given


def _unwrapped(X: Any) -> Any:
    """Take pandas' containers of sequences apart; whatever else is an array becomes one."""
    if hasattr(X, "toarray"):  # of SciPy's sparse arrays, one is also a mapping
        return X
    if isinstance(X, (np.ndarray, list, tuple, str, bytes, Mapping)) or X is None:
        return _column(X) if isinstance(X, np.ndarray) else X
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):  # a DataFrame
        values = X.to_numpy()
        if not values.size:
            raise ValueError(f"X must hold at least one sequence, got a table of shape {values.shape}")
        return list(values[:, 0]) if _holds_sequences(values) else X
    if hasattr(X, "to_numpy") and getattr(X, "ndim", 1) == 1:  # a Series
        return _column(X.to_numpy())
    return list(X) if isinstance(X, Iterator) else X


def _column(array: Array) -> Any:
    return list(array[:, 0]) if _holds_sequences(array) else array


def _holds_sequences(array: Array) -> bool:
    """Whether these are N sequences in one column of a 2-D array of objects or strings."""
    if array.ndim != 2 or array.shape[1] != 1 or not len(array) or array.dtype.kind not in "OUT":
        return False
    return isinstance(array[0, 0], (str, list, tuple, np.ndarray))


def _is_table(X: Any) -> bool:
    """Whether scikit-learn's own checks are for it: numbers in rows of equal length, or no sequences."""
    if isinstance(X, (list, tuple)):
        if not X or isinstance(X[0], Number):
            return bool(X)
        if not all(isinstance(item, (list, tuple)) and len(item) == len(X[0]) for item in X):
            return False
        return bool(X[0]) and all(isinstance(item[0], Number) for item in X)
    if isinstance(X, (str, bytes, Mapping)):
        return hasattr(X, "toarray")
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "UT":
            return X.ndim == 0
        if X.dtype.kind == "O" and X.ndim == 1 and len(X):
            return not isinstance(X[0], (str, bytes, list, tuple, np.ndarray))
        return X.ndim <= 2
    return hasattr(X, "__array__") or hasattr(X, "toarray") or X is None


def _checked_table(estimator: BaseEstimator, X: Any, reset: bool) -> Array:
    """Have scikit-learn check a table, all but the finiteness."""
    how: dict[str, Any] = {"dtype": "numeric", "ensure_all_finite": False}
    X = np.asarray(X) if isinstance(X, (list, tuple)) else X  # of objects too, if there is a None
    # One that learned from sequences of any length does not mind how many columns there are.
    if reset or hasattr(estimator, "n_features_in_"):
        table: Array = validate_data(estimator, X, reset=reset, **how)
    else:
        table = check_array(X, estimator=estimator, input_name="X", **how)
    if table.dtype.kind not in "fiub":
        raise TypeError(f"X must hold numbers, got dtype {table.dtype}")
    return table


def _is_symbols(item: Any) -> bool:
    if isinstance(item, str):
        return True
    if isinstance(item, np.ndarray):
        return item.dtype.kind in "UT" or (
            item.dtype == object and item.ndim == 1 and _is_symbols(list(item))
        )
    return isinstance(item, (list, tuple)) and bool(item) and isinstance(item[0], str)


def _is_missing(item: Any) -> bool:
    # pandas, whose NA is equal to nothing, not even truly unequal to itself, need not be installed.
    return item is None or type(item).__name__ == "NAType" or (isinstance(item, Number) and item != item)


# Numbers


def _read_numbers(given: Sequence[Any]) -> Sequences:
    items = [_as_numbers(item, i) for i, item in enumerate(given)]
    shape = items[0].shape[1:]
    for i, item in enumerate(items):
        if item.shape[1:] != shape:
            raise ValueError(
                f"all steps must have one shape: those of X[0] have {shape}, those of X[{i}] {item.shape[1:]}"
            )
        _check_size(len(item), math.prod(shape), f"X[{i}]")
    return Sequences(_finite(items), shape, None)


def _as_numbers(item: Any, i: int) -> Array:
    """One sequence as an array [T, ...] of a dtype that holds real numbers."""
    if isinstance(item, (bytes, Mapping)) or item is None:
        raise TypeError(f"X[{i}] must be a sequence of numbers or a str, got {type(item).__name__}")
    try:
        array = item if isinstance(item, np.ndarray) else np.asarray(item)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"X[{i}] cannot be read as an array of numbers: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X[{i}] has dtype {array.dtype}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"X[{i}] must hold numbers, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"X[{i}] is a single number; X must be {_FORMS}")
    if array.ndim > 4:
        raise ValueError(
            f"X[{i}] has shape {array.shape}; a sequence is [T], [T, I], [T, height, width] or "
            "[T, height, width, channels]"
        )
    return array[:, None] if array.ndim == 1 else array


def _check_size(steps: int, features: int, name: str) -> None:
    if steps == 0:
        raise ValueError(f"{name} is empty: a sequence has at least one step")
    if features == 0:
        raise ValueError(f"{name} has no features (0 feature(s))")
    if steps > MOST_STEPS:
        raise ValueError(
            f"{name} has {steps:,} steps, and up to {MOST_STEPS:,} are taken: cut it in pieces or thin it out"
        )
    if features > MOST_FEATURES:
        raise ValueError(
            f"{name} has {features:,} numbers a step, and up to {MOST_FEATURES:,} are taken: "
            "make them fewer, for example by smaller frames"
        )


def _finite(items: list[Array]) -> list[Array]:
    """Refuse NaN and infinity, by place."""
    start = 0
    for chunk in _chunks(items):
        if chunk[0].dtype.kind == "f" and not np.isfinite(np.concatenate(chunk)).all():
            for i, item in enumerate(chunk, start):
                bad = np.argwhere(~np.isfinite(item))
                if len(bad):
                    raise ValueError(f"X must not hold NaN or infinity: {_place(item, i, bad[0])}")
        start += len(chunk)
    return items


def _place(item: Array, i: int, where: NDArray[np.int64]) -> str:
    """Say what stands where, counted from 0."""
    step, *feature = (int(k) for k in where)
    value = "NaN" if np.isnan(item[tuple(where)]) else "inf"
    named = (
        "" if item.shape[1:] == (1,) else f", feature {feature[0] if len(feature) == 1 else tuple(feature)}"
    )
    return f"X[{i}] has {value} at step {step}{named}"


def _chunks(items: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Neighbours of one dtype, about _CHUNK numbers together."""
    start = size = 0
    for stop, item in enumerate(items):
        if stop > start and (size >= _CHUNK or item.dtype != items[start].dtype):
            yield items[start:stop]
            start, size = stop, 0
        size += item.size
    if start < len(items):
        yield items[start:]


# Symbols


def _read_symbols(given: Sequence[Any]) -> Sequences:
    """Sequences of characters (of a str) or of tokens (of a list of str), as indices of what occurs."""
    for i, item in enumerate(given):
        _check_size(len(item), 1, f"X[{i}]")
    if isinstance(given[0], str):
        if not all(isinstance(item, str) for item in given):
            raise TypeError("X must hold either str or lists of str, got both")
        codes = [np.frombuffer(item.encode("utf-32-le", "surrogatepass"), np.uint32) for item in given]
        used = np.unique(np.concatenate([np.unique(item) for item in codes]))
        return Sequences([np.searchsorted(used, item) for item in codes], (), [chr(code) for code in used])
    for i, item in enumerate(given):
        odd = [token for token in item if not isinstance(token, str)]
        if odd or isinstance(item, str):
            found = repr(odd[0]) if odd else "a str itself"
            raise TypeError(f"X[{i}] must be a list of str like the others, got {found}")
    symbols = sorted(set(itertools.chain.from_iterable(given)))
    index = {symbol: k for k, symbol in enumerate(symbols)}
    items = [np.fromiter((index[token] for token in item), np.int64, len(item)) for item in given]
    return Sequences(items, (), [str(symbol) for symbol in symbols])


# What is learned


class SequenceCoder:
    """Makes sequences into what a network reads, and the layers that read it.

    Numbers are standardised: over all steps, feature by feature; for frames, channel by channel. Symbols
    become indices: 0 is the unknown one.

    Parameters
    ----------
    step_shape : tuple of int
        As in `Sequences`.
    symbols : sequence of str, optional
        Those with an index of their own, from 1.
    learns_unknown : bool, default False
        Whether the training part has symbols without an index of their own.
    mean, deviation : float64 array, [channels], optional
        Default: numbers stay as they are, but frames of uint8, which are divided by 255.
    """

    def __init__(
        self,
        step_shape: tuple[int, ...],
        symbols: Sequence[str] | None = None,
        *,
        learns_unknown: bool = False,
        mean: Array | None = None,
        deviation: Array | None = None,
    ) -> None:
        self.step_shape = step_shape
        self.symbols = None if symbols is None else list(symbols)
        self.learns_unknown = learns_unknown
        self.mean = mean
        self.deviation = deviation

    @classmethod
    def fit(cls, sequences: Sequences, rows: NDArray[np.int64], *, scale: bool) -> Self:
        """Learn from these rows of the sequences.

        A symbol that occurs once is read as the unknown one, so that there is something to learn about it.

        Raises
        ------
        ValueError
            If numbers are too large to be standardised.
        """
        items = [sequences.items[i] for i in rows]
        if sequences.symbols is not None:
            counts: Counter[int] = Counter()
            for item in items:
                counts.update(item.tolist())
            often = sorted(k for k, count in counts.items() if count > 1) or sorted(counts)
            return cls((), [sequences.symbols[k] for k in often], learns_unknown=len(often) < len(counts))
        if not scale:
            return cls(sequences.step_shape)
        scaler = StandardScaler()
        with np.errstate(over="ignore", invalid="ignore"):
            for chunk in _chunks(items):
                scaler.partial_fit(_by_channel(chunk, sequences.step_shape))
        # Where the variance is infinite, StandardScaler would leave the numbers as they are.
        if not (np.isfinite(scaler.mean_).all() and np.isfinite(scaler.var_).all()):
            raise ValueError("X holds numbers that are too large to be standardised: scale them down")
        return cls(sequences.step_shape, mean=scaler.mean_, deviation=scaler.scale_)

    @property
    def width(self) -> int:
        """Numbers of a step that `encode` gives."""
        return math.prod(self.step_shape)

    def encode(self, sequences: Sequences) -> list[Array]:
        """Give what the network reads: float32 ``[T, I]``, or int64 ``[T]``.

        Raises
        ------
        ValueError
            If these are other sequences than those learned from, or numbers beyond float32.
        """
        if (self.symbols is None) != (sequences.symbols is None):
            text, numbers = "text", "sequences of numbers"
            got, fitted = (numbers, text) if sequences.symbols is None else (text, numbers)
            raise ValueError(f"X holds {got}, but the estimator was fitted on {fitted}")
        if sequences.symbols is not None:
            assert self.symbols is not None
            index = {symbol: k for k, symbol in enumerate(self.symbols, 1)}
            known = np.array([index.get(symbol, 0) for symbol in sequences.symbols], np.int64)
            return [known[item] for item in sequences.items]
        if sequences.step_shape != self.step_shape:
            raise ValueError(
                f"the steps of X have shape {sequences.step_shape}, but the estimator was fitted on steps of "
                f"shape {self.step_shape}"
            )
        encoded: list[Array] = []
        for chunk in _chunks(sequences.items):
            encoded += self._scaled(chunk)
        return encoded

    def _scaled(self, chunk: Sequence[Array]) -> list[Array]:
        numbers = _by_channel(chunk, self.step_shape)
        if self.mean is not None:
            numbers = (numbers - self.mean) / self.deviation
        elif chunk[0].dtype == np.uint8 and len(self.step_shape) > 1:
            numbers = numbers / 255
        with np.errstate(over="ignore"):
            flat = numbers.astype(np.float32).reshape(-1, self.width)
        if not np.isfinite(flat).all():
            raise ValueError("X holds numbers that are too large for float32: scale them down")
        return np.split(flat, np.cumsum([len(item) for item in chunk])[:-1])

    def layers(self, embedding_size: int, projection: int | None, seed: int) -> list[Layer]:
        """Layers that read what `encode` gives, before the recurrent ones; maybe none."""
        if self.symbols is not None:
            # A vector that nothing is learned about is zero, which says nothing.
            fixed = None if self.learns_unknown else 0
            embedding = Embedding(len(self.symbols) + 1, embedding_size, padding_idx=fixed, seed=seed)
            # Of length 1, as one-hot vectors would be: with longer ones a few symbols are learned by heart.
            scaled = embedding.weight.value / np.float32(math.sqrt(embedding_size))
            embedding.load_state_dict({"weight": scaled})
            return [embedding]
        return [] if projection is None else [Linear(self.width, projection, seed=seed)]

    # Files

    def to_dict(self) -> dict[str, Any]:
        """Everything in types that JSON has."""
        return {
            "step_shape": list(self.step_shape),
            "symbols": self.symbols,
            "learns_unknown": self.learns_unknown,
            "mean": None if self.mean is None else self.mean.tolist(),
            "deviation": None if self.deviation is None else self.deviation.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make it from what `to_dict` gave."""
        mean, deviation = (
            None if content[name] is None else np.asarray(content[name]) for name in ("mean", "deviation")
        )
        return cls(
            tuple(content["step_shape"]),
            content["symbols"],
            learns_unknown=content["learns_unknown"],
            mean=mean,
            deviation=deviation,
        )


def _by_channel(chunk: Sequence[Array], step_shape: tuple[int, ...]) -> Array:
    """All steps of some sequences as float64 [M, channels]: the pixels of a frame are alike."""
    channels = {1: step_shape[-1], 2: 1, 3: step_shape[-1]}[len(step_shape)]
    return np.concatenate(chunk).astype(np.float64).reshape(-1, channels)
