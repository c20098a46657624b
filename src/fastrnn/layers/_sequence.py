"""The forms in which a sequence may come, and the one form that the backends compute on.

| form           | ``x``                      | ``y``                        | state     |
|----------------|----------------------------|------------------------------|-----------|
| ``time_major`` | ``[T, N, I]``              | ``[T, N, W]``                | ``[S, N, P]`` |
| ``batch_first``| ``[N, T, I]``              | ``[N, T, W]``                | ``[S, N, P]`` |
| ``unbatched``  | ``[T, I]``                 | ``[T, W]``                   | ``[S, P]``  |
| ``ragged``     | list of N arrays ``[t, I]``| list of N arrays ``[t, W]``  | ``[S, N, P]`` |

W is the output width (directions times P), S the number of states (layers times directions). Every form
becomes a view ``[T, N, .]``; only a ragged list is copied, into one padded array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastrnn._checks import check_lengths, check_shape
from fastrnn._types import Array
from fastrnn.layers.base import keep
from fastrnn.layers.embedding import Embedded
from fastrnn.layers.parameter import as_array

__all__ = ["SequenceInput", "as_real", "read_sequence"]

Form = Literal["time_major", "batch_first", "unbatched", "ragged"]


def as_real(value: Any, dtype: np.dtype[Any], name: str, *, own: bool = False) -> Array:
    """``value`` as an array of ``dtype``, copied only where needed.

    With ``own`` no later write of the caller reaches the result.
    """
    if type(value) is np.ndarray and value.dtype == dtype:
        return keep(value) if own else value
    array = as_array(value, name)
    if array.dtype != dtype:
        return array.astype(dtype)
    return keep(array) if own else array


@dataclass(slots=True)
class SequenceInput:
    """A sequence in the form that the backends take, and the way back to the caller's form."""

    form: Form
    x: Array
    """``[T, N, I]``, a view of the caller's array unless the form is ragged; ids ``[T, N]`` of `embedded`."""
    lengths: Array | None
    """int64 ``[N]``."""
    resets: Array | None
    """bool ``[T, N]``."""
    embedded: Embedded | None = None

    @property
    def unbatched(self) -> bool:
        """Whether states come and go without their batch axis."""
        return self.form == "unbatched"

    @property
    def batch_major(self) -> bool:
        """Whether the caller's form puts the batch first."""
        return self.form in ("batch_first", "ragged")

    def reverse_resets(self) -> Array | None:
        """Where the reverse direction resets.

        A mark at step t is a border between t - 1 and t. Backwards, step t - 1 is the one behind it.
        """
        if self.resets is None:
            return None
        shifted = np.zeros_like(self.resets)
        shifted[:-1] = self.resets[1:]
        if self.lengths is not None:
            # A mark in the padding is no border: at its own last step a row reads its initial state.
            rows = np.flatnonzero(self.lengths)
            shifted[self.lengths[rows] - 1, rows] = False
        return shifted

    @property
    def own_x(self) -> Array | None:
        """`x` if it is real and a copy that nobody else has, of a sequence kept for backward."""
        return self.x if self.embedded is None and self.x.flags.writeable else None

    @property
    def table(self) -> Array | None:
        """``[V, I]`` if `x` are rows of it."""
        return None if self.embedded is None else self.embedded.table

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is computed."""
        return self.x.dtype if self.embedded is None else self.embedded.table.dtype

    def allocate(self, width: int, batch_major: bool) -> Array:
        """Memory for an output ``[T, N, width]``, contiguous with either axis first."""
        T, N = self.x.shape[:2]
        if batch_major:
            return np.empty((N, T, width), self.dtype).transpose(1, 0, 2)
        return np.empty((T, N, width), self.dtype)

    def restore(self, y: Array) -> Any:
        """Return views of ``y [T, N, W]`` in the caller's form."""
        if self.form == "time_major":
            return y
        if self.form == "batch_first":
            return y.transpose(1, 0, 2)
        if self.form == "unbatched":
            return y[:, 0]
        assert self.lengths is not None
        return [y[:t, row] for row, t in enumerate(self.lengths)]

    def read_gradient(self, dy: Any, width: int) -> Array:
        """``dy`` in the caller's form as ``[T, N, width]``."""
        T, N = self.x.shape[:2]
        if self.form == "ragged":
            assert self.lengths is not None
            _check_list(dy, "dy", "one gradient per sequence")
            if len(dy) != N:
                raise ValueError(f"dy must hold {N} arrays, one per sequence, got {len(dy)}")
            padded = np.zeros((N, T, width), self.dtype)
            for row, (entry, t) in enumerate(zip(dy, self.lengths, strict=True)):
                array = as_real(entry, self.dtype, f"dy[{row}]")
                check_shape(f"dy[{row}]", array, (int(t), width))
                padded[row, :t] = array
            return padded.transpose(1, 0, 2)
        array = as_real(dy, self.dtype, "dy")
        if self.form == "unbatched":
            check_shape("dy", array, (T, width))
            return array[:, None]
        if self.form == "batch_first":
            check_shape("dy", array, (N, T, width))
            return array.transpose(1, 0, 2)
        check_shape("dy", array, (T, N, width))
        return array


