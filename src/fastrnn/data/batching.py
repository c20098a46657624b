"""Mini-batches: padding of ragged sequences, bucketing by length, shuffling from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn._checks import check_int, check_int_array, check_lengths, check_positive_int
from fastrnn._types import Array

__all__ = ["Batch", "SequenceBatches", "batch_indices", "pad_sequences", "unpad_sequences"]

IGNORED_TARGET = -100
"""Integer target that the losses do not count (their ``ignore_index``): the padding of target sequences."""


class Batch(NamedTuple):
    """One mini-batch, as :func:`fastrnn.training.fit` takes it. None is left out of the call."""

    x: Any
    """Input of the model, time-major ``[T, N, ...]``."""
    y: Any
    """Targets of the loss."""
    lengths: NDArray[np.int64] | None = None
    """Valid steps of each row, ``[N]``; given to the model."""
    resets: NDArray[np.bool_] | None = None
    """Where the state of a row is taken as zero, ``[T, N]``; given to the model."""
    weight: Array | None = None
    """Weight of each target; given to the loss as ``weight=``."""


def pad_sequences(
    sequences: Sequence[ArrayLike],
    *,
    value: float = 0,
    dtype: DTypeLike | None = None,
    batch_first: bool = False,
) -> tuple[Array, NDArray[np.int64]]:
    """Put sequences of different lengths into one array.

    Parameters
    ----------
    sequences : sequence of N array_like, each [T_i, ...]
        Equal in all axes but the first; a length of zero is legal.
    value : float, default 0
        Fills the end of the shorter ones.
    dtype : dtype, optional
        Of the result; by default the common one of the sequences.
    batch_first : bool, default False
        Give ``[N, T, ...]`` instead of ``[T, N, ...]``.

    Returns
    -------
    padded : array, [T, N, ...]
        T is the greatest length.
    lengths : int64 array, [N]

    Raises
    ------
    ValueError
        If there is no sequence, one has no time axis, or the other axes differ.

    Examples
    --------
    >>> from fastrnn.data.batching import pad_sequences
    >>> padded, lengths = pad_sequences([[1, 2, 3], [4]], batch_first=True)
    >>> padded, lengths
    (array([[1, 2, 3],
           [4, 0, 0]]), array([3, 1]))
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("sequences must hold at least one sequence, got none")
    for i, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(f"sequences[{i}] is a single number; a sequence has a time axis")
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"sequences must agree in all axes but the first: sequences[0] has shape {arrays[0].shape}, "
                f"sequences[{i}] has {array.shape}"
            )
    lengths = np.array([len(array) for array in arrays], np.int64)
    # An empty list has NumPy's default dtype, which says nothing about the others.
    kind = np.result_type(*([a.dtype for a in arrays if a.size] or [a.dtype for a in arrays]))
    shape = (int(lengths.max()), len(arrays), *arrays[0].shape[1:])
    padded = np.full(shape, value, dtype=dtype if dtype is not None else kind)
    for i, array in enumerate(arrays):
        padded[: len(array), i] = array
    return (np.ascontiguousarray(padded.swapaxes(0, 1)) if batch_first else padded), lengths


def unpad_sequences(padded: ArrayLike, lengths: ArrayLike, *, batch_first: bool = False) -> list[Array]:
    """Take the sequences out of a padded array: the inverse of `pad_sequences`.

    Parameters
    ----------
    padded : array_like, [T, N, ...] (or [N, T, ...])
    lengths : array_like of int, [N]
    batch_first : bool, default False
        Whether the first axis is the row.

    Returns
    -------
    list of N arrays, each [T_i, ...]
        Copies.

    Raises
    ------
    ValueError
        If the lengths do not fit the array.

    Examples
    --------
    >>> from fastrnn.data.batching import pad_sequences, unpad_sequences
    >>> [s.tolist() for s in unpad_sequences(*pad_sequences([[1, 2, 3], [4]]))]
    [[1, 2, 3], [4]]
    """
    array = np.asarray(padded)
    if array.ndim < 2:
        raise ValueError(f"padded must have a time and a row axis, got shape {array.shape}")
    rows = array if batch_first else array.swapaxes(0, 1)
    counts = check_lengths(lengths, T=rows.shape[1], N=rows.shape[0])
    return [row[:count].copy() for row, count in zip(rows, counts, strict=True)]


