"""Optimizer steps on single arrays, in place, by the update rules of torch.optim's documentation.

The published methods: momentum and Nesterov, I. Sutskever et al., ICML 2013; RMSprop, T. Tieleman and G.
Hinton, Coursera lecture 6.5, 2012 (centred: A. Graves, arXiv:1308.0850); Adagrad, J. Duchi et al., JMLR 12,
2011; Adam, D. Kingma and J. Ba, ICLR 2015; AdamW, I. Loshchilov and F. Hutter, ICLR 2019.
"""

from __future__ import annotations

import math

import numpy as np

from fastrnn._types import Array

__all__ = ["adagrad_step", "adam_step", "global_norm", "rmsprop_step", "scale_", "sgd_step"]


def global_norm(arrays: list[Array]) -> float:
    """Euclidean norm of all entries of all arrays, accumulated in float64."""
    with np.errstate(all="ignore"):
        return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))


def scale_(arrays: list[Array], factor: float) -> None:
    """Multiply every entry by the factor."""
    with np.errstate(all="ignore"):
        for array in arrays:
            array *= factor


@np.errstate(all="ignore")
def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    first: bool,
) -> None:
    """Momentum: b = momentum b + (1 - dampening) g, b = g at first; p -= lr b.

    Nesterov: p -= lr (g + momentum b). Without a buffer p -= lr g.
    """
    d = grad + weight_decay * param
    if momentum_buffer is not None:
        momentum_buffer[...] = d if first else momentum * momentum_buffer + (1 - dampening) * d
        d = d + momentum * momentum_buffer if nesterov else momentum_buffer
    param -= lr * d


@np.errstate(all="ignore")
def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None,
    grad_avg: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """RMSprop: v = alpha v + (1 - alpha) g^2; p -= lr g / (sqrt(v) + eps).

    Centred: the squared running mean of g is taken off v. Momentum: b = momentum b + the step.
    """
    d = grad + weight_decay * param
    square_avg[...] = alpha * square_avg + (1 - alpha) * d * d
    variance = square_avg
    if grad_avg is not None:
        grad_avg[...] = alpha * grad_avg + (1 - alpha) * d
        # A constant gradient leaves rounding errors of either sign here.
        variance = np.maximum(square_avg - grad_avg * grad_avg, 0)
    d = d / (np.sqrt(variance) + eps)
    if momentum_buffer is not None:
        momentum_buffer[...] = momentum * momentum_buffer + d
        d = momentum_buffer
    param -= lr * d


@np.errstate(all="ignore")
def adagrad_step(
    param: Array, grad: Array, state_sum: Array, lr: float, eps: float, weight_decay: float
) -> None:
    """Adagrad: s = s + g^2; p -= lr g / (sqrt(s) + eps)."""
    d = grad + weight_decay * param
    state_sum += d * d
    param -= lr * d / (np.sqrt(state_sum) + eps)


@np.errstate(all="ignore")
def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """Adam: m and v are running means of g and g^2; p -= lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - beta1^step) and v^ = v / (1 - beta2^step); steps count from 1. `decoupled` is AdamW.
    """
    if decoupled:
        param *= 1 - lr * weight_decay
        d = grad
    else:
        d = grad + weight_decay * param
    exp_avg[...] = beta1 * exp_avg + (1 - beta1) * d
    exp_avg_sq[...] = beta2 * exp_avg_sq + (1 - beta2) * d * d
    denominator = np.sqrt(exp_avg_sq) / math.sqrt(1 - beta2**step) + eps
    param -= lr / (1 - beta1**step) * exp_avg / denominator
