"""From what a network says at each step to labels: decoding for connectionist temporal classification.

The logits are those that :func:`fastrnn.losses.ctc` trains: what is said reads as labels once repeated
classes are merged and then blanks removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import backend
from fastrnn._checks import check_float, check_float_array, check_int, check_lengths, check_positive_int
from fastrnn._types import Array

__all__ = ["ctc_beam", "ctc_greedy", "ctc_n_best"]

_MOST_BEAM = 10_000


def ctc_greedy(
    logits: Any, lengths: Any = None, *, blank: int = 0
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Labels that the most likely class of each step reads as.

    Parameters
    ----------
    logits : array_like, [T, N, C]
        Floating point.
    lengths : array_like of int, [N], optional
        Valid steps of each row. Default: T.
    blank : int, default 0
        The class that stands for no label.

    Returns
    -------
    sequences : list of N int64 arrays
    log_probabilities : float64 array, [N]
        Of the most likely alignment of each row, in nats: at most that of its labels.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is out of range or a logit is NaN or infinite.
    TypeError
        If `logits` are not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decoding import ctc_greedy
    >>> said = [1, 1, 0, 1, 2]
    >>> sequences, log_probabilities = ctc_greedy(np.log(0.7 * np.eye(3)[said] + 0.1)[:, None])
    >>> sequences, log_probabilities.round(3)
    ([array([1, 1, 2])], array([-1.116]))
    """
    x, steps, blank = _checked(logits, lengths, blank)
    T, N, _ = x.shape
    said = x.argmax(axis=2)
    largest = np.take_along_axis(x, said[:, :, None], axis=2).astype(np.float64)
    likelihood = -np.log(np.exp(x - largest).sum(axis=2, dtype=np.float64))
    valid = np.arange(T)[:, None] < steps
    kept = (said != blank) & valid
    kept[1:] &= said[1:] != said[:-1]
    return [said[kept[:, n], n] for n in range(N)], np.where(valid, likelihood, 0).sum(axis=0)


def ctc_beam(
    logits: Any,
    lengths: Any = None,
    *,
    blank: int = 0,
    beam_width: int = 16,
    lm: Any = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Labels with the highest probability, summed over all their alignments: prefix beam search [1]_ [2]_.

    Parameters
    ----------
    logits, lengths, blank
        As for `ctc_greedy`.
    beam_width : int, default 16
        Prefixes that are kept at each step. With more, what is found is more often the best there is.
    lm : array_like, [C, C], optional
        Language model: natural logarithms of the probability of each label (column) after each other one
        (row; row `blank` has those of the first label; column `blank` is not read). Minus
        infinity forbids a pair.
    alpha : float, default 1.0
        Weight of `lm`, 0 or more.
    beta : float, default 0.0
        Added to the score for each label, against the preference of language models for few of them.

    Returns
    -------
    sequences : list of N int64 arrays
    scores : float64 array, [N]
        ``log P(labels | logits) + alpha * log P(labels by lm) + beta * len(labels)``, the first term summed
        over the alignments that were kept. If `lm` forbids everything, minus infinity, with no labels.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is out of range or a logit is NaN or infinite.
    TypeError
        If `logits` are not floating point.

    References
    ----------
    .. [1] A. Graves, N. Jaitly: Towards end-to-end speech recognition with recurrent neural networks.
       ICML 2014.
    .. [2] A. Hannun, A. Maas, D. Jurafsky, A. Ng: First-pass large vocabulary continuous speech recognition
       using bi-directional recurrent DNNs. arXiv:1408.2873, 2014.

    Examples
    --------
    Blank is the most likely class of either step, but three alignments together make 1 the likeliest reading:

    >>> import numpy as np
    >>> from fastrnn.decoding import ctc_beam, ctc_greedy
    >>> logits = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])
    >>> ctc_greedy(logits)[0], ctc_beam(logits)[0]
    ([array([], dtype=int64)], [array([1])])
    >>> np.exp(ctc_beam(logits)[1]).round(2)
    array([0.64])
    """
    found = ctc_n_best(logits, 1, lengths, blank=blank, beam_width=beam_width, lm=lm, alpha=alpha, beta=beta)
    best = [row[0] if row else (np.zeros(0, np.int64), -np.inf) for row in found]
    return [labels for labels, _ in best], np.array([score for _, score in best], np.float64)


def ctc_n_best(
    logits: Any,
    n_best: int,
    lengths: Any = None,
    *,
    blank: int = 0,
    beam_width: int = 16,
    lm: Any = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> list[list[tuple[NDArray[np.int64], float]]]:
    """Give several readings of each row, for example to let a larger language model choose.

    Parameters
    ----------
    n_best : int
        Readings of a row, at most `beam_width`.
    logits, lengths, blank, beam_width, lm, alpha, beta
        As for `ctc_beam`.

    Returns
    -------
    list of N lists of (int64 array, float)
        Labels and scores, the best first; fewer than `n_best` where there are no more.

    Raises
    ------
    ValueError, TypeError
        As `ctc_beam`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decoding import ctc_n_best
    >>> logits = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])
    >>> [(labels.tolist(), round(float(np.exp(score)), 2)) for labels, score in ctc_n_best(logits, 3)[0]]
    [([1], 0.64), ([], 0.36)]
    """
    x, steps, blank = _checked(logits, lengths, blank)
    check_positive_int("beam_width", beam_width)
    if beam_width > _MOST_BEAM:
        raise ValueError(f"beam_width must be at most {_MOST_BEAM:,}, got {beam_width}")
    check_int("n_best", n_best, low=1, high=beam_width)
    transition = _transition(lm, alpha, beta, x.shape[2])
    labels, counts, scores = backend.active().ctc_beam(x, steps, beam_width, blank, n_best, transition)
    return [
        [
            (labels[n, k, : counts[n, k]].copy(), float(scores[n, k]))
            for k in range(n_best)
            if counts[n, k] >= 0
        ]
        for n in range(len(steps))
    ]


def _checked(logits: Any, lengths: Any, blank: Any) -> tuple[Array, NDArray[np.int64], int]:
    x = check_float_array("logits", logits, ("T", "N", "C"))
    T, N, C = x.shape
    if C == 0:
        raise ValueError(f"logits must have shape (T, N, C) with C at least 1, got {x.shape}")
    steps = check_lengths(np.full(N, T) if lengths is None else lengths, T, N)
    if not np.isfinite(x).all():
        valid = np.isfinite(x).all(axis=2) | (np.arange(T)[:, None] >= steps)
        if not valid.all():
            t, n = np.argwhere(~valid)[0]
            raise ValueError(f"logits must be finite, got NaN or infinity at step {t} of row {n}")
        x = np.where(np.isfinite(x), x, 0)
    return x, steps, check_int("blank", blank, low=0, high=C - 1)


def _transition(lm: Any, alpha: Any, beta: Any, C: int) -> NDArray[np.float64] | None:
    weight = check_float("alpha", alpha, low=0.0)
    bonus = check_float("beta", beta)
    if lm is None:
        return np.full((C, C), bonus) if bonus else None
    table = check_float_array("lm", lm, (C, C)).astype(np.float64)
    if np.isnan(table).any() or (table > 0).any():
        raise ValueError("lm must hold logarithms of probabilities: numbers up to 0, or minus infinity")
    with np.errstate(invalid="ignore"):
        return np.where(table == -np.inf, -np.inf, weight * table + bonus)
