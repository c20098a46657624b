"""Classes as targets: their encoding, weights, a stratified split, and calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from fastrnn._types import Array

__all__ = [
    "calibrating_temperature",
    "check_labels",
    "check_sequence_labels",
    "class_weights",
    "classes_from_dict",
    "classes_to_dict",
    "encode_classes",
    "held_out_count",
    "hold_out",
    "label_sequences",
]

_LEAST_HELD_OUT = 10  # rows: with fewer the best epoch is a matter of luck


def check_labels(y: Any, rows: int) -> NDArray[Any]:
    """Labels as an array of one type, ``[rows]``.

    Raises
    ------
    ValueError
        If `y` is missing, has not `rows` entries, or holds missing or infinite values or several types.
    """
    if y is None:
        raise ValueError(
            "y must hold the class of every row: requires y to be passed, but the target y is None"
        )
    labels: NDArray[Any] = column_or_1d(y, warn=True)
    if len(labels) != rows:
        raise ValueError(f"y must have as many entries as X has rows, {rows}; got {len(labels)}")
    missing = [i for i, label in enumerate(labels) if label is None or label != label]
    if missing:
        raise ValueError(f"y must not hold missing values: y[{missing[0]}] is {labels[missing[0]]!r} (NaN)")
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError(f"y must hold classes: y[{np.isinf(labels).argmax()}] is infinite (inf)")
    if labels.dtype.kind in ("O", "T"):
        kinds = sorted({type(label).__name__ for label in labels})
        if len(kinds) > 1:
            raise ValueError(f"y must hold labels of one type, got {', '.join(kinds)}")
        labels = np.asarray(labels.tolist())
    return labels


def check_sequence_labels(sequences: Sequence[Any]) -> NDArray[Any]:
    """Labels of all sequences, one after the other, as an array of one type.

    Raises
    ------
    ValueError
        If labels are missing, infinite or of several types.
    """
    labels = [label for one in sequences for label in one]
    kinds = {type(label) for label in labels if not isinstance(label, (np.generic, str))}
    if len(kinds) > 1 or (kinds and any(isinstance(label, str) for label in labels)):
        names = sorted({type(label).__name__ for label in labels})
        raise ValueError(f"y must hold labels of one type, got {', '.join(names)}")
    return check_labels(np.asarray(labels), len(labels))


def label_sequences(y: Any, count: int) -> list[Any]:
    """The label sequences that `y` holds, as they were given.

    Raises
    ------
    ValueError, TypeError
        If `y` is missing, no list of label sequences, or has not `count` of them.
    """
    if y is None:
        raise ValueError(
            "y must hold a label sequence for each: requires y to be passed, but the target y is None"
        )
    if isinstance(y, (str, bytes, Mapping)) or not hasattr(y, "__len__"):
        raise TypeError(f"y must be a list of label sequences, got {type(y).__name__}")
    given = list(y)
    if len(given) != count:
        raise ValueError(f"y must have as many entries as X has sequences, {count}; got {len(given)}")
    for i, labels in enumerate(given):
        if not isinstance(labels, (str, list, tuple, np.ndarray)) and not hasattr(labels, "to_numpy"):
            raise TypeError(f"y[{i}] must be a label sequence, got {labels!r}")
    return given


def encode_classes(y: Any, rows: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sorted classes, and the index of each target in them.

    Raises
    ------
    ValueError
        If `y` is missing, has not `rows` entries, holds missing values, or only one class.
    """
    labels = check_labels(y, rows)
    check_classification_targets(labels)
    classes, indices = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got one class: {classes.tolist()}")
    return classes, indices.astype(np.int64)


def classes_to_dict(classes: NDArray[Any]) -> dict[str, Any]:
    """Classes in types that JSON has."""
    return {"dtype": classes.dtype.str, "labels": classes.tolist()}


def classes_from_dict(content: Mapping[str, Any]) -> NDArray[Any]:
    """Classes that `classes_to_dict` described."""
    return np.array(content["labels"], np.dtype(content["dtype"]))


def class_weights(
    class_weight: str | Mapping[Any, float] | None, classes: NDArray[Any], indices: NDArray[np.int64]
) -> Array | None:
    """Weight of each class in the loss, or None if all are alike.

    Raises
    ------
    ValueError
        If `class_weight` is not None, ``"balanced"`` or a mapping from known classes to numbers.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not a class of y: {classes.tolist()}"
            )
    elif class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a mapping or None, got {class_weight!r}")
    given = dict(class_weight) if isinstance(class_weight, Mapping) else class_weight
    weights = compute_class_weight(given, classes=classes, y=classes[indices])
    return np.asarray(weights, np.float32)


def held_out_count(rows: int, fraction: float) -> int:
    """How many rows `hold_out` holds out."""
    count = round(fraction * rows)
    return count if count >= _LEAST_HELD_OUT else 0


def hold_out(
    rows: int, fraction: float, seed: int, classes: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out, both sorted; none are held out if they would be under ten.

    With `classes`, each is held out in its proportion, as far as each has two rows.
    """
    everything = np.arange(rows)
    count = held_out_count(rows, fraction)
    if not count:
        return everything, everything[:0]
    if classes is not None:
        sizes = np.bincount(classes)
        kinds = np.count_nonzero(sizes)
        if sizes[sizes > 0].min() < 2 or count < kinds or rows - count < kinds:
            classes = None
    train, held_out = train_test_split(everything, test_size=count, random_state=seed, stratify=classes)
    return np.sort(train), np.sort(held_out)


def calibrating_temperature(logits: Array, indices: NDArray[np.int64]) -> float:
    """Number that logits are divided by for their softmax to be calibrated probabilities [1]_.

    References
    ----------
    .. [1] C. Guo et al.: On calibration of modern neural networks. ICML 2017.
    """
    rows, exact = np.arange(len(indices)), logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / np.exp(log_temperature), axis=1)[rows, indices].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