def read_sequence(
    x: Any,
    input_size: int,
    dtype: np.dtype[Any],
    *,
    batch_first: bool = False,
    lengths: Any = None,
    resets: Any = None,
    own: bool = False,
) -> SequenceInput:
    """Recognise the form of ``x`` and check it, ``lengths`` and ``resets`` against each other.

    A list or tuple is a ragged batch; anything else is taken as one array, two-dimensional (unbatched)
    or three-dimensional, or as the rows of an embedding that stand for one.
    """
    if isinstance(x, (list, tuple)):
        return _read_ragged(x, input_size, dtype, lengths, resets)
    embedded = x if type(x) is Embedded else None
    if embedded is None:
        array = as_real(x, dtype, "x", own=own)
        shape = array.shape
    else:
        array = embedded.ids
        shape = (*array.shape, embedded.table.shape[1])
    if len(shape) not in (2, 3):
        axes = "[N, T, I]" if batch_first else "[T, N, I]"
        raise ValueError(
            f"x must be {axes}, an unbatched [T, I] or a list of arrays [t, I], got shape {shape}"
        )
    if shape[-1] != input_size:
        raise ValueError(f"x must have input_size {input_size} as its last axis, got shape {shape}")
    if len(shape) == 2:
        if lengths is not None:
            raise ValueError("lengths must be None for an unbatched x [T, I]: cut x instead")
        marks = None if resets is None else _read_marks(resets, shape[:1], "resets")[:, None]
        return SequenceInput("unbatched", array[:, None], None, marks, embedded)
    marks = None if resets is None else _read_marks(resets, shape[:2], "resets")
    if batch_first:
        array = array.swapaxes(0, 1)
        marks = None if marks is None else np.ascontiguousarray(marks.T)
    # A copy, since backward needs them as they were.
    rows = None if lengths is None else check_lengths(lengths, *array.shape[:2]).copy()
    return SequenceInput("batch_first" if batch_first else "time_major", array, rows, marks, embedded)


def _read_ragged(
    x: Sequence[Any], input_size: int, dtype: np.dtype[Any], lengths: Any, resets: Any
) -> SequenceInput:
    if lengths is not None:
        raise ValueError("lengths must be None for a list of sequences: their own lengths count")
    arrays = [as_real(entry, dtype, f"x[{row}]") for row, entry in enumerate(x)]
    for row, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != input_size:
            raise ValueError(
                f"x[{row}] must be [t, input_size] with input_size {input_size}, got shape {array.shape}"
            )
    N = len(arrays)
    T = max((array.shape[0] for array in arrays), default=0)
    # Batch-major inside, so that each sequence of the answer is contiguous.
    padded = np.zeros((N, T, input_size), dtype)
    for row, array in enumerate(arrays):
        padded[row, : array.shape[0]] = array
    marks = None
    if resets is not None:
        _check_list(resets, "resets", "one array per sequence")
        if len(resets) != N:
            raise ValueError(f"resets must hold {N} arrays, one per sequence, got {len(resets)}")
        marks = np.zeros((T, N), np.bool_)
        for row, entry in enumerate(resets):
            t = arrays[row].shape[0]
            marks[:t, row] = _read_marks(entry, (t,), f"resets[{row}]")
    rows = np.array([array.shape[0] for array in arrays], np.int64)
    return SequenceInput("ragged", padded.transpose(1, 0, 2), rows, marks)


def _check_list(value: Any, name: str, meaning: str) -> None:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list ({meaning}) since x was one, got {type(value).__name__}")


def _read_marks(resets: Any, shape: tuple[int, ...], name: str) -> Array:
    array = np.asarray(resets)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be a boolean array, got dtype {array.dtype}")
    return check_shape(name, array, shape).copy()
