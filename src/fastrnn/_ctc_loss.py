"""Connectionist temporal classification as a loss: what users pass in, checked for the backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import backend
from fastrnn._checks import check_bool, check_choice, check_float_array, check_int, check_int_array
from fastrnn._types import Array

__all__ = ["ctc", "needed_steps"]

_PADDING = -100  # as in fastrnn.data


def ctc(
    logits: Any,
    targets: Any,
    input_lengths: Any = None,
    target_lengths: Any = None,
    *,
    blank: int = 0,
    weight: Any = None,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> tuple[float, Array]:
    """Connectionist temporal classification: labels that are not aligned with the steps, in nats.

    The network says a class, or the blank, at every step; what it says reads as a sequence of labels once
    repeated classes are merged and then blanks removed. The loss is ``-log`` of the probability, under
    softmax(logits), that this gives the target, whichever way it comes about.

    Parameters
    ----------
    logits : array_like, [T, N, C]
        Floating point. Not logarithms of probabilities, although these are logits too.
    targets : sequence of N sequences of int, or array_like of int, [N, L]
        Labels, 0 to C-1 without `blank`. An array is padded with -100 at the end, or with anything where
        there are `target_lengths`. A target may be empty.
    input_lengths : array_like of int, [N], optional
        Valid steps of each row. Default: T.
    target_lengths : array_like of int, [N], optional
        Labels of each row. Default: all of them.
    blank : int, default 0
        The class that stands for no label.
    weight : array_like, [N], optional
        How much each row counts, 0 or more; boolean for a mask.
    reduction : {"mean", "sum"}, default "mean"
        The mean takes the loss of each row per label, and averages that over the rows, as PyTorch does; with
        `weight`, it is the weighted mean.
    zero_infinity : bool, default False
        Let a target that is too long for its row count as a loss of 0 without a gradient, instead of raising
        an error.

    Returns
    -------
    value : float
    gradient : array, [T, N, C]
        Of the value with respect to `logits`; 0 past an input length.

    Raises
    ------
    ValueError
        If shapes do not fit, a label is none of the classes or is the blank, a number is out of range, or a
        target has the probability 0: it has more labels than its row has steps (equal neighbours need a blank
        between them), or logits of minus infinity exclude it.
    TypeError
        If `logits` are not floating point or `targets` not integers.

    References
    ----------
    A. Graves, S. Fernández, F. Gomez, J. Schmidhuber: Connectionist temporal classification: labelling
    unsegmented sequence data with recurrent neural networks. ICML 2006.

    Examples
    --------
    One label in two steps, of two classes and the blank: three of nine alignments read ``[1]``, which are
    ``1 1``, ``1 -`` and ``- 1``.

    >>> import numpy as np
    >>> from fastrnn.losses import ctc
    >>> value, gradient = ctc(np.zeros((2, 1, 3)), [[1]])
    >>> round(float(np.exp(-value)), 4)
    0.3333
    >>> gradient[0, 0].round(4)
    array([ 0.    , -0.3333,  0.3333])
    """
    check_choice("reduction", reduction, ("mean", "sum"))
    check_bool("zero_infinity", zero_infinity)
    x = check_float_array("logits", logits, ("T", "N", "C"))
    T, N, C = x.shape
    if C == 0:
        raise ValueError(f"logits must have shape (T, N, C) with C at least 1, got {x.shape}")
    blank = check_int("blank", blank, low=0, high=C - 1)
    labels, counts = _padded(targets, target_lengths, N, C, blank)
    steps = np.full(N, T) if input_lengths is None else input_lengths
    steps = check_int_array("input_lengths", steps, (N,), low=0, high=T)
    factors = _factors(weight, N)
    counted = float(factors.sum())
    if reduction == "mean":
        factors = factors / np.maximum(counts, 1) / (counted or 1.0)
    losses, gradient = backend.active().ctc(x, labels, steps, counts, blank, factors)
    infinite = np.isposinf(losses)
    if infinite.any() and not zero_infinity:
        _explain(int(infinite.argmax()), labels, counts, steps)
    losses = np.where(infinite, 0, losses)
    return float(losses @ factors), gradient


def needed_steps(labels: NDArray[np.int64]) -> int:
    """Steps that these labels, [L], take at least: one each, and a blank between equal neighbours."""
    return len(labels) + int(np.count_nonzero(labels[1:] == labels[:-1]))


def _explain(row: int, labels: Array, counts: Array, steps: Array) -> None:
    target = labels[row, : counts[row]]
    needed = needed_steps(target)
    if needed > steps[row]:
        raise ValueError(
            f"targets[{row}] is too long for its row: {len(target)} labels take at least {needed} steps "
            f"(equal neighbours have a blank between them), and the row has {steps[row]}. Leave it out, "
            "or let it count nothing with zero_infinity=True"
        )
    raise ValueError(f"targets[{row}] has the probability 0: logits of row {row} exclude all its alignments")


def _factors(weight: Any, N: int) -> NDArray[np.float64]:
    if weight is None:
        return np.ones(N)
    array = np.asarray(weight)
    if array.shape != (N,) or array.dtype.kind not in "fiub":
        raise ValueError(f"weight must hold {N} numbers, got shape {array.shape} of {array.dtype}")
    factors = array.astype(np.float64)
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"weight must be finite and at least 0, got values from {array.min()} to {array.max()}"
        )
    return factors


def _padded(
    targets: Any, target_lengths: Any, N: int, C: int, blank: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels in one array [N, L], and how many each row has."""
    if isinstance(targets, Sequence) and not _is_rectangular(targets):
        rows = [check_int_array(f"targets[{n}]", row, ("L",)) for n, row in enumerate(targets)]
        labels = np.full((len(rows), max(map(len, rows), default=0)), _PADDING)
        for n, row in enumerate(rows):
            labels[n, : len(row)] = row
        lengths = np.array([len(row) for row in rows], np.int64) if target_lengths is None else target_lengths
    else:
        labels = check_int_array("targets", targets, ("N", "L"))
        lengths = target_lengths
    if len(labels) != N:
        raise ValueError(f"targets must be as many as logits have rows, {N}; got {len(labels)}")
    L = labels.shape[1]
    if lengths is None:
        used = labels != _PADDING
        lengths = used.sum(axis=1)
        if (used[:, 1:] > used[:, :-1]).any():
            raise ValueError(f"targets may be padded with {_PADDING} at the end, and not between labels")
    counts = check_int_array("target_lengths", lengths, (N,), low=0, high=L)
    used = np.arange(L) < counts[:, None]
    wrong = used & ((labels < 0) | (labels >= C) | (labels == blank))
    if wrong.any():
        bad = labels[wrong][0]
        reason = "which is the blank" if bad == blank else "which is none"
        raise ValueError(
            f"targets must hold classes 0..{C - 1} other than blank={blank}; got {bad}, {reason}"
        )
    return np.ascontiguousarray(labels), counts


def _is_rectangular(targets: Sequence[Any]) -> bool:
    """Whether NumPy would make one array [N, L] of it."""
    shapes = {np.shape(row) for row in targets if not isinstance(row, (list, tuple))}
    shapes |= {(len(row),) for row in targets if isinstance(row, (list, tuple))}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1 and next(iter(shapes)) != (0,)
