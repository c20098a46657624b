"""Limits on gradients, applied between backward and the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fastrnn import backend
from fastrnn._checks import check_float
from fastrnn.layers.base import Parameter

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients by one factor so that their common Euclidean norm is at most `max_norm`.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    max_norm : float
        More than 0; ``math.inf`` only measures.

    Returns
    -------
    float
        The norm before clipping. If it is NaN or infinite the gradients are left as they are (no factor
        would mend them): check it with ``math.isfinite`` and leave the optimizer's step out.

    Raises
    ------
    ValueError
        If `max_norm` is not positive.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio: On the difficulty of training recurrent neural networks. ICML 2013.

    Examples
    --------
    >>> from fastrnn.clipping import clip_grad_norm
    >>> from fastrnn.layers import Parameter
    >>> p = Parameter([0.0, 0.0])
    >>> p.grad = [3.0, 4.0]
    >>> clip_grad_norm([p], 1.0), p.grad
    (5.0, array([0.6, 0.8]))
    """
    if max_norm != math.inf:
        check_float("max_norm", max_norm, low=0.0, open_low=True)
    grads = [p.grad for p in parameters]
    norm = float(backend.active().global_norm(grads))
    if math.isfinite(norm) and norm > max_norm:
        backend.active().scale_(grads, max_norm / norm)
    return norm


def clip_grad_value(parameters: Iterable[Parameter], max_value: float) -> None:
    """Limit every element of every gradient to ``[-max_value, max_value]``; NaN stays NaN.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    max_value : float
        More than 0.

    Raises
    ------
    ValueError
        If `max_value` is not positive.

    Examples
    --------
    >>> from fastrnn.clipping import clip_grad_value
    >>> from fastrnn.layers import Parameter
    >>> p = Parameter([0.0, 0.0])
    >>> p.grad = [0.5, -4.0]
    >>> clip_grad_value([p], 1.0)
    >>> p.grad
    array([ 0.5, -1. ])
    """
    limit = check_float("max_value", max_value, low=0.0, open_low=True)
    for p in parameters:
        np.clip(p.grad, -limit, limit, out=p.grad)
