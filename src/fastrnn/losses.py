"""Losses: functions that return a value and its gradient.

Every one is called as ``value, gradient = loss(predictions, targets, ...)``: the value is a float, the
gradient an array like the predictions, to be handed to ``model.backward``. The optional ``weight`` says how
much each target counts; with zeros, or as a boolean array, it is a mask. What has weight 0 may hold anything,
NaN too. The mean is the weighted mean: the sum of weighted losses over the sum of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn import backend
from fastrnn._checks import check_choice, check_float, check_float_array, check_int_array, check_probability
from fastrnn._ctc_loss import ctc
from fastrnn._types import Array
from fastrnn.layers.base import as_array

__all__ = ["binary_cross_entropy", "cross_entropy", "ctc", "huber", "mae", "mse", "quantile"]

_REDUCTIONS = ("mean", "sum")


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    class_weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: Any = None,
    reduction: str = "mean",
) -> tuple[float, Array]:
    """Cross-entropy between softmax(logits) and classes, in nats.

    Parameters
    ----------
    logits : array_like, [..., C]
        Floating point.
    targets : array_like of int, [...]
        Classes 0 to C-1, or `ignore_index`.
    class_weight : array_like, [C], optional
        How much each class counts. Default: all the same.
    ignore_index : int, default -100
        Targets of this value count nothing.
    label_smoothing : float, default 0
        Probability, 0 to 1, that is spread evenly over all classes.
    weight : array_like, [...], optional
        How much each target counts, 0 or more; boolean for a mask.
    reduction : {"mean", "sum"}, default "mean"
        The mean divides by the sum of the class weights of the targets times `weight`, as PyTorch does.

    Returns
    -------
    value : float
        0 if no target counts.
    gradient : array, [..., C]
        Of the value with respect to `logits`.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is not a class or a number is out of range.
    TypeError
        If `logits` are not floating point or `targets` not integers.

    References
    ----------
    Label smoothing: C. Szegedy et al.: Rethinking the inception architecture for computer vision. CVPR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import cross_entropy
    >>> value, gradient = cross_entropy(np.zeros((2, 4)), [1, -100])
    >>> round(value, 4)
    1.3863
    >>> gradient
    array([[ 0.25, -0.75,  0.25,  0.25],
           [ 0.  ,  0.  ,  0.  ,  0.  ]])
    """
    check_choice("reduction", reduction, _REDUCTIONS)
    smoothing = check_probability("label_smoothing", label_smoothing)
    x = check_float_array("logits", logits)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"logits must have shape [..., C] with C at least 1, got {x.shape}")
    C = x.shape[-1]
    y = check_int_array("targets", targets, x.shape[:-1]).ravel()
    # Taken as unsigned, negative numbers are the largest: one look settles the usual case.
    if y.size and y.view(np.uint64).max() >= C:
        classes = y[y != ignore_index]
        if classes.size and not (classes.min() >= 0 and classes.max() < C):
            bad = classes.min() if classes.min() < 0 else classes.max()
            raise ValueError(f"targets must lie in 0..{C - 1} or be ignore_index {ignore_index}, got {bad}")
    per_class = None
    if class_weight is not None:
        per_class = _weights("class_weight", class_weight, (C,), x.dtype)
    rows = np.ascontiguousarray(x.reshape(-1, C))
    if weight is None:
        compute = backend.active().cross_entropy
        total, count, gradient = compute(rows, y, per_class, ignore_index, smoothing)
    else:
        w = _weights("weight", weight, x.shape[:-1], x.dtype).ravel()
        total, count, gradient = _weighted_cross_entropy(rows, y, w, per_class, ignore_index, smoothing)
    if reduction == "mean":
        total = total / count if count else 0.0
        backend.active().scale_([gradient], 1.0 / count if count else 0.0)
    return float(total), gradient.reshape(x.shape)


def binary_cross_entropy(
    logits: Any, targets: Any, *, pos_weight: Any = None, weight: Any = None, reduction: str = "mean"
) -> tuple[float, Array]:
    """Cross-entropy between sigmoid(logits) and probabilities, element by element, in nats.

    Parameters
    ----------
    logits : array_like, [...]
        Floating point.
    targets : array_like, [...]
        Probabilities 0 to 1; booleans and integers 0 and 1 too.
    pos_weight : float or array_like broadcastable to [...], optional
        How much more the positive targets count than the negative ones, 0 or more. Default: 1.
    weight : array_like, optional
        How much each target counts, 0 or more; boolean for a mask. Its shape is that of `targets` or of their
        first axes.
    reduction : {"mean", "sum"}, default "mean"
        The mean divides by the sum of `weight`.

    Returns
    -------
    value : float
        0 if no target counts.
    gradient : array, [...]
        Of the value with respect to `logits`.

    Raises
    ------
    ValueError
        If shapes do not fit, or a target that counts is not in [0, 1].
    TypeError
        If `logits` are not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import binary_cross_entropy
    >>> value, gradient = binary_cross_entropy(np.zeros(2), [True, False])
    >>> round(value, 4), gradient
    (0.6931, array([-0.25,  0.25]))
    """
    x, y, w = _pair("logits", logits, targets, weight)
    if y.size and not (y.min() >= 0 and y.max() <= 1):
        raise ValueError(f"targets must lie in 0..1, got values from {y.min()} to {y.max()}")
    positive = y if pos_weight is None else y * _weights("pos_weight", pos_weight, None, x.dtype)
    if positive.shape != x.shape:
        raise ValueError(f"pos_weight must be broadcastable to {x.shape}, got shape {np.shape(pos_weight)}")
    # loss = positive * softplus(-x) + (1 - y) * softplus(x), each with its exp of what is negative only
    tail = np.exp(-np.abs(x))
    log_tail = np.log1p(tail)
    losses = positive * (np.maximum(-x, 0) + log_tail) + (1 - y) * (np.maximum(x, 0) + log_tail)
    sigmoid = np.where(x >= 0, 1, tail) / (1 + tail)
    complement = np.where(x >= 0, tail, 1) / (1 + tail)
    return _reduce(losses, (1 - y) * sigmoid - positive * complement, w, reduction)


def mse(
    predictions: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> tuple[float, Array]:
    """Mean squared error.

    Parameters
    ----------
    predictions : array_like, [...]
        Floating point.
    targets : array_like, [...]
        Same shape.
    weight : array_like, optional
        How much each target counts, 0 or more; boolean for a mask. Its shape is that of `targets` or of their
        first axes.
    reduction : {"mean", "sum"}, default "mean"
        The mean divides by the sum of `weight`.

    Returns
    -------
    value : float
        In squared units of the targets; 0 if no target counts.
    gradient : array, [...]
        Of the value with respect to `predictions`.

    Raises
    ------
    ValueError
        If shapes do not fit.
    TypeError
        If `predictions` are not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import mse
    >>> mse(np.array([1.0, 2.0]), [0.0, np.nan], weight=[True, False])
    (1.0, array([2., 0.]))
    """
    x, y, w = _pair("predictions", predictions, targets, weight)
    d = x - y
    return _reduce(d * d, 2 * d, w, reduction)


def mae(
    predictions: Any, targets: Any, *, weight: Any = None, reduction: str = "mean"
) -> tuple[float, Array]:
    """Mean absolute error; its gradient is taken as 0 where there is no error.

    Parameters
    ----------
    predictions, targets, weight, reduction
        As in `mse`.

    Returns
    -------
    value : float
        In units of the targets; 0 if no target counts.
    gradient : array, [...]
        Of the value with respect to `predictions`.

    Raises
    ------
    ValueError
        If shapes do not fit.
    TypeError
        If `predictions` are not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import mae
    >>> mae(np.array([1.0, 2.0]), [0.0, 5.0])
    (2.0, array([ 0.5, -0.5]))
    """
    x, y, w = _pair("predictions", predictions, targets, weight)
    d = x - y
    return _reduce(np.abs(d), np.sign(d), w, reduction)


def huber(
    predictions: Any, targets: Any, *, delta: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> tuple[float, Array]:
    """Half the squared error up to `delta`, linear beyond: ``delta * (|d| - delta / 2)``.

    Parameters
    ----------
    predictions, targets, weight, reduction
        As in `mse`.
    delta : float, default 1
        More than 0, in units of the targets.

    Returns
    -------
    value : float
        In squared units of the targets; 0 if no target counts.
    gradient : array, [...]
        Of the value with respect to `predictions`.

    Raises
    ------
    ValueError
        If shapes do not fit or `delta` is not positive.
    TypeError
        If `predictions` are not floating point.

    References
    ----------
    P. Huber: Robust estimation of a location parameter. Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import huber
    >>> huber(np.array([0.5, 3.0]), [0.0, 0.0], reduction="sum")
    (2.625, array([0.5, 1. ]))
    """
    limit = check_float("delta", delta, low=0.0, open_low=True)
    x, y, w = _pair("predictions", predictions, targets, weight)
    d = x - y
    clipped = np.clip(d, -limit, limit)
    return _reduce(clipped * (d - clipped / 2), clipped, w, reduction)


def quantile(
    predictions: Any,
    targets: Any,
    *,
    quantiles: float | Sequence[float] = 0.5,
    weight: Any = None,
    reduction: str = "mean",
) -> tuple[float, Array]:
    """Pinball loss, least where the prediction is the quantile of the targets.

    ``max(q * d, (q - 1) * d)`` with ``d = target - prediction``; its gradient is taken as 0 where d is 0.

    Parameters
    ----------
    predictions : array_like, [..., Q], or [...] if `quantiles` is a single number
        Floating point.
    targets : array_like, [...]
        One for all quantiles.
    quantiles : float or sequence of Q floats, default 0.5
        Each between 0 and 1.
    weight, reduction
        As in `mse`; the mean is also that over the quantiles.

    Returns
    -------
    value : float
        In units of the targets; 0 if no target counts.
    gradient : array
        Of the value with respect to `predictions`, in their shape.

    Raises
    ------
    ValueError
        If shapes do not fit or a quantile is not between 0 and 1.
    TypeError
        If `predictions` are not floating point.

    References
    ----------
    R. Koenker, G. Bassett: Regression quantiles. Econometrica 46, 1978.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import quantile
    >>> quantile(np.array([[1.0, 4.0]]), [3.0], quantiles=[0.25, 0.75], reduction="sum")
    (0.75, array([[-0.25,  0.25]]))
    """
    x = check_float_array("predictions", predictions)
    y = as_array(targets, "targets")
    levels = np.asarray(quantiles, dtype=x.dtype)
    if levels.ndim > 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, got {quantiles!r}")
    if levels.ndim:
        if x.shape != (*y.shape, levels.size):
            raise ValueError(f"predictions must have shape {(*y.shape, levels.size)}, got {x.shape}")
        y = np.broadcast_to(y[..., None], x.shape)
    x, y, w = _pair("predictions", x, y, weight)
    d = y - x
    slope = np.where(d > 0, levels, levels - 1)
    return _reduce(slope * d, np.where(d == 0, 0, -slope), w, reduction)


def _weights(name: str, value: Any, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> Array:
    """`value` as finite numbers of at least 0, of the given shape if there is one."""
    array = as_array(value, name).astype(dtype)
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"{name} must be finite and at least 0, got values from {array.min()} to {array.max()}"
        )
    return array


def _pair(name: str, predictions: Any, targets: Any, weight: Any) -> tuple[Array, Array, Array | None]:
    """Predictions, targets and weights in one shape and dtype; what has weight 0 becomes 0."""
    x = check_float_array(name, predictions)
    y = as_array(targets, "targets").astype(x.dtype)
    if y.shape != x.shape:
        raise ValueError(f"targets must have the shape {x.shape} of {name}, got {y.shape}")
    if weight is None:
        return x, y, None
    w = as_array(weight, "weight")
    if w.shape != x.shape[: w.ndim]:
        raise ValueError(f"weight must have the shape {x.shape} or that of its first axes, got {w.shape}")
    w = _weights("weight", w, None, x.dtype).reshape(w.shape + (1,) * (x.ndim - w.ndim))
    w = np.broadcast_to(w, x.shape)
    return np.where(w != 0, x, 0), np.where(w != 0, y, 0), w


def _reduce(losses: Array, gradient: Array, weight: Array | None, reduction: str) -> tuple[float, Array]:
    check_choice("reduction", reduction, _REDUCTIONS)
    count = float(losses.size)
    if weight is not None:
        losses, gradient = losses * weight, gradient * weight
        count = float(weight.sum(dtype=np.float64))
    total = float(losses.sum(dtype=np.float64))
    if reduction == "sum":
        return total, gradient
    if count == 0:
        return 0.0, np.zeros_like(gradient)
    return total / count, gradient / gradient.dtype.type(count)


def _weighted_cross_entropy(
    logits: Array,
    targets: Array,
    weight: Array,
    class_weight: Array | None,
    ignore_index: int,
    smoothing: float,
) -> tuple[float, float, Array]:
    """What the backends' cross_entropy returns, with a weight for each row, which they do not know."""
    M, C = logits.shape
    live = (targets != ignore_index) & (weight != 0)
    # Rows that do not count may hold NaN.
    logits = np.where(live[:, None], logits, 0)
    ignored = np.where(live, targets, ignore_index)
    _, _, gradient = backend.active().cross_entropy(logits, ignored, class_weight, ignore_index, smoothing)
    per_class = np.ones(C, logits.dtype) if class_weight is None else class_weight
    y = np.where(live, targets, 0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    hard = per_class[y] * log_p[np.arange(M), y]
    losses = -(1 - smoothing) * hard - smoothing / C * (per_class * log_p).sum(axis=1)
    w = np.where(live, weight, 0)
    gradient *= w[:, None]
    total, count = (w * losses).sum(dtype=np.float64), (w * per_class[y]).sum(dtype=np.float64)
    return float(total), float(count), gradient
