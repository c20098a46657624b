"""Connectionist temporal classification (A. Graves et al., ICML 2006): the loss, and its gradient.

The states of a row with labels l are its labels with blanks around them, S = 2L + 1 of them, and

    log alpha_t(s) = log p_t(s) + logsumexp(log alpha_{t-1} of s, s-1, and s-2 if its label is another)
    log P = logsumexp(log alpha_T of the last two states),   loss = -log P
    dlogit_t(c) = p_t(c) - sum over states s of class c of alpha_t(s) beta_t(s) / P

with beta_t(s), the probability of the labels that are left after step t in state s, by the same recursion
from the end.

Decoding by prefix beam search (A. Graves, N. Jaitly, ICML 2014; A. Hannun et al., arXiv:1408.2873).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array

__all__ = ["ctc", "ctc_beam"]


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


def ctc_beam(
    logits: Array,
    lengths: NDArray[np.int64],
    beam_width: int,
    blank: int = 0,
    n_best: int = 1,
    transition: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the best labels of each row, [N, n_best, T], their counts, and scores, [N, n_best]."""
    T, N, C = logits.shape
    if not 0 <= blank < C:
        raise IndexError(f"blank must be in 0..{C - 1}, got {blank}")
    if lengths.size and not (lengths.min() >= 0 and lengths.max() <= T):
        raise IndexError(f"lengths must be in 0..{T}, got {lengths.min()}..{lengths.max()}")
    if not 1 <= n_best <= beam_width:
        raise ValueError(
            f"n_best and beam_width must be 1 <= n_best <= beam_width, got {n_best}, {beam_width}"
        )
    transition = np.zeros((C, C)) if transition is None else transition
    labels = np.zeros((N, n_best, T), np.int64)
    counts, scores = np.full((N, n_best), -1), np.full((N, n_best), -np.inf)
    for n in range(N):
        with np.errstate(all="ignore"):
            x = logits[: lengths[n], n].astype(np.float64)
            log_p = x - np.logaddexp.reduce(x, axis=1, keepdims=True)
            found = _search(log_p, beam_width, blank, transition)
        for k, (prefix, score) in enumerate(found[:n_best]):
            labels[n, k, : len(prefix)] = prefix
            counts[n, k], scores[n, k] = len(prefix), score
    return labels, counts, scores


def _search(
    log_p: Array, beam_width: int, blank: int, transition: NDArray[np.float64]
) -> list[tuple[tuple[int, ...], float]]:
    """Prefixes and their scores, the best first."""
    none = (-np.inf, -np.inf)
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}  # ending in blank, or in a label
    for p in log_p:
        found: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (ends_blank, ends_label) in beam.items():
            last = prefix[-1] if prefix else blank
            either = np.logaddexp(ends_blank, ends_label)
            before = found.get(prefix, none)
            stays = ends_label + p[last] if prefix else -np.inf
            found[prefix] = (np.logaddexp(before[0], either + p[blank]), np.logaddexp(before[1], stays))
            for c in range(len(p)):
                if c != blank:
                    before = found.get((*prefix, c), none)
                    given = (ends_blank if c == last else either) + p[c] + transition[last, c]
                    found[(*prefix, c)] = (before[0], np.logaddexp(before[1], given))
        best = sorted(found.items(), key=lambda item: -np.logaddexp(*item[1]))[:beam_width]
        beam = {prefix: ends for prefix, ends in best if np.logaddexp(*ends) > -np.inf}
    return [(prefix, float(np.logaddexp(*ends))) for prefix, ends in beam.items()]