def batch_indices(
    count: int,
    batch_size: int,
    *,
    seed: int | Sequence[int] | None = None,
    lengths: ArrayLike | None = None,
    drop_last: bool = False,
) -> list[NDArray[np.int64]]:
    """Divide ``range(count)`` into mini-batches.

    Parameters
    ----------
    count : int
        Number of samples.
    batch_size : int
        Samples of a batch; the last may have fewer.
    seed : int or sequence of int, optional
        Shuffle with it; the same seed gives the same batches. None keeps the order.
    lengths : array_like of int, [count], optional
        Bucketing: batches hold samples of similar length, which saves computing on padding. Which ones share
        a batch still differs from seed to seed among samples of equal length, and the order of the batches
        is shuffled. Without a seed the batches go from short to long.
    drop_last : bool, default False
        Leave out a last batch that is not full.

    Returns
    -------
    list of int64 arrays

    Raises
    ------
    ValueError
        If `batch_size` is less than 1, `count` is negative or `lengths` has another shape than ``[count]``.

    Examples
    --------
    >>> from fastrnn.data.batching import batch_indices
    >>> [batch.tolist() for batch in batch_indices(5, 2, lengths=[9, 1, 8, 2, 7])]
    [[1, 3], [4, 2], [0]]
    """
    check_positive_int("batch_size", batch_size)
    check_int("count", count, low=0)
    rng = None if seed is None else np.random.default_rng(seed)
    order = np.arange(count) if rng is None else rng.permutation(count)
    if lengths is not None:
        sizes = check_int_array("lengths", lengths, (count,), low=0)
        order = order[np.argsort(sizes[order], kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if drop_last and batches and batches[-1].size < batch_size:
        batches.pop()
    if lengths is not None and rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


class SequenceBatches:
    """Padded mini-batches of many sequences, shuffled anew for each epoch.

    ``batches(epoch)`` gives the shuffled batches of that epoch, the same ones each time, which is what
    :func:`fastrnn.training.fit` calls and why a resumed training sees the same data. Iterating gives the
    samples in their own order, for evaluation and prediction.

    Parameters
    ----------
    sequences : sequence of M array_like, each [T_i, ...]
        The inputs; an array ``[M, T, ...]`` is M sequences of one length.
    targets : array_like [M, ...], or list of M array_like, each [T_i, ...]
        An array holds one target (a class, a number, a vector) a sequence. A list holds a target for every
        step; integer ones are padded with -100, which the losses ignore, and other ones come with a
        ``weight`` of 1 for real steps and 0 for padding, ``[T, N]``.
    batch_size : int, default 32
    seed : int, default 0
        Of the shuffling.
    bucket : bool, default True
        Put sequences of similar length together when shuffling (see `batch_indices`).
    dtype : dtype, optional
        Of the inputs; by default their own.

    Yields
    ------
    Batch
        ``x [T, N, ...]``, ``y`` and, unless all sequences have one length, ``lengths [N]``.

    Raises
    ------
    ValueError
        If the numbers of sequences and targets differ, or a target has another number of steps than its
        sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data.batching import SequenceBatches
    >>> batches = SequenceBatches([[1, 2, 3], [4], [5, 6]], np.array([0, 1, 0]), batch_size=2)
    >>> [(b.x.T.tolist(), b.y.tolist(), b.lengths.tolist()) for b in batches]
    [([[1, 2, 3], [4, 0, 0]], [0, 1], [3, 1]), ([[5, 6]], [0], [2])]
    >>> [b.lengths.tolist() for b in batches(epoch=0)]
    [[3], [1, 2]]
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike],
        targets: ArrayLike | Sequence[ArrayLike],
        batch_size: int = 32,
        *,
        seed: int = 0,
        bucket: bool = True,
        dtype: DTypeLike | None = None,
    ) -> None:
        self._x = [np.asarray(sequence) for sequence in sequences]
        self._y = [np.asarray(y) for y in targets] if isinstance(targets, list) else np.asarray(targets)
        if len(self._x) != len(self._y):
            raise ValueError(f"targets must be as many as sequences, {len(self._x)}; got {len(self._y)}")
        if isinstance(self._y, list):
            for i, (x, y) in enumerate(zip(self._x, self._y, strict=True)):
                if y.shape[:1] != x.shape[:1]:
                    raise ValueError(
                        f"targets[{i}] must have as many steps as sequences[{i}], shape {x.shape}; "
                        f"got shape {y.shape} (one target a sequence is given as an array, not a list)"
                    )
        self._lengths = np.array([len(x) for x in self._x], np.int64)
        self._ragged = bool(self._lengths.size) and bool((self._lengths != self._lengths[0]).any())
        self._dtype = dtype
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.seed = seed
        self.bucket = bucket

    def __len__(self) -> int:
        return -(-len(self._x) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for indices in batch_indices(len(self._x), self.batch_size):
            yield self._batch(indices)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Give the shuffled batches of an epoch, counted from 0."""
        lengths = self._lengths if self.bucket else None
        seed = (self.seed, epoch)
        for indices in batch_indices(len(self._x), self.batch_size, seed=seed, lengths=lengths):
            yield self._batch(indices)

    def _batch(self, indices: NDArray[np.int64]) -> Batch:
        x, lengths = pad_sequences([self._x[i] for i in indices], dtype=self._dtype)
        ragged = lengths if self._ragged else None
        if not isinstance(self._y, list):
            return Batch(x, self._y[indices], ragged)
        chosen = [self._y[i] for i in indices]
        if all(y.dtype.kind in "iu" for y in chosen):
            return Batch(x, pad_sequences(chosen, value=IGNORED_TARGET, dtype=np.int64)[0], ragged)
        y = pad_sequences(chosen)[0]
        if ragged is None:
            return Batch(x, y)
        weight = np.arange(len(x))[:, None] < lengths
        return Batch(x, y, ragged, weight=weight.astype(y.dtype))
