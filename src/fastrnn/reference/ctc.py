"""Connectionist temporal classification (A. Graves et al., ICML 2006): the loss, and its gradient.

The states of a row with labels l are its labels with blanks around them, S = 2L + 1 of them, and

    log alpha_t(s) = log p_t(s) + logsumexp(log alpha_{t-1} of s, s-1, and s-2 if its label is another)
    log P = logsumexp(log alpha_T of the last two states),   loss = -log P
    dlogit_t(c) = p_t(c) - sum over states s of class c of alpha_t(s) beta_t(s) / P

with beta_t(s), the probability of the labels that are left after step t in state s, by the same recursion from
the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array

__all__ = ["ctc"]


def ctc(
    logits: Array,
    targets: NDArray[np.int64],
    input_lengths: NDArray[np.int64],
    target_lengths: NDArray[np.int64],
    blank: int = 0,
    row_weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], Array]:
    """Return the loss of each row, [N], and the gradient of their weighted sum, [T, N, C] as the logits.

    A row without any alignment has an infinite loss and no gradient; a row of weight 0 has neither.
    """
    T, N, C = logits.shape
    if not 0 <= blank < C:
        raise IndexError(f"blank must be in 0..{C - 1}, got {blank}")
    for name, values, high in (("input_lengths", input_lengths, T), ("target_lengths", target_lengths, None)):
        most = targets.shape[1] if high is None else high
        if values.size and not (values.min() >= 0 and values.max() <= most):
            raise IndexError(f"{name} must be in 0..{most}, got {values.min()}..{values.max()}")
    losses, dlogits = np.zeros(N), np.zeros_like(logits)
    for n in range(N):
        weight = 1.0 if row_weight is None else row_weight[n]
        labels = targets[n, : target_lengths[n]]
        if labels.size and not ((labels >= 0) & (labels < C) & (labels != blank)).all():
            raise IndexError(
                f"targets must be in 0..{C - 1} and not blank {blank}, got {labels.min()}..{labels.max()}"
            )
        if weight != 0:
            losses[n], gradient = _row(logits[: input_lengths[n], n], labels, blank)
            dlogits[: input_lengths[n], n] = weight * gradient
    return losses, dlogits


def _row(logits: Array, labels: Array, blank: int) -> tuple[float, Array]:
    steps = len(logits)
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    skips = np.zeros(len(states), bool)
    skips[3::2] = labels[1:] != labels[:-1]
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        if np.isnan(log_p).any():
            return np.nan, np.full_like(logits, np.nan)
        emitted = log_p[:, states]
        alpha = _recursion(emitted, skips)
        # From the end, the states are those of the reversed labels.
        reversed_skips = np.concatenate([skips[:2], skips[:1:-1]])
        beta = _recursion(emitted[::-1, ::-1], reversed_skips)[::-1, ::-1]
        if not steps:
            return (0.0 if not len(labels) else np.inf), logits
        total = np.logaddexp.reduce(alpha[-1, -2:])
        if total == -np.inf:
            return np.inf, np.zeros_like(logits)
        # Both hold the emission of step t.
        share = np.exp(alpha + beta - np.where(emitted == -np.inf, 0, emitted) - total)
        gradient = np.exp(log_p)
        np.subtract.at(gradient, (np.arange(steps)[:, None], states), share)
    return float(-total), gradient


def _recursion(emitted: Array, skips: Array) -> Array:
    """Log alpha, [T, S], from log p, [T, S], and where a state may follow the one two before it."""
    alpha = np.full_like(emitted, -np.inf)
    if len(alpha):
        alpha[0, :2] = emitted[0, :2]
    for t in range(1, len(alpha)):
        before = alpha[t - 1].copy()
        before[1:] = np.logaddexp(before[1:], alpha[t - 1, :-1])
        before[2:] = np.where(skips[2:], np.logaddexp(before[2:], alpha[t - 1, :-2]), before[2:])
        alpha[t] = emitted[t] + before
    return alpha
