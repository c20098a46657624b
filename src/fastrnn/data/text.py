"""Text as numbers: the vocabulary of characters, and the windows of truncated backpropagation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import check_int_array, check_positive_int

__all__ = ["UNKNOWN", "UNKNOWN_CHARACTER", "TextWindows", "Vocabulary"]

UNKNOWN = 0
"""Index that stands for every character that a vocabulary does not contain."""

UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What index 0 is decoded to; in a text it is always encoded as 0."""


class Vocabulary:
    """The characters a model knows, numbered from 1; 0 is the unknown character.

    Any Unicode text can be encoded: a character outside the vocabulary becomes index 0, which is decoded to
    U+FFFD. A model learns something about index 0 only if its training text contains rare characters that
    ``min_count`` of `from_text` left out. A character is one code point, and line ends are kept as they are.

    Parameters
    ----------
    characters : str or iterable of str
        The known characters, in any order; each is counted once. ``Vocabulary(v.characters)`` equals ``v``.

    Attributes
    ----------
    characters : str
        The known characters in the order of their code points; ``characters[i]`` has index ``i + 1``.

    Examples
    --------
    >>> from fastrnn.data.text import Vocabulary
    >>> vocabulary = Vocabulary.from_text("abracadabra")
    >>> len(vocabulary), vocabulary.characters
    (6, 'abcdr')
    >>> vocabulary.encode("bard!")
    array([2, 1, 5, 4, 0])
    >>> vocabulary.decode([2, 1, 5, 4])
    'bard'
    """

    __slots__ = ("_points", "_table", "characters")

    def __init__(self, characters: str | Iterable[str]) -> None:
        points = np.unique(_code_points("".join(characters)))
        self._points = points[points != ord(UNKNOWN_CHARACTER)]
        self.characters = _text(self._points)
        # One entry a code point up to the largest, and one more (0) that larger ones are clipped to.
        self._table = np.zeros(int(self._points[-1]) + 2 if self._points.size else 1, np.int64)
        self._table[self._points] = np.arange(1, self._points.size + 1)

    @classmethod
    def from_text(
        cls, text: str | Iterable[str], min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """Collect the characters of a text.

        Parameters
        ----------
        text : str or iterable of str
            One text or several.
        min_count : int, default 1
            Characters that occur less often are left out.
        max_size : int, optional
            Keep the most frequent characters only, such that ``len(vocabulary)``, which counts the unknown
            character, is at most this. Among equally frequent ones those of lower code point are kept.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ValueError
            If `min_count` or `max_size` is less than 1.

        Examples
        --------
        >>> from fastrnn.data.text import Vocabulary
        >>> Vocabulary.from_text("abracadabra", min_count=2).characters
        'abr'
        """
        check_positive_int("min_count", min_count)
        if max_size is not None:
            check_positive_int("max_size", max_size)
        points, counts = np.unique(_code_points("".join(text)), return_counts=True)
        known = (counts >= min_count) & (points != ord(UNKNOWN_CHARACTER))
        points, counts = points[known], counts[known]
        if max_size is not None:
            points = points[np.argsort(-counts, kind="stable")[: max_size - 1]]
        return cls(_text(points))

    def encode(self, text: str) -> NDArray[np.int64]:
        """Give the indices of the characters of `text`, int64 ``[len(text)]``, 0 where unknown."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        points = _code_points(text)
        ids: NDArray[np.int64] = self._table[np.minimum(points, self._table.size - 1)]
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Give the text of the given indices; 0 becomes U+FFFD.

        Raises
        ------
        TypeError
            If the indices are not integers.
        ValueError
            If an index is negative or too large, or `ids` has not one axis.
        """
        array = check_int_array("ids", ids, ("L",), low=0, high=len(self) - 1)
        points = np.concatenate([[np.uint32(ord(UNKNOWN_CHARACTER))], self._points])
        return _text(points[array])

    def __len__(self) -> int:
        return int(self._points.size) + 1

    def __contains__(self, character: object) -> bool:
        return isinstance(character, str) and len(character) == 1 and character in self.characters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[str]]:
        return Vocabulary, (self.characters,)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"


class TextWindows:
    """Windows over a long sequence for truncated backpropagation through time with carried state.

    The sequence is cut into `batch_size` contiguous streams of equal length. Each window holds the next
    `seq_len` steps of every stream, so that the state after one window is the initial state of the next.
    Targets are the inputs one step later. Iterating again gives the same windows.

    Parameters
    ----------
    ids : array_like of int, [L]
        The sequence, for example ``vocabulary.encode(text)``. Each stream has ``S = (L - 1) // batch_size``
        steps; the up to ``batch_size - 1`` steps at the end that fill no stream are left out.
    batch_size : int
        Number N of streams.
    seq_len : int
        Steps T of a window. The last window is shorter where S is no multiple of it.

    Yields
    ------
    inputs, targets : int64 arrays, [T, N]

    Raises
    ------
    ValueError
        If a number is less than 1, `ids` has not one axis, or it is shorter than ``batch_size + 1``.
    TypeError
        If `ids` are not integers.

    References
    ----------
    Williams, R. J. and Peng, J. (1990). An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories. Neural Computation 2(4).

    Examples
    --------
    >>> from fastrnn.data.text import TextWindows
    >>> windows = TextWindows(range(9), batch_size=2, seq_len=3)
    >>> len(windows)
    2
    >>> for inputs, targets in windows:
    ...     print(inputs.T.tolist(), targets.T.tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]]
    [[3], [7]] [[4], [8]]
    """

    def __init__(self, ids: ArrayLike, batch_size: int, seq_len: int) -> None:
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.seq_len = check_positive_int("seq_len", seq_len)
        array = check_int_array("ids", ids, ("L",))
        if array.size <= batch_size:
            raise ValueError(
                f"ids has {array.size} steps; batch_size={batch_size} streams need at least {batch_size + 1}"
            )
        steps = (array.size - 1) // batch_size
        used = steps * batch_size
        self._steps = steps
        # Time-major copies, so that every window is a contiguous slice.
        self._inputs = _time_major(array[:used], batch_size)
        self._targets = _time_major(array[1 : used + 1], batch_size)

    def __len__(self) -> int:
        return -(-self._steps // self.seq_len)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for start in range(0, self._steps, self.seq_len):
            window = slice(start, start + self.seq_len)
            yield self._inputs[window], self._targets[window]


def _time_major(ids: NDArray[np.integer], batch_size: int) -> NDArray[np.int64]:
    array = np.array(ids.reshape(batch_size, -1).T, dtype=np.int64, order="C")
    array.flags.writeable = False
    return array


def _code_points(text: str) -> NDArray[np.uint32]:
    # "surrogatepass": half of a surrogate pair is not valid text but occurs in file names and broken input.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _text(points: NDArray[np.uint32]) -> str:
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
